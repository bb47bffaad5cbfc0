//! The raw types of a suite file, field by field. The JSON Schema is made from them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use super::{Bound, Quantity};
use crate::spec::decode::{Decode, Decoder, Given, language};
use crate::spec::experiment::Experiment;
use crate::spec::rules::NAME;
use crate::spec::setting::{Body as Described, Type, default, follows, required};
use crate::spec::syntax::{Body, Kind, Node};

language! {
    /// Several experiments, what is compared with what, and what is claimed of it.
    #[derive(Debug, Clone)]
    pub struct Suite {
        /// Letters, digits, `-`, `_` and `.`; names the suite's folder.
        name: String = required().text(&NAME),
        members: Vec<Member> = required(),
        /// Every member runs once with each.
        seeds: Given<Vec<u64>> = follows("the seed of each experiment"),
        claims: Vec<Claim> = follows("none"),
    }

    /// An experiment of a suite, or a grid of them.
    #[derive(Debug, Clone)]
    pub struct Member {
        /// Names the member in claims.
        name: String = required(),
        experiment: Origin = required(),
        /// What is different from the experiment, written as in one: `(train: (epochs: 4))`. Fields of the same
        /// variant are replaced one by one, another variant replaces the whole.
        with: Given<Overrides> = follows("nothing"),
        /// As `with`, but each field has a list of alternatives: a member for each combination, which is called
        /// `name/field=value`.
        grid: Given<Overrides> = follows("one member"),
        seeds: Given<Vec<u64>> = follows("those of the suite"),
    }

    /// A sentence that runs can settle.
    #[derive(Debug, Clone)]
    pub struct Claim {
        /// Names the claim in tables and pages.
        id: String = required(),
        quantity: Quantity = required(),
        is: Bound = required(),
        /// Where it was claimed, such as a table of a paper.
        source: Option<String> = default(None),
    }
}

/// What a member starts from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// An experiment file.
    File(String),
    /// `Experiment(…)`, decoded together with what is laid over it.
    Inline(Node),
}

impl Decode for Origin {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::Text(path) => Self::File(path.clone()),
            Kind::Item { .. } => Self::Inline(node.clone()),
            _ => decoder.mismatch(node, "a file's path in quotes or `Experiment(…)`"),
        }
    }

    fn placeholder() -> Self {
        Self::File(String::new())
    }

    fn describe() -> Option<Type> {
        Some(Type {
            name: "Origin",
            doc: "Path of an experiment file, from the suite's folder; or `Experiment(…)` itself."
                .to_owned(),
            body: Described::As(Experiment::describe),
        })
    }
}

impl JsonSchema for Origin {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let experiment = generator.subschema_for::<Experiment>();
        json_schema!({ "anyOf": [{ "type": "string" }, experiment] })
    }
}

/// Some of an experiment's fields, as they stand in the file.
#[derive(Debug, Clone)]
pub struct Overrides(pub Node);

impl Decode for Overrides {
    fn decode(node: &Node, decoder: &mut Decoder) -> Self {
        match &node.kind {
            Kind::Item {
                body: Body::Fields(_),
                ..
            } => Self(node.clone()),
            _ => decoder.mismatch(node, "fields of `Experiment` in brackets"),
        }
    }

    fn placeholder() -> Self {
        let (span, kind) = (0..0, Kind::Broken);
        Self(Node { span, kind })
    }

    fn describe() -> Option<Type> {
        Some(Type {
            name: "Overrides",
            doc: "Fields of an experiment in brackets.".to_owned(),
            body: Described::As(Experiment::describe),
        })
    }
}

impl JsonSchema for Overrides {
    fn schema_name() -> Cow<'static, str> {
        "Overrides".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
