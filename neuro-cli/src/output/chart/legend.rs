use std::collections::BTreeSet;

use super::super::canvas::{Canvas, Colour, INK, PALETTE, TextLook, text_width};
use super::Panel;

/// The shape of measured points, so that series are told apart without their colours.
#[derive(Clone, Copy)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Marker {
    const ALL: [Self; 4] = [Self::Circle, Self::Square, Self::Triangle, Self::Diamond];

    pub(super) fn draw(self, canvas: &mut Canvas, x: f64, y: f64, colour: Colour) {
        match self {
            Self::Circle => canvas.circle(x, y, 3.4, colour),
            Self::Square => canvas.rectangle(x - 3.1, y - 3.1, 6.2, 6.2, colour),
            Self::Triangle => canvas.polygon(&[(x, y - 4.2), (x + 4.0, y + 3.0), (x - 4.0, y + 3.0)], colour),
            Self::Diamond => canvas.polygon(&[(x, y - 4.4), (x + 4.4, y), (x, y + 4.4), (x - 4.4, y)], colour),
        }
    }
}

/// What an entry of the legend explains.
pub(super) enum Entry {
    /// A series of points.
    Points(String),
    /// A series that is a line alone.
    Line(String),
}

pub(super) struct Legend {
    pub(super) labels: Vec<String>,
    pub(super) entries: Vec<Entry>,
}

impl Legend {
    /// Width of the sample in front of a text.
    const SAMPLE: f64 = 30.0;

    pub(super) fn of(panels: &[Panel]) -> Self {
        let all_series = || panels.iter().flat_map(|panel| &panel.series);
        let mut seen = BTreeSet::new();
        let labels: Vec<String> =
            all_series().map(|series| series.name.clone()).filter(|label| seen.insert(label.clone())).collect();
        let has_points = |label: &String| all_series().any(|s| &s.name == label && !s.points.is_empty());
        let entry = |label: &String| {
            if has_points(label) { Entry::Points(label.clone()) } else { Entry::Line(label.clone()) }
        };
        let entries = labels.iter().map(entry).collect();
        Self { labels, entries }
    }

    pub(super) fn look_of(&self, label: &str) -> (Colour, Marker) {
        let index = self.labels.iter().position(|known| known == label).unwrap_or(0);
        (PALETTE[index % PALETTE.len()], Marker::ALL[index % Marker::ALL.len()])
    }

    /// x and row of each entry within a width.
    pub(super) fn places(&self, width: f64) -> Vec<(f64, usize)> {
        let (mut x, mut row) = (0.0, 0);
        let mut places = Vec::new();
        for label in &self.labels {
            let needed = Self::SAMPLE + text_width(label, 11.5) + 14.0;
            if x > 0.0 && x + needed > width {
                (x, row) = (0.0, row + 1);
            }
            places.push((x, row));
            x += needed;
        }
        places
    }

    pub(super) fn draw(&self, canvas: &mut Canvas, entry: &Entry, x: f64, y: f64) {
        let sample = Self::SAMPLE - 8.0;
        let (Entry::Points(label) | Entry::Line(label)) = entry;
        let (colour, marker) = self.look_of(label);
        canvas.line(&[(x, y), (x + sample, y)], 1.8, colour);
        if matches!(entry, Entry::Points(_)) {
            marker.draw(canvas, x + sample / 2.0, y, colour);
        }
        canvas.text(x + Self::SAMPLE, y, label, TextLook { colour: INK, ..TextLook::new(11.5) });
    }
}
