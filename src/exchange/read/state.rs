//! From what a pickle describes to the tensors of its state dictionary.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::pickle::{Object, Pickle, Storage};
use super::strided::View;
use super::{Checkpoint, Error, Extra, Format, Result, Tensor, fault, printable};

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
    /// Place in the state dictionary.
    place: usize,
    key: &'p str,
    /// Key of its storage.
    block: &'p str,
    storage: &'p Storage,
    view: &'p View,
}

impl Stored<'_> {
    /// Its values out of the bytes of its storage.
    fn read(&self, bytes: &[u8], big_endian: bool) -> Result<Tensor> {
        let (dtype, shape) = (self.storage.dtype, self.view.shape.clone());
        let mut values = self
            .view
            .of(bytes, dtype.size())
            .map_err(|e| self.is_wrong(e))?;
        if big_endian {
            values
                .chunks_exact_mut(dtype.size())
                .for_each(<[u8]>::reverse);
        }
        Tensor::new(self.key, shape, dtype, values)
    }

    /// The error with the tensor that it is about.
    fn is_wrong(&self, error: Error) -> Error {
        let message = format!("tensor `{}`: {}", self.key, error.message);
        Error { message, ..error }
    }

    fn is_too_large(&self) -> Error {
        let Storage { count, dtype, .. } = self.storage;
        fault(format!(
            "tensor `{}` of shape {:?} in a storage of {count} {}: with it the tensors are much larger than the file",
            self.key,
            self.view.shape,
            dtype.name()
        ))
        .hint("if the file is honest, torch.load and torch.save write it without compression")
    }
}

/// The state dictionary of a pickle with its values, and the names of everything else.
pub fn checkpoint(pickle: &Pickle<'_>, mut source: Source<'_>) -> Result<Checkpoint> {
    let mut extras = Vec::new();
    let stored = find(pickle, &mut extras)?;
    check_names(&stored)?;
    check_sizes(&stored, source.budget)?;
    Ok(Checkpoint {
        format: source.format,
        tensors: load(&stored, &mut source)?,
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
            (Some(key), Object::Tensor(storage, view)) => stored.push(Stored {
                place: stored.len(),
                key,
                // Every storage's key is text.
                block: pickle.text(storage.key).unwrap_or_default(),
                storage,
                view,
            }),
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

fn no_tensors(pickle: &Pickle<'_>, dict: usize) -> Error {
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

/// Before any memory is taken: what do all tensors and their storages together claim?
fn check_sizes(stored: &[Stored<'_>], budget: usize) -> Result<()> {
    let mut left = budget;
    let mut storages = BTreeMap::new();
    for tensor in stored {
        let Storage { dtype, count, .. } = *tensor.storage;
        let held = match storages.insert(tensor.block, (dtype, count)) {
            None => count.checked_mul(dtype.size()),
            Some(claim) if claim == (dtype, count) => Some(0),
            Some(_) => {
                let what = "its storage is another tensor's too, with another size or type";
                return Err(tensor.is_wrong(fault(what)));
            }
        };
        let shown = tensor
            .view
            .count()
            .and_then(|n| n.checked_mul(dtype.size()));
        let claimed = held
            .zip(shown)
            .and_then(|(held, shown)| held.checked_add(shown));
        let rest = claimed.and_then(|bytes| left.checked_sub(bytes));
        left = rest.ok_or_else(|| tensor.is_too_large())?;
    }
    Ok(())
}

/// Storage by storage, each read once, so that only one is held beside the tensors.
fn load(stored: &[Stored<'_>], source: &mut Source<'_>) -> Result<Vec<Tensor>> {
    let mut blocks: BTreeMap<&str, Vec<&Stored<'_>>> = BTreeMap::new();
    for tensor in stored {
        blocks.entry(tensor.block).or_default().push(tensor);
    }
    let mut tensors = Vec::new();
    for (block, users) in blocks {
        let Some(first) = users.first() else { continue };
        let length = first
            .storage
            .count
            .saturating_mul(first.storage.dtype.size());
        let bytes = source.storages.bytes(block, length);
        let bytes = bytes.map_err(|error| first.is_wrong(error))?;
        for user in users {
            tensors.push((user.place, user.read(&bytes, source.big_endian)?));
        }
    }
    tensors.sort_by_key(|(place, _)| *place);
    Ok(tensors.into_iter().map(|(_, tensor)| tensor).collect())
}
