use std::collections::BTreeSet;

use super::canvas::{Align, Canvas, Colour, GREY, INK, LIGHT_GREY, PALETTE, TextLook, draw, fitted, text_width};
use super::scale::{Scale, extent};

/// One measured point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Point {
    /// Where it was measured.
    pub x: f64,
    /// What was measured.
    pub y: f64,
    /// The ends of its interval, where it has one.
    pub interval: Option<(f64, f64)>,
}

/// What belongs together: measured points, and a line, fitted to them or through them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// Its name in the legend; series of one name have one colour and shape in all panels.
    pub name: String,
    /// Points, marked, with the whiskers of their intervals.
    pub points: Vec<Point>,
    /// The line as (x, y), in ascending order of x; empty if there is none.
    pub line: Vec<(f64, f64)>,
}

/// A dashed line with a name, across a panel.
#[derive(Clone, Debug, PartialEq)]
pub enum Reference {
    /// At a y.
    Level(f64, String),
    /// At an x.
    Position(f64, String),
    /// Where y = x.
    Diagonal(String),
}

/// An axis.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Axis {
    /// What it shows, with its unit.
    pub label: String,
    /// Whether it is logarithmic.
    pub logarithmic: bool,
    /// Its ends; those of the data where `None`.
    pub ends: Option<(f64, f64)>,
    /// Names at whole numbers from 0 in place of figures.
    pub names: Vec<String>,
}

/// One diagram of a chart.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Panel {
    /// Title.
    pub title: String,
    /// Points and lines.
    pub series: Vec<Series>,
    /// Dashed lines.
    pub references: Vec<Reference>,
}

/// Diagrams in rows, with one legend.
///
/// The panels of a row share their y axis, all panels their x axis. Where points are measured a line does not stretch the y axis
/// by more than half of what they span; beyond, it is cut. Points and lines that are not finite are left out, and a panel with
/// nothing to show says "no measurement".
///
/// # Example
/// ```
/// use neuro_cli::output::{Axis, Chart, Panel, Series};
///
/// let series = Series::marked("lns", vec![(2.0, 90.0), (4.0, 170.0)]);
/// let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
/// let panel = Panel { title: "s1".to_owned(), series: vec![series], references: Vec::new() };
/// let chart = Chart::row("Revenue", axis("servers"), axis("revenue"), vec![panel]);
/// assert!(chart.picture().starts_with("<svg"));
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chart {
    /// Title.
    pub title: String,
    /// Smaller, under it; may be empty.
    pub subtitle: String,
    /// The horizontal axis of all panels.
    pub x: Axis,
    /// The vertical axis; its ends are a row's where they are not given.
    pub y: Axis,
    /// Panels a row.
    pub columns: usize,
    /// The panels, row by row.
    pub panels: Vec<Panel>,
}

/// A chart whose panels are pictures of their own, for a page that arranges them.
pub(crate) struct Parts {
    /// Names and colours of the series.
    pub(crate) legend: Vec<(String, Colour)>,
    /// The panels' pictures.
    pub(crate) panels: Vec<String>,
}

impl Series {
    /// A line without marks.
    pub fn line(name: impl Into<String>, line: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points: Vec::new(), line }
    }

    /// A line through marked points.
    pub fn marked(name: impl Into<String>, line: Vec<(f64, f64)>) -> Self {
        let points = line.iter().map(|(x, y)| Point { x: *x, y: *y, interval: None }).collect();
        Self { name: name.into(), points, line }
    }

    /// A line through marked points with intervals.
    pub fn measured(name: impl Into<String>, points: Vec<Point>) -> Self {
        let line = points.iter().map(|point| (point.x, point.y)).collect();
        Self { name: name.into(), points, line }
    }
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
/// A panel that is a picture of its own.
const ALONE: (f64, f64) = (340.0, 270.0);

impl Chart {
    /// Panels side by side.
    pub fn row(title: impl Into<String>, x: Axis, y: Axis, panels: Vec<Panel>) -> Self {
        Self { title: title.into(), subtitle: String::new(), x, y, columns: panels.len(), panels }
    }

