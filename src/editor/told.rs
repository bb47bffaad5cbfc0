//! Fields, variants and types in words, as the book's reference has them, in Markdown.

use gen_lsp_types::{Hover, MarkupContent, MarkupKind};

use super::lines::Lines;
use crate::spec::context::{self, Meaning, Slot};
use crate::spec::setting::{Body, Content, Type, Variant};

/// What is shown of the word at `offset`.
pub fn hover(lines: &Lines, offset: usize) -> Option<Hover> {
    let (span, meaning) = context::meaning(lines.text(), offset)?;
    let text = match meaning {
        Meaning::Field(slot) => of_field(&slot),
        Meaning::Variant(variant) => of_variant(&variant),
        Meaning::Type(described) => of_type(&described),
    };
    Some(Hover::new(markdown(text).into(), Some(lines.range(&span))))
}

pub fn markdown(text: String) -> MarkupContent {
    MarkupContent::new(MarkupKind::Markdown, text)
}

/// Name, type and range; what it means; default; where it acts; what its values are.
pub fn of_field(slot: &Slot) -> String {
    let field = &slot.field;
    let name = match field.name {
        "" => String::new(),
        name => format!("**`{name}`**: "),
    };
    let mut paragraphs = vec![format!("{name}{}", type_of(slot)), field.doc.clone()];
    if let Some(described) = slot.described() {
        if field.doc.is_empty() {
            paragraphs.push(described.doc.clone());
        }
        paragraphs.push(variants(&described));
    }
    paragraphs.push(match (&field.default, field.required) {
        (_, true) => "Required.".to_owned(),
        (Some(default), _) => format!("Default: {default}."),
        (None, _) => "Default: those of its type.".to_owned(),
    });
    paragraphs.push(acts(slot));
    joined(paragraphs)
}

/// `number, in [0, 1)`.
pub fn type_of(slot: &Slot) -> String {
    let words = slot.field.shape().words(&|name| format!("`{name}`"));
    let legal = slot.field.legal.as_ref();
    words + &legal.map_or(String::new(), |legal| format!(", {legal}"))
}

fn acts(slot: &Slot) -> String {
    let Some(effect) = slot.effect else {
        return String::new();
    };
    let stage = match effect.stage {
        Some(stage) => format!("Acts first on: {}.", stage.name()),
        None => "No computed value depends on it.".to_owned(),
    };
    let named = effect
        .named
        .map(|subject| format!(" A named difference between paper and official code: {subject}."));
    stage + &named.unwrap_or_default()
}

/// A line for each variant.
fn variants(described: &Type) -> String {
    let Body::Variants(variants) = &described.body else {
        return String::new();
    };
    let line = |variant: &Variant| match meaning(variant) {
        doc if doc.is_empty() => format!("- `{}`", written(variant)),
        doc => format!("- `{}`: {}", written(variant), doc.replace('\n', " ")),
    };
    variants.iter().map(line).collect::<Vec<_>>().join("\n")
}

pub fn of_variant(variant: &Variant) -> String {
    joined(vec![
        format!("**`{}`**", written(variant)),
        meaning(variant),
    ])
}

pub fn of_type(described: &Type) -> String {
    let title = format!("**`{}`**", described.name);
    joined(vec![title, described.doc.clone(), variants(described)])
}

/// A variant's documentation, or that of what it holds.
fn meaning(variant: &Variant) -> String {
    match &variant.content {
        Content::Value(value) if variant.doc.is_empty() => {
            value.inside().map_or(String::new(), |inside| inside.doc)
        }
        _ => variant.doc.clone(),
    }
}

fn written(variant: &Variant) -> String {
    match variant.content {
        Content::Nothing => variant.name.to_owned(),
        Content::Fields(_) | Content::Value(_) => format!("{}(…)", variant.name),
    }
}

fn joined(paragraphs: Vec<String>) -> String {
    let told = paragraphs
        .into_iter()
        .filter(|paragraph| !paragraph.is_empty());
    told.collect::<Vec<_>>().join("\n\n")
}
