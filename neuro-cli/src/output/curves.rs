use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use plotters::style::RGBColor;

use super::canvas::{Align, Canvas, GREY, INK, LIGHT_GREY, TextLook, draw, fitted, text_width};
use super::scale::{Scale, extent};

/// One measured point of a [`CurveSeries`], in the units of its panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeasuredPoint {
    /// Where it was measured.
    pub x: f64,
    /// What was measured.
    pub y: f64,
    /// Lower end of its interval.
    pub lo: f64,
    /// Upper end of its interval.
    pub hi: f64,
}

/// Measurements of one kind and the curve fitted to them.
#[derive(Clone, Debug, PartialEq)]
pub struct CurveSeries {
    /// Its name in the legend; the same name has the same colour in every panel.
    pub label: String,
    /// The measured points.
    pub points: Vec<MeasuredPoint>,
    /// The fitted curve as (x, y), in ascending order of x; empty if there is none.
    pub line: Vec<(f64, f64)>,
}

/// One small diagram of a [`curves`] picture.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePanel {
    /// Its title, such as `tclf-rf beside kalman-gru`.
    pub title: String,
    /// What x is, with its unit; shown below the lowest panel of a column.
    pub x_label: String,
    /// What y is, with its unit; shown beside the first panel of a row.
    pub y_label: String,
    /// The value without any neighbour, drawn as a dashed line.
    pub baseline: Option<f64>,
    /// The series.
    pub series: Vec<CurveSeries>,
}

const MARGIN: f64 = 24.0;
const LEGEND_ROW: f64 = 20.0;
/// Room around the axes of a panel.
const LEFT: f64 = 58.0;
const RIGHT: f64 = 14.0;
const ABOVE: f64 = 26.0;
const BELOW: f64 = 24.0;
/// Room for the axis titles of the outer panels.
const Y_TITLE: f64 = 20.0;
const X_TITLE: f64 = 20.0;

/// Okabe and Ito's colours without yellow, which white paper swallows.
const PALETTE: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];

/// A grid of small diagrams, `columns` per row in the order given: measured points with the whiskers of their intervals,
/// fitted curves as lines, the baseline dashed, one legend for all.
///
/// The panels of a row share their y axis, all panels their x axis. A fitted curve does not stretch the y axis by more than
/// half of what the measurements span; beyond, it is cut. Points and curves that are not finite are left out, and a panel
/// without points says "no measurement".
///
/// # Errors
///
/// If `columns` is 0.
pub fn curves(title: &str, subtitle: &str, columns: usize, panels: &[CurvePanel]) -> Result<String> {
    ensure!(columns > 0, "a picture needs at least one column of panels");
    let (panel_width, panel_height) = if columns <= 4 { (300.0, 210.0) } else { (220.0, 165.0) };
    let legend = Legend::of(panels);
    let rows = panels.len().div_ceil(columns);
    let width = MARGIN * 2.0 + Y_TITLE + panel_width * columns.min(panels.len()).max(1) as f64;
    let width =
        width.max(MARGIN * 2.0 + text_width(title, 18.0)).max(MARGIN * 2.0 + text_width(subtitle, 12.0)).max(480.0);
    let legend_places = legend.places(width - 2.0 * MARGIN);
    let legend_rows = legend_places.last().map_or(0, |(_, row)| row + 1);
    let legend_top = MARGIN + 56.0;
    let top = legend_top + LEGEND_ROW * legend_rows as f64 + 10.0;
    let height = top + panel_height * rows as f64 + X_TITLE + MARGIN;
    let x_range = x_range(panels);

    draw(width, height, |canvas| {
        canvas.text(MARGIN, MARGIN + 8.0, title, TextLook { bold: true, ..TextLook::new(18.0) })?;
        canvas.text(MARGIN, MARGIN + 32.0, subtitle, TextLook { colour: GREY, ..TextLook::new(12.0) })?;
        for (entry, (x, row)) in legend.entries.iter().zip(&legend_places) {
            legend.draw(canvas, entry, MARGIN + x, legend_top + LEGEND_ROW * *row as f64 + 6.0)?;
        }
        for (row, panels_of_row) in panels.chunks(columns).enumerate() {
            let y_range = y_range(panels_of_row);
            for (column, panel) in panels_of_row.iter().enumerate() {
                let x = MARGIN + Y_TITLE + panel_width * column as f64;
                let y = top + panel_height * row as f64;
                let frame = Frame {
                    left: x + LEFT,
                    right: x + panel_width - RIGHT,
                    top: y + ABOVE,
                    bottom: y + panel_height - BELOW,
                };
                let below = (row + 1) * columns + column;
                let labels = Labels { x: below >= panels.len(), y: column == 0 };
                draw_panel(canvas, panel, &frame, x_range, y_range, labels, &legend)?;
            }
        }
        Ok(())
    })
}

