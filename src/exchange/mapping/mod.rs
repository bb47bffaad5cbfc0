//! Which tensor of a checkpoint is which parameter of ours.
//!
//! One table of rules for `ffn import`, for initial weights, and for whoever else reads weights. Each tensor of a graph
//! is looked for under its official name, under the vanilla model's (whose norms then serve every branch) and under
//! torchvision's; every tensor that stays unexplained on either side is a mistake, and all are told at once.

mod matcher;
mod pattern;
mod prefix;
mod values;

pub use prefix::Prefix;
pub use values::{Conversion, Loaded, NotFinite};

use self::matcher::Matcher;
use super::read::{Checkpoint, Tensor};
use crate::base::{Error, Kind, Mistakes, Result, Shown};
use crate::graph::{Architecture, Graph, ParamKind};

/// Other sets of weights that are listed.
const LISTED: usize = 8;

/// What the weights are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The model as somebody trained it: classifier and counters with it.
    Whole,
    /// To train from: the classifier and the counters of norms begin anew.
    Initial,
}

/// What a tensor of a graph is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Param(ParamKind),
    /// A running mean or variance.
    Statistic,
    /// `num_batches_tracked`
    Counter,
}

impl Role {
    fn is_classifier(self) -> bool {
        matches!(
            self,
            Role::Param(ParamKind::ClassifierWeight | ParamKind::ClassifierBias)
        )
    }
}

/// A tensor that a graph needs, under its official name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    pub name: String,
    pub shape: Vec<usize>,
    pub role: Role,
}

/// Every tensor of a whole checkpoint: parameters, then for each norm mean, variance and counter.
pub fn wanted(graph: &Graph) -> Vec<Wanted> {
    let params = graph.params.iter().map(|param| Wanted {
        name: param.name.clone(),
        shape: param.shape.clone(),
        role: Role::Param(param.kind),
    });
    let stats = graph.stats.iter().flat_map(|stat| {
        let of = |kind: &str, shape, role| Wanted {
            name: format!("{}.{kind}", stat.name),
            shape,
            role,
        };
        [
            of("running_mean", vec![stat.channels], Role::Statistic),
            of("running_var", vec![stat.channels], Role::Statistic),
            of("num_batches_tracked", vec![], Role::Counter),
        ]
    });
    params.chain(stats).collect()
}

/// The names under which a file may have a tensor of ours: official, the vanilla model's, torchvision's.
fn known_names(architecture: Architecture, name: &str) -> [String; 3] {
    let vanilla = architecture.vanilla_name(name);
    let torchvision = architecture.short_name(&vanilla).to_owned();
    [name.to_owned(), vanilla, torchvision]
}

/// Why a tensor of ours has the values that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// The same name.
    Official,
    /// TSM's own code wraps the convolution that it shifts: `conv1.net.weight` is `conv1.weight`.
    ShiftModule,
    /// The vanilla model's: `bn1` for every `bn1_T`, `downsample.0` for `downsample_conv`.
    Vanilla,
    /// torchvision's ResNet: the vanilla name without `base_model.`.
    Torchvision,
    /// Not in the file by its nature; what the experiment begins with stays.
    Initial,
    /// Not taken because the person said so; what the experiment begins with stays.
    Waived,
}

impl Rule {
    /// In a person's words.
    pub fn name(self) -> &'static str {
        match self {
            Rule::Official => "official name",
            Rule::ShiftModule => "TSM's shift module",
            Rule::Vanilla => "vanilla name",
            Rule::Torchvision => "torchvision name",
            Rule::Initial => "initial value",
            Rule::Waived => "waived",
        }
    }
}

/// A tensor of ours and where it comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Row<'a> {
    pub wanted: Wanted,
    /// `None`: see the rule.
    pub source: Option<&'a Tensor>,
    pub rule: Rule,
}

/// A tensor of the file that nothing is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Dropped<'a> {
    pub source: &'a Tensor,
    pub why: &'static str,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Mapping<'a> {
    /// One for each tensor of the graph, in the order of [`wanted`].
    pub rows: Vec<Row<'a>>,
    /// In the file's order.
    pub dropped: Vec<Dropped<'a>>,
    pub prefix: Prefix,
}

impl<'a> Mapping<'a> {
    /// Maps a checkpoint onto a graph. `waive`: names of tensors, `*` standing for any characters, that may be missing,
    /// left over or of another shape. `what` is for the message.
    pub fn new(
        what: &str,
        graph: &Graph,
        checkpoint: &'a Checkpoint,
        purpose: Purpose,
        waive: &[String],
    ) -> Result<Self> {
        let wanted = wanted(graph);
        let prefix = Prefix::find(graph.architecture, &wanted, checkpoint)?;
        let mut matcher = Matcher::new(checkpoint, &prefix, purpose, waive);
        let rows = wanted.into_iter();
        let rows = rows.map(|wanted| matcher.row(wanted)).collect();
        let dropped = checkpoint.tensors.iter();
        let dropped = dropped.filter_map(|t| matcher.left_over(t)).collect();
        let finished = matcher.finish(what);
        let mapping = Self {
            rows,
            dropped,
            prefix,
        };
        match finished {
            Ok(()) => Ok(mapping),
            // Perhaps another set of weights was meant.
            Err(error) => {
                let choice = mapping.choice(checkpoint).into_iter();
                let lines: String = choice.map(|line| format!("\n  {line}")).collect();
                let message = error.message + &lines;
                Err(Error { message, ..error })
            }
        }
    }

    /// Which weights of the file were taken, and which others are in it: a line each, where there was a choice.
    pub fn choice(&self, checkpoint: &Checkpoint) -> Vec<String> {
        let mut taken = Vec::new();
        if !checkpoint.taken.is_empty() {
            taken.push(format!("`{}`", checkpoint.taken.shown()));
        }
        if !self.prefix.taken.is_empty() {
            let prefix = self.prefix.taken.shown();
            taken.push(format!("names that begin with `{prefix}`"));
        }
        let mut lines = Vec::new();
        if !taken.is_empty() {
            lines.push(format!("taken: {}", taken.join(", ")));
        }
        let others = checkpoint.others.iter().map(|o| (&o.name, o.tensors));
        let copies = self
            .prefix
            .copies
            .iter()
            .map(|(name, count)| (name, *count));
        let all: Vec<_> = others.chain(copies).collect();
        let some = all.iter().take(LISTED);
        lines.extend(some.map(|(name, count)| left(name, *count)));
        if let Some(more @ 1..) = all.len().checked_sub(LISTED) {
            lines.push(format!("also in the file: {more} more sets of tensors"));
        }
        lines
    }

    /// Tensors of ours that the file does not give.
    pub fn absent(&self) -> impl Iterator<Item = &Row<'a>> {
        self.rows.iter().filter(|row| row.source.is_none())
    }

    /// An error unless the file gives every tensor of ours; counters, which nothing is computed from, may be absent.
    pub fn check_whole(&self, what: &str) -> Result<()> {
        let mut mistakes = Mistakes::default();
        for row in self.absent().filter(|row| row.wanted.role != Role::Counter) {
            mistakes.add("missing", &row.wanted.name);
        }
        mistakes.into_result(Kind::Data, what)
    }
}

/// The line for a set of tensors that was not taken.
fn left(name: &str, count: usize) -> String {
    let name = name.trim_end_matches('.').shown();
    match name.is_empty() {
        true => format!(
            "also in the file: {count} tensors with nothing before their names, which are read without --take"
        ),
        false => format!(
            "also in the file: {count} tensors of `{name}`; `ffn import --take {name}` reads them instead"
        ),
    }
}

#[cfg(test)]
mod tests;
