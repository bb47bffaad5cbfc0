//! Charts: panels with axes and series under one title and one legend, which stands above them and covers nothing.

use super::scale::Scale;
use super::style::{self, LINE, Marker, Style, WIDTH, text_width};
use super::svg::{Anchor, Svg, Value, points};

/// Height of a panel with its axis, in the figure's units.
const PANEL: f64 = 230.0;
const MARGIN: f64 = 8.0;

/// A figure's frame: everything but its data.
#[derive(Debug, Clone, Default)]
pub struct Frame {
    /// Unique in the page.
    pub id: String,
    pub title: String,
    /// For who does not see the image.
    pub description: String,
    /// Lines below the image: n, what bars and bands mean, where numbers come from.
    pub notes: Vec<String>,
}

/// A figure of panels.
#[derive(Debug, Clone, Default)]
pub struct Chart {
    pub frame: Frame,
    /// From top to bottom.
    pub rows: Vec<Row>,
}

/// Panels from left to right under their legend.
#[derive(Debug, Clone, Default)]
pub struct Row {
    pub legend: Vec<(String, Style)>,
    pub panels: Vec<Panel>,
}

/// One pair of axes with its series.
#[derive(Debug, Clone, Default)]
pub struct Panel {
    /// What sets it apart from the other panels; may be empty.
    pub title: String,
    pub x: Axis,
    pub y: Axis,
    pub series: Vec<Series>,
}

#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// With its unit.
    pub label: String,
    pub range: (f64, f64),
    /// Where texts stand; empty: at round numbers.
    pub ticks: Vec<(f64, String)>,
}

/// Values of one kind.
#[derive(Debug, Clone)]
pub struct Series {
    pub style: Style,
    pub marks: Vec<Mark>,
    pub joined: bool,
    /// Whether every mark is drawn, or only the line.
    pub markers: bool,
    pub spread: Spread,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mark {
    pub x: f64,
    pub y: f64,
    /// Interval or range around `y`.
    pub range: Option<(f64, f64)>,
}

/// How intervals are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spread {
    Bars,
    Band,
}

/// A rectangle: left, top, right, bottom.
#[derive(Debug, Clone, Copy)]
pub struct Area {
    pub left: f64,
    pub top: f64,
    pub right: f64,
    pub bottom: f64,
}

impl Frame {
    /// The whole figure: title, what `draw` adds from the given height on (it returns where it ends), notes.
    pub fn render(&self, draw: impl FnOnce(&mut Svg, f64) -> f64) -> String {
        let mut inside = Svg::default();
        let mut y = MARGIN;
        for line in wrapped(&self.title, WIDTH - 2.0 * MARGIN) {
            y += LINE;
            inside.label((MARGIN, y), Anchor::Start, "title", &line);
        }
        y = draw(&mut inside, y + MARGIN);
        for line in self
            .notes
            .iter()
            .flat_map(|note| wrapped(note, 1.1 * (WIDTH - 2.0 * MARGIN)))
        {
            y += LINE;
            inside.label((MARGIN, y), Anchor::Start, "note", &line);
        }
        self.document(y + MARGIN, &inside.finish())
    }

    fn document(&self, height: f64, inside: &str) -> String {
        let (title, description) = (format!("{}-title", self.id), format!("{}-desc", self.id));
        let view = format!("0 0 {WIDTH} {}", super::svg::number(height));
        let labelled = format!("{title} {description}");
        let attributes = [
            ("xmlns", Value::Text("http://www.w3.org/2000/svg")),
            ("id", Value::Text(&self.id)),
            ("viewBox", Value::Text(&view)),
            ("role", Value::Text("img")),
            ("aria-labelledby", Value::Text(&labelled)),
        ];
        let mut svg = Svg::default();
        svg.group("svg", &attributes, |svg| {
            svg.text("title", &[("id", Value::Text(&title))], &self.title);
            svg.text(
                "desc",
                &[("id", Value::Text(&description))],
                &self.description,
            );
            svg.raw(&style::sheet(&self.id));
            let paper = [
                ("width", WIDTH.into()),
                ("height", height.into()),
                ("class", "paper".into()),
            ];
            svg.empty("rect", &paper);
            svg.raw(inside);
        });
        svg.finish()
    }
}

impl Chart {
    pub fn render(&self) -> String {
        self.frame.render(|svg, top| {
            let rows = self.rows.iter();
            rows.fold(top, |y, row| row.draw(svg, y))
        })
    }
}

impl Row {
    /// Returns where it ends.
    fn draw(&self, svg: &mut Svg, top: f64) -> f64 {
        let top = self.draw_legend(svg, top);
        let width = (WIDTH - 2.0 * MARGIN) / self.panels.len().max(1) as f64;
        for (index, panel) in self.panels.iter().enumerate() {
            let left = MARGIN + width * index as f64;
            let area = Area {
                left,
                top,
                right: left + width,
                bottom: top + PANEL,
            };
            panel.draw(svg, area);
        }
        top + PANEL + MARGIN
    }