/// The inside of the axes of a panel, in pixels.
struct Frame {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

/// Which axis titles a panel shows.
struct Labels {
    x: bool,
    y: bool,
}

fn draw_panel(
    canvas: &Canvas<'_>,
    panel: &CurvePanel,
    frame: &Frame,
    x_range: (f64, f64),
    y_range: (f64, f64),
    labels: Labels,
    legend: &Legend,
) -> Result<()> {
    let middle = (0.5 * (frame.left + frame.right), 0.5 * (frame.top + frame.bottom));
    // Small panels have small titles, centred over the axes unless they are wider than these.
    let inside = frame.right - frame.left;
    let size = if inside > 200.0 { 12.0 } else { 10.5 };
    let title = fitted(&panel.title, size, inside + LEFT - 10.0);
    let wide = text_width(&title, size) > inside;
    let (anchor, align) = if wide { (frame.right, Align::Right) } else { (middle.0, Align::Middle) };
    canvas.text(anchor, frame.top - 11.0, &title, TextLook { bold: true, align, ..TextLook::new(size) })?;

    let x_scale = Scale::new(x_range, frame.left, frame.right);
    let y_scale = Scale::new(y_range, frame.bottom, frame.top);
    let tick = TextLook { colour: GREY, ..TextLook::new(10.5) };
    for (value, label) in y_scale.ticks(5) {
        let y = y_scale.pixel(value);
        canvas.line(&[(frame.left, y), (frame.right, y)], 0.7, LIGHT_GREY)?;
        canvas.text(frame.left - 6.0, y, &label, TextLook { align: Align::Right, ..tick })?;
    }
    for (value, label) in x_scale.ticks(5) {
        let x = x_scale.pixel(value);
        canvas.line(&[(x, frame.bottom), (x, frame.bottom + 4.0)], 0.8, GREY)?;
        canvas.text(x, frame.bottom + 12.0, &label, TextLook { align: Align::Middle, ..tick })?;
    }
    canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)], 0.9, GREY)?;
    let axis = TextLook { colour: GREY, align: Align::Middle, ..TextLook::new(11.0) };
    if labels.x {
        canvas.text(middle.0, frame.bottom + 30.0, &panel.x_label, axis)?;
    }
    if labels.y {
        let upright = TextLook { upright: true, ..axis };
        canvas.text(frame.left - LEFT + 2.0, middle.1, &panel.y_label, upright)?;
    }
    if points_of(panel).next().is_none() {
        return canvas.text(middle.0, middle.1, "no measurement", TextLook { align: Align::Middle, ..tick });
    }

    if let Some(baseline) = panel.baseline.filter(|y| y.is_finite()) {
        canvas.dashes(frame.left, frame.right, y_scale.pixel(baseline), GREY)?;
    }
    for series in &panel.series {
        let (colour, _) = legend.look_of(&series.label);
        for piece in visible_pieces(&series.line, &x_scale, &y_scale) {
            canvas.line(&piece, 1.6, colour)?;
        }
    }
    for (index, series) in panel.series.iter().enumerate() {
        let (colour, marker) = legend.look_of(&series.label);
        // Series measured at the same x stand side by side.
        let shift = 4.0 * (index as f64 - 0.5 * (panel.series.len() - 1) as f64);
        for point in series.points.iter().filter(|point| is_drawable(point)) {
            let x = x_scale.pixel(point.x) + shift;
            if point.lo.is_finite() && point.hi.is_finite() {
                let (low, high) = (y_scale.pixel(point.lo), y_scale.pixel(point.hi));
                canvas.line(&[(x, low), (x, high)], 1.2, colour)?;
                for end in [low, high] {
                    canvas.line(&[(x - 2.5, end), (x + 2.5, end)], 1.2, colour)?;
                }
            }
            marker.draw(canvas, x, y_scale.pixel(point.y), colour)?;
        }
    }
    Ok(())
}