    /// All panels on one sheet, as SVG.
    pub fn picture(&self) -> String {
        let columns = self.columns.max(1);
        let (panel_width, panel_height) = if columns <= 4 { (320.0, 250.0) } else { (220.0, 165.0) };
        let legend = Legend::of(&self.panels);
        let rows = self.panels.len().div_ceil(columns);
        let width = MARGIN * 2.0 + Y_TITLE + panel_width * columns.min(self.panels.len()).max(1) as f64;
        let width = width
            .max(MARGIN * 2.0 + text_width(&self.title, 18.0))
            .max(MARGIN * 2.0 + text_width(&self.subtitle, 12.0));
        let legend_places = legend.places(width - 2.0 * MARGIN);
        let legend_rows = legend_places.last().map_or(0, |(_, row)| row + 1);
        let legend_top = MARGIN + if self.subtitle.is_empty() { 34.0 } else { 56.0 };
        let top = legend_top + LEGEND_ROW * legend_rows as f64 + 10.0;
        let height = top + panel_height * rows as f64 + X_TITLE + MARGIN;
        draw(&self.title, width, height, |canvas| {
            canvas.text(MARGIN, MARGIN + 8.0, &self.title, TextLook { bold: true, ..TextLook::new(18.0) });
            canvas.text(MARGIN, MARGIN + 32.0, &self.subtitle, TextLook { colour: GREY, ..TextLook::new(12.0) });
            for (entry, (x, row)) in legend.entries.iter().zip(&legend_places) {
                legend.draw(canvas, entry, MARGIN + x, legend_top + LEGEND_ROW * *row as f64 + 6.0);
            }
            for (index, (panel, y_ends)) in self.panels.iter().zip(self.y_ends()).enumerate() {
                let (row, column) = (index / columns, index % columns);
                let x = MARGIN + Y_TITLE + panel_width * column as f64;
                let y = top + panel_height * row as f64;
                let labels = Labels { x: (row + 1) * columns + column >= self.panels.len(), y: column == 0 };
                let frame = Frame {
                    left: x + LEFT,
                    right: x + panel_width - RIGHT,
                    top: y + ABOVE,
                    bottom: y + panel_height - BELOW,
                };
                self.draw_panel(canvas, panel, &frame, y_ends, labels, &legend);
            }
        })
    }

    /// Each panel as a picture of its own, with its axes named.
    pub(crate) fn parts(&self) -> Parts {
        let legend = Legend::of(&self.panels);
        let picture = |(panel, y_ends): (&Panel, (f64, f64))| {
            let title = if panel.title.is_empty() { &self.title } else { &panel.title };
            draw(&format!("{}: {title}", self.title), ALONE.0, ALONE.1, |canvas| {
                let frame = Frame {
                    left: LEFT + Y_TITLE - 8.0,
                    right: ALONE.0 - RIGHT,
                    top: ABOVE,
                    bottom: ALONE.1 - BELOW - X_TITLE - 4.0,
                };
                self.draw_panel(canvas, panel, &frame, y_ends, Labels { x: true, y: true }, &legend);
            })
        };
        let panels = self.panels.iter().zip(self.y_ends()).map(picture).collect();
        let colours = legend.labels.iter().map(|label| (label.clone(), legend.look_of(label).0));
        Parts { legend: colours.collect(), panels }
    }

    /// Ends of the vertical axis of each panel: those of its row.
    fn y_ends(&self) -> Vec<(f64, f64)> {
        let rows = self.panels.chunks(self.columns.max(1));
        rows.flat_map(|row| vec![y_ends(&self.y, row); row.len()]).collect()
    }

