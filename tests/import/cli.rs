//! `ffn import` through the binary.

use std::path::Path;
use std::process::{Command, Output};

use ffn::exchange::mapping::{Role, wanted};
use ffn::exchange::read::Dtype;
use ffn::graph::Graph;
use ffn::spec;

use crate::files::{Pickle, Tensor, zipped};
use crate::limit::InTime;

const TINY: &str = "fixtures/experiments/tiny.ron";

pub fn import(file: &Path, experiment: &str, flags: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ffn"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["import", file.to_str().unwrap(), "--experiment", experiment])
        .args(flags)
        .in_time()
}

/// Standard output, or standard error where the exit code says so, with the file's folder taken out.
#[track_caller]
pub fn told(output: &Output, code: i32, place: &Path) -> String {
    let text = match code {
        0 => &output.stdout,
        _ => &output.stderr,
    };
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}");
    String::from_utf8_lossy(text).replace(place.to_str().unwrap(), "PLACE")
}

/// The tiny experiment's tensors, every value 0.5, as a training program in Python saves them.
fn tiny() -> Vec<Tensor> {
    let experiment = spec::load(Path::new(TINY)).unwrap().experiment;
    let graph = Graph::build(&experiment, (24, 24)).unwrap();
    let wanted = wanted(&graph).into_iter();
    let tensor = |(number, wanted): (usize, ffn::exchange::mapping::Wanted)| {
        let shape: Vec<i64> = wanted.shape.iter().map(|&n| n as i64).collect();
        let count = wanted.shape.iter().product();
        let name = format!("module.{}", wanted.name);
        let floats = Tensor::floats(&name, &shape, &vec![0.5; count]);
        let floats = Tensor {
            key: number.to_string(),
            ..floats
        };
        match wanted.role {
            Role::Counter => Tensor {
                class: "LongStorage",
                bytes: 7i64.to_le_bytes().to_vec(),
                ..floats
            },
            _ => floats,
        }
    };
    wanted.enumerate().map(tensor).collect()
}

fn saved(tensors: &[Tensor]) -> Vec<u8> {
    let pickle = Pickle::new()
        .op(b"}(")
        .text("epoch")
        .int(50)
        .text("state_dict");
    zipped(pickle.state_dict(tensors, false).op(b"u").end(), tensors)
}

#[test]
fn the_report_is_a_table_and_the_output_is_exact() {
    let place = tempfile::tempdir().unwrap();
    let (file, out) = (
        place.path().join("tiny.pth.tar"),
        place.path().join("out.safetensors"),
    );
    let mut tensors = tiny();
    for tensor in tensors
        .iter_mut()
        .filter(|t| t.name.contains("layer1.0.conv1.weight"))
    {
        let count = tensor.bytes.len() / 4;
        tensor.class = "DoubleStorage";
        tensor.bytes = 0.1f64.to_le_bytes().repeat(count);
    }
    std::fs::write(&file, saved(&tensors)).unwrap();
    let out_flag = out.to_str().unwrap().to_owned();
    let first = import(&file, TINY, &["--out", &out_flag]);
    insta::assert_snapshot!("report", told(&first, 0, place.path()));

    let bytes = std::fs::read(&out).unwrap();
    let refused = told(&import(&file, TINY, &["--out", &out_flag]), 2, place.path());
    assert!(
        refused.contains("`PLACE/out.safetensors` is there already"),
        "{refused}"
    );
    told(
        &import(&file, TINY, &["--out", &out_flag, "--force"]),
        0,
        place.path(),
    );
    assert_eq!(std::fs::read(&out).unwrap(), bytes);

    // What was written is read again to the same bytes.
    let again = place.path().join("again.safetensors");
    let output = import(&out, TINY, &["--out", again.to_str().unwrap(), "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(std::fs::read(&again).unwrap(), bytes);
    assert_eq!(report["output"]["sha256"], ffn::base::files::sha256(&bytes));
    assert_eq!(report["rows"][0]["rule"], "official name");
    let read = ffn::exchange::read::open(&again).unwrap();
    let rounded = read
        .tensors
        .iter()
        .find(|t| t.name.ends_with("layer1.0.conv1.weight"));
    let rounded = rounded.unwrap();
    assert_eq!(rounded.dtype, Dtype::Float32);
    assert!(rounded.floats().unwrap().values.iter().all(|&v| v == 0.1));
}

#[test]
fn nothing_is_dropped_or_missing_unless_it_is_waived() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tiny.pth");
    let mut tensors = tiny();
    tensors.retain(|t| !t.name.ends_with("new_fc.bias"));
    tensors.push(Tensor::floats("module.head.weight", &[1], &[0.0]));
    std::fs::write(&file, saved(&tensors)).unwrap();
    insta::assert_snapshot!("refused", told(&import(&file, TINY, &[]), 4, place.path()));
    let report = told(
        &import(&file, TINY, &["--waive", "new_fc.bias,module.head.*"]),
        0,
        place.path(),
    );
    assert!(
        report.contains("dropped: module.head.weight [1]: waived"),
        "{report}"
    );
    let row = report
        .lines()
        .find(|line| line.contains("new_fc.bias"))
        .unwrap();
    assert!(row.starts_with('-') && row.contains("waived"), "{row}");
}

#[test]
fn values_that_are_not_finite_are_an_error_unless_allowed() {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tiny.pth");
    let mut tensors = tiny();
    tensors[0].bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&file, saved(&tensors)).unwrap();
    insta::assert_snapshot!(
        "not_finite",
        told(&import(&file, TINY, &[]), 4, place.path())
    );
    let report = told(
        &import(&file, TINY, &["--allow-non-finite"]),
        0,
        place.path(),
    );
    assert!(
        report.contains("not finite: module.base_model.conv1.weight: 1 of 216 values"),
        "{report}"
    );
}

