//! `ffn golden verify`: what it prints, and that it can fail.

use crate::support::{Copy, golden, redacted, verify};

#[test]
fn table_has_a_row_for_each_group() {
    let output = verify(&[&golden("ffn_r18_train"), &golden("preprocess")]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(redacted(&output.stdout));
}

#[test]
fn a_value_changed_by_a_thousandth_fails() {
    let copy = Copy::of("ffn_r18_eval");
    copy.edit_tensors(|tensors| {
        for value in &mut tensors.get_mut("logits.8").unwrap().1 {
            *value *= 1.001;
        }
    });
    let output = copy.verify();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(redacted(&output.stdout));
}

#[test]
fn names_on_one_side_only_fail() {
    let copy = Copy::of("ffn_r18_eval");
    copy.edit_tensors(|tensors| {
        let logits = tensors.remove("logits.8").unwrap();
        tensors.insert("logits.8/other".to_owned(), logits);
    });
    let output = copy.verify();
    assert_eq!(output.status.code(), Some(1));
    insta::assert_snapshot!(redacted(&output.stdout));
}

#[test]
fn another_shape_fails() {
    let copy = Copy::of("ffn_r18_eval");
    copy.edit_tensors(|tensors| tensors.get_mut("logits.4").unwrap().0 = vec![174, 2]);
    let output = copy.verify();
    assert_eq!(output.status.code(), Some(1));
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.contains("shape: logits.4 is expected to be [174, 2] and is [2, 174]"),
        "{table}"
    );
}

/// Everything that a case says wrongly or that nobody knows: refused before anything is computed.
#[test]
fn unknown_or_inconsistent_cases_are_refused() {
    let edits = [
        ("\"resnet18\"", "\"resnet19\""),
        ("\"train\"", "\"test\""),
        ("\"ffn\"", "\"tea\""),
        ("\"ffn\"", "\"tsm\""),
        (
            "\"weights\": \"procedural-v1\"",
            "\"weights\": \"procedural-v3\"",
        ),
        ("\"classes\"", "\"class_count\""),
        ("\"steps\": 2,", "\"steps\": 2, \"stages\": 4,"),
        ("\"steps\": 2,", ""),
        ("\"steps\": 2", "\"steps\": 0"),
        ("\"train\"", "\"eval\""),
        ("\"per_branch\"", "\"shared\""),
        ("\"dropout\": 0.0", "\"dropout\": 0.5"),
        ("\"height\": 64", "\"height\": 8"),
        ("\"batch\": 2", "\"batch\": 2000000000000"),
        ("42", "174"),
        ("16\n ]", "12\n ]"),
        ("\"after\"", "\"afterwards\""),
    ];
    let refusals = edits.map(|(from, to)| {
        let copy = Copy::of("ffn_r18_train");
        copy.edit_case(from, to);
        let (code, error) = copy.refusal();
        assert_eq!(code, Some(4), "{from} -> {to}: {error}");
        format!("{from} -> {to}\n{error}")
    });
    insta::assert_snapshot!(refusals.join("\n"));
}

#[test]
fn damaged_files_are_refused() {
    let copy = Copy::of("ffn_r18_eval");
    let path = copy.path("expected.safetensors");
    let whole = std::fs::read(&path).unwrap();
    for length in [0, 4, 100, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (code, error) = copy.refusal();
        assert_eq!(code, Some(4), "{error}");
        assert!(error.contains("expected.safetensors"), "{error}");
    }
    std::fs::remove_file(&path).unwrap();
    assert_eq!(copy.refusal().0, Some(4));

    let preprocess = Copy::of("preprocess");
    std::fs::write(preprocess.path("val_indices.json"), "{").unwrap();
    assert_eq!(preprocess.refusal().0, Some(4));
}

#[test]
fn a_folder_without_bundles_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = verify(&[folder.path()]);
    assert_eq!(output.status.code(), Some(4));
    let missing = verify(&[&folder.path().join("nowhere")]);
    assert_eq!(missing.status.code(), Some(4));
}
