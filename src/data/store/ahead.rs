//! What is known of a pack's tar files, and which is to be fetched next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Metadata;
use std::time::SystemTime;

use super::route::Route;
use crate::base::Error;

#[derive(Default)]
pub(super) struct State {
    pub(super) loaders: Vec<Loader>,
    pub(super) next_id: u64,
    /// Files that this process has held against their hashes.
    pub(super) sound: BTreeMap<usize, Stamp>,
    /// What threads fetch now.
    pub(super) under_way: BTreeSet<usize>,
    /// What others fetch: it is looked at again soon.
    pub(super) elsewhere: BTreeSet<usize>,
    /// What could not be fetched ahead: who needs it tries again, and has the error.
    pub(super) left: BTreeSet<usize>,
    pub(super) failed: BTreeMap<usize, Error>,
    pub(super) is_stopped: bool,
    pub(super) is_told: bool,
}

/// What a loader reads, and how far it is.
pub(super) struct Loader {
    pub(super) id: u64,
    pub(super) route: Route,
    /// The first job that may still read.
    pub(super) at: u64,
    /// Up to here everything is there or under way.
    pub(super) ready: u64,
}

/// What changes when a file does.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Stamp {
    pub(super) bytes: u64,
    pub(super) written: SystemTime,
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            bytes: metadata.len(),
            written: metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH),
        }
    }
}

impl State {
    /// The file that a loader reads next of those that are wanted, and how many jobs it is away.
    pub(super) fn next(&mut self) -> Option<(usize, u64)> {
        let Self {
            loaders,
            sound,
            under_way,
            elsewhere,
            left,
            ..
        } = self;
        let next = |loader: &mut Loader| {
            loader.ready = loader.ready.max(loader.at);
            let mut first = None;
            // Further ahead stands nothing that an epoch does not read.
            let end = loader.at.saturating_add(loader.route.length());
            for (job, number) in loader.route.uses(loader.ready) {
                if job > end {
                    break;
                }
                if sound.contains_key(&number) || left.contains(&number) {
                    // Nothing before it is wanted: the next look begins here.
                    if first.is_none() {
                        loader.ready = job;
                    }
                    continue;
                }
                first.get_or_insert(job);
                if !under_way.contains(&number) && !elsewhere.contains(&number) {
                    return Some((number, job - loader.at));
                }
            }
            None
        };
        let wanted = loaders.iter_mut().filter_map(next);
        wanted.min_by_key(|(_, jobs)| *jobs)
    }

    /// Forgets files that are gone: they may be fetched again.
    pub(super) fn lose(&mut self, is_gone: &dyn Fn(usize) -> bool) {
        self.sound.retain(|&number, _| !is_gone(number));
        for loader in &mut self.loaders {
            loader.ready = loader.at;
        }
    }
}
