//! The raw types of a suite file, field by field. The JSON Schema is made from them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

pub use super::{Bound, Quantity};
use crate::spec::decode::{Decode, Decoder, raw, variants};
use crate::spec::syntax::{Body, Kind, Node};

raw! {
    /// Several experiments, what is compared with what, and what is claimed of it.
    struct Suite {
        required {
            /// Letters, digits, `-`, `_` and `.`; names the suite's folder.
            name: String,
            members: Vec<Member>,
        }
        optional {
            /// Every member runs once with each. Default: the seed of each experiment.
            seeds: Vec<u64>,
            claims: Vec<Claim>,
        }
    }

    /// An experiment of a suite, or a grid of them.
    struct Member {
        required {
            /// Names the member in claims.
            name: String,
            /// Path of an experiment file, from the suite's folder; or `Experiment(…)` itself.
            experiment: Origin,
        }
        optional {
            /// What is different from the experiment, written as in one: `(train: (epochs: 4))`. Fields of the same
            /// variant are replaced one by one, another variant replaces the whole.
            with: Overrides,
            /// As `with`, but each field has a list of alternatives: a member for each combination, which is called
            /// `name/field=value`.
            grid: Overrides,
            /// Default: those of the suite.
            seeds: Vec<u64>,
        }
    }

    /// A sentence that runs can settle.
    struct Claim {
        required {
            /// Names the claim in tables and pages.
            id: String,
            quantity: Quantity,
            is: Bound,
        }
        optional {
            /// Where it was claimed, such as a table of a paper.
            source: Option<String>,
        }
    }
}

variants! {
    Quantity, "a quantity" {
        Top1 { run, frames },
        Gap { run, from, to },
        Gain { run, over, frames },
        Order { runs, frames },
        Parameters { run },
        Flops { run, frames },
    }
    Bound, "a bound" { AtLeast(_), AtMost(_), About { value, tolerance } }
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
}

impl JsonSchema for Origin {
    fn schema_name() -> Cow<'static, str> {
        "Origin".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let experiment = generator.subschema_for::<crate::spec::raw::Experiment>();
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
}

impl JsonSchema for Overrides {
    fn schema_name() -> Cow<'static, str> {
        "Overrides".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