    fn draw_panel(
        &self,
        canvas: &mut Canvas,
        panel: &Panel,
        frame: &Frame,
        y_ends: (f64, f64),
        labels: Labels,
        legend: &Legend,
    ) {
        let middle = (0.5 * (frame.left + frame.right), 0.5 * (frame.top + frame.bottom));
        // Small panels have small titles, centred over the axes unless they are wider than these.
        let inside = frame.right - frame.left;
        let size = if inside > 200.0 { 12.0 } else { 10.5 };
        let title = fitted(&panel.title, size, inside + LEFT - 10.0);
        let wide = text_width(&title, size) > inside;
        let (anchor, align) = if wide { (frame.right, Align::Right) } else { (middle.0, Align::Middle) };
        canvas.text(anchor, frame.top - 11.0, &title, TextLook { bold: true, align, ..TextLook::new(size) });

        let across = Scale::new(x_ends(&self.x, &self.panels), frame.left, frame.right);
        let up = Scale::new(y_ends, frame.bottom, frame.top);
        let tick = TextLook { colour: GREY, ..TextLook::new(10.5) };
        for (at, label) in ticks(&self.y, &up) {
            let y = up.pixel(at);
            canvas.line(&[(frame.left, y), (frame.right, y)], 0.7, LIGHT_GREY);
            canvas.text(frame.left - 6.0, y, &label, TextLook { align: Align::Right, ..tick });
        }
        let marks = ticks(&self.x, &across);
        let room = inside / marks.len().max(1) as f64;
        for (at, label) in marks {
            let x = across.pixel(at);
            canvas.line(&[(x, frame.bottom), (x, frame.bottom + 4.0)], 0.8, GREY);
            let label = fitted(&label, 10.5, 1.3 * room.max(26.0));
            canvas.text(x, frame.bottom + 12.0, &label, TextLook { align: Align::Middle, ..tick });
        }
        canvas.line(&[(frame.left, frame.top), (frame.left, frame.bottom), (frame.right, frame.bottom)], 0.9, GREY);
        let axis = TextLook { colour: GREY, align: Align::Middle, ..TextLook::new(11.0) };
        if labels.x {
            canvas.text(middle.0, frame.bottom + 30.0, &self.x.label, axis);
        }
        if labels.y {
            canvas.text(frame.left - LEFT + 2.0, middle.1, &self.y.label, TextLook { upright: true, ..axis });
        }
        let space = Space { x: &self.x, y: &self.y, across, up };
        if !panel.series.iter().any(|series| space.shows(series)) {
            canvas.text(middle.0, middle.1, "no measurement", TextLook { align: Align::Middle, ..tick });
            return;
        }
        for reference in &panel.references {
            space.draw_reference(canvas, reference);
        }
        for series in &panel.series {
            let (colour, _) = legend.look_of(&series.name);
            for piece in space.visible_pieces(&series.line) {
                if series.points.is_empty() {
                    canvas.mark(&series.name, |canvas| canvas.line(&piece, 1.8, colour));
                } else {
                    canvas.line(&piece, 1.8, colour);
                }
            }
        }
        for (index, series) in panel.series.iter().enumerate() {
            let (colour, marker) = legend.look_of(&series.name);
            // Whiskers of series measured at the same x stand side by side.
            let whiskers = series.points.iter().any(|point| point.interval.is_some());
            let shift = if whiskers { 3.0 * (index as f64 - 0.5 * (panel.series.len() - 1) as f64) } else { 0.0 };
            for point in series.points.iter().filter(|point| space.holds(point)) {
                let (x, y) = (space.x_pixel(point.x) + shift, space.y_pixel(point.y));
                canvas.mark(&self.tip(&series.name, point), |canvas| {
                    if let Some((low, high)) = point.interval.filter(|(low, high)| low.is_finite() && high.is_finite())
                    {
                        let (low, high) = (space.y_pixel(low), space.y_pixel(high));
                        canvas.line(&[(x, low), (x, high)], 1.2, colour);
                        for end in [low, high] {
                            canvas.line(&[(x - 2.5, end), (x + 2.5, end)], 1.2, colour);
                        }
                    }
                    marker.draw(canvas, x, y, colour);
                });
            }
        }
    }

    /// What a point says of itself.
    fn tip(&self, name: &str, point: &Point) -> String {
        let x = match self.x.names.get(point.x.round().max(0.0) as usize) {
            Some(name) if !self.x.names.is_empty() => name.clone(),
            _ => short(point.x),
        };
        let interval = match point.interval {
            Some((low, high)) => format!(" [{} – {}]", short(low), short(high)),
            None => String::new(),
        };
        format!("{name}: {} {x}, {} {}{interval}", self.x.label, self.y.label, short(point.y))
    }
}

