//! The reference of the language, from its JSON Schema: the same types that read the files and that `ffn schema` prints.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::arguments::argument;
use super::context::Context;
use crate::base::{Error, Kind, Result};
use crate::report::table;
use crate::spec;

/// Every type of an experiment, or what a suite has beside: the file's own type first, then the others by name.
pub fn reference(_: &mut Context<'_>, args: &[&str]) -> Result<String> {
    let experiment = parsed(&spec::schema())?;
    let (schema, known) = match argument(args, 0) {
        "experiment" => (experiment, Map::new()),
        "suite" => (parsed(&spec::suite_schema())?, types(&experiment)),
        other => {
            let message = format!("expected `experiment` or `suite`, found `{other}`");
            return Err(Error::new(Kind::Usage, message));
        }
    };
    let mut text = section(title(&schema), &schema);
    let new = types(&schema).into_iter();
    let new = new.filter(|(name, _)| name != "Experiment" && !known.contains_key(name));
    text.extend(new.map(|(name, schema)| section(&name, &schema)));
    Ok(text)
}

fn parsed(schema: &str) -> Result<Value> {
    serde_json::from_str(schema)
        .map_err(|e| Error::new(Kind::Usage, format!("the schema is no JSON: {e}")))
}

fn types(schema: &Value) -> Map<String, Value> {
    let types = schema.get("$defs").and_then(Value::as_object);
    types.cloned().unwrap_or_default()
}

fn title(schema: &Value) -> &str {
    schema
        .get("title")
        .and_then(Value::as_str)
        .unwrap_or("Experiment")
}

fn section(name: &str, schema: &Value) -> String {
    let mut text = format!("## {name}\n\n");
    if let Some(description) = description(schema) {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}\n\n", in_a_cell(description));
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        text += &fields(schema, properties);
    }
    if let Some(variants) = schema.get("oneOf").and_then(Value::as_array) {
        text += &variant_table(variants);
    }
    text + "\n"
}

/// A struct: field, type, default, what it means.
fn fields(schema: &Value, properties: &Map<String, Value>) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let is_required = |name: &str| {
        let mut names = required.into_iter().flatten().filter_map(Value::as_str);
        names.any(|required| required == name)
    };
    let row = |(name, property): (&String, &Value)| {
        let (doc, default) = split_default(description(property).unwrap_or_default());
        let default = match (is_required(name), default) {
            (true, _) => "required".to_owned(),
            (false, Some(default)) => in_a_cell(default),
            (false, None) => "those of its type".to_owned(),
        };
        vec![
            format!("`{name}`"),
            type_of(property),
            default,
            in_a_cell(doc),
        ]
    };
    // What must be there comes first.
    let (first, then): (Vec<_>, Vec<_>) =
        properties.iter().partition(|(name, _)| is_required(name));
    let rows: Vec<Vec<String>> = first.into_iter().chain(then).map(row).collect();
    let header = ["field", "type", "default", "meaning"].map(str::to_owned);
    table::words(&header, &rows)
}

/// An enumeration: what may be written, what it means.
fn variant_table(variants: &[Value]) -> String {
    let mut rows = Vec::new();
    for variant in variants {
        let doc = in_a_cell(description(variant).unwrap_or_default());
        rows.extend(
            written(variant)
                .into_iter()
                .map(|form| vec![form, doc.clone()]),
        );
    }
    let header = ["value", "meaning"].map(str::to_owned);
    table::words(&header, &rows)
}

/// How a variant is written in RON.
fn written(variant: &Value) -> Vec<String> {
    if let Some(name) = variant.get("const").and_then(Value::as_str) {
        return vec![format!("`{name}`")];
    }
    if let Some(names) = variant.get("enum").and_then(Value::as_array) {
        let names = names.iter().filter_map(Value::as_str);
        return names.map(|name| format!("`{name}`")).collect();
    }
    let properties = variant.get("properties").and_then(Value::as_object);
    let forms = properties.into_iter().flatten().map(|(name, body)| {
        match body.get("properties").and_then(Value::as_object) {
            Some(fields) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(field, value)| format!("`{field}`: {}", type_of(value)))
                    .collect();
                format!("`{name}`({})", fields.join(", "))
            }
            None => match type_of(body) {
                of if of.starts_with(&format!("[`{name}`]")) => of,
                of => format!("`{name}`({of})"),
            },
        }
    });
    forms.collect()
}

/// A type's name, with a link to its section where it has one.
fn type_of(schema: &Value) -> String {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap_or(name);
        return format!("[`{name}`](#{})", name.to_lowercase());
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        let some = choices.iter().find(|c| c.get("$ref").is_some());
        return some.map_or("any".to_owned(), |some| {
            format!("{} or `None`", type_of(some))
        });
    }
    match schema.get("type") {
        Some(Value::String(name)) => simple(name, schema),
        Some(Value::Array(names)) => {
            let name = names
                .iter()
                .filter_map(Value::as_str)
                .find(|name| *name != "null");
            format!("{} or `None`", simple(name.unwrap_or("any"), schema))
        }
        _ => "any".to_owned(),
    }
}

fn simple(name: &str, schema: &Value) -> String {
    match name {
        "integer" => "whole number".to_owned(),
        "boolean" => "`true` or `false`".to_owned(),
        "string" => "text".to_owned(),
        "array" => match (schema.get("items"), schema.get("prefixItems")) {
            (Some(items), _) => format!("list of {}", type_of(items)),
            (None, Some(Value::Array(items))) => {
                let items: Vec<String> = items.iter().map(type_of).collect();
                format!("({})", items.join(", "))
            }
            _ => "list".to_owned(),
        },
        other => other.to_owned(),
    }
}

fn description(schema: &Value) -> Option<&str> {
    schema.get("description").and_then(Value::as_str)
}

/// A doc comment of ours: its code stays code, only what would end the cell is escaped.
fn in_a_cell(doc: &str) -> String {
    let in_one_line = doc.replace('\n', " ");
    in_one_line.replace('|', "\\|").replace('<', "&lt;")
}

/// A field's doc and the default that it ends with.
fn split_default(doc: &str) -> (&str, Option<&str>) {
    match doc.split_once("Default: ") {
        Some((doc, default)) => (doc.trim(), Some(default.trim_end_matches('.'))),
        None => (doc, None),
    }
}
