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
    nodes: Vec<Node>,
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
                Ok(node) => settings.nodes.push(node),
                Err(found) => mistakes.extend(found),
            }
        }
        match mistakes.is_empty() {
            true => Ok(settings),
            false => Err(settings.refusal(&mistakes)),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    pub(super) fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(super) fn source(&self) -> Source<'_> {
        Source {
            name: "--set",
            text: &self.text,
        }
    }

    /// The same with all places moved on.
    pub(super) fn moved(&self, offset: usize) -> Self {
        let nodes = self.nodes.iter();
        Self {
            text: self.text.clone(),
            offset: self.offset + offset,
            nodes: nodes.map(|node| overlay::moved(node, offset)).collect(),
        }
    }

    /// The first place behind all of these.
    pub(super) fn end(&self) -> usize {
        self.offset + self.text.len() + 1
    }

    /// The experiment of a file with these laid over it, and rendered warnings about them.
    pub(super) fn over(&self, base: &Base) -> Result<(Experiment, Vec<String>)> {
        let node = self.nodes.iter();
        let node = node.fold(base.node.clone(), |node, over| overlay::lay(&node, over));
        let (experiment, mistakes, mut warnings) = experiment(&node, Decoder::default());
        let whole = 0..self.text.trim_end().len();
        let own = |found| overlay::in_overlay(found, Some(base), (&whole, "set here"));
        if !mistakes.is_empty() {
            let mistakes: Vec<Mistake> = mistakes.into_iter().map(own).collect();
            return Err(self.refusal(&mistakes));
        }
        warnings.retain(|warning| overlay::concerns_overlay(warning, Some(base)));
        let warnings = warnings.into_iter().map(own);
        let warnings = warnings.map(|warning| self.source().warning(&warning));
        Ok((experiment, warnings.collect()))
    }

    /// Parts mistakes into those about these settings, whose places begin at `offset`, and others. A place in the other text
    /// is dropped.
    pub(super) fn take(
        &self,
        mistakes: Vec<Mistake>,
        offset: usize,
    ) -> (Vec<Mistake>, Vec<Mistake>) {
        let of_settings = |span: &Span| span.start >= offset;
        let first = |mistake: &Mistake| mistake.labels.first().is_some_and(|l| of_settings(&l.0));
        let (mut own, mut others): (Vec<_>, Vec<_>) = mistakes.into_iter().partition(first);
        for mistake in &mut own {
            mistake.labels.retain(|(span, _)| of_settings(span));
            for (span, _) in &mut mistake.labels {
                *span = span.start - offset..span.end - offset;
            }
        }
        for mistake in &mut others {
            mistake.labels.retain(|(span, _)| !of_settings(span));
        }
        (own, others)
    }

    /// The mistake of setting the seed of a suite, whose members run with seeds of their own.
    pub(super) fn seed(&self) -> Option<Mistake> {
        let fields = self.nodes.iter().filter_map(|node| match &node.kind {
            Kind::Item {
                body: Body::Fields(fields),
                ..
            } => fields.first(),
            _ => None,
        });
        let mut names = fields.map(|field| &field.name);
        let seed = names.find(|name| name.text == "seed")?;
        let found = Mistake::new("the members of a suite run with the suite's `seeds`");
        let found = found.label(seed.span.clone(), "would change nothing");
        Some(found.hint("set the seed of an experiment, or write other seeds into the suite"))
    }

    fn refusal(&self, mistakes: &[Mistake]) -> Error {
        Error::new(base::Kind::Experiment, self.source().mistakes(mistakes))
    }
}

/// One setting, which starts at `start`, as a tree from the experiment down to the field.
fn setting(text: &str, start: usize) -> Result<Node, Vec<Mistake>> {
    let whole = start..start + text.len();
    let malformed = |what: &str, label: &str| {
        let found = Mistake::new(what).label(whole.clone(), label);
        vec![found.hint("a setting looks like this: --set train.epochs=10")]
    };
    let Some((path, value)) = text.split_once('=') else {
        return Err(malformed("a setting without a value", "no `=`"));
    };
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
    if value.trim().is_empty() {
        return Err(malformed("a setting without a value", "nothing after `=`"));
    }
    let offset = start + path.len() + 1;
    let (value, mistakes) = parser::parse(value);
    if !mistakes.is_empty() {
        let moved = |mut mistake: Mistake| {
            for (span, _) in &mut mistake.labels {
                *span = span.start + offset..span.end + offset;
            }
            mistake
        };
        return Err(mistakes.into_iter().map(moved).collect());
    }
    let mut end = start + path.len();
    let mut node = overlay::moved(&value, offset);
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
    Ok(node)
}
