//! The golden bundles, and that the verifier can fail.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ffn::exec::{EngineKind, Executor};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("golden")
        .join(name)
}

fn assert_agrees(name: &str) {
    assert_agrees_on(EngineKind::Compiled, name);
}

fn assert_agrees_on(engine: EngineKind, name: &str) {
    let executor = Executor { engine, threads: 2 };
    for bundle in ffn::golden::open(&[golden(name)]).unwrap() {
        let comparison = bundle.verify(executor).unwrap();
        assert!(comparison.passes(), "\n{comparison}");
    }
}

#[test]
fn tsm_r50_eval_agrees() {
    assert_agrees("tsm_r50_eval");
}

#[test]
fn ffn_r50_eval_agrees() {
    assert_agrees("ffn_r50_eval");
}

#[test]
fn ffn_r18_eval_agrees() {
    assert_agrees("ffn_r18_eval");
}

#[test]
fn tsm_r18_train_agrees() {
    assert_agrees("tsm_r18_train");
}

#[test]
fn ffn_r18_train_agrees() {
    assert_agrees("ffn_r18_train");
}

#[test]
fn ffn_r50_train_agrees() {
    assert_agrees("ffn_r50_train");
}

#[test]
fn ffn_r18_eval_agrees_on_the_dfdx_engine() {
    assert_agrees_on(EngineKind::Dfdx, "ffn_r18_eval");
}

#[test]
fn tsm_r18_train_agrees_on_the_dfdx_engine_in_float64() {
    assert_agrees_on(EngineKind::DfdxF64, "tsm_r18_train");
}

#[test]
fn preprocessing_agrees() {
    assert_agrees("preprocess");
}

#[test]
fn official_names_agree() {
    assert_agrees("state_dict_names.json");
}

/// A copy of a bundle that a test may damage.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(golden(name)).unwrap() {
            let path = entry.unwrap().path();
            std::fs::copy(&path, folder.path().join(path.file_name().unwrap())).unwrap();
        }
        Self { folder }
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn edit_case(&self, from: &str, to: &str) {
        let path = self.path("case.json");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    fn edit_tensors(&self, edit: impl FnOnce(&mut BTreeMap<String, (Vec<usize>, Vec<f32>)>)) {
        let path = self.path("expected.safetensors");
        let bytes = std::fs::read(&path).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensors = file.iter().map(|(name, view)| {
            let (values, _) = view.data().as_chunks::<4>();
            let values = values.iter().map(|&b| f32::from_le_bytes(b)).collect();
            (name.to_owned(), (view.shape().to_vec(), values))
        });
        let mut tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)> = tensors.collect();
        edit(&mut tensors);
        let stored = tensors.iter().map(|(name, (shape, values))| {
            let bytes: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
            (name, shape.clone(), bytes)
        });
        let stored: Vec<_> = stored.collect();
        let views = stored.iter().map(|(name, shape, bytes)| {
            (
                name,
                TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap(),
            )
        });
        std::fs::write(path, safetensors::serialize(views, None).unwrap()).unwrap();
    }

    fn verify(&self) -> Output {
        verify(&[self.folder.path()])
    }

    /// Exit code and the error as a person sees it, the folder's own name taken out.
    fn refusal(&self) -> (Option<i32>, String) {
        let output = self.verify();
        let error = String::from_utf8(output.stderr).unwrap();
        let folder = self.folder.path().display().to_string();
        (output.status.code(), error.replace(&folder, "BUNDLE"))
    }
}

fn verify(paths: &[&Path]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .args(["golden", "verify"])
        .args(paths)
        .output()
        .unwrap()
}

/// Numbers differ between machines in their last digits: the measured ones are taken out, and the spaces that align them.
fn redacted(table: &[u8]) -> String {
    let text = String::from_utf8_lossy(table);
    let is_number = |word: &str| word.contains(['.', 'e']) && word.parse::<f64>().is_ok();
    let redact = |line: &str| {
        let words = line.split_whitespace();
        let words = words.map(|word| if is_number(word) { "#" } else { word });
        words.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(redact).collect::<Vec<_>>().join("\n")
}

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
            "\"weights\": \"procedural-v2\"",
        ),
        ("\"classes\"", "\"class_count\""),
        ("\"steps\": 2,", "\"steps\": 2, \"stages\": 4,"),
        ("\"steps\": 2,", ""),
        ("\"steps\": 2", "\"steps\": 0"),
        ("\"train\"", "\"eval\""),
        ("\"per_branch\"", "\"shared\""),
        ("\"dropout\": 0.0", "\"dropout\": 0.5"),
        ("\"height\": 64", "\"height\": 128"),
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