    /// Entries in lines as wide as the figure; returns where they end.
    fn draw_legend(&self, svg: &mut Svg, top: f64) -> f64 {
        const SAMPLE: f64 = 30.0;
        let (mut x, mut y) = (MARGIN, top);
        for (label, style) in &self.legend {
            let width = SAMPLE + 6.0 + text_width(label) + 10.0;
            if x > MARGIN && x + width > WIDTH {
                (x, y) = (MARGIN, y + LINE + 2.0);
            }
            let middle = y + LINE / 2.0;
            stroke(svg, &[(x, middle), (x + SAMPLE, middle)], *style);
            marker(svg, (x + SAMPLE / 2.0, middle), *style);
            let place = (x + SAMPLE + 6.0, middle + 4.5);
            svg.label(place, Anchor::Start, "legend", label);
            x += width;
        }
        match self.legend.is_empty() {
            true => y,
            false => y + LINE + 6.0,
        }
    }
}

impl Panel {
    fn draw(&self, svg: &mut Svg, area: Area) {
        let inner = self.inner(area);
        let x = Scale::new(self.x.range, (inner.left, inner.right));
        let y = Scale::new(self.y.range, (inner.bottom, inner.top));
        if !self.title.is_empty() {
            let place = ((inner.left + inner.right) / 2.0, area.top + 12.0);
            svg.label(place, Anchor::Middle, "note", &self.title);
        }
        self.draw_axes(svg, area, inner, (x, y));
        for series in &self.series {
            series.draw(svg, x, y);
        }
    }

    /// Where the data are.
    fn inner(&self, area: Area) -> Area {
        let ticks = self.y.ticks(5);
        let widest = ticks.iter().map(|(_, text)| text_width(text));
        let title = if self.title.is_empty() { 8.0 } else { 20.0 };
        let label = if self.y.label.is_empty() { 4.0 } else { 20.0 };
        Area {
            left: area.left + label + widest.fold(0.0, f64::max) + 4.0,
            top: area.top + title,
            right: area.right - 10.0,
            bottom: area.bottom - 38.0,
        }
    }

    fn draw_axes(&self, svg: &mut Svg, area: Area, inner: Area, (x, y): (Scale, Scale)) {
        for (value, text) in self.y.ticks(5) {
            let at = y.place(value);
            svg.line((inner.left, at), (inner.right, at), "grid");
            svg.label((inner.left - 5.0, at + 4.0), Anchor::End, "tick", &text);
        }
        let mut free = f64::NEG_INFINITY;
        for (value, text) in self.x.ticks(5) {
            let at = x.place(value);
            svg.line((at, inner.bottom), (at, inner.bottom + 4.0), "axis");
            let half = text_width(&text) / 2.0;
            // A text that would touch the one before it is left out; its line stays.
            if at - half > free {
                svg.label((at, inner.bottom + 16.0), Anchor::Middle, "tick", &text);
                free = at + half + 2.0;
            }
        }
        svg.line(
            (inner.left, inner.bottom),
            (inner.right, inner.bottom),
            "axis",
        );
        svg.line((inner.left, inner.top), (inner.left, inner.bottom), "axis");
        let middle = ((inner.left + inner.right) / 2.0, area.bottom - 5.0);
        svg.label(middle, Anchor::Middle, "label", &self.x.label);
        if !self.y.label.is_empty() {
            let (x, y) = (area.left + 11.0, (inner.top + inner.bottom) / 2.0);
            svg.turned_label((x, y), &self.y.label);
        }
    }
}

impl Axis {
    pub fn new(label: &str, range: (f64, f64)) -> Self {
        Self {
            label: label.to_owned(),
            range,
            ticks: Vec::new(),
        }
    }

    /// Texts at whole numbers, such as frame counts.
    pub fn at(mut self, values: impl IntoIterator<Item = usize>) -> Self {
        let tick = |value: usize| (value as f64, value.to_string());
        self.ticks = values.into_iter().map(tick).collect();
        self
    }

    fn ticks(&self, count: usize) -> Vec<(f64, String)> {
        match self.ticks.is_empty() {
            true => Scale::new(self.range, (0.0, 1.0)).ticks(count),
            false => self.ticks.clone(),
        }
    }
}

impl Series {
    /// Marks joined by a line, each drawn, with bars for their intervals.
    pub fn new(style: Style, marks: Vec<Mark>) -> Self {
        Self {
            style,
            marks,
            joined: true,
            markers: true,
            spread: Spread::Bars,
        }
    }

