use anyhow::{Result, ensure};
use plotters::style::RGBColor;

use super::canvas::{Align, Canvas, GREY, INK, LIGHT_GREY, TextLook, WHITE, draw, fitted, text_width};

/// One cell of a [`heatmap`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HeatCell {
    /// Service time beside the other, divided by service time alone; above 0.
    pub ratio: f64,
    /// Lower end of the interval of the ratio.
    pub lo: f64,
    /// Upper end of the interval of the ratio.
    pub hi: f64,
}

const CELL_HEIGHT: f64 = 52.0;
const LABEL_SIZE: f64 = 12.5;
const WIDEST_LABEL: f64 = 180.0;
const MARGIN: f64 = 24.0;

/// The colour scale always reaches this ratio, so that noise does not look like contention.
const LEAST_TOP: f64 = 2.0;

/// Slowdowns as a matrix: how much longer each service (rows) takes beside each other one (columns).
///
/// `cells` is row-major, `rows.len()` × `columns.len()`; a cell that is `None`, or whose ratio is not finite and positive, is
/// hatched and says "n/a"; an interval that is not finite is left out. The colour follows the logarithm of the ratio: white at
/// 1, towards dark red above, towards blue below.
///
/// # Errors
///
/// If the number of cells does not match.
///
/// # Example
/// ```
/// use neuro_cli::output::{HeatCell, heatmap};
///
/// let apps = ["a".to_owned(), "b".to_owned()];
/// let cell = |ratio| Some(HeatCell { ratio, lo: 0.9 * ratio, hi: 1.1 * ratio });
/// let picture = heatmap("Slowdown", "of the mean", &apps, &apps, &[cell(1.1), cell(2.0), None, cell(1.0)])?;
/// assert!(picture.starts_with("<svg") && picture.contains("n/a"));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub fn heatmap(
    title: &str,
    subtitle: &str,
    rows: &[String],
    columns: &[String],
    cells: &[Option<HeatCell>],
) -> Result<String> {
    ensure!(
        cells.len() == rows.len() * columns.len(),
        "a heat map of {} rows and {} columns has {} cells",
        rows.len(),
        columns.len(),
        cells.len()
    );
    let label_width = |labels: &[String]| {
        labels.iter().map(|label| text_width(label, LABEL_SIZE)).fold(0.0, f64::max).min(WIDEST_LABEL)
    };
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

    draw(width, height, |canvas| {
        canvas.text(MARGIN, MARGIN + 8.0, title, TextLook { bold: true, ..TextLook::new(18.0) })?;
        canvas.text(MARGIN, MARGIN + 32.0, subtitle, TextLook { colour: GREY, ..TextLook::new(12.0) })?;
        let axis = TextLook { colour: GREY, align: Align::Middle, ..TextLook::new(12.0) };
        canvas.text(left + grid_width / 2.0, top - 34.0, "beside", axis)?;
        let upright = TextLook { upright: true, ..axis };
        canvas.text(MARGIN + 6.0, top + grid_height / 2.0, "service measured", upright)?;

        let label = TextLook::new(LABEL_SIZE);
        for (column, name) in columns.iter().enumerate() {
            let x = left + cell_width * (column as f64 + 0.5);
            let name = fitted(name, LABEL_SIZE, cell_width - 8.0);
            canvas.text(x, top - 13.0, &name, TextLook { align: Align::Middle, ..label })?;
        }
        for (row, name) in rows.iter().enumerate() {
            let y = top + CELL_HEIGHT * (row as f64 + 0.5);
            let name = fitted(name, LABEL_SIZE, WIDEST_LABEL);
            canvas.text(left - 10.0, y, &name, TextLook { align: Align::Right, ..label })?;
        }
        for (index, cell) in cells.iter().enumerate() {
            let (row, column) = (index / columns.len(), index % columns.len());
            let (x, y) = (left + cell_width * column as f64, top + CELL_HEIGHT * row as f64);
            // A gap of one pixel on each side separates the cells.
            draw_cell(canvas, (x + 1.0, y + 1.0), (cell_width - 2.0, CELL_HEIGHT - 2.0), usable(*cell), &colours)?;
        }
        draw_legend(canvas, (left + grid_width + 28.0, top), legend_height, &colours)
    })
}

