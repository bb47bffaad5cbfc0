//! Everything that is found in a text, with its places, for those who show it themselves: editors.

use std::path::{Path, PathBuf};

pub use super::report::Mistake;
pub use super::syntax::Span;

use super::decode::{Decode, nearest};
use super::experiment::Experiment;
use super::settings::Settings;
use super::syntax::{Body, Kind, Node};
use super::{parser, read, suite};
use crate::base::{Result, files, limits};

/// Where the experiment files of a suite are found.
#[derive(Clone, Copy)]
pub struct Folder<'a> {
    pub path: &'a Path,
    /// The text of a file.
    pub read: &'a dyn Fn(&Path) -> Result<String>,
}

impl<'a> Folder<'a> {
    /// A folder whose files are read as they are on the disk.
    pub fn on_disk(path: &'a Path) -> Self {
        let read = &|path: &Path| files::read_text(path, limits::EXPERIMENT);
        Self { path, read }
    }
}

/// What a text is meant as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Experiment,
    Suite,
}

/// What is in a text.
#[derive(Debug, Default)]
pub struct Examination {
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Mistake>,
    /// Of a suite, the experiment files in which something was found.
    pub files: Vec<ExaminedFile>,
    /// The experiment, or each member of a suite, by name. Where there are mistakes, stand-ins are in them.
    pub experiments: Vec<(String, Experiment)>,
    /// What claims may name.
    pub members: Vec<String>,
}

/// An experiment file of a suite.
#[derive(Debug)]
pub struct ExaminedFile {
    pub path: PathBuf,
    pub text: String,
    pub mistakes: Vec<Mistake>,
    pub warnings: Vec<Mistake>,
    /// Where the suite names it.
    pub named: Vec<Span>,
}

impl Examination {
    pub fn is_sound(&self) -> bool {
        let files = self.files.iter().all(|file| file.mistakes.is_empty());
        files && self.mistakes.is_empty()
    }
}

/// What a text is meant as; `None` of a text that is no file of the language: a pin file, another program's.
pub fn language(text: &str) -> Option<Language> {
    meant(&parser::parse(text).0)
}

fn meant(node: &Node) -> Option<Language> {
    /// A nameless file that has these is an experiment; one could be chance.
    const ENOUGH: usize = 2;
    if suite::is_suite(node) {
        return Some(Language::Suite);
    }
    let Kind::Item { name, body } = &node.kind else {
        return None;
    };
    let is_meant = match (name, body) {
        (Some(name), _) => nearest(&name.text, &["Experiment", "Suite"]).is_some(),
        (None, Body::Fields(fields)) => {
            let known = Experiment::describe().map_or(Vec::new(), |described| described.fields());
            let is_known = |name: &str| known.iter().any(|field| field.name == name);
            let given = fields.iter().filter(|field| is_known(&field.name.text));
            given.count() >= ENOUGH
        }
        (None, _) => false,
    };
    is_meant.then_some(Language::Experiment)
}

/// Everything in a text; `None` of a text that is no file of the language.
pub fn examine(text: &str, folder: Folder<'_>) -> Option<Examination> {
    let settings = Settings::default();
    match language(text)? {
        Language::Suite => Some(suite::examine(text, folder, &settings).examination()),
        Language::Experiment => Some(experiment(text)),
    }
}

fn experiment(text: &str) -> Examination {
    match read(text) {
        Ok((experiment, warnings)) => Examination {
            warnings,
            experiments: vec![(experiment.name.clone(), experiment)],
            ..Examination::default()
        },
        Err(mistakes) => Examination {
            mistakes,
            ..Examination::default()
        },
    }
}
