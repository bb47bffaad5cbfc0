//! Bundles that lie: refused with the file's name, without a panic and without memory for what they claim.

use std::path::Path;

use ffn::base::Kind;
use proptest::prelude::*;

use crate::support::{Copy, golden};

fn open(folder: &Path) -> Result<(), ffn::base::Error> {
    ffn::golden::open(&[folder.to_owned()]).map(|_| ())
}

/// What anybody may do to the bytes of a file.
#[derive(Debug, Clone)]
enum Damage {
    Truncate(prop::sample::Index),
    Flip(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    /// A number in a text becomes another one.
    Number(prop::sample::Index, String),
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<prop::sample::Index>;
    let numbers = [
        "0",
        "1",
        "-1",
        "0.5",
        "1e308",
        "1e999",
        "3",
        "1024",
        "65536",
        "4294967296",
        "18446744073709551615",
        "99999999999999999999",
        "[]",
        "null",
    ];
    prop_oneof![
        place().prop_map(Damage::Truncate),
        (place(), 1..=255u8).prop_map(|(at, bits)| Damage::Flip(at, bits)),
        (place(), prop::collection::vec(any::<u8>(), 1..9))
            .prop_map(|(at, b)| Damage::Insert(at, b)),
        (place(), 1..64usize).prop_map(|(at, count)| Damage::Remove(at, count)),
        (place(), prop::sample::select(numbers.to_vec()))
            .prop_map(|(at, number)| Damage::Number(at, number.to_owned())),
    ]
}

fn apply(damage: &Damage, bytes: &mut Vec<u8>) {
    let length = bytes.len().max(1);
    match damage {
        Damage::Truncate(at) => bytes.truncate(at.index(length)),
        Damage::Flip(at, bits) => {
            if let Some(byte) = bytes.get_mut(at.index(length)) {
                *byte ^= bits;
            }
        }
        Damage::Insert(at, new) => {
            let at = at.index(length).min(bytes.len());
            bytes.splice(at..at, new.iter().copied());
        }
        Damage::Remove(at, count) => {
            let at = at.index(length).min(bytes.len());
            let end = (at + count).min(bytes.len());
            bytes.drain(at..end);
        }
        Damage::Number(at, number) => replace_number(bytes, *at, number),
    }
}

fn replace_number(bytes: &mut Vec<u8>, at: prop::sample::Index, number: &str) {
    let digit = |b: &u8| b.is_ascii_digit();
    let starts =
        (0..bytes.len()).filter(|&i| digit(&bytes[i]) && (i == 0 || !digit(&bytes[i - 1])));
    let starts: Vec<usize> = starts.collect();
    if starts.is_empty() {
        return;
    }
    let start = starts[at.index(starts.len())];
    let end = start + bytes[start..].iter().take_while(|b| digit(b)).count();
    bytes.splice(start..end, number.bytes());
}

/// What describes the images and numbers of the loaders.
const FILES: [(&str, &str); 8] = [
    ("preprocess", "cases.json"),
    ("preprocess", "multi_scale_crop_boxes.json"),
    ("preprocess", "val_indices.json"),
    ("preprocess_slowfast", "cases.json"),
    ("preprocess_slowfast", "indices.json"),
    ("preprocess_uniformer", "cases.json"),
    ("preprocess_uniformer", "frame_indices.json"),
    ("preprocess_uniformer", "schedule.json"),
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Opening reads all of it, plans the memory and computes nothing.
    #[test]
    fn damaged_cases_are_read_or_refused(damages in prop::collection::vec(damage(), 1..4)) {
        let copy = Copy::of("tsm_r18_train");
        let path = copy.path("case.json");
        let mut bytes = std::fs::read(&path).unwrap();
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = open(copy.folder.path()) {
            prop_assert_eq!(error.kind, Kind::Data);
            prop_assert!(error.message.contains("case.json"), "{}", error);
        }
    }

    /// The header of the tensors comes first: that is where most of the damage goes.
    #[test]
    fn damaged_tensors_are_read_or_refused(damages in prop::collection::vec(damage(), 1..4), header in any::<bool>()) {
        let copy = Copy::of("ffn_r18_eval");
        let path = copy.path("expected.safetensors");
        let mut bytes = std::fs::read(&path).unwrap();
        let mut rest = if header { bytes.split_off(200) } else { Vec::new() };
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        bytes.append(&mut rest);
        std::fs::write(&path, bytes).unwrap();
        if let Err(error) = open(copy.folder.path()) {
            prop_assert_eq!(error.kind, Kind::Data);
        }
    }

    #[test]
    fn damaged_images_are_read_or_refused(damages in prop::collection::vec(damage(), 1..4), file in 0..FILES.len()) {
        let (bundle, file) = FILES[file];
        let copy = Copy::of(bundle);
        let path = copy.path(file);
        let mut bytes = std::fs::read(&path).unwrap();
        damages.iter().for_each(|damage| apply(damage, &mut bytes));
        std::fs::write(&path, bytes).unwrap();
        let bundles = ffn::golden::open(&[copy.folder.path().to_owned()]);
        let Ok(bundles) = bundles else { return Ok(()) };
        for bundle in bundles {
            bundle.verify(ffn::exec::Executor::compiled(1)).unwrap();
        }
    }
}

/// Claims that would need gigabytes are refused by the number, or by what the plan says that they need.
#[test]
fn cases_that_claim_too_much_are_refused_before_anything_is_allocated() {
    let refused = |edits: &[(&str, &str)]| {
        let copy = Copy::of("tsm_r18_train");
        edits.iter().for_each(|(from, to)| copy.edit_case(from, to));
        let error = open(copy.folder.path()).unwrap_err();
        assert_eq!(error.kind, Kind::Data, "{error}");
        error.message
    };
    let large = refused(&[
        ("resnet18", "resnet50"),
        ("\"height\": 64", "\"height\": 1152"),
        ("\"width\": 64", "\"width\": 1152"),
    ]);
    assert!(large.contains("GiB of memory"), "{large}");
    let wide = refused(&[("\"classes\": 174", "\"classes\": 4000000000")]);
    assert!(wide.contains("classes must be in"), "{wide}");
    let many = refused(&[("\"steps\": 2", "\"steps\": 4000000000")]);
    assert!(many.contains("steps must be in"), "{many}");
    let lax = refused(&[("2.203041201425901e-06", "0.2")]);
    assert!(lax.contains("fixes nothing"), "{lax}");
    let outside = refused(&[(
        "\"inputs\": \"procedural-v1\"",
        "\"inputs\": \"../inputs.safetensors\"",
    )]);
    assert!(
        outside.contains("no name of a file in the bundle"),
        "{outside}"
    );
    assert!(golden("tsm_r18_train").is_dir());
}
