//! What the runs of a suite's members answered, clip by clip.

use std::collections::BTreeMap;
use std::path::Path;

use super::bootstrap::Arm;
use crate::base::Error;
use crate::run::Folder;
use crate::run::folder::EVAL;
use crate::run::results::{self, Summary};
use crate::spec::suite::Member;

/// The folder that holds the runs, and what was read from them.
pub struct Evidence<'a> {
    runs: &'a Path,
    /// SHA-256 of the predictions that were read, by path from the folder that holds the runs.
    pub read: BTreeMap<String, String>,
}

/// The answers of a member at one frame count.
#[derive(Debug)]
pub struct Answers {
    /// Ids of the clips.
    pub clips: Vec<String>,
    /// Whether each clip's class came first, for each seed.
    pub right: Vec<Vec<bool>>,
}

/// Why there are no answers.
#[derive(Debug)]
pub enum Lack {
    /// Something is not there yet.
    Missing(String),
    /// Something is not as it was written.
    Damaged(Error),
}

impl From<Error> for Lack {
    fn from(error: Error) -> Self {
        Self::Damaged(error)
    }
}

impl<'a> Evidence<'a> {
    pub fn new(runs: &'a Path) -> Self {
        let read = BTreeMap::new();
        Self { runs, read }
    }

    /// Of all seeds of a member, which must have answered about the same clips.
    pub fn answers(&mut self, member: &Member, frames: usize) -> Result<Answers, Lack> {
        let mut all: Option<Answers> = None;
        for folder in folders(self.runs, member) {
            let (clips, right) = self.run(&folder, frames)?;
            match &mut all {
                None => {
                    let right = vec![right];
                    all = Some(Answers { clips, right });
                }
                Some(all) if all.clips == clips => all.right.push(right),
                Some(_) => return Err(other_clips(&folder.name())),
            }
        }
        all.ok_or_else(|| Lack::Missing(format!("`{}` has no run", member.name)))
    }

    fn run(&mut self, folder: &Folder, frames: usize) -> Result<(Vec<String>, Vec<bool>), Lack> {
        let summary = summary(folder, frames)?;
        let predictions = results::read_predictions(&folder.eval(), &summary)?;
        let path = format!("{}/{EVAL}/{frames}.predictions.jsonl", folder.name());
        self.read.insert(path, summary.predictions_sha256);
        let answer = |prediction: results::Prediction| (prediction.id, prediction.rank == 1);
        Ok(predictions.into_iter().map(answer).unzip())
    }
}

/// The run folders of a member, in the order of its seeds.
pub fn folders(runs: &Path, member: &Member) -> Vec<Folder> {
    let experiments = member.experiments();
    experiments.map(|of| Folder::of(runs, &of)).collect()
}

/// The result of a finished run at one frame count.
fn summary(folder: &Folder, frames: usize) -> Result<Summary, Lack> {
    if !folder.exists() || !folder.manifest()?.finished {
        return Err(Lack::Missing(format!(
            "`{}` is not finished",
            folder.name()
        )));
    }
    let summaries = results::read_all(&folder.eval())?;
    let found = summaries.into_iter().find(|s| s.frames == frames);
    found.ok_or_else(|| {
        let message = format!("`{}` has no result at {frames} frames", folder.name());
        Lack::Missing(message)
    })
}

/// `name`: of a member or of its run.
pub fn other_clips(name: &str) -> Lack {
    Lack::Missing(format!("`{name}` was evaluated on other clips"))
}

impl Answers {
    /// 1 where a clip is right, else 0.
    pub fn arm(&self) -> Arm {
        let values = |right: &Vec<bool>| right.iter().map(|&right| i8::from(right)).collect();
        let seeds = self.right.iter().map(values).collect();
        Arm { seeds }
    }

    /// The arm with its sign turned.
    pub fn minus(&self) -> Arm {
        let mut arm = self.arm();
        let values = arm.seeds.iter_mut().flatten();
        values.for_each(|value| *value = -*value);
        arm
    }

    /// This less `other`, which are answers of the same runs.
    pub fn less(&self, other: &Answers) -> Arm {
        let mut arm = self.arm();
        for (values, others) in arm.seeds.iter_mut().zip(&other.right) {
            let pairs = values.iter_mut().zip(others);
            pairs.for_each(|(value, &right)| *value -= i8::from(right));
        }
        arm
    }
}