    fn draw(&self, svg: &mut Svg, x: Scale, y: Scale) {
        let finite = |mark: &&Mark| mark.x.is_finite() && mark.y.is_finite();
        let marks: Vec<&Mark> = self.marks.iter().filter(finite).collect();
        let places: Vec<(f64, f64)> = marks.iter().map(|m| (x.place(m.x), y.place(m.y))).collect();
        let ranges = marks.iter().zip(&places).filter_map(|(mark, &(at, _))| {
            let (low, high) = mark.range?;
            Some((at, y.place(low), y.place(high)))
        });
        let ranges: Vec<(f64, f64, f64)> = ranges.collect();
        match self.spread {
            Spread::Band => band(svg, &ranges, self.style),
            Spread::Bars => ranges.iter().for_each(|&range| bar(svg, range, self.style)),
        }
        if self.joined && places.len() > 1 {
            stroke(svg, &places, self.style);
        }
        if self.markers || places.len() == 1 {
            places.iter().for_each(|&at| marker(svg, at, self.style));
        }
    }
}

/// A line through points.
fn stroke(svg: &mut Svg, through: &[(f64, f64)], style: Style) {
    let places = points(through);
    let attributes = [
        ("points", Value::Text(&places)),
        ("fill", "none".into()),
        ("stroke", style.colour.into()),
        ("stroke-width", 2.0.into()),
        ("stroke-dasharray", style.dash.into()),
    ];
    svg.empty("polyline", &attributes);
}

/// The area between the lower and the upper ends.
fn band(svg: &mut Svg, ranges: &[(f64, f64, f64)], style: Style) {
    let lower = ranges.iter().map(|&(x, low, _)| (x, low));
    let upper = ranges.iter().rev().map(|&(x, _, high)| (x, high));
    let outline: Vec<(f64, f64)> = lower.chain(upper).collect();
    if outline.len() < 4 {
        return ranges.iter().for_each(|&range| bar(svg, range, style));
    }
    let places = points(&outline);
    let attributes = [
        ("points", Value::Text(&places)),
        ("fill", style.colour.into()),
        ("fill-opacity", 0.2.into()),
    ];
    svg.empty("polygon", &attributes);
}

/// An upright bar with a foot and a head.
fn bar(svg: &mut Svg, (x, low, high): (f64, f64, f64), style: Style) {
    const HALF: f64 = 3.0;
    let path = format!(
        "M{x0},{low} H{x1} M{x},{low} V{high} M{x0},{high} H{x1}",
        x = super::svg::number(x),
        x0 = super::svg::number(x - HALF),
        x1 = super::svg::number(x + HALF),
        low = super::svg::number(low),
        high = super::svg::number(high),
    );
    let attributes = [
        ("d", Value::Text(&path)),
        ("fill", "none".into()),
        ("stroke", style.colour.into()),
        ("stroke-width", 1.2.into()),
    ];
    svg.empty("path", &attributes);
}

/// A series' sign at a point.
fn marker(svg: &mut Svg, (x, y): (f64, f64), style: Style) {
    const R: f64 = 4.0;
    let colour = Value::Text(style.colour);
    let mut polygon = |corners: &[(f64, f64)]| {
        let moved: Vec<(f64, f64)> = corners
            .iter()
            .map(|(dx, dy)| (x + dx * R, y + dy * R))
            .collect();
        let places = points(&moved);
        svg.empty(
            "polygon",
            &[("points", Value::Text(&places)), ("fill", colour)],
        );
    };
    match style.marker {
        Marker::Circle => svg.empty(
            "circle",
            &[
                ("cx", x.into()),
                ("cy", y.into()),
                ("r", R.into()),
                ("fill", colour),
            ],
        ),
        Marker::Square => polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]),
        Marker::Triangle => polygon(&[(0.0, -1.2), (1.1, 0.8), (-1.1, 0.8)]),
        Marker::Down => polygon(&[(0.0, 1.2), (1.1, -0.8), (-1.1, -0.8)]),
        Marker::Diamond => polygon(&[(0.0, -1.3), (1.1, 0.0), (0.0, 1.3), (-1.1, 0.0)]),
        Marker::Cross => polygon(&[
            (-1.2, -0.4),
            (-0.4, -0.4),
            (-0.4, -1.2),
            (0.4, -1.2),
            (0.4, -0.4),
            (1.2, -0.4),
            (1.2, 0.4),
            (0.4, 0.4),
            (0.4, 1.2),
            (-0.4, 1.2),
            (-0.4, 0.4),
            (-1.2, 0.4),
        ]),
    }
}

/// A text in lines of at most `width`, broken at spaces but not at no-break spaces.
pub fn wrapped(text: &str, width: f64) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        match lines.last_mut() {
            Some(line) if text_width(line) + text_width(word) + text_width(" ") <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
