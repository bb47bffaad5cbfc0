//! A text as it can be shown in a report: hidden characters are seen, and of a line that is too wide stand the parts
//! around the labels. Offsets are carried over; lines and columns stay those of the text.

use std::ops::Range;

use miette::{MietteError, MietteSpanContents, SourceCode, SourceSpan, SpanContents};

use super::syntax::Span;
use crate::base::terminal::is_hidden;

/// Columns up to which a line is shown whole.
const WIDEST: usize = 400;

/// Columns that are kept before a label, of what it underlines, and behind that.
const AROUND: usize = 100;

/// What stands for a part that is left out.
const CUT: &str = "…";

#[derive(Debug)]
pub struct Excerpt<'a> {
    name: &'a str,
    original: &'a str,
    text: String,
    /// Where runs of bytes that were taken over begin: offset in the excerpt, range in the original. Ascending.
    runs: Vec<(usize, Range<usize>)>,
}

impl<'a> Excerpt<'a> {
    /// Of `text`, called `name`, for labels at `spans`.
    pub fn new(name: &'a str, text: &'a str, spans: &[Span]) -> Self {
        let mut excerpt = Self {
            name,
            original: text,
            text: String::with_capacity(text.len()),
            runs: Vec::new(),
        };
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            for part in parts(line, start, spans) {
                match part {
                    Some(range) => excerpt.take(range),
                    None => excerpt.text.push_str(CUT),
                }
            }
            start += line.len();
        }
        excerpt
    }

    /// Takes over a range of the original; what is hidden becomes a sign that is seen.
    fn take(&mut self, range: Range<usize>) {
        let mut begin = range.start;
        let Some(text) = self.original.get(range.clone()) else {
            return;
        };
        let mut signs = text.char_indices().peekable();
        while let Some((at, sign)) = signs.next() {
            let ends_line = sign == '\r' && signs.peek().is_some_and(|&(_, next)| next == '\n');
            if !is_hidden(sign) || matches!(sign, '\n' | '\t') || ends_line {
                continue;
            }
            let at = range.start + at;
            self.run(begin..at);
            self.runs.push((self.text.len(), at..at + sign.len_utf8()));
            self.text.push(visible(sign));
            begin = at + sign.len_utf8();
        }
        self.run(begin..range.end);
    }

    fn run(&mut self, range: Range<usize>) {
        if let Some(text) = self.original.get(range.clone()) {
            self.runs.push((self.text.len(), range));
            self.text.push_str(text);
        }
    }

    /// Where an offset of the original lies in the excerpt; of what was left out, the end of the part before it.
    fn place(&self, offset: usize) -> usize {
        let next = self
            .runs
            .partition_point(|(_, range)| range.start <= offset);
        match next.checked_sub(1).and_then(|index| self.runs.get(index)) {
            None => 0,
            Some((at, range)) => at + offset.min(range.end) - range.start,
        }
        .min(self.text.len())
    }

    pub fn span(&self, span: &Span) -> Range<usize> {
        let start = self.place(span.start);
        start..self.place(span.end).max(start)
    }

    /// The column, from 0, in the original of an offset in the excerpt.
    fn column(&self, at: usize) -> usize {
        let next = self.runs.partition_point(|(start, _)| *start <= at);
        let run = next.checked_sub(1).and_then(|index| self.runs.get(index));
        let offset = run.map_or(0, |(start, range)| {
            (range.start + at - start).min(range.end)
        });
        let before = self.original.get(..offset).unwrap_or_default();
        before
            .chars()
            .rev()
            .take_while(|&sign| sign != '\n')
            .count()
    }
}

impl SourceCode for Excerpt<'_> {
    fn read_span<'b>(
        &'b self,
        span: &SourceSpan,
        before: usize,
        after: usize,
    ) -> Result<Box<dyn SpanContents<'b> + 'b>, MietteError> {
        let found = self.text.as_str().read_span(span, before, after)?;
        // With lines before it the contents begin at the start of a line.
        let column = match before {
            0 => self.column(found.span().offset()),
            _ => found.column(),
        };
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.to_owned(),
            found.data(),
            *found.span(),
            found.line(),
            column,
            found.line_count(),
        )))
    }
}

