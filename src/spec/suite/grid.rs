//! The combinations of a grid.

use crate::base::limits;
use crate::spec::report::Mistake;
use crate::spec::syntax::{Body, Field, Kind, Name, Node};

/// One combination of a grid.
#[derive(Debug, Clone, Default)]
pub struct Choice {
    /// What is laid over the experiment.
    pub over: Vec<Node>,
    /// Path and alternative of each axis.
    pub axes: Vec<(String, Node)>,
}

/// Every combination of a grid's alternatives, the last axis fastest; or what is wrong with it: more than `most`, too.
pub fn combinations(grid: &Node, most: usize) -> Result<Vec<Choice>, Vec<Mistake>> {
    let mut axes = Vec::new();
    let mut mistakes = Vec::new();
    collect(grid, &mut Vec::new(), &mut axes, &mut mistakes);
    let count = axes.iter().map(|axis| axis.values.len());
    let count = count.fold(1, usize::saturating_mul);
    if count > most {
        mistakes.push(too_many(grid, count));
    }
    if !mistakes.is_empty() {
        return Err(mistakes);
    }
    Ok(axes.iter().fold(vec![Choice::default()], |choices, axis| {
        let with = |choice: &Choice, value: &Node| {
            let mut choice = choice.clone();
            choice.over.push(axis.around(value));
            choice.axes.push((axis.path(), value.clone()));
            choice
        };
        let each = choices.iter().flat_map(|choice| {
            let values = axis.values.iter();
            values.map(move |value| with(choice, value))
        });
        each.collect()
    }))
}

fn too_many(grid: &Node, count: usize) -> Mistake {
    let most = limits::MEMBERS.describe();
    Mistake::new(format!(
        "a grid of {count} combinations in a suite that has at most {most}"
    ))
    .label(grid.span.clone(), "each combination is a member")
    .hint("fewer alternatives, or several suites")
}

/// A field of a grid with its alternatives.
struct Axis {
    /// What holds it, from the outside: the name of a variant, where it is given, and the field.
    way: Vec<(Option<Name>, Name)>,
    values: Vec<Node>,
}

impl Axis {
    fn path(&self) -> String {
        let names: Vec<&str> = self.way.iter().map(|(_, field)| &*field.text).collect();
        names.join(".")
    }

    /// The value inside of all that holds it.
    fn around(&self, value: &Node) -> Node {
        let holders = self.way.iter().rev();
        holders.fold(value.clone(), |value, (variant, field)| {
            let span = value.span.clone();
            let name = field.clone();
            let kind = Kind::Item {
                name: variant.clone(),
                body: Body::Fields(vec![Field { name, value }]),
            };
            Node { span, kind }
        })
    }
}

fn collect(
    node: &Node,
    way: &mut Vec<(Option<Name>, Name)>,
    axes: &mut Vec<Axis>,
    mistakes: &mut Vec<Mistake>,
) {
    match &node.kind {
        Kind::Item {
            name,
            body: Body::Fields(fields),
        } => {
            for field in fields {
                way.push((name.clone(), field.name.clone()));
                collect(&field.value, way, axes, mistakes);
                way.pop();
            }
        }
        Kind::List(values) if !values.is_empty() => axes.push(Axis {
            way: way.clone(),
            values: values.clone(),
        }),
        Kind::Broken => {}
        _ => mistakes.push(
            Mistake::new("a grid lists alternatives")
                .label(node.span.clone(), "expected one or more in square brackets")
                .hint("what is the same for all belongs to `with`"),
        ),
    }
}