/// A figure in four significant digits.
fn short(x: f64) -> String {
    let decimals =
        if x == 0.0 || !x.is_finite() { 0 } else { (3 - x.abs().log10().floor() as i64).clamp(0, 9) as usize };
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
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

/// The axes of a panel with their scales.
struct Space<'a> {
    x: &'a Axis,
    y: &'a Axis,
    across: Scale,
    up: Scale,
}

impl Space<'_> {
    fn x_pixel(&self, x: f64) -> f64 {
        self.across.pixel(coordinate(self.x, x))
    }

    /// What lies beyond the ends is drawn at the edge.
    fn y_pixel(&self, y: f64) -> f64 {
        self.up.pixel(coordinate(self.y, y).clamp(self.up.low, self.up.high))
    }

    fn holds(&self, point: &Point) -> bool {
        let (x, y) = (coordinate(self.x, point.x), coordinate(self.y, point.y));
        y.is_finite() && (self.across.low..=self.across.high).contains(&x)
    }

    fn shows(&self, series: &Series) -> bool {
        series.points.iter().any(|point| self.holds(point)) || !self.visible_pieces(&series.line).is_empty()
    }

    /// The parts of a line inside the axes, in pixels, cut where they leave them.
    fn visible_pieces(&self, line: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let line: Vec<(f64, f64)> =
            line.iter().map(|(x, y)| (coordinate(self.x, *x), coordinate(self.y, *y))).collect();
        let (width, height) = ((self.across.low, self.across.high), (self.up.low, self.up.high));
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last_end = None;
        for pair in line.windows(2) {
            let Some((from, to)) = clipped(pair[0], pair[1], width, height) else {
                last_end = None;
                continue;
            };
            let pixel = |(x, y): (f64, f64)| (self.across.pixel(x), self.up.pixel(y));
            match pieces.last_mut() {
                Some(piece) if last_end == Some(from) => piece.push(pixel(to)),
                _ => pieces.push(vec![pixel(from), pixel(to)]),
            }
            last_end = Some(to);
        }
        pieces
    }

    fn draw_reference(&self, canvas: &mut Canvas, reference: &Reference) {
        let look = TextLook { colour: GREY, ..TextLook::new(9.5) };
        let (across, up) = (&self.across, &self.up);
        let (left, right) = (across.pixel(across.low), across.pixel(across.high));
        let (bottom, top) = (up.pixel(up.low), up.pixel(up.high));
        match reference {
            Reference::Level(value, name) => {
                let at = coordinate(self.y, *value);
                if (up.low..=up.high).contains(&at) {
                    canvas.dashes(&[(left, up.pixel(at)), (right, up.pixel(at))], GREY);
                    canvas.text(right - 4.0, up.pixel(at) - 7.0, name, TextLook { align: Align::Right, ..look });
                }
            }
            Reference::Position(value, name) => {
                let at = coordinate(self.x, *value);
                if (across.low..=across.high).contains(&at) {
                    canvas.dashes(&[(across.pixel(at), top), (across.pixel(at), bottom)], GREY);
                    canvas.text(across.pixel(at) + 3.0, top + 6.0, name, look);
                }
            }
            Reference::Diagonal(name) => {
                let (low, high) = (across.low.max(up.low), across.high.min(up.high));
                if high > low {
                    let at = |value: f64| (across.pixel(value), up.pixel(value));
                    canvas.dashes(&[at(low), at(high)], GREY);
                    let (x, y) = at(0.5 * (low + high));
                    canvas.text(x + 8.0, y + 8.0, name, look);
                }
            }
        }
    }
}

/// A value as a position on its axis: its decimal logarithm where that is logarithmic.
fn coordinate(axis: &Axis, value: f64) -> f64 {
    if axis.logarithmic { value.log10() } else { value }
}

