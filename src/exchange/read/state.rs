//! From what a pickle describes to the tensors of its state dictionary.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::dictionaries::{self, Way};
use super::pickle::{Object, Pickle, Storage};
use super::strided::View;
use super::{Checkpoint, Error, Extra, Format, Result, fault, printable};
use super::{Tensor, checked_key};
use crate::base::{Kind, limits};

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
    /// Name of the dictionary that a person asks for.
    pub take: Option<&'s str>,
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
    let (way, others) = dictionaries::choose(pickle, source.take)?;
    let asked = source.take.filter(|take| *take != way.name);
    let mut extras = beside(pickle, &way);
    let (stored, not_tensors) = entries(pickle, &way);
    extras.extend(not_tensors.iter().map(|extra| Extra {
        path: format!("{}{}", prefix(&way.name), printable(&extra.path)),
        ..extra.clone()
    }));
    check_names(&stored)?;
    check_sizes(&stored, source.budget)?;
    Ok(Checkpoint {
        format: source.format,
        tensors: load(&stored, &mut source)?,
        asked: asked.map(str::to_owned),
        taken: way.name,
        others,
        not_tensors,
        extras,
    })
}

fn prefix(name: &str) -> String {
    match name {
        "" => String::new(),
        _ => format!("{name}."),
    }
}

/// What stands beside the way to the state dictionary.
fn beside(pickle: &Pickle<'_>, way: &Way) -> Vec<Extra> {
    let mut extras = Vec::new();
    let mut name = String::new();
    for (step, next) in way.steps.iter().zip(way.steps.iter().skip(1)) {
        for &(key, value) in pickle.entries(step.id).iter().filter(|e| e.1 != next.id) {
            let key = pickle.name(key);
            extras.push(Extra {
                path: format!("{name}{key}"),
                what: pickle.get(value).describe(),
            });
        }
        name = format!("{name}{}.", next.key);
    }
    extras
}

/// The tensors of the state dictionary, and what else is in it.
fn entries<'p>(pickle: &'p Pickle<'_>, way: &Way) -> (Vec<Stored<'p>>, Vec<Extra>) {
    let (mut stored, mut others) = (Vec::new(), Vec::new());
    for &(name, value) in pickle.entries(way.id()) {
        match (pickle.text(name), pickle.get(value)) {
            (Some(key), Object::Tensor(storage, view)) => stored.push(Stored {
                place: stored.len(),
                key,
                // Every storage's key is text.
                block: pickle.text(storage.key).unwrap_or_default(),
                storage,
                view,
            }),
            (key, object) => others.push(Extra {
                path: key.map_or_else(|| pickle.name(name), str::to_owned),
                what: object.describe(),
            }),
        }
    }
    (stored, others)
}

fn check_names(stored: &[Stored<'_>]) -> Result<()> {
    limits::WEIGHTS_TENSORS.check(Kind::Data, "its state dictionary", stored.len() as u64)?;
    let mut names = BTreeSet::new();
    for tensor in stored {
        checked_key(tensor.key)?;
        if !names.insert(super::name_of(tensor.key)) {
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
