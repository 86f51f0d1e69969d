use super::super::canvas::{Align, Canvas, GREY, TextLook};
use super::super::scale::Scale;
use super::axis::{Axis, coordinate};
use super::{Point, Reference, Series};

/// The axes of a panel with their scales.
pub(super) struct Space<'a> {
    pub(super) x: &'a Axis,
    pub(super) y: &'a Axis,
    pub(super) across: Scale,
    pub(super) up: Scale,
}

impl Space<'_> {
    pub(super) fn x_pixel(&self, x: f64) -> f64 {
        self.across.pixel(coordinate(self.x, x))
    }

    /// What lies beyond the ends is drawn at the edge.
    pub(super) fn y_pixel(&self, y: f64) -> f64 {
        self.up.pixel(coordinate(self.y, y).clamp(self.up.low, self.up.high))
    }

    pub(super) fn holds(&self, point: &Point) -> bool {
        let (x, y) = (coordinate(self.x, point.x), coordinate(self.y, point.y));
        y.is_finite() && (self.across.low..=self.across.high).contains(&x)
    }

    pub(super) fn shows(&self, series: &Series) -> bool {
        series.points.iter().any(|point| self.holds(point)) || !self.visible_pieces(&series.line).is_empty()
    }

    /// The parts of a line inside the axes, in pixels, cut where they leave them.
    pub(super) fn visible_pieces(&self, line: &[(f64, f64)]) -> Vec<Vec<(f64, f64)>> {
        let line: Vec<(f64, f64)> =
            line.iter().map(|(x, y)| (coordinate(self.x, *x), coordinate(self.y, *y))).collect();
        let (width, height) = ((self.across.low, self.across.high), (self.up.low, self.up.high));
        let mut pieces: Vec<Vec<(f64, f64)>> = Vec::new();
        let mut last_end = None;
        for pair in line.windows(2) {
            let Some((from, to)) = clipped(pair[0], pair[1], width, height) else {
                last_end = None;
                continue;
            };
            let pixel = |(x, y): (f64, f64)| (self.across.pixel(x), self.up.pixel(y));
            match pieces.last_mut() {
                Some(piece) if last_end == Some(from) => piece.push(pixel(to)),
                _ => pieces.push(vec![pixel(from), pixel(to)]),
            }
            last_end = Some(to);
        }
        pieces
    }

    pub(super) fn draw_reference(&self, canvas: &mut Canvas, reference: &Reference) {
        let look = TextLook { colour: GREY, ..TextLook::new(9.5) };
        let (across, up) = (&self.across, &self.up);
        let (left, right) = (across.pixel(across.low), across.pixel(across.high));
        let (bottom, top) = (up.pixel(up.low), up.pixel(up.high));
        match reference {
            Reference::Level(value, name) => {
                let at = coordinate(self.y, *value);
                if (up.low..=up.high).contains(&at) {
                    canvas.dashes(&[(left, up.pixel(at)), (right, up.pixel(at))], GREY);
                    let middle = 0.5 * (left + right);
                    canvas.text(middle, up.pixel(at) - 7.0, name, TextLook { align: Align::Middle, ..look });
                }
            }
            Reference::Position(value, name) => {
                let at = coordinate(self.x, *value);
                if (across.low..=across.high).contains(&at) {
                    canvas.dashes(&[(across.pixel(at), top), (across.pixel(at), bottom)], GREY);
                    canvas.text(across.pixel(at) + 3.0, top + 6.0, name, look);
                }
            }
            Reference::Diagonal(name) => {
                let (low, high) = (across.low.max(up.low), across.high.min(up.high));
                if high > low {
                    let at = |value: f64| (across.pixel(value), up.pixel(value));
                    canvas.dashes(&[at(low), at(high)], GREY);
                    let (x, y) = at(0.5 * (low + high));
                    canvas.text(x + 8.0, y + 8.0, name, look);
                }
            }
        }
    }
}

/// The part of a segment inside a rectangle (Liang and Barsky's method).
fn clipped(
    from: (f64, f64),
    to: (f64, f64),
    (left, right): (f64, f64),
    (low, high): (f64, f64),
) -> Option<((f64, f64), (f64, f64))> {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    if ![from.0, from.1, dx, dy].into_iter().all(f64::is_finite) {
        return None;
    }
    let (mut enter, mut leave) = (0.0_f64, 1.0_f64);
    for (speed, room) in [(-dx, from.0 - left), (dx, right - from.0), (-dy, from.1 - low), (dy, high - from.1)] {
        if speed == 0.0 {
            if room < 0.0 {
                return None;
            }
        } else if speed < 0.0 {
            enter = enter.max(room / speed);
        } else {
            leave = leave.min(room / speed);
        }
    }
    let at = |t: f64| match t {
        0.0 => from,
        1.0 => to,
        _ => (from.0 + t * dx, from.1 + t * dy),
    };
    (enter <= leave).then(|| (at(enter), at(leave)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_at_the_axes() {
        let square = (0.0, 10.0);
        assert_eq!(clipped((2.0, 2.0), (8.0, 4.0), square, square), Some(((2.0, 2.0), (8.0, 4.0))));
        assert_eq!(clipped((-10.0, 5.0), (5.0, 20.0), square, square), None);
        assert_eq!(clipped((5.0, 5.0), (5.0, 25.0), square, square), Some(((5.0, 5.0), (5.0, 10.0))));
        assert_eq!(clipped((5.0, f64::NAN), (5.0, 25.0), square, square), None);
        let scale = Scale::new(square, 0.0, 10.0);
        let plain = Axis::default();
        let space = Space { x: &plain, y: &plain, across: scale, up: scale };
        let pieces = space.visible_pieces(&[(0.0, 5.0), (2.0, 5.0), (4.0, 15.0), (6.0, 5.0), (8.0, 5.0)]);
        assert_eq!(pieces, [vec![(0.0, 5.0), (2.0, 5.0), (3.0, 10.0)], vec![(5.0, 10.0), (6.0, 5.0), (8.0, 5.0)]]);
    }
}
