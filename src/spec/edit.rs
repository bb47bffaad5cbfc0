//! The text of an experiment, edited in place: what nobody asked to change keeps its order, its layout and its comments.
//!
//! Fields are named by path, `train.clips.flip`. A comment belongs to the field below it, or to the one that it stands behind in its
//! line.

use super::lexer::{self, Token, TokenKind};
use super::parser;
use super::syntax::{Body, Field, Kind, Node, Span};

/// Columns of comments that are written.
const WIDTH: usize = 120;
/// Spaces of one level.
const INDENT: usize = 4;

/// A text without syntax mistakes.
#[derive(Debug, Clone)]
pub struct Edited {
    text: String,
}

/// Where a field stands.
struct Place {
    /// Its name and its value.
    field: Span,
    value: Span,
    /// The end of the bracket or comma before it.
    before: usize,
    /// The end of its comma, or of its value where there is none.
    after: usize,
    /// The start of what follows its comma: the next field, or the bracket that closes.
    next: usize,
    /// The brackets around it and its neighbours, with both.
    body: Span,
}

impl Edited {
    pub fn new(text: &str) -> Self {
        let text = text.replace("\r\n", "\n");
        Self { text }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn gives(&self, path: &str) -> bool {
        self.place(path).is_some()
    }

    /// Puts comments in the place of all that stands before the experiment, and drops what stands behind it.
    pub fn head(&mut self, comments: &[String]) {
        let (node, _) = parser::parse(&self.text);
        let head: String = comments.iter().flat_map(|text| comment(0, text)).collect();
        self.text = format!("{head}{}\n", self.slice(node.span));
    }

    /// Gives a field a value. One that is not there becomes the last of its struct, which is made where it is not there either.
    pub fn set(&mut self, path: &str, value: &str) {
        if let Some(place) = self.place(path) {
            return self.text.replace_range(place.value, value);
        }
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let Some((body, fields)) = self.body(parent) else {
            return self.set(parent, &format!("({name}: {value})"));
        };
        let added = format!("{name}: {value}");
        let Some(last) = fields
            .last()
            .and_then(|last| self.place(&join(parent, last)))
        else {
            return self.text.replace_range(body, &format!("({added})"));
        };
        let end = self.line_end(last.after);
        match self.own_line(&last) && end < last.next {
            false => self.text.insert_str(last.value.end, &format!(", {added}")),
            true => {
                let indent = " ".repeat(self.indent(last.field.start));
                self.text.insert_str(end, &format!("\n{indent}{added},"));
                if last.after == last.value.end {
                    self.text.insert(last.value.end, ',');
                }
            }
        }
    }

    /// Takes a field and its comments out; `false` where it is not there.
    pub fn remove(&mut self, path: &str) -> bool {
        self.uncomment(path);
        let Some(place) = self.place(path) else {
            return false;
        };
        let is_last = self.text[place.next..].starts_with(')');
        let end = self.line_end(place.after);
        let alone = self.own_line(&place) && end < place.next;
        let range = match (alone, is_last) {
            (true, _) => self.line_start(place.field.start)..end + 1,
            (false, false) => place.field.start..place.next,
            (false, true) if self.text[..place.before].ends_with(',') => {
                place.before - 1..place.value.end
            }
            (false, true) => place.field.start..place.after,
        };
        self.text.replace_range(range, "");
        true
    }

    /// Takes the comments of a field away.
    pub fn uncomment(&mut self, path: &str) {
        let Some(place) = self.place(path) else {
            return;
        };
        let behind = self.line_end(place.after);
        if behind > place.after && behind <= place.next {
            self.text.replace_range(place.after..behind, "");
        }
        match self.own_line(&place) {
            true => {
                let above = self.line_end(place.before) + 1;
                let own = self.line_start(place.field.start);
                if above < own {
                    self.text.replace_range(above..own, "");
                }
            }
            false => {
                let gap = match self.text[..place.before].ends_with('(') {
                    true => "",
                    false => " ",
                };
                self.text
                    .replace_range(place.before..place.field.start, gap);
            }
        }
    }

    /// Writes a comment above a field, which gets a line of its own, below those that it has.
    pub fn comment(&mut self, path: &str, text: &str) {
        let ends = path.match_indices('.').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            self.break_lines(&path[..end]);
        }
        if let Some(place) = self.place(path) {
            let indent = self.indent(place.field.start);
            let lines: String = comment(indent, text).collect();
            self.text
                .insert_str(self.line_start(place.field.start), &lines);
        }
    }

