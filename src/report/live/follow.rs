//! A run's `metrics.jsonl` and `timing.jsonl` as they grow: what was read once is not read again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use serde::Deserialize;

use super::bins::{Bins, Sum};
use crate::base::{Error, Kind, Result, Shown, files};
use crate::report::plot::{Point, Speed};
use crate::run::Folder;
use crate::run::folder::{METRICS, TIMING};
use crate::run::metrics::Record;

/// The longest line that is read: one step that leaves out some ten thousand videos.
const LINE: u64 = 1 << 20;

/// Everything that a run's page draws of its steps.
#[derive(Debug, Default)]
pub struct Followed {
    metrics: Tail<Metrics>,
    timings: Tail<Timing>,
}

/// A file of lines, one a step, and how far it is read.
#[derive(Debug)]
struct Tail<T> {
    offset: u64,
    bins: Bins<T>,
}

/// Of one step, or the sums over several.
#[derive(Debug, Clone, Default)]
struct Metrics {
    lr: f64,
    grad_norm: f64,
    terms: BTreeMap<String, f64>,
    accuracy: BTreeMap<usize, f64>,
}

/// Seconds of one step, or of several.
#[derive(Debug, Clone, Copy, Deserialize)]
struct Timing {
    seconds: f64,
    waited: f64,
}

impl<T> Default for Tail<T> {
    fn default() -> Self {
        Self {
            offset: 0,
            bins: Bins::default(),
        }
    }
}

impl From<Record> for Metrics {
    fn from(record: Record) -> Self {
        Self {
            lr: record.lr,
            grad_norm: record.grad_norm,
            terms: record.terms,
            accuracy: record.accuracy,
        }
    }
}

impl Sum for Metrics {
    fn add(&mut self, other: Self) {
        self.lr += other.lr;
        self.grad_norm += other.grad_norm;
        for (name, value) in other.terms {
            *self.terms.entry(name).or_default() += value;
        }
        for (frames, value) in other.accuracy {
            *self.accuracy.entry(frames).or_default() += value;
        }
    }
}

impl Sum for Timing {
    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.waited += other.waited;
    }
}

impl Followed {
    /// Reads what came since. Fails where a line is not what a run writes; what was before it stays.
    pub fn read(&mut self, folder: &Folder) -> Result<()> {
        let metrics = |line: &[u8], step: u64| {
            let record: Record = serde_json::from_slice(line).map_err(|e| e.to_string())?;
            match record.step == step {
                true => Ok(Some(record.into())),
                false => Err(format!("expected step {step}, found step {}", record.step)),
            }
        };
        self.metrics.read(&folder.join(METRICS), metrics)?;
        // A run that was killed repeats the steps behind its checkpoint, and their lines stand twice; the line that it was writing is
        // no line.
        let timing = |line: &[u8], _| Ok(serde_json::from_slice(line).ok());
        self.timings.read(&folder.join(TIMING), timing)
    }

    /// Steps that a point is a mean over.
    pub fn steps_of_point(&self) -> u64 {
        self.metrics.bins.size()
    }

    pub fn steps(&self) -> u64 {
        self.metrics.bins.steps()
    }

    /// Terms of the loss and accuracy over the epochs.
    pub fn training(&self, steps_per_epoch: u64) -> Vec<Point> {
        let bins = self.metrics.bins.iter();
        let point = |(done, bin): (u64, &super::bins::Bin<Metrics>)| {
            let steps = bin.steps as f64;
            let terms = bin.sum.terms.iter();
            let accuracy = bin.sum.accuracy.iter();
            Point {
                epoch: epochs(done, steps_per_epoch),
                terms: terms.map(|(n, v)| (n.clone(), v / steps)).collect(),
                accuracy: accuracy.map(|(f, v)| (*f, v / steps)).collect(),
            }
        };
        bins.map(point).collect()
    }

    /// Learning rate and the norm of the gradient over the epochs: (epochs, rate, norm).
    pub fn optimisation(&self, steps_per_epoch: u64) -> Vec<(f64, f64, f64)> {
        let bins = self.metrics.bins.iter();
        bins.map(|(done, bin)| {
            let steps = bin.steps as f64;
            let epoch = epochs(done, steps_per_epoch);
            (epoch, bin.sum.lr / steps, bin.sum.grad_norm / steps)
        })
        .collect()
    }

    /// Clips a second and the part of the time that was waited for them, over the steps that were timed.
    pub fn speed(&self, batch: usize) -> Vec<Speed> {
        let bins = self.timings.bins.iter();
        bins.map(|(steps, bin)| Speed {
            steps,
            clips_per_second: (bin.steps * batch as u64) as f64 / bin.sum.seconds.max(1e-9),
            waited: (bin.sum.waited / bin.sum.seconds.max(1e-9)).clamp(0.0, 1.0),
        })
        .collect()
    }
}

fn epochs(steps: u64, steps_per_epoch: u64) -> f64 {
    steps as f64 / steps_per_epoch.max(1) as f64
}

impl<T: Sum> Tail<T> {
    /// Reads the lines that are whole by now. `take` gets a line and the number of those before it, and gives what is summed,
    /// nothing for a line that does not count, or what is wrong. A file that became shorter, or whose lines do not go on, is read from
    /// its beginning.
    fn read(
        &mut self,
        path: &Path,
        take: impl Fn(&[u8], u64) -> Result<Option<T>, String>,
    ) -> Result<()> {
        let began = self.offset;
        match self.read_on(path, &take) {
            Err(_) if began > 0 => {
                *self = Self::default();
                self.read_on(path, &take)
            }
            result => result,
        }
    }

