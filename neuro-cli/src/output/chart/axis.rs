use super::super::scale::{Scale, extent};
use super::{Panel, Point, Reference};

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

/// A value as a position on its axis: its decimal logarithm where that is logarithmic.
pub(super) fn coordinate(axis: &Axis, value: f64) -> f64 {
    if axis.logarithmic { value.log10() } else { value }
}

pub(super) fn x_ends(axis: &Axis, panels: &[Panel]) -> (f64, f64) {
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

pub(super) fn y_ends(axis: &Axis, panels: &[Panel]) -> (f64, f64) {
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
    // What was measured as positive is not drawn below zero for the sake of a line.
    let positive = low >= 0.0;
    let slack = 0.5 * (high - low);
    let reach = lines().map(|y| y.clamp(low - slack, high + slack));
    let (low, high) = extent(reach.chain([low, high])).unwrap_or((low, high));
    // At least a tenth of the values, so that noise does not fill the panel.
    let least = if axis.logarithmic { 0.0 } else { 0.1 * low.abs().max(high.abs()) };
    let missing = (least - (high - low)).max(0.0);
    let (padded_low, padded_high) = padded(low - 0.5 * missing, high + 0.5 * missing, 0.06);
    (if positive && !axis.logarithmic { padded_low.max(0.0) } else { padded_low }, padded_high)
}

/// The range with a share of its width on either side, and some width in any case.
fn padded(low: f64, high: f64, share: f64) -> (f64, f64) {
    let width = high - low;
    let pad = if width > 0.0 && width.is_finite() { share * width } else { 0.5 * low.abs().clamp(1e-9, 1e300) };
    (low - pad, high + pad)
}

/// Round values on the axis with their labels; `whole` numbers only, if so.
pub(super) fn ticks(axis: &Axis, scale: &Scale, whole: bool) -> Vec<(f64, String)> {
    if !axis.names.is_empty() {
        return axis.names.iter().enumerate().map(|(i, name)| (i as f64, name.clone())).collect();
    }
    if !axis.logarithmic {
        return scale.ticks(6, whole);
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

#[cfg(test)]
mod tests {
    use super::super::Series;
    use super::*;

    #[test]
    fn a_wild_curve_does_not_squash_the_measurements() {
        let point = |x, y| Point { x, y, interval: Some((y - 1.0, y + 1.0)) };
        let points = vec![point(1.0, 10.0), point(2.0, 12.0)];
        let series = vec![Series { name: "s".to_owned(), points, line: vec![(1.0, 10.0), (2.0, 1e6)] }];
        let wild =
            Panel { title: "p".to_owned(), series, references: vec![Reference::Level(10.0, "alone".to_owned())] };
        let (low, high) = y_ends(&Axis::default(), &[wild]);
        assert!(low < 9.0 && high < 18.0, "{low}..{high}");
    }
}
