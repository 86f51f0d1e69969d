//! Diagrams of points and lines in panels.

mod axis;
mod legend;
mod space;

pub use axis::Axis;

use axis::{ticks, x_ends, y_ends};
use legend::Legend;
use space::Space;

use super::canvas::{Align, Canvas, Colour, GREY, LIGHT_GREY, TextLook, draw, fitted, text_width};
use super::scale::Scale;

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
        let colours = legend.entries.iter().map(|entry| (entry.name.clone(), legend.look_of(&entry.name).0));
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
        for (at, label) in ticks(&self.y, &up, false) {
            let y = up.pixel(at);
            canvas.line(&[(frame.left, y), (frame.right, y)], 0.7, LIGHT_GREY);
            canvas.text(frame.left - 6.0, y, &label, TextLook { align: Align::Right, ..tick });
        }
        let points = || self.panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
        let whole = points().next().is_some() && points().all(|point| point.x.fract() == 0.0);
        let marks = ticks(&self.x, &across, whole);
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
        // Whiskers of series measured at the same x stand side by side.
        let shift = |index: usize, series: &Series| {
            let whiskers = series.points.iter().any(|point| point.interval.is_some());
            if whiskers { 3.0 * (index as f64 - 0.5 * (panel.series.len() - 1) as f64) } else { 0.0 }
        };
        for (index, series) in panel.series.iter().enumerate() {
            let (colour, _) = legend.look_of(&series.name);
            let shift = shift(index, series);
            for mut piece in space.visible_pieces(&series.line) {
                piece.iter_mut().for_each(|(x, _)| *x += shift);
                if series.points.is_empty() {
                    canvas.mark(&series.name, |canvas| canvas.line(&piece, 1.8, colour));
                } else {
                    canvas.line(&piece, 1.8, colour);
                }
            }
        }
        for (index, series) in panel.series.iter().enumerate() {
            let (colour, marker) = legend.look_of(&series.name);
            let shift = shift(index, series);
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
    fn figures_are_short() {
        for (x, text) in [(0.0, "0"), (0.012_345, "0.01235"), (12.345, "12.35"), (12_345.0, "12345"), (100.0, "100")] {
            assert_eq!(short(x), text);
        }
    }
}
