//! Training videos that a run leaves out because their bytes are damaged, as `unreadable: Skip` declares.

use std::collections::BTreeSet;
use std::path::Path;

use super::metrics::{self, Record};
use crate::base::{Result, Shown};

/// The ids of the videos that were left out of at least one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeftOut(BTreeSet<String>);

impl LeftOut {
    /// Those that a run's metrics name.
    pub fn read(metrics: &Path) -> Result<Self> {
        Ok(Self::of(&metrics::read(metrics)?))
    }

    pub fn of(records: &[Record]) -> Self {
        let skipped = records.iter().flat_map(|record| &record.skipped);
        Self(skipped.cloned().collect())
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Notes those of a step, (id, reason). What there is to say of the ones that were not known yet.
    pub fn note(&mut self, skipped: &[(String, String)]) -> Vec<String> {
        let mut said = Vec::new();
        for (id, reason) in skipped {
            if self.0.insert(id.clone()) {
                said.push(format!("left out of training: `{}`: {reason}", id.shown()));
            }
        }
        said
    }
}

/// The number in a person's words; `None` where no video was left out.
pub fn describe(videos: usize) -> Option<String> {
    match videos {
        0 => None,
        1 => Some("1 video left out".to_owned()),
        _ => Some(format!("{videos} videos left out")),
    }
}

/// For documents that say the number only where there is one: those of before stay as they were.
pub fn is_none(videos: &usize) -> bool {
    *videos == 0
}
