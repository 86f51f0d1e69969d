use anyhow::{Result, ensure};
use plotters::style::RGBColor;

use super::canvas::{Align, Canvas, GREY, INK, LIGHT_GREY, TextLook, draw, fitted, text_width};
use super::scale::{Scale, extent};

/// One line of a chart.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Its name in the legend; series of one name have one colour in all panels.
    pub name: String,
    /// (x, y) from left to right.
    pub points: Vec<(f64, f64)>,
    /// Whether the points are marked.
    pub marks: bool,
}

/// A dashed line with a name, across a panel.
#[derive(Debug, Clone)]
pub enum Reference {
    /// At a y.
    Level(f64, String),
    /// At an x.
    Position(f64, String),
    /// Where y = x.
    Diagonal(String),
}

/// An axis.
#[derive(Debug, Clone, Default)]
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

/// One panel of a chart.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// Title.
    pub title: String,
    /// Lines.
    pub series: Vec<Series>,
    /// Dashed lines.
    pub references: Vec<Reference>,
}

const PANEL: (f64, f64) = (330.0, 250.0);
const LEFT: f64 = 62.0;
const RIGHT: f64 = 14.0;
const TOP: f64 = 60.0;
const BOTTOM: f64 = 54.0;
const LEGEND: f64 = 20.0;

/// Okabe and Ito's palette, then greys and browns.
const COLOURS: [RGBColor; 12] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(120, 94, 60),
    RGBColor(90, 90, 90),
    RGBColor(140, 120, 200),
    RGBColor(160, 160, 160),
    RGBColor(100, 140, 40),
    RGBColor(150, 60, 60),
];

/// Lines in panels side by side, with one legend, equal axes and dashed lines of reference.
///
/// # Errors
/// No panel has a point, or the picture cannot be drawn.
pub fn chart(title: &str, panels: &[Panel], x: &Axis, y: &Axis) -> Result<String> {
    let points = || panels.iter().flat_map(|panel| &panel.series).flat_map(|series| &series.points);
    let level = |reference: &Reference| match reference {
        Reference::Level(at, _) => Some(*at),
        _ => None,
    };
    let levels = panels.iter().flat_map(|panel| &panel.references).filter_map(level);
    let horizontal = ends(x, points().map(|point| point.0));
    let vertical = ends(y, points().map(|point| point.1).chain(levels));
    ensure!(horizontal.is_some() && vertical.is_some(), "there is nothing to draw");
    let (horizontal, vertical) = (horizontal.unwrap_or((0.0, 1.0)), vertical.unwrap_or((0.0, 1.0)));

    let mut names: Vec<&str> = Vec::new();
    for series in panels.iter().flat_map(|panel| &panel.series) {
        if !names.contains(&series.name.as_str()) {
            names.push(&series.name);
        }
    }
    let width = PANEL.0 * panels.len() as f64 + 10.0;
    let rows = legend_rows(&names, width);
    let height = TOP + PANEL.1 + BOTTOM + LEGEND * rows.len() as f64;
    draw(width, height, |canvas| {
        canvas.text(12.0, 20.0, title, TextLook { bold: true, ..TextLook::new(14.0) })?;
        for (i, panel) in panels.iter().enumerate() {
            let from = PANEL.0 * i as f64;
            let across = Scale::new(horizontal, from + LEFT, from + PANEL.0 - RIGHT);
            let up = Scale::new(vertical, TOP + PANEL.1, TOP);
            frame(canvas, &across, &up, x, y, &panel.title)?;
            for reference in &panel.references {
                dashed(canvas, &across, &up, x, y, reference)?;
            }
            for series in &panel.series {
                let place = names.iter().position(|name| *name == series.name).unwrap_or_default();
                line(canvas, series, &across, &up, x, y, COLOURS[place % COLOURS.len()])?;
            }
            let middle = (across.pixel(horizontal.0) + across.pixel(horizontal.1)) / 2.0;
            let look = TextLook { align: Align::Middle, ..TextLook::new(11.0) };
            canvas.text(middle, TOP + PANEL.1 + 36.0, &x.label, look)?;
            if i == 0 {
                let look = TextLook { align: Align::Middle, upright: true, ..TextLook::new(11.0) };
                canvas.text(14.0, TOP + PANEL.1 / 2.0, &y.label, look)?;
            }
        }
        for (row, entries) in rows.iter().enumerate() {
            let middle = TOP + PANEL.1 + BOTTOM + LEGEND * row as f64 + 6.0;
            for (place, at) in entries {
                canvas.line(&[(*at, middle), (at + 18.0, middle)], 2.4, COLOURS[place % COLOURS.len()])?;
                canvas.text(at + 24.0, middle, names[*place], TextLook::new(11.0))?;
            }
        }
        Ok(())
    })
}

