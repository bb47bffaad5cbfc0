//! What is in the brackets of structs and variants.

use std::collections::{BTreeMap, BTreeSet};

use super::{Decode, Decoder};
use crate::spec::report::{Keep, Mistake};
use crate::spec::setting::{Setting, join, paths};
use crate::spec::syntax::{Body, Field, Kind, Name, Node, Span};

/// The fields of a struct in the file, while they are taken one by one.
pub struct Fields<'a> {
    owner: &'static str,
    span: Span,
    fields: &'a [Field],
}

impl<'a> Fields<'a> {
    /// The fields of a node that should be `owner(…)` or `(…)`, with unknown and repeated ones reported.
    pub fn of(
        node: &'a Node,
        owner: &'static str,
        known: &[&str],
        decoder: &mut Decoder,
    ) -> Option<Self> {
        let Kind::Item { name, body } = &node.kind else {
            return None;
        };
        if let Some(name) = name.as_ref().filter(|name| name.text != owner) {
            let mistake = Mistake::new(format!("expected `{owner}`, found `{}`", name.text));
            decoder
                .mistakes
                .keep(mistake.label(name.span.clone(), format!("should be `{owner}`")));
        }
        let fields = match body {
            Body::Fields(fields) => fields.as_slice(),
            Body::Bare => &[],
            Body::Values(values) if values.is_empty() => &[],
            Body::Values(_) => return None,
        };
        let fields = Self {
            owner,
            span: name
                .as_ref()
                .map_or(node.span.clone(), |name| name.span.clone()),
            fields,
        };
        fields.report_unknown(known, decoder);
        fields.report_repeated(decoder);
        Some(fields)
    }

    fn report_unknown(&self, known: &[&str], decoder: &mut Decoder) {
        for Field { name, .. } in self
            .fields
            .iter()
            .filter(|f| !known.contains(&&*f.name.text))
        {
            let message = format!("unknown field `{}` of `{}`", name.text, self.owner);
            let label = match nearest(&name.text, known) {
                Some(near) => format!("did you mean `{near}`?"),
                None => {
                    let place = join(&decoder.path(), &name.text);
                    let found = elsewhere(&name.text, &place);
                    let found =
                        found.or_else(|| Some(format!("here it is `{}`", alias(&name.text)?)));
                    found.unwrap_or("no such field".to_owned())
                }
            };
            let known = format!("known fields: {}", list(known));
            let hint = match is_absent(&name.text) {
                true => format!(
                    "the language does not have it yet: see the book's page Limits\n{known}"
                ),
                false => known,
            };
            let mistake = Mistake::new(message).label(name.span.clone(), label);
            decoder.mistakes.keep(mistake.hint(hint));
        }
    }

    fn report_repeated(&self, decoder: &mut Decoder) {
        let mut seen = BTreeMap::new();
        for Field { name, .. } in self.fields {
            let first: &mut Span = seen.entry(&name.text).or_insert_with(|| name.span.clone());
            if *first != name.span {
                let mistake = Mistake::new(format!("field `{}` is given twice", name.text))
                    .label(name.span.clone(), "given again")
                    .label(first.clone(), "first given here");
                decoder.mistakes.keep(mistake);
            }
        }
    }

    /// The value of a field; the first one, where it is repeated. Not in the file or with a mistake in it: its stand-in.
    pub fn take<T: Decode>(&self, name: &str, setting: Setting<T>, decoder: &mut Decoder) -> T {
        let dot = if decoder.path.is_empty() { "" } else { "." };
        let given = self.fields.iter().find(|f| f.name.text == name);
        decoder.inside(format!("{dot}{name}"), |decoder| {
            let path = decoder.path();
            match given {
                Some(field) => {
                    let value = decoder.value(&field.value);
                    if !decoder.failed.contains(&path) {
                        return value;
                    }
                }
                None if setting.is_required() => self.report_missing(name, path, decoder),
                None => {}
            }
            setting.stand_in
        })
    }

    fn report_missing(&self, name: &str, path: String, decoder: &mut Decoder) {
        decoder.failed.insert(path);
        if !decoder.incomplete {
            let message = format!("missing field `{name}` of `{}`", self.owner);
            let label = format!("`{name}` is not given");
            let mistake = Mistake::new(message).label(self.span.clone(), label);
            decoder.mistakes.keep(mistake);
        }
    }
}

/// A variant as it stands in the file: its name and the node that holds what is in its brackets.
pub struct Variant {
    pub name: Name,
    pub content: Node,
    has_content: bool,
}

impl Variant {
    /// `Name`, `Name(…)`; also `None`, which RON reads as an option.
    pub fn of(node: &Node) -> Option<Self> {
        let (name, body) = match &node.kind {
            Kind::Nothing => ("None".to_string(), Body::Bare),
            Kind::Item {
                name: Some(name),
                body,
            } => (name.text.clone(), body.clone()),
            _ => return None,
        };
        let span = match &node.kind {
            Kind::Item { name: Some(n), .. } => n.span.clone(),
            _ => node.span.clone(),
        };
        let has_content = body != Body::Bare;
        let content = match body {
            // `Name(value)`; the brackets of a variant and those of its struct are the same.
            Body::Values(mut values) if values.len() == 1 => values.remove(0),
            Body::Bare => bracketed(span.clone(), Body::Values(Vec::new())),
            body => bracketed(node.span.clone(), body),
        };
        Some(Self {
            name: Name { text: name, span },
            content,
            has_content,
        })
    }

