//! The decoder: tree → the types of the language. It collects every mistake instead of stopping at the first: a value with a
//! mistake is replaced by a placeholder, and its path is remembered so that no later rule complains about it.

mod fields;
mod macros;
mod values;

use std::collections::{BTreeMap, BTreeSet};

pub use fields::{Fields, Variant, nearest, unknown_variant};
pub(super) use macros::language;

use super::legal::Legal;
use super::report::{Keep, Mistake};
use super::rules::Findings;
use super::setting::Type;
use super::syntax::{Body, Kind, Node, Span};

/// A type of the language.
pub trait Decode: Sized {
    /// The value of a node; a placeholder after a mistake.
    fn decode(node: &Node, decoder: &mut Decoder) -> Self;

    /// Stands in for a value with a mistake while the rest of the file is checked. Never leaves `load`.
    fn placeholder() -> Self;

    /// Reports what is illegal by itself, this value and all that is in it. `path`: of this value. `legal`: declared of the
    /// field that has it.
    fn check(&self, path: &str, legal: Option<&Legal>, findings: &mut Findings) {
        let (_, _, _) = (path, legal, findings);
    }

    /// What the language says of this type; `None`: it is none of the language's own.
    fn describe() -> Option<Type> {
        None
    }
}

/// What may be left out and has no default of its own: whoever reads it decides.
#[derive(Debug, Clone)]
pub struct Given<T>(pub Option<T>);

impl<T: Decode> Decode for Given<T> {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        Self(Some(T::decode(node, decoder)))
    }

    fn placeholder() -> Self {
        Self(None)
    }

    fn describe() -> Option<Type> {
        T::describe()
    }
}

impl<T: schemars::JsonSchema> schemars::JsonSchema for Given<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        T::json_schema(generator)
    }
}

/// What was found on the way through a file.
#[derive(Debug, Default)]
pub struct Decoder {
    pub mistakes: Vec<Mistake>,
    /// Paths whose values are placeholders.
    pub failed: BTreeSet<String>,
    /// The place of every value, by path.
    pub spans: BTreeMap<String, Span>,
    /// Recovery from a syntax error may have skipped fields: none is reported as missing.
    pub incomplete: bool,
    path: Vec<String>,
}

impl Decoder {
    /// A decoder for a text with these mistakes of syntax.
    pub fn after(syntax: Vec<Mistake>) -> Self {
        Self {
            incomplete: !syntax.is_empty(),
            mistakes: syntax,
            ..Self::default()
        }
    }

    /// Of the value that is being decoded, such as `method.frames[1]`.
    pub fn path(&self) -> String {
        self.path.concat()
    }

    /// Whether a value is in the file, and of its type.
    pub fn gives(&self, path: &str) -> bool {
        self.spans.contains_key(path) && !self.failed.contains(path)
    }

    /// Records a mistake of the value that is being decoded and gives its placeholder.
    pub fn fail<T: Decode>(&mut self, mistake: Mistake) -> T {
        self.failed.insert(self.path());
        self.mistakes.keep(mistake);
        T::placeholder()
    }

    /// The value is of another type than expected.
    pub fn mismatch<T: Decode>(&mut self, node: &Node, expected: &str) -> T {
        if node.kind == Kind::Broken {
            self.failed.insert(self.path());
            return T::placeholder();
        }
        let message = format!("expected {expected}, found {}", describe(node));
        self.fail(Mistake::new(message).label(node.span.clone(), format!("expected {expected}")))
    }

    fn inside<T>(&mut self, segment: String, work: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(segment);
        let result = work(self);
        self.path.pop();
        result
    }

    /// Decodes a value and remembers its place.
    pub fn value<T: Decode>(&mut self, node: &Node) -> T {
        self.spans.insert(self.path(), node.span.clone());
        T::decode(node, self)
    }
}

fn describe(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(value) => format!("`{value}`"),
        Kind::Number(raw) => format!("the number {raw}"),
        Kind::Text(_) => "a text".into(),
        Kind::List(_) => "a list".into(),
        Kind::Nothing => "`None`".into(),
        Kind::Some(_) => "`Some(…)`".into(),
        Kind::Item { name, body } => match (body, name) {
            (Body::Values(values), _) if !values.is_empty() => "values without names".into(),
            (_, Some(name)) => format!("`{}`", name.text),
            (Body::Fields(_), None) => "fields in brackets".into(),
            (_, None) => "empty brackets".into(),
        },
        Kind::Foreign(what) => (*what).into(),
        Kind::Broken => "no RON".into(),
    }
}
