use anyhow::{Result, ensure};

use super::canvas::{Align, Canvas, Colour, GREY, LIGHT_GREY, TextLook, WHITE, draw, fitted, text_width};

/// One cell of a [`HeatMap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatCell {
    /// Service time beside the other, divided by service time alone; above 0.
    pub ratio: f64,
    /// Lower end of the interval of the ratio.
    pub lo: f64,
    /// Upper end of the interval of the ratio.
    pub hi: f64,
}

/// Slowdowns as a matrix: how much longer each service (rows) takes beside each other one (columns).
///
/// A cell that is `None`, or whose ratio is not finite and positive, is hatched and says "n/a"; an interval that is not finite
/// is left out. The colour follows the logarithm of the ratio: white at 1, towards dark red above, towards blue below.
///
/// # Example
/// ```
/// use neuro_cli::output::{HeatCell, HeatMap};
///
/// let apps = vec!["a".to_owned(), "b".to_owned()];
/// let cell = |ratio| Some(HeatCell { ratio, lo: 0.9 * ratio, hi: 1.1 * ratio });
/// let cells = vec![cell(1.1), cell(2.0), None, cell(1.0)];
/// let (title, subtitle) = ("Slowdown".to_owned(), "of the mean".to_owned());
/// let picture = HeatMap { title, subtitle, rows: apps.clone(), columns: apps, cells }.picture()?;
/// assert!(picture.starts_with("<svg") && picture.contains("n/a"));
/// # Ok::<(), anyhow::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HeatMap {
    /// Title.
    pub title: String,
    /// Smaller, under it.
    pub subtitle: String,
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Row by row, `rows.len()` × `columns.len()`.
    pub cells: Vec<Option<HeatCell>>,
}

const CELL_HEIGHT: f64 = 52.0;
const LABEL_SIZE: f64 = 12.5;
const WIDEST_LABEL: f64 = 180.0;
const MARGIN: f64 = 24.0;
/// A cell of the small picture, and its letters.
const SMALL: (f64, f64) = (31.0, 25.0);
const SMALL_SIZE: f64 = 10.5;

/// The colour scale always reaches this ratio, so that noise does not look like contention.
const LEAST_TOP: f64 = 2.0;

impl HeatMap {
    /// The matrix with every ratio and its interval, and a scale of the colours.
    ///
    /// # Errors
    ///
    /// If the number of cells does not match.
    pub fn picture(&self) -> Result<String> {
        self.check()?;
        let Self { title, subtitle, rows, columns, cells } = self;
        let label_width = |labels: &[String]| widest(labels, LABEL_SIZE).min(WIDEST_LABEL);
        let cell_width = (label_width(columns) + 12.0).max(96.0);
        let left = MARGIN + 24.0 + label_width(rows) + 10.0;
        let top = MARGIN + 92.0;
        let (grid_width, grid_height) = (cell_width * columns.len() as f64, CELL_HEIGHT * rows.len() as f64);
        let colours = Colours::of(cells);
        let legend_height = grid_height.max(120.0);
        let width = (left + grid_width + 110.0)
            .max(MARGIN * 2.0 + text_width(title, 18.0))
            .max(MARGIN * 2.0 + text_width(subtitle, 12.0));
        let height = top + legend_height + MARGIN;

        Ok(draw(title, width, height, |canvas| {
            canvas.text(MARGIN, MARGIN + 8.0, title, TextLook { bold: true, ..TextLook::new(18.0) });
            canvas.text(MARGIN, MARGIN + 32.0, subtitle, TextLook { colour: GREY, ..TextLook::new(12.0) });
            let axis = TextLook { colour: GREY, align: Align::Middle, ..TextLook::new(12.0) };
            canvas.text(left + grid_width / 2.0, top - 34.0, "beside", axis);
            let upright = TextLook { upright: true, ..axis };
            canvas.text(MARGIN + 6.0, top + grid_height / 2.0, "service measured", upright);

            let label = TextLook::new(LABEL_SIZE);
            for (column, name) in columns.iter().enumerate() {
                let x = left + cell_width * (column as f64 + 0.5);
                let name = fitted(name, LABEL_SIZE, cell_width - 8.0);
                canvas.text(x, top - 13.0, &name, TextLook { align: Align::Middle, ..label });
            }
            for (row, name) in rows.iter().enumerate() {
                let y = top + CELL_HEIGHT * (row as f64 + 0.5);
                let name = fitted(name, LABEL_SIZE, WIDEST_LABEL);
                canvas.text(left - 10.0, y, &name, TextLook { align: Align::Right, ..label });
            }
            self.draw_cells(canvas, (left, top), (cell_width, CELL_HEIGHT), 15.0, &colours);
            draw_legend(canvas, (left + grid_width + 28.0, top), legend_height, &colours);
        }))
    }