/// The cell, if its ratio can be drawn.
fn usable(cell: Option<HeatCell>) -> Option<HeatCell> {
    cell.filter(|cell| cell.ratio.is_finite() && cell.ratio > 0.0)
}

fn draw_cell(
    canvas: &Canvas<'_>,
    (x, y): (f64, f64),
    (width, height): (f64, f64),
    cell: Option<HeatCell>,
    colours: &Colours,
) -> Result<()> {
    let middle = TextLook { align: Align::Middle, ..TextLook::new(15.0) };
    let Some(cell) = cell else {
        canvas.rectangle(x, y, width, height, RGBColor(240, 240, 240))?;
        hatch(canvas, (x, y), (width, height))?;
        return canvas.text(x + width / 2.0, y + height / 2.0, "n/a", TextLook { colour: GREY, size: 12.0, ..middle });
    };
    let fill = colours.fill(cell.ratio);
    canvas.rectangle(x, y, width, height, fill)?;
    let colour = readable_on(fill);
    let interval = cell.lo.is_finite() && cell.hi.is_finite();
    let lift = if interval { 8.0 } else { 0.0 };
    let ratio = TextLook { colour, bold: true, ..middle };
    canvas.text(x + width / 2.0, y + height / 2.0 - lift, &format!("×{}", figure(cell.ratio)), ratio)?;
    if interval {
        let text = format!("[{}–{}]", figure(cell.lo), figure(cell.hi));
        canvas.text(x + width / 2.0, y + height / 2.0 + 12.0, &text, TextLook { colour, size: 10.5, ..middle })?;
    }
    Ok(())
}

/// Diagonal lines, so that a missing cell is told apart without its colour.
fn hatch(canvas: &Canvas<'_>, (x, y): (f64, f64), (width, height): (f64, f64)) -> Result<()> {
    let mut offset = 10.0;
    while offset < width + height {
        let from = (x + (offset - height).max(0.0), y + offset.min(height));
        let to = (x + offset.min(width), y + (offset - width).max(0.0));
        canvas.line(&[from, to], 0.8, LIGHT_GREY)?;
        offset += 10.0;
    }
    Ok(())
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

/// From ratio 1 up.
const SLOWER: [RGBColor; 6] = [
    RGBColor(250, 250, 248),
    RGBColor(253, 222, 180),
    RGBColor(253, 177, 120),
    RGBColor(238, 108, 72),
    RGBColor(196, 40, 32),
    RGBColor(110, 8, 20),
];

/// From ratio 1 down.
const FASTER: [RGBColor; 3] = [RGBColor(250, 250, 248), RGBColor(150, 200, 226), RGBColor(33, 102, 172)];

impl Colours {
    fn of(cells: &[Option<HeatCell>]) -> Self {
        let ratios = || cells.iter().filter_map(|cell| usable(*cell)).map(|cell| cell.ratio);
        Self { top: ratios().fold(LEAST_TOP, f64::max), bottom: ratios().fold(1.0, f64::min) }
    }

    fn fill(&self, ratio: f64) -> RGBColor {
        let position = ratio.ln() / self.top.ln();
        let stops: &[RGBColor] = if position < 0.0 { &FASTER } else { &SLOWER };
        let place = position.abs().min(1.0) * (stops.len() - 1) as f64;
        let below = (place as usize).min(stops.len() - 2);
        let share = place - below as f64;
        let (RGBColor(r0, g0, b0), RGBColor(r1, g1, b1)) = (stops[below], stops[below + 1]);
        let mix = |a: u8, b: u8| (f64::from(a) + share * (f64::from(b) - f64::from(a))).round() as u8;
        RGBColor(mix(r0, r1), mix(g0, g1), mix(b0, b1))
    }
}

/// Black or white, whichever has the higher contrast (WCAG relative luminance).
fn readable_on(RGBColor(r, g, b): RGBColor) -> RGBColor {
    let linear = |channel: u8| {
        let c = f64::from(channel) / 255.0;
        if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
    };
    let luminance = 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b);
    if luminance > 0.179 { INK } else { WHITE }
}

