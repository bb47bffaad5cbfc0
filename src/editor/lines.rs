//! A text with its lines: places as the language has them, in bytes, and as the protocol has them, by line and column.

use gen_lsp_types::{Position, Range};

use crate::spec::examine::Span;

/// What a column counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    /// Units of two bytes: what every editor knows.
    Utf16,
}

impl Encoding {
    fn length(self, sign: char) -> usize {
        match self {
            Self::Utf8 => sign.len_utf8(),
            Self::Utf16 => sign.len_utf16(),
        }
    }
}

pub struct Lines {
    text: String,
    /// Where each begins.
    starts: Vec<usize>,
    encoding: Encoding,
}

impl Lines {
    pub fn new(text: String, encoding: Encoding) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |&(at, byte): &(usize, &u8)| {
            *byte == b'\n' || *byte == b'\r' && bytes.get(at + 1) != Some(&b'\n')
        };
        let starts = bytes
            .iter()
            .enumerate()
            .filter(ends_line)
            .map(|(at, _)| at + 1);
        Self {
            starts: std::iter::once(0).chain(starts).collect(),
            text,
            encoding,
        }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The line and column of a byte; of one that is behind the text, of its end.
    pub fn position(&self, offset: usize) -> Position {
        let offset = offset.min(self.text.len());
        let line = self
            .starts
            .partition_point(|start| *start <= offset)
            .saturating_sub(1);
        let start = self.starts.get(line).copied().unwrap_or(0);
        let before = self.text.get(start..).unwrap_or_default().char_indices();
        let before = before.take_while(|(at, _)| start + at < offset);
        let column: usize = before.map(|(_, sign)| self.encoding.length(sign)).sum();
        Position::new(line as u32, column as u32)
    }

    pub fn range(&self, span: &Span) -> Range {
        Range::new(self.position(span.start), self.position(span.end))
    }

    /// As [`Self::range`], of what spans several lines the first.
    pub fn first_line(&self, span: &Span) -> Range {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let length = text.find(['\n', '\r']).unwrap_or(text.len());
        self.range(&(span.start..span.start + length))
    }

    /// The byte at a line and column: of a column behind the line its end, of a line behind the text the text's.
    pub fn offset(&self, position: Position) -> usize {
        let line = position.line as usize;
        let Some(&start) = self.starts.get(line) else {
            return self.text.len();
        };
        let end = self
            .starts
            .get(line + 1)
            .copied()
            .unwrap_or(self.text.len());
        let line = self.text.get(start..end).unwrap_or_default();
        let line = line.trim_end_matches(['\n', '\r']);
        let mut column = 0;
        let wanted = position.character as usize;
        let passed = line.char_indices().find(|(_, sign)| {
            column += self.encoding.length(*sign);
            column > wanted
        });
        start + passed.map_or(line.len(), |(at, _)| at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn columns_count_what_was_agreed() {
        let text = "// ä\u{1f600}x\r\nsecond\rthird";
        let of = |encoding| Lines::new(text.to_owned(), encoding);
        let x = text.find('x').unwrap();
        assert_eq!(of(Encoding::Utf16).position(x), Position::new(0, 6));
        assert_eq!(of(Encoding::Utf8).position(x), Position::new(0, 9));
        assert_eq!(
            of(Encoding::Utf16).position(text.len()),
            Position::new(2, 5)
        );
        assert_eq!(of(Encoding::Utf16).offset(Position::new(0, 99)), x + 1);
        assert_eq!(of(Encoding::Utf16).offset(Position::new(9, 0)), text.len());
        // In the middle of a character that takes two units: its beginning.
        assert_eq!(
            of(Encoding::Utf16).offset(Position::new(0, 5)),
            text.find('\u{1f600}').unwrap()
        );
    }

    proptest! {
        #[test]
        fn a_place_comes_back(text in "(a|ä|\u{1f600}|\n|\r\n| ){0,60}", at in any::<prop::sample::Index>(), wide: bool) {
            let encoding = if wide { Encoding::Utf16 } else { Encoding::Utf8 };
            let lines = Lines::new(text.clone(), encoding);
            let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
            let place = places[at.index(places.len())];
            let inside = text[..place].ends_with('\r');
            prop_assert_eq!(lines.offset(lines.position(place)), place - usize::from(inside));
        }

        #[test]
        fn no_place_panics(text in any::<String>(), line in 0u32..9, column: u32, from in 0usize..99, to in 0usize..99) {
            let lines = Lines::new(text, Encoding::Utf16);
            let offset = lines.offset(Position::new(line, column));
            prop_assert!(lines.text().is_char_boundary(offset));
            lines.first_line(&(from..to));
            lines.range(&(from..to));
        }
    }
}
