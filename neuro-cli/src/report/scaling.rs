//! Placement methods over numbers of servers.

use std::collections::BTreeSet;
use std::path::Path;

use super::inputs::ScalingRow;
use super::page::{Cell, Page, named};
use crate::output::{Axis, Chart, Panel, Point, Series};
use crate::wilson;

/// The 97.5 % quantiles of Student's t for 1 to 30 degrees of freedom, after which the normal one is near enough.
const STUDENT: [f64; 30] = [
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
];

/// What is compared.
struct Measure {
    name: &'static str,
    title: &'static str,
    label: &'static str,
    logarithmic: bool,
    of: Quantity,
}

/// What a row says of it.
enum Quantity {
    /// A figure, of which the mean over instances is shown.
    Mean(fn(&ScalingRow) -> Option<f64>),
    /// So many of so many: a share in percent, of all instances together.
    Share(fn(&ScalingRow) -> Option<(f64, f64)>),
}

impl Quantity {
    /// The value of some rows, and its 95 % interval: Student's of a mean, of two rows or more, and Wilson's of a share.
    fn of(&self, rows: &[&ScalingRow]) -> Option<(f64, Option<(f64, f64)>)> {
        match self {
            Self::Mean(value) => {
                let values: Vec<f64> = rows.iter().filter_map(|row| value(row)).collect();
                let (mean, half) = mean_and_half_width(&values)?;
                Some((mean, half.map(|half| (mean - half, mean + half))))
            }
            Self::Share(count) => {
                let counts = rows.iter().filter_map(|row| count(row));
                let (hits, of) = counts.fold((0.0, 0.0), |(hits, all), (h, a)| (hits + h, all + a));
                let (low, high) = wilson(hits, of)?;
                Some((100.0 * hits / of, Some((100.0 * low, 100.0 * high))))
            }
        }
    }
}

fn served(row: &ScalingRow) -> Option<(f64, f64)> {
    Some((row.served?, row.requests as f64))
}

fn broken(row: &ScalingRow) -> Option<(f64, f64)> {
    Some((row.violated?, row.served?))
}

const MEASURES: [Measure; 6] = [
    Measure {
        name: "revenue",
        title: "Revenue",
        label: "revenue",
        logarithmic: false,
        of: Quantity::Mean(|row| row.revenue),
    },
    Measure {
        name: "revenue-kept",
        title: "Revenue of the promises that were kept in replay",
        label: "revenue kept",
        logarithmic: false,
        of: Quantity::Mean(|row| row.revenue_kept),
    },
    Measure {
        name: "acceptance",
        title: "Acceptance",
        label: "requests served, %",
        logarithmic: false,
        of: Quantity::Share(served),
    },
    Measure {
        name: "seconds",
        title: "Execution time",
        label: "seconds",
        logarithmic: true,
        of: Quantity::Mean(|row| row.seconds),
    },
    Measure {
        name: "violations",
        title: "Promises broken in replay",
        label: "of the requests served, %",
        logarithmic: false,
        of: Quantity::Share(broken),
    },
    Measure {
        name: "gap",
        title: "Proved gap",
        label: "(bound − revenue) / revenue, %",
        logarithmic: false,
        of: Quantity::Mean(|row| row.gap.map(|gap| 100.0 * gap)),
    },
];

pub(super) fn show(page: &mut Page, path: &Path, rows: &[ScalingRow]) {
    page.section(&format!("Methods compared {}", named(path)));
    let seeds: BTreeSet<u64> = rows.iter().map(|row| row.seed).collect();
    page.paragraph(&match seeds.len() {
        1 => "One seed. The whiskers of shares are Wilson's 95 % intervals, as if requests were independent.".to_owned(),
        count => format!(
            "Means over {count} seeds with 95 % intervals of the mean (Student's t); shares of all their requests together with \
             Wilson's, as if requests were independent."
        ),
    });
    for measure in &MEASURES {
        if measure.of.of(&rows.iter().collect::<Vec<_>>()).is_some() {
            page.chart(&format!("scaling-{}", measure.name), &chart(measure, rows));
        }
    }
    page.table("Means over the seeds, and shares of all their requests", &HEADER, means(rows));
    let faults: Vec<Vec<Cell>> = rows
        .iter()
        .filter_map(|row| {
            let fault = Cell::text(row.fault.as_deref()?);
            let (servers, seed) = (Cell::count(row.servers as u64), Cell::count(row.seed));
            Some(vec![Cell::text(&row.scenario), servers, seed, Cell::text(&row.method), fault])
        })
        .collect();
    if !faults.is_empty() {
        page.table("What went wrong", &["scenario", "servers", "seed", "method", "fault"], faults);
    }
}

