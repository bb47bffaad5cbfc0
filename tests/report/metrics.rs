//! `ffn export-metrics`: files that other programs open, with the values of the run.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::RowAccessor;
use serde_json::Value;

use crate::python::python;
use crate::support::*;

/// Every value of a run by tag and step, read from its own files.
fn recorded() -> BTreeMap<(String, u64), f64> {
    let run = tiny();
    let mut values = BTreeMap::new();
    for line in std::fs::read_to_string(run.join("metrics.jsonl"))
        .unwrap()
        .lines()
    {
        let record: Value = serde_json::from_str(line).unwrap();
        let step = record["step"].as_u64().unwrap();
        let mut put =
            |tag: String, value: &Value| values.insert((tag, step), value.as_f64().unwrap());
        for name in ["loss", "lr", "grad_norm"] {
            put(format!("train/{name}"), &record[name]);
        }
        for group in ["terms", "accuracy"] {
            for (name, value) in record[group].as_object().unwrap() {
                put(format!("train/{group}/{name}"), value);
            }
        }
    }
    for (folder, frames) in ["eval", "eval/epoch-0002"]
        .into_iter()
        .flat_map(|f| [2, 3, 4].map(|t| (f, t)))
    {
        let text = std::fs::read(run.join(format!("{folder}/{frames}.json"))).unwrap();
        let summary: Value = serde_json::from_slice(&text).unwrap();
        let step = summary["step"].as_u64().unwrap();
        let share = |name: &str| {
            100.0 * summary[name].as_f64().unwrap() / summary["clips"].as_f64().unwrap()
        };
        values.insert((format!("eval/top1/{frames}"), step), share("top1"));
        values.insert((format!("eval/top5/{frames}"), step), share("top5"));
        values.insert(
            (format!("eval/loss/{frames}"), step),
            summary["loss"].as_f64().unwrap(),
        );
    }
    values
}

fn export(to: &str, out: &Path, flags: &[&str]) -> std::process::Output {
    let run = tiny();
    let (run, out) = (run.to_str().unwrap(), out.to_str().unwrap());
    ffn(&[&["export-metrics", run, "--to", to, "--out", out], flags].concat())
}

/// Exports to a new folder.
fn exported(to: &str) -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    expect(&export(to, place.path(), &[]), 0);
    place
}

fn name() -> String {
    tiny().file_name().unwrap().to_str().unwrap().to_owned()
}

#[test]
fn csv_holds_every_value_exactly() {
    let place = exported("csv");
    let mut reader = csv::Reader::from_path(place.path().join(format!("{}.csv", name()))).unwrap();
    assert_eq!(
        reader.headers().unwrap(),
        vec!["run", "tag", "step", "wall_time", "value"]
    );
    let rows = reader.records().map(|row| row.unwrap());
    let rows = rows.map(|row| {
        (
            (row[1].to_owned(), row[2].parse().unwrap()),
            row[4].parse().unwrap(),
        )
    });
    assert_eq!(rows.collect::<BTreeMap<(String, u64), f64>>(), recorded());
}

#[test]
fn parquet_holds_every_value_exactly() {
    let place = exported("parquet");
    let file = std::fs::File::open(place.path().join(format!("{}.parquet", name()))).unwrap();
    let reader = SerializedFileReader::new(file).unwrap();
    let rows = reader.get_row_iter(None).unwrap().map(|row| row.unwrap());
    let rows = rows.map(|row| {
        assert_eq!(row.get_string(0).unwrap(), &name());
        let key = (
            row.get_string(1).unwrap().clone(),
            row.get_long(2).unwrap() as u64,
        );
        (key, row.get_double(4).unwrap())
    });
    assert_eq!(rows.collect::<BTreeMap<_, _>>(), recorded());
}

/// Wall times rise with the steps, and lie within the run.
#[test]
fn wall_times_are_those_of_the_run() {
    let place = exported("csv");
    let mut reader = csv::Reader::from_path(place.path().join(format!("{}.csv", name()))).unwrap();
    let rows: Vec<csv::StringRecord> = reader.records().map(|row| row.unwrap()).collect();
    let losses = rows.iter().filter(|row| &row[1] == "train/loss");
    let times: Vec<f64> = losses.map(|row| row[3].parse().unwrap()).collect();
    assert!(times.is_sorted() && times[0] < times[11], "{times:?}");
    let history: Value =
        serde_json::from_slice(&std::fs::read(tiny().join("history.json")).unwrap()).unwrap();
    let started = history["processes"][0]["started"].as_str().unwrap();
    let started = humantime::parse_rfc3339(started).unwrap();
    let started = started
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs_f64();
    assert!(
        times[0] > started && times[11] < started + 600.0,
        "{started} {times:?}"
    );
}

