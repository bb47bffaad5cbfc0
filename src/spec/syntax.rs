//! The tree of a RON text, with places.

use std::ops::Range;

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
