//! The runs and suites that a book may refer to, by name.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown};
use crate::report::source::{Run, Suite};
use crate::run::Folder;
use crate::suite;

#[derive(Debug)]
pub struct Catalogue {
    entries: Vec<Entry>,
    /// By folder name.
    suites: Vec<(String, Result<Suite>)>,
}

#[derive(Debug)]
struct Entry {
    folder: Folder,
    /// The experiment's name; `None` where the manifest is damaged.
    name: Option<String>,
    /// Opened and checked when a page asks for it: a run that no page names may be unfinished.
    run: OnceCell<Result<Run>>,
}

impl Catalogue {
    /// The runs and suites among these folders.
    pub fn new(mut folders: Vec<PathBuf>) -> Self {
        folders.sort();
        folders.dedup();
        let suites = folders.iter().filter(|path| suite::folder::is_at(path));
        let runs = folders.iter().map(Folder::at).filter(Folder::exists);
        let entry = |folder: Folder| Entry {
            name: folder.manifest().ok().map(|manifest| manifest.name),
            folder,
            run: OnceCell::new(),
        };
        Self {
            suites: suites
                .map(|path| (Folder::at(path).name(), open_suite(path)))
                .collect(),
            entries: runs.map(entry).collect(),
        }
    }

    /// Every run and suite below a folder.
    pub fn below(runs: &Path) -> Result<Self> {
        let entries = match std::fs::read_dir(runs) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::new(Vec::new())),
            Err(e) => return Err(Error::io("read", runs, &e)),
        };
        Ok(Self::new(
            entries.flatten().map(|entry| entry.path()).collect(),
        ))
    }

    /// Whether there is anything under a name.
    pub fn has(&self, name: &str) -> bool {
        !self.matches(name).is_empty() || self.has_suite(name)
    }

    /// Whether a suite has this name.
    pub fn has_suite(&self, name: &str) -> bool {
        self.find_suite(name).is_some()
    }

    /// Every run that is finished, whole and current, by folder name.
    pub fn current(&self) -> impl Iterator<Item = &Run> {
        self.entries
            .iter()
            .filter_map(|entry| self.open(entry).ok())
    }

    /// The run with this folder or of the experiment with this name, whole and current.
    pub fn run(&self, name: &str) -> Result<&Run> {
        let entry = match self.matches(name)[..] {
            [] => return Err(self.unknown(name)),
            [entry] => entry,
            // Runs of a suite may have another seed under the same name; the file of this name says which is meant.
            ref several => {
                let meant = |entry: &&&Entry| self.open(entry).is_ok_and(Run::is_of_its_file);
                match several.iter().filter(meant).collect::<Vec<_>>()[..] {
                    [entry] => entry,
                    _ => return Err(ambiguous(name, several)),
                }
            }
        };
        self.open(entry)
    }

    /// The suite with this folder or this name, with what its verdicts were made from.
    pub fn suite(&self, name: &str) -> Result<&Suite> {
        match self.find_suite(name) {
            Some(suite) => suite.as_ref().map_err(Error::clone),
            None => {
                let message = format!("there is no suite `{name}`");
                Err(Error::new(Kind::Run, message).hint("`ffn run` with its file makes it"))
            }
        }
    }

    fn find_suite(&self, name: &str) -> Option<&Result<Suite>> {
        // The folder's name is `<name>-<8 digits>`; a damaged suite has no other.
        let named = |folder: &str| {
            folder
                .rsplit_once('-')
                .is_some_and(|(known, _)| known == name)
        };
        let suites = self.suites.iter();
        let suites = suites.filter(|(folder, _)| folder == name || named(folder));
        // Of several under one name, one that is current comes before one that an older file made.
        let suite = suites.min_by_key(|(folder, suite)| (folder != name, suite.is_err()));
        suite.map(|(_, suite)| suite)
    }

    fn open<'a>(&'a self, entry: &'a Entry) -> Result<&'a Run> {
        let open = || {
            let run = Run::open(entry.folder.clone())?;
            run.check_pins()?;
            run.check_experiment()?;
            Ok(run)
        };
        entry.run.get_or_init(open).as_ref().map_err(Error::clone)
    }

    fn matches(&self, name: &str) -> Vec<&Entry> {
        let folders = |entry: &&Entry| entry.folder.name() == name;
        let folders: Vec<&Entry> = self.entries.iter().filter(folders).collect();
        match folders.is_empty() {
            false => folders,
            true => {
                let named = |entry: &&Entry| entry.name.as_deref() == Some(name);
                self.entries.iter().filter(named).collect()
            }
        }
    }

    fn unknown(&self, name: &str) -> Error {
        let names = self.entries.iter();
        let names: Vec<String> = names.map(|entry| entry.folder.name().shown()).collect();
        let known = match names.is_empty() {
            true => "there are none".to_owned(),
            false => format!("there are {}", names.join(", ")),
        };
        let message = format!("there is no run `{name}`; {known}");
        Error::new(Kind::Run, message).hint("`ffn run` makes it; --runs says where runs are")
    }
}

fn open_suite(path: &Path) -> Result<Suite> {
    let suite = Suite::open(path)?;
    suite.check_current()?;
    Ok(suite)
}

fn ambiguous(name: &str, several: &[&Entry]) -> Error {
    let names = several.iter().map(|entry| entry.folder.path().shown());
    let names: Vec<String> = names.collect();
    Error::new(
        Kind::Run,
        format!("several runs are called `{name}`: {}", names.join(", ")),
    )
    .hint("write the name of the folder, or give `ffn book` the runs it shall use")
}
