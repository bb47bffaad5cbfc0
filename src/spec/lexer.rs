//! RON text → tokens. A text in quotes ends with its line, so that a forgotten quote is reported where it is
//! and not at the next one.

use super::report::{Keep, Mistake};
use super::syntax::Span;
use crate::base::limits;
use crate::base::terminal::is_hidden;

#[derive(Debug, Clone, PartialEq)]
pub struct Token {
    pub kind: TokenKind,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum TokenKind {
    Name(String),
    Number(String),
    Text(String),
    /// What RON has and the language has no use for, such as characters.
    Foreign(&'static str),
    /// One of `( ) [ ] { } : ,`.
    Punct(char),
}

impl TokenKind {
    /// For messages.
    pub fn describe(&self) -> String {
        match self {
            Self::Name(name) => format!("`{name}`"),
            Self::Number(raw) => format!("the number {raw}"),
            Self::Text(_) => "a text".into(),
            Self::Foreign(what) => (*what).into(),
            Self::Punct(c) => format!("`{c}`"),
        }
    }
}

/// The tokens of a text; what is none is reported and left out.
pub fn tokens(text: &str) -> (Vec<Token>, Vec<Mistake>) {
    let mut lexer = Lexer {
        text,
        at: 0,
        mistakes: Vec::new(),
    };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        let Some(first) = lexer.peek() else {
            return (tokens, lexer.mistakes);
        };
        if let Some(kind) = lexer.token(first) {
            let span = start..lexer.at;
            let kind = lexer.bounded(kind, &span);
            tokens.push(Token { kind, span });
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    /// Byte offset, always at the start of a character.
    at: usize,
    mistakes: Vec<Mistake>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        Some(c)
    }

    fn take_while(&mut self, mut wanted: impl FnMut(char) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&mut wanted) {
            self.next();
        }
        &self.text[start..self.at]
    }

    fn report(&mut self, message: impl Into<String>, span: Span, label: &str) {
        self.mistakes.keep(Mistake::new(message).label(span, label));
    }

    /// The token without what no name, number or text of an experiment has. They go into messages, file names and pages,
    /// so that what cannot be seen there is refused here.
    fn bounded(&mut self, mut kind: TokenKind, span: &Span) -> TokenKind {
        let (what, bound, value) = match &mut kind {
            TokenKind::Name(value) => ("name", limits::NAME, value),
            TokenKind::Number(value) => ("number", limits::NAME, value),
            TokenKind::Text(value) => ("text", limits::TEXT, value),
            TokenKind::Foreign(_) | TokenKind::Punct(_) => return kind,
        };
        let most = bound.most as usize;
        if value.len() > most {
            let message = format!("a {what} of {} bytes", value.len());
            self.report(message, span.clone(), &format!("at most {most}"));
            let whole = (0..=most).rev().find(|&at| value.is_char_boundary(at));
            value.truncate(whole.unwrap_or(0));
        }
        if let Some(hidden) = value.chars().find(|&sign| is_hidden(sign)) {
            let message = format!("a {what} with a character that cannot be seen");
            let label = format!("it has {}", hidden.escape_unicode());
            self.report(message, span.clone(), &label);
            *value = value.replace(is_hidden, "");
        }
        kind
    }

    /// Spaces and comments.
    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| c.is_whitespace() || c == '\u{feff}');
            if self.rest().starts_with("//") {
                self.take_while(|c| c != '\n');
            } else if self.rest().starts_with("/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    fn skip_block_comment(&mut self) {
        let start = self.at;
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            match rest.get(..2) {
                Some("/*") => (depth, self.at) = (depth + 1, self.at + 2),
                Some("*/") => (depth, self.at) = (depth - 1, self.at + 2),
                _ if self.next().is_none() => {
                    return self.report(
                        "a comment is never closed",
                        start..start + 2,
                        "opened here",
                    );
                }
                _ => {}
            }
            if depth == 0 {
                return;
            }
        }
    }

    fn token(&mut self, first: char) -> Option<TokenKind> {
        let next = self.rest().chars().nth(1);
        match first {
            '(' | ')' | '[' | ']' | '{' | '}' | ':' | ',' => {
                self.next();
                Some(TokenKind::Punct(first))
            }
            '"' => Some(self.text_token()),
            'r' if matches!(next, Some('"' | '#')) => self.raw_text(),
            '\'' => Some(self.character()),
            'b' if matches!(next, Some('"' | '\'')) => {
                self.next();
                Some(match next {
                    Some('"') => drop_text(self.text_token()),
                    _ => self.character(),
                })
            }
            c if c.is_ascii_digit() || "+-.".contains(c) => Some(self.number()),
            c if c.is_alphabetic() || c == '_' => {
                let name = self.take_while(|c| c.is_alphanumeric() || c == '_');
                Some(match name {
                    "inf" | "NaN" => TokenKind::Number(name.into()),
                    name => TokenKind::Name(name.into()),
                })
            }
            other => self.unexpected(other),
        }
    }

    /// What other languages write: reported, and read as what was meant.
    fn unexpected(&mut self, found: char) -> Option<TokenKind> {
        let start = self.at;
        self.next();
        let (label, meant) = match found {
            ';' => ("items are separated by `,`", Some(TokenKind::Punct(','))),
            '=' => ("a field's name ends with `:`", Some(TokenKind::Punct(':'))),
            '#' => ("comments start with `//`", None),
            _ => ("means nothing here", None),
        };
        self.report(format!("unexpected {found:?}"), start..self.at, label);
        if found == '#' {
            self.take_while(|c| c != '\n');
        }
        meant
    }

    fn number(&mut self) -> TokenKind {
        let mut last = ' ';
        let raw = self.take_while(|c| {
            let sign = matches!(c, '+' | '-') && matches!(last, ' ' | 'e' | 'E');
            last = c;
            sign || c.is_ascii_alphanumeric() || c == '_' || c == '.'
        });
        TokenKind::Number(raw.into())
    }

    /// From the opening quote to the closing one, or to the end of the line.
    fn text_token(&mut self) -> TokenKind {
        let start = self.at;
        self.next();
        let mut value = String::new();
        loop {
            let at = self.at;
            match self.peek() {
                None | Some('\n') => return self.open_text(start),
                Some('"') => {
                    self.next();
                    return TokenKind::Text(value);
                }
                Some('\\') => match self.escape() {
                    Some(c) => value.push(c),
                    None => self.report("unknown escape", at..self.at, "no character of a text"),
                },
                Some(c) => {
                    self.next();
                    value.push(c);
                }
            }
        }
    }

    /// The quote was forgotten: probably before the punctuation at the end of the line.
    fn open_text(&mut self, start: usize) -> TokenKind {
        let line = &self.text[start..self.at];
        let text = line.trim_end().trim_end_matches([',', ')', ']']);
        self.at = start + text.len().max(1);
        self.report(
            "a text is never closed",
            start..self.at,
            "the closing `\"` is missing",
        );
        TokenKind::Text(text.trim_start_matches('"').into())
    }

    fn escape(&mut self) -> Option<char> {
        self.next();
        match self.peek()? {
            '\n' => None,
            'u' => {
                self.next();
                let code = self.rest().strip_prefix('{')?.split_once('}')?.0;
                let value = u32::from_str_radix(code, 16)
                    .ok()
                    .and_then(char::from_u32)?;
                self.at += code.len() + 2;
                Some(value)
            }
            'x' => {
                let code = self.rest().get(1..3)?;
                let value = u8::from_str_radix(code, 16).ok()?;
                self.at += 3;
                Some(value.into())
            }
            c => {
                self.next();
                match c {
                    'n' => Some('\n'),
                    't' => Some('\t'),
                    'r' => Some('\r'),
                    '0' => Some('\0'),
                    '\\' | '"' | '\'' => Some(c),
                    _ => None,
                }
            }
        }
    }

    /// `r"…"` or `r#"…"#` with any number of `#`.
    fn raw_text(&mut self) -> Option<TokenKind> {
        let start = self.at;
        self.next();
        let hashes = self.take_while(|c| c == '#');
        let close = format!("\"{hashes}");
        let body = self.rest().strip_prefix('"');
        let Some((value, _)) = body.and_then(|body| body.split_once(&close)) else {
            self.report("a raw text is never closed", start..self.at, "opened here");
            self.take_while(|c| c != '\n');
            return None;
        };
        self.at += 1 + value.len() + close.len();
        Some(TokenKind::Text(value.into()))
    }

    fn character(&mut self) -> TokenKind {
        self.next();
        self.take_while(|c| c != '\'' && c != '\n' && c != ',');
        if self.peek() == Some('\'') {
            self.next();
        }
        TokenKind::Foreign("a character")
    }
}

fn drop_text(_: TokenKind) -> TokenKind {
    TokenKind::Foreign("bytes")
}
