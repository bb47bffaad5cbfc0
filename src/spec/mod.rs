//! RON text → the resolved [`Experiment`] or [`suite::Suite`].
//!
//! What may stand in an experiment is declared in [`experiment`], each setting once: see [`setting`].
//! After resolving nobody reads the file again: every later stage takes what was resolved.

pub mod context;
mod decode;
mod diff;
mod edit;
pub mod examine;
pub mod examples;
mod excerpt;
pub mod experiment;
mod legal;
mod lexer;
mod overlay;
pub mod network;
mod parser;
mod place;
pub mod recipe;
mod report;
mod resolve;
mod rules;
mod schema;
pub mod setting;
pub mod settings;
pub mod shape;
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
use overlay::Base;
use report::{Mistake, Source};
pub use settings::Settings;
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

impl Document {
    pub fn suite(&self) -> Option<&Suite> {
        match self {
            Self::Suite(loaded) => Some(&loaded.suite),
            Self::Experiment(_) => None,
        }
    }
}

/// Reads and checks an experiment file. The error's message is the whole rendered report: every mistake of the file.
pub fn load(path: &Path) -> Result<Loaded> {
    load_with(path, &Settings::default())
}

/// As [`load`], with settings laid over the file's.
pub fn load_with(path: &Path, settings: &Settings) -> Result<Loaded> {
    load_experiment(path, read_text(path)?, settings)
}

/// Reads and checks a file that holds an experiment or a suite.
pub fn load_document(path: &Path) -> Result<Document> {
    load_document_with(path, &Settings::default())
}

/// As [`load_document`], with settings laid over the experiment, or over every member of the suite.
pub fn load_document_with(path: &Path, settings: &Settings) -> Result<Document> {
    let text = read_text(path)?;
    let (node, _) = parser::parse(&text);
    if !suite::is_suite(&node) {
        let loaded = load_experiment(path, text, settings)?;
        return Ok(Document::Experiment(Box::new(loaded)));
    }
    let folder = path.parent().unwrap_or(Path::new(""));
    suite::parse(&path.shown(), &text, folder, settings).map(Document::Suite)
}

fn load_experiment(path: &Path, text: String, settings: &Settings) -> Result<Loaded> {
    let size = text.len() as u64;
    limits::EXPERIMENT.check(Kind::Experiment, &format!("`{}`", path.shown()), size)?;
    let (mut experiment, mut warnings) = parse(&path.shown(), &text)?;
    let base = path.parent().unwrap_or(Path::new(""));
    if !settings.is_empty() {
        let file = Base::new(&path.shown(), text, base, settings.end());
        (experiment, warnings) = settings.over(&file)?;
    }
    Ok(Loaded {
        experiment,
        base: base.to_path_buf(),
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

    /// SHA-256 of what the steps of a training depend on: everything but the name, the evaluation, the pin file's path, and the
    /// number of epochs where the schedule does not know it. Of two experiments that share it, on the same data, the shorter
    /// training is the beginning of the longer one, bit for bit.
    pub fn training(&self) -> String {
        let Self {
            name: _,
            seed,
            model,
            method,
            data,
            train,
            optimizer,
            schedule,
            eval,
        } = self;
        let (mut data, mut train) = (data.clone(), train.clone());
        data.pins_mut().clear();
        match schedule.shape {
            ScheduleShape::MultiStep { .. } => train.epochs = 0,
            ScheduleShape::Cosine { .. } => {}
        }
        let eval = train.depends_on_evaluation().then_some(eval);
        let read = (seed, model, method, data, train, optimizer, schedule, eval);
        files::sha256(canonical(&read).as_bytes())
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