fn chart(measure: &Measure, rows: &[ScalingRow]) -> Chart {
    let panel = |scenario: &str| {
        let series = methods(rows).into_iter().map(|method| {
            let of = |row: &&ScalingRow| row.scenario == scenario && row.method == method;
            let servers: BTreeSet<usize> = rows.iter().filter(of).map(|row| row.servers).collect();
            let points = servers.into_iter().filter_map(|servers| {
                let at: Vec<&ScalingRow> = rows.iter().filter(of).filter(|row| row.servers == servers).collect();
                let (y, interval) = measure.of.of(&at)?;
                // Nothing here can be negative, and a logarithmic axis has no zero.
                let least = if measure.logarithmic { y / 100.0 } else { 0.0 };
                Some(Point { x: servers as f64, y, interval: interval.map(|(low, high)| (low.max(least), high)) })
            });
            Series::measured(method, points.collect())
        });
        Panel { title: scenario.to_owned(), series: series.collect(), references: Vec::new() }
    };
    let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
    let ends = matches!(measure.of, Quantity::Share(_)).then_some((0.0, 100.0));
    let y = Axis { logarithmic: measure.logarithmic, ends, ..axis(measure.label) };
    Chart::row(measure.title, axis("servers"), y, scenarios(rows).into_iter().map(panel).collect())
}

const HEADER: [&str; 11] = [
    "scenario",
    "servers",
    "method",
    "instances",
    "revenue",
    "bound",
    "gap",
    "accepted",
    "time",
    "broken",
    "revenue kept",
];

fn means(rows: &[ScalingRow]) -> Vec<Vec<Cell>> {
    let servers: BTreeSet<usize> = rows.iter().map(|row| row.servers).collect();
    let mut table = Vec::new();
    for scenario in scenarios(rows) {
        for servers in &servers {
            for method in methods(rows) {
                let is_it =
                    |row: &&ScalingRow| row.scenario == scenario && row.servers == *servers && row.method == method;
                let of: Vec<&ScalingRow> = rows.iter().filter(is_it).collect();
                if of.is_empty() {
                    continue;
                }
                let mean = |value: fn(&ScalingRow) -> Option<f64>| {
                    let values: Vec<f64> = of.iter().filter_map(|row| value(row)).collect();
                    mean_and_half_width(&values).map(|(mean, _)| mean)
                };
                let share = |count| Quantity::Share(count).of(&of).map(|(share, _)| share / 100.0);
                table.push(vec![
                    Cell::text(scenario),
                    Cell::count(*servers as u64),
                    Cell::text(method),
                    Cell::count(of.len() as u64),
                    Cell::figure(mean(|row| row.revenue), 1),
                    Cell::figure(mean(|row| row.bound), 1),
                    Cell::percent(mean(|row| row.gap), 2),
                    Cell::percent(share(served), 1),
                    Cell::seconds(mean(|row| row.seconds)),
                    Cell::percent(share(broken), 1),
                    Cell::figure(mean(|row| row.revenue_kept), 1),
                ]);
            }
        }
    }
    table
}

fn scenarios(rows: &[ScalingRow]) -> Vec<&str> {
    let all: BTreeSet<&str> = rows.iter().map(|row| row.scenario.as_str()).collect();
    all.into_iter().collect()
}

/// In the order in which they occur.
fn methods(rows: &[ScalingRow]) -> Vec<&str> {
    let mut methods: Vec<&str> = Vec::new();
    for row in rows {
        if !methods.contains(&row.method.as_str()) {
            methods.push(&row.method);
        }
    }
    methods
}

/// The mean, and half the width of its 95 % interval where there are two values or more.
fn mean_and_half_width(values: &[f64]) -> Option<(f64, Option<f64>)> {
    let count = values.len();
    if count == 0 {
        return None;
    }
    let mean = values.iter().sum::<f64>() / count as f64;
    let half = (count > 1).then(|| {
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1) as f64;
        STUDENT.get(count - 2).copied().unwrap_or(1.96) * (variance / count as f64).sqrt()
    });
    Some((mean, half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_pooled_and_their_intervals_stay_within_them() {
        let row = |served: f64, violated: f64| -> ScalingRow {
            serde_json::from_value(serde_json::json!({
                "scenario": "s1", "servers": 1, "requests": 20, "seed": 1, "method": "m", "served": served, "violated": violated,
            }))
            .unwrap()
        };
        let (one, other, none) = (row(1.0, 1.0), row(9.0, 4.0), row(0.0, 0.0));
        let (share, interval) = Quantity::Share(broken).of(&[&one, &other, &none]).unwrap();
        let (low, high) = interval.unwrap();
        assert!(share == 50.0 && low > 0.0 && high < 100.0, "{share} {low} {high}");
        assert_eq!(Quantity::Share(broken).of(&[&one]).unwrap().1.unwrap().1, 100.0);
        assert!(Quantity::Share(broken).of(&[&none]).is_none());
    }

    #[test]
    fn intervals_are_students() {
        assert_eq!(mean_and_half_width(&[]), None);
        assert_eq!(mean_and_half_width(&[2.0]), Some((2.0, None)));
        // Standard deviation 1 of three values: 4.303 / √3.
        let (mean, half) = mean_and_half_width(&[1.0, 2.0, 3.0]).unwrap();
        assert!((mean - 2.0).abs() < 1e-12 && (half.unwrap() - 4.303 / 3.0_f64.sqrt()).abs() < 1e-12);
    }
}
