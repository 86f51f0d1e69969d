//! The pictures, and what each was made from.

use std::collections::BTreeSet;

use super::Figures;
use super::tables::word;

/// The picture with a description, which stands behind its start tag.
pub(super) fn described(svg: &str, text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('`', "");
    match svg.split_once('>') {
        Some((tag, rest)) => format!("{tag}>\n<desc>{text}.</desc>{rest}"),
        None => svg.to_owned(),
    }
}

/// What a figure was made from.
#[derive(Clone, Copy)]
pub(super) enum Samples {
    Measured,
    Pairs,
    Unseen,
    Instances,
    Plan,
}

impl Samples {
    pub(super) fn of(self, figures: &Figures) -> String {
        let seeds: BTreeSet<u64> = figures.rows.iter().filter_map(|row| row["seed"].as_u64()).collect();
        let instances: BTreeSet<(&str, u64, u64)> = figures
            .rows
            .iter()
            .map(|row| {
                let of = |field: &str| row[field].as_u64().unwrap_or_default();
                (word(row, "scenario"), of("servers"), of("seed"))
            })
            .collect();
        match self {
            Self::Measured => {
                "the sample dataset, a machine of two cores; its manifests hold seeds and host".to_owned()
            }
            Self::Pairs => "990 simulated runs, seed 1".to_owned(),
            Self::Unseen => format!("runs of {} random ones, seed 1, that no profiler saw", figures.args.runs),
            Self::Instances => {
                let last = seeds.last().copied().unwrap_or_default();
                let seeds = if last > 1 { format!("seeds 1 to {last}") } else { "seed 1".to_owned() };
                format!("{} instances, {seeds}", instances.len())
            }
            Self::Plan => "`decomposed` on scenario s1, four servers, seed 1".to_owned(),
        }
    }
}

pub(super) const FIGURES: [(&str, &str, Samples); 16] = [
    (
        "measured/heatmap.svg",
        "Measured on two cores: how much longer each of five services takes beside each other one",
        Samples::Measured,
    ),
    ("measured/curves.svg", "The same as measured points with 95 % intervals", Samples::Measured),
    ("measured/distributions.svg", "Service times over the measured tenants", Samples::Measured),
    (
        "heatmap.svg",
        "Simulated server `edge-a`: slowdown of all nine services beside the heaviest load",
        Samples::Pairs,
    ),
    ("curves.svg", "Its contention curves, measured points and fitted PERX sigmoids", Samples::Pairs),
    ("distributions.svg", "Service times over its tenants", Samples::Pairs),
    ("error-densities.svg", "Densities of the relative error of all profilers", Samples::Unseen),
    ("error-by-load.svg", "Median error by offered work", Samples::Unseen),
    ("error-by-neighbours.svg", "Median error by number of neighbours", Samples::Unseen),
    ("scaling-revenue.svg", "Planned revenue against servers, by scenario and method", Samples::Instances),
    ("scaling-revenue-kept.svg", "Revenue of the promises that held in replay", Samples::Instances),
    ("scaling-acceptance.svg", "Share of the requests that are served", Samples::Instances),
    ("scaling-seconds.svg", "Execution time", Samples::Instances),
    ("scaling-violations.svg", "Share of the promises that were broken in replay", Samples::Instances),
    ("scaling-gap.svg", "Proved gap", Samples::Instances),
    ("trace.svg", "Incumbent and bound over time", Samples::Plan),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_description_stands_in_its_picture() {
        let svg = described("<svg width=\"1\"><g/></svg>", "a < b");
        assert_eq!(svg, "<svg width=\"1\">\n<desc>a &lt; b.</desc><g/></svg>");
    }
}
