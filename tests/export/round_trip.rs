//! What was written is read back bit for bit: import(export(x)) = x.

use std::collections::BTreeMap;

use ffn::exchange::read::{self, Dtype};
use ffn::exchange::write::pth::{self, Layout};
use ffn::exchange::write::{Entry, Notes, Values, safetensors};
use proptest::prelude::*;

/// A tensor of float32 with any finite bits, or a counter.
#[derive(Debug, Clone)]
enum Tensor {
    Floats(Vec<usize>, Vec<f32>),
    Counter(i64),
}

fn value() -> impl Strategy<Value = f32> {
    let extreme = prop::sample::select(vec![
        -0.0,
        f32::MIN_POSITIVE,
        1e-45,
        -1e-45,
        f32::MAX,
        f32::MIN,
    ]);
    prop_oneof![
        4 => any::<u32>().prop_map(f32::from_bits).prop_filter("finite", |v| v.is_finite()),
        1 => extreme,
    ]
}

fn tensor() -> impl Strategy<Value = Tensor> {
    let shape = prop::collection::vec(1..5_usize, 0..5);
    let floats = shape.prop_flat_map(|shape| {
        let count = shape.iter().product::<usize>();
        let values = prop::collection::vec(value(), count);
        values.prop_map(move |values| Tensor::Floats(shape.clone(), values))
    });
    prop_oneof![4 => floats, 1 => any::<i64>().prop_map(Tensor::Counter)]
}

fn entries(tensors: &BTreeMap<String, Tensor>) -> Vec<Entry<'_>> {
    tensors
        .iter()
        .map(|(name, tensor)| match tensor {
            Tensor::Floats(shape, values) => Entry {
                name,
                shape,
                values: Values::Float32(values),
            },
            Tensor::Counter(value) => Entry {
                name,
                shape: &[],
                values: Values::Int64(*value),
            },
        })
        .collect()
}

/// Type, shape and little-endian bytes by name.
type Content = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

fn written(entries: &[Entry<'_>]) -> Content {
    let content = entries.iter().map(|entry| {
        let (dtype, bytes) = match entry.values {
            Values::Float32(values) => (
                Dtype::Float32,
                values.iter().flat_map(|v| v.to_le_bytes()).collect(),
            ),
            Values::Int64(value) => (Dtype::Int64, value.to_le_bytes().to_vec()),
        };
        (entry.name.to_owned(), (dtype, entry.shape.to_vec(), bytes))
    });
    content.collect()
}

fn back(bytes: &[u8]) -> Content {
    let tensors = read::parse(bytes).unwrap().tensors.into_iter();
    tensors
        .map(|t| (t.name, (t.dtype, t.shape, t.bytes)))
        .collect()
}

proptest! {
    #[test]
    fn every_format_comes_back_bit_for_bit(
        tensors in prop::collection::btree_map("[a-z]{1,8}(\\.[a-z0-9_]{1,8}){0,3}", tensor(), 1..12),
        epoch in prop::option::of(0..u64::MAX >> 1),
    ) {
        let entries = entries(&tensors);
        let notes = Notes::from([("run".to_owned(), "a \"run\" – ü".to_owned())]);
        let official = Layout::Official { epoch, arch: "resnet50", notes: &notes };
        for bytes in [
            safetensors::encode(&entries, &notes).unwrap(),
            safetensors::encode(&entries, &Notes::new()).unwrap(),
            pth::encode(&entries, official).unwrap(),
            pth::encode(&entries, Layout::Plain).unwrap(),
        ] {
            prop_assert_eq!(back(&bytes), written(&entries));
        }
    }
}
