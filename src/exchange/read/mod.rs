//! Checkpoints of other programs → named tensors.
//!
//! The formats are told apart by content, not by the file's name: PyTorch's zip, PyTorch's format before it
//! ("legacy"), safetensors, Caffe2's pickles. Nothing in a file is executed and nothing that it claims is believed: sizes are checked
//! before memory is taken, and all tensors together may have at most 8 times the bytes of their file.

mod caffe2;
mod dictionaries;
mod kinds;
mod legacy;
mod pickle;
pub mod safetensors;
mod state;
mod strided;
mod tensor;
mod zip;

use std::path::Path;

pub use tensor::{Dtype, Floats, Tensor, name_of};

use crate::base::shown::is_hidden;
use crate::base::{Error, Kind, Result, Shown, files, limits};

/// How often a byte of the file may come back in tensors: compressed zeros, and tensors that share a storage.
const EXPANSION: usize = 8;
/// Tensors of so many bytes are let through whatever the size of their file.
const ALLOWANCE: usize = 1 << 20;
/// Keys are printed: a longer one is a mistake or an attack.
const MAX_KEY: usize = 512;

/// More dimensions than any tensor of a network has.
const MAX_DIMENSIONS: usize = 8;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub format: Format,
    /// The state dictionary, in the file's order; no name twice.
    pub tensors: Vec<Tensor>,
    /// The dictionary of the file that they are from; empty for the whole file.
    pub taken: String,
    /// What a person asked for that is no dictionary of the file: the beginning of names, perhaps.
    pub asked: Option<String>,
    /// Other dictionaries that may hold a model: averaged weights beside those that were trained.
    pub others: Vec<Dictionary>,
    /// What stands in the state dictionary and is no tensor.
    pub not_tensors: Vec<Extra>,
    /// Everything else, and those again.
    pub extras: Vec<Extra>,
}

/// A dictionary of tensors of a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Dictionary {
    pub name: String,
    pub tensors: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    PyTorchZip,
    PyTorchLegacy,
    SafeTensors,
    Caffe2,
}

impl Format {
    /// In a person's words.
    pub fn name(self) -> &'static str {
        match self {
            Format::PyTorchZip => "PyTorch",
            Format::PyTorchLegacy => "PyTorch, the format before 1.6",
            Format::SafeTensors => "safetensors",
            Format::Caffe2 => "Caffe2",
        }
    }
}

/// Something beside the weights: an epoch, an optimiser's state. It is named and not loaded.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Extra {
    pub path: String,
    pub what: String,
}

/// The checkpoint at `path`.
pub fn open(path: &Path) -> Result<Checkpoint> {
    parse(&bytes(path)?).map_err(|error| at(path, error))
}

/// The bytes of a file, if it is one and not too large.
pub fn bytes(path: &Path) -> Result<Vec<u8>> {
    files::read(path, limits::WEIGHTS)
}

/// The checkpoint in the bytes of a file. Errors do not name the file: see [`at`].
pub fn parse(bytes: &[u8]) -> Result<Checkpoint> {
    parse_taking(bytes, None)
}

/// As [`parse`], but of the dictionary called `take`.
pub fn parse_taking(bytes: &[u8], take: Option<&str>) -> Result<Checkpoint> {
    let budget = bytes
        .len()
        .saturating_mul(EXPANSION)
        .saturating_add(ALLOWANCE);
    match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => zip::read(bytes, budget, take),
        _ if safetensors::is(bytes) => safetensors::read(bytes, take),
        _ if legacy::is(bytes) => legacy::read(bytes, budget, take),
        _ => match caffe2::find(bytes) {
            Some(pickle) => caffe2::read(&pickle, take),
            None => Err(kinds::unknown(bytes)),
        },
    }
}

/// The error with the file's path before it.
pub fn at(path: &Path, error: Error) -> Error {
    let message = format!("`{}`: {}", path.shown(), error.message);
    Error { message, ..error }
}

/// A file that is not what it should be.
fn fault(what: impl Into<String>) -> Error {
    Error::new(Kind::Data, what)
}

/// Text of the file as it may be printed: short, and without control characters.
fn printable(text: &str) -> String {
    const LONGEST: usize = 60;
    let short: String = text.chars().take(LONGEST).collect();
    let dots = if short.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", short.shown())
}

/// A tensor's key, which will be printed, compared and written.
fn checked_key(key: &str) -> Result<()> {
    match key.len() > MAX_KEY || key.is_empty() || key.chars().any(is_hidden) {
        true => Err(fault(format!(
            "a tensor is called `{}`: expected 1 to {MAX_KEY} printable characters",
            printable(key)
        ))),
        false => Ok(()),
    }
}