    /// The ratios alone, small enough for a telephone with nine services; intervals are told by the marks.
    pub(crate) fn small_picture(&self) -> Result<String> {
        self.check()?;
        let look = TextLook { align: Align::Right, ..TextLook::new(SMALL_SIZE) };
        let left = widest(&self.rows, SMALL_SIZE).min(90.0) + 6.0;
        let top = widest(&self.columns, SMALL_SIZE).min(90.0) + 8.0;
        let (width, height) = (SMALL.0 * self.columns.len() as f64, SMALL.1 * self.rows.len() as f64);
        Ok(draw(&self.title, left + width + 2.0, top + height + 2.0, |canvas| {
            for (column, name) in self.columns.iter().enumerate() {
                let x = left + SMALL.0 * (column as f64 + 0.5);
                let upright = TextLook { upright: true, align: Align::Left, ..look };
                canvas.text(x, top - 5.0, &fitted(name, SMALL_SIZE, 90.0), upright);
            }
            for (row, name) in self.rows.iter().enumerate() {
                let y = top + SMALL.1 * (row as f64 + 0.5);
                canvas.text(left - 5.0, y, &fitted(name, SMALL_SIZE, 90.0), look);
            }
            self.draw_cells(canvas, (left, top), SMALL, SMALL_SIZE, &Colours::of(&self.cells));
        }))
    }

    fn check(&self) -> Result<()> {
        let (rows, columns, cells) = (self.rows.len(), self.columns.len(), self.cells.len());
        ensure!(cells == rows * columns, "a heat map of {rows} rows and {columns} columns has {cells} cells");
        Ok(())
    }

    fn draw_cells(
        &self,
        canvas: &mut Canvas,
        (left, top): (f64, f64),
        (width, height): (f64, f64),
        size: f64,
        colours: &Colours,
    ) {
        for (index, cell) in self.cells.iter().enumerate() {
            let (row, column) = (index / self.columns.len(), index % self.columns.len());
            let (x, y) = (left + width * column as f64, top + height * row as f64);
            let cell = usable(*cell);
            let figures = match cell {
                Some(cell) if cell.lo.is_finite() && cell.hi.is_finite() => {
                    format!("×{} [{} – {}]", figure(cell.ratio), figure(cell.lo), figure(cell.hi))
                }
                Some(cell) => format!("×{}", figure(cell.ratio)),
                None => "n/a".to_owned(),
            };
            canvas.mark(&format!("{} beside {}: {figures}", self.rows[row], self.columns[column]), |canvas| {
                // A gap of one pixel on each side separates the cells.
                draw_cell(canvas, (x + 1.0, y + 1.0), (width - 2.0, height - 2.0), size, cell, colours);
            });
        }
    }
}

fn widest(labels: &[String], size: f64) -> f64 {
    labels.iter().map(|label| text_width(label, size)).fold(0.0, f64::max)
}

/// The cell, if its ratio can be drawn.
fn usable(cell: Option<HeatCell>) -> Option<HeatCell> {
    cell.filter(|cell| cell.ratio.is_finite() && cell.ratio > 0.0)
}

/// A cell with its ratio in letters of a size, and its interval where there is room for it.
fn draw_cell(
    canvas: &mut Canvas,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    size: f64,
    cell: Option<HeatCell>,
    colours: &Colours,
) {
    let roomy = height > 3.0 * size;
    let middle = TextLook { align: Align::Middle, ..TextLook::new(size) };
    let centre = (x + width / 2.0, y + height / 2.0);
    let Some(cell) = cell else {
        canvas.rectangle(x, y, width, height, LIGHT_GREY);
        hatch(canvas, (x, y), (width, height));
        canvas.text(centre.0, centre.1, "n/a", TextLook { colour: GREY, size: size.min(12.0), ..middle });
        return;
    };
    let fill = colours.fill(cell.ratio);
    canvas.rectangle(x, y, width, height, fill);
    let colour = readable_on(fill);
    let interval = roomy && cell.lo.is_finite() && cell.hi.is_finite();
    let lift = if interval { 8.0 } else { 0.0 };
    let sign = if roomy { "×" } else { "" };
    let look = TextLook { colour, bold: roomy, ..middle };
    canvas.text(centre.0, centre.1 - lift, &format!("{sign}{}", figure(cell.ratio)), look);
    if interval {
        let text = format!("[{}–{}]", figure(cell.lo), figure(cell.hi));
        canvas.text(centre.0, centre.1 + 12.0, &text, TextLook { colour, size: 10.5, ..middle });
    }
}