fn x_ends(axis: &Axis, panels: &[Panel]) -> (f64, f64) {
    let at = |x: f64| coordinate(axis, x);
    if let Some((low, high)) = axis.ends {
        return (at(low), at(high));
    }
    if !axis.names.is_empty() {
        return (-0.5, axis.names.len() as f64 - 0.5);
    }
    let series = || panels.iter().flat_map(|panel| &panel.series);
    let points = series().flat_map(|series| &series.points).map(|point| at(point.x));
    let lines = series().filter(|series| series.points.is_empty()).flat_map(|series| &series.line);
    let (low, high) = extent(points.chain(lines.map(|point| at(point.0)))).unwrap_or((0.0, 1.0));
    padded(low, high, 0.06)
}

fn y_ends(axis: &Axis, panels: &[Panel]) -> (f64, f64) {
    let at = |y: f64| coordinate(axis, y);
    if let Some((low, high)) = axis.ends {
        return (at(low), at(high));
    }
    let series = || panels.iter().flat_map(|panel| &panel.series);
    let whiskers = |point: &Point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [at(point.y), at(low), at(high)]
    };
    let measured = series().flat_map(|series| &series.points).flat_map(whiskers);
    let level = |reference: &Reference| match reference {
        Reference::Level(y, _) => Some(at(*y)),
        _ => None,
    };
    let shown = |panel: &&Panel| panel.series.iter().any(|series| !series.points.is_empty());
    let levels = panels.iter().filter(shown).flat_map(|panel| &panel.references).filter_map(level);
    let lines = || series().flat_map(|series| &series.line).map(|(_, y)| at(*y));
    let Some((low, high)) = extent(measured.chain(levels)).or_else(|| extent(lines())) else {
        return (0.0, 1.0);
    };
    let slack = 0.5 * (high - low);
    let reach = lines().map(|y| y.clamp(low - slack, high + slack));
    let (low, high) = extent(reach.chain([low, high])).unwrap_or((low, high));
    // At least a tenth of the values, so that noise does not fill the panel.
    let least = if axis.logarithmic { 0.0 } else { 0.1 * low.abs().max(high.abs()) };
    let missing = (least - (high - low)).max(0.0);
    let (padded_low, padded_high) = padded(low - 0.5 * missing, high + 0.5 * missing, 0.06);
    (if low >= 0.0 && !axis.logarithmic { padded_low.max(0.0) } else { padded_low }, padded_high)
}

/// The range with a share of its width on either side, and some width in any case.
fn padded(low: f64, high: f64, share: f64) -> (f64, f64) {
    let width = high - low;
    let pad = if width > 0.0 && width.is_finite() { share * width } else { 0.5 * low.abs().clamp(1e-9, 1e300) };
    (low - pad, high + pad)
}

fn ticks(axis: &Axis, scale: &Scale) -> Vec<(f64, String)> {
    if !axis.names.is_empty() {
        return axis.names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
    }
    if !axis.logarithmic {
        return scale.ticks(5);
    }
    let (low, high) = (scale.low.floor().max(-300.0) as i32, scale.high.ceil().min(300.0) as i32);
    let steps: &[f64] = if scale.high - scale.low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let every = 1 + (high - low) / 8;
    let powers = (low..=high).filter(|power| power % every == 0);
    let values = powers.flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    let label = |value: f64| {
        let power = value.log10().floor();
        let decimals = (-power).clamp(0.0, 9.0) as usize;
        if power.abs() > 6.0 { format!("{value:.0e}") } else { format!("{value:.decimals$}") }
    };
    values.map(|value| (value.log10(), label(value))).filter(|(at, _)| (scale.low..=scale.high).contains(at)).collect()
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

    fn draw(self, canvas: &mut Canvas, x: f64, y: f64, colour: Colour) {
        match self {
            Self::Circle => canvas.circle(x, y, 3.4, colour),
            Self::Square => canvas.rectangle(x - 3.1, y - 3.1, 6.2, 6.2, colour),
            Self::Triangle => canvas.polygon(&[(x, y - 4.2), (x + 4.0, y + 3.0), (x - 4.0, y + 3.0)], colour),
            Self::Diamond => canvas.polygon(&[(x, y - 4.4), (x + 4.4, y), (x, y + 4.4), (x - 4.4, y)], colour),
        }
    }
}

