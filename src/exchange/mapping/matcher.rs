//! The search for the tensor of a file that is one of ours.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::matches;
use super::{Dropped, Prefix, Purpose, Role, Row, Rule, Wanted, known_names};
use crate::base::{Kind, Mistakes, Result};
use crate::exchange::read::{Checkpoint, Dtype, Tensor, name_of};
use crate::graph::{Architecture, ParamKind};

/// Finds tensors under any of their names, and remembers what was used and what was wrong.
pub struct Matcher<'a, 'w> {
    prefix: &'w Prefix,
    /// By name after the prefix, `net` of TSM's shift modules left out.
    tensors: BTreeMap<String, &'a Tensor>,
    /// What stands under such a name and is no tensor.
    others: BTreeMap<String, &'a str>,
    style: Style,
    purpose: Purpose,
    /// Patterns, and whether each was of use.
    waive: Vec<(&'w str, bool)>,
    used: BTreeSet<&'a str>,
    mistakes: Mistakes,
}

/// What kind of names a file has.
struct Style {
    torchvision: bool,
    alterations: bool,
    /// What the architecture adds to its backbone.
    additions: bool,
    /// PyTorch counts batches since 0.4.1.
    counters: bool,
}

impl Style {
    fn of(checkpoint: &Checkpoint, prefix: &Prefix) -> Self {
        let architecture = prefix.architecture();
        let any =
            |test: &dyn Fn(&str) -> bool| named(checkpoint, prefix).any(|(name, _)| test(name));
        Self {
            torchvision: !any(&|name| architecture.short_name(name) != name),
            alterations: any(&|name| architecture.altered_block(name).is_some()),
            additions: any(&|name| architecture.is_addition(name)),
            counters: any(&is_counter),
        }
    }
}

/// The tensors whose names begin as those that are taken, by what is behind that.
fn named<'a>(
    checkpoint: &'a Checkpoint,
    prefix: &Prefix,
) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
    let of = |tensor: &'a Tensor| Some((tensor.name.strip_prefix(&prefix.taken)?, tensor));
    checkpoint.tensors.iter().filter_map(of)
}

impl<'a, 'w> Matcher<'a, 'w> {
    pub fn new(
        checkpoint: &'a Checkpoint,
        prefix: &'w Prefix,
        purpose: Purpose,
        waive: &'w [String],
    ) -> Self {
        let architecture = prefix.architecture();
        let mut mistakes = Mistakes::default();
        let mut tensors = BTreeMap::new();
        for (name, tensor) in named(checkpoint, prefix) {
            let name = architecture.unwrapped_name(name);
            if tensors.insert(name, tensor).is_some() {
                mistakes.add("twice", &tensor.key);
            }
        }
        let others = checkpoint.not_tensors.iter().filter_map(|other| {
            let name = name_of(&other.path);
            let name = architecture.unwrapped_name(name.strip_prefix(&prefix.taken)?);
            Some((name, other.what.as_str()))
        });
        let waive = waive.iter().map(|pattern| (pattern.as_str(), false));
        Self {
            prefix,
            tensors,
            others: others.collect(),
            style: Style::of(checkpoint, prefix),
            purpose,
            waive: waive.collect(),
            used: BTreeSet::new(),
            mistakes,
        }
    }