/// Diagonal lines, so that a missing cell is told apart without its colour.
fn hatch(canvas: &mut Canvas, (x, y): (f64, f64), (width, height): (f64, f64)) {
    let mut offset = 10.0;
    while offset < width + height {
        let from = (x + (offset - height).max(0.0), y + offset.min(height));
        let to = (x + offset.min(width), y + (offset - width).max(0.0));
        canvas.line(&[from, to], 0.8, WHITE);
        offset += 10.0;
    }
}

/// Three figures or so: 1.83, 12.3, 123.
fn figure(ratio: f64) -> String {
    match ratio.abs() {
        size if size < 9.995 => format!("{ratio:.2}"),
        size if size < 99.95 => format!("{ratio:.1}"),
        size if size < 9_999.5 => format!("{ratio:.0}"),
        _ => format!("{ratio:.0e}"),
    }
}

/// The colour scale: `position` is 0 at ratio 1 and ±1 at `top` and 1 / `top`.
struct Colours {
    top: f64,
    bottom: f64,
}

/// Letters on a cell, whose colour no page changes.
const DARK: Colour = Colour::fixed(34, 34, 34);
const BRIGHT: Colour = Colour::fixed(255, 255, 255);

/// From ratio 1 up.
const SLOWER: [Colour; 6] = [
    Colour::fixed(250, 250, 248),
    Colour::fixed(253, 222, 180),
    Colour::fixed(253, 177, 120),
    Colour::fixed(238, 108, 72),
    Colour::fixed(196, 40, 32),
    Colour::fixed(110, 8, 20),
];

/// From ratio 1 down.
const FASTER: [Colour; 3] = [Colour::fixed(250, 250, 248), Colour::fixed(150, 200, 226), Colour::fixed(33, 102, 172)];

impl Colours {
    fn of(cells: &[Option<HeatCell>]) -> Self {
        let ratios = || cells.iter().filter_map(|cell| usable(*cell)).map(|cell| cell.ratio);
        Self { top: ratios().fold(LEAST_TOP, f64::max), bottom: ratios().fold(1.0, f64::min) }
    }

    fn fill(&self, ratio: f64) -> Colour {
        let position = ratio.ln() / self.top.ln();
        let stops: &[Colour] = if position < 0.0 { &FASTER } else { &SLOWER };
        let place = position.abs().min(1.0) * (stops.len() - 1) as f64;
        let below = (place as usize).min(stops.len() - 2);
        let share = place - below as f64;
        let ((r0, g0, b0), (r1, g1, b1)) = (stops[below].rgb, stops[below + 1].rgb);
        let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
        Colour::fixed(mix(r0, r1), mix(g0, g1), mix(b0, b1))
    }
}

/// Black or white, whichever has the higher contrast (WCAG relative luminance).
fn readable_on(fill: Colour) -> Colour {
    let (r, g, b) = fill.rgb;
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    if luminance > 0.179 { DARK } else { BRIGHT }
}

fn draw_legend(canvas: &mut Canvas, (x, y): (f64, f64), height: f64, colours: &Colours) {
    const STEPS: usize = 120;
    const BAR: f64 = 16.0;
    let (low, high) = (colours.bottom.ln(), colours.top.ln());
    let place = |ratio: f64| y + height * (high - ratio.ln()) / (high - low);
    let step = height / STEPS as f64;
    for k in 0..STEPS {
        let share = (k as f64 + 0.5) / STEPS as f64;
        // A pixel of overlap hides the seams between the steps.
        let overlap = if k + 1 < STEPS { 1.0 } else { 0.0 };
        canvas.rectangle(
            x,
            y + step * k as f64,
            BAR,
            step + overlap,
            colours.fill((high + share * (low - high)).exp()),
        );
    }
    let frame = [(x, y), (x + BAR, y), (x + BAR, y + height), (x, y + height), (x, y)];
    canvas.line(&frame, 0.8, GREY);
    let mut last_drawn = f64::INFINITY;
    for ratio in legend_ratios(colours) {
        let middle = place(ratio);
        if last_drawn - middle < 14.0 {
            continue;
        }
        last_drawn = middle;
        canvas.line(&[(x + BAR, middle), (x + BAR + 4.0, middle)], 0.8, GREY);
        canvas.text(x + BAR + 8.0, middle, &format!("×{ratio}"), TextLook::new(10.5));
    }
    let look = TextLook { colour: GREY, ..TextLook::new(11.0) };
    canvas.text(x, y - 13.0, "slowdown", look);
}

