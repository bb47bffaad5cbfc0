//! A finished run as reports read it, and whether it is still what the experiment file and the pins of today say.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use crate::base::{Error, Kind, Result, Shown, files};
use crate::data::clip::evaluation_size;
use crate::data::pins;
use crate::graph::Graph;
use crate::run::folder::{EVAL, METRICS};
use crate::run::history::History;
use crate::run::manifest::{Manifest, Pins};
use crate::run::metrics;
use crate::run::results::{self, Summary};
use crate::run::{Folder, checkpoint, verify};
use crate::run::{left_out, weights};
use crate::spec::{self, Document, Experiment};
use crate::suite::{Judged, Record, folder};

/// A run that is finished and has every byte as it was written; or, where that is asked for, as far as it is ([`Run::so_far`]).
#[derive(Debug, Clone)]
pub struct Run {
    pub folder: Folder,
    pub manifest: Manifest,
    pub experiment: Experiment,
    pub history: History,
    /// By frame count.
    pub results: Vec<Summary>,
    /// Of an evaluation, for parameters and multiply-adds.
    pub graph: Graph,
    /// Of a run that is not finished, the steps that the results are of: 0 where it was not evaluated yet.
    pub until: Option<u64>,
}

impl Run {
    /// Recomputes every hash of the folder; fails where the run is not finished or not as it was written.
    pub fn open(folder: Folder) -> Result<Self> {
        let manifest = folder.manifest()?;
        if !manifest.finished {
            return Err(Error::new(
                Kind::Run,
                format!("the run `{}` is not finished", folder.name().shown()),
            )
            .hint("`ffn run` with its experiment goes on where it stopped"));
        }
        verify::intact(&folder)?;
        let results = results::read_all(&folder.eval())?;
        Self::with(folder, manifest, results, None)
    }

    /// A run as far as it is. Of one that is not finished, the documents that it began with are held against their hashes, and the
    /// results are those of its last evaluation.
    pub fn so_far(folder: Folder) -> Result<Self> {
        let manifest = folder.manifest()?;
        if manifest.finished {
            return Self::open(folder);
        }
        verify::beginning(&folder, &manifest)?;
        let counts = folder.experiment()?.eval.frames.len();
        let evaluations = results::over_training(&folder.eval())?;
        let results = results::last_whole(&evaluations, counts);
        let until = results.first().map_or(0, |summary| summary.step);
        Self::with(folder, manifest, results, Some(until))
    }

    fn with(
        folder: Folder,
        manifest: Manifest,
        results: Vec<Summary>,
        until: Option<u64>,
    ) -> Result<Self> {
        let experiment = folder.experiment()?;
        let side = evaluation_size(&experiment.eval);
        Ok(Self {
            history: folder.history()?,
            graph: Graph::build(&experiment, (side, side))?,
            results,
            folder,
            manifest,
            experiment,
            until,
        })
    }

    /// Its training steps, of one that is not finished those so far.
    pub fn records(&self) -> Result<Vec<metrics::Record>> {
        let path = self.folder.join(METRICS);
        match self.until {
            None => metrics::read(&path),
            Some(_) if !path.exists() => Ok(Vec::new()),
            Some(_) => metrics::read_so_far(&path),
        }
    }

    /// The folder's name.
    pub fn name(&self) -> String {
        self.folder.name()
    }

    /// The name as tables tell it: with a word where it is not finished, where nobody checked the data, or where videos were left out.
    pub fn label(&self) -> String {
        let until = self.until.map(|step| match step {
            0 => "not evaluated yet".to_owned(),
            step => format!("so far, after step {step} of {}", self.manifest.steps),
        });
        let unpinned = self.manifest.unpinned().then(|| "unpinned".to_owned());
        let left_out = left_out::describe(self.manifest.left_out);
        let words = until.into_iter().chain(unpinned).chain(left_out);
        let words: Vec<String> = words.chain(self.weights()).collect();
        match words.is_empty() {
            true => self.name(),
            false => format!("{} ({})", self.name(), words.join(", ")),
        }
    }

    /// Which weights the results are of, where it is not those of the last epoch that was planned.
    pub fn weights(&self) -> Option<String> {
        weights::describe(&self.experiment.train, &self.manifest, &self.results)
    }

