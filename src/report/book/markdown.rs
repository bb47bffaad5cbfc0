//! A page as a sequence of parts: where prose is, where code, where a reference.
//!
//! Not a Markdown parser: it knows fences, code spans, HTML comments and tags, the targets of links, and
//! `{{references}}`, which is what the rules of the book look at. Nothing inside code or a comment is a reference.

use std::ops::Range;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    Prose,
    /// Between backticks on a line.
    Span,
    /// A fenced block, with the language that its first line names.
    Fence(&'a str),
    /// A comment, a tag, or the target of a link: what nobody reads.
    Hidden,
    /// `{{…}}`, with what is between the braces.
    Reference(&'a str),
}

/// Every part of a text in its order; together they are the whole text.
pub fn parts(text: &str) -> Vec<(Part<'_>, Range<usize>)> {
    let mut scanner = Scanner {
        text,
        at: 0,
        prose: 0,
        parts: Vec::new(),
    };
    while scanner.at < text.len() {
        scanner.step();
    }
    scanner.end_prose();
    scanner.parts
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// Where the prose that is not pushed yet begins.
    prose: usize,
    parts: Vec<(Part<'a>, Range<usize>)>,
}

impl<'a> Scanner<'a> {
    fn step(&mut self) {
        let rest = self.rest();
        if self.at_line_start()
            && let Some((language, length)) = fence(rest)
        {
            self.push(Part::Fence(language), length);
        } else if rest.starts_with('`') {
            match code_span(rest) {
                Some(length) => self.push(Part::Span, length),
                None => self.at += rest.len() - rest.trim_start_matches('`').len(),
            }
        } else if let Some(length) = delimited(rest, "<!--", "-->").or_else(|| tag(rest)) {
            self.push(Part::Hidden, length);
        } else if let Some(length) = link_target(rest) {
            // The bracket belongs to the link's text.
            self.at += 1;
            self.push(Part::Hidden, length - 1);
        } else if let Some((inner, length)) = reference(rest) {
            self.push(Part::Reference(inner), length);
        } else {
            self.at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn at_line_start(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        before.is_empty() || before.ends_with('\n')
    }

    fn push(&mut self, part: Part<'a>, length: usize) {
        self.end_prose();
        self.parts.push((part, self.at..self.at + length));
        self.at += length;
        self.prose = self.at;
    }

    fn end_prose(&mut self) {
        if self.prose < self.at {
            self.parts.push((Part::Prose, self.prose..self.at));
        }
    }
}

/// The language and length of a fenced block at the start of a line; without a closing fence it is the rest.
fn fence(text: &str) -> Option<(&str, usize)> {
    let (first, _) = text.split_once('\n').unwrap_or((text, ""));
    let opening = first.trim_start();
    let mark = opening.chars().next().filter(|c| ['`', '~'].contains(c))?;
    let width = opening.len() - opening.trim_start_matches(mark).len();
    let language = opening.get(width..)?.trim();
    if width < 3 || language.contains('`') {
        return None;
    }
    let mut length = first.len() + 1;
    for line in text.get(length..).unwrap_or_default().split_inclusive('\n') {
        length += line.len();
        let closing = line.trim();
        if closing.len() >= width && closing.chars().all(|c| c == mark) {
            break;
        }
    }
    Some((language, length.min(text.len())))
}

/// The length of a code span: as many backticks close it as open it, within the paragraph.
fn code_span(text: &str) -> Option<usize> {
    let width = text.len() - text.trim_start_matches('`').len();
    let paragraph = text.split("\n\n").next().unwrap_or(text);
    let mut at = width;
    while let Some(found) = paragraph.get(at..)?.find('`') {
        let start = at + found;
        let rest = paragraph.get(start..)?;
        let run = rest.len() - rest.trim_start_matches('`').len();
        if run == width {
            return Some(start + run);
        }
        at = start + run;
    }
    None
}

fn delimited(text: &str, open: &str, close: &str) -> Option<usize> {
    let inner = text.strip_prefix(open)?;
    Some(
        inner
            .find(close)
            .map_or(text.len(), |at| open.len() + at + close.len()),
    )
}

/// The length of an HTML tag or an address in angle brackets.
fn tag(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('<')?;
    let first = inner.chars().next()?;
    let end = inner.find('>')?;
    (first.is_ascii_alphabetic() || first == '/').then_some(end + 2)
}

/// The length of `](target`, without the closing bracket.
fn link_target(text: &str) -> Option<usize> {
    let inner = text.strip_prefix("](")?;
    Some(2 + inner.find([')', '\n'])?)
}

fn reference(text: &str) -> Option<(&str, usize)> {
    let inner = text.strip_prefix("{{")?;
    let line = inner.split('\n').next().unwrap_or(inner);
    let end = line.find("}}")?;
    Some((line.get(..end)?, end + 4))
}

/// Line and column of a byte, both from 1; columns count characters.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Vec<(Part<'_>, &str)> {
        let parts = parts(text).into_iter();
        parts.map(|(part, range)| (part, &text[range])).collect()
    }

    #[test]
    fn every_kind_of_part_is_found() {
        let text =
            "a `b {{c}}` {{top1 x 4}}\n\n```text\n{{no}}\n```\n<!-- 1.5 --> [l](p 2.5.md) <br>";
        assert_eq!(
            shown(text),
            [
                (Part::Prose, "a "),
                (Part::Span, "`b {{c}}`"),
                (Part::Prose, " "),
                (Part::Reference("top1 x 4"), "{{top1 x 4}}"),
                (Part::Prose, "\n\n"),
                (Part::Fence("text"), "```text\n{{no}}\n```\n"),
                (Part::Hidden, "<!-- 1.5 -->"),
                (Part::Prose, " [l]"),
                (Part::Hidden, "(p 2.5.md"),
                (Part::Prose, ") "),
                (Part::Hidden, "<br>"),
            ]
        );
    }

    #[test]
    fn an_open_fence_takes_the_rest_and_a_lone_backtick_nothing() {
        assert_eq!(shown("```\na {{b}}"), [(Part::Fence(""), "```\na {{b}}")]);
        assert_eq!(shown("a ` b < 3"), [(Part::Prose, "a ` b < 3")]);
    }

    #[test]
    fn places_count_characters() {
        assert_eq!(place("é\nüü5", 7), (2, 3));
    }

    proptest! {
        #[test]
        fn parts_are_the_whole_text(text in "[a`~{}<>!\\-\\[\\]() \n1.%é]{0,80}") {
            let mut at = 0;
            for (_, range) in parts(&text) {
                prop_assert_eq!(range.start, at);
                prop_assert!(text.get(range.clone()).is_some_and(|part| !part.is_empty()));
                at = range.end;
            }
            prop_assert_eq!(at, text.len());
        }
    }
}