/// Which series stands where in which row of the legend.
fn legend_rows(names: &[&str], width: f64) -> Vec<Vec<(usize, f64)>> {
    let mut rows = vec![Vec::new()];
    let mut at = 12.0;
    for (place, name) in names.iter().enumerate() {
        let wide = text_width(name, 11.0) + 40.0;
        if at + wide > width && at > 12.0 {
            rows.push(Vec::new());
            at = 12.0;
        }
        if let Some(row) = rows.last_mut() {
            row.push((place, at));
        }
        at += wide;
    }
    rows
}

/// Ends of an axis, as logarithms where it is logarithmic.
fn ends(axis: &Axis, values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    let mapped = values.filter(|value| !axis.logarithmic || *value > 0.0).map(|value| coordinate(axis, value));
    let (low, high) = match axis.ends {
        Some((low, high)) => (coordinate(axis, low), coordinate(axis, high)),
        None => extent(mapped)?,
    };
    let room = if axis.ends.is_some() { 0.0 } else { 0.04 * (high - low) };
    Some(if high > low { (low - room, high + room) } else { (low - 0.5, high + 0.5) })
}

fn coordinate(axis: &Axis, value: f64) -> f64 {
    if axis.logarithmic { value.log10() } else { value }
}

fn ticks(axis: &Axis, scale: &Scale) -> Vec<(f64, String)> {
    if !axis.names.is_empty() {
        return axis.names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
    }
    if !axis.logarithmic {
        return scale.ticks(5);
    }
    let (low, high) = (scale.low.floor() as i32, scale.high.ceil() as i32);
    let steps: &[f64] = if scale.high - scale.low < 2.5 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let values = (low..=high).flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)));
    let label = |value: f64| {
        let decimals = (-value.log10().floor()).clamp(0.0, 9.0) as usize;
        format!("{value:.decimals$}")
    };
    values.map(|value| (value.log10(), label(value))).filter(|(at, _)| (scale.low..=scale.high).contains(at)).collect()
}

fn frame(canvas: &Canvas<'_>, across: &Scale, up: &Scale, x: &Axis, y: &Axis, title: &str) -> Result<()> {
    let (left, right) = (across.pixel(across.low), across.pixel(across.high));
    let (bottom, top) = (up.pixel(up.low), up.pixel(up.high));
    canvas.text((left + right) / 2.0, top - 12.0, title, TextLook { align: Align::Middle, ..TextLook::new(12.0) })?;
    for (at, label) in ticks(y, up) {
        canvas.line(&[(left, up.pixel(at)), (right, up.pixel(at))], 0.8, LIGHT_GREY)?;
        let look = TextLook { align: Align::Right, colour: GREY, ..TextLook::new(10.0) };
        canvas.text(left - 6.0, up.pixel(at), &label, look)?;
    }
    let marks = ticks(x, across);
    let room = (right - left) / marks.len().max(1) as f64;
    for (at, label) in marks {
        canvas.line(&[(across.pixel(at), bottom), (across.pixel(at), bottom + 4.0)], 0.8, GREY)?;
        let look = TextLook { align: Align::Middle, colour: GREY, ..TextLook::new(10.0) };
        canvas.text(across.pixel(at), bottom + 15.0, &fitted(&label, 10.0, 1.3 * room.max(26.0)), look)?;
    }
    canvas.line(&[(left, bottom), (right, bottom)], 1.0, GREY)
}