    /// The final evaluation at a frame count.
    pub fn result(&self, frames: usize) -> Result<&Summary> {
        let found = self.results.iter().find(|s| s.frames == frames);
        found.ok_or_else(|| {
            let known: Vec<String> = self.results.iter().map(|s| s.frames.to_string()).collect();
            Error::new(
                Kind::Run,
                format!(
                    "the run `{}` was evaluated at {} frames, not at {frames}",
                    self.name().shown(),
                    known.join(", ")
                ),
            )
            .hint("`eval: (frames: [...])` of an experiment says where it is evaluated")
        })
    }

    /// Multiply-adds of one clip, in units of 1e9: what papers call GFLOPs.
    pub fn gflops(&self, frames: usize) -> f64 {
        self.graph.clip_multiply_adds(frames) as f64 / 1e9
    }

    /// Temporal Frequency Deviation (section 3.1 of the paper): top-1 at `from` frames minus top-1 at `to`, in points.
    pub fn deviation(&self, from: usize, to: usize) -> Result<f64> {
        Ok(self.result(from)?.top1_percent() - self.result(to)?.top1_percent())
    }

    /// The deviation from the most to the fewest frames that were evaluated; `None` where there is one frame count.
    pub fn widest_deviation(&self) -> Option<f64> {
        match &self.results[..] {
            [few, .., most] => Some(most.top1_percent() - few.top1_percent()),
            _ => None,
        }
    }

    /// What its processes took by the clock.
    pub fn seconds(&self) -> Result<f64> {
        seconds_of(&self.history)
    }

    /// The folder of the experiment file, as it was given to the process that finished the run.
    pub fn experiment_folder(&self) -> PathBuf {
        let last = self.history.processes.last();
        last.map(|process| process.experiment_folder.clone())
            .unwrap_or_default()
    }

    /// Fails where no file in the experiment's folder says this experiment any more, alone or as a suite's member.
    pub fn check_experiment(&self) -> Result<()> {
        let folder = self.experiment_folder();
        let stale = |why: String| {
            let message = format!("the run `{}` is stale: {why}", self.name().shown());
            Err(Error::new(Kind::Run, message).hint("run the experiment as it is now"))
        };
        let known = experiments(&folder)?;
        if known.iter().any(|e| e.identity() == self.manifest.identity) {
            return Ok(());
        }
        let mut named = known.iter().filter(|e| e.name == self.experiment.name);
        match named.next() {
            None => stale(format!(
                "`{}` has no experiment called `{}` any more",
                folder.shown(),
                self.experiment.name
            )),
            Some(now) => {
                let differences = spec::diff(&self.experiment, now);
                let lines = differences.iter();
                let lines = lines.map(|d| format!("\n  {}", d.to_string().shown()));
                stale(format!(
                    "its experiment file changed since:{}",
                    lines.collect::<String>()
                ))
            }
        }
    }

    /// Whether an experiment file says this experiment by itself, not only as a member of a suite.
    pub fn is_of_its_file(&self) -> bool {
        let documents = documents(&self.experiment_folder()).unwrap_or_default();
        documents.iter().any(|document| match document {
            Document::Experiment(loaded) => loaded.experiment.identity() == self.manifest.identity,
            Document::Suite(_) => false,
        })
    }

    /// Fails where the pins that the experiment names are not those that the run's data were held against.
    pub fn check_pins(&self) -> Result<()> {
        let Pins::Verified { pins_sha256, .. } = &self.manifest.data.pins else {
            return Ok(());
        };
        let path = self.experiment_folder().join(self.experiment.data.pins());
        let (_, found) = pins::read(&path)?;
        match found == *pins_sha256 {
            true => Ok(()),
            false => Err(Error::new(
                Kind::Run,
                format!(
                    "the run `{}` is stale: its pins changed since\n  expected {pins_sha256}\n  computed {found} of `{}`",
                    self.name().shown(),
                    path.shown()
                ),
            )
            .hint("run the experiment on the data as they are pinned now")),
        }
    }
}

/// Path of the evaluation at a frame count, in a run folder.
pub fn evaluation(frames: usize) -> String {
    format!("{EVAL}/{frames}.json")
}

