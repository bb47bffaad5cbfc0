//! RON text → a small tree with places. The only file that knows the parser.

use std::ops::Range;

use ron2::ast::{Expr, StructBody, StructField, TupleElement};

use super::report::Mistake;

/// Byte offsets in the text.
pub type Span = Range<usize>;

/// A value of the file and its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    pub span: Span,
    pub kind: Kind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    /// `None`.
    Nothing,
    /// `Some(…)`.
    Some(Box<Node>),
    /// `Name`, `Name(…)` or `(…)`.
    Item {
        name: Option<Name>,
        body: Body,
    },
    /// What the language has no use for: characters, bytes, maps.
    Foreign(&'static str),
    /// Where the text is no RON; reported by the parser already.
    Broken,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Name {
    pub text: String,
    pub span: Span,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Body {
    /// A name alone.
    Bare,
    Fields(Vec<Field>),
    Values(Vec<Node>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    pub name: Name,
    pub value: Node,
}

/// The tree, as far as the text can be read, and what is wrong with the text. No text makes it panic; nesting
/// deeper than 128 is a mistake.
pub fn parse(text: &str) -> (Node, Vec<Mistake>) {
    let (document, errors) = ron2::ast::parse_document_lossy(text);
    let reader = Reader { text };
    let mut mistakes: Vec<Mistake> = errors.iter().map(|error| reader.mistake(error)).collect();
    let node = match &document.value {
        Some(expr) => reader.node(expr),
        None => {
            let found = Mistake::new("the file holds no experiment").label(0..0, "nothing here");
            mistakes.push(found.hint("an experiment starts with `Experiment(`"));
            reader.broken()
        }
    };
    mistakes.dedup();
    (node, mistakes)
}

struct Reader<'a> {
    text: &'a str,
}

impl Reader<'_> {
    fn broken(&self) -> Node {
        Node {
            span: 0..self.text.len(),
            kind: Kind::Broken,
        }
    }

    /// A place that is inside the text and cuts no character.
    fn span(&self, span: &ron2::Span) -> Span {
        let start = self.text.floor_char_boundary(span.start_offset);
        let end = self.text.ceil_char_boundary(span.end_offset);
        start..end.max(start)
    }

    fn node(&self, expr: &Expr<'_>) -> Node {
        let kind = match expr {
            Expr::Unit(_) => item(None, Body::Values(Vec::new())),
            Expr::Bool(e) => Kind::Bool(e.value),
            Expr::Number(e) => Kind::Number(e.raw.to_string()),
            Expr::String(e) => Kind::Text(e.value.clone()),
            Expr::Char(_) => Kind::Foreign("a character"),
            Expr::Byte(_) | Expr::Bytes(_) => Kind::Foreign("bytes"),
            Expr::Map(_) => Kind::Foreign("a map"),
            Expr::Option(e) => match &e.value {
                None => Kind::Nothing,
                Some(inner) => Kind::Some(Box::new(self.node(&inner.expr))),
            },
            Expr::Seq(e) => Kind::List(e.items.iter().map(|i| self.node(&i.expr)).collect()),
            Expr::Tuple(e) => item(None, self.values(&e.elements)),
            Expr::AnonStruct(e) => item(None, self.fields(&e.fields)),
            Expr::Struct(e) => {
                let body = match &e.body {
                    None => Body::Bare,
                    Some(StructBody::Tuple(body)) => self.values(&body.elements),
                    Some(StructBody::Fields(body)) => self.fields(&body.fields),
                };
                item(Some(self.name(&e.name)), body)
            }
            Expr::Error(_) => Kind::Broken,
        };
        Node {
            span: self.span(expr.span()),
            kind,
        }
    }

    fn values(&self, elements: &[TupleElement<'_>]) -> Body {
        Body::Values(elements.iter().map(|e| self.node(&e.expr)).collect())
    }

    fn fields(&self, fields: &[StructField<'_>]) -> Body {
        let field = |field: &StructField<'_>| Field {
            name: self.name(&field.name),
            value: self.node(&field.value),
        };
        Body::Fields(fields.iter().map(field).collect())
    }

    fn name(&self, ident: &ron2::ast::Ident<'_>) -> Name {
        Name {
            text: ident.name.to_string(),
            span: self.span(&ident.span),
        }
    }

    fn mistake(&self, error: &ron2::Error) -> Mistake {
        use ron2::ErrorKind;
        let span = self.span(error.span());
        let (message, hint) = match error.kind() {
            ErrorKind::Eof => (
                "the file ends too early".into(),
                Some("something is not closed"),
            ),
            ErrorKind::UnexpectedChar(c) => (format!("unexpected {c:?}"), None),
            ErrorKind::ExceededRecursionLimit => ("nested too deep".into(), None),
            ErrorKind::TrailingCharacters => (
                "text after the end of the experiment".into(),
                Some("is a bracket closed too early?"),
            ),
            other => (lowercase(&other.to_string()), None),
        };
        let mistake = Mistake::new(message).label(span, "here");
        match hint {
            Some(hint) => mistake.hint(hint),
            None => mistake,
        }
    }
}

fn item(name: Option<Name>, body: Body) -> Kind {
    Kind::Item { name, body }
}

fn lowercase(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map_or_else(String::new, |first| {
        first.to_lowercase().chain(chars).collect()
    })
}
