//! `metrics.jsonl`: one line for each training step, and nothing in it that a clock decided.
//!
//! A killed run may have written lines that no checkpoint covers. Resuming cuts the file at the checkpoint's
//! [`Mark`] and goes on, so that the finished file has the bytes of a run that was never killed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use cap_std::fs::OpenOptions;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::base::{Error, Held, Kind, Result, Shown, files, limits};

/// One training step. Numbers are written as the shortest text that reads back as the same value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// From 0.
    pub step: u64,
    /// From 0.
    pub epoch: u64,
    /// The base rate; a group's multiplier is not in it.
    pub lr: f64,
    /// What was minimised: the sum of `terms`.
    pub loss: f64,
    /// `ce`, `kl.4`, `kl.8`, with lambda in them.
    pub terms: BTreeMap<String, f64>,
    /// L2 norm over all gradients before clipping.
    pub grad_norm: f64,
    /// Part of the batch's clips that each frame count's logits classify as labelled, in `[0, 1]`.
    pub accuracy: BTreeMap<usize, f64>,
    /// Videos left out because they cannot be read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<String>,
}

/// A place in the file: what a checkpoint remembers of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    pub bytes: u64,
    /// SHA-256 of the first `bytes`.
    pub sha256: String,
}

impl Mark {
    /// The beginning.
    pub fn start() -> Self {
        Self {
            bytes: 0,
            sha256: files::sha256(&[]),
        }
    }
}

/// The file while a run appends to it.
pub struct Metrics {
    path: PathBuf,
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Metrics {
    /// Opens the file at a mark and cuts what is behind it; fails when what is before it is not what was marked.
    pub fn resume(folder: &Held, name: &str, mark: &Mark) -> Result<Self> {
        let path = &folder.path().join(name);
        let mut options = OpenOptions::new();
        let mut file = folder.file(name, options.read(true).write(true).create(true))?;
        let hasher = hash_up_to(&mut file, path, mark)?;
        let cut = file
            .set_len(mark.bytes)
            .and_then(|()| file.seek(SeekFrom::End(0)));
        cut.map_err(|e| Error::io("cut", path, &e))?;
        Ok(Self {
            path: path.to_owned(),
            file,
            hasher,
            bytes: mark.bytes,
        })
    }

    pub fn append(&mut self, record: &Record) -> Result<()> {
        let mut line = serde_json::to_string(record)
            .map_err(|e| Error::new(Kind::Run, format!("cannot write as JSON: {e}")))?;
        line.push('\n');
        self.file
            .write_all(line.as_bytes())
            .map_err(|e| Error::io("write", &self.path, &e))?;
        self.hasher.update(&line);
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// Where the file ends now, once that is on the disk.
    pub fn mark(&self) -> Result<Mark> {
        self.file
            .sync_data()
            .map_err(|e| Error::io("sync", &self.path, &e))?;
        Ok(Mark {
            bytes: self.bytes,
            sha256: files::hex(&self.hasher.clone().finalize()),
        })
    }
}

/// Fails unless the file begins with what was marked.
pub fn check(path: &Path, mark: &Mark) -> Result<()> {
    let mut file = files::open(path).map_err(|e| Error::io("open", path, &e))?;
    hash_up_to(&mut file, path, mark).map(drop)
}

/// What was marked; fails unless it is in the file.
pub fn marked(path: &Path, mark: &Mark) -> Result<Vec<u8>> {
    let file = files::open(path).map_err(|e| Error::io("open", path, &e))?;
    let mut bytes = Vec::new();
    let read = file.take(mark.bytes).read_to_end(&mut bytes);
    read.map_err(|e| Error::io("read", path, &e))?;
    hash_up_to(&mut bytes.as_slice(), path, mark)?;
    Ok(bytes)
}

fn hash_up_to(file: &mut impl Read, path: &Path, mark: &Mark) -> Result<Sha256> {
    let mut hasher = Sha256::new();
    let mut part = file.take(mark.bytes);
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        match part.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(buffer.get(..n).unwrap_or_default());
                bytes += n as u64;
            }
            Err(e) => return Err(Error::io("read", path, &e)),
        }
    }
    let computed = files::hex(&hasher.clone().finalize());
    if bytes == mark.bytes && computed == mark.sha256 {
        return Ok(hasher);
    }
    Err(Error::new(
        Kind::Run,
        format!(
            "the first {} bytes of `{}` are not those of the checkpoint\n  expected {}\n  computed {computed} ({bytes} bytes)",
            mark.bytes,
            path.shown(),
            mark.sha256,
        ),
    ))
}