fn draw_legend(canvas: &Canvas<'_>, (x, y): (f64, f64), height: f64, colours: &Colours) -> Result<()> {
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
        )?;
    }
    let frame = [(x, y), (x + BAR, y), (x + BAR, y + height), (x, y + height), (x, y)];
    canvas.line(&frame, 0.8, GREY)?;
    let mut last_drawn = f64::INFINITY;
    for ratio in legend_ratios(colours) {
        let middle = place(ratio);
        if last_drawn - middle < 14.0 {
            continue;
        }
        last_drawn = middle;
        canvas.line(&[(x + BAR, middle), (x + BAR + 4.0, middle)], 0.8, GREY)?;
        canvas.text(x + BAR + 8.0, middle, &format!("×{ratio}"), TextLook::new(10.5))?;
    }
    let look = TextLook { colour: GREY, ..TextLook::new(11.0) };
    canvas.text(x, y - 13.0, "slowdown", look)
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

    #[test]
    fn says_every_figure() {
        let cell = |ratio| Some(HeatCell { ratio, lo: ratio * 0.95, hi: ratio * 1.05 });
        let cells = [cell(1.0), cell(1.834), None, cell(12.34)];
        let names = names(&["kalman-gru", "tclf-rf"]);
        let texts = texts(&heatmap("Slowdown", "seed 1", &names, &names, &cells).unwrap()).unwrap();
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
    fn odd_names_and_numbers_stay_well_formed() {
        let odd = f64::NAN;
        let names = names(&["<a & \"b\">", "tab\tand\u{0}zero"]);
        let cells = [
            Some(HeatCell { ratio: f64::NAN, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: f64::INFINITY, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: -1.0, lo: 1.0, hi: 2.0 }),
            Some(HeatCell { ratio: 1.5, lo: odd, hi: f64::INFINITY }),
        ];
        let texts = texts(&heatmap("T < U", "&", &names, &names, &cells).unwrap()).unwrap();
        assert!(texts.iter().any(|text| text == "<a & \"b\">"), "{texts:?}");
        assert!(texts.iter().any(|text| text == "tab and zero"), "{texts:?}");
        assert_eq!(texts.iter().filter(|text| *text == "n/a").count(), 3);
        assert!(!texts.iter().any(|text| text.contains("NaN") || text.contains("inf")), "{texts:?}");
    }

    #[test]
    fn extreme_ratios_and_no_services_are_drawn() {
        let names = names(&["a"]);
        for ratio in [1e-9, 1e9, f64::MIN_POSITIVE, f64::MAX] {
            texts(&heatmap("", "", &names, &names, &[Some(HeatCell { ratio, lo: ratio, hi: ratio })]).unwrap())
                .unwrap();
        }
        texts(&heatmap("", "", &[], &[], &[]).unwrap()).unwrap();
        assert!(heatmap("", "", &names, &names, &[]).is_err());
    }

    #[test]
    fn colours_start_at_white_and_text_is_readable() {
        let colours = Colours { top: 8.0, bottom: 0.5 };
        assert_eq!(colours.fill(1.0), SLOWER[0]);
        assert_eq!(colours.fill(8.0), SLOWER[5]);
        assert_eq!(colours.fill(1.0 / 8.0), FASTER[2]);
        assert_eq!((readable_on(SLOWER[0]), readable_on(SLOWER[5])), (INK, WHITE));
    }
}
