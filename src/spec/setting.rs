//! A setting of the language, declared once beside its type: default, legal values, what it acts on. With its documentation
//! that is the source of decoding, range checks, JSON Schema, the book's reference and the fields of `ffn why`.
//!
//! `language!` (`spec/decode/macros.rs`) declares types whose fields look so:
//! ```text
//! /// Probability that a feature is dropped before the classifier.
//! dropout: f64 = default(0.5).number(0.0..1.0).acts_on(Stage::Activations),
//! ```

use std::collections::BTreeMap;
use std::ops::{RangeBounds, RangeInclusive};
use std::sync::LazyLock;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;

use super::decode::Decode;
use super::legal::{Legal, Text};
use super::rules::Findings;
use super::stage::Stage;
use super::{compact, experiment};

/// What is declared of a field besides its name, type and documentation.
pub struct Setting<T> {
    /// The value of a field that is not in the file or has a mistake; where there is no default, a placeholder.
    pub stand_in: T,
    absent: Absent<T>,
    legal: Option<Legal>,
    effect: Option<Effect>,
}

/// Of a field that is not in the file.
enum Absent<T> {
    Mistake,
    /// The stand-in, as it is written.
    Default(fn(&T) -> String),
    /// A type all of whose fields have defaults: those.
    OfItsType,
    /// Chosen in `spec/resolve.rs`, here in words.
    Follows(&'static str),
}

/// What a setting does to the computed values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Effect {
    /// The first stage whose values it can change; `None`: no computed value depends on it.
    pub stage: Option<Stage>,
    /// Subject of the difference between paper, official code and reproductions that it is.
    pub named: Option<&'static str>,
}

/// A field without which the file is incomplete.
pub fn required<T: Decode>() -> Setting<T> {
    Setting::new(T::placeholder(), Absent::Mistake)
}

pub fn default<T: Serialize>(value: T) -> Setting<T> {
    Setting::new(
        value,
        Absent::Default(|value| format!("`{}`", compact(value))),
    )
}

/// The default of a type all of whose fields have one.
pub fn of_its_type<T: Decode>() -> Setting<T> {
    Setting::new(T::placeholder(), Absent::OfItsType)
}

/// A default that `spec/resolve.rs` reads off other fields: `words` say how.
pub fn follows<T: Decode>(words: &'static str) -> Setting<T> {
    Setting::new(T::placeholder(), Absent::Follows(words))
}

impl<T> Setting<T> {
    fn new(stand_in: T, absent: Absent<T>) -> Self {
        Self {
            stand_in,
            absent,
            legal: None,
            effect: None,
        }
    }

    pub fn is_required(&self) -> bool {
        matches!(self.absent, Absent::Mistake)
    }

    /// Whole numbers; of a list each, of an option the one that is there.
    pub fn whole(mut self, legal: RangeInclusive<usize>) -> Self {
        self.legal = Some(Legal::Whole(legal));
        self
    }

    /// As [`Self::whole`] for other numbers.
    pub fn number(mut self, legal: impl RangeBounds<f64>) -> Self {
        let (start, end) = (legal.start_bound().cloned(), legal.end_bound().cloned());
        self.legal = Some(Legal::Number(start, end));
        self
    }

    pub fn text(mut self, legal: &'static Text) -> Self {
        self.legal = Some(Legal::Text(legal));
        self
    }

    /// Without any of the next three a field acts as what holds it.
    pub fn acts_on(mut self, stage: Stage) -> Self {
        let (stage, named) = (Some(stage), None);
        self.effect = Some(Effect { stage, named });
        self
    }

    /// As [`Self::acts_on`], for one of `why`'s named differences.
    pub fn differs(mut self, subject: &'static str, stage: Stage) -> Self {
        let (stage, named) = (Some(stage), Some(subject));
        self.effect = Some(Effect { stage, named });
        self
    }

    /// No computed value depends on it.
    pub fn idle(mut self) -> Self {
        let (stage, named) = (None, None);
        self.effect = Some(Effect { stage, named });
        self
    }
}

impl<T: Decode + JsonSchema> Setting<T> {
    /// Whether the value of a field is legal, and all that is in it. `holder`: path of what has the field.
    pub fn check(&self, value: &T, holder: &str, name: &str, findings: &mut Findings) {
        self.check_content(value, &join(holder, name), findings);
    }

    /// As [`Self::check`], of a variant's one value, which has the variant's path.
    pub fn check_content(&self, value: &T, path: &str, findings: &mut Findings) {
        value.check(path, self.legal.as_ref(), findings);
    }

    /// The setting without its type, for documentation.
    pub fn field(self, name: &'static str, doc: &[&str]) -> Field {
        let (required, default) = match self.absent {
            Absent::Mistake => (true, None),
            Absent::OfItsType => (false, None),
            Absent::Follows(words) => (false, Some(words.to_owned())),
            Absent::Default(written) => (false, Some(written(&self.stand_in))),
        };
        Field {
            name,
            doc: lines(doc),
            required,
            default,
            legal: self.legal,
            effect: self.effect,
            schema: SchemaGenerator::subschema_for::<T>,
            inside: T::describe,
        }
    }
}

/// A struct or an enumeration of the language.
#[derive(Clone)]
pub struct Type {
    pub name: &'static str,
    pub doc: String,
    pub body: Body,
}

#[derive(Clone)]
pub enum Body {
    Fields(Vec<Field>),
    Variants(Vec<Variant>),
    /// What is told of another type, whose fields are written here.
    As(fn() -> Option<Type>),
}