/// What an entry of the legend explains.
enum Entry {
    /// A series of points.
    Points(String),
    /// A series that is a line alone.
    Line(String),
}

struct Legend {
    labels: Vec<String>,
    entries: Vec<Entry>,
}

impl Legend {
    /// Width of the sample in front of a text.
    const SAMPLE: f64 = 30.0;

    fn of(panels: &[Panel]) -> Self {
        let all_series = || panels.iter().flat_map(|panel| &panel.series);
        let mut seen = BTreeSet::new();
        let labels: Vec<String> =
            all_series().map(|series| series.name.clone()).filter(|label| seen.insert(label.clone())).collect();
        let has_points = |label: &String| all_series().any(|s| &s.name == label && !s.points.is_empty());
        let entry = |label: &String| {
            if has_points(label) { Entry::Points(label.clone()) } else { Entry::Line(label.clone()) }
        };
        let entries = labels.iter().map(entry).collect();
        Self { labels, entries }
    }

    fn look_of(&self, label: &str) -> (Colour, Marker) {
        let index = self.labels.iter().position(|known| known == label).unwrap_or(0);
        (PALETTE[index % PALETTE.len()], Marker::ALL[index % Marker::ALL.len()])
    }

    /// x and row of each entry within a width.
    fn places(&self, width: f64) -> Vec<(f64, usize)> {
        let (mut x, mut row) = (0.0, 0);
        let mut places = Vec::new();
        for label in &self.labels {
            let needed = Self::SAMPLE + text_width(label, 11.5) + 14.0;
            if x > 0.0 && x + needed > width {
                (x, row) = (0.0, row + 1);
            }
            places.push((x, row));
            x += needed;
        }
        places
    }

    fn draw(&self, canvas: &mut Canvas, entry: &Entry, x: f64, y: f64) {
        let sample = Self::SAMPLE - 8.0;
        let (Entry::Points(label) | Entry::Line(label)) = entry;
        let (colour, marker) = self.look_of(label);
        canvas.line(&[(x, y), (x + sample, y)], 1.8, colour);
        if matches!(entry, Entry::Points(_)) {
            marker.draw(canvas, x + sample / 2.0, y, colour);
        }
        canvas.text(x + Self::SAMPLE, y, label, TextLook { colour: INK, ..TextLook::new(11.5) });
    }
}

#[cfg(test)]
mod tests {
    use super::super::well_formed::texts;
    use super::*;

    fn axis(label: &str, logarithmic: bool) -> Axis {
        Axis { label: label.to_owned(), logarithmic, ..Axis::default() }
    }

    fn point(x: f64, y: f64) -> Point {
        Point { x, y, interval: Some((y - 1.0, y + 1.0)) }
    }

    fn panel(title: &str, points: Vec<Point>, line: Vec<(f64, f64)>) -> Panel {
        Panel {
            title: title.to_owned(),
            series: vec![Series { name: "2 instances".to_owned(), points, line }],
            references: vec![Reference::Level(10.0, "alone".to_owned())],
        }
    }

    fn chart(columns: usize, panels: Vec<Panel>) -> Chart {
        let (x, y) = (axis("requests/s per instance", false), axis("mean service time, ms", false));
        Chart { title: "Curves".to_owned(), subtitle: "seed 1".to_owned(), x, y, columns, panels }
    }

    #[test]
    fn says_titles_units_and_legend_once() {
        let panels = vec![
            panel("a beside b", vec![point(5.0, 11.0), point(20.0, 14.0)], vec![(5.0, 11.0), (20.0, 14.0)]),
            panel("a beside c", Vec::new(), Vec::new()),
        ];
        let chart = chart(2, panels);
        let said = texts(&chart.picture()).unwrap();
        let count = |wanted: &str| said.iter().filter(|text| *text == wanted).count();
        for once in ["Curves", "seed 1", "a beside b", "a beside c", "2 instances", "alone", "no measurement"] {
            assert_eq!(count(once), 1, "{once} in {said:?}");
        }
        assert_eq!((count("mean service time, ms"), count("requests/s per instance")), (1, 2));
        let tip = "2 instances: requests/s per instance 20, mean service time, ms 14 [13 – 15]";
        assert_eq!(count(tip), 1, "{said:?}");
        // On a page each panel is a picture of its own, with both axes named.
        let parts = chart.parts();
        assert_eq!((parts.panels.len(), parts.legend.len()), (2, 1));
        for picture in &parts.panels {
            let said = texts(picture).unwrap();
            assert!(said.iter().any(|text| text == "mean service time, ms"), "{said:?}");
        }
    }

