//! The tables of the README.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;
use neuro_data::wilson_interval;
use serde_json::{Value, json};

pub(super) fn word<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("?")
}

pub(super) fn profiler_table(path: &Path) -> Result<String> {
    let evaluation: Value = serde_json::from_slice(&fs::read(path)?)?;
    let mut text = format!(
        "Relative errors on {} unseen random runs of `edge-a`, %. Noise floor: the median error that remains of a perfect prediction.\n\n",
        evaluation["test_runs"]
    );
    text += "| profiler | statistic | tenants | median | p90 | signed median | broken promises | noise floor |\n|---|---|---|---|---|---|---|---|\n";
    for row in evaluation["models"].as_array().into_iter().flatten() {
        let percent = |field: &str| row[field].as_f64().map_or("–".to_owned(), |x| format!("{:.1}", 100.0 * x));
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} |",
            word(row, "name"),
            word(row, "target"),
            row["count"],
            percent("median"),
            percent("p90"),
            percent("signed_median"),
            percent("broken_rate"),
            percent("noise_floor")
        );
    }
    Ok(text)
}

/// Some rows as one line of a table.
struct Group<'a>(Vec<&'a Value>);

impl Group<'_> {
    fn values(&self, field: &str) -> Vec<f64> {
        self.0.iter().filter_map(|row| row[field].as_f64()).collect()
    }

    fn sum(&self, field: &str) -> f64 {
        self.values(field).iter().sum::<f64>() + 0.0
    }

    /// Instances; where a plan is missing, how many have one.
    fn plans(&self) -> String {
        let (plans, instances) = (self.values("served").len(), self.0.len());
        if plans == instances { instances.to_string() } else { format!("{plans} of {instances}") }
    }

    /// Mean and, of several, least and most.
    fn mean(&self, field: &str, scale: f64, decimals: usize) -> String {
        let values: Vec<f64> = self.values(field).iter().map(|value| value * scale + 0.0).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let (least, most) =
            values.iter().fold((f64::INFINITY, f64::NEG_INFINITY), |(l, m), value| (l.min(*value), m.max(*value)));
        match values.len() {
            0 => "–".to_owned(),
            1 => format!("{mean:.decimals$}"),
            _ => format!("{mean:.decimals$} [{least:.decimals$}–{most:.decimals$}]"),
        }
    }

    /// Requests that are served, of those of the plans that there are, %.
    fn served(&self) -> String {
        let asked: f64 =
            self.0.iter().filter(|row| row["served"].is_number()).filter_map(|row| row["requests"].as_f64()).sum();
        if asked > 0.0 { format!("{:.1}", 100.0 * self.sum("served") / asked) } else { "–".to_owned() }
    }

    /// Promises that are broken, with Wilson's 95 % interval, %.
    fn broken(&self) -> String {
        let (broken, served) = (self.sum("violated"), self.sum("served"));
        if served == 0.0 {
            return "–".to_owned();
        }
        let (low, high) = wilson_interval(broken, served);
        format!("{:.1} [{:.1}–{:.1}]", 100.0 * broken / served, 100.0 * low, 100.0 * high)
    }
}

/// The groups of rows that agree in some fields, in the order in which they first occur.
fn groups<'a>(rows: impl Iterator<Item = &'a Value>, fields: &[&str]) -> Vec<(Vec<&'a Value>, Group<'a>)> {
    let mut groups: Vec<(Vec<&Value>, Group<'_>)> = Vec::new();
    for row in rows {
        let key: Vec<&Value> = fields.iter().map(|field| &row[field]).collect();
        match groups.iter_mut().find(|(known, _)| *known == key) {
            Some((_, group)) => group.0.push(row),
            None => groups.push((key, Group(vec![row]))),
        }
    }
    groups
}

fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

pub(super) fn summary_table(rows: &[Value]) -> String {
    let mut text =
        String::from("| method | instances | revenue | kept | served % | broken % |\n|---|---|---|---|---|---|\n");
    for (key, group) in groups(rows.iter().filter(|row| row["servers"] != json!(1)), &["method"]) {
        let _ = writeln!(
            text,
            "| {} | {} | {:.1} | {:.1} | {} | {} |",
            text_of(key[0]),
            group.plans(),
            group.sum("revenue"),
            group.sum("revenue_kept"),
            group.served(),
            group.broken(),
        );
    }
    text
}

pub(super) fn method_table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| scenario | servers | method | instances | revenue | kept | served % | broken % | gap % | seconds |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let mut groups = groups(rows.iter(), &["scenario", "servers", "method"]);
    groups.sort_by_key(|(key, _)| (text_of(key[0]), key[1].as_u64()));
    for (key, group) in groups {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
            text_of(key[0]),
            text_of(key[1]),
            text_of(key[2]),
            group.plans(),
            group.mean("revenue", 1.0, 1),
            group.mean("revenue_kept", 1.0, 1),
            group.served(),
            group.broken(),
            group.mean("gap", 100.0, 2),
            group.mean("seconds", 1.0, 2),
        );
    }
    text
}

pub(super) fn ablation_table(rows: &[Value]) -> String {
    let mut text = String::from(
        "| method | profiler | instances | revenue | kept | broken % | gap % |\n|---|---|---|---|---|---|---|\n",
    );
    let mut groups = groups(rows.iter(), &["method", "profiler"]);
    groups.sort_by_key(|(key, _)| text_of(key[0]));
    for (key, group) in groups {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {:.1} | {:.1} | {} | {} |",
            text_of(key[0]),
            text_of(key[1]),
            group.plans(),
            group.sum("revenue"),
            group.sum("revenue_kept"),
            group.broken(),
            group.mean("gap", 100.0, 2),
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_a_line_for_each_group() {
        let row = |method: &str, revenue: f64| {
            json!({ "scenario": "s1", "servers": 2, "requests": 30, "method": method, "revenue": revenue,
                "revenue_kept": revenue / 2.0, "served": 10, "violated": 1, "gap": null, "seconds": 1.0 })
        };
        let rows = [row("a", 10.0), row("b", 1.0), row("a", 20.0)];
        let table = method_table(&rows);
        assert!(table.contains("| s1 | 2 | a | 2 | 15.0 [10.0–20.0] | 7.5 [5.0–10.0] | 33.3 | 10.0 ["), "{table}");
        assert_eq!(table.lines().count(), 4);
        assert!(summary_table(&rows).contains("| a | 2 | 30.0 | 15.0 |"));
    }
}
