//! Which runs a submission consists of: those that are not finished, not under work and not in the queue.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown, count};
use crate::cluster::queue::Entry;
use crate::cluster::quote::utf8;
use crate::cluster::script::Element;
use crate::run::Folder;
use crate::spec::{Document, Experiment};

/// The runs of the files, each once, by what is to be done with them.
#[derive(Debug, Default)]
pub struct Open {
    pub missing: Vec<Element>,
    pub finished: usize,
    /// A process works on them that no queue knows.
    pub working: usize,
    /// Jobs that compute them already.
    pub queued: Vec<String>,
}

impl Open {
    pub fn of(
        files: &[PathBuf],
        documents: &[Document],
        runs: &Path,
        queue: &[Entry],
    ) -> Result<Self> {
        let mut open = Self::default();
        let mut known = BTreeSet::new();
        for (file, document) in files.iter().zip(documents) {
            for (member, folder) in runs_of(document, runs) {
                if known.insert(folder.name()) {
                    let file = utf8(file)?.to_owned();
                    let run = folder.name();
                    open.sort(Element { file, member, run }, &folder, queue)?;
                }
            }
        }
        Ok(open)
    }

    fn sort(&mut self, element: Element, folder: &Folder, queue: &[Entry]) -> Result<()> {
        let is_it = |entry: &&Entry| entry.run.as_ref() == Some(&element.run);
        if folder.exists() && folder.manifest()?.finished {
            self.finished += 1;
        } else if let Some(entry) = queue.iter().find(is_it) {
            self.queued.push(entry.job.clone());
        } else if folder.is_locked() {
            self.working += 1;
        } else {
            self.missing.push(element);
        }
        Ok(())
    }

    /// All runs of the files.
    pub fn count(&self) -> usize {
        self.missing.len() + self.finished + self.working + self.queued.len()
    }
}

/// Refuses ranks among which a run's steps cannot be shared out.
pub fn check_ranks(documents: &[Document], ranks: usize) -> Result<()> {
    let runs = documents.iter().flat_map(experiments_of);
    let too_few: Vec<String> = runs
        .filter(|(_, experiment)| experiment.train.shards < ranks)
        .map(|(member, experiment)| {
            let name = member.map_or(experiment.name.clone(), |(name, _)| name);
            format!("`{}` has {}", name.shown(), experiment.train.shards)
        })
        .collect();
    let Some(first) = too_few.first() else {
        return Ok(());
    };
    let message = format!(
        "--ranks {ranks}: too few `train.shards` in {} ({first})",
        count(too_few.len(), "run")
    );
    Err(Error::new(Kind::Usage, message).hint(format!(
        "`--set train.shards={ranks}` is another experiment, of as many clips a step; `ffn plan FILE --shards` has all"
    )))
}

/// Every run of a file, with member and seed where it is a suite.
fn runs_of(document: &Document, runs: &Path) -> Vec<(Option<(String, u64)>, Folder)> {
    let experiments = experiments_of(document).into_iter();
    experiments
        .map(|(member, experiment)| (member, Folder::of(runs, &experiment)))
        .collect()
}

fn experiments_of(document: &Document) -> Vec<(Option<(String, u64)>, Experiment)> {
    let suite = match document {
        Document::Experiment(loaded) => return vec![(None, loaded.experiment.clone())],
        Document::Suite(loaded) => &loaded.suite,
    };
    let members = suite.members.iter().flat_map(|member| {
        member.experiments().map(|experiment| {
            let name = (member.name.clone(), experiment.seed);
            (Some(name), experiment)
        })
    });
    members.collect()
}