/// Round ratios inside the scale, in ascending order.
fn legend_ratios(colours: &Colours) -> Vec<f64> {
    let round = [1.0, 1.2, 1.5, 2.0, 3.0, 5.0, 7.0];
    let mut ratios: Vec<f64> = vec![0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9];
    ratios.extend((0..6).flat_map(|power| round.map(|x| x * 10_f64.powi(power))));
    // ×1.2 and the like are worth a tick near 1 only.
    ratios.retain(|x| *x >= colours.bottom && *x <= colours.top && (*x < 10.0 || x.fract() == 0.0));
    ratios
}

#[cfg(test)]
mod tests {
    use super::super::well_formed::texts;
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn map(title: &str, subtitle: &str, names: &[String], cells: &[Option<HeatCell>]) -> HeatMap {
        let (title, subtitle) = (title.to_owned(), subtitle.to_owned());
        HeatMap { title, subtitle, rows: names.to_vec(), columns: names.to_vec(), cells: cells.to_vec() }
    }

    #[test]
    fn says_every_figure() {
        let cell = |ratio| Some(HeatCell { ratio, lo: ratio * 0.95, hi: ratio * 1.05 });
        let cells = [cell(1.0), cell(1.834), None, cell(12.34)];
        let names = names(&["kalman-gru", "tclf-rf"]);
        let texts = texts(&map("Slowdown", "seed 1", &names, &cells).picture().unwrap()).unwrap();
        for expected in [
            "Slowdown",
            "seed 1",
            "service measured",
            "beside",
            "slowdown",
            "×1.00",
            "×1.83",
            "[1.74–1.93]",
            "n/a",
            "×12.3",
            "[11.7–13.0]",
        ] {
            assert!(texts.iter().any(|text| text == expected), "{expected} is not among {texts:?}");
        }
        for name in &names {
            assert_eq!(texts.iter().filter(|text| *text == name).count(), 2, "{name}");
        }
    }

    #[test]
    fn the_small_picture_tells_intervals_by_its_marks() {
        let names = names(&["kalman-gru", "tclf-rf"]);
        let cell = |ratio| Some(HeatCell { ratio, lo: ratio * 0.95, hi: ratio * 1.05 });
        let picture = map("Slowdown", "", &names, &[cell(1.0), cell(1.834), None, cell(12.34)]).small_picture();
        let texts = texts(&picture.unwrap()).unwrap();
        for expected in ["1.83", "kalman-gru beside tclf-rf: ×1.83 [1.74 – 1.93]", "tclf-rf beside kalman-gru: n/a"]
        {
            assert!(texts.iter().any(|text| text == expected), "{expected} is not among {texts:?}");
        }
    }

    #[test]
    fn odd_names_and_numbers_stay_well_formed() {
        let odd = f64::NAN;
        let names = names(&["<a & \"b\">", "tab\tand\u{0}zero"]);
        let cells = [
            Some(HeatCell { ratio: f64::NAN, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: f64::INFINITY, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: -1.0, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: 1.5, lo: odd, hi: f64::INFINITY }),
        ];
        let texts = texts(&map("T < U", "&", &names, &cells).picture().unwrap()).unwrap();
        assert!(texts.iter().any(|text| text == "<a & \"b\">"), "{texts:?}");
        assert!(texts.iter().any(|text| text == "tab and zero"), "{texts:?}");
        assert_eq!(texts.iter().filter(|text| *text == "n/a").count(), 3);
        assert!(!texts.iter().any(|text| text.contains("NaN") || text.contains("inf")), "{texts:?}");
    }

    #[test]
    fn extreme_ratios_and_no_services_are_drawn() {
        let names = names(&["a"]);
        for ratio in [1e-9, 1e9, f64::MIN_POSITIVE, f64::MAX] {
            texts(&map("", "", &names, &[Some(HeatCell { ratio, lo: ratio, hi: ratio })]).picture().unwrap()).unwrap();
        }
        texts(&map("", "", &[], &[]).picture().unwrap()).unwrap();
        assert!(map("", "", &names, &[]).picture().is_err());
    }

    #[test]
    fn colours_start_at_white_and_text_is_readable() {
        let colours = Colours { top: 8.0, bottom: 0.5 };
        assert_eq!(colours.fill(1.0), SLOWER[0]);
        assert_eq!(colours.fill(8.0), SLOWER[5]);
        assert_eq!(colours.fill(1.0 / 8.0), FASTER[2]);
        assert_eq!((readable_on(SLOWER[0]), readable_on(SLOWER[5])), (DARK, BRIGHT));
    }
}
