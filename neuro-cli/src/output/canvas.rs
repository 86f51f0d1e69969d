use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::FontTransform;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// plotters places everything on whole units; pictures are drawn this much larger and shown at their size.
const SCALE: f64 = 8.0;

/// Width of an average character of a sans-serif font, relative to the font size. SVG leaves the font to the reader, so this
/// errs on the wide side.
const CHARACTER_WIDTH: f64 = 0.6;

pub(super) const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const GREY: RGBColor = RGBColor(96, 96, 96);
pub(super) const LIGHT_GREY: RGBColor = RGBColor(224, 224, 224);

/// A white SVG sheet with positions in pixels, origin at the top left.
pub(super) struct Canvas<'a> {
    area: DrawingArea<SVGBackend<'a>, Shift>,
}

/// Which point of a text its position names, horizontally; vertically it is always the middle.
#[derive(Clone, Copy)]
pub(super) enum Align {
    Left,
    Middle,
    Right,
}

/// How a text looks.
#[derive(Clone, Copy)]
pub(super) struct TextLook {
    pub(super) size: f64,
    pub(super) colour: RGBColor,
    pub(super) align: Align,
    pub(super) bold: bool,
    /// Turned to be read from bottom to top.
    pub(super) upright: bool,
}

impl TextLook {
    pub(super) fn new(size: f64) -> Self {
        Self { size, colour: INK, align: Align::Left, bold: false, upright: false }
    }
}

/// Draws a sheet of the given size in pixels and returns it as SVG text.
pub(super) fn draw(width: f64, height: f64, paint: impl FnOnce(&Canvas<'_>) -> Result<()>) -> Result<String> {
    let mut svg = String::new();
    let (wide, high) = (to_unit(width) as u32, to_unit(height) as u32);
    {
        let area = SVGBackend::with_string(&mut svg, (wide, high)).into_drawing_area();
        let canvas = Canvas { area };
        canvas.rectangle(0.0, 0.0, width, height, WHITE)?;
        paint(&canvas)?;
        canvas.area.present().map_err(failed)?;
    }
    let large = format!("width=\"{wide}\" height=\"{high}\" viewBox");
    let shown = format!("width=\"{width:.0}\" height=\"{height:.0}\" viewBox");
    Ok(svg.replacen(&large, &shown, 1))
}

impl Canvas<'_> {
    pub(super) fn rectangle(&self, x: f64, y: f64, width: f64, height: f64, fill: RGBColor) -> Result<()> {
        self.area.draw(&Rectangle::new([at(x, y), at(x + width, y + height)], fill.filled())).map_err(failed)
    }

    pub(super) fn line(&self, points: &[(f64, f64)], width: f64, colour: RGBColor) -> Result<()> {
        let points: Vec<_> = points.iter().map(|(x, y)| at(*x, *y)).collect();
        self.area.draw(&PathElement::new(points, colour.stroke_width(to_unit(width) as u32))).map_err(failed)
    }

    /// A horizontal line of dashes.
    pub(super) fn dashes(&self, from: f64, to: f64, y: f64, colour: RGBColor) -> Result<()> {
        const DASH: f64 = 5.0;
        let mut x = from;
        while x < to {
            self.line(&[(x, y), ((x + DASH).min(to), y)], 1.2, colour)?;
            x += 2.0 * DASH;
        }
        Ok(())
    }

    pub(super) fn polygon(&self, points: &[(f64, f64)], fill: RGBColor) -> Result<()> {
        let points: Vec<_> = points.iter().map(|(x, y)| at(*x, *y)).collect();
        self.area.draw(&Polygon::new(points, fill.filled())).map_err(failed)
    }

    pub(super) fn circle(&self, x: f64, y: f64, radius: f64, fill: RGBColor) -> Result<()> {
        self.area.draw(&Circle::new(at(x, y), to_unit(radius), fill.filled())).map_err(failed)
    }

    pub(super) fn text(&self, x: f64, y: f64, text: &str, look: TextLook) -> Result<()> {
        let horizontal = match look.align {
            Align::Left => HPos::Left,
            Align::Middle => HPos::Center,
            Align::Right => HPos::Right,
        };
        // The backend divides the size by 1.24.
        let size = look.size * 1.24 * SCALE;
        let style = if look.bold { FontStyle::Bold } else { FontStyle::Normal };
        let transform = if look.upright { FontTransform::Rotate270 } else { FontTransform::None };
        let style = FontDesc::new(FontFamily::SansSerif, size, style)
            .transform(transform)
            .color(&look.colour)
            .pos(Pos::new(horizontal, VPos::Center));
        self.area.draw(&Text::new(printable(text), at(x, y), style)).map_err(failed)
    }
}

/// The width in pixels that a text may take.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    text.chars().count() as f64 * CHARACTER_WIDTH * size
}

/// The text, shortened with an ellipsis if it could be wider than `width` pixels.
pub(super) fn fitted(text: &str, size: f64, width: f64) -> String {
    if text_width(text, size) <= width {
        return text.to_owned();
    }
    let room = (width / (CHARACTER_WIDTH * size)) as usize;
    let kept: String = text.chars().take(room.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The text without the control characters that XML forbids.
fn printable(text: &str) -> String {
    let allowed = |c: char| !c.is_control() && c != '\u{fffe}' && c != '\u{ffff}';
    text.chars().map(|c| if allowed(c) { c } else { ' ' }).collect()
}

fn at(x: f64, y: f64) -> (i32, i32) {
    (to_unit(x), to_unit(y))
}

/// Whole drawing units; what is not a number becomes 0.
fn to_unit(pixels: f64) -> i32 {
    (pixels * SCALE).round() as i32
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("drawing failed: {error}")
}
