//! The experiment files that members start from, and the places of mistakes in two files.
//!
//! The tree of a member has parts from the suite and parts from its file. Places in the file are moved on by the
//! length of the suite's text, so that one number says which of the two is meant.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::overlay;
use crate::base::{Shown, files, limits};
use crate::spec::report::Mistake;
use crate::spec::syntax::{Node, Span};
use crate::spec::{self, parser};

/// An experiment file without mistakes.
pub struct Base {
    /// As in the suite.
    path: String,
    text: String,
    /// With its places moved behind the suite's text.
    pub node: Node,
    pub folder: PathBuf,
    offset: usize,
}

impl Base {
    /// The line, from 1, of a place that was moved.
    fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at.saturating_sub(self.offset));
        1 + before.map_or(0, |text| text.matches('\n').count())
    }
}

/// The experiment files of a suite, each read once.
pub struct Bases<'a> {
    folder: &'a Path,
    offset: usize,
    read: BTreeMap<String, Result<Base, Broken>>,
    /// Whole reports of files with mistakes.
    pub reports: Vec<String>,
    /// Rendered warnings of the files as they are.
    pub warnings: Vec<String>,
}

/// Why there is no experiment to start from.
pub enum Broken {
    /// The file cannot be read.
    Unreadable(String),
    /// Its mistakes are in the reports.
    Reported,
}

impl<'a> Bases<'a> {
    pub fn new(folder: &'a Path, suite: &str) -> Self {
        Self {
            folder,
            offset: suite.len() + 1,
            read: BTreeMap::new(),
            reports: Vec::new(),
            warnings: Vec::new(),
        }
    }

    pub fn get(&mut self, path: &str) -> Result<&Base, &Broken> {
        if !self.read.contains_key(path) {
            let base = self.load(path);
            self.read.insert(path.to_owned(), base);
        }
        match self.read.get(path) {
            Some(Ok(base)) => Ok(base),
            Some(Err(broken)) => Err(broken),
            None => Err(&Broken::Reported),
        }
    }

    fn load(&mut self, path: &str) -> Result<Base, Broken> {
        let whole = self.folder.join(path);
        let text = files::read_text(&whole, limits::EXPERIMENT)
            .map_err(|error| Broken::Unreadable(error.message.clone()))?;
        let name = whole.shown();
        let (_, warnings) = spec::parse(&name, &text).map_err(|error| {
            self.reports.push(error.message);
            Broken::Reported
        })?;
        self.warnings.extend(warnings);
        let (node, _) = parser::parse(&text);
        Ok(Base {
            path: path.to_owned(),
            node: overlay::moved(&node, self.offset),
            folder: whole.parent().unwrap_or(Path::new("")).to_path_buf(),
            text,
            offset: self.offset,
        })
    }
}

/// The mistake with the places that are in the suite; those in the file are told in the hint. `member`: the place to
/// name where no other is in the suite.
pub fn in_suite(mistake: Mistake, base: Option<&Base>, member: &Span) -> Mistake {
    let Some(base) = base else {
        return mistake;
    };
    let (own, others): (Vec<_>, Vec<_>) = mistake
        .labels
        .into_iter()
        .partition(|(span, _)| span.start < base.offset);
    let lines = others
        .iter()
        .map(|(span, what)| format!("{} line {}: {what}", base.path, base.line(span.start)));
    let hints: Vec<String> = mistake.hint.into_iter().chain(lines).collect();
    let labels = match own.is_empty() {
        true => vec![(member.clone(), "in this member".to_owned())],
        false => own,
    };
    Mistake {
        message: mistake.message,
        labels,
        hint: (!hints.is_empty()).then(|| hints.join("\n")),
    }
}

/// Whether a warning is about something that the suite says.
pub fn concerns_suite(mistake: &Mistake, base: Option<&Base>) -> bool {
    let in_suite = |span: &Span| base.is_none_or(|base| span.start < base.offset);
    mistake.labels.iter().any(|(span, _)| in_suite(span))
}
