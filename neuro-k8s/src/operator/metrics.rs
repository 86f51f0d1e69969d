//! What the operator tells Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write;

/// A gauge's value by the labels of its series, which stand as they are written: `request="a",server="b"`.
type Series = BTreeMap<String, f64>;

/// The state that `/metrics` shows.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Metrics {
    pub(crate) predicted_s: Series,
    pub(crate) measured_s: Series,
    pub(crate) requests: Series,
    pub(crate) revenue: f64,
    pub(crate) gap: Option<f64>,
    pub(crate) on_last_good_plan: bool,
    pub(crate) reconciliations: u64,
    pub(crate) failures: u64,
}

/// Labels of one series, with backslashes, quotes and line ends escaped.
pub(crate) fn labels(pairs: &[(&str, &str)]) -> String {
    let escaped = |value: &str| value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let parts: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    parts.join(",")
}

impl Metrics {
    /// The page in the Prometheus text format.
    pub(crate) fn page(&self) -> String {
        let one = |value: f64| Series::from([(String::new(), value)]);
        let mut page = String::new();
        let mut family = |name: &str, kind: &str, help: &str, series: &Series| {
            // Writing to a string cannot fail.
            let _ = writeln!(page, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (labels, value) in series {
                let labels = if labels.is_empty() { String::new() } else { format!("{{{labels}}}") };
                let _ = writeln!(page, "{name}{labels} {value}");
            }
        };
        let help = "The promised statistic of the service time as predicted.";
        family("neuro_predicted_latency_seconds", "gauge", help, &self.predicted_s);
        let help = "The promised statistic of the service time as measured.";
        family("neuro_measured_latency_seconds", "gauge", help, &self.measured_s);
        family("neuro_revenue", "gauge", "What the served requests pay.", &one(self.revenue));
        let gap = self.gap.map_or_else(Series::new, one);
        let help = "How much more any plan could earn, relative to this one; absent until it is proved.";
        family("neuro_gap", "gauge", help, &gap);
        family("neuro_requests", "gauge", "Requests by phase.", &self.requests);
        let help = "1 while the last good plan is kept because there is no better knowledge.";
        family("neuro_on_last_good_plan", "gauge", help, &one(f64::from(u8::from(self.on_last_good_plan))));
        let help = "Times that the cluster was compared with what it should be.";
        family("neuro_reconciliations_total", "counter", help, &one(self.reconciliations as f64));
        family("neuro_reconcile_failures_total", "counter", "Of these, failed.", &one(self.failures as f64));
        page
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_has_every_family_and_no_gap_before_there_is_one() {
        let mut metrics = Metrics { revenue: 4.5, ..Metrics::default() };
        metrics.predicted_s.insert(labels(&[("request", "a\"b"), ("server", "edge-1")]), 0.25);
        let page = metrics.page();
        assert!(page.contains("neuro_predicted_latency_seconds{request=\"a\\\"b\",server=\"edge-1\"} 0.25\n"), "{page}");
        assert!(page.contains("\nneuro_revenue 4.5\n") && !page.contains("\nneuro_gap "), "{page}");
        assert!(Metrics { gap: Some(0.01), ..metrics }.page().contains("\nneuro_gap 0.01\n"));
    }
}
