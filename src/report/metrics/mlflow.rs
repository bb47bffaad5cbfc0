//! MLflow's file store: a folder for each experiment and run, a small text for each metric, parameter and tag.
//!
//! ```text
//! mlruns/<experiment id>/meta.yaml
//! mlruns/<experiment id>/<run id>/meta.yaml
//!                                 metrics/train/loss     lines `milliseconds value step`
//!                                 params/optimizer.lr    the value
//!                                 tags/mlflow.runName    the value
//!                                 artifacts/…            experiment, manifest, evaluations
//! ```
//!
//! Ids are made of hashes, so that the same run exported again is the same run.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::Files;
use super::series::Series;
use crate::base::{Error, Result, files as base_files};
use crate::report::escape;

/// MLflow refuses longer values of parameters.
const LONGEST_PARAMETER: usize = 6000;

/// `RunStatus` of MLflow.
const RUNNING: u8 = 1;
const FINISHED: u8 = 3;

pub fn files(series: &Series, out: &Path) -> Result<Files> {
    let experiment_id = experiment_id(&series.experiment);
    let run_id: String =
        base_files::sha256(format!("{}/{}", series.identity, series.run).as_bytes())
            .chars()
            .take(32)
            .collect();
    let experiment = PathBuf::from("mlruns").join(&experiment_id);
    let run = experiment.join(&run_id);
    let absolute = std::path::absolute(out).map_err(|e| Error::io("find", out, &e))?;
    let uri = |path: &Path| format!("file://{}", percent_encoded(&absolute.join(path)));

    let mut files = Files::new();
    let of_experiment = experiment_meta(series, &experiment_id, &uri(&experiment));
    files.insert(experiment.join("meta.yaml"), of_experiment.into_bytes());
    let of_run = run_meta(
        series,
        &experiment_id,
        &run_id,
        &uri(&run.join("artifacts")),
    );
    files.insert(run.join("meta.yaml"), of_run.into_bytes());
    for point in &series.points {
        let file = files
            .entry(run.join("metrics").join(plain(&point.tag)))
            .or_default();
        let line = format!(
            "{} {} {}\n",
            milliseconds(point.wall_time),
            point.value,
            point.step
        );
        file.extend(line.into_bytes());
    }
    for (name, value) in &series.parameters {
        let value: String = value.chars().take(LONGEST_PARAMETER).collect();
        files.insert(run.join("params").join(name), value.into_bytes());
    }
    let name = ("mlflow.runName".to_owned(), series.run.clone());
    for (tag, value) in series.tags.clone().into_iter().chain([name]) {
        files.insert(run.join("tags").join(tag), value.into_bytes());
    }
    for (name, bytes) in &series.documents {
        files.insert(run.join("artifacts").join(name), bytes.clone());
    }
    Ok(files)
}

/// The path of a metric's file, from a tag whose last parts are names of the run's own.
fn plain(tag: &str) -> PathBuf {
    tag.split('/').map(escape::file_name).collect()
}

/// As MLflow's own: a number of 18 digits.
fn experiment_id(name: &str) -> String {
    let digits = base_files::sha256(name.as_bytes());
    let number = digits
        .get(..15)
        .and_then(|hex| u64::from_str_radix(hex, 16).ok());
    format!(
        "{:018}",
        number.unwrap_or_default() % 900_000_000_000_000_000 + 100_000_000_000_000_000
    )
}

fn experiment_meta(series: &Series, id: &str, location: &str) -> String {
    yaml(&[
        ("artifact_location", escape::yaml(location)),
        ("creation_time", milliseconds(series.started).to_string()),
        ("experiment_id", escape::yaml(id)),
        ("last_update_time", milliseconds(series.started).to_string()),
        ("lifecycle_stage", "active".to_owned()),
        ("name", escape::yaml(&series.experiment)),
    ])
}

fn run_meta(series: &Series, experiment_id: &str, run_id: &str, artifacts: &str) -> String {
    let ended = series.ended.map(|time| milliseconds(time).to_string());
    let status = if series.finished { FINISHED } else { RUNNING };
    yaml(&[
        ("artifact_uri", escape::yaml(artifacts)),
        ("end_time", ended.unwrap_or("null".to_owned())),
        ("entry_point_name", escape::yaml("")),
        ("experiment_id", escape::yaml(experiment_id)),
        ("lifecycle_stage", "active".to_owned()),
        ("run_id", escape::yaml(run_id)),
        ("run_name", escape::yaml(&series.run)),
        ("source_name", escape::yaml("")),
        ("source_type", "4".to_owned()),
        ("source_version", escape::yaml("")),
        ("start_time", milliseconds(series.started).to_string()),
        ("status", status.to_string()),
        ("tags", "[]".to_owned()),
        ("user_id", escape::yaml("ffn")),
    ])
}

fn yaml(fields: &[(&str, String)]) -> String {
    fields
        .iter()
        .fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}: {value}");
            text
        })
}

fn milliseconds(seconds: f64) -> i64 {
    (seconds * 1000.0).round() as i64
}

/// A path as it stands in a URI.
fn percent_encoded(path: &Path) -> String {
    let text = path.to_string_lossy();
    let encoded = text.bytes().map(|byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'-' | b'_' | b'.' | b'~' => {
            char::from(byte).to_string()
        }
        byte => format!("%{byte:02X}"),
    });
    encoded.collect()
}
