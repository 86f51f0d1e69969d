//! Placement methods over numbers of servers.

use std::collections::BTreeSet;
use std::path::Path;

use neuro_data::wilson_interval;
use neuro_opt::Method;

use super::inputs::ScalingRow;
use super::page::{Cell, Page, named};
use crate::output::{Axis, Chart, Panel, Point, Series, extent};

/// What is compared.
struct Measure {
    name: &'static str,
    title: &'static str,
    label: &'static str,
    logarithmic: bool,
    of: Quantity,
}

/// How the rows of several seeds become one point.
enum Quantity {
    /// A figure a row: their mean, with the least and the most of them.
    Figure(fn(&ScalingRow) -> Option<f64>),
    /// How many of how many a row: the share of all, in percent, with Wilson's interval.
    Share(fn(&ScalingRow) -> Option<(f64, f64)>),
}

const MEASURES: [Measure; 6] = [
    Measure {
        name: "revenue",
        title: "Revenue",
        label: "revenue",
        logarithmic: false,
        of: Quantity::Figure(|row| row.revenue),
    },
    Measure {
        name: "revenue-kept",
        title: "Revenue of the promises that were kept in replay",
        label: "revenue kept",
        logarithmic: false,
        of: Quantity::Figure(|row| row.revenue_kept),
    },
    Measure {
        name: "acceptance",
        title: "Acceptance",
        label: "requests served, %",
        logarithmic: false,
        of: Quantity::Figure(|row| Some(100.0 * row.served? / row.requests as f64)),
    },
    Measure {
        name: "seconds",
        title: "Execution time",
        label: "seconds",
        logarithmic: true,
        of: Quantity::Figure(|row| row.seconds),
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
        title: "Proved gap of the methods whose bound holds for every placement",
        label: "(bound − revenue) / revenue, %",
        logarithmic: false,
        of: Quantity::Figure(|row| row.gap.filter(|_| bounds_all(&row.method)).map(|gap| 100.0 * gap)),
    },
];

/// Promises that were broken in replay, and promises.
fn broken(row: &ScalingRow) -> Option<(f64, f64)> {
    Some((row.violated?, row.served?))
}

/// Whether a method bounds what is possible under the profilers: not so the programs on curves, whose bounds are of other problems.
fn bounds_all(method: &str) -> bool {
    // What follows a colon is the profiler that it decides by.
    let name = method.split(':').next().unwrap_or(method);
    name.parse::<Method>().is_ok_and(|method| method.proves_bound() && method.keeps_promises())
}

impl Quantity {
    /// The point of some rows and its interval; `None` where nothing is known.
    fn of(&self, rows: &[&ScalingRow]) -> Option<(f64, Option<(f64, f64)>)> {
        match self {
            Self::Figure(figure) => {
                let values: Vec<f64> = rows.iter().filter_map(|row| figure(row)).collect();
                let mean = mean(&values)?;
                let (least, most) = extent(values.iter().copied())?;
                Some((mean, (values.len() > 1).then_some((least, most))))
            }
            Self::Share(counts) => {
                let (hits, of) =
                    rows.iter().filter_map(|row| counts(row)).fold((0.0, 0.0), |(hits, of), (h, o)| (hits + h, of + o));
                let (low, high) = wilson_interval(hits, of);
                (of > 0.0).then(|| (100.0 * hits / of, Some((100.0 * low, 100.0 * high))))
            }
        }
    }
}

pub(super) fn show(page: &mut Page, path: &Path, rows: &[ScalingRow]) {
    page.section(&format!("Methods compared {}", named(path)));
    let seeds: BTreeSet<u64> = rows.iter().map(|row| row.seed).collect();
    page.paragraph(&match seeds.len() {
        1 => "One seed. The whiskers of shares are Wilson's 95 % intervals, as if promises were independent.".to_owned(),
        count => format!(
            "Means over {count} seeds, with the least and the most as whiskers. Shares of promises are of all seeds together; \
             their whiskers are Wilson's 95 % intervals, as if promises were independent."
        ),
    });
    for measure in &MEASURES {
        if rows.iter().any(|row| measure.of.of(&[row]).is_some()) {
            page.chart(&format!("scaling-{}", measure.name), &chart(measure, rows));
        }
    }
    page.table("Means over the seeds", &HEADER, means(rows));
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
                Some(Point { x: servers as f64, y, interval })
            });
            Series::measured(method, points.collect())
        });
        Panel { title: scenario.to_owned(), series: series.collect(), references: Vec::new() }
    };
    let axis = |label: &str| Axis { label: label.to_owned(), ..Axis::default() };
    let y = Axis { logarithmic: measure.logarithmic, ..axis(measure.label) };
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
                let average = |value: fn(&ScalingRow) -> Option<f64>| {
                    let values: Vec<f64> = of.iter().filter_map(|row| value(row)).collect();
                    mean(&values)
                };
                let broken = Quantity::Share(broken).of(&of);
                table.push(vec![
                    Cell::text(scenario),
                    Cell::count(*servers as u64),
                    Cell::text(method),
                    Cell::count(of.len() as u64),
                    Cell::figure(average(|row| row.revenue), 1),
                    Cell::figure(average(|row| row.bound), 1),
                    Cell::percent(average(|row| row.gap), 2),
                    Cell::percent(average(|row| Some(row.served? / row.requests as f64)), 1),
                    Cell::seconds(average(|row| row.seconds)),
                    Cell::share(broken),
                    Cell::figure(average(|row| row.revenue_kept), 1),
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

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(seed: u64, revenue: f64, served: f64, violated: f64) -> ScalingRow {
        let row = serde_json::json!({
            "scenario": "s1", "servers": 2, "requests": 30, "seed": seed, "method": "lns",
            "revenue": revenue, "served": served, "violated": violated,
        });
        serde_json::from_value(row).unwrap()
    }

    #[test]
    fn figures_have_their_range_and_shares_the_interval_of_all() {
        let rows = [row(1, 10.0, 20.0, 2.0), row(2, 14.0, 30.0, 0.0)];
        let rows: Vec<&ScalingRow> = rows.iter().collect();
        let revenue = Quantity::Figure(|row| row.revenue);
        assert_eq!(revenue.of(&rows), Some((12.0, Some((10.0, 14.0)))));
        assert_eq!(revenue.of(&rows[..1]), Some((10.0, None)));
        assert_eq!(revenue.of(&[]), None);
        let (share, interval) = Quantity::Share(broken).of(&rows).unwrap();
        let (low, high) = wilson_interval(2.0, 50.0);
        assert_eq!((share, interval), (4.0, Some((100.0 * low, 100.0 * high))));
        assert_eq!(Quantity::Share(broken).of(&[]), None);
    }
}
