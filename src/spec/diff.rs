//! Two experiments, field by field.

use std::fmt;

use super::Experiment;
use super::parser;
use super::syntax::{Body, Kind, Node};

/// A field in which two experiments differ. `None`: the experiment has no such field, because its variant of
/// what holds it has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Such as `optimizer.groups.conv.lr`.
    pub path: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Difference {
    /// `0.01 -> 0.02`.
    pub fn change(&self) -> String {
        let shown = |value: &Option<String>| value.clone().unwrap_or("(none)".into());
        format!("{} -> {}", shown(&self.before), shown(&self.after))
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path, self.change())
    }
}

/// Every field that differs, in the order of the canonical form; fields that only `after` has come last.
pub fn diff(before: &Experiment, after: &Experiment) -> Vec<Difference> {
    let (before, after) = (leaves(before), leaves(after));
    let value = |leaves: &[(String, String)], path: &str| {
        let leaf = leaves.iter().find(|(other, _)| other == path);
        leaf.map(|(_, value)| value.clone())
    };
    let new = after
        .iter()
        .filter(|(path, _)| value(&before, path).is_none());
    before
        .iter()
        .chain(new)
        .map(|(path, _)| Difference {
            path: path.clone(),
            before: value(&before, path),
            after: value(&after, path),
        })
        .filter(|difference| difference.before != difference.after)
        .collect()
}

/// The path of every field of the canonical form, in its order.
pub fn fields(experiment: &Experiment) -> Vec<String> {
    values(experiment)
        .into_iter()
        .map(|(path, _)| path)
        .collect()
}

/// The differences as lines with the changes below each other.
pub fn table(differences: &[Difference]) -> String {
    let width = differences.iter().map(|d| d.path.len()).max().unwrap_or(0);
    let line = |d: &Difference| {
        format!(
            "{:<width$}  {}\n",
            format!("{}:", d.path),
            d.change(),
            width = width + 1
        )
    };
    differences.iter().map(line).collect()
}

/// Every field of the canonical form, in its order: path and value as written, a list on one line.
pub fn values(experiment: &Experiment) -> Vec<(String, String)> {
    leaves(experiment)
        .into_iter()
        .filter(|(path, _)| !path.is_empty())
        .collect()
}

/// Every field of the canonical form, in its order: path and value as written.
fn leaves(experiment: &Experiment) -> Vec<(String, String)> {
    let text = experiment.canonical();
    let (node, _) = parser::parse(&text);
    let mut leaves = Vec::new();
    collect("", &node, &text, &mut leaves);
    leaves
}

fn collect(path: &str, node: &Node, text: &str, leaves: &mut Vec<(String, String)>) {
    let Kind::Item {
        name,
        body: Body::Fields(fields),
    } = &node.kind
    else {
        leaves.push((path.to_string(), text[node.span.clone()].to_string()));
        return;
    };
    if let Some(name) = name {
        leaves.push((path.to_string(), name.text.clone()));
    }
    for field in fields {
        let dot = if path.is_empty() { "" } else { "." };
        let path = format!("{path}{dot}{}", field.name.text);
        collect(&path, &field.value, text, leaves);
    }
}