    /// Gives each field of the struct that holds this one a line of its own, if this one has none.
    fn break_lines(&mut self, path: &str) {
        let Some(place) = self.place(path).filter(|place| !self.own_line(place)) else {
            return;
        };
        let parent = path.rsplit_once('.').map_or("", |(parent, _)| parent);
        let fields = self.body(parent).map_or(Vec::new(), |(_, fields)| fields);
        let places = fields
            .iter()
            .filter_map(|name| self.place(&join(parent, name)));
        let outer = self.indent(place.body.start);
        let inner = " ".repeat(outer + INDENT);
        let lines: String = places
            .map(|place| {
                let field = self.slice(place.before..place.value.end).trim();
                format!("{inner}{field},\n")
            })
            .collect();
        let body = format!("(\n{lines}{})", " ".repeat(outer));
        self.text.replace_range(place.body, &body);
    }

    /// Takes all comments away.
    pub fn strip(&mut self) {
        let (tokens, _) = lexer::tokens(&self.text);
        let mut stripped = String::with_capacity(self.text.len());
        let mut end = 0;
        for token in &tokens {
            stripped += &without_comments(&self.text[end..token.span.start]);
            stripped += &self.text[token.span.clone()];
            end = token.span.end;
        }
        self.text = stripped + "\n";
    }

    /// The brackets of a struct or variant, with both, and the names of its fields.
    fn body(&self, path: &str) -> Option<(Span, Vec<String>)> {
        let (node, _) = parser::parse(&self.text);
        let (tokens, _) = lexer::tokens(&self.text);
        let node = find(&node, path)?;
        let fields = fields_of(node)?;
        let names = fields.iter().map(|field| field.name.text.clone());
        Some((brackets(node, &tokens)?, names.collect()))
    }

    fn place(&self, path: &str) -> Option<Place> {
        let (node, _) = parser::parse(&self.text);
        let (tokens, _) = lexer::tokens(&self.text);
        let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
        let parent = find(&node, parent)?;
        let mut fields = fields_of(parent)?.iter();
        let field = fields.find(|field| field.name.text == name)?;
        let (start, end) = (field.name.span.start, field.value.span.end);
        let before = tokens.iter().rfind(|token| token.span.end <= start)?;
        let mut behind = tokens.iter().filter(|token| token.span.start >= end);
        let first = behind.next()?;
        let is_comma = first.kind == TokenKind::Punct(',');
        let (after, next) = match is_comma {
            true => (first.span.end, behind.next()?.span.start),
            false => (end, first.span.start),
        };
        Some(Place {
            field: start..end,
            value: field.value.span.clone(),
            before: before.span.end,
            after,
            next,
            body: brackets(parent, &tokens)?,
        })
    }

    fn slice(&self, span: Span) -> &str {
        self.text.get(span).unwrap_or_default()
    }

    /// Whether a field is the first of its line.
    fn own_line(&self, place: &Place) -> bool {
        first_end(self.slice(place.before..place.field.start)).is_some()
    }

