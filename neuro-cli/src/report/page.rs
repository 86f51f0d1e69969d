//! The pieces of the page.

use std::fmt::Write;
use std::path::Path;

use crate::output::{Chart, escape};

/// A page under way: sections of HTML, and the pictures in it as files would hold them.
#[derive(Default)]
pub(super) struct Page {
    sections: Vec<Section>,
    /// Name and SVG of every picture.
    pub(super) figures: Vec<(String, String)>,
}

struct Section {
    id: String,
    title: String,
    body: String,
}

/// A cell of a table: what it shows, and by what it is sorted.
pub(super) struct Cell {
    html: String,
    key: Option<f64>,
}

impl Cell {
    pub(super) fn text(text: &str) -> Self {
        Self { html: escape(text), key: None }
    }

    /// A figure with so many decimals; a dash where it is not known.
    pub(super) fn figure(value: Option<f64>, decimals: usize) -> Self {
        let html = value.map_or("–".to_owned(), |value| format!("{value:.decimals$}"));
        Self { html, key: Some(value.unwrap_or(f64::NEG_INFINITY)) }
    }

    pub(super) fn count(value: u64) -> Self {
        Self { html: value.to_string(), key: Some(value as f64) }
    }

    /// A time with a unit that suits it.
    pub(super) fn seconds(value: Option<f64>) -> Self {
        Self { html: value.map_or("–".to_owned(), seconds), key: Some(value.unwrap_or(f64::NEG_INFINITY)) }
    }

    /// A share in percent.
    pub(super) fn percent(value: Option<f64>, decimals: usize) -> Self {
        let html = value.map_or("–".to_owned(), |value| format!("{:.decimals$} %", 100.0 * value));
        Self { html, key: Some(value.unwrap_or(f64::NEG_INFINITY)) }
    }

    /// A share in percent with its interval, both in percent already.
    pub(super) fn share(share: Option<(f64, Option<(f64, f64)>)>) -> Self {
        let Some((value, interval)) = share else { return Self::figure(None, 0) };
        let interval = interval.map_or(String::new(), |(low, high)| format!(" [{low:.1}–{high:.1}]"));
        Self { html: format!("{value:.1} %{interval}"), key: Some(value) }
    }

    /// A share as a bar, full at 1.
    pub(super) fn bar(share: Option<f64>) -> Self {
        let Some(share) = share else { return Self::figure(None, 0) };
        let width = 100.0 * share.clamp(0.0, 1.0);
        let class = if share > 1.0 { "bar over" } else { "bar" };
        let html =
            format!("<span class=\"{class}\" style=\"--share:{width:.1}%\"><span>{:.0} %</span></span>", 100.0 * share);
        Self { html, key: Some(share) }
    }
}

/// A path as a title: without the `./` in front.
pub(super) fn named(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}

/// A time in milliseconds or seconds, three digits or so.
pub(super) fn seconds(s: f64) -> String {
    match s.abs() {
        size if size < 0.009_995 => format!("{:.3} ms", 1e3 * s),
        size if size < 0.999_5 => format!("{:.1} ms", 1e3 * s),
        size if size < 99.95 => format!("{s:.2} s"),
        _ => format!("{s:.0} s"),
    }
}

impl Page {
    /// Opens a section; what follows goes into it.
    pub(super) fn section(&mut self, title: &str) {
        let id = format!("part-{}", self.sections.len() + 1);
        self.sections.push(Section { id, title: title.to_owned(), body: String::new() });
    }

    fn add(&mut self, html: &str) {
        if let Some(section) = self.sections.last_mut() {
            section.body += html;
        }
    }

    pub(super) fn heading(&mut self, text: &str) {
        self.add(&format!("<h3>{}</h3>\n", escape(text)));
    }

    pub(super) fn paragraph(&mut self, text: &str) {
        self.add(&format!("<p>{}</p>\n", escape(text)));
    }

    /// A few figures with their names.
    pub(super) fn facts(&mut self, facts: &[(&str, String)]) {
        let mut html = String::from("<dl class=\"facts\">\n");
        for (name, value) in facts {
            let _ = writeln!(html, "<div><dt>{}</dt><dd>{}</dd></div>", escape(name), escape(value));
        }
        self.add(&(html + "</dl>\n"));
    }