    pub fn row(&mut self, wanted: Wanted) -> Row<'a> {
        let begins_anew = wanted.role.is_classifier() || wanted.role == Role::Counter;
        if self.purpose == Purpose::Initial && begins_anew {
            return Row {
                wanted,
                source: None,
                rule: Rule::Initial,
            };
        }
        let found = self.find(&wanted.name);
        let (source, rule) = match found {
            Some((tensor, rule)) => match misfit(self.prefix.architecture(), &wanted, tensor) {
                None => (Some(tensor), rule),
                Some(_) if self.waives(&[&wanted.name, &tensor.key]) => (None, Rule::Waived),
                Some((kind, text)) => {
                    self.mistakes.add(kind, &text);
                    (Some(tensor), rule)
                }
            },
            None if self.may_be_absent(&wanted.name, wanted.role) => (None, Rule::Initial),
            None if self.waives(&[&wanted.name]) => (None, Rule::Waived),
            None => {
                let text = self.missing(&wanted.name);
                self.mistakes.add("missing", &text);
                (None, Rule::Initial)
            }
        };
        self.used.extend(source.map(|tensor| tensor.key.as_str()));
        Row {
            wanted,
            source,
            rule,
        }
    }

    /// By the tensor's own name, the vanilla model's, or torchvision's.
    fn find(&self, name: &str) -> Option<(&'a Tensor, Rule)> {
        let rules = [Rule::Official, Rule::Vanilla, Rule::Torchvision];
        let (tensor, rule) = known_names(self.prefix.architecture(), name)
            .iter()
            .zip(rules)
            .find_map(|(name, rule)| Some((*self.tensors.get(name)?, rule)))?;
        let found = tensor.name.strip_prefix(&self.prefix.taken);
        let wrapped = rule == Rule::Official && found != Some(name);
        Some((tensor, if wrapped { Rule::ShiftModule } else { rule }))
    }

    /// A name that is missing, and what stands in the file instead of a tensor.
    fn missing(&self, name: &str) -> String {
        let names = known_names(self.prefix.architecture(), name);
        match names.iter().find_map(|name| self.others.get(name)) {
            Some(what) => format!("{name}: in the file it is {what}, not a tensor that is read"),
            None => name.to_owned(),
        }
    }

    /// Whether a file of this kind never has such a tensor.
    fn may_be_absent(&self, name: &str, role: Role) -> bool {
        if self.prefix.architecture().is_addition(name) && !self.style.additions {
            return true;
        }
        match role {
            Role::Param(ParamKind::Alteration) => !self.style.alterations,
            Role::Counter => !self.style.counters,
            _ => role.is_classifier() && self.style.torchvision,
        }
    }

    /// Why a tensor that was not used may be left, or else a mistake.
    pub fn left_over(&mut self, source: &'a Tensor) -> Option<Dropped<'a>> {
        if self.used.contains(source.key.as_str()) {
            return None;
        }
        let initial = self.purpose == Purpose::Initial;
        let name = source.name.strip_prefix(&self.prefix.taken);
        let architecture = self.prefix.architecture();
        let is_other = name.is_some_and(|name| architecture.is_other_classifier(name));
        let is_own = name
            .map(|name| architecture.unwrapped_name(name))
            .is_some_and(|name| architecture.is_classifier(&name));
        let why = match () {
            () if is_other && self.style.torchvision => "classifier of another task",
            () if is_own && initial => "the classifier begins anew",
            () if self.prefix.is_of_copy(&source.name) => "of another copy of the model",
            // torch.optim.swa_utils.AveragedModel keeps it beside the averages.
            () if source.key == "n_averaged" => "how often weights were averaged",
            () if is_counter(&source.name) && initial => "the counters begin anew",
            () if architecture.is_of_optimizer(&source.name) => "of the optimiser that made them",
            () if self.waives(&[&source.key, &source.name]) => "waived",
            () => {
                self.mistakes.add("unexpected", &source.key);
                return None;
            }
        };
        Some(Dropped { source, why })
    }

    fn waives(&mut self, names: &[&str]) -> bool {
        let mut waived = false;
        for (pattern, used) in &mut self.waive {
            let matches = names.iter().any(|name| matches(pattern, name));
            *used |= matches;
            waived |= matches;
        }
        waived
    }

    pub fn finish(mut self, what: &str) -> Result<()> {
        for (pattern, _) in self.waive.iter().filter(|(_, used)| !used) {
            let text =
                format!("{pattern}: nothing of that name is missing, left over or misshapen");
            self.mistakes.add("waived", &text);
        }
        self.mistakes.into_result(Kind::Data, what)
    }
}

fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

/// Why a tensor cannot be what its name says: kind and text of the mistake.
fn misfit(
    architecture: Architecture,
    wanted: &Wanted,
    tensor: &Tensor,
) -> Option<(&'static str, String)> {
    let (key, found) = (&tensor.key, tensor.dtype.name());
    if wanted.role == Role::Counter {
        let text = format!("{key}: expected a whole number, not negative");
        return match tensor.integer() {
            Some(0..) => None,
            _ => Some(("value", text)),
        };
    }
    let floating = matches!(
        tensor.dtype,
        Dtype::Float64 | Dtype::Float32 | Dtype::Float16 | Dtype::BFloat16
    );
    let inflates = architecture
        .inflates(&wanted.shape, &tensor.shape)
        .is_some();
    if tensor.shape != wanted.shape && !inflates {
        let (expected, found) = (&wanted.shape, &tensor.shape);
        let text = format!("{key}: expected {expected:?}, found {found:?}");
        return Some(("shape", text));
    }
    (!floating).then(|| {
        let text = format!("{key}: expected floating point, found {found}");
        ("type", text)
    })
}
