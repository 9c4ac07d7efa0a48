//! Writes SVG: rectangles, lines and texts. Coordinates are whole pixels, which keeps files small.

use std::fmt::Write;

/// A picture under construction.
pub(super) struct Svg {
    size: Point,
    body: String,
}

/// A position, to the right and down.
pub(super) type Point = (f64, f64);

impl Svg {
    pub(super) fn new(size: Point, background: &str) -> Self {
        let mut svg = Self { size, body: String::new() };
        svg.rect((0.0, 0.0), size, background);
        svg
    }

    pub(super) fn rect(&mut self, (x, y): Point, (width, height): Point, fill: &str) {
        self.add(&format!(r#"<rect x="{x:.0}" y="{y:.0}" width="{width:.0}" height="{height:.0}" fill="{fill}"/>"#));
    }

    /// Draws one line through all points.
    pub(super) fn line(&mut self, points: &[Point], color: &str) {
        let path = path(points);
        self.add(&format!(r#"<path d="{path}" fill="none" stroke="{color}" stroke-width="1.5"/>"#));
    }

    /// Fills the area within these points.
    pub(super) fn area(&mut self, points: &[Point], color: &str) {
        let path = path(points);
        self.add(&format!(r#"<path d="{path}Z" fill="{color}" fill-opacity="0.6"/>"#));
    }

    /// Draws text that begins here, cut at a width.
    pub(super) fn text(&mut self, (x, y): Point, text: &str, (size, color): (u32, &str), width: f64) {
        // Letters are a little more than half as wide as high.
        let room = (width / (f64::from(size) * 0.57)).max(1.0);
        let is_cut = text.chars().count() as f64 > room;
        let mut shown = String::new();
        for letter in text.chars().scan(0.0, |used, letter| {
            *used += 1.0;
            (!is_cut || *used < room).then_some(letter)
        }) {
            match letter {
                '<' => shown.push_str("&lt;"),
                '>' => shown.push_str("&gt;"),
                '&' => shown.push_str("&amp;"),
                letter => shown.push(letter),
            }
        }
        let more = if is_cut { "…" } else { "" };
        self.add(&format!(r#"<text x="{x:.0}" y="{y:.0}" font-size="{size}" fill="{color}">{shown}{more}</text>"#));
    }

    pub(super) fn finish(self) -> String {
        let (width, height) = self.size;
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\">\n{}</svg>\n",
            self.body
        )
    }

    fn add(&mut self, element: &str) {
        self.body.push_str(element);
        self.body.push('\n');
    }
}

fn path(points: &[Point]) -> String {
    let mut path = String::new();
    for (number, (x, y)) in points.iter().enumerate() {
        let command = if number == 0 { 'M' } else { 'L' };
        write!(path, "{command}{x:.0} {y:.0}").expect("writing to a string");
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_cut() {
        let mut svg = Svg::new((10.0, 10.0), "white");
        svg.text((1.0, 2.0), "a<b & c", (10, "black"), 1000.0);
        svg.text((1.0, 2.0), "abcdefghij", (10, "black"), 27.0);
        let made = svg.finish();
        assert!(made.contains(">a&lt;b &amp; c<") && made.contains(">abcd…<"), "{made}");
    }
}
