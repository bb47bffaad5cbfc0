//! The texts that are open in the editor, and what is shown of them and of the files that they name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use gen_lsp_types::{Diagnostic, PublishDiagnosticsParams, Uri};

use super::completion::Known;
use super::files;
use super::findings::{self, Source};
use super::lines::{Encoding, Lines};
use crate::base::files as disk;
use crate::base::{Kind, Result, limits};
use crate::spec::examine::{self, Examination, Folder, Language};

/// Names of files that are offered; more are not read.
const MOST_FILES: usize = 1000;

/// A text that is open.
struct Document {
    path: Option<PathBuf>,
    version: i32,
    lines: Lines,
    is_suite: bool,
    /// Whether it changed, or what it names, since it was last examined.
    stale: bool,
    /// Found in it.
    own: Vec<Diagnostic>,
    /// Found in its experiment files.
    files: BTreeMap<PathBuf, Vec<Diagnostic>>,
    /// Members that claims may name, when they could last be read.
    members: Vec<String>,
}

/// What an editor shows of a file.
#[derive(Clone, PartialEq)]
struct Shown {
    version: Option<i32>,
    diagnostics: Vec<Diagnostic>,
}

pub struct Documents {
    pub encoding: Encoding,
    open: BTreeMap<String, Document>,
    shown: BTreeMap<String, Shown>,
}

impl Documents {
    pub fn new(encoding: Encoding) -> Self {
        let (open, shown) = (BTreeMap::new(), BTreeMap::new());
        Self {
            encoding,
            open,
            shown,
        }
    }

    /// Takes a text that was opened or changed.
    pub fn set(&mut self, uri: &str, version: i32, text: String) {
        let members = self
            .open
            .remove(uri)
            .map_or(Vec::new(), |before| before.members);
        let is_suite = bounded(&text).is_ok() && examine::language(&text) == Some(Language::Suite);
        let document = Document {
            path: files::path(uri),
            version,
            lines: Lines::new(text, self.encoding),
            is_suite,
            stale: true,
            own: Vec::new(),
            files: BTreeMap::new(),
            members,
        };
        self.open.insert(uri.to_owned(), document);
        self.suites_are_stale();
    }

    pub fn close(&mut self, uri: &str) {
        self.open.remove(uri);
        self.suites_are_stale();
    }

    /// A suite may name what changed.
    pub fn suites_are_stale(&mut self) {
        for document in self.open.values_mut() {
            document.stale |= document.is_suite;
        }
    }

    /// The text of a document. One that is larger than the language allows is left alone.
    pub fn lines(&self, uri: &str) -> Option<&Lines> {
        let lines = &self.open.get(uri)?.lines;
        bounded(lines.text()).is_ok().then_some(lines)
    }

    /// What the texts of a document may name.
    pub fn known(&self, uri: &str) -> Known {
        let Some(document) = self.open.get(uri).filter(|document| document.is_suite) else {
            return Known::default();
        };
        let folder = document.path.as_deref().and_then(Path::parent);
        Known {
            members: document.members.clone(),
            files: folder.map_or(Vec::new(), |folder| {
                beside(folder, document.path.as_deref())
            }),
        }
    }

    /// Examines what changed; gives what the editor has to show anew.
    pub fn news(&mut self) -> Vec<PublishDiagnosticsParams> {
        let stale = self.open.iter().filter(|(_, document)| document.stale);
        let stale: Vec<String> = stale.map(|(uri, _)| uri.clone()).collect();
        for uri in stale {
            self.examine(&uri);
        }
        let wanted = self.wanted();
        let gone = self.shown.keys().filter(|uri| !wanted.contains_key(*uri));
        let gone = gone.map(|uri| publish(uri, None, Vec::new()));
        let new = wanted
            .iter()
            .filter(|(uri, shown)| self.shown.get(*uri) != Some(shown));
        let new = new.map(|(uri, shown)| publish(uri, shown.version, shown.diagnostics.clone()));
        let news = gone.chain(new).collect();
        self.shown = wanted;
        news
    }

    fn examine(&mut self, uri: &str) {
        let Some(document) = self.open.get(uri) else {
            return;
        };
        let text = document.lines.text();
        let source = Source {
            uri,
            lines: &document.lines,
        };
        let (own, examined) = match bounded(text) {
            Err(error) => (vec![findings::of_error(&error)], Examination::default()),
            Ok(()) => {
                let folder = document.path.as_deref().and_then(Path::parent);
                let read = |path: &Path| self.read(path);
                let path = folder.unwrap_or(Path::new(""));
                let examined = examine::examine(text, Folder { path, read: &read });
                let examined = examined.unwrap_or_default();
                (source.all(&examined, self.encoding), examined)
            }
        };
        let files = examined.files.iter();
        let files = files.map(|file| {
            (
                files::plain(&file.path),
                findings::of_file(file, self.encoding),
            )
        });
        let files = files.collect();
        if let Some(document) = self.open.get_mut(uri) {
            (document.own, document.files, document.stale) = (own, files, false);
            // Of a text that does not parse no experiment is there, and a grid has no names.
            if !examined.experiments.is_empty() || document.members.is_empty() {
                document.members = examined.members;
            }
        }
    }

    /// The text of an experiment file: as it is in the editor, else on the disk.
    fn read(&self, path: &Path) -> Result<String> {
        match self.at(&files::plain(path)) {
            Some((_, document)) => Ok(document.lines.text().to_owned()),
            None => disk::read_text(path, limits::EXPERIMENT),
        }
    }

    fn at(&self, path: &Path) -> Option<(&String, &Document)> {
        let mut open = self.open.iter();
        open.find(|(_, document)| document.path.as_deref() == Some(path))
    }

    /// What is to be shown: of every open document what is found in it, of the files that suites name what is found in those.
    fn wanted(&self) -> BTreeMap<String, Shown> {
        let mut wanted = BTreeMap::new();
        for (path, diagnostics) in self.open.values().flat_map(|document| &document.files) {
            if self.at(path).is_none() {
                let (version, diagnostics) = (None, diagnostics.clone());
                wanted.insert(
                    files::uri(path),
                    Shown {
                        version,
                        diagnostics,
                    },
                );
            }
        }
        for (uri, document) in &self.open {
            let (version, diagnostics) = (Some(document.version), document.own.clone());
            wanted.insert(
                uri.clone(),
                Shown {
                    version,
                    diagnostics,
                },
            );
        }
        wanted
    }
}

fn publish(
    uri: &str,
    version: Option<i32>,
    diagnostics: Vec<Diagnostic>,
) -> PublishDiagnosticsParams {
    PublishDiagnosticsParams::new(Uri(uri.to_owned()), version, diagnostics)
}

/// Refuses what is larger than a file of the language.
fn bounded(text: &str) -> Result<()> {
    let size = text.len() as u64;
    limits::SUITE.check(Kind::Experiment, "this file", size)
}

/// The experiment files of a folder, except `own`, by name.
fn beside(folder: &Path, own: Option<&Path>) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let is_own = |path: &Path| own.and_then(Path::file_name) == path.file_name();
    let paths = entries.take(MOST_FILES).flatten().map(|entry| entry.path());
    let paths =
        paths.filter(|path| path.extension().is_some_and(|end| end == "ron") && !is_own(path));
    let names = paths.filter_map(|path| path.file_name()?.to_str().map(str::to_owned));
    let mut names: Vec<String> = names.filter(|name| !name.ends_with(".pins.ron")).collect();
    names.sort();
    names
}
