//! Tokens → tree. After a mistake it goes on with the next field, so that one report has all of them. Nesting is
//! limited, so that no text exhausts the stack.

use super::lexer::{self, Token, TokenKind};
use super::report::{Keep, Mistake};
use super::syntax::{Body, Field, Kind, Name, Node, Span};

/// An experiment nests about six deep.
const DEEPEST: usize = 64;

/// The tree, as far as the text can be read, and what is wrong with the text. No text makes it panic.
pub fn parse(text: &str) -> (Node, Vec<Mistake>) {
    let (tokens, mistakes) = lexer::tokens(text);
    let mut parser = Parser {
        tokens,
        at: 0,
        closing: Vec::new(),
        end: text.len(),
        open_reported: false,
        mistakes,
    };
    if parser.tokens.is_empty() {
        let found = Mistake::new("the file holds no experiment").label(0..0, "nothing here");
        parser
            .mistakes
            .keep(found.hint("an experiment starts with `Experiment(`"));
        return (parser.broken(0..0), parser.mistakes);
    }
    let node = parser.value();
    if let Some(token) = parser.peek() {
        let span = token.span.clone();
        let found =
            Mistake::new("text after the end of the experiment").label(span, "not part of it");
        parser
            .mistakes
            .keep(found.hint("is a bracket closed too early?"));
    }
    (node, parser.mistakes)
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// The brackets that end what is open, the innermost last.
    closing: Vec<char>,
    /// Length of the text.
    end: usize,
    /// Of brackets that are open at the end only the innermost is reported.
    open_reported: bool,
    mistakes: Vec<Mistake>,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    /// Where the last token ended.
    fn last_end(&self) -> usize {
        let last = self
            .at
            .checked_sub(1)
            .and_then(|last| self.tokens.get(last));
        last.map_or(0, |token| token.span.end)
    }

    fn broken(&self, span: Span) -> Node {
        let kind = Kind::Broken;
        Node { span, kind }
    }

    fn value(&mut self) -> Node {
        let Some(token) = self.peek().cloned() else {
            return self.no_value("the end of the file", self.end..self.end);
        };
        if let TokenKind::Punct(')' | ']' | '}' | ',' | ':') = token.kind {
            return self.no_value(&token.kind.describe(), token.span);
        }
        self.at += 1;
        let start = token.span.start;
        let kind = match token.kind {
            TokenKind::Number(raw) => Kind::Number(raw),
            TokenKind::Text(text) => Kind::Text(text),
            TokenKind::Foreign(what) => Kind::Foreign(what),
            TokenKind::Name(text) => {
                let span = token.span.clone();
                self.named(Name { text, span })
            }
            TokenKind::Punct('[') => Kind::List(self.list(token.span)),
            TokenKind::Punct('(') => {
                let body = self.body(token.span);
                Kind::Item { name: None, body }
            }
            TokenKind::Punct(_) => {
                self.skip(token.span);
                Kind::Foreign("a map")
            }
        };
        let span = start..self.last_end();
        Node { span, kind }
    }

    fn no_value(&mut self, found: &str, span: Span) -> Node {
        let message = format!("expected a value, found {found}");
        self.mistakes
            .keep(Mistake::new(message).label(span.clone(), "a value is missing"));
        self.broken(span)
    }

    /// What starts with a name.
    fn named(&mut self, name: Name) -> Kind {
        let open = self
            .peek()
            .filter(|token| token.kind == TokenKind::Punct('('));
        let body = match open.map(|token| token.span.clone()) {
            None => Body::Bare,
            Some(span) => {
                self.at += 1;
                self.body(span)
            }
        };
        match (name.text.as_str(), body) {
            ("true", Body::Bare) => Kind::Bool(true),
            ("false", Body::Bare) => Kind::Bool(false),
            ("None", Body::Bare) => Kind::Nothing,
            ("Some", Body::Values(mut values)) if values.len() == 1 => {
                Kind::Some(Box::new(values.remove(0)))
            }
            (_, body) => {
                let name = Some(name);
                Kind::Item { name, body }
            }
        }
    }

    /// What follows `[`.
    fn list(&mut self, open: Span) -> Vec<Node> {
        let mut items = Vec::new();
        self.items(']', open, |parser| items.push(parser.value()));
        items
    }

    /// What follows `(`: fields or values.
    fn body(&mut self, open: Span) -> Body {
        let (mut fields, mut values) = (Vec::new(), Vec::new());
        self.items(')', open, |parser| match parser.field_name() {
            Some(name) => {
                let value = parser.value();
                fields.push(Field { name, value });
            }
            None => values.push(parser.value()),
        });
        if fields.is_empty() {
            return Body::Values(values);
        }
        for value in values.iter().filter(|value| value.kind != Kind::Broken) {
            let mistake = Mistake::new("a value among fields has no name");
            self.mistakes
                .keep(mistake.label(value.span.clone(), "which field?"));
        }
        Body::Fields(fields)
    }

    /// `name:`; also a name before a value, where the colon was forgotten.
    fn field_name(&mut self) -> Option<Name> {
        let token = self.peek()?.clone();
        let TokenKind::Name(text) = token.kind else {
            return None;
        };
        let name = Name {
            text,
            span: token.span.clone(),
        };
        match self.tokens.get(self.at + 1).map(|next| &next.kind) {
            Some(TokenKind::Punct(':')) => self.at += 2,
            Some(TokenKind::Punct(_)) | None => return None,
            Some(TokenKind::Name(_)) if self.colon_after_next() => return None,
            Some(_) => {
                self.at += 1;
                let end = token.span.end;
                let message = format!("missing `:` after `{}`", name.text);
                self.mistakes
                    .keep(Mistake::new(message).label(end..end, "`:` belongs here"));
            }
        }
        Some(name)
    }

    /// `name next:`: the comma after a bare name was forgotten rather than a colon.
    fn colon_after_next(&self) -> bool {
        let after = self.tokens.get(self.at + 2);
        after.is_some_and(|token| token.kind == TokenKind::Punct(':'))
    }

    /// Items with commas between them up to the closing bracket.
    fn items(&mut self, close: char, open: Span, mut item: impl FnMut(&mut Self)) {
        if self.closing.len() == DEEPEST {
            let mistake = Mistake::new(format!("nested deeper than {DEEPEST} brackets"));
            self.mistakes
                .keep(mistake.label(open.clone(), "one too many"));
            return self.skip(open);
        }
        self.closing.push(close);
        loop {
            match self.peek().map(|token| token.kind.clone()) {
                None => break self.never_closed(open),
                Some(TokenKind::Punct(c @ (')' | ']' | '}'))) => break self.close(c, close, open),
                Some(TokenKind::Punct(c @ (',' | ':'))) => self.stray(c),
                Some(_) => {
                    item(self);
                    self.comma();
                }
            }
        }
        self.closing.pop();
    }

    /// A comma, or the end of the bracket.
    fn comma(&mut self) {
        let Some(token) = self.peek() else {
            return;
        };
        match token.kind {
            TokenKind::Punct(',') => self.at += 1,
            TokenKind::Punct(')' | ']' | '}' | ':') => {}
            _ => {
                let message = format!("missing comma before {}", token.kind.describe());
                let end = self.last_end();
                self.mistakes
                    .keep(Mistake::new(message).label(end..end, "`,` belongs here"));
            }
        }
    }

    fn stray(&mut self, c: char) {
        let span = self.peek().map_or(0..0, |token| token.span.clone());
        self.at += 1;
        self.mistakes
            .keep(Mistake::new(format!("unexpected `{c}`")).label(span, "nothing before it"));
    }

    fn close(&mut self, found: char, expected: char, open: Span) {
        let span = self.peek().map_or(0..0, |token| token.span.clone());
        if found != expected {
            let mistake = Mistake::new(format!("expected `{expected}`, found `{found}`"));
            let mistake = mistake.label(span, format!("`{expected}` belongs here"));
            self.mistakes.keep(mistake.label(open, "opened here"));
        }
        // A bracket that ends what is around this one was not meant for this one.
        let outer = &self.closing[..self.closing.len().saturating_sub(1)];
        self.at += usize::from(found == expected || !outer.contains(&found));
    }

    fn never_closed(&mut self, open: Span) {
        if !self.open_reported {
            self.open_reported = true;
            let mistake = Mistake::new("a bracket is never closed").label(open, "opened here");
            self.mistakes
                .keep(mistake.hint("it, or one inside it, lacks its end"));
        }
    }

    /// Everything up to the bracket's end, unread.
    fn skip(&mut self, open: Span) {
        let mut depth = 1usize;
        while let Some(token) = self.peek() {
            match token.kind {
                TokenKind::Punct('(' | '[' | '{') => depth += 1,
                TokenKind::Punct(')' | ']' | '}') => depth -= 1,
                _ => {}
            }
            self.at += 1;
            if depth == 0 {
                return;
            }
        }
        self.never_closed(open);
    }
}
