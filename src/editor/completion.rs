//! What can be written at a place, as an editor offers it.

use gen_lsp_types::{CompletionItem, CompletionItemKind, InsertTextFormat, TextEdit};

use super::lines::Lines;
use super::told;
use crate::spec::context::{self, Context, Names, Slot, Wanted};
use crate::spec::setting::{Body, Content, Field, Type, Variant};
use crate::spec::shape::Shape;

/// What the texts of a suite may name.
#[derive(Default)]
pub struct Known {
    /// Members of the suite.
    pub members: Vec<String>,
    /// Experiment files, from its folder.
    pub files: Vec<String>,
}

/// What is offered at `offset`. `snippets`: whether the editor knows places to jump to, such as `$0`.
pub fn completions(
    lines: &Lines,
    offset: usize,
    known: &Known,
    snippets: bool,
) -> Vec<CompletionItem> {
    let Some(context) = context::at(lines.text(), offset) else {
        return Vec::new();
    };
    let offers = offers(&context, known);
    let glued = lines
        .text()
        .get(..context.word.start)
        .is_some_and(|text| text.ends_with(':'));
    let space = if glued { " " } else { "" };
    let range = lines.range(&context.word);
    let items = offers.into_iter().enumerate().map(|(index, offer)| {
        let written = if snippets { offer.snippet } else { offer.plain };
        CompletionItem {
            label: offer.label,
            kind: Some(offer.kind),
            detail: offer.detail,
            documentation: offer.doc.map(|doc| told::markdown(doc).into()),
            // As the language declares them.
            sort_text: Some(format!("{index:04}")),
            insert_text_format: snippets.then_some(InsertTextFormat::Snippet),
            text_edit: Some(TextEdit::new(range, format!("{space}{written}")).into()),
            ..CompletionItem::default()
        }
    });
    items.collect()
}

struct Offer {
    label: String,
    kind: CompletionItemKind,
    detail: Option<String>,
    doc: Option<String>,
    /// What is written, up to the first place where a person goes on.
    plain: String,
    /// As the protocol writes snippets: `$1` is the first place to write at, `$0` the last.
    snippet: String,
}

impl Offer {
    fn new(label: &str, kind: CompletionItemKind, plain: impl Into<String>) -> Self {
        let plain = plain.into();
        Self {
            label: label.to_owned(),
            kind,
            detail: None,
            doc: None,
            snippet: plain.clone(),
            plain,
        }
    }

    fn snippet(self, snippet: impl Into<String>) -> Self {
        Self {
            snippet: snippet.into(),
            ..self
        }
    }
}

fn offers(context: &Context, known: &Known) -> Vec<Offer> {
    match &context.wanted {
        Wanted::Value(slot) => named(context, slot, known).unwrap_or_else(|| values(context, slot)),
        _ if context.in_text => Vec::new(),
        Wanted::File(types) => types
            .iter()
            .map(|described| file(context, described))
            .collect(),
        Wanted::Fields(slots) => {
            let (first, then): (Vec<_>, Vec<_>) =
                slots.iter().partition(|slot| slot.field.required);
            let slots = first.into_iter().chain(then);
            slots.map(|slot| field(context, slot)).collect()
        }
    }
}

/// A file's own type, with what it cannot do without.
fn file(context: &Context, described: &Type) -> Offer {
    let name = described.name;
    let offer = match (&described.body, context.before_bracket) {
        (_, true) | (Body::Variants(_) | Body::As(_), _) => {
            Offer::new(name, CompletionItemKind::Struct, name)
        }
        (Body::Fields(fields), false) => {
            let lines = in_lines(&required(fields));
            let offer = Offer::new(name, CompletionItemKind::Struct, format!("{name}("));
            offer.snippet(format!("{name}{lines}\n"))
        }
    };
    Offer {
        doc: Some(told::of_type(described)),
        ..offer
    }
}

/// `frames: [$1]`, `init: $2`: the fields that must be there.
fn required(fields: &[Field]) -> Vec<String> {
    let fields = fields.iter().filter(|field| field.required).enumerate();
    let fields = fields.map(|(index, field)| {
        let place = format!("${}", index + 1);
        format!(
            "{}: {}",
            field.name,
            blank(&field.shape(), field.inside().as_ref(), &place)
        )
    });
    fields.collect()
}

/// A value in which only the place is to be written at.
fn blank(shape: &Shape, described: Option<&Type>, place: &str) -> String {
    let is_struct = described.is_some_and(|described| matches!(described.body, Body::Fields(_)));
    match shape {
        Shape::Text => format!("\"{place}\""),
        Shape::List(_) => format!("[{place}]"),
        Shape::Tuple(_) => format!("({place})"),
        Shape::Named(_) if is_struct => format!("({place})"),
        _ => place.to_owned(),
    }
}

