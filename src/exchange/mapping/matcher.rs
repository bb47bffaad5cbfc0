//! The search for the tensor of a file that is one of ours.

use std::collections::{BTreeMap, BTreeSet};

use super::pattern::matches;
use super::{Dropped, Purpose, Role, Row, Rule, Wanted};
use crate::base::{Kind, Mistakes, Result};
use crate::exchange::names;
use crate::exchange::read::{Checkpoint, Dtype, Tensor};
use crate::graph::ParamKind;

/// Finds tensors under any of their names, and remembers what was used and what was wrong.
pub struct Matcher<'a, 'w> {
    /// By name, `net` of TSM's shift modules left out.
    tensors: BTreeMap<String, &'a Tensor>,
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
    /// PyTorch counts batches since 0.4.1.
    counters: bool,
}

impl<'a, 'w> Matcher<'a, 'w> {
    pub fn new(checkpoint: &'a Checkpoint, purpose: Purpose, waive: &'w [String]) -> Self {
        let any = |test: &dyn Fn(&str) -> bool| checkpoint.tensors.iter().any(|t| test(&t.name));
        let style = Style {
            torchvision: !any(&|name| name.starts_with("base_model.")),
            alterations: any(&|name| name.contains(".adaconv_")),
            counters: any(&is_counter),
        };
        let mut mistakes = Mistakes::default();
        let mut tensors = BTreeMap::new();
        for tensor in &checkpoint.tensors {
            let name = names::without_shift_module(&tensor.name);
            if tensors.insert(name, tensor).is_some() {
                mistakes.add("twice", &tensor.key);
            }
        }
        Self {
            tensors,
            style,
            purpose,
            waive: waive
                .iter()
                .map(|pattern| (pattern.as_str(), false))
                .collect(),
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
            Some((tensor, rule)) => match misfit(&wanted, tensor) {
                None => (Some(tensor), rule),
                Some(_) if self.waives(&[&wanted.name, &tensor.key]) => (None, Rule::Waived),
                Some((kind, text)) => {
                    self.mistakes.add(kind, &text);
                    (Some(tensor), rule)
                }
            },
            None if self.may_be_absent(wanted.role) => (None, Rule::Initial),
            None if self.waives(&[&wanted.name]) => (None, Rule::Waived),
            None => {
                self.mistakes.add("missing", &wanted.name);
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
        let vanilla = names::vanilla(name);
        let torchvision = vanilla.trim_start_matches("base_model.");
        let known = [
            (name, Rule::Official),
            (&vanilla, Rule::Vanilla),
            (torchvision, Rule::Torchvision),
        ];
        let (tensor, rule) = known
            .into_iter()
            .find_map(|(name, rule)| Some((*self.tensors.get(name)?, rule)))?;
        let wrapped = rule == Rule::Official && tensor.name != name;
        Some((tensor, if wrapped { Rule::ShiftModule } else { rule }))
    }

    /// Whether a file of this kind never has such a tensor.
    fn may_be_absent(&self, role: Role) -> bool {
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
        let classifier = |prefix| source.name.starts_with(prefix);
        let why = match () {
            () if classifier("fc.") && self.style.torchvision => "classifier of another task",
            () if classifier("new_fc.") && initial => "the classifier begins anew",
            () if is_counter(&source.name) && initial => "the counters begin anew",
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
fn misfit(wanted: &Wanted, tensor: &Tensor) -> Option<(&'static str, String)> {
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
    if tensor.shape != wanted.shape {
        let (expected, found) = (&wanted.shape, &tensor.shape);
        let text = format!("{key}: expected {expected:?}, found {found:?}");
        return Some(("shape", text));
    }
    (!floating).then(|| {
        let text = format!("{key}: expected floating point, found {found}");
        ("type", text)
    })
}
