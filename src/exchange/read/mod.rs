//! Checkpoints of other programs → named tensors.
//!
//! The formats are told apart by content, not by the file's name: PyTorch's zip, PyTorch's format before it
//! ("legacy"), safetensors. Nothing in a file is executed and nothing that it claims is believed: sizes are checked
//! before memory is taken, and all tensors together may have at most 8 times the bytes of their file.

mod legacy;
mod pickle;
pub mod safetensors;
mod state;
mod strided;
mod tensor;
mod zip;

use std::path::Path;

pub use tensor::{Dtype, Floats, Tensor};

use crate::base::{Error, Kind, Result, Shown, files, limits};

/// How often a byte of the file may come back in tensors: compressed zeros, and tensors that share a storage.
const EXPANSION: usize = 8;
/// Tensors of so many bytes are let through whatever the size of their file.
const ALLOWANCE: usize = 1 << 20;
/// Keys are printed: a longer one is a mistake or an attack.
const MAX_KEY: usize = 512;

/// What a file holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    pub format: Format,
    /// The state dictionary, in the file's order; no name twice.
    pub tensors: Vec<Tensor>,
    /// Everything else.
    pub extras: Vec<Extra>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    PyTorchZip,
    PyTorchLegacy,
    SafeTensors,
}

impl Format {
    /// In a person's words.
    pub fn name(self) -> &'static str {
        match self {
            Format::PyTorchZip => "PyTorch",
            Format::PyTorchLegacy => "PyTorch, the format before 1.6",
            Format::SafeTensors => "safetensors",
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
    let budget = bytes
        .len()
        .saturating_mul(EXPANSION)
        .saturating_add(ALLOWANCE);
    match bytes {
        [b'P', b'K', 3 | 5, 4 | 6, ..] => zip::read(bytes, budget),
        _ if safetensors::is(bytes) => safetensors::read(bytes),
        _ if legacy::is(bytes) => legacy::read(bytes, budget),
        _ => Err(unknown(bytes)),
    }
}

/// The error with the file's path before it.
pub fn at(path: &Path, error: Error) -> Error {
    let message = format!("`{}`: {}", path.shown(), error.message);
    Error { message, ..error }
}

/// A file that cannot be read, and what is known about its kind.
fn unknown(bytes: &[u8]) -> Error {
    let is_tar = bytes.get(257..262) == Some(b"ustar");
    let (what, hint) = match bytes {
        [] => ("the file is empty", "get it again"),
        [0x1f, 0x8b, ..] => ("compressed with gzip", "unpack it with gunzip"),
        _ if is_tar => (
            "a tar archive: either an archive to unpack, or PyTorch's format of before 0.1.10, which is not read",
            "a file inside may be the checkpoint; otherwise torch.load and torch.save make a new one",
        ),
        [0x80, 0..=5, ..] | [b'(' | b']' | b'}' | b'c', ..] => (
            "a pickle, but not one that torch.save wrote",
            "load it with the program that wrote it, and torch.save its state_dict()",
        ),
        _ => (
            "neither a PyTorch checkpoint nor safetensors",
            "expected what torch.save or safetensors.torch.save_file writes",
        ),
    };
    fault(what).hint(hint)
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
    match key.len() > MAX_KEY || key.is_empty() || key.chars().any(char::is_control) {
        true => Err(fault(format!(
            "a tensor is called `{}`: expected 1 to {MAX_KEY} printable characters",
            printable(key)
        ))),
        false => Ok(()),
    }
}