    fn line_start(&self, at: usize) -> usize {
        self.text[..at].rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// The end of the line, of which only a comment follows. A comment that goes on for several lines is one line.
    fn line_end(&self, at: usize) -> usize {
        first_end(&self.text[at..]).map_or(self.text.len(), |end| at + end)
    }

    /// Spaces before the line's first sign.
    fn indent(&self, at: usize) -> usize {
        let line = &self.text[self.line_start(at)..];
        line.len() - line.trim_start_matches(' ').len()
    }
}

fn join(parent: &str, name: &str) -> String {
    match parent {
        "" => name.to_owned(),
        parent => format!("{parent}.{name}"),
    }
}

fn find<'a>(node: &'a Node, path: &str) -> Option<&'a Node> {
    let mut names = path.split('.').filter(|name| !name.is_empty());
    names.try_fold(node, |node, name| {
        let mut fields = fields_of(node)?.iter();
        fields
            .find(|field| field.name.text == name)
            .map(|field| &field.value)
    })
}

/// The fields of a struct or variant; none of one without brackets.
fn fields_of(node: &Node) -> Option<&[Field]> {
    match &node.kind {
        Kind::Some(inner) => fields_of(inner),
        Kind::Item { body, .. } => match body {
            Body::Fields(fields) => Some(fields),
            Body::Values(values) if values.is_empty() => Some(&[]),
            Body::Values(_) | Body::Bare => None,
        },
        _ => None,
    }
}

fn brackets(node: &Node, tokens: &[Token]) -> Option<Span> {
    let (start, end) = match &node.kind {
        Kind::Some(inner) => return brackets(inner, tokens),
        Kind::Item {
            name: Some(name), ..
        } => (name.span.end, node.span.end),
        _ => (node.span.start, node.span.end),
    };
    let mut tokens = tokens.iter().filter(|token| token.span.start >= start);
    let open = tokens.find(|token| token.kind == TokenKind::Punct('('))?;
    Some(open.span.start..end)
}

/// Where the first line of a text ends that begins with spaces and comments; `None` where something else follows in it.
fn first_end(text: &str) -> Option<usize> {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() && c != '\n');
        let at = text.len() - rest.len();
        if rest.starts_with('\n') {
            return Some(at);
        } else if rest.starts_with("//") {
            return rest.find('\n').map(|end| at + end);
        } else if rest.starts_with("/*") {
            rest = rest.get(block(rest)..)?;
        } else {
            return None;
        }
    }
}

/// The length of the block comment with which a text begins; they nest.
fn block(text: &str) -> usize {
    let (mut depth, mut at) = (0usize, 0);
    loop {
        match text.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") => (depth, at) = (depth.saturating_sub(1), at + 2),
            Some(_) => at += 1,
            None => return text.len(),
        }
        if depth == 0 {
            return at;
        }
    }
}

/// What stands between two tokens, without comments, and without the lines that had nothing else.
fn without_comments(gap: &str) -> String {
    let mut lines = vec![(String::new(), false)];
    let mut rest = gap;
    while let Some(sign) = rest.chars().next() {
        let length = match rest {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => block(rest),
            _ => sign.len_utf8(),
        };
        if sign == '\n' {
            lines.push((String::new(), false));
        } else if let Some((line, had_comment)) = lines.last_mut() {
            *had_comment |= sign == '/';
            line.extend(Some(sign).filter(|sign| *sign != '/'));
        }
        rest = &rest[length..];
    }
    let last = lines.len() - 1;
    let lines = lines
        .into_iter()
        .enumerate()
        .filter_map(
            |(i, (line, had_comment))| match (i == last, had_comment && i > 0) {
                (true, _) => Some(line),
                (false, true) => None,
                (false, false) => Some(line.trim_end().to_owned()),
            },
        );
    lines.collect::<Vec<_>>().join("\n")
}

