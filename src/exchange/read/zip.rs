//! PyTorch's format since 1.6: a zip archive with `data.pkl` and one entry for each storage, in a folder of any name.

use std::borrow::Cow;
use std::io::{Cursor, Read};

use ::zip::ZipArchive;
use ::zip::result::ZipError;

use super::state::{self, Source, Storages};
use super::{Checkpoint, Format, Result, fault, pickle, printable};

/// More than this in one of the small entries is a lie.
const MAX_PICKLE: usize = 8 << 20;
const BYTE_ORDER: usize = 16;

struct Archive<'a> {
    zip: ZipArchive<Cursor<&'a [u8]>>,
    folder: String,
}

pub fn read(bytes: &[u8], budget: usize) -> Result<Checkpoint> {
    let mut archive = Archive::open(bytes)?;
    let program = archive.entry("data.pkl", MAX_PICKLE)?;
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
    };
    state::checkpoint(&pickle, source)
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
            (None, _) => {
                return Err(
                    fault("a zip archive without data.pkl: not a PyTorch checkpoint")
                        .hint("if it is an archive of checkpoints, unpack it first"),
                );
            }
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
            other => of(&other.to_string()),
        })?;
        let mut bytes = Vec::new();
        let read = entry.take(limit as u64 + 1).read_to_end(&mut bytes);
        read.map_err(|e| of(&e.to_string()))?;
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

fn damaged(error: &ZipError) -> super::Error {
    fault(format!("a zip archive that is damaged or cut off: {error}"))
        .hint("get the file again, and compare its size and hash with those of its source")
}
