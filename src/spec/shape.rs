//! What a field's value looks like, read from its schema: for readers and for editors.

use schemars::SchemaGenerator;
use serde_json::Value;

use super::setting::Field;

/// The form of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    Whole,
    Number,
    Bool,
    Text,
    List(Option<Box<Shape>>),
    Tuple(Vec<Shape>),
    /// A value or `None`.
    Optional(Box<Shape>),
    /// A type of the language, by name.
    Named(String),
    Any,
}

impl Field {
    pub fn shape(&self) -> Shape {
        Shape::of(&(self.schema)(&mut SchemaGenerator::default()).to_value())
    }
}

impl Shape {
    fn of(schema: &Value) -> Self {
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.rsplit('/').next().unwrap_or(name);
            return Self::Named(name.to_owned());
        }
        if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
            let some = choices.iter().find(|choice| choice.get("$ref").is_some());
            return some.map_or(Self::Any, |some| Self::of(some).or_nothing());
        }
        match schema.get("type") {
            Some(Value::String(name)) => Self::simple(name, schema),
            Some(Value::Array(names)) => {
                let mut names = names.iter().filter_map(Value::as_str);
                let name = names.find(|name| *name != "null");
                name.map_or(Self::Any, |name| Self::simple(name, schema))
                    .or_nothing()
            }
            _ => Self::Any,
        }
    }

    fn simple(name: &str, schema: &Value) -> Self {
        match name {
            "integer" => Self::Whole,
            "number" => Self::Number,
            "boolean" => Self::Bool,
            "string" => Self::Text,
            "array" => match (schema.get("items"), schema.get("prefixItems")) {
                (Some(items), _) => Self::List(Some(Box::new(Self::of(items)))),
                (None, Some(Value::Array(items))) => {
                    Self::Tuple(items.iter().map(Self::of).collect())
                }
                _ => Self::List(None),
            },
            _ => Self::Any,
        }
    }

    fn or_nothing(self) -> Self {
        Self::Optional(Box::new(self))
    }

    /// `list of whole number`, `Clip or None`; `named` writes the name of a type.
    pub fn words(&self, named: &dyn Fn(&str) -> String) -> String {
        match self {
            Self::Whole => "whole number".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Text => "text".to_owned(),
            Self::List(Some(items)) => format!("list of {}", items.words(named)),
            Self::List(None) => "list".to_owned(),
            Self::Tuple(items) => {
                let items: Vec<String> = items.iter().map(|item| item.words(named)).collect();
                format!("({})", items.join(", "))
            }
            Self::Optional(value) => format!("{} or `None`", value.words(named)),
            Self::Named(name) => named(name),
            Self::Any => "any".to_owned(),
        }
    }
}
