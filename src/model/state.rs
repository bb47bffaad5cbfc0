//! Named tensors, and the check that none is missing, left over or of another shape.

use std::collections::BTreeMap;

use crate::base::{Kind, Mistakes, Result};
use crate::exchange::write::{Entry, Values};

/// A tensor under its official name: name, shape, values in row-major order.
pub type Named = (String, Vec<usize>, Vec<f32>);

/// Named tensors of a checkpoint, in the official names and the graph's order.
#[derive(Debug, Clone, PartialEq)]
pub struct StateDict {
    /// Parameters, then `running_mean` and `running_var` of each norm.
    pub floats: Vec<Named>,
    /// `num_batches_tracked`
    pub counters: Vec<(String, u64)>,
}

impl StateDict {
    /// Every tensor in the order of PyTorch's modules: a norm's statistics stand behind its bias.
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let mut statistics: BTreeMap<&str, Vec<Entry<'_>>> = BTreeMap::new();
        let mut parameters = Vec::new();
        let counters = self.counters.iter().map(counter);
        for entry in self.floats.iter().map(entry).chain(counters) {
            match entry.name.rsplit_once('.') {
                Some((norm, "running_mean" | "running_var" | "num_batches_tracked")) => {
                    statistics.entry(norm).or_default().push(entry);
                }
                _ => parameters.push(entry),
            }
        }
        let mut entries = Vec::new();
        for parameter in parameters {
            entries.push(parameter);
            if let Some((module, "bias")) = parameter.name.rsplit_once('.') {
                entries.extend(statistics.remove(module).into_iter().flatten());
            }
        }
        entries.extend(statistics.into_values().flatten());
        entries
    }
}

/// As a tensor to be written.
pub fn entry((name, shape, values): &Named) -> Entry<'_> {
    Entry {
        name,
        shape,
        values: Values::Float32(values),
    }
}

fn counter((name, count): &(String, u64)) -> Entry<'_> {
    Entry {
        name,
        shape: &[],
        // PyTorch's integers have a sign; no training has 2^63 steps.
        values: Values::Int64(*count as i64),
    }
}

/// The values of `found` in the order of `expected`, or one error that lists every name that is missing, left over,
/// there twice, or of another shape. `what` is for the message.
pub fn in_order<'a, 'n>(
    what: &str,
    expected: impl Iterator<Item = (&'n str, &'n [usize])>,
    found: &'a [Named],
) -> Result<Vec<&'a [f32]>> {
    let mut mistakes = Mistakes::default();
    let mut by_name: BTreeMap<&str, &Named> = BTreeMap::new();
    for tensor in found {
        if by_name.insert(&tensor.0, tensor).is_some() {
            mistakes.add("twice", &tensor.0);
        }
    }
    let mut ordered = Vec::new();
    for (name, shape) in expected {
        match by_name.remove(name) {
            None => mistakes.add("missing", name),
            Some((_, found, values))
                if found == shape && values.len() == shape.iter().product::<usize>() =>
            {
                ordered.push(values.as_slice());
            }
            Some((_, found, _)) => {
                let text = format!("{name}: expected {shape:?}, found {found:?}");
                mistakes.add("shape", &text);
            }
        }
    }
    for name in by_name.keys() {
        mistakes.add("unexpected", name);
    }
    mistakes.into_result(Kind::Run, what).map(|()| ordered)
}

/// As [`in_order`], for `num_batches_tracked`.
pub fn counters_in_order(
    expected: impl Iterator<Item = String>,
    found: &[(String, u64)],
) -> Result<Vec<u64>> {
    let mut mistakes = Mistakes::default();
    let mut by_name: BTreeMap<&str, u64> = BTreeMap::new();
    for (name, count) in found {
        if by_name.insert(name, *count).is_some() {
            mistakes.add("twice", name);
        }
    }
    let mut ordered = Vec::new();
    for name in expected {
        match by_name.remove(name.as_str()) {
            Some(count) => ordered.push(count),
            None => mistakes.add("missing", &name),
        }
    }
    for name in by_name.keys() {
        mistakes.add("unexpected", name);
    }
    mistakes
        .into_result(Kind::Run, "state dictionary")
        .map(|()| ordered)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mistake_is_listed() {
        let tensor = |name: &str, shape: &[usize]| {
            let count = shape.iter().product();
            (name.to_owned(), shape.to_vec(), vec![0.5; count])
        };
        let expected = [("a", &[2_usize][..]), ("b", &[2, 2]), ("c", &[])];
        let check =
            |found: &[Named]| in_order("state", expected.into_iter(), found).map(|v| v.len());

        let right = [tensor("c", &[]), tensor("a", &[2]), tensor("b", &[2, 2])];
        assert_eq!(check(&right).unwrap(), 3);

        let wrong = [
            tensor("b", &[4]),
            tensor("d", &[1]),
            tensor("c", &[]),
            tensor("c", &[]),
        ];
        let error = check(&wrong).unwrap_err();
        assert_eq!(
            error.message,
            "the state does not fit the model:\n  twice      c\n  missing    a\n  \
             shape      b: expected [2, 2], found [4]\n  unexpected d"
        );
        assert_eq!(error.kind, Kind::Run);
    }
}
