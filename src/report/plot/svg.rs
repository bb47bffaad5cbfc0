//! The little of SVG that figures need. Every number is finite and has two decimals at most; every text is escaped.

use std::fmt::Write;

use crate::report::escape::markup;

/// Elements, one after another.
#[derive(Debug, Clone, Default)]
pub struct Svg {
    text: String,
}

/// An attribute's value.
#[derive(Debug, Clone, Copy)]
pub enum Value<'a> {
    Number(f64),
    Text(&'a str),
}

impl From<f64> for Value<'_> {
    fn from(number: f64) -> Self {
        Value::Number(number)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(text: &'a str) -> Self {
        Value::Text(text)
    }
}

/// Where a text stands on its point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    /// `<name a="…"/>`
    pub fn empty(&mut self, name: &str, attributes: &[(&str, Value<'_>)]) {
        self.open(name, attributes, "/>");
    }

    /// `<name a="…">text</name>`
    pub fn text(&mut self, name: &str, attributes: &[(&str, Value<'_>)], text: &str) {
        self.open(name, attributes, ">");
        self.text.push_str(&markup(text));
        let _ = writeln!(self.text, "</{name}>");
    }

    /// `<name a="…">`, what `inside` adds, `</name>`
    pub fn group(
        &mut self,
        name: &str,
        attributes: &[(&str, Value<'_>)],
        inside: impl FnOnce(&mut Self),
    ) {
        self.open(name, attributes, ">\n");
        inside(self);
        let _ = writeln!(self.text, "</{name}>");
    }

    /// A line of text with its baseline at a point.
    pub fn label(&mut self, (x, y): (f64, f64), anchor: Anchor, class: &str, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let at = [
            ("x", Value::Number(x)),
            ("y", Value::Number(y)),
            ("text-anchor", Value::Text(anchor)),
            ("class", Value::Text(class)),
        ];
        self.text("text", &at, text);
    }

    /// A line of text that reads upwards, its baseline's middle at a point.
    pub fn turned_label(&mut self, (x, y): (f64, f64), text: &str) {
        let turned = format!("rotate(-90 {} {})", number(x), number(y));
        let attributes = [
            ("x", x.into()),
            ("y", y.into()),
            ("text-anchor", "middle".into()),
            ("transform", Value::Text(&turned)),
        ];
        self.text("text", &attributes, text);
    }

    /// A straight line.
    pub fn line(&mut self, (x1, y1): (f64, f64), (x2, y2): (f64, f64), class: &str) {
        let ends = [("x1", x1), ("y1", y1), ("x2", x2), ("y2", y2)];
        let mut attributes: Vec<_> = ends.map(|(name, v)| (name, Value::Number(v))).to_vec();
        attributes.push(("class", Value::Text(class)));
        self.empty("line", &attributes);
    }

    /// Elements that are written already.
    pub fn raw(&mut self, elements: &str) {
        self.text.push_str(elements);
    }

    pub fn finish(self) -> String {
        self.text
    }

    fn open(&mut self, name: &str, attributes: &[(&str, Value<'_>)], end: &str) {
        let _ = write!(self.text, "<{name}");
        for (name, value) in attributes {
            let value = match value {
                Value::Number(value) => number(*value),
                Value::Text(text) => markup(text),
            };
            let _ = write!(self.text, " {name}=\"{value}\"");
        }
        self.text.push_str(end);
        if end == "/>" {
            self.text.push('\n');
        }
    }
}

/// Two decimals at most, no `-0`, and 0 for what is not finite: a file with such a coordinate would not show at all.
pub fn number(value: f64) -> String {
    let value = if value.is_finite() { value } else { 0.0 };
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" | "" => "0".to_owned(),
        text => text.to_owned(),
    }
}

/// The points of a path or polygon: `x,y x,y`.
pub fn points(points: &[(f64, f64)]) -> String {
    let points = points
        .iter()
        .map(|&(x, y)| format!("{},{}", number(x), number(y)));
    points.collect::<Vec<_>>().join(" ")
}