/// The lines of a comment.
fn comment(indent: usize, text: &str) -> impl Iterator<Item = String> {
    let start = format!("{}//", " ".repeat(indent));
    let mut lines = vec![start.clone()];
    for word in text.split_whitespace() {
        let length = lines.last().map_or(0, |line| line.chars().count());
        if length + 1 + word.chars().count() > WIDTH && length > start.len() {
            lines.push(start.clone());
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
    }
    lines.into_iter().map(|line| line + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
// Of another data set.
Experiment(
    name: \"x\", // its name
    /* of the
       model */
    model: Tsm(init: Pretrained(file: \"w\", /* none */ sha256: None)),
    // Above the training.
    train: (epochs: 5, clips: (flip: Off, size: 32)),
    eval: (
        frames: [4],
        // How often.
        every: 0 // never
    ),
)
// The end.
";

    fn edited(edit: impl FnOnce(&mut Edited)) -> String {
        let mut text = Edited::new(TEXT);
        edit(&mut text);
        let (_, mistakes) = parser::parse(text.text());
        assert_eq!(mistakes, [], "{}", text.text());
        text.text().to_owned()
    }

    #[test]
    fn values_change_and_the_rest_stays() {
        let text = edited(|text| {
            text.set("train.clips.size", "64");
            text.set("name", "\"y\"");
        });
        let expected = TEXT.replace("size: 32", "size: 64");
        assert_eq!(text, expected.replace("\"x\"", "\"y\""));
        assert_eq!(edited(|_| ()), TEXT);
    }

    #[test]
    fn each_edit_leaves_a_text_that_can_be_read() {
        type Edit = (&'static str, fn(&mut Edited));
        let edits: [Edit; 12] = [
            ("head", |text| text.head(&["Mine.".to_owned()])),
            ("set what is not there", |text| text.set("train.batch", "8")),
            ("set behind a comment", |text| text.set("eval.batch", "8")),
            ("set in what is not there", |text| {
                text.set("schedule.warmup.epochs", "1");
            }),
            ("comment in a line", |text| {
                text.comment("train.clips.flip", "Why.");
            }),
            ("comment inside of a comment", |text| {
                text.comment("model.init.sha256", "Why.");
            }),
            ("remove the first", |text| {
                assert!(text.remove("train.epochs"))
            }),
            ("remove the last", |text| {
                assert!(text.remove("train.clips.size"))
            }),
            ("remove a line", |text| assert!(text.remove("model"))),
            ("remove the last line", |text| {
                assert!(text.remove("eval.every"))
            }),
            ("uncomment", |text| {
                ["name", "model", "model.init.sha256", "train", "eval.every"]
                    .iter()
                    .for_each(|path| text.uncomment(path));
            }),
            ("strip", Edited::strip),
        ];
        let texts = edits.map(|(name, edit)| format!("--- {name}\n{}", edited(edit)));
        insta::assert_snapshot!(texts.concat());
    }

    #[test]
    fn long_comments_are_wrapped() {
        let lines: Vec<String> = comment(4, &"word ".repeat(40)).collect();
        assert_eq!(lines.len(), 2);
        assert!(
            lines.iter().all(|line| line.len() <= WIDTH + 1),
            "{lines:?}"
        );
    }

    fn paths(node: &Node, path: &str, all: &mut Vec<String>) {
        for field in fields_of(node).unwrap_or_default() {
            let path = join(path, &field.name.text);
            paths(&field.value, &path, all);
            all.push(path);
        }
    }

    /// Of every experiment of the repository and every field of it.
    #[test]
    fn comments_change_no_experiment() {
        let canonical = |text: &Edited| {
            let parsed = crate::spec::parse("edited", text.text());
            let parsed = parsed.unwrap_or_else(|error| panic!("{error}\n{}", text.text()));
            parsed.0.canonical()
        };
        for example in crate::spec::examples::experiments() {
            let text = Edited::new(example.text);
            let expected = canonical(&text);
            let mut all = Vec::new();
            paths(&parser::parse(example.text).0, "", &mut all);
            for path in &all {
                let mut text = text.clone();
                text.uncomment(path);
                text.comment(path, "Why it is so.");
                assert_eq!(canonical(&text), expected, "{} {path}", example.name);
                assert!(text.text().contains("// Why it is so.\n"));
                text.strip();
                assert_eq!(canonical(&text), expected, "{} {path}", example.name);
                assert!(!text.text().contains("//"));
            }
        }
    }
}
