//! Which runs a submission consists of: those that are not finished, not under work and not in the queue.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::base::Result;
use crate::cluster::queue::Entry;
use crate::cluster::quote::utf8;
use crate::cluster::script::Element;
use crate::run::Folder;
use crate::spec::Document;

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

/// Every run of a file, with member and seed where it is a suite.
fn runs_of(document: &Document, runs: &Path) -> Vec<(Option<(String, u64)>, Folder)> {
    let suite = match document {
        Document::Experiment(loaded) => {
            return vec![(None, Folder::of(runs, &loaded.experiment))];
        }
        Document::Suite(loaded) => &loaded.suite,
    };
    let members = suite.members.iter().flat_map(|member| {
        member.experiments().map(|experiment| {
            let name = (member.name.clone(), experiment.seed);
            (Some(name), Folder::of(runs, &experiment))
        })
    });
    members.collect()
}