/// Every record of a file, which must be the steps from 0 on without a gap.
pub fn read(path: &Path) -> Result<Vec<Record>> {
    parse(path, &files::read_text(path, limits::DOCUMENT)?)
}

/// As [`read`], of a run that may be at work: what follows the last end of a line is being written.
pub fn read_so_far(path: &Path) -> Result<Vec<Record>> {
    let text = files::read_text(path, limits::DOCUMENT)?;
    let whole = text.rfind('\n').map_or(0, |end| end + 1);
    parse(path, text.get(..whole).unwrap_or_default())
}

fn parse(path: &Path, text: &str) -> Result<Vec<Record>> {
    let damaged = |line: usize, what: String| {
        Error::new(
            Kind::Run,
            format!("`{}` line {}: {what}", path.shown(), line + 1),
        )
    };
    text.lines()
        .enumerate()
        .map(|(index, line)| {
            let record: Record =
                serde_json::from_str(line).map_err(|e| damaged(index, e.to_string()))?;
            match record.step == index as u64 {
                true => Ok(record),
                false => Err(damaged(
                    index,
                    format!("expected step {index}, found step {}", record.step),
                )),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(step: u64) -> Record {
        Record {
            step,
            epoch: 0,
            lr: 0.1,
            loss: 1.0 / 3.0,
            terms: BTreeMap::from([("ce".to_owned(), 1.0 / 3.0)]),
            grad_norm: 2.5,
            accuracy: BTreeMap::from([(16, 0.5), (4, 0.25)]),
            skipped: Vec::new(),
        }
    }

    #[test]
    fn a_line_is_exact_and_in_order() {
        let line = serde_json::to_string(&record(3)).unwrap();
        assert_eq!(
            line,
            r#"{"step":3,"epoch":0,"lr":0.1,"loss":0.3333333333333333,"terms":{"ce":0.3333333333333333},"grad_norm":2.5,"accuracy":{"4":0.25,"16":0.5}}"#
        );
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record(3));
    }

    #[test]
    fn resuming_cuts_what_no_checkpoint_covers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let held = Held::open(folder.path()).unwrap();
        let mut metrics = Metrics::resume(&held, "metrics.jsonl", &Mark::start()).unwrap();
        metrics.append(&record(0)).unwrap();
        let mark = metrics.mark().unwrap();
        metrics.append(&record(1)).unwrap();
        let uninterrupted = files::read(&path, limits::DOCUMENT).unwrap();
        std::fs::write(&path, [&uninterrupted[..], b"{\"step\":2,\"ep"].concat()).unwrap();
        assert_eq!(read_so_far(&path).unwrap(), [record(0), record(1)]);
        assert!(read(&path).is_err());

        let mut metrics = Metrics::resume(&held, "metrics.jsonl", &mark).unwrap();
        metrics.append(&record(1)).unwrap();
        assert_eq!(files::read(&path, limits::DOCUMENT).unwrap(), uninterrupted);
        assert_eq!(read(&path).unwrap(), [record(0), record(1)]);
        check(&path, &metrics.mark().unwrap()).unwrap();
    }

    #[test]
    fn resuming_refuses_another_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let held = Held::open(folder.path()).unwrap();
        let mut metrics = Metrics::resume(&held, "metrics.jsonl", &Mark::start()).unwrap();
        metrics.append(&record(0)).unwrap();
        let mark = metrics.mark().unwrap();
        let mut bytes = files::read(&path, limits::DOCUMENT).unwrap();
        bytes[9] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        assert!(Metrics::resume(&held, "metrics.jsonl", &mark).is_err());
        std::fs::write(&path, &bytes[..20]).unwrap();
        assert!(Metrics::resume(&held, "metrics.jsonl", &mark).is_err());
        assert_eq!(
            files::read(&path, limits::DOCUMENT).unwrap().len(),
            20,
            "a refused file is left as it is"
        );
    }

    #[test]
    fn a_gap_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("metrics.jsonl");
        let held = Held::open(folder.path()).unwrap();
        let mut metrics = Metrics::resume(&held, "metrics.jsonl", &Mark::start()).unwrap();
        metrics.append(&record(0)).unwrap();
        metrics.append(&record(2)).unwrap();
        let error = read_so_far(&path).unwrap_err().message;
        assert!(
            error.contains("line 2: expected step 1, found step 2"),
            "{error}"
        );
    }
}
