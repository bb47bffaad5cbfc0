//! A run's metrics in files that other programs open.
//!
//! | format | files | value |
//! |---|---|---|
//! | `tensorboard` | `<run>/events.out.tfevents.…` | float32 |
//! | `csv` | `<run>.csv` | the shortest text that reads back as the same float64 |
//! | `parquet` | `<run>.parquet` | float64 |
//! | `mlflow` | `mlruns/<experiment>/<run>/…`, a file store | as CSV |
//!
//! All hold the same [`series::Series`]. A file that is there with other content is left alone unless it shall be
//! updated; what is a beginning of the new content is then written on, for programs that read on where they were.

mod csv;
mod mlflow;
mod parquet;
pub mod series;
mod tensorboard;

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use super::escape;
use crate::base::{Error, Kind, Result, Shown, files, limits};
use series::Series;

/// What is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// An event file of scalars.
    Tensorboard,
    /// One flat table: run, tag, step, wall_time, value.
    Csv,
    /// The same table.
    Parquet,
    /// A file store, `mlruns`; MLflow 3 opens it with MLFLOW_ALLOW_FILE_STORE=true.
    Mlflow,
}

/// The files of a format by their path below the output folder.
pub type Files = BTreeMap<PathBuf, Vec<u8>>;

/// The files of a run's series.
pub fn files(series: &Series, format: Format, out: &Path) -> Result<Files> {
    let name = escape::file_name(&series.run);
    Ok(match format {
        Format::Tensorboard => tensorboard::files(series),
        Format::Csv => Files::from([(format!("{name}.csv").into(), csv::table(series)?)]),
        Format::Parquet => {
            Files::from([(format!("{name}.parquet").into(), parquet::table(series)?)])
        }
        Format::Mlflow => mlflow::files(series, out)?,
    })
}

/// Writes files that are not there; those that are must have the same content, unless `update`.
pub fn write(files: &Files, out: &Path, update: bool) -> Result<()> {
    let mut changed = Vec::new();
    for (name, bytes) in files {
        let path = out.join(name);
        if path.exists() && files::read(&path, limits::DOCUMENT)? != *bytes {
            changed.push(path.shown());
        }
    }
    if !changed.is_empty() && !update {
        let list = changed.join("`, `");
        let message = format!("`{list}` is there already, with other content");
        return Err(Error::new(Kind::Io, message).hint("--update replaces it"));
    }
    for (name, bytes) in files {
        let path = out.join(name);
        if !path.exists() {
            files::write_atomic(&path, bytes)?;
        } else if changed.contains(&path.shown()) {
            update_file(&path, bytes)?;
        }
    }
    Ok(())
}

/// Writes a file on where it is a beginning of `bytes`, and replaces it elsewhere.
fn update_file(path: &Path, bytes: &[u8]) -> Result<()> {
    let old = files::read(path, limits::DOCUMENT)?;
    let Some(rest) = bytes.strip_prefix(old.as_slice()) else {
        return files::write_atomic(path, bytes);
    };
    let file = std::fs::OpenOptions::new().append(true).open(path);
    let written = file.and_then(|mut file| file.write_all(rest));
    written.map_err(|e| Error::io("write", path, &e))
}
