//! PyTorch's format before 1.6: pickles one after another (magic number, protocol, a description of the machine, the
//! object, the keys of its storages), then each storage: the number of its values as 8 bytes, and the values.

use std::borrow::Cow;
use std::collections::BTreeMap;

use super::pickle::{self, Object, Pickle};
use super::state::{self, Source, Storages};
use super::{Checkpoint, Dtype, Format, Result, fault, printable};

/// 0x1950a86a20f9469cfc6c
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
const PROTOCOL: i64 = 1001;

/// Whether the first pickle is the magic number.
pub fn is(bytes: &[u8]) -> bool {
    let first = match bytes {
        [0x80, ..] => pickle::load(bytes).ok(),
        _ => None,
    };
    first.is_some_and(|(pickle, _)| *pickle.get(pickle.root) == Object::Long(&MAGIC))
}

pub fn read(bytes: &[u8], budget: usize, take: Option<&str>) -> Result<Checkpoint> {
    let mut rest = bytes;
    next(&mut rest)?;
    let protocol = next(&mut rest)?;
    if *protocol.get(protocol.root) != Object::Int(PROTOCOL) {
        let found = protocol.get(protocol.root).describe();
        let what = format!("protocol {found} of PyTorch's format, expected {PROTOCOL}");
        return Err(fault(what));
    }
    // Whatever machine wrote it: the values stand in the file with their lowest byte first.
    next(&mut rest)?;
    let pickle = next(&mut rest)?;
    let keys = next(&mut rest)?;
    let mut storages = Blocks::find(&pickle, &keys, rest)?;
    let source = Source {
        format: Format::PyTorchLegacy,
        storages: &mut storages,
        big_endian: false,
        budget,
        take,
    };
    state::checkpoint(&pickle, source)
}

/// The pickle at the front, which is taken off.
fn next<'a>(rest: &mut &'a [u8]) -> Result<Pickle<'a>> {
    let (pickle, end) = pickle::load(rest)?;
    *rest = rest.get(end..).unwrap_or_default();
    Ok(pickle)
}

/// The storages' bytes by key.
struct Blocks<'a>(BTreeMap<String, &'a [u8]>);

impl<'a> Blocks<'a> {
    /// Walks over the storages in the order of `keys`.
    fn find(pickle: &Pickle<'_>, keys: &Pickle<'_>, mut rest: &'a [u8]) -> Result<Self> {
        let Object::List(order) = keys.get(keys.root) else {
            return Err(fault("the keys of its storages are no list"));
        };
        let declared = declared(pickle)?;
        let mut blocks = BTreeMap::new();
        for &id in order {
            let key = keys.text(id).unwrap_or_default();
            let of = |what: String| fault(format!("storage `{}`: {what}", printable(key)));
            let Some(&(dtype, count)) = declared.get(key) else {
                return Err(of("no tensor is in it".to_owned()));
            };
            let (head, behind) = rest
                .split_first_chunk()
                .ok_or_else(|| of("the file ends before it".to_owned()))?;
            let found = u64::from_le_bytes(*head);
            if found != count as u64 {
                return Err(of(format!("{found} values, expected {count}")));
            }
            let length = count.checked_mul(dtype.size());
            let block = length.and_then(|length| behind.split_at_checked(length));
            let (block, behind) = block.ok_or_else(|| {
                let (name, left) = (dtype.name(), behind.len());
                of(format!(
                    "{count} {name} expected, {left} bytes left in the file"
                ))
            })?;
            blocks.insert(key.to_owned(), block);
            rest = behind;
        }
        Ok(Self(blocks))
    }
}

/// Type and number of values of each storage, as the pickle gives them.
fn declared<'p>(pickle: &'p Pickle<'_>) -> Result<BTreeMap<&'p str, (Dtype, usize)>> {
    let mut declared = BTreeMap::new();
    for object in &pickle.objects {
        if let Object::Storage(storage) = object {
            let key = pickle.text(storage.key).unwrap_or_default();
            let claim = (storage.dtype, storage.count);
            if declared
                .insert(key, claim)
                .is_some_and(|other| other != claim)
            {
                return Err(fault(format!(
                    "storage `{}` is declared twice, with different sizes or types",
                    printable(key)
                )));
            }
        }
    }
    Ok(declared)
}

impl Storages for Blocks<'_> {
    fn bytes(&mut self, key: &str, _length: usize) -> Result<Cow<'_, [u8]>> {
        match self.0.get(key) {
            Some(block) => Ok(Cow::Borrowed(block)),
            None => Err(fault(format!(
                "storage `{}` is not in the file",
                printable(key)
            ))),
        }
    }
}
