//! Whatever the bytes: an error or tensors of the size that they claim, never a panic.

use ffn::exchange::read::{Checkpoint, parse};
use ffn::exchange::write::{Entry, Notes, Values, pth, safetensors};
use proptest::prelude::*;

use crate::files::*;

/// What holds for everything that was read.
fn check(bytes: &[u8], read: &Checkpoint) {
    let total: usize = read.tensors.iter().map(|t| t.bytes.len()).sum();
    assert!(
        total <= 8 * bytes.len() + (1 << 20),
        "{total} from {}",
        bytes.len()
    );
    for tensor in &read.tensors {
        let count: usize = tensor.shape.iter().product();
        assert_eq!(count * tensor.dtype.size(), tensor.bytes.len());
        if let Some(floats) = tensor.floats() {
            assert_eq!(floats.values.len(), count);
        }
    }
}

/// What fuzzing found worth keeping.
#[test]
fn the_corpus_of_the_fuzz_target() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/checkpoint");
    let mut count = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        if let Ok(read) = parse(&bytes) {
            check(&bytes, &read);
        }
        count += 1;
    }
    assert!(count > 50, "{count} files");
}

/// One of the valid files, with its number.
fn file() -> impl Strategy<Value = Vec<u8>> {
    (0..4usize).prop_map(|number| valid()[number].clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes(start in 0..6usize, bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let starts: [&[u8]; 6] = [b"", b"PK\x03\x04", b"PK\x05\x06", b"\x80\x02", b"\x80\x04\x95", b"\x20\0\0\0\0\0\0\0{"];
        let bytes = [starts[start], &bytes].concat();
        if let Ok(read) = parse(&bytes) {
            check(&bytes, &read);
        }
    }

    #[test]
    fn any_pickle(program in prop::collection::vec(any::<u8>(), 0..400)) {
        for bytes in [zipped(program.clone(), &tensors()), legacy(program, &tensors())] {
            if let Ok(read) = parse(&bytes) {
                check(&bytes, &read);
            }
        }
    }

    #[test]
    fn changed_files(
        mut bytes in file(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for (index, value) in changes {
            let at = index.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(read) = parse(&bytes) {
            check(&bytes, &read);
        }
    }

    /// A pickle whose bytes change inside an archive that is whole.
    #[test]
    fn changed_pickles(
        old in any::<bool>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let tensors = tensors();
        let mut pickle = Pickle::new().state_dict(&tensors, old).end();
        for (index, value) in changes {
            let at = index.index(pickle.len());
            pickle[at] = value;
        }
        let bytes = match old {
            true => legacy(pickle, &tensors),
            false => zipped(pickle, &tensors),
        };
        if let Ok(read) = parse(&bytes) {
            check(&bytes, &read);
        }
    }

    /// What `ffn export` writes comes back bit for bit.
    #[test]
    fn what_is_written_is_read(
        shapes in prop::collection::vec(prop::collection::vec(0..4usize, 0..4), 1..6),
        seed in any::<u32>(),
    ) {
        let values: Vec<Vec<f32>> = shapes
            .iter()
            .map(|shape| {
                let count: usize = shape.iter().product();
                (0..count as u32).map(|i| f32::from_bits(seed.wrapping_mul(i | 1))).collect()
            })
            .collect();
        let names: Vec<String> = (0..shapes.len()).map(|i| format!("layer{i}.weight")).collect();
        let entries: Vec<Entry<'_>> = names
            .iter()
            .zip(&shapes)
            .zip(&values)
            .map(|((name, shape), values)| Entry { name, shape, values: Values::Float32(values) })
            .collect();
        let notes = Notes::from([("run".to_owned(), "x".to_owned())]);
        let official = pth::Layout::Official { epoch: Some(3), arch: "resnet50", notes: &notes };
        for bytes in [
            pth::encode(&entries, pth::Layout::Plain).unwrap(),
            pth::encode(&entries, official).unwrap(),
            safetensors::encode(&entries, &notes).unwrap(),
        ] {
            let read = parse(&bytes).unwrap();
            prop_assert_eq!(read.tensors.len(), entries.len());
            for tensor in &read.tensors {
                let entry = entries.iter().find(|e| e.name == tensor.name).unwrap();
                prop_assert_eq!(&tensor.shape, entry.shape);
                let Values::Float32(values) = entry.values else { unreachable!() };
                let expected: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
                prop_assert_eq!(&tensor.bytes, &expected);
            }
        }
    }
}
