//! Tables for a terminal.

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};

/// A table with a header; every column but the first is aligned to the right when its cells look like figures.
pub fn render(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_header(header.iter().copied());
    let rows: Vec<Vec<String>> = rows.into_iter().collect();
    let figure = |cell: &String| cell.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '×' | '-' | '–' | '.'));
    for (i, column) in table.column_iter_mut().enumerate().skip(1) {
        if rows.iter().all(|row| row.get(i).is_none_or(figure)) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for row in rows {
        table.add_row(row);
    }
    format!("{table}\n")
}

#[cfg(test)]
mod tests {
    #[test]
    fn cells_stand_under_their_header() {
        let text = super::render(&["app", "ratio"], [vec!["a".to_owned(), "×1.25".to_owned()]]);
        assert!(text.contains("app") && text.contains("×1.25"), "{text}");
        let widths: Vec<usize> = text.lines().map(|line| line.chars().count()).collect();
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
    }
}