fn dashed(canvas: &Canvas<'_>, across: &Scale, up: &Scale, x: &Axis, y: &Axis, reference: &Reference) -> Result<()> {
    let look = TextLook { colour: GREY, ..TextLook::new(9.5) };
    let (left, right) = (across.pixel(across.low), across.pixel(across.high));
    let (bottom, top) = (up.pixel(up.low), up.pixel(up.high));
    match reference {
        Reference::Level(value, name) => {
            let at = coordinate(y, *value);
            if !(up.low..=up.high).contains(&at) {
                return Ok(());
            }
            canvas.dashes(left, right, up.pixel(at), INK)?;
            canvas.text(right - 4.0, up.pixel(at) - 7.0, name, TextLook { align: Align::Right, ..look })
        }
        Reference::Position(value, name) => {
            let at = coordinate(x, *value);
            if !(across.low..=across.high).contains(&at) {
                return Ok(());
            }
            let at = across.pixel(at);
            let mut y = top;
            while y < bottom {
                canvas.line(&[(at, y), (at, (y + 5.0).min(bottom))], 1.2, INK)?;
                y += 10.0;
            }
            canvas.text(at + 3.0, top + 6.0, name, look)
        }
        Reference::Diagonal(name) => {
            let (low, high) = (across.low.max(up.low), across.high.min(up.high));
            if high <= low {
                return Ok(());
            }
            const PIECES: usize = 24;
            let at = |i: usize| {
                let value = low + (high - low) * i as f64 / (2 * PIECES) as f64;
                (across.pixel(value), up.pixel(value))
            };
            for piece in 0..PIECES {
                canvas.line(&[at(2 * piece), at(2 * piece + 1)], 1.2, INK)?;
            }
            let (x, y) = at(PIECES / 2);
            canvas.text(x + 8.0, y + 8.0, name, look)
        }
    }
}

fn line(
    canvas: &Canvas<'_>,
    series: &Series,
    across: &Scale,
    up: &Scale,
    x: &Axis,
    y: &Axis,
    colour: RGBColor,
) -> Result<()> {
    // What lies beyond the ends is drawn at the edge.
    let pixel = |(px, py): &(f64, f64)| {
        let (px, py) = (coordinate(x, *px), coordinate(y, *py));
        let inside = px.is_finite() && !py.is_nan() && (across.low..=across.high).contains(&px);
        inside.then(|| (across.pixel(px), up.pixel(py.clamp(up.low, up.high))))
    };
    let points: Vec<(f64, f64)> = series.points.iter().filter_map(pixel).collect();
    if points.len() > 1 {
        canvas.line(&points, 1.8, colour)?;
    }
    if series.marks || points.len() == 1 {
        for (x, y) in points {
            canvas.circle(x, y, 3.0, colour)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::well_formed::texts;

    #[test]
    fn lines_legends_and_references_are_there() {
        let series =
            |name: &str, points: &[(f64, f64)]| Series { name: name.to_owned(), points: points.to_vec(), marks: true };
        let panel = Panel {
            title: "p<95".to_owned(),
            series: vec![series("one", &[(100.0, 0.08), (1000.0, 0.027)]), series("two", &[(100.0, f64::NAN)])],
            references: vec![
                Reference::Level(0.003, "noise".to_owned()),
                Reference::Position(300.0, "here".to_owned()),
            ],
        };
        let axis = |label: &str| Axis { label: label.to_owned(), logarithmic: true, ..Axis::default() };
        let svg = chart("error", &[panel], &axis("runs"), &axis("median")).unwrap();
        let texts = texts(&svg).unwrap();
        for label in ["error", "p<95", "one", "two", "noise", "here", "runs", "median", "1000", "0.01"] {
            assert!(texts.iter().any(|text| text == label), "{label}: {texts:?}");
        }
    }

    #[test]
    fn nothing_to_draw_is_told() {
        assert!(chart("x", &[Panel::default()], &Axis::default(), &Axis::default()).is_err());
    }
}
