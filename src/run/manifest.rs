//! `manifest.json`: what a run is, by hashes. Sealed; the same run on the same machine has the same bytes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::left_out;
use super::provenance::{Build, Machine};
use crate::base::{Error, Kind, Result};
use crate::data::Dataset;
use crate::data::dataset::Pinned;
use crate::exec::{Arithmetic, EngineKind, Fusions};
use crate::spec::{Experiment, Precision};

/// Version of the run folder's format.
pub const FORMAT: u32 = 1;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub name: String,
    /// SHA-256 of `experiment.ron`.
    pub identity: String,
    pub data: DataIdentity,
    /// SHA-256 of the model file that step 0 starts from.
    pub initial_weights: String,
    pub engine: EngineKind,
    /// Of the engine's programs.
    #[serde(default, skip_serializing_if = "Fusions::is_all")]
    pub fusions: Fusions,
    pub precision: PrecisionUsed,
    pub steps_per_epoch: u64,
    pub steps: u64,
    /// Every build that worked on the run, in order of first use.
    pub builds: Vec<Build>,
    /// Every machine that worked on the run, in order of first use.
    pub machines: Vec<Machine>,
    /// Training videos that were left out of at least one step because they are damaged (`unreadable: Skip`).
    #[serde(default, skip_serializing_if = "left_out::is_none")]
    pub left_out: usize,
    /// The run whose training this one goes on from, because its steps are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continued>,
    /// Where training ended before its last epoch by a rule of the experiment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stopped_early: Option<StoppedEarly>,
    /// Whether training and evaluation are complete.
    pub finished: bool,
    /// SHA-256 of every file that holds a result, by its path in the folder; empty until the run is finished.
    pub files: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataIdentity {
    pub pins: Pins,
    pub train: usize,
    pub validation: usize,
    pub classes: usize,
    /// What was lost of the pinned videos where a pack of them was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<String>,
}

/// What the data were held against.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pins {
    Verified {
        pins_sha256: String,
        train_root: String,
        validation_root: String,
    },
    /// `--unpinned`: nobody checked the data of this run.
    Unpinned,
}

/// How `train.stop` ended a training; `steps` of the manifest are those that were done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoppedEarly {
    /// Steps of the whole training.
    pub planned_steps: u64,
    /// For a person.
    pub reason: String,
}

/// The training that a run found done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// Name of the run's folder, beside this one's.
    pub run: String,
    /// Of its experiment.
    pub identity: String,
    /// Steps that it had done.
    pub step: u64,
}

/// What the experiment asks for, and what the engine computed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrecisionUsed {
    pub declared: Precision,
    pub computed: Arithmetic,
}

impl DataIdentity {
    pub fn of(dataset: &Dataset) -> Self {
        let pins = match &dataset.pinned {
            Pinned::Unpinned => Pins::Unpinned,
            Pinned::Verified {
                pins_sha256,
                train_root,
                validation_root,
            } => Pins::Verified {
                pins_sha256: pins_sha256.clone(),
                train_root: train_root.clone(),
                validation_root: validation_root.clone(),
            },
        };
        Self {
            pins,
            train: dataset.whole,
            validation: dataset.validation.len(),
            classes: dataset.classes.len(),
            lost: dataset.lost.clone(),
        }
    }
}

impl PrecisionUsed {
    pub fn new(experiment: &Experiment, engine: EngineKind) -> Self {
        Self {
            declared: experiment.train.precision,
            computed: engine.arithmetic(),
        }
    }

    pub fn is_mixed(&self) -> bool {
        self.declared == Precision::Mixed
    }

    /// A sentence where the two differ.
    pub fn note(&self) -> Option<String> {
        match (self.declared, self.computed) {
            (Precision::Float32, Arithmetic::Float32) | (Precision::Mixed, Arithmetic::Bf16) => {
                None
            }
            (declared, computed) => Some(format!(
                "precision: {declared:?} is declared; this run computes in {computed:?}"
            )),
        }
    }
}

impl Manifest {
    /// Position of a build in the list, where it is put if it is new.
    pub fn note_build(&mut self, build: Build) -> usize {
        position_or_push(&mut self.builds, build)
    }

    /// Position of a machine in the list, where it is put if it is new.
    pub fn note_machine(&mut self, machine: Machine) -> usize {
        position_or_push(&mut self.machines, machine)
    }

    pub fn unpinned(&self) -> bool {
        self.data.pins == Pins::Unpinned
    }

    /// What the run's bits depend on besides its experiment.
    pub fn computation(&self) -> (EngineKind, Fusions) {
        (self.engine, self.fusions)
    }

    /// Refuses an engine or fusions other than those that the run began with, if some are asked for.
    pub fn check_computation(
        &self,
        engine: Option<EngineKind>,
        fusions: Option<Fusions>,
    ) -> Result<()> {
        if let Some(found) = fusions.filter(|&asked| asked != self.fusions) {
            let expected = self.fusions;
            let message = format!(
                "the run was computed with `--fuse {expected}`, and `{found}` is asked for"
            );
            return Err(Error::new(Kind::Run, message).hint(
                "fusions differ in the last bits: leave `--fuse` out, or start again in another folder with --out",
            ));
        }
        let Some(found) = engine.filter(|&asked| asked != self.engine) else {
            return Ok(());
        };
        let (expected, found) = (self.engine.name(), found.name());
        Err(Error::new(
            Kind::Run,
            format!("the run was computed by the engine `{expected}`, and `{found}` is asked for"),
        )
        .hint(format!(
            "engines differ in the last bits: go on with `--engine {expected}`, or start again in another folder with --out"
        )))
    }

    /// Refuses data other than those that the run began with.
    pub fn check_data(&self, found: &DataIdentity) -> Result<()> {
        if self.data == *found {
            return Ok(());
        }
        Err(Error::new(
            Kind::Run,
            format!(
                "the data changed since the run began\n  expected {}\n  found    {}",
                self.data.describe(),
                found.describe()
            ),
        )
        .hint("a run sees one version of the data from its first step to its evaluation; bring that version back, or start again in another folder with --out"))
    }
}

impl DataIdentity {
    fn describe(&self) -> String {
        let pins = match &self.pins {
            Pins::Unpinned => "unpinned".to_owned(),
            Pins::Verified { pins_sha256, .. } => format!("pins {pins_sha256}"),
        };
        let lost = self
            .lost
            .as_ref()
            .map_or(String::new(), |lost| format!(", packed as {lost}"));
        format!(
            "{} training and {} validation clips of {} classes, {pins}{lost}",
            self.train, self.validation, self.classes
        )
    }
}

fn position_or_push<T: PartialEq>(list: &mut Vec<T>, item: T) -> usize {
    list.iter()
        .position(|known| *known == item)
        .unwrap_or_else(|| {
            list.push(item);
            list.len() - 1
        })
}
