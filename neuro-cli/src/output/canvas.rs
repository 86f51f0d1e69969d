//! An SVG sheet.
//!
//! Every colour has a class beside its value: on its own a picture is dark ink on white paper; inside a page whose style sheet
//! sets `color` for the classes it follows the page, light or dark.

use std::fmt::Write;

/// Width of an average character of a sans-serif font, relative to the font size. SVG leaves the font to the reader, so this
/// errs on the wide side.
const CHARACTER_WIDTH: f64 = 0.6;

/// Where the middle of small letters lies above the baseline, relative to the font size.
const MIDDLE: f64 = 0.35;

/// A colour, by its red, green and blue, and the class by which a page may set another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Colour {
    pub(crate) rgb: (u8, u8, u8),
    pub(crate) class: &'static str,
}

const fn colour(class: &'static str, red: u8, green: u8, blue: u8) -> Colour {
    Colour { rgb: (red, green, blue), class }
}

pub(super) const WHITE: Colour = colour("paper", 255, 255, 255);
pub(super) const INK: Colour = colour("ink", 34, 34, 34);
pub(super) const GREY: Colour = colour("grey", 96, 96, 96);
pub(super) const LIGHT_GREY: Colour = colour("rule", 224, 224, 224);

/// Okabe and Ito's palette without yellow, which white paper swallows, then greys and browns.
pub(crate) const PALETTE: [Colour; 12] = [
    colour("s0", 0, 114, 178),
    colour("s1", 213, 94, 0),
    colour("s2", 0, 158, 115),
    colour("s3", 204, 121, 167),
    colour("s4", 230, 159, 0),
    colour("s5", 86, 180, 233),
    colour("s6", 120, 94, 60),
    colour("s7", 90, 90, 90),
    colour("s8", 140, 120, 200),
    colour("s9", 160, 160, 160),
    colour("s10", 100, 140, 40),
    colour("s11", 150, 60, 60),
];

impl Colour {
    /// A colour that stays what it is on any page.
    pub(super) const fn fixed(red: u8, green: u8, blue: u8) -> Self {
        colour("", red, green, blue)
    }

    /// The attributes that set it as `currentColor`.
    fn attributes(self) -> String {
        let (r, g, b) = self.rgb;
        let class = if self.class.is_empty() { String::new() } else { format!("class=\"{}\" ", self.class) };
        format!("{class}color=\"#{r:02x}{g:02x}{b:02x}\"")
    }
}

/// A white SVG sheet with positions in pixels, origin at the top left.
pub(super) struct Canvas {
    svg: String,
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
    pub(super) colour: Colour,
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

/// Draws a sheet of the given size in pixels and returns it as SVG text; `title` is what it is called where it cannot be seen.
pub(super) fn draw(title: &str, width: f64, height: f64, paint: impl FnOnce(&mut Canvas)) -> String {
    let (width, height) = (width.ceil(), height.ceil());
    let svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         role=\"group\" aria-label=\"{}\" font-family=\"system-ui, 'DejaVu Sans', sans-serif\">\n",
        escape(title)
    );
    let mut canvas = Canvas { svg };
    canvas.rectangle(0.0, 0.0, width, height, WHITE);
    paint(&mut canvas);
    canvas.svg + "</svg>\n"
}

impl Canvas {
    /// Draws something that tells more of itself when it is pointed at or, on a page, reached by the keyboard.
    pub(super) fn mark(&mut self, tip: &str, paint: impl FnOnce(&mut Self)) {
        let _ = writeln!(self.svg, "<g class=\"mark\"><title>{}</title>", escape(tip));
        paint(self);
        self.svg += "</g>\n";
    }

    pub(super) fn rectangle(&mut self, x: f64, y: f64, width: f64, height: f64, fill: Colour) {
        let (x, y, width, height) = (Px(x), Px(y), Px(width.max(0.0)), Px(height.max(0.0)));
        let fill = fill.attributes();
        let _ = writeln!(
            self.svg,
            "<rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" {fill} fill=\"currentColor\"/>"
        );
    }

    pub(super) fn line(&mut self, points: &[(f64, f64)], width: f64, colour: Colour) {
        self.polyline(points, width, colour, "");
    }

    /// A line of dashes.
    pub(super) fn dashes(&mut self, points: &[(f64, f64)], colour: Colour) {
        self.polyline(points, 1.2, colour, " stroke-dasharray=\"5\"");
    }

    fn polyline(&mut self, points: &[(f64, f64)], width: f64, colour: Colour, more: &str) {
        let colour = colour.attributes();
        let points = Points(points);
        let _ = writeln!(
            self.svg,
            "<polyline points=\"{points}\" fill=\"none\" {colour} stroke=\"currentColor\" stroke-width=\"{}\"{more}/>",
            Px(width)
        );
    }

    pub(super) fn polygon(&mut self, points: &[(f64, f64)], fill: Colour) {
        let (points, fill) = (Points(points), fill.attributes());
        let _ = writeln!(self.svg, "<polygon points=\"{points}\" {fill} fill=\"currentColor\"/>");
    }

    pub(super) fn circle(&mut self, x: f64, y: f64, radius: f64, fill: Colour) {
        let (x, y, radius, fill) = (Px(x), Px(y), Px(radius), fill.attributes());
        let _ = writeln!(self.svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" {fill} fill=\"currentColor\"/>");
    }

    pub(super) fn text(&mut self, x: f64, y: f64, text: &str, look: TextLook) {
        let anchor = match look.align {
            Align::Left => "start",
            Align::Middle => "middle",
            Align::Right => "end",
        };
        let place = if look.upright {
            format!("x=\"0\" y=\"{}\" transform=\"translate({} {}) rotate(-90)\"", Px(MIDDLE * look.size), Px(x), Px(y))
        } else {
            format!("x=\"{}\" y=\"{}\"", Px(x), Px(y + MIDDLE * look.size))
        };
        let weight = if look.bold { " font-weight=\"bold\"" } else { "" };
        let _ = writeln!(
            self.svg,
            "<text {place} text-anchor=\"{anchor}\" font-size=\"{}\"{weight} {} fill=\"currentColor\">{}</text>",
            Px(look.size),
            look.colour.attributes(),
            escape(text)
        );
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

/// The text as XML and HTML want it, in elements and in quoted attributes; control characters, which XML forbids, become
/// blanks.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A length to a hundredth of a pixel; what is not a number becomes 0, and nothing lies a million pixels away.
struct Px(f64);

impl std::fmt::Display for Px {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let pixels = if self.0.is_nan() { 0.0 } else { self.0.clamp(-1e6, 1e6) };
        // Adding zero turns −0 into 0.
        write!(f, "{}", (100.0 * pixels).round() / 100.0 + 0.0)
    }
}

struct Points<'a>(&'a [(f64, f64)]);

impl std::fmt::Display for Points<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (x, y)) in self.0.iter().enumerate() {
            write!(f, "{}{},{}", if i == 0 { "" } else { " " }, Px(*x), Px(*y))?;
        }
        Ok(())
    }
}