#[test]
fn files_that_are_not_there_are_named() {
    let place = tempfile::tempdir().unwrap();
    let missing = import(&place.path().join("no.pth"), TINY, &[]);
    assert!(told(&missing, 8, place.path()).contains("cannot read `PLACE/no.pth`"));
    let folder = import(place.path(), TINY, &[]);
    assert!(told(&folder, 8, place.path()).contains("`PLACE`: it is a folder, not a file"));
}

/// The tensors as another program keeps them: something before every name, values of their own.
fn renamed(tensors: &[Tensor], prefix: &str, value: f32) -> Vec<Tensor> {
    let renamed = |tensor: &Tensor| Tensor {
        name: tensor.name.replace("module.", prefix),
        key: format!("{prefix}{}", tensor.key),
        bytes: match tensor.class {
            "FloatStorage" => value.to_le_bytes().repeat(tensor.bytes.len() / 4),
            _ => tensor.bytes.clone(),
        },
        ..tensor.clone()
    };
    tensors.iter().map(renamed).collect()
}

/// Weights as trained and their average in one file, in two dictionaries or in one: one is taken, which is told, and the
/// other is to be had.
#[test]
fn of_two_sets_of_weights_the_report_names_both() {
    let place = tempfile::tempdir().unwrap();
    let (nested, flat) = (
        place.path().join("nested.pth"),
        place.path().join("flat.pth"),
    );
    let raw = renamed(&tiny(), "model.", 0.5);
    let ema = renamed(&tiny(), "_orig_mod.model.module.", 0.25);
    let pickle = Pickle::new().op(b"}(").text("model_ema");
    let pickle = pickle.state_dict(&ema, false).text("state_dict");
    let pickle = pickle.state_dict(&raw, false).op(b"u").end();
    std::fs::write(&nested, zipped(pickle, &[raw.clone(), ema].concat())).unwrap();
    let ema = renamed(&tiny(), "ema.", 0.25);
    let both = [ema, raw].concat();
    std::fs::write(
        &flat,
        zipped(Pickle::new().state_dict(&both, false).end(), &both),
    )
    .unwrap();
    let mut text = String::new();
    for (file, flags) in [
        (&nested, vec![]),
        (&nested, vec!["--take", "model_ema"]),
        (&nested, vec!["--take", "state_dict_ema"]),
        (&flat, vec![]),
        (&flat, vec!["--take", "ema"]),
        (&flat, vec!["--take", "model."]),
    ] {
        let out = place.path().join("out.safetensors");
        let out = out.to_str().unwrap();
        let flags = [&flags[..], &["--out", out, "--force"]].concat();
        let output = import(file, TINY, &flags);
        let code = output.status.code().unwrap();
        let told = told(&output, code, place.path());
        let said = told.lines().filter(|line| {
            let row = line.contains("official name") || line.contains("sha256");
            !row && !line.starts_with("dropped") && !line.starts_with("source")
        });
        let said: String = said.map(|line| format!("{line}\n")).collect();
        let flags = flags[..flags.len() - 3].join(" ");
        text += &format!("$ ffn import {flags}\n{said}\n");
        if code == 0 {
            let read = ffn::exchange::read::open(Path::new(out)).unwrap();
            let first = read.tensors.iter().find_map(|t| t.floats()).unwrap();
            text += &format!("first value: {}\n\n", first.values[0]);
        }
    }
    insta::assert_snapshot!(text);
}
