//! PyTorch's format since 1.6: a zip archive with `data.pkl` and one entry for each storage, in a folder of any name.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::state::{self, Source, Storages};
use super::{Checkpoint, Format, Result, fault, pickle, printable};
use crate::base::{Kind, Shown, limits};

/// More than this in one of the small entries is a lie.
const BYTE_ORDER: usize = 16;
/// Entries beside the tensors: the pickle, versions, the order of bytes.
const BESIDE: u64 = 100;

struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
}

pub fn read(bytes: &[u8], budget: usize, take: Option<&str>) -> Result<Checkpoint> {
    check_directory(bytes)?;
    let mut archive = Archive::open(bytes)?;
    let program = archive.entry("data.pkl", pickle::MAX_BYTES.min(budget))?;
    let big_endian = match archive.has("byteorder") {
        false => false,
        true => match archive.entry("byteorder", BYTE_ORDER)?.as_slice() {
            b"little" => false,
            b"big" => true,
            _ => return Err(fault("its byteorder is neither little nor big")),
        },
    };
    let (pickle, _) = pickle::load(&program)?;
    let source = Source {
        format: Format::PyTorchZip,
        storages: &mut archive,
        big_endian,
        budget,
        take,
    };
    state::checkpoint(&pickle, source)
}

/// The end record of an archive beyond 65535 entries claims their number, for which the crate takes memory at once. It
/// is held against the bound wherever the crate may look for one: the record's signature, and the two numbers of disks
/// that it wants to be equal.
fn check_directory(bytes: &[u8]) -> Result<()> {
    const SIGNATURE: &[u8] = b"PK\x06\x06";
    let mut most = limits::WEIGHTS_TENSORS;
    most.most += BESIDE;
    for at in memchr::memmem::find_iter(bytes, SIGNATURE) {
        let field = |from: usize| bytes.get(at + from..)?.first_chunk::<8>().copied();
        let (Some(disks), Some(here), Some(all)) = (field(16), field(24), field(32)) else {
            continue;
        };
        if disks.first_chunk::<4>() == disks.last_chunk::<4>() {
            let entries = u64::from_le_bytes(here).max(u64::from_le_bytes(all));
            most.check(Kind::Data, "a zip archive", entries)?;
        }
    }
    Ok(())
}

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let zip = ZipArchive::new(Cursor::new(bytes)).map_err(|e| damaged(&e))?;
        if zip.has_duplicate_names() {
            return Err(fault("a zip archive with two entries of one name"));
        }
        let names = zip.file_names_raw();
        let mut folders = names.filter_map(|name| {
            let name = std::str::from_utf8(name).ok()?;
            let folder = name.strip_suffix("/data.pkl")?;
            (!folder.contains('/')).then(|| folder.to_owned())
        });
        let folder = match (folders.next(), folders.next()) {
            (Some(folder), None) => folder,
            (Some(_), Some(_)) => return Err(fault("a zip archive with more than one data.pkl")),
            (None, _) => return Err(other_archive(&zip)),
        };
        drop(folders);
        let archive = Self { zip, folder };
        match archive.has("constants.pkl") {
            false => Ok(archive),
            true => Err(
                fault("a TorchScript module: a program, not a checkpoint of tensors")
                    .hint("torch.jit.load it and torch.save its state_dict()"),
            ),
        }
    }

    fn has(&self, name: &str) -> bool {
        let path = format!("{}/{name}", self.folder);
        self.zip.index_for_name(&path).is_some()
    }

    /// An entry's bytes, at most `limit`, with the checksum that the archive gives for them.
    fn entry(&mut self, name: &str, limit: usize) -> Result<Vec<u8>> {
        let path = format!("{}/{name}", self.folder);
        let of = |what: &str| fault(format!("entry `{}`: {what}", printable(&path)));
        let entry = self.zip.by_name(&path).map_err(|e| match e {
            ZipError::FileNotFound => of("not in the archive"),
            other => of(&other.to_string().shown()),
        })?;
        let mut bytes = Vec::new();
        let read = entry.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| of(&e.to_string().shown()))?;
        match bytes.len() > limit {
            true => Err(of(&format!("more than {limit} bytes"))),
            false => Ok(bytes),
        }
    }
}

impl Storages for Archive<'_> {
    fn bytes(&mut self, key: &str, length: usize) -> Result<Cow<'_, [u8]>> {
        let name = format!("data/{key}");
        let bytes = self.entry(&name, length)?;
        match bytes.len() == length {
            true => Ok(Cow::Owned(bytes)),
            false => Err(fault(format!(
                "entry `{}` has {} bytes, expected {length}",
                printable(&name),
                bytes.len()
            ))),
        }
    }
}

/// What an archive is that no torch.save wrote, as far as the names in it tell.
fn other_archive(zip: &ZipArchive<Cursor<&[u8]>>) -> super::Error {
    let names = zip.file_names_raw().map(String::from_utf8_lossy);
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    let holds = |endings: &[&str]| {
        let ends = |name: &str| endings.iter().any(|ending| name.ends_with(ending));
        names.iter().any(|name| ends(name))
    };
    let hint = match () {
        () if holds(&[".pth", ".pt", ".tar", ".safetensors", ".ckpt"]) => {
            "unpack it: a file inside may be the checkpoint"
        }
        () if holds(&[".npy"]) => {
            "numpy's arrays: read them there, and torch.save them as a dictionary of tensors"
        }
        () if holds(&[".distcp"]) => {
            "a distributed checkpoint: torch.distributed.checkpoint.format_utils makes one file of it"
        }
        () => "expected what torch.save or safetensors.torch.save_file writes",
    };
    let what = format!(
        "a zip archive without data.pkl, not a PyTorch checkpoint: it holds {}",
        some(&names)
    );
    fault(what).hint(hint)
}

/// The first of some names, and how many more there are.
fn some(names: &[Cow<'_, str>]) -> String {
    const LISTED: usize = 4;
    let some = names.iter().take(LISTED);
    let some: Vec<String> = some.map(|name| format!("`{}`", printable(name))).collect();
    match names.len().checked_sub(LISTED) {
        _ if names.is_empty() => "nothing".to_owned(),
        Some(more @ 1..) => format!("{} and {more} more", some.join(", ")),
        _ => some.join(", "),
    }
}

fn damaged(error: &ZipError) -> super::Error {
    fault(format!(
        "a zip archive that is damaged or cut off: {}",
        error.to_string().shown()
    ))
    .hint("get the file again, and compare its size and hash with those of its source")
}