    /// A variant without content was given some.
    pub fn report_content(&self, decoder: &mut Decoder) {
        if self.has_content {
            let message = format!("`{}` takes nothing in brackets", self.name.text);
            let label = format!("write `{}` alone", self.name.text);
            decoder
                .mistakes
                .keep(Mistake::new(message).label(self.name.span.clone(), label));
        }
    }
}

fn bracketed(span: Span, body: Body) -> Node {
    let kind = Kind::Item { name: None, body };
    Node { span, kind }
}

/// The node names no variant of an enumeration.
pub fn unknown_variant<T: Decode>(
    node: &Node,
    subject: &str,
    known: &[&str],
    decoder: &mut Decoder,
) -> T {
    let given = match &node.kind {
        Kind::Item {
            name: Some(name), ..
        } => name.clone(),
        Kind::Text(text) if known.contains(&text.as_str()) => {
            let message = format!("expected {subject}, found a text");
            let label = format!("write {text} without quotes");
            return decoder.fail(Mistake::new(message).label(node.span.clone(), label));
        }
        Kind::Nothing => Name {
            text: "None".into(),
            span: node.span.clone(),
        },
        _ => return decoder.mismatch(node, &format!("{subject}: {}", list(known))),
    };
    let label = nearest(&given.text, known).map_or(format!("not {subject}"), |near| {
        format!("did you mean `{near}`?")
    });
    let message = format!("unknown variant `{}` of {subject}", given.text);
    let mistake = Mistake::new(message).label(given.span, label);
    decoder.fail(mistake.hint(format!("known: {}", list(known))))
}

/// The known name that was probably meant: at most a third of it is wrong. Among hundreds of names, and for what is as
/// long as a sentence, it is not looked for.
pub fn nearest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    const LONGEST: usize = 100;
    const MOST: usize = 500;
    if given.len() > LONGEST || known.len() > MOST {
        return None;
    }
    let given = given.to_lowercase();
    let wrong = |name: &str| (name.len() / 3).max(1);
    let near = |name: &&&str| name.len().abs_diff(given.len()) <= wrong(name) + 2;
    let distance = |name: &str| strsim::damerau_levenshtein(&given, &name.to_lowercase());
    let near = known.iter().filter(near);
    let (distance, name) = near.map(|name| (distance(name), *name)).min()?;
    (distance <= wrong(name)).then_some(name)
}

/// Where in an experiment a field of this name is, if in few places, and not at `place`.
fn elsewhere(name: &str, place: &str) -> Option<String> {
    const FEW: usize = 3;
    let end = format!(".{name}");
    let paths = paths().iter();
    let paths: BTreeSet<&str> = paths
        .map(String::as_str)
        .filter(|path| path.ends_with(&end))
        .collect();
    if paths.contains(place) {
        return Some("another variant has it".to_owned());
    }
    // Of many the ones that are nearest to the experiment: `optimizer.lr`, not those of all groups.
    let depth = |path: &&str| path.matches('.').count();
    let least = match paths.len() > FEW {
        true => paths.iter().map(depth).min(),
        false => None,
    };
    let near = |path: &&&str| least.is_none_or(|least| depth(path) == least);
    let quoted: Vec<String> = paths
        .iter()
        .filter(near)
        .map(|path| format!("`{path}`"))
        .collect();
    (1..=FEW)
        .contains(&quoted.len())
        .then(|| format!("not here: {}", quoted.join(", ")))
}

/// What people of this field look for, and the language does not have.
const ABSENT: [&str; 3] = ["autoaugment", "swa", "hue"];

/// What other programs call a field of the language.
const ALIASES: [(&str, &str); 25] = [
    ("accumulation", "train.shards"),
    ("gradaccum", "train.shards"),
    ("gradientaccumulation", "train.shards"),
    ("accumulate", "train.shards"),
    ("accumiter", "train.shards"),
    ("accumsteps", "train.shards"),
    ("mixup", "train.mixing"),
    ("cutmix", "train.mixing"),
    ("randaugment", "train.clips.rand_augment"),
    ("randomerasing", "train.clips.erasing"),
    ("labelsmoothing", "train.smoothing"),
    ("repeatedaugmentation", "train.clips.repeats"),
    ("numsample", "train.clips.repeats"),
    ("modelema", "train.ema"),
    ("earlystopping", "train.stop"),
    ("weightaveraging", "train.ema"),
    ("freeze", "train.rates"),
    ("llrd", "train.layer_decay"),
    ("fraction", "train.subset"),
    ("earlystop", "train.stop"),
    ("savebest", "train.keep"),
    ("frozen", "train.rates"),
    ("layerwisedecay", "train.layer_decay"),
    ("repeatedaug", "train.clips.repeats"),
    ("amp", "train.precision"),
];

/// The field that is meant, where it has another name here.
fn alias(name: &str) -> Option<&'static str> {
    let plain = name.to_lowercase().replace(['_', '-'], "");
    let known = ALIASES.iter().find(|(alias, _)| *alias == plain);
    known.map(|(_, field)| *field)
}

fn is_absent(name: &str) -> bool {
    let plain = name.to_lowercase().replace(['_', '-'], "");
    ABSENT.contains(&plain.as_str())
}

fn list(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}
