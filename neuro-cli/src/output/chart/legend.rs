use std::collections::BTreeSet;

use super::super::canvas::{Canvas, Colour, INK, PALETTE, TextLook, text_width};
use super::{Panel, Series};

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

/// A series that the legend explains.
pub(super) struct Entry {
    pub(super) name: String,
    /// Whether it has points, or is a line alone.
    marked: bool,
}

pub(super) struct Legend {
    /// All series, with nothing to show too: one of the same chart with other data has the same looks.
    names: Vec<String>,
    /// Those that show something.
    pub(super) entries: Vec<Entry>,
}

impl Legend {
    /// Width of the sample in front of a text.
    const SAMPLE: f64 = 30.0;

    pub(super) fn of(panels: &[Panel]) -> Self {
        let all_series = || panels.iter().flat_map(|panel| &panel.series);
        let mut seen = BTreeSet::new();
        let names: Vec<String> =
            all_series().map(|series| series.name.clone()).filter(|name| seen.insert(name.clone())).collect();
        let entry = |name: &String| {
            let has = |shown: fn(&Series) -> bool| all_series().any(|series| &series.name == name && shown(series));
            let marked = has(|series| !series.points.is_empty());
            (marked || has(|series| !series.line.is_empty())).then(|| Entry { name: name.clone(), marked })
        };
        let entries = names.iter().filter_map(entry).collect();
        Self { names, entries }
    }

    pub(super) fn look_of(&self, name: &str) -> (Colour, Marker) {
        let index = self.names.iter().position(|known| known == name).unwrap_or(0);
        (PALETTE[index % PALETTE.len()], Marker::ALL[index % Marker::ALL.len()])
    }

    /// x and row of each entry within a width.
    pub(super) fn places(&self, width: f64) -> Vec<(f64, usize)> {
        let (mut x, mut row) = (0.0, 0);
        let mut places = Vec::new();
        for entry in &self.entries {
            let needed = Self::SAMPLE + text_width(&entry.name, 11.5) + 14.0;
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
        let (colour, marker) = self.look_of(&entry.name);
        canvas.line(&[(x, y), (x + sample, y)], 1.8, colour);
        if entry.marked {
            marker.draw(canvas, x + sample / 2.0, y, colour);
        }
        canvas.text(x + Self::SAMPLE, y, &entry.name, TextLook { colour: INK, ..TextLook::new(11.5) });
    }
}
