//! Named tensors → a PyTorch checkpoint, as `torch.save` writes it since 1.6.
//!
//! A zip archive whose members are stored as they are: `data.pkl` describes the tensors, `data/0`, `data/1`, … are their
//! values, little-endian, each at a multiple of 64 bytes so that the file can be mapped. Nothing in it needs more than
//! `torch.load(…, weights_only=True)` allows.

use std::borrow::Cow;
use std::io::{Cursor, Write};

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::pickle::{self, Value};
use super::{Entry, Notes, Values};
use crate::base::{Error, Kind, Result};

/// Where PyTorch puts values in the file: at multiples of this.
const ALIGNMENT: u16 = 64;
/// The folder within the archive; any name will do.
const FOLDER: &str = "archive";
/// Version of the archive's layout.
const VERSION: &str = "3\n";
/// What `torch.nn.DataParallel`, in which the official code trains, puts in front of every name.
const PARALLEL: &str = "module.";

/// What the pickle holds around the tensors.
#[derive(Debug, Clone, Copy)]
pub enum Layout<'a> {
    /// `{'epoch', 'arch', 'state_dict', 'ffn'}` with `module.` in front of every name: what the code of TSM and FFN
    /// saves and takes. `ffn` holds the notes.
    Official {
        epoch: Option<u64>,
        arch: &'a str,
        notes: &'a Notes,
    },
    /// The state dictionary alone, under its bare names.
    Plain,
}

/// The file's bytes; tensors in the order of the entries.
pub fn encode(entries: &[Entry<'_>], layout: Layout<'_>) -> Result<Vec<u8>> {
    let attempt = || -> std::io::Result<Vec<u8>> {
        let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
        let mut put = |name: &str, bytes: &[u8]| -> std::io::Result<()> {
            archive.start_file(format!("{FOLDER}/{name}"), options())?;
            archive.write_all(bytes)
        };
        put("data.pkl", &pickle::encode(&checkpoint(entries, layout)))?;
        put("byteorder", b"little")?;
        for (number, entry) in entries.iter().enumerate() {
            put(&format!("data/{number}"), &entry.values.bytes())?;
        }
        put("version", VERSION.as_bytes())?;
        Ok(archive.finish()?.into_inner())
    };
    attempt().map_err(|e| {
        let message = format!("cannot write as a PyTorch checkpoint: {e}");
        Error::new(Kind::Run, message)
    })
}

/// Stored, aligned, and as old as zip can say.
fn options() -> SimpleFileOptions {
    SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .last_modified_time(DateTime::default())
        .with_alignment(ALIGNMENT)
}

fn checkpoint<'a>(entries: &'a [Entry<'a>], layout: Layout<'a>) -> Value<'a> {
    let tensors = entries.iter().enumerate();
    match layout {
        Layout::Plain => Value::OrderedDict(
            tensors
                .map(|(number, entry)| (entry.name.into(), tensor(number, entry)))
                .collect(),
        ),
        Layout::Official { epoch, arch, notes } => {
            let tensors = tensors.map(|(number, entry)| {
                let name = Cow::Owned(format!("{PARALLEL}{}", entry.name));
                (Value::Text(name), tensor(number, entry))
            });
            let notes = notes
                .iter()
                .map(|(key, text)| (key.as_str().into(), text.as_str().into()));
            // No count of epochs reaches 2^63.
            let epoch = epoch.map(|epoch| ("epoch".into(), Value::Int(epoch as i64)));
            let rest = [
                ("arch".into(), arch.into()),
                ("state_dict".into(), Value::OrderedDict(tensors.collect())),
                ("ffn".into(), Value::Dict(notes.collect())),
            ];
            Value::Dict(epoch.into_iter().chain(rest).collect())
        }
    }
}

/// `_rebuild_tensor_v2(storage, offset, size, stride, requires_grad, backward_hooks)` of storage number `number`.
fn tensor<'a>(number: usize, entry: &Entry<'a>) -> Value<'a> {
    let kind = match entry.values {
        Values::Float32(_) => "FloatStorage",
        Values::Int64(_) => "LongStorage",
    };
    let storage = Value::Tuple(vec![
        "storage".into(),
        Value::Global("torch", kind),
        Value::Text(Cow::Owned(number.to_string())),
        "cpu".into(),
        entry.values.count().into(),
    ]);
    let sizes = |sizes: &[usize]| Value::Tuple(sizes.iter().map(|&size| size.into()).collect());
    Value::Call(
        Box::new(Value::Global("torch._utils", "_rebuild_tensor_v2")),
        vec![
            Value::Persistent(Box::new(storage)),
            Value::Int(0),
            sizes(entry.shape),
            sizes(&strides(entry.shape)),
            Value::Bool(false),
            Value::OrderedDict(Vec::new()),
        ],
    )
}

/// Of row-major order, in values.
fn strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis].max(1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    const WEIGHT: [f32; 6] = [1.0, -0.0, f32::MIN_POSITIVE, 1e-45, f32::MAX, -2.5];

    fn entries() -> [Entry<'static>; 2] {
        [
            Entry {
                name: "conv1.weight",
                shape: &[2, 3],
                values: Values::Float32(&WEIGHT),
            },
            Entry {
                name: "bn1.num_batches_tracked",
                shape: &[],
                values: Values::Int64(7),
            },
        ]
    }

    #[test]
    fn strides_are_those_of_row_major_order() {
        assert_eq!(strides(&[2, 3, 4]), [12, 4, 1]);
        assert_eq!(strides(&[2, 0, 4]), [4, 4, 1]);
        assert_eq!(strides(&[]), [0; 0]);
    }

    #[test]
    fn members_are_stored_aligned_and_without_a_time() {
        let bytes = encode(&entries(), Layout::Plain).unwrap();
        let mut archive = zip::ZipArchive::new(Cursor::new(&bytes)).unwrap();
        let mut values = Vec::new();
        for index in 0..archive.len() {
            let mut member = archive.by_index(index).unwrap();
            assert_eq!(member.compression(), CompressionMethod::Stored);
            assert_eq!(member.last_modified(), Some(DateTime::default()));
            let name = member.name().unwrap().into_owned();
            assert_eq!(member.data_start().unwrap() % 64, 0, "{name}");
            if name == "archive/data/0" {
                member.read_to_end(&mut values).unwrap();
            }
        }
        let expected: Vec<u8> = WEIGHT.iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_eq!(values, expected);
        assert_eq!(encode(&entries(), Layout::Plain).unwrap(), bytes);
    }
}
