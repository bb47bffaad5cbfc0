//! The live page of `ffn watch`: runs and suites as their folders are now, read-only, for a browser on this machine.
//!
//! | address | page |
//! |---|---|
//! | `/` | all suites and runs below a folder |
//! | `/run/<name>` | one run: where it is, results, curves, processes, the end of its log |
//! | `/suite/<name>` | one suite: its members' runs and the verdicts on its claims |
//!
//! Pages are made here, whole, from what is on the disk; the script in them asks for the page again and puts what is new in
//! place ([`server`]). Nothing is read but run folders, and of a growing file only what came since it was last read. Figures are those of [`super::plot`].

mod bins;
mod follow;
mod html;
mod index;
mod run;
pub mod server;
mod suite;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::{Error, Kind, Result};
use crate::report::listing::{self, Members};
use crate::run::Folder;
use crate::run::overview::{self, Overview};
use follow::Followed;
pub use html::Page;

/// Looks at a folder within so much time are one: several pages may be open.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The pages about the runs in a folder.
#[derive(Debug)]
pub struct Site {
    runs: PathBuf,
    looked: Mutex<Option<(Instant, Arc<Look>)>>,
    followed: Mutex<BTreeMap<String, Followed>>,
}

/// What is in the folder of runs at a moment.
#[derive(Debug)]
struct Look {
    overviews: Vec<Overview>,
    /// Of runs that cannot be read.
    errors: Vec<Error>,
    suites: Vec<suite::Look>,
    members: Members,
}

impl Site {
    pub fn new(runs: &Path) -> Self {
        Self {
            runs: runs.to_owned(),
            looked: Mutex::default(),
            followed: Mutex::default(),
        }
    }

    /// All suites and runs.
    pub fn index(&self) -> Result<Page> {
        Ok(index::page(&self.runs, &*self.look()?))
    }

    /// One run by its folder's name; `None` where there is none of this name.
    pub fn run(&self, name: &str) -> Result<Option<Page>> {
        let look = self.look()?;
        let mut found = look.overviews.iter();
        let Some(overview) = found.find(|overview| overview.folder.name() == name) else {
            return Ok(self.unreadable(name));
        };
        let mut followed = self.followed.lock().unwrap_or_else(PoisonError::into_inner);
        followed.retain(|name, _| look.overviews.iter().any(|run| run.folder.name() == *name));
        let steps = followed.entry(name.to_owned()).or_default();
        let suites: Vec<&str> = look
            .suites
            .iter()
            .filter(|suite| suite.has(name))
            .map(|suite| &*suite.name)
            .collect();
        Ok(Some(run::page(overview, &look.members, &suites, steps)))
    }

    /// Why a run that is there cannot be shown. A name leads to no other folder: it is one of those that are listed.
    fn unreadable(&self, name: &str) -> Option<Page> {
        let entries = std::fs::read_dir(&self.runs).ok()?.flatten();
        let mut named = entries.filter(|entry| entry.file_name() == name);
        let folder = Folder::at(named.next()?.path());
        let error = folder.exists().then(|| Overview::of(folder).err())??;
        Some(of_error(name, &error))
    }

    /// One suite by its folder's name; `None` where there is none of this name.
    pub fn suite(&self, name: &str) -> Result<Option<Page>> {
        let look = self.look()?;
        let mut found = look.suites.iter();
        let suite = found.find(|suite| suite.name == name);
        Ok(suite.map(|suite| suite::page(suite, &look.overviews)))
    }

    fn look(&self) -> Result<Arc<Look>> {
        let mut looked = self.looked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, look)) = &*looked
            && at.elapsed() < LOOK_EVERY
        {
            return Ok(look.clone());
        }
        let (overviews, errors) = overview::list(&self.runs)?;
        let look = Arc::new(Look {
            overviews,
            errors,
            suites: suite::list(&self.runs),
            members: listing::members(&self.runs),
        });
        *looked = Some((Instant::now(), look.clone()));
        Ok(look)
    }
}

/// The page of an error.
fn of_error(title: &str, error: &Error) -> Page {
    let heading = format!("<h1>{}</h1>\n", html::text(title));
    Page {
        title: format!("{title} · ffn"),
        up: "../",
        body: heading + &html::warning(&error.to_string()),
    }
}

/// That there is no such page.
fn no_such(what: &str) -> Error {
    let message = format!("there is no {what} here");
    Error::new(Kind::Run, message).hint("it was moved or removed, or never there")
}
