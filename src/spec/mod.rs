//! RON text → the resolved [`Experiment`] or [`suite::Suite`].
//!
//! What may stand in an experiment is declared in [`experiment`], each setting once: see [`setting`].
//! After resolving nobody reads the file again: every later stage takes what was resolved.

mod decode;
mod diff;
mod excerpt;
pub mod experiment;
mod legal;
mod lexer;
pub mod network;
mod parser;
mod place;
mod report;
mod resolve;
mod rules;
mod schema;
pub mod setting;
mod stage;
pub mod suite;
mod summary;
mod syntax;

use std::path::{Path, PathBuf};

use ::ron::{Options, extensions::Extensions, ser::PrettyConfig};

pub use diff::{Difference, diff, fields, table, values};
pub use experiment::*;
pub use schema::{language, schema, suite_language, suite_schema};
pub use stage::Stage;
pub use suite::{LoadedSuite, Suite};

use crate::base::{Error, Kind, Result, Shown, files, limits};
use decode::Decoder;
use report::{Mistake, Source};
use syntax::Node;

/// An experiment that was read from a file and has no mistake.
#[derive(Debug, Clone)]
pub struct Loaded {
    pub experiment: Experiment,
    /// The file's folder: relative paths in the experiment (pins, weights, lists) start here.
    pub base: PathBuf,
    /// Rendered warnings, for the person who runs it.
    pub warnings: Vec<String>,
}

/// What a file of the language holds.
#[derive(Debug, Clone)]
pub enum Document {
    Experiment(Box<Loaded>),
    Suite(LoadedSuite),
}

/// Reads and checks an experiment file. The error's message is the whole rendered report: every mistake of the file.
pub fn load(path: &Path) -> Result<Loaded> {
    load_experiment(path, &read_text(path)?)
}

/// Reads and checks a file that holds an experiment or a suite.
pub fn load_document(path: &Path) -> Result<Document> {
    let text = read_text(path)?;
    let (node, _) = parser::parse(&text);
    if !suite::is_suite(&node) {
        return Ok(Document::Experiment(Box::new(load_experiment(
            path, &text,
        )?)));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    suite::parse(&path.shown(), &text, folder).map(Document::Suite)
}

fn load_experiment(path: &Path, text: &str) -> Result<Loaded> {
    let size = text.len() as u64;
    limits::EXPERIMENT.check(Kind::Experiment, &format!("`{}`", path.shown()), size)?;
    let (experiment, warnings) = parse(&path.shown(), text)?;
    Ok(Loaded {
        experiment,
        base: path.parent().unwrap_or(Path::new("")).to_path_buf(),
        warnings,
    })
}

fn read_text(path: &Path) -> Result<String> {
    let bytes = files::read(path, limits::SUITE)?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        refuse(path, &format!("it is not UTF-8 text from byte {at} on"))
    })
}

fn refuse(path: &Path, why: &str) -> Error {
    let message = format!("{} is no experiment: {why}", path.shown());
    Error::new(Kind::Experiment, message)
}

/// The experiment in a text with its rendered warnings. `name` stands for the text in reports.
pub fn parse(name: &str, text: &str) -> Result<(Experiment, Vec<String>)> {
    let source = Source { name, text };
    match read(text) {
        Ok((experiment, warnings)) => {
            let warnings = warnings.iter().map(|warning| source.warning(warning));
            Ok((experiment, warnings.collect()))
        }
        Err(mistakes) => Err(Error::new(Kind::Experiment, source.mistakes(&mistakes))),
    }
}

/// The experiment in a text with its warnings, or every mistake.
fn read(text: &str) -> Result<(Experiment, Vec<Mistake>), Vec<Mistake>> {
    let (node, syntax) = parser::parse(text);
    let decoder = Decoder::after(syntax);
    let (experiment, mistakes, warnings) = experiment(&node, decoder);
    match mistakes.is_empty() {
        true => Ok((experiment, warnings)),
        false => Err(mistakes),
    }
}

/// The experiment of a tree, with its mistakes and warnings; a stand-in where something is a mistake.
fn experiment(node: &Node, mut decoder: Decoder) -> (Experiment, Vec<Mistake>, Vec<Mistake>) {
    let experiment = resolve::resolve(decoder.value(node), &decoder);
    let findings = rules::verify(&experiment);
    let mut mistakes = place::all(&findings.mistakes, &decoder);
    let warnings = place::all(&findings.warnings, &decoder);
    mistakes.splice(..0, decoder.mistakes);
    (experiment, mistakes, warnings)
}

impl Experiment {
    /// The canonical form: RON with every field spelled out in a fixed order; reading it gives the same experiment.
    pub fn canonical(&self) -> String {
        canonical(self)
    }

    /// SHA-256 of the canonical form: the experiment's identity.
    pub fn identity(&self) -> String {
        files::sha256(self.canonical().as_bytes())
    }
}

/// RON with every field spelled out in a fixed order.
fn canonical(value: &impl serde::Serialize) -> String {
    ron(
        value,
        PrettyConfig::new().compact_arrays(true).new_line("\n"),
    ) + "\n"
}

/// RON in one line.
fn compact(value: &impl serde::Serialize) -> String {
    let line = PrettyConfig::new();
    ron(value, line.compact_arrays(true).compact_structs(true))
}

fn ron(value: &impl serde::Serialize, pretty: PrettyConfig) -> String {
    let language = Extensions::UNWRAP_VARIANT_NEWTYPES | Extensions::IMPLICIT_SOME;
    Options::default()
        .with_default_extension(language)
        .to_string_pretty(value, pretty.struct_names(true).extensions(language))
        .expect("RON has a form for every number, text, list and struct")
}