    fn read_on(
        &mut self,
        path: &Path,
        take: impl Fn(&[u8], u64) -> Result<Option<T>, String>,
    ) -> Result<()> {
        let fail = |e: std::io::Error| Error::io("read", path, &e);
        let mut file = match files::open(path) {
            Ok(file) => file,
            // Before the first step.
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                *self = Self::default();
                return Ok(());
            }
            Err(e) => return Err(fail(e)),
        };
        if file.metadata().map_err(fail)?.len() < self.offset {
            *self = Self::default();
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(fail)?;
        let mut reader = BufReader::new(file);
        let mut line = Vec::new();
        loop {
            line.clear();
            let read = reader.by_ref().take(LINE).read_until(b'\n', &mut line);
            let read = read.map_err(fail)? as u64;
            if line.last() != Some(&b'\n') {
                // The end, or a line that is being written; one that is too long is damaged.
                return match read < LINE {
                    true => Ok(()),
                    false => Err(self.damaged(path, "the line is too long")),
                };
            }
            let taken = take(&line, self.bins.steps());
            if let Some(value) = taken.map_err(|what| self.damaged(path, &what))? {
                self.bins.push(value);
            }
            self.offset += read;
        }
    }

    fn damaged(&self, path: &Path, what: &str) -> Error {
        let line = self.bins.steps() + 1;
        let message = format!("`{}` line {line}: {}", path.shown(), what.shown());
        Error::new(Kind::Run, message)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn line(step: u64, ce: f64) -> String {
        format!(
            "{{\"step\":{step},\"epoch\":0,\"lr\":0.5,\"loss\":{ce},\"terms\":{{\"ce\":{ce}}},\"grad_norm\":2,\"accuracy\":{{\"4\":0.25}}}}\n"
        )
    }

    fn curve(followed: &Followed) -> Vec<(f64, f64)> {
        let points = followed.training(4);
        points.iter().map(|p| (p.epoch, p.terms["ce"])).collect()
    }

    #[test]
    fn lines_are_read_as_they_come_and_half_of_one_waits() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path());
        let mut followed = Followed::default();
        followed.read(&folder).unwrap();
        assert!(curve(&followed).is_empty(), "before the first step");
        let mut file = std::fs::File::create(folder.join(METRICS)).unwrap();
        let text = line(0, 3.0) + &line(1, 2.0);
        file.write_all(&text.as_bytes()[..text.len() - 9]).unwrap();
        followed.read(&folder).unwrap();
        assert_eq!(curve(&followed), [(0.25, 3.0)]);
        file.write_all(&text.as_bytes()[text.len() - 9..]).unwrap();
        followed.read(&folder).unwrap();
        assert_eq!(curve(&followed), [(0.25, 3.0), (0.5, 2.0)]);
        assert_eq!(
            followed.optimisation(4),
            [(0.25, 0.5, 2.0), (0.5, 0.5, 2.0)]
        );
    }

    #[test]
    fn a_run_that_goes_on_from_an_earlier_step_is_read_again() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path());
        let mut followed = Followed::default();
        std::fs::write(folder.join(METRICS), line(0, 3.0) + &line(1, 2.0)).unwrap();
        followed.read(&folder).unwrap();
        std::fs::write(folder.join(METRICS), line(0, 3.0)).unwrap();
        followed.read(&folder).unwrap();
        assert_eq!(curve(&followed), [(0.25, 3.0)]);
        // Longer than what was read, and something else.
        std::fs::write(
            folder.join(METRICS),
            [line(0, 9.0), line(1, 8.0), line(2, 7.0)]
                .concat()
                .replacen("9,", "9.00,", 1),
        )
        .unwrap();
        followed.read(&folder).unwrap();
        assert_eq!(followed.steps(), 3);
    }

    #[test]
    fn a_damaged_line_is_named_and_what_was_before_it_stays() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path());
        let mut followed = Followed::default();
        std::fs::write(folder.join(METRICS), line(0, 3.0) + &line(2, 2.0)).unwrap();
        let error = followed.read(&folder).unwrap_err().message;
        assert!(error.contains("line 2: expected step 1"), "{error}");
        assert_eq!(curve(&followed), [(0.25, 3.0)]);
        std::fs::write(folder.join(METRICS), line(0, 3.0) + "nonsense\n").unwrap();
        assert!(followed.read(&folder).is_err());
    }

    #[test]
    fn speed_is_of_the_seconds_that_steps_took() {
        let place = tempfile::tempdir().unwrap();
        let folder = Folder::at(place.path());
        let mut followed = Followed::default();
        let timing = "{\"step\":0,\"seconds\":2.0,\"waited\":0.5,\"queue\":3}\n";
        // The last process was killed while it wrote the line in between.
        let text = format!("{timing}{{\"step\":1,\"sec{timing}{timing}");
        std::fs::write(folder.join(TIMING), text).unwrap();
        followed.read(&folder).unwrap();
        let speed = followed.speed(16);
        assert_eq!(speed.len(), 2);
        assert_eq!(
            (speed[1].steps, speed[1].clips_per_second, speed[1].waited),
            (2, 8.0, 0.25)
        );
    }
}
