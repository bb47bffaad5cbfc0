//! Detectron's and PySlowFast's weights for Caffe2: a pickle of `{"blobs": {name: numpy array}}`, written by Python 2.

use std::collections::BTreeSet;

use super::pickle::{self, Object, Pickle};
use super::{Checkpoint, Extra, Format, Result, Tensor, checked_key, fault, printable};
use crate::base::{Kind, limits};

/// The dictionary of the arrays.
const BLOBS: &str = "blobs";

/// What such a pickle says, if the bytes are one.
pub fn find(bytes: &[u8]) -> Option<Pickle<'_>> {
    let is_pickle = matches!(bytes, [0x80, 0..=5, ..] | [b'(', b'd', b'p', ..]);
    let (pickle, _) = is_pickle.then(|| pickle::load(bytes).ok()).flatten()?;
    let blobs = pickle.entry(pickle.root, BLOBS)?;
    let is_array = |(_, value): &(_, usize)| matches!(pickle.get(*value), Object::Array(_));
    pickle.entries(blobs).iter().any(is_array).then_some(pickle)
}

pub fn read(pickle: &Pickle<'_>, take: Option<&str>) -> Result<Checkpoint> {
    let entries = pickle
        .entry(pickle.root, BLOBS)
        .map(|id| pickle.entries(id));
    let entries = entries.unwrap_or_default();
    limits::WEIGHTS_TENSORS.check(Kind::Data, "its dictionary of blobs", entries.len() as u64)?;
    let (mut tensors, mut not_tensors, mut names) = (Vec::new(), Vec::new(), BTreeSet::new());
    for &(key, value) in entries {
        match (pickle.text(key), pickle.get(value)) {
            (Some(key), Object::Array(array)) => {
                checked_key(key)?;
                if !names.insert(key) {
                    return Err(fault(format!("blob `{}` is there twice", printable(key))));
                }
                let mut bytes = array.bytes.to_vec();
                if array.big_endian {
                    let values = bytes.chunks_exact_mut(array.dtype.size());
                    values.for_each(<[u8]>::reverse);
                }
                tensors.push(Tensor::new(key, array.shape.clone(), array.dtype, bytes)?);
            }
            (_, object) => not_tensors.push(Extra {
                path: pickle.name(key),
                what: object.describe(),
            }),
        }
    }
    let beside = pickle.entries(pickle.root).iter();
    let beside = beside.filter(|(key, _)| pickle.text(*key) != Some(BLOBS));
    let extras = beside.map(|&(key, value)| Extra {
        path: pickle.name(key),
        what: pickle.get(value).describe(),
    });
    Ok(Checkpoint {
        format: Format::Caffe2,
        tensors,
        taken: BLOBS.to_owned(),
        asked: take.filter(|take| *take != BLOBS).map(str::to_owned),
        others: Vec::new(),
        not_tensors,
        extras: extras.collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An array as Python 2 pickles it, its values as text of bytes.
    fn array(shape: &[u8], order: u8, values: &[u8]) -> Vec<u8> {
        let mut to =
            b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R".to_vec();
        to.extend(b"(K\x01(");
        shape.iter().for_each(|&size| to.extend([b'K', size]));
        to.extend(b"tcnumpy\ndtype\nU\x02f4K\0K\x01\x87R(K\x03U\x01");
        to.push(order);
        to.extend(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89T");
        to.extend((values.len() as u32).to_le_bytes());
        to.extend(values);
        to.extend(b"tb");
        to
    }

    fn entry(name: &str, value: Vec<u8>) -> Vec<u8> {
        [&[b'U', name.len() as u8], name.as_bytes(), &value].concat()
    }

    fn file(blobs: &[Vec<u8>]) -> Vec<u8> {
        [
            b"\x80\x02}(U\x05blobs}(".to_vec(),
            blobs.concat(),
            b"uU\x03cfgK\x01u.".to_vec(),
        ]
        .concat()
    }

    fn little(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    #[test]
    fn blobs_are_tensors() {
        let values = [1.0f32, -2.5, 3e-9, 4.0, 5.0, 6.0];
        let big: Vec<u8> = values.iter().flat_map(|v| v.to_be_bytes()).collect();
        let bytes = file(&[
            entry("conv1_w", array(&[2, 3], b'<', &little(&values))),
            entry("pred_b", array(&[6], b'>', &big)),
            entry("lr", b"G?\xb9\x99\x99\x99\x99\x99\x9a".to_vec()),
        ]);
        let checkpoint = super::super::parse(&bytes).unwrap();
        assert_eq!(checkpoint.format, Format::Caffe2);
        let found: Vec<_> = checkpoint.tensors.iter().map(|t| t.key.as_str()).collect();
        assert_eq!(found, ["conv1_w", "pred_b"]);
        assert_eq!(checkpoint.tensors[0].shape, [2, 3]);
        for tensor in &checkpoint.tensors {
            assert_eq!(tensor.floats().unwrap().values, values);
        }
        assert_eq!(checkpoint.not_tensors[0].path, "lr");
        assert_eq!(checkpoint.extras[0].path, "cfg");
    }

    #[test]
    fn what_does_not_fit_is_an_error() {
        let short = file(&[entry("conv1_w", array(&[2, 3], b'<', &little(&[1.0])))]);
        let error = super::super::parse(&short).unwrap_err().message;
        assert_eq!(error, "tensor `conv1_w` of shape [2, 3] has 4 bytes");
        let twice = entry("a", array(&[1], b'<', &little(&[1.0])));
        let error = super::super::parse(&file(&[twice.clone(), twice])).unwrap_err();
        assert_eq!(error.message, "blob `a` is there twice");
        // A pickle without blobs is no checkpoint.
        assert!(super::super::parse(b"\x80\x02}U\x01aK\x01s.").is_err());
        for end in 0..short.len() {
            assert!(super::super::parse(&short[..end]).is_err(), "{end} bytes");
        }
    }
}
