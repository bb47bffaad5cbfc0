//! What a file puts before every name of a model: `model.` of a training program's module, `backbone.` of a larger model.
//!
//! Nobody can list these words. So the beginning is taken under which the file has the most names of the graph; another
//! beginning with as many is another copy of the model, averaged weights perhaps.

use std::collections::{BTreeMap, BTreeSet};

use super::{LISTED, Wanted, known_names};
use crate::base::{Error, Kind, Result, Shown};
use crate::exchange::read::{Checkpoint, Tensor};
use crate::graph::Architecture;

/// Words of names that say that weights are no longer those that were trained.
const AVERAGED: [&str; 11] = [
    "ema", "swa", "avg", "average", "averaged", "teacher", "shadow", "momentum", "target", "old",
    "k",
];
/// Words before a name that are tried.
const MAX_WORDS: usize = 16;

/// How the names of a file begin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prefix {
    /// Before the names that are taken; empty, or with a dot at its end.
    pub taken: String,
    /// Beginnings of other copies of the model: at least half as many names of the graph that are not taken.
    pub copies: Vec<(String, usize)>,
    known: Known,
}

/// Every name that a tensor of the graph may have.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    architecture: Architecture,
    names: BTreeSet<String>,
}

impl Prefix {
    /// The beginning that a person asked for, or else that of the most names; of equal ones that of the weights as they
    /// were trained, then the shortest.
    pub fn find(
        architecture: Architecture,
        wanted: &[Wanted],
        checkpoint: &Checkpoint,
    ) -> Result<Self> {
        let names = wanted.iter();
        let names = names.flat_map(|wanted| known_names(architecture, &wanted.name));
        let known = Known {
            architecture,
            names: names.collect(),
        };
        let counts = known.counts(checkpoint.tensors.iter());
        let taken = match &checkpoint.asked {
            Some(asked) => chosen(asked, &counts, checkpoint)?,
            None => best(&counts),
        };
        let enough = counts.get(taken.as_str()).copied().unwrap_or_default();
        let left = |tensor: &&Tensor| !known.has(&tensor.name, &taken);
        let left = known.counts(checkpoint.tensors.iter().filter(left));
        let mut copies: Vec<(String, usize)> = Vec::new();
        // A beginning comes before those that are longer.
        for (prefix, count) in left {
            let longer = copies.iter().any(|(copy, _)| prefix.starts_with(copy));
            if 2 * count >= enough && !longer {
                copies.push((prefix.to_owned(), count));
            }
        }
        Ok(Self {
            taken,
            copies,
            known,
        })
    }

    /// Of the graph whose names are looked for.
    pub fn architecture(&self) -> Architecture {
        self.known.architecture
    }

    /// Whether a tensor that was not taken is of another copy.
    pub fn is_of_copy(&self, name: &str) -> bool {
        let mut copies = self.copies.iter();
        copies.any(|(prefix, _)| self.known.has(name, prefix))
    }
}

impl Known {
    /// Whether a name is one of the graph after a beginning.
    fn has(&self, name: &str, prefix: &str) -> bool {
        let rest = name.strip_prefix(prefix);
        rest.is_some_and(|rest| self.names.contains(&self.architecture.unwrapped_name(rest)))
    }

    /// For each beginning the number of tensors whose name after it is one of the graph.
    fn counts<'a>(&self, tensors: impl Iterator<Item = &'a Tensor>) -> BTreeMap<&'a str, usize> {
        let mut counts = BTreeMap::new();
        for tensor in tensors {
            let name = tensor.name.as_str();
            let dots = name.match_indices('.').map(|(at, _)| at + 1);
            for at in std::iter::once(0).chain(dots).take(MAX_WORDS) {
                let (prefix, _) = name.split_at(at);
                if self.has(name, prefix) {
                    *counts.entry(prefix).or_default() += 1;
                }
            }
        }
        counts
    }
}

fn best(counts: &BTreeMap<&str, usize>) -> String {
    let order = |(prefix, count): &(&&str, &usize)| {
        (
            std::cmp::Reverse(**count),
            is_averaged(prefix),
            prefix.len(),
        )
    };
    let best = counts.iter().min_by_key(order);
    best.map_or(String::new(), |(prefix, _)| (*prefix).to_owned())
}

fn is_averaged(prefix: &str) -> bool {
    prefix
        .split(['.', '_'])
        .any(|word| AVERAGED.contains(&word))
}

/// The beginning that a person asked for, if the file has it.
fn chosen(asked: &str, counts: &BTreeMap<&str, usize>, checkpoint: &Checkpoint) -> Result<String> {
    let name = crate::exchange::read::name_of(&format!("{}.", asked.trim_end_matches('.')));
    if counts.contains_key(name.as_str()) || name.is_empty() {
        return Ok(name);
    }
    let dictionaries = checkpoint.others.iter().map(|other| other.name.as_str());
    let taken = std::iter::once(checkpoint.taken.as_str());
    // A block's names are those of the graph after other blocks' too, by chance: what is no copy is not offered.
    let most = counts.values().copied().max().unwrap_or_default();
    let copies = counts.iter().filter(|(_, count)| 2 * **count >= most);
    let there = dictionaries
        .chain(taken)
        .chain(copies.map(|(prefix, _)| *prefix));
    let there: Vec<String> = there
        .filter(|name| !name.is_empty())
        .take(LISTED)
        .map(|name| format!("`{}`", name.trim_end_matches('.').shown()))
        .collect();
    let there = match there.is_empty() {
        true => "there is one set of names, without anything before them".to_owned(),
        false => format!("there are {}", there.join(", ")),
    };
    Err(Error::new(
        Kind::Usage,
        format!(
            "--take {}: neither a dictionary of the file nor before any name of the model; {there}",
            asked.shown()
        ),
    ))
}