fn is_drawable(point: &MeasuredPoint) -> bool {
    point.x.is_finite() && point.y.is_finite()
}

fn points_of(panel: &CurvePanel) -> impl Iterator<Item = &MeasuredPoint> {
    panel.series.iter().flat_map(|series| &series.points).filter(|point| is_drawable(point))
}

fn x_range(panels: &[CurvePanel]) -> (f64, f64) {
    let measured = panels.iter().flat_map(points_of).map(|point| point.x);
    let (low, high) = extent(measured).unwrap_or((0.0, 1.0));
    padded(low, high, 0.08)
}

fn y_range(panels: &[CurvePanel]) -> (f64, f64) {
    let whiskers = |point: &MeasuredPoint| [point.y, point.lo, point.hi];
    let measured = panels.iter().flat_map(points_of).flat_map(whiskers);
    let baselines = panels.iter().filter(|panel| points_of(panel).next().is_some()).filter_map(|panel| panel.baseline);
    let Some((low, high)) = extent(measured.chain(baselines)) else {
        return (0.0, 1.0);
    };
    let slack = 0.5 * (high - low);
    let lines = panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.line);
    let reach = lines.map(|(_, y)| y.clamp(low - slack, high + slack));
    let (low, high) = extent(reach.chain([low, high])).unwrap_or((low, high));
    // At least a tenth of the values, so that noise does not fill the panel.
    let least = 0.1 * low.abs().max(high.abs());
    let missing = (least - (high - low)).max(0.0);
    let (padded_low, padded_high) = padded(low - 0.5 * missing, high + 0.5 * missing, 0.06);
    (if low >= 0.0 { padded_low.max(0.0) } else { padded_low }, padded_high)
}

/// The range with a share of its width on either side, and some width in any case.
fn padded(low: f64, high: f64, share: f64) -> (f64, f64) {
    let width = high - low;
    let pad = if width > 0.0 && width.is_finite() { share * width } else { 0.5 * low.abs().clamp(1e-9, 1e300) };
    (low - pad, high + pad)
}

/// The parts of a line inside the axes, in pixels, cut where they leave them.
fn visible_pieces(line: &[(f64, f64)], x_scale: &Scale, y_scale: &Scale) -> Vec<Vec<(f64, f64)>> {
    let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
    let mut last_end = None;
    for pair in line.windows(2) {
        let Some((from, to)) = clipped(pair[0], pair[1], (x_scale.low, x_scale.high), (y_scale.low, y_scale.high))
        else {
            last_end = None;
            continue;
        };
        let pixel = |(x, y): (f64, f64)| (x_scale.pixel(x), y_scale.pixel(y));
        match pieces.last_mut() {
            Some(piece) if last_end == Some(from) => piece.push(pixel(to)),
            _ => pieces.push(vec![pixel(from), pixel(to)]),
        }
        last_end = Some(to);
    }
    pieces
}

