//! The language for editors and for readers: its JSON Schema, its types.

use std::collections::BTreeMap;
use std::ops::Bound;

use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::experiment::Experiment;
use super::legal::Legal;
use super::setting::{Body, Content, Field, Type, Variant, types};

/// JSON Schema of the experiment's types. RON is read as serde would: `Name(a: 1)` of an enumeration is
/// `{"Name": {"a": 1}}`, `Name` alone is `"Name"`, a struct is an object, `None` is null.
pub fn schema() -> String {
    text(&schemars::schema_for!(Experiment))
}

/// As [`schema`], of a suite.
pub fn suite_schema() -> String {
    text(&schemars::schema_for!(super::suite::raw::Suite))
}

/// Every type of an experiment, by name.
pub fn language() -> BTreeMap<&'static str, Type> {
    types::<Experiment>()
}

/// What a suite has beside the experiments in it, by name.
pub fn suite_language() -> BTreeMap<&'static str, Type> {
    types::<super::suite::raw::Suite>()
}

fn text(schema: &Schema) -> String {
    serde_json::to_string_pretty(schema).expect("a schema is JSON") + "\n"
}

/// The schema of a type of the language.
pub fn of(described: Option<Type>, generator: &mut SchemaGenerator) -> Schema {
    let Some(described) = described else {
        return Schema::default();
    };
    let mut schema = match &described.body {
        Body::Fields(fields) => object(fields, generator),
        Body::Variants(variants) => {
            let variants = variants.iter().map(|v| variant(v, generator));
            Map::from_iter([("oneOf".to_owned(), variants.collect())])
        }
        Body::As(other) => return of(other(), generator),
    };
    describe(&mut schema, described.doc);
    schema.into()
}

fn object(fields: &[Field], generator: &mut SchemaGenerator) -> Map<String, Value> {
    let properties = fields.iter();
    let properties = properties.map(|field| (field.name.to_owned(), property(field, generator)));
    let properties: Map<String, Value> = properties.collect();
    let required = fields.iter().filter(|field| field.required);
    let required: Vec<&str> = required.map(|field| field.name).collect();
    closed(properties, &required)
}

/// An object without other fields than these.
fn closed(properties: Map<String, Value>, required: &[&str]) -> Map<String, Value> {
    let mut schema = Map::from_iter([
        ("type".to_owned(), json!("object")),
        ("properties".to_owned(), Value::Object(properties)),
        ("additionalProperties".to_owned(), json!(false)),
    ]);
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

fn variant(variant: &Variant, generator: &mut SchemaGenerator) -> Value {
    let content = match &variant.content {
        Content::Nothing => None,
        Content::Fields(fields) => Some(object(fields, generator).into()),
        Content::Value(value) => Some(property(value, generator)),
    };
    let mut schema = match content {
        None => Map::from_iter([
            ("type".to_owned(), json!("string")),
            ("const".to_owned(), json!(variant.name)),
        ]),
        Some(content) => closed(
            Map::from_iter([(variant.name.to_owned(), content)]),
            &[variant.name],
        ),
    };
    describe(&mut schema, variant.doc.clone());
    schema.into()
}

fn property(field: &Field, generator: &mut SchemaGenerator) -> Value {
    let mut schema = (field.schema)(generator).to_value();
    if let Some(legal) = &field.legal {
        bound(&mut schema, legal);
    }
    let default = field
        .default
        .iter()
        .map(|default| format!("Default: {default}."));
    let doc = Some(field.doc.clone()).filter(|doc| !doc.is_empty());
    let doc: Vec<String> = doc.into_iter().chain(default).collect();
    if let Value::Object(schema) = &mut schema {
        describe(schema, doc.join(" "));
    }
    schema
}

fn describe(schema: &mut Map<String, Value>, doc: String) {
    if !doc.is_empty() {
        schema.insert("description".to_owned(), doc.into());
    }
}

/// Of a list each element is bounded.
fn bound(schema: &mut Value, legal: &Legal) {
    let Value::Object(schema) = schema else {
        return;
    };
    if let Some(items) = schema.get_mut("items") {
        return bound(items, legal);
    }
    let mut limit = |keyword: &str, most: Value| schema.insert(keyword.to_owned(), most);
    match legal {
        Legal::Whole(range) => {
            limit("minimum", json!(range.start()));
            limit("maximum", json!(range.end()));
        }
        Legal::Number(start, end) => {
            for (bound, [included, excluded]) in [
                (start, ["minimum", "exclusiveMinimum"]),
                (end, ["maximum", "exclusiveMaximum"]),
            ] {
                match bound {
                    Bound::Included(value) => limit(included, json!(value)),
                    Bound::Excluded(value) => limit(excluded, json!(value)),
                    Bound::Unbounded => None,
                };
            }
        }
        Legal::Text(_) => {}
    }
}