/// What is shown of a line that begins at `start`, as ranges of the text; `None` stands for what is left out.
fn parts(line: &str, start: usize, spans: &[Span]) -> Vec<Option<Range<usize>>> {
    let end = start + line.len();
    if line.len() <= WIDEST || line.chars().nth(WIDEST).is_none() {
        return vec![Some(start..end)];
    }
    let body = line.trim_end_matches(['\n', '\r']);
    let mut wanted: Vec<Range<usize>> = spans
        .iter()
        .filter(|span| (start..end).contains(&span.start))
        .map(|span| around(body, span.start - start, span.end.min(end) - start))
        .collect();
    wanted.sort_by_key(|range| range.start);
    if wanted.is_empty() {
        wanted.push(around(body, 0, 0));
    }
    let mut parts = Vec::new();
    let mut shown = 0;
    for range in wanted {
        if range.start > shown {
            parts.push(None);
        }
        let begin = range.start.max(shown);
        parts.push(Some(start + begin..start + range.end.max(begin)));
        shown = range.end.max(begin);
    }
    if shown < body.len() {
        parts.push(None);
    }
    parts.push(Some(start + body.len()..end));
    parts
}

/// The part of a line around a label from `from` to `to`: whole characters.
fn around(line: &str, from: usize, to: usize) -> Range<usize> {
    let (head, tail) = line.split_at_checked(from).unwrap_or((line, ""));
    let start = head.char_indices().rev().take(AROUND).last();
    let shown = tail.get(..to.saturating_sub(from)).unwrap_or(tail);
    let underlined = shown.chars().take(AROUND).count();
    let end = tail.char_indices().nth(underlined + AROUND);
    start.map_or(head.len(), |(at, _)| at)..head.len() + end.map_or(tail.len(), |(at, _)| at)
}

/// A sign that stands for a hidden one.
fn visible(sign: char) -> char {
    match u32::from(sign) {
        code @ 0..=0x1f => char::from_u32(0x2400 + code).unwrap_or(char::REPLACEMENT_CHARACTER),
        0x7f => '\u{2421}',
        _ => char::REPLACEMENT_CHARACTER,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text_of(excerpt: &Excerpt<'_>) -> Vec<String> {
        excerpt.text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_usual_text_stays_as_it_is() {
        let text = "one\r\n\ttwo über\n";
        let excerpt = Excerpt::new("e", text, std::slice::from_ref(&(7..10)));
        assert_eq!(excerpt.text, text);
        assert_eq!(excerpt.span(&(7..10)), 7..10);
    }

    #[test]
    fn a_wide_line_is_cut_around_its_labels() {
        let text = format!(
            "first\n{}wrong{}\nlast\n",
            " ".repeat(70_000),
            "x".repeat(70_000)
        );
        let span = 70_006..70_011;
        let excerpt = Excerpt::new("e", &text, std::slice::from_ref(&span));
        let lines = text_of(&excerpt);
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[1].chars().count(), 1 + AROUND + 5 + AROUND + 1);
        assert_eq!(&excerpt.text[excerpt.span(&span)], "wrong");
        let place = SourceSpan::from(excerpt.span(&span));
        let read = excerpt.read_span(&place, 0, 0).unwrap();
        assert_eq!((read.line(), read.column()), (1, 70_000));
    }

    #[test]
    fn what_is_hidden_is_seen() {
        let excerpt = Excerpt::new("e", "a\u{1b}[31mb\u{202e}\rc\n", &[]);
        assert_eq!(excerpt.text, "a␛[31mb\u{fffd}␍c\n");
        assert_eq!(excerpt.span(&(1..2)), 1..4);
    }

    proptest! {
        #[test]
        fn every_label_lies_in_the_excerpt(
            lines in proptest::collection::vec("(x|ä|\u{1b}| ){0,900}", 1..4),
            places in proptest::collection::vec((0.0..1.0, 0.0..1.0), 0..4),
        ) {
            let text = lines.join("\n");
            let floor = |at: f64| (0..=(text.len() as f64 * at) as usize).rev().find(|&at| text.is_char_boundary(at)).unwrap();
            let span = |&(a, b): &(f64, f64)| floor(a.min(b))..floor(a.max(b));
            let spans: Vec<Span> = places.iter().map(span).collect();
            let excerpt = Excerpt::new("e", &text, &spans);
            prop_assert_eq!(excerpt.text.lines().count(), text.lines().count());
            prop_assert!(excerpt.text.lines().all(|line| line.chars().count() <= 4 * 302));
            for span in &spans {
                let shown = excerpt.span(span);
                prop_assert!(excerpt.text.get(shown.clone()).is_some());
                let place = SourceSpan::from(shown);
                let read = excerpt.read_span(&place, 0, 0).unwrap();
                let line = text[..span.start].matches('\n').count();
                let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
                prop_assert_eq!(read.line(), line);
                prop_assert_eq!(read.column(), text[start..span.start].chars().count());
            }
        }
    }
}
