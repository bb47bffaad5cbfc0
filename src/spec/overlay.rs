//! Trees laid over the tree of an experiment file, and the places of mistakes in both texts.
//!
//! What lies over a file comes from a suite or from the command line. Places in the file are moved on by the length of that
//! text, so that one number says which of the two is meant.

use std::path::{Path, PathBuf};

use super::parser;
use super::report::{Mistake, Source};
use super::syntax::{Body, Field, Kind, Name, Node, Span};

/// `base` with what `over` says: fields of the same struct or variant one by one, anything else as a whole.
pub fn lay(base: &Node, over: &Node) -> Node {
    if let Kind::Some(inner) = &base.kind {
        return lay(inner, over);
    }
    let (
        Kind::Item { name, body },
        Kind::Item {
            name: given,
            body: changes,
        },
    ) = (&base.kind, &over.kind)
    else {
        return over.clone();
    };
    let same = |given: &Name| name.as_ref().is_some_and(|name| name.text == given.text);
    let Body::Fields(changes) = changes else {
        return over.clone();
    };
    if given.as_ref().is_some_and(|given| !same(given)) {
        return over.clone();
    }
    let mut fields = match body {
        Body::Fields(fields) => fields.clone(),
        Body::Bare | Body::Values(_) => Vec::new(),
    };
    for change in changes {
        match fields.iter_mut().find(|f| f.name.text == change.name.text) {
            Some(field) => field.value = lay(&field.value, &change.value),
            None => fields.push(change.clone()),
        }
    }
    Node {
        span: over.span.clone(),
        kind: Kind::Item {
            name: given.clone().or(name.clone()),
            body: Body::Fields(fields),
        },
    }
}

/// Whether a tree that is laid over another gives the field at the end of `way`, or what holds it, a value. One of a variant
/// may replace the whole.
pub fn replaces(over: &Node, way: &[&str]) -> bool {
    match (&over.kind, way) {
        (
            Kind::Item {
                name: None,
                body: Body::Fields(fields),
            },
            [first, rest @ ..],
        ) => {
            let mut on_way = fields.iter().filter(|field| field.name.text == *first);
            on_way.any(|field| replaces(&field.value, rest))
        }
        _ => true,
    }
}

/// The tree with every place moved on by `offset`.
pub fn moved(node: &Node, offset: usize) -> Node {
    let span = |span: &Span| span.start + offset..span.end + offset;
    let name = |name: &Name| Name {
        text: name.text.clone(),
        span: span(&name.span),
    };
    let all = |nodes: &[Node]| nodes.iter().map(|node| moved(node, offset)).collect();
    let kind = match &node.kind {
        Kind::List(items) => Kind::List(all(items)),
        Kind::Some(inner) => Kind::Some(Box::new(moved(inner, offset))),
        Kind::Item { name: given, body } => Kind::Item {
            name: given.as_ref().map(name),
            body: match body {
                Body::Bare => Body::Bare,
                Body::Values(values) => Body::Values(all(values)),
                Body::Fields(fields) => {
                    let field = |field: &Field| Field {
                        name: name(&field.name),
                        value: moved(&field.value, offset),
                    };
                    Body::Fields(fields.iter().map(field).collect())
                }
            },
        },
        other => other.clone(),
    };
    let span = span(&node.span);
    Node { span, kind }
}

/// An experiment file without mistakes, over which something is laid.
pub struct Base {
    /// As a person wrote it.
    path: String,
    text: String,
    /// With its places moved behind those of what is laid over it.
    pub node: Node,
    pub folder: PathBuf,
    offset: usize,
}

impl Base {
    /// The experiment in `text`, a file of `folder`, with its places moved on by `offset`.
    pub fn new(path: &str, text: String, folder: &Path, offset: usize) -> Self {
        let (node, _) = parser::parse(&text);
        Self {
            path: path.to_owned(),
            text,
            node: moved(&node, offset),
            folder: folder.to_path_buf(),
            offset,
        }
    }

    pub fn source(&self) -> Source<'_> {
        Source {
            name: &self.path,
            text: &self.text,
        }
    }

    /// A mistake about the file alone, with its places in it.
    pub fn own(&self, mut mistake: Mistake) -> Mistake {
        for (span, _) in &mut mistake.labels {
            let inside = |at: usize| at.saturating_sub(self.offset);
            *span = inside(span.start)..inside(span.end);
        }
        mistake
    }

    /// The line, from 1, of a place that was moved.
    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at.saturating_sub(self.offset));
        1 + before.map_or(0, |text| text.matches('\n').count())
    }
}

/// The mistake with the places that are in what was laid over; those in the file are told in the hint. `whole`: the place
/// to name, and how, where no other is.
pub fn in_overlay(mistake: Mistake, base: Option<&Base>, whole: (&Span, &str)) -> Mistake {
    let Some(base) = base else {
        return mistake;
    };
    let (own, others): (Vec<_>, Vec<_>) = mistake
        .labels
        .into_iter()
        .partition(|(span, _)| span.start < base.offset);
    let lines = others
        .iter()
        .map(|(span, what)| format!("{} line {}: {what}", base.path, base.line(span.start)));
    let hints: Vec<String> = mistake.hint.into_iter().chain(lines).collect();
    let labels = match own.is_empty() {
        true => vec![(whole.0.clone(), whole.1.to_owned())],
        false => own,
    };
    Mistake {
        message: mistake.message,
        labels,
        hint: (!hints.is_empty()).then(|| hints.join("\n")),
    }
}

/// Whether a warning is about something that was laid over.
pub fn concerns_overlay(mistake: &Mistake, base: Option<&Base>) -> bool {
    let laid_over = |span: &Span| base.is_none_or(|base| span.start < base.offset);
    mistake.labels.iter().any(|(span, _)| laid_over(span))
}