/// Every frame count at which one of the runs was evaluated, ascending.
pub fn frame_counts<'a>(runs: impl IntoIterator<Item = &'a Run>) -> Vec<usize> {
    let results = runs.into_iter().flat_map(|run| &run.results);
    let counts: BTreeSet<usize> = results.map(|summary| summary.frames).collect();
    counts.into_iter().collect()
}

/// What a run's processes took by the clock; a killed process counts nothing.
pub fn seconds_of(history: &History) -> Result<f64> {
    let mut seconds = 0.0;
    for process in &history.processes {
        if let Some(ended) = &process.ended {
            seconds += unix_seconds(ended)? - unix_seconds(&process.started)?;
        }
    }
    Ok(seconds)
}

/// Seconds since 1970 of a time in the history.
pub fn unix_seconds(time: &str) -> Result<f64> {
    let damaged = || {
        let message = format!(
            "expected a time such as 2026-01-31T12:00:00Z, found `{}`",
            time.shown()
        );
        Error::new(Kind::Run, message)
    };
    let parsed = humantime::parse_rfc3339(time).map_err(|_| damaged())?;
    let since = parsed.duration_since(UNIX_EPOCH).map_err(|_| damaged())?;
    Ok(since.as_secs_f64())
}

/// Every experiment that the files of a folder say, alone or as members of suites; files with mistakes say none.
fn experiments(folder: &Path) -> Result<Vec<Experiment>> {
    let of = |document: Document| match document {
        Document::Experiment(loaded) => vec![loaded.experiment],
        Document::Suite(loaded) => {
            let members = loaded.suite.members.iter();
            members.flat_map(|member| member.experiments()).collect()
        }
    };
    Ok(documents(folder)?.into_iter().flat_map(of).collect())
}

/// Every file of the language in a folder, by file name.
fn documents(folder: &Path) -> Result<Vec<Document>> {
    let here = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    let entries = std::fs::read_dir(here).map_err(|e| Error::io("read", here, &e))?;
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "ron"));
    paths.sort();
    let loaded = paths
        .iter()
        .filter_map(|path| spec::load_document(path).ok());
    Ok(loaded.collect())
}

/// A suite that ran: its members' runs and the verdicts on its claims.
#[derive(Debug, Clone)]
pub struct Suite {
    pub folder: Folder,
    pub record: Record,
    pub verdicts: Vec<Judged>,
}

impl Suite {
    /// Reads a suite's folder and holds what the verdicts were made from against the run folders beside it.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = Folder::at(path);
        let record = folder::read_record(&folder)?;
        let verdicts = folder::read_verdicts(&folder)?;
        let runs = folder::runs_of(&folder);
        for (name, expected) in verdicts.iter().flat_map(|judged| &judged.evidence) {
            let file = runs.join(name);
            let computed = files::sha256_of_file(&file)?;
            if computed != *expected {
                return Err(checkpoint::hash_mismatch(&file, expected, &computed)
                    .hint("the verdicts were made from other predictions: run the suite again"));
            }
        }
        Ok(Self {
            folder,
            record,
            verdicts,
        })
    }

    /// The folder's name.
    pub fn name(&self) -> String {
        self.folder.name()
    }

    /// Fails where no suite file beside the experiments of its runs says this suite any more.
    pub fn check_current(&self) -> Result<()> {
        let mut folders = Vec::new();
        for run in self.runs()? {
            let folder = run.experiment_folder();
            if !folders.contains(&folder) {
                folders.push(folder);
            }
        }
        for folder in &folders {
            let is_this = |document: &Document| match document {
                Document::Suite(loaded) => loaded.suite.identity() == self.record.identity,
                Document::Experiment(_) => false,
            };
            if documents(folder)?.iter().any(is_this) {
                return Ok(());
            }
        }
        let message = format!(
            "the suite `{}` is stale: no suite file beside its experiments says it any more",
            self.name().shown()
        );
        Err(Error::new(Kind::Run, message).hint("run the suite as it is now"))
    }

    /// The run of each member, in their order.
    pub fn runs(&self) -> Result<Vec<Run>> {
        let beside = folder::runs_of(&self.folder);
        let runs = self.record.members.iter();
        runs.map(|member| {
            let run = Run::open(Folder::at(beside.join(&member.run)))?;
            member.check(&run.manifest)?;
            Ok(run)
        })
        .collect()
    }
}