/// The part of a segment inside a rectangle (Liang and Barsky's method).
fn clipped(
    from: (f64, f64),
    to: (f64, f64),
    (left, right): (f64, f64),
    (low, high): (f64, f64),
) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    if ![from.0, from.1, dx, dy].into_iter().all(f64::is_finite) {
        return None;
    }
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (speed, room) in [(-dx, from.0 - left), (dx, right - from.0), (-dy, from.1 - low), (dy, high - from.1)] {
        if speed == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if speed < 0.0 {
            enter = enter.max(room / speed);
        } else {
            leave = leave.min(room / speed);
        }
    }
    let at = |t: f64| match t {
        0.0 => from,
        1.0 => to,
        _ => (from.0 + t * dx, from.1 + t * dy),
    };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

/// The shape of measured points, so that series are told apart without their colours.
#[derive(Clone, Copy)]
enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Marker {
    const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];

    fn draw(self, canvas: &Canvas<'_>, x: f64, y: f64, colour: RGBColor) -> Result<()> {
        match self {
            Self::Circle => canvas.circle(x, y, 3.4, colour),
            Self::Square => canvas.rectangle(x - 3.1, y - 3.1, 6.2, 6.2, colour),
            Self::Triangle => canvas.polygon(&[(x, y - 4.2), (x + 4.0, y + 3.0), (x - 4.0, y + 3.0)], colour),
            Self::Diamond => canvas.polygon(&[(x, y - 4.4), (x + 4.4, y), (x, y + 4.4), (x - 4.4, y)], colour),
        }
    }
}

/// What a line of the legend explains.
enum Entry {
    Series(String),
    Fit,
    Baseline,
}

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Series(label) => label,
            Self::Fit => "fitted curve",
            Self::Baseline => "alone",
        }
    }
}

struct Legend {
    labels: Vec<String>,
    entries: Vec<Entry>,
}

impl Legend {
    /// Width of the sample in front of a text.
    const SAMPLE: f64 = 30.0;

    fn of(panels: &[CurvePanel]) -> Self {
        let all_series = || panels.iter().flat_map(|panel| &panel.series);
        let mut seen = BTreeSet::new();
        let labels: Vec<String> =
            all_series().map(|series| series.label.clone()).filter(|label| seen.insert(label.clone())).collect();
        let mut entries: Vec<Entry> = labels.iter().cloned().map(Entry::Series).collect();
        if all_series().any(|series| !series.line.is_empty()) {
            entries.push(Entry::Fit);
        }
        if panels.iter().any(|panel| panel.baseline.is_some()) {
            entries.push(Entry::Baseline);
        }
        Self { labels, entries }
    }

    fn look_of(&self, label: &str) -> (RGBColor, Marker) {
        let index = self.labels.iter().position(|known| known == label).unwrap_or(0);
        (PALETTE[index % PALETTE.len()], Marker::ALL[index % Marker::ALL.len()])
    }

    /// x and row of each entry within a width.
    fn places(&self, width: f64) -> Vec<(f64, usize)> {
        let (mut x, mut row) = (0.0, 0);
        let mut places = Vec::new();
        for entry in &self.entries {
            let needed = Self::SAMPLE + text_width(entry.text(), 11.5) + 14.0;
            if x > 0.0 && x + needed > width {
                (x, row) = (0.0, row + 1);
            }
            places.push((x, row));
            x += needed;
        }
        places
    }

    fn draw(&self, canvas: &Canvas<'_>, entry: &Entry, x: f64, y: f64) -> Result<()> {
        let sample = Self::SAMPLE - 8.0;
        match entry {
            Entry::Series(label) => {
                let (colour, marker) = self.look_of(label);
                let middle = x + sample / 2.0;
                canvas.line(&[(middle, y - 7.0), (middle, y + 7.0)], 1.2, colour)?;
                marker.draw(canvas, middle, y, colour)?;
            }
            Entry::Fit => canvas.line(&[(x, y), (x + sample, y)], 1.6, INK)?,
            Entry::Baseline => canvas.dashes(x, x + sample + 2.0, y, GREY)?,
        }
        canvas.text(x + Self::SAMPLE, y, entry.text(), TextLook::new(11.5))
    }
}