    #[test]
    fn logarithms_names_and_references_are_there() {
        let panel = Panel {
            title: "p<95".to_owned(),
            series: vec![
                Series::marked("one", vec![(100.0, 0.08), (1000.0, 0.027)]),
                Series::line("two", vec![(100.0, f64::NAN)]),
            ],
            references: vec![Reference::Level(0.03, "noise".to_owned()), Reference::Position(300.0, "here".to_owned())],
        };
        let chart = Chart::row("error", axis("runs", true), axis("median", true), vec![panel]);
        let said = texts(&chart.picture()).unwrap();
        for label in ["error", "p<95", "one", "two", "noise", "here", "runs", "median", "1000", "0.05"] {
            assert!(said.iter().any(|text| text == label), "{label}: {said:?}");
        }
    }

    #[test]
    fn odd_names_and_numbers_stay_well_formed() {
        let odd = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, -0.0, 1e-310];
        let mut points = Vec::new();
        for x in odd {
            for y in odd {
                points.push(Point { x, y, interval: Some((y, x)) });
            }
        }
        let line: Vec<(f64, f64)> = odd.into_iter().zip(odd.into_iter().rev()).collect();
        let mut panel = panel("<&\"'> \u{7}", points, line);
        panel.references = vec![Reference::Level(f64::NAN, String::new()), Reference::Diagonal(String::new())];
        for logarithmic in [false, true] {
            let mut chart = chart(3, vec![panel.clone()]);
            chart.x.logarithmic = logarithmic;
            chart.y.logarithmic = logarithmic;
            let said = texts(&chart.picture()).unwrap();
            assert!(said.iter().any(|text| text == "<&\"'>"), "{said:?}");
        }
        texts(&chart(0, Vec::new()).picture()).unwrap();
    }

    #[test]
    fn lines_are_cut_at_the_axes() {
        let square = (0.0, 10.0);
        assert_eq!(clipped((2.0, 2.0), (8.0, 4.0), square, square), Some(((2.0, 2.0), (8.0, 4.0))));
        assert_eq!(clipped((-10.0, 5.0), (5.0, 20.0), square, square), None);
        assert_eq!(clipped((5.0, 5.0), (5.0, 25.0), square, square), Some(((5.0, 5.0), (5.0, 10.0))));
        assert_eq!(clipped((5.0, f64::NAN), (5.0, 25.0), square, square), None);
        let scale = Scale::new(square, 0.0, 10.0);
        let plain = Axis::default();
        let space = Space { x: &plain, y: &plain, across: scale, up: scale };
        let pieces = space.visible_pieces(&[(0.0, 5.0), (2.0, 5.0), (4.0, 15.0), (6.0, 5.0), (8.0, 5.0)]);
        assert_eq!(pieces, [vec![(0.0, 5.0), (2.0, 5.0), (3.0, 10.0)], vec![(5.0, 10.0), (6.0, 5.0), (8.0, 5.0)]]);
    }

    #[test]
    fn a_wild_curve_does_not_squash_the_measurements() {
        let wild = panel("p", vec![point(1.0, 10.0), point(2.0, 12.0)], vec![(1.0, 10.0), (2.0, 1e6)]);
        let (low, high) = y_ends(&Axis::default(), &[wild]);
        assert!(low < 9.0 && high < 18.0, "{low}..{high}");
    }

    #[test]
    fn figures_are_short() {
        for (x, text) in [(0.0, "0"), (0.012_345, "0.01235"), (12.345, "12.35"), (12_345.0, "12345"), (100.0, "100")] {
            assert_eq!(short(x), text);
        }
    }
}
