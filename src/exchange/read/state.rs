//! From what a pickle describes to the tensors of its state dictionary.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::pickle::{Object, Pickle, Storage};
use super::strided::View;
use super::{Checkpoint, Extra, Format, Result, Tensor, fault, printable};

/// Under what keys training programs keep the state dictionary of the model.
const NESTS: [&str; 5] = [
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
];
/// How deep one is looked for.
const MAX_DEPTH: usize = 4;

/// The part of a file that holds the storages.
pub trait Storages {
    /// The bytes of a storage, which must be `length`.
    fn bytes(&mut self, key: &str, length: usize) -> Result<Cow<'_, [u8]>>;
}

/// What is read beside the pickle.
pub struct Source<'s> {
    pub format: Format,
    pub storages: &'s mut dyn Storages,
    /// Whether values stand in the file with their highest byte first.
    pub big_endian: bool,
    /// Bytes that all tensors together may have.
    pub budget: usize,
}

/// A tensor of the state dictionary that is still in the file.
struct Stored<'p> {
    key: &'p str,
    storage: &'p Storage,
    view: &'p View,
}

/// The state dictionary of a pickle with its values, and the names of everything else.
pub fn checkpoint(pickle: &Pickle<'_>, mut source: Source<'_>) -> Result<Checkpoint> {
    let mut extras = Vec::new();
    let stored = find(pickle, &mut extras)?;
    check_names(&stored)?;
    check_sizes(&stored, source.budget)?;
    Ok(Checkpoint {
        format: source.format,
        tensors: load(pickle, &stored, &mut source)?,
        extras,
    })
}

/// Walks down to the state dictionary; what is beside the way is named in `extras`.
fn find<'p>(pickle: &'p Pickle<'_>, extras: &mut Vec<Extra>) -> Result<Vec<Stored<'p>>> {
    let (mut dict, mut path) = (pickle.root, String::new());
    for _ in 0..MAX_DEPTH {
        let nest = NESTS.into_iter().find_map(|key| {
            let id = pickle.entry(dict, key)?;
            let nested = matches!(pickle.get(id), Object::Dict(entries) if !entries.is_empty());
            nested.then_some((key, id))
        });
        let Some((key, inner)) = nest else { break };
        for (name, value) in entries(pickle, dict) {
            if value != inner {
                extras.push(extra(pickle, &path, name, value));
            }
        }
        path = format!("{path}{key}.");
        dict = inner;
    }
    let mut stored = Vec::new();
    for (name, value) in entries(pickle, dict) {
        match (pickle.text(name), pickle.get(value)) {
            (Some(key), Object::Tensor(storage, view)) => {
                stored.push(Stored { key, storage, view })
            }
            _ => extras.push(extra(pickle, &path, name, value)),
        }
    }
    match stored.is_empty() {
        true => Err(no_tensors(pickle, dict)),
        false => Ok(stored),
    }
}

fn entries<'p>(pickle: &'p Pickle<'_>, dict: usize) -> impl Iterator<Item = (usize, usize)> + 'p {
    let entries = match pickle.get(dict) {
        Object::Dict(entries) => entries.as_slice(),
        _ => &[],
    };
    entries.iter().copied()
}

fn extra(pickle: &Pickle<'_>, path: &str, name: usize, value: usize) -> Extra {
    let name = match pickle.text(name) {
        Some(text) => printable(text),
        None => pickle.get(name).describe(),
    };
    Extra {
        path: format!("{path}{name}"),
        what: pickle.get(value).describe(),
    }
}

fn no_tensors(pickle: &Pickle<'_>, dict: usize) -> super::Error {
    let names = entries(pickle, dict).take(8);
    let names: Vec<String> = names.map(|(name, _)| pickle.get(name).describe()).collect();
    let held = match names.is_empty() {
        true => pickle.get(dict).describe(),
        false => format!("a dictionary with {}", names.join(", ")),
    };
    fault(format!("no state dictionary of tensors: it holds {held}")).hint(format!(
        "the tensors must be at its top or under one of {}",
        NESTS.join(", ")
    ))
}

fn check_names(stored: &[Stored<'_>]) -> Result<()> {
    let mut names = BTreeSet::new();
    for tensor in stored {
        super::checked_key(tensor.key)?;
        if !names.insert(super::tensor::name_of(tensor.key)) {
            return Err(fault(format!("tensor `{}` is there twice", tensor.key)));
        }
    }
    Ok(())
}

/// Before any memory is taken: what do all tensors together claim?
fn check_sizes(stored: &[Stored<'_>], budget: usize) -> Result<()> {
    let mut total = 0usize;
    for Stored { key, storage, view } in stored {
        let size = storage.dtype.size();
        let bytes = view.count().and_then(|n| n.checked_mul(size));
        let held = storage.count.checked_mul(size).filter(|&n| n <= budget);
        let sum = bytes.and_then(|n| total.checked_add(n));
        total = match (sum.filter(|&n| n <= budget), held) {
            (Some(sum), Some(_)) => sum,
            _ => {
                let Storage { count, dtype, .. } = storage;
                return Err(fault(format!(
                    "tensor `{key}` of shape {:?} in a storage of {count} {}: with it the tensors are much larger than the file",
                    view.shape,
                    dtype.name()
                ))
                .hint("if the file is honest, torch.load and torch.save write it without compression"));
            }
        };
    }
    Ok(())
}

/// Storage by storage, each read once, so that only one is held beside the tensors.
fn load(
    pickle: &Pickle<'_>,
    stored: &[Stored<'_>],
    source: &mut Source<'_>,
) -> Result<Vec<Tensor>> {
    let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, tensor) in stored.iter().enumerate() {
        // Every storage's key is text.
        let key = pickle.text(tensor.storage.key).unwrap_or_default();
        users.entry(key).or_default().push(index);
    }
    let mut tensors: Vec<Option<Tensor>> = stored.iter().map(|_| None).collect();
    for (key, indices) in users {
        let wanted: Vec<&Stored<'_>> = indices.iter().filter_map(|&i| stored.get(i)).collect();
        let Some(Stored {
            storage,
            key: first,
            ..
        }) = wanted.first()
        else {
            continue;
        };
        let of_first = |error| of(first, error);
        if let Some(other) = wanted
            .iter()
            .find(|s| s.storage.count != storage.count || s.storage.dtype != storage.dtype)
        {
            return Err(of(
                other.key,
                fault("its storage is another tensor's, with another size or type"),
            ));
        }
        let size = storage.dtype.size();
        let length = storage.count.saturating_mul(size);
        let bytes = source.storages.bytes(key, length).map_err(of_first)?;
        for (index, tensor) in indices.iter().zip(wanted) {
            let mut values = tensor
                .view
                .of(&bytes, size)
                .map_err(|e| of(tensor.key, e))?;
            if source.big_endian {
                values.chunks_exact_mut(size).for_each(<[u8]>::reverse);
            }
            let shape = tensor.view.shape.clone();
            let read = Tensor::new(tensor.key, shape, storage.dtype, values)?;
            if let Some(place) = tensors.get_mut(*index) {
                *place = Some(read);
            }
        }
    }
    Ok(tensors.into_iter().flatten().collect())
}

/// The error with the tensor that it is about.
fn of(key: &str, error: super::Error) -> super::Error {
    let message = format!("tensor `{key}`: {}", error.message);
    super::Error { message, ..error }
}
