//! `ffn golden record`: what is recorded passes, and stops passing when something changes.

use std::path::Path;

use crate::support::{edit_tensors, expect, ffn_golden, redacted};

const TINY: &str = "fixtures/experiments/tiny.ron";

/// Records the tiny experiment and fails unless that worked.
fn record(out: &Path, flags: &[&str]) -> String {
    let out = out.to_str().unwrap();
    let output = ffn_golden(&[&["record", TINY, "--out", out], flags].concat());
    expect(&output, 0)
}

fn verify(bundle: &Path, code: i32) -> String {
    expect(&ffn_golden(&["verify", bundle.to_str().unwrap()]), code)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

fn edit(path: &Path, from: &str, to: &str) {
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from} in {text}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn what_was_recorded_passes_and_shows_its_taps_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("deep/eval");
    let printed = record(&bundle, &["--taps", "layer2,stem,layer1.0.conv1"]);
    let sizes = printed.lines().filter(|line| line.ends_with(" bytes"));
    assert_eq!(sizes.count(), 3, "{printed}");
    let table = printed.lines().filter(|line| !line.ends_with(" bytes"));
    let table = table.collect::<Vec<_>>().join("\n");
    insta::assert_snapshot!(redacted(table.as_bytes()));
    let files = ["case.json", "expected.safetensors", "experiment.ron"];
    assert_eq!(names(&bundle), files);
    assert_eq!(
        names(bundle.parent().unwrap()),
        ["eval"],
        "no draft is left"
    );
    verify(&bundle, 0);
}

#[test]
fn a_change_of_the_objective_fails_where_it_shows_first() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("train");
    let flags = ["--mode", "train", "--steps", "2", "--taps", "layer1"];
    record(&bundle, &flags);
    verify(&bundle, 0);
    edit(
        &bundle.join("experiment.ron"),
        "lambda: 1.0",
        "lambda: 1.01",
    );
    let table = verify(&bundle, 1);
    let failed = table.lines().filter(|line| line.ends_with("FAIL"));
    let failed: Vec<&str> = failed.filter_map(|l| l.split_whitespace().next()).collect();
    let passed = |group: &str| !failed.contains(&group);
    assert!(
        passed("step0.logits.2") && passed("step0.loss.ce"),
        "{table}"
    );
    assert!(passed("step0.tap.2.base_model.layer1.0.relu"), "{table}");
    assert!(
        failed.contains(&"step0.loss.kl.2") && failed.contains(&"step0.grad_head"),
        "{table}"
    );
}

#[test]
fn a_bundle_is_replaced_only_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let out = bundle.to_str().unwrap();
    record(&bundle, &["--frames", "2"]);
    let case = std::fs::read(bundle.join("case.json")).unwrap();
    let again = ffn_golden(&["record", TINY, "--out", out]);
    assert!(expect(&again, 2).contains("--update replaces it"));
    assert_eq!(std::fs::read(bundle.join("case.json")).unwrap(), case);

    record(&bundle, &["--update", "--frames", "4,3", "--batch", "1"]);
    let table = verify(&bundle, 0);
    assert!(
        table.contains("logits.3") && !table.contains("logits.2"),
        "{table}"
    );

    // What somebody else put there is never touched.
    std::fs::write(bundle.join("notes.txt"), "mine").unwrap();
    let refused = ffn_golden(&["record", TINY, "--out", out, "--update"]);
    assert!(expect(&refused, 2).contains("`notes.txt`"));
    verify(&bundle, 0);
}

#[test]
fn what_makes_no_sense_is_refused_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let refusals = [
        "--taps layer1.0.cnov1",
        "--taps input",
        "--steps 2",
        "--mode train --frames 2",
        "--mode train --steps 0",
        "--batch 0",
        "--size 8",
        "--size 100000",
        "--frames 4096",
        "--mode train --batch 64 --size 1024",
    ]
    .map(|flags| {
        let words: Vec<&str> = flags.split(' ').collect();
        let arguments = [
            &["record", TINY, "--out", bundle.to_str().unwrap()],
            &words[..],
        ];
        let output = ffn_golden(&arguments.concat());
        assert!(!output.status.success(), "{flags}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(names(folder.path()), Vec::<String>::new(), "{flags}");
        format!(
            "{flags}\n{}",
            error.replace(bundle.to_str().unwrap(), "BUNDLE")
        )
    });
    insta::assert_snapshot!(refusals.join("\n"));
}