#[derive(Clone)]
pub struct Variant {
    pub name: &'static str,
    pub doc: String,
    pub content: Content,
}

#[derive(Clone)]
pub enum Content {
    Nothing,
    Fields(Vec<Field>),
    /// The field has no name.
    Value(Field),
}

/// A [`Setting`] whose type is told by functions.
#[derive(Clone)]
pub struct Field {
    pub name: &'static str,
    pub doc: String,
    pub required: bool,
    /// In words; `None` of what may be left out: the defaults of its type.
    pub default: Option<String>,
    pub legal: Option<Legal>,
    /// `None`: that of what holds it.
    pub effect: Option<Effect>,
    pub schema: fn(&mut SchemaGenerator) -> Schema,
    inside: fn() -> Option<Type>,
}

impl Type {
    /// Everything that may stand right inside: of an enumeration, what any of its variants has.
    pub fn fields(self) -> Vec<Field> {
        let variants = match self.body {
            Body::Fields(fields) => return fields,
            Body::As(other) => return other().map_or(Vec::new(), Type::fields),
            Body::Variants(variants) => variants,
        };
        let of = |variant: Variant| match variant.content {
            Content::Nothing => Vec::new(),
            Content::Fields(fields) => fields,
            Content::Value(value) => value.fields(),
        };
        variants.into_iter().flat_map(of).collect()
    }

    /// The types of its fields and contents.
    fn parts(&self) -> Vec<Type> {
        let inside = Field::inside;
        match &self.body {
            Body::As(_) => Vec::new(),
            Body::Fields(fields) => fields.iter().filter_map(inside).collect(),
            Body::Variants(variants) => {
                let of = |variant: &Variant| -> Vec<Type> {
                    match &variant.content {
                        Content::Nothing => Vec::new(),
                        Content::Fields(fields) => fields.iter().filter_map(inside).collect(),
                        Content::Value(value) => inside(value).into_iter().collect(),
                    }
                };
                variants.iter().flat_map(of).collect()
            }
        }
    }
}

impl Field {
    /// The type of its value, or of what is in that, where it is one of the language's own.
    pub fn inside(&self) -> Option<Type> {
        (self.inside)()
    }

    fn fields(&self) -> Vec<Field> {
        self.inside().map_or(Vec::new(), Type::fields)
    }
}

/// A type of the language and all that it is made of, by name.
pub fn types<T: Decode>() -> BTreeMap<&'static str, Type> {
    let mut types = BTreeMap::new();
    let mut new: Vec<Type> = T::describe().into_iter().collect();
    while let Some(next) = new.pop() {
        if !types.contains_key(next.name) {
            new.extend(next.parts());
            types.insert(next.name, next);
        }
    }
    types
}

/// What a field of an experiment does: the declaration nearest to it on its path counts.
pub fn effect(path: &str) -> Option<Effect> {
    let mut found = None;
    let mut fields = experiment::Experiment::describe().map_or(Vec::new(), Type::fields);
    for name in path.split('.') {
        let Some(field) = fields.into_iter().find(|field| field.name == name) else {
            break;
        };
        found = field.effect.or(found);
        fields = field.fields();
    }
    found
}

/// Path of every field of an experiment, whatever the variants.
pub fn paths() -> &'static [String] {
    static PATHS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let mut paths = Vec::new();
        let fields = experiment::Experiment::describe().map_or(Vec::new(), Type::fields);
        collect("", fields, &mut paths);
        paths
    });
    &PATHS
}

fn collect(holder: &str, fields: Vec<Field>, paths: &mut Vec<String>) {
    for field in fields {
        let path = join(holder, field.name);
        collect(&path, field.fields(), paths);
        paths.push(path);
    }
}

pub fn join(holder: &str, name: &str) -> String {
    match holder.is_empty() {
        true => name.to_owned(),
        false => format!("{holder}.{name}"),
    }
}

/// The text of a doc comment.
pub fn lines(doc: &[&str]) -> String {
    let lines: Vec<&str> = doc.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variants_agree_on_what_fields_of_one_name_do() {
        for (name, described) in types::<experiment::Experiment>() {
            let mut known = BTreeMap::new();
            for field in described.fields() {
                let effect = *known.entry(field.name).or_insert(field.effect);
                assert_eq!(effect, field.effect, "{name}: {}", field.name);
            }
        }
    }

    #[test]
    fn every_type_and_every_bare_variant_is_documented() {
        for (name, described) in types::<experiment::Experiment>() {
            assert!(!described.doc.is_empty(), "{name}");
            if let Body::Variants(variants) = described.body {
                for variant in variants {
                    let told =
                        !variant.doc.is_empty() || matches!(variant.content, Content::Value(_));
                    assert!(told, "{name}: {}", variant.name);
                }
            }
        }
    }

    #[test]
    fn defaults_are_told_as_they_are_written() {
        let field = |setting: Setting<f64>| setting.field("x", &[" of x"]);
        let half = field(default(0.5).number(0.0..1.0));
        assert_eq!((half.doc.as_str(), half.required), ("of x", false));
        assert_eq!(half.default.as_deref(), Some("`0.5`"));
        assert_eq!(half.legal.unwrap().to_string(), "in [0, 1)");
        assert!(field(required()).required);
        assert_eq!(field(of_its_type()).default, None);
        assert_eq!(field(follows("like y")).default.as_deref(), Some("like y"));
    }
}
