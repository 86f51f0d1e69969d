//! `neuro data stats`: what a dataset covers.

use std::process::ExitCode;

use neuro_cli::output::{self, distributions, table};
use neuro_data::statistics::{Distribution, Statistics};
use neuro_data::{Sla, files::write_atomic};

use super::files::open_dataset;
use crate::args::StatsArgs;

pub(crate) fn stats(args: &StatsArgs) -> anyhow::Result<ExitCode> {
    let statistics = Statistics::of(&open_dataset(&args.dataset)?)?;
    if let Some(svg) = &args.svg {
        write_atomic(svg, distributions(&statistics)?.as_bytes())?;
    }
    if args.output.json {
        output::print(&format!("{}\n", serde_json::to_string(&statistics)?));
        return Ok(ExitCode::SUCCESS);
    }
    let seconds = |distribution: Option<Distribution>| {
        distribution.map_or("–".to_owned(), |d| format!("{} – {} – {}", short(d.min), short(d.p50), short(d.max)))
    };
    let rows = statistics.apps.iter().map(|app| {
        let [mean, p75, p95] = app.service_s.map(seconds);
        let range = |(low, high): (f64, f64)| {
            if low == high { short(low) } else { format!("{}–{}", short(low), short(high)) }
        };
        let (instances, rate) = (range(app.instances), range(app.rate));
        vec![app.app.clone(), app.tenants.to_string(), app.starved.to_string(), instances, rate, mean, p75, p95]
    });
    let header = ["app", "tenants", "starved", "instances", "rate", "mean s: least – median – most", "p75 s", "p95 s"];
    output::print(&table::render(&header, rows));
    let floor = |app: &str, sla| {
        let floor = statistics.noise_floor.iter().find(|floor| floor.app == app && floor.statistic == sla);
        floor.map_or("–".to_owned(), |floor| format!("{:.1} %", 100.0 * floor.median))
    };
    let repeated = statistics.apps.iter().filter(|app| statistics.noise_floor.iter().any(|floor| floor.app == app.app));
    let rows: Vec<_> = repeated
        .map(|app| [vec![app.app.clone()], Sla::ALL.map(|sla| floor(&app.app, sla)).to_vec()].concat())
        .collect();
    if !rows.is_empty() {
        output::print("Median difference of two runs of one configuration:\n");
        output::print(&table::render(&["app", "mean", "p75", "p95"], rows));
    }
    Ok(ExitCode::SUCCESS)
}

/// A figure in three significant digits.
fn short(x: f64) -> String {
    let decimals = if x == 0.0 { 0 } else { (2 - x.abs().log10().floor() as i64).clamp(0, 9) as usize };
    let text = format!("{x:.decimals$}");
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn figures_are_short() {
        for (x, text) in
            [(0.0, "0"), (2.0, "2"), (0.012_345, "0.0123"), (12.35, "12.3"), (1234.5, "1234"), (100.0, "100")]
        {
            assert_eq!(short(x), text);
        }
    }
}
