//! The Prometheus text format.
//!
//! The format's rules: <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::fmt::{self, Write};

use crate::statistics::Histogram;

/// The content type of the format.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// A page of metrics under construction. Each method adds one family of metrics with its `HELP` and `TYPE` lines.
#[derive(Debug, Default)]
pub struct Page {
    text: String,
}

/// A label and its value, for example `("outcome", "completed")`.
pub type Label<'a> = (&'a str, &'a str);

impl Page {
    /// An empty page.
    pub fn new() -> Self {
        Self::default()
    }

    /// A value that may go up and down.
    pub fn gauge(&mut self, name: &str, help: &str, labels: &[Label], value: f64) {
        self.family(name, help, "gauge");
        self.sample(name, labels, value);
    }

    /// A counter: one series per label set.
    pub fn counter(&mut self, name: &str, help: &str, series: &[(Label, u64)]) {
        self.family(name, help, "counter");
        for (label, value) in series {
            self.sample(name, &[*label], value);
        }
    }

    /// A histogram of durations in seconds.
    pub fn histogram(&mut self, name: &str, help: &str, histogram: &Histogram) {
        self.family(name, help, "histogram");
        let bucket = format!("{name}_bucket");
        for (bound, count) in histogram.cumulative() {
            self.sample(&bucket, &[("le", &bound.to_string())], count);
        }
        self.sample(&bucket, &[("le", "+Inf")], histogram.count());
        self.sample(&format!("{name}_sum"), &[], histogram.sum_s());
        self.sample(&format!("{name}_count"), &[], histogram.count());
    }

    /// The text of the page.
    pub fn into_text(self) -> String {
        self.text
    }

    fn family(&mut self, name: &str, help: &str, kind: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        self.write(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
    }

    fn sample(&mut self, name: &str, labels: &[Label], value: impl fmt::Display) {
        let labels: Vec<_> = labels.iter().map(|(label, value)| format!("{label}=\"{}\"", escaped(value))).collect();
        match labels.is_empty() {
            true => self.write(format_args!("{name} {value}\n")),
            false => self.write(format_args!("{name}{{{}}} {value}\n", labels.join(","))),
        }
    }

    fn write(&mut self, text: fmt::Arguments) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(text);
    }
}

/// A label's value with backslashes, quotes and line ends escaped.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_as_the_format_wants_them() {
        let mut page = Page::new();
        page.gauge("up", "One\nor zero.", &[("app", "a\"b\\c\nd")], 1.0);
        page.counter("hits_total", "Hits.", &[(("kind", "x"), 3), (("kind", "y"), 0)]);
        assert_eq!(
            page.into_text(),
            "# HELP up One\\nor zero.\n# TYPE up gauge\nup{app=\"a\\\"b\\\\c\\nd\"} 1\n\
             # HELP hits_total Hits.\n# TYPE hits_total counter\nhits_total{kind=\"x\"} 3\nhits_total{kind=\"y\"} 0\n"
        );
    }

    #[test]
    fn a_histogram_ends_with_infinity_sum_and_count() {
        let mut histogram = Histogram::new();
        histogram.observe(0.25);
        histogram.observe(1e9);
        let mut page = Page::new();
        page.histogram("t_seconds", "T.", &histogram);
        let text = page.into_text();
        assert!(text.contains("t_seconds_bucket{le=\"0.2\"} 0\nt_seconds_bucket{le=\"0.5\"} 1\n"));
        assert!(text.contains("t_seconds_bucket{le=\"+Inf\"} 2\n"));
        assert!(text.ends_with("t_seconds_sum 1000000000.25\nt_seconds_count 2\n"));
    }
}