#[test]
fn other_content_is_replaced_only_with_update() {
    for to in ["tensorboard", "csv", "parquet", "mlflow"] {
        let place = exported(to);
        expect(&export(to, place.path(), &[]), 0);
        let file = first_file(place.path());
        let before = std::fs::read(&file).unwrap();
        std::fs::write(&file, b"changed").unwrap();
        let output = export(to, place.path(), &[]);
        expect(&output, 8);
        assert!(stderr(&output).contains("with other content"), "{to}");
        assert_eq!(std::fs::read(&file).unwrap(), b"changed");
        expect(&export(to, place.path(), &["--update"]), 0);
        assert_eq!(std::fs::read(&file).unwrap(), before, "{to}");
    }
}

fn first_file(folder: &Path) -> std::path::PathBuf {
    let mut entries: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    entries.sort();
    match entries[0].is_dir() {
        true => first_file(&entries[0]),
        false => entries[0].clone(),
    }
}

/// What a Python program printed as JSON: a list of tag, step, value.
fn read_by(mut python: Command, program: &str, folder: &Path) -> BTreeMap<(String, u64), f64> {
    let output = python.arg("-c").arg(program).arg(folder).in_time();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<(String, u64, f64)> = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    rows.into_iter()
        .map(|(tag, step, value)| ((tag, step), value))
        .collect()
}

#[test]
fn tensorboard_reads_its_files() {
    let Some(python) = python(&["tensorboard", "numpy"]) else {
        return;
    };
    let place = exported("tensorboard");
    let program = "
import json, sys
from tensorboard.backend.event_processing import plugin_event_multiplexer as multiplexer
from tensorboard.util import tensor_util
runs = multiplexer.EventMultiplexer(tensor_size_guidance={'scalars': 0}).AddRunsFromDirectory(sys.argv[1])
runs.Reload()
(run,) = runs.Runs()
rows = []
for tag in runs.PluginRunToTagToContent('scalars')[run]:
    for event in runs.Tensors(run, tag):
        rows.append((tag, event.step, tensor_util.make_ndarray(event.tensor_proto).item()))
print(json.dumps(rows))
";
    let rounded = recorded().into_iter();
    let rounded = rounded.map(|(place, value)| (place, f64::from(value as f32)));
    assert_eq!(read_by(python, program, place.path()), rounded.collect());
}

#[test]
fn mlflow_reads_its_store() {
    let Some(mut python) = python(&["mlflow"]) else {
        return;
    };
    python.env("MLFLOW_ALLOW_FILE_STORE", "true");
    let place = exported("mlflow");
    let program = "
import json, sys, mlflow
client = mlflow.MlflowClient(tracking_uri='file:' + sys.argv[1] + '/mlruns')
(experiment,) = client.search_experiments(filter_string=\"name = 'tiny'\")
(run,) = client.search_runs([experiment.experiment_id])
assert run.info.run_name.startswith('tiny-') and run.info.status == 'FINISHED', run.info
assert run.data.params['optimizer.lr'] == '0.02', run.data.params
assert run.data.tags['ffn.identity'].startswith(run.info.run_name[5:]), run.data.tags
names = [artifact.path for artifact in client.list_artifacts(run.info.run_id)]
assert 'experiment.ron' in names and 'eval' in names, names
rows = []
for tag in run.data.metrics:
    for point in client.get_metric_history(run.info.run_id, tag):
        rows.append((tag, point.step, point.value))
print(json.dumps(rows))
";
    assert_eq!(read_by(python, program, place.path()), recorded());
}

#[test]
fn pyarrow_reads_the_table() {
    let Some(python) = python(&["pyarrow"]) else {
        return;
    };
    let place = exported("parquet");
    let program = "
import glob, json, sys
import pyarrow.parquet as parquet
table = parquet.read_table(glob.glob(sys.argv[1] + '/*.parquet')[0])
assert [str(t) for t in table.schema.types] == ['string', 'string', 'int64', 'double', 'double'], table.schema
print(json.dumps(list(zip(*(table[name].to_pylist() for name in ('tag', 'step', 'value'))))))
";
    assert_eq!(read_by(python, program, place.path()), recorded());
}