    /// A table that its reader may sort.
    pub(super) fn table(&mut self, caption: &str, header: &[&str], rows: Vec<Vec<Cell>>) {
        let caption = escape(caption);
        let mut html = format!(
            "<p class=\"caption\">{caption}</p>\n<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\">\
             <table aria-label=\"{caption}\">\n<thead><tr>"
        );
        for (i, name) in header.iter().enumerate() {
            let is_figure = rows.iter().any(|row| row.get(i).is_some_and(|cell| cell.key.is_some()));
            let class = if is_figure { " class=\"figure\"" } else { "" };
            let _ = write!(html, "<th scope=\"col\"{class}><button type=\"button\">{}</button></th>", escape(name));
        }
        html += "</tr></thead>\n<tbody>\n";
        for row in rows {
            html += "<tr>";
            for cell in row {
                match cell.key {
                    Some(key) if key.is_finite() => {
                        let _ = write!(html, "<td class=\"figure\" data-key=\"{key}\">{}</td>", cell.html);
                    }
                    Some(_) => {
                        let _ = write!(html, "<td class=\"figure\" data-key=\"-1e308\">{}</td>", cell.html);
                    }
                    None => {
                        let class = if cell.html.len() > 30 { " class=\"long\"" } else { "" };
                        let _ = write!(html, "<td{class}>{}</td>", cell.html);
                    }
                }
            }
            html += "</tr>\n";
        }
        self.add(&(html + "</tbody></table></div>\n"));
    }

    /// A picture.
    pub(super) fn picture(&mut self, name: &str, caption: &str, shown: &str, kept: String) {
        self.add(&format!("<figure class=\"map\"><figcaption>{}</figcaption>\n{shown}</figure>\n", escape(caption)));
        self.figures.push((name.to_owned(), kept));
    }

    /// A chart, its panels side by side where there is room and else under one another; kept as a file where it has a name.
    pub(super) fn chart(&mut self, name: &str, chart: &Chart) {
        let parts = chart.parts();
        let mut html = format!("<figure><figcaption>{}</figcaption>\n", escape(&chart.title));
        if !chart.subtitle.is_empty() {
            let _ = writeln!(html, "<p class=\"note\">{}</p>", escape(&chart.subtitle));
        }
        html += "<ul class=\"legend\">";
        for (label, colour) in &parts.legend {
            let _ = write!(html, "<li><i class=\"{}\"></i>{}</li>", colour.class, escape(label));
        }
        let _ = write!(html, "</ul>\n<div class=\"panels\">\n{}</div></figure>\n", parts.panels.concat());
        self.add(&html);
        if !name.is_empty() {
            self.figures.push((name.to_owned(), chart.picture()));
        }
    }

    /// Opens what is folded away until it is asked for; pictures in it are printed all the same.
    pub(super) fn folded(&mut self, summary: &str, open: bool) {
        let open = if open { " open" } else { "" };
        self.add(&format!("<details{open}><summary>{}</summary>\n", escape(summary)));
    }

    /// Ends what [`Page::folded`] began.
    pub(super) fn unfolded(&mut self) {
        self.add("</details>\n");
    }

    /// The whole document: style, script and pictures are in it, nothing is fetched.
    pub(super) fn html(&self, title: &str, made_by: &str) -> String {
        let mut html = format!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"color-scheme\" content=\"light dark\">\n<link rel=\"icon\" href=\"data:,\">\n\
             <title>{title}</title>\n<style>\n{}</style>\n</head>\n<body>\n<header><h1>{title}</h1>\n<p class=\"note\">{}</p>\n\
             <nav aria-label=\"Sections\"><ul>",
            include_str!("report.css"),
            escape(made_by),
            title = escape(title),
        );
        for section in &self.sections {
            let _ = write!(html, "<li><a href=\"#{}\">{}</a></li>", section.id, escape(&section.title));
        }
        html += "</ul></nav></header>\n<main>\n";
        for Section { id, title, body } in &self.sections {
            let _ = write!(html, "<section id=\"{id}\"><h2>{}</h2>\n{body}</section>\n", escape(title));
        }
        html += "</main>\n<div id=\"tip\" role=\"status\" hidden></div>\n<script>\n";
        html += include_str!("report.js");
        html + "</script>\n</body>\n</html>\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit_that_suits_them() {
        let shown = [0.000_18, 0.045_6, 1.5, 99.96].map(seconds);
        assert_eq!(shown, ["0.180 ms", "45.6 ms", "1.50 s", "100 s"]);
    }

    #[test]
    fn names_cannot_break_out_of_the_page() {
        let mut page = Page::default();
        page.section("<script>a</script>");
        page.table("\"><b>", &["<i>"], vec![vec![Cell::text("<img src=x onerror=alert(1)>")]]);
        page.facts(&[("a&b", "</dd>".to_owned())]);
        let html = page.html("<t>", "</p>");
        assert_eq!(html.matches("<script").count(), 1);
        for fault in ["<img", "<b>", "<i>", "<t>", "</dd></dd>"] {
            assert!(!html.contains(fault), "{fault}");
        }
    }
}
