//! `--set FIELD=VALUE`: fields of an experiment that the command line gives.
//!
//! They are laid over the experiment's tree before it is decoded, as a suite's `with` is, so that they are held to the same
//! rules, are a part of the identity, and a mistake is underlined where it was made.

use super::decode::Decoder;
use super::experiment::Experiment;
use super::overlay::{self, Base};
use super::report::{Mistake, Source};
use super::syntax::{Body, Field, Kind, Name, Node, Span};
use super::{experiment, parser};
use crate::base::{self, Error, Result};

/// What was set, in order: a later one counts.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// One in a line; their places are in it, moved on by `offset`.
    text: String,
    offset: usize,
    settings: Vec<Setting>,
}

#[derive(Debug, Clone)]
pub(super) struct Setting {
    /// Such as `train.epochs`.
    path: String,
    /// Of the path.
    pub place: Span,
    /// From the experiment down to the field.
    pub node: Node,
}

impl Settings {
    /// Of texts such as `train.epochs=10`: a path of fields, and a value as in an experiment file.
    pub fn parse(texts: &[String]) -> Result<Self> {
        let mut settings = Self::default();
        let mut mistakes = Vec::new();
        for text in texts {
            let start = settings.text.len();
            settings.text += text;
            settings.text.push('\n');
            match setting(text, start) {
                Ok(setting) => settings.settings.push(setting),
                Err(found) => mistakes.extend(found),
            }
        }
        match mistakes.is_empty() {
            true => Ok(settings),
            false => Err(settings.refusal(&mistakes)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    pub(super) fn all(&self) -> &[Setting] {
        &self.settings
    }

    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.settings.iter().map(|setting| &setting.node)
    }

    /// The place of all of them.
    pub(super) fn whole(&self) -> Span {
        self.offset..self.offset + self.text.trim_end().len()
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source {
            name: "--set",
            text: &self.text,
        }
    }

    /// The same with all places moved on.
    pub(super) fn moved(&self, offset: usize) -> Self {
        let settings = self.settings.iter().map(|setting| Setting {
            path: setting.path.clone(),
            place: setting.place.start + offset..setting.place.end + offset,
            node: overlay::moved(&setting.node, offset),
        });
        Self {
            text: self.text.clone(),
            offset: self.offset + offset,
            settings: settings.collect(),
        }
    }

    /// The first place behind all of these.
    pub(super) fn end(&self) -> usize {
        self.offset + self.text.len() + 1
    }

    /// The experiment of a file with these laid over it, and rendered warnings about it.
    pub(super) fn over(&self, base: &Base) -> Result<(Experiment, Vec<String>)> {
        let node = base.node.clone();
        let node = self
            .nodes()
            .fold(node, |node, over| overlay::lay(&node, over));
        let (experiment, mistakes, warnings) = experiment(&node, Decoder::default());
        let whole = self.whole();
        let own = |found| overlay::in_overlay(found, Some(base), (&whole, "set here"));
        if !mistakes.is_empty() {
            let mistakes: Vec<Mistake> = mistakes.into_iter().map(own).collect();
            return Err(self.refusal(&mistakes));
        }
        let warnings = warnings.into_iter();
        let warnings =
            warnings.map(
                |warning| match overlay::concerns_overlay(&warning, Some(base)) {
                    true => self.source().warning(&own(warning)),
                    false => base.source().warning(&base.own(warning)),
                },
            );
        Ok((experiment, warnings.collect()))
    }

    /// Parts mistakes into those about these settings, whose places begin behind `other`, and those about `other` alone. What a
    /// mistake about settings has to say of the other text is told in its hint.
    pub(super) fn take(
        &self,
        mistakes: Vec<Mistake>,
        other: Source<'_>,
    ) -> (Vec<Mistake>, Vec<Mistake>) {
        let offset = other.text.len() + 1;
        let of_settings = |span: &Span| span.start >= offset;
        let concerns = |mistake: &Mistake| mistake.labels.iter().any(|(span, _)| of_settings(span));
        let (own, others): (Vec<_>, Vec<_>) = mistakes.into_iter().partition(concerns);
        let own = own.into_iter().map(|mistake| {
            let (labels, rest): (Vec<_>, Vec<_>) = mistake
                .labels
                .into_iter()
                .partition(|(span, _)| of_settings(span));
            let lines = rest.iter().map(|(span, what)| {
                let line = 1 + other
                    .text
                    .get(..span.start)
                    .map_or(0, |t| t.matches('\n').count());
                format!("{} line {line}: {what}", other.name)
            });
            let hints: Vec<String> = mistake.hint.into_iter().chain(lines).collect();
            let moved =
                |(span, what): (Span, String)| (span.start - offset..span.end - offset, what);
            Mistake {
                message: mistake.message,
                labels: labels.into_iter().map(moved).collect(),
                hint: (!hints.is_empty()).then(|| hints.join("\n")),
            }
        });
        (own.collect(), others)
    }

    /// The mistake of setting the seed of a suite, whose members run with seeds of their own.
    pub(super) fn seed(&self) -> Option<Mistake> {
        let seed = self
            .settings
            .iter()
            .find(|setting| setting.path == "seed")?;
        let place = seed.place.start - self.offset..seed.place.end - self.offset;
        let found = Mistake::new("the seeds of a suite stand in the suite");
        let found = found.label(place, "not the seed of one experiment");
        Some(found.hint("set the seed of an experiment, or write other `seeds` into the suite"))
    }

    fn refusal(&self, mistakes: &[Mistake]) -> Error {
        let text = |mistake: &Mistake| Mistake {
            hint: mistake.hint.clone().or_else(|| {
                let is_text = mistake.message.starts_with("expected a text in quotes");
                is_text.then(|| "in a shell: --set 'name=\"other\"'".to_owned())
            }),
            ..mistake.clone()
        };
        let mistakes: Vec<Mistake> = mistakes.iter().map(text).collect();
        Error::new(base::Kind::Experiment, self.source().mistakes(&mistakes))
    }
}

/// One setting, which starts at `start`.
fn setting(text: &str, start: usize) -> Result<Setting, Vec<Mistake>> {
    let whole = start..start + text.len();
    let malformed = |what: &str, label: &str| {
        let found = Mistake::new(what).label(whole.clone(), label);
        vec![found.hint("a setting looks like this: --set train.epochs=10")]
    };
    let Some((before, value)) = text.split_once('=') else {
        return Err(malformed("a setting without a value", "no `=`"));
    };
    let path = before.trim();
    let from = start + before.len() - before.trim_start().len();
    let is_name = |name: &str| {
        let mut signs = name.chars();
        let first = signs
            .next()
            .is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
        first && signs.all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if !path.split('.').all(is_name) {
        return Err(malformed("not the path of a field", "names joined by dots"));
    }
    let (value, mistakes) = match value.trim() {
        "" => return Err(malformed("a setting without a value", "nothing after `=`")),
        _ => parser::parse(value),
    };
    let offset = start + before.len() + 1;
    if !mistakes.is_empty() {
        let of_setting = |mistake| of_setting(mistake, offset, &whole);
        return Err(mistakes.into_iter().map(of_setting).collect());
    }
    Ok(Setting {
        path: path.to_owned(),
        place: from..from + path.len(),
        node: around(&overlay::moved(&value, offset), path, from, whole),
    })
}

/// A mistake of the parser, which takes a value for a file, in words that fit a setting, whose value starts at `offset`.
fn of_setting(mistake: Mistake, offset: usize, whole: &Span) -> Mistake {
    if mistake.message.starts_with("the file holds no") {
        return Mistake::new("a setting without a value").label(whole.clone(), "only a comment");
    }
    let is_too_much = mistake.message.starts_with("text after the end");
    let labels = mistake.labels.into_iter();
    let labels = labels.map(|(span, label)| (span.start + offset..span.end + offset, label));
    let moved = Mistake {
        labels: labels.collect(),
        ..mistake
    };
    match is_too_much {
        false => moved,
        true => Mistake {
            message: "more than one value".to_owned(),
            hint: Some(
                "a list stands in square brackets, `[2, 4]`; every field has a --set of its own"
                    .to_owned(),
            ),
            ..moved
        },
    }
}

/// A value inside of the fields of a path, whose text starts at `from`.
fn around(value: &Node, path: &str, from: usize, whole: Span) -> Node {
    let mut end = from + path.len();
    let mut node = value.clone();
    for text in path.rsplit('.') {
        let span = end - text.len()..end;
        end = span.start.saturating_sub(1);
        let name = Name {
            text: text.to_owned(),
            span,
        };
        node = Node {
            span: whole.clone(),
            kind: Kind::Item {
                name: None,
                body: Body::Fields(vec![Field { name, value: node }]),
            },
        };
    }
    node
}