#[cfg(test)]
mod tests {
    use super::super::well_formed::texts;
    use super::*;

    fn panel(title: &str, points: Vec<MeasuredPoint>, line: Vec<(f64, f64)>) -> CurvePanel {
        CurvePanel {
            title: title.to_owned(),
            x_label: "requests/s per instance".into(),
            y_label: "mean service time, ms".into(),
            baseline: Some(10.0),
            series: vec![CurveSeries { label: "2 instances".into(), points, line }],
        }
    }

    fn point(x: f64, y: f64) -> MeasuredPoint {
        MeasuredPoint { x, y, lo: y - 1.0, hi: y + 1.0 }
    }

    #[test]
    fn says_titles_units_and_legend_once() {
        let panels = [
            panel("a beside b", vec![point(5.0, 11.0), point(20.0, 14.0)], vec![(5.0, 11.0), (20.0, 14.0)]),
            panel("a beside c", Vec::new(), Vec::new()),
        ];
        let texts = texts(&curves("Curves", "seed 1", 2, &panels).unwrap()).unwrap();
        let count = |wanted: &str| texts.iter().filter(|text| *text == wanted).count();
        for once in
            ["Curves", "seed 1", "a beside b", "a beside c", "2 instances", "fitted curve", "alone", "no measurement"]
        {
            assert_eq!(count(once), 1, "{once} in {texts:?}");
        }
        assert_eq!((count("mean service time, ms"), count("requests/s per instance")), (1, 2));
    }

    #[test]
    fn odd_names_and_numbers_stay_well_formed() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0, 1e-310];
        let mut points = Vec::new();
        for x in odd {
            for y in odd {
                points.push(MeasuredPoint { x, y, lo: y, hi: x });
            }
        }
        let line = odd.into_iter().zip(odd.into_iter().rev()).collect();
        let mut panel = panel("<&\"'> \u{7}", points, line);
        panel.baseline = Some(f64::NAN);
        let texts = texts(&curves("<t>", "&", 3, &[panel]).unwrap()).unwrap();
        assert!(texts.iter().any(|text| text == "<&\"'>"), "{texts:?}");
    }

    #[test]
    fn no_panels_and_no_columns() {
        texts(&curves("nothing", "", 1, &[]).unwrap()).unwrap();
        assert!(curves("nothing", "", 0, &[]).is_err());
    }

    #[test]
    fn lines_are_cut_at_the_axes() {
        let square = (0.0, 10.0);
        assert_eq!(clipped((2.0, 2.0), (8.0, 4.0), square, square), Some(((2.0, 2.0), (8.0, 4.0))));
        assert_eq!(clipped((-10.0, 5.0), (5.0, 20.0), square, square), None);
        assert_eq!(clipped((5.0, 5.0), (5.0, 25.0), square, square), Some(((5.0, 5.0), (5.0, 10.0))));
        assert_eq!(clipped((5.0, f64::NAN), (5.0, 25.0), square, square), None);
        let scale = Scale::new(square, 0.0, 10.0);
        let pieces = visible_pieces(&[(0.0, 5.0), (2.0, 5.0), (4.0, 15.0), (6.0, 5.0), (8.0, 5.0)], &scale, &scale);
        assert_eq!(pieces, [vec![(0.0, 5.0), (2.0, 5.0), (3.0, 10.0)], vec![(5.0, 10.0), (6.0, 5.0), (8.0, 5.0)]]);
    }

    #[test]
    fn a_wild_curve_does_not_squash_the_measurements() {
        let wild = panel("p", vec![point(1.0, 10.0), point(2.0, 12.0)], vec![(1.0, 10.0), (2.0, 1e6)]);
        let (low, high) = y_range(&[wild]);
        assert!(low < 9.0 && high < 18.0, "{low}..{high}");
    }
}