fn field(context: &Context, slot: &Slot) -> Offer {
    let name = slot.field.name;
    let described = slot.described();
    let value = blank(&slot.shape(), described.as_ref(), "$0");
    let value = match slot.in_grid && !value.starts_with('(') {
        true => "[$0]".to_owned(),
        false => value,
    };
    let kind = CompletionItemKind::Field;
    let offer = match context.before_colon {
        true => Offer::new(name, kind, name),
        false => Offer::new(name, kind, format!("{name}: ")).snippet(format!("{name}: {value}")),
    };
    Offer {
        detail: Some(told::type_of(slot).replace('`', "")),
        doc: Some(told::of_field(slot)),
        ..offer
    }
}

/// Of a text that names something, the names.
fn named(context: &Context, slot: &Slot, known: &Known) -> Option<Vec<Offer>> {
    let names = match slot.names {
        Names::Nothing if context.in_text => &Vec::new(),
        Names::Nothing => return None,
        Names::Members => &known.members,
        Names::Files => &known.files,
    };
    let offer = |name: &String| {
        let escaped = name.replace('\\', "\\\\").replace('"', "\\\"");
        let written = match context.in_text {
            true => escaped,
            false => format!("\"{escaped}\""),
        };
        let snippet = written
            .replace('\\', "\\\\")
            .replace('$', "\\$")
            .replace('}', "\\}");
        Offer::new(name, CompletionItemKind::Reference, written).snippet(snippet)
    };
    let names = names.iter().map(offer);
    let inline = (slot.names == Names::Files && !context.in_text).then(|| values(context, slot));
    Some(names.chain(inline.into_iter().flatten()).collect())
}

fn values(context: &Context, slot: &Slot) -> Vec<Offer> {
    let mut offers = of_shape(&slot.shape(), slot, context.before_bracket);
    if slot.in_grid {
        // A struct goes on to its fields, anything else lists alternatives.
        for offer in offers
            .iter_mut()
            .filter(|offer| !offer.snippet.starts_with(['(', '[']))
        {
            offer.snippet = format!("[{}]", offer.snippet);
            offer.plain = format!("[{}", offer.plain);
        }
    }
    let default = slot
        .field
        .default
        .as_deref()
        .map(|default| default.trim_matches('`'));
    for offer in &mut offers {
        if Some(offer.label.as_str()) == default {
            offer.detail = Some("the default".to_owned());
        }
    }
    offers
}

fn of_shape(shape: &Shape, slot: &Slot, before_bracket: bool) -> Vec<Offer> {
    let value = |label: &str| Offer::new(label, CompletionItemKind::Value, label);
    let bracket = |open: &str, close: char| {
        let offer = Offer::new(&format!("{open}…{close}"), CompletionItemKind::Struct, open);
        offer.snippet(format!("{open}$0{close}"))
    };
    match shape {
        Shape::Bool => vec![value("true"), value("false")],
        Shape::List(_) => vec![bracket("[", ']')],
        Shape::Tuple(_) => vec![bracket("(", ')')],
        Shape::Optional(inside) => {
            let some = bracket("Some(", ')');
            let inside = of_shape(inside, slot, before_bracket);
            [value("None"), some].into_iter().chain(inside).collect()
        }
        Shape::Named(_) => slot
            .described()
            .map_or(Vec::new(), |described| match &described.body {
                Body::Variants(variants) => variants
                    .iter()
                    .map(|each| variant(each, before_bracket))
                    .collect(),
                Body::Fields(fields) => {
                    // A field's type says which struct it is; a member may be a file as well.
                    let name = if slot.names == Names::Files {
                        described.name
                    } else {
                        ""
                    };
                    let offer = bracket(&format!("{name}("), ')');
                    vec![Offer {
                        doc: Some(told::of_type(&described)),
                        ..offer.snippet(format!("{name}{}", bracketed(&required(fields))))
                    }]
                }
                Body::As(_) => Vec::new(),
            }),
        Shape::Whole | Shape::Number | Shape::Text | Shape::Any => Vec::new(),
    }
}

fn variant(variant: &Variant, before_bracket: bool) -> Offer {
    let name = variant.name;
    let inside = |described: Option<Type>| match described.map(|described| described.body) {
        Some(Body::Fields(fields)) => required(&fields),
        _ => Vec::new(),
    };
    let fields = match &variant.content {
        Content::Nothing => None,
        Content::Fields(fields) => Some(required(fields)),
        Content::Value(value) => Some(inside(value.inside())),
    };
    let kind = CompletionItemKind::EnumMember;
    let offer = match fields.filter(|_| !before_bracket) {
        None => Offer::new(name, kind, name),
        Some(fields) => Offer::new(name, kind, format!("{name}("))
            .snippet(format!("{name}{}", bracketed(&fields))),
    };
    Offer {
        doc: Some(told::of_variant(variant)),
        ..offer
    }
}

/// Few fields stand in one line, more in lines of their own.
fn bracketed(fields: &[String]) -> String {
    const FEW: usize = 3;
    match fields.len() {
        0 => "($0)".to_owned(),
        1..=FEW => format!("({})", fields.join(", ")),
        _ => in_lines(fields),
    }
}

fn in_lines(fields: &[String]) -> String {
    let lines = fields.iter().map(|field| format!("    {field},\n"));
    format!("(\n{})", lines.collect::<String>())
}