/// The reference engine keeps every value of a step: what it could not hold is refused before it begins.
#[test]
fn what_the_reference_engine_could_not_hold_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    let out = ["record", TINY, "--out", bundle.to_str().unwrap()];
    let flags = ["--mode", "train", "--batch", "64", "--size", "208"];
    let error = expect(&ffn_golden(&[&out[..], &flags].concat()), 7);
    assert!(
        error.contains("the engine `dfdx-f64` would take about"),
        "{error}"
    );
    assert!(error.contains("--engine compiled"), "{error}");
}

/// A bundle with weights of its own: those of the tiny experiment's procedural ones, written by this program.
#[test]
fn a_damaged_weight_is_told_by_the_groups_that_it_reaches() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    record(
        &bundle,
        &["--frames", "2,4", "--taps", "stem,layer1,layer2"],
    );
    let weights = weights(&bundle);
    std::fs::write(bundle.join("weights.safetensors"), weights).unwrap();
    edit(
        &bundle.join("case.json"),
        "\"weights\": \"procedural-v1\"",
        "\"weights\": \"weights.safetensors\"",
    );
    verify(&bundle, 0);

    let file = bundle.join("weights.safetensors");
    edit_tensors(&file, |tensors| {
        tensors
            .get_mut("base_model.layer2.0.bn1_4.weight")
            .unwrap()
            .1[0] += 0.1;
    });
    let table = verify(&bundle, 1);
    let failed = table.lines().filter(|line| line.ends_with("FAIL"));
    let failed: Vec<&str> = failed.filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(
        failed,
        ["logits.4", "tap.4.base_model.layer2.0.relu"],
        "{table}"
    );

    edit_tensors(&file, |tensors| {
        tensors.remove("new_fc.bias");
        tensors.insert("fc.bias".to_owned(), (vec![8], vec![0.0; 8]));
    });
    let error = verify(&bundle, 4);
    assert!(error.contains("missing    new_fc.bias"), "{error}");
    assert!(error.contains("unexpected fc.bias"), "{error}");
}

/// The weights that the bundle's case has, as a file.
fn weights(bundle: &Path) -> Vec<u8> {
    let bundle = ffn::golden::ModelBundle::open(bundle).unwrap();
    let model = bundle.model(ffn::exec::Executor::compiled(1)).unwrap();
    ffn::run::tensors::encode(&model.state_dict().unwrap()).unwrap()
}

/// The same inputs from a file, in float64, give the same values; a wrong shape or name is refused.
#[test]
fn inputs_may_be_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    record(&bundle, &["--frames", "2", "--batch", "1"]);
    let shape = vec![1, 2, 3, 24, 24];
    let inputs = |name: &str, shape: &[usize]| {
        let count = shape.iter().product::<usize>() as u64;
        let values = (1..=count).flat_map(|i| procedural("input.2", i).to_le_bytes());
        let bytes: Vec<u8> = values.collect();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F64, shape.to_vec(), &bytes);
        let file = safetensors::serialize([(name, view.unwrap())], None).unwrap();
        std::fs::write(bundle.join("inputs.safetensors"), file).unwrap();
    };
    edit(
        &bundle.join("case.json"),
        "\"inputs\": \"procedural-v1\"",
        "\"inputs\": \"inputs.safetensors\"",
    );
    inputs("input.2", &shape);
    verify(&bundle, 0);
    inputs("input.2", &[1, 2, 24, 24, 3]);
    let error = verify(&bundle, 4);
    assert!(
        error.contains("expected [1, 2, 3, 24, 24], found [1, 2, 24, 24, 3]"),
        "{error}"
    );
    inputs("input.4", &shape);
    let error = verify(&bundle, 4);
    assert!(
        error.contains("missing    input.2") && error.contains("unexpected input.4"),
        "{error}"
    );
}

/// Element `i`, from 1, of a procedural input: the definition once more, in float64 where it is exact.
fn procedural(name: &str, i: u64) -> f64 {
    let fnv = |seed: u64, &byte: &u8| (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let seed = name.as_bytes().iter().fold(0xcbf2_9ce4_8422_2325, fnv);
    let z = i.wrapping_mul(0x9E37_79B9_7F4A_7C15).wrapping_add(seed);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    let z = z ^ (z >> 31);
    let v = (z >> 40) as f64 / f64::from(1u32 << 23) - 1.0;
    f64::from(v as f32 * 3f64.sqrt() as f32)
}
