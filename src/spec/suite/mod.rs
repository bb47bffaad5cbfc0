//! The suite language: RON text → raw types → the resolved [`Suite`].
//!
//! A member starts from an experiment file or from an experiment in the suite itself. What `with` and `grid` say is
//! laid over the experiment's tree before it is decoded, so that a member is checked by the same rules as any
//! experiment, and a mistake that an override makes is reported at the override.

mod base;
mod grid;
mod members;
pub(super) mod raw;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::decode::{Decoder, language};
use super::examine::{Examination, ExaminedFile, Folder};
use super::experiment::Experiment;
use super::report::{Mistake, Source};
use super::setting::required;
use super::settings::Settings;
use super::syntax::{Body, Kind as NodeKind, Node};
use super::{canonical, parser, place};
use crate::base::{Error, Kind, Result, Shown, files};

/// Several experiments, what is compared with what, and what is claimed of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Suite {
    pub name: String,
    /// In the order of the file, each grid in the place of its member.
    pub members: Vec<Member>,
    pub claims: Vec<Claim>,
}

/// One experiment at one or more seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Member {
    /// As claims name it; one of a grid is called `name/field=value`.
    pub name: String,
    /// Distinct; one or more.
    pub seeds: Vec<u64>,
    /// With the first of the seeds.
    pub experiment: Experiment,
    /// What the grid chose, by path, as written.
    #[serde(skip)]
    pub variant: BTreeMap<String, String>,
    /// The folder at which the experiment's relative paths start.
    #[serde(skip)]
    pub base: PathBuf,
}

/// A sentence that runs can settle: a quantity and what it is said to be.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Claim {
    /// Names the claim in tables and pages.
    pub id: String,
    pub quantity: Quantity,
    pub is: Bound,
    /// Where it was claimed, such as a table of a paper.
    pub source: Option<String>,
}

language! {
    /// What is measured. Members are named; of several seeds the mean counts.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Quantity: "a quantity" {
        /// Top-1 accuracy in percent.
        Top1 {
            run: String = required(),
            frames: usize = required(),
        },
        /// Top-1 at `from` frames minus top-1 at `to` frames, in points: the Temporal Frequency Deviation.
        Gap {
            run: String = required(),
            from: usize = required(),
            to: usize = required(),
        },
        /// Top-1 of `run` minus top-1 of `over` at the same frame count, in points.
        Gain {
            run: String = required(),
            over: String = required(),
            frames: usize = required(),
        },
        /// The smallest gain of a member over the next one in the list, in points: at least 0 where the list descends.
        Order {
            runs: Vec<String> = required(),
            frames: usize = required(),
        },
        /// The mean of the members' top-1 in percent: over the splits of a data set, each with clips of its own.
        MeanTop1 {
            runs: Vec<String> = required(),
            frames: usize = required(),
        },
        /// The mean of the gains of each of `runs` over the one of `over` in the same place, in points: over the splits of a data set.
        MeanGain {
            runs: Vec<String> = required(),
            over: Vec<String> = required(),
            frames: usize = required(),
        },
        /// Values that training changes.
        Parameters {
            run: String = required(),
        },
        /// 10^9 multiply-adds of one view of a clip at so many frames, which papers call GFLOPs.
        Flops {
            run: String = required(),
            frames: usize = required(),
        },
    }

    /// What a quantity is said to be, in its own unit.
    #[derive(Debug, Clone, Copy, PartialEq, Serialize)]
    pub enum Bound: "a bound" {
        /// So much or more.
        AtLeast(f64 = required()),
        /// So much or less.
        AtMost(f64 = required()),
        /// From `value - tolerance` to `value + tolerance`.
        About {
            value: f64 = required(),
            tolerance: f64 = required().number(0.0..),
        },
    }
}

/// A suite that was read from a file and has no mistake.
#[derive(Debug, Clone)]
pub struct LoadedSuite {
    pub suite: Suite,
    /// Rendered warnings, for the person who runs it.
    pub warnings: Vec<String>,
}

impl Suite {
    /// The canonical form: RON with every field and every experiment spelled out; reading it gives the same suite.
    pub fn canonical(&self) -> String {
        canonical(self)
    }

    /// SHA-256 of the canonical form: the suite's identity.
    pub fn identity(&self) -> String {
        files::sha256(self.canonical().as_bytes())
    }

    /// The member of this name; of a grid also where a number is written otherwise: `ffn/lambda=2` is `ffn/lambda=2.0`.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let mut members = self.members.iter();
        let exact = members.clone().find(|member| member.name == name);
        exact.or_else(|| {
            let plain = plain(name);
            members.find(|member| self::plain(&member.name) == plain)
        })
    }
}

/// A member's name with the numbers of its grid as the shortest text that reads back as the same value.
fn plain(name: &str) -> String {
    let value = |choice: &str| match choice.split_once('=') {
        Some((field, value)) => match value.trim().parse::<f64>() {
            Ok(number) => format!("{field}={number}"),
            Err(_) => choice.to_owned(),
        },
        None => choice.to_owned(),
    };
    match name.split_once('/') {
        Some((member, choices)) => {
            let choices: Vec<String> = choices.split(',').map(value).collect();
            format!("{member}/{}", choices.join(","))
        }
        None => name.to_owned(),
    }
}

impl Member {
    /// Its experiments, one for each seed.
    pub fn experiments(&self) -> impl Iterator<Item = Experiment> {
        self.seeds.iter().map(|&seed| Experiment {
            seed,
            ..self.experiment.clone()
        })
    }
}

impl Quantity {
    /// The members that it is about, in its order.
    pub fn runs(&self) -> Vec<&str> {
        match self {
            Self::Top1 { run, .. }
            | Self::Gap { run, .. }
            | Self::Parameters { run }
            | Self::Flops { run, .. } => vec![run],
            Self::Gain { run, over, .. } => vec![run, over],
            Self::Order { runs, .. } | Self::MeanTop1 { runs, .. } => {
                runs.iter().map(String::as_str).collect()
            }
            Self::MeanGain { runs, over, .. } => {
                runs.iter().chain(over).map(String::as_str).collect()
            }
        }
    }
}

/// Whether a text is, or was meant as, a suite.
pub(super) fn is_suite(node: &Node) -> bool {
    let NodeKind::Item { name, body } = &node.kind else {
        return false;
    };
    let members = |fields: &[super::syntax::Field]| fields.iter().any(|f| f.name.text == "members");
    let named = name.as_ref().is_some_and(|name| name.text == "Suite");
    named || matches!(body, Body::Fields(fields) if members(fields))
}

/// The suite in a text, with `settings` laid over every member. `name` stands for the text in reports; the paths of members
/// start at `folder`.
pub fn parse(name: &str, text: &str, folder: &Path, settings: &Settings) -> Result<LoadedSuite> {
    let examined = examine(text, Folder::on_disk(folder), settings);
    let source = Source { name, text };
    let (mut of_settings, mistakes) = settings.take(examined.mistakes, source);
    of_settings.extend(settings.seed());
    let own = [(source, mistakes), (settings.source(), of_settings)];
    let own = own.iter().filter(|(_, mistakes)| !mistakes.is_empty());
    let own = own.map(|(source, mistakes)| source.mistakes(mistakes));
    let reports: Vec<String> = own.chain(file_reports(&examined.files)).collect();
    if !reports.is_empty() {
        return Err(Error::new(Kind::Experiment, reports.join("\n\n")));
    }
    let (of_settings, own) = settings.take(examined.warnings, source);
    let own = own.iter().map(|found| source.warning(found));
    let of_settings = of_settings.iter().map(|w| settings.source().warning(w));
    let warnings = file_warnings(&examined.files).chain(own).chain(of_settings);
    let warnings = warnings.collect();
    Ok(LoadedSuite {
        suite: examined.suite,
        warnings,
    })
}

/// Whole reports of files with mistakes.
fn file_reports(files: &[ExaminedFile]) -> impl Iterator<Item = String> {
    let broken = files.iter().filter(|file| !file.mistakes.is_empty());
    broken.map(|file| {
        let (name, text) = (&file.path.shown(), &file.text);
        Source { name, text }.mistakes(&file.mistakes)
    })
}

fn file_warnings(files: &[ExaminedFile]) -> impl Iterator<Item = String> {
    files.iter().flat_map(|file| {
        let (name, text) = (&file.path.shown(), &file.text);
        let source = Source { name, text };
        let warnings = file.warnings.iter().map(|warning| source.warning(warning));
        warnings.collect::<Vec<_>>()
    })
}

/// A suite as far as it could be read, and what was found in it and in its experiment files. Places that are those of the
/// settings begin behind the text.
pub(super) struct Examined {
    suite: Suite,
    broken: BTreeSet<String>,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    files: Vec<ExaminedFile>,
}

/// Everything in the text of a suite, with `settings` laid over every member.
pub(super) fn examine(text: &str, folder: Folder<'_>, settings: &Settings) -> Examined {
    let (node, syntax) = parser::parse(text);
    let mut decoder = Decoder::after(syntax);
    let raw: raw::Suite = decoder.value(&node);
    let mut resolved = members::resolve(&raw, text, folder, settings, &decoder);
    resolved.warn_of_equal_members();
    let suite = Suite {
        name: raw.name,
        members: resolved.members,
        claims: raw.claims.into_iter().map(claim).collect(),
    };
    let findings = rules::verify(&suite, &resolved.origins, &resolved.broken);
    let mut mistakes = place::all(&findings.mistakes, &decoder);
    mistakes.splice(..0, resolved.mistakes);
    mistakes.splice(..0, decoder.mistakes);
    Examined {
        suite,
        broken: resolved.broken,
        mistakes,
        warnings: resolved.warnings,
        files: resolved.files,
    }
}

impl Examined {
    pub fn examination(self) -> Examination {
        let members = self.suite.members.into_iter();
        let experiments: Vec<_> = members.map(|m| (m.name, m.experiment)).collect();
        let names: BTreeSet<String> = experiments.iter().map(|(name, _)| name.clone()).collect();
        let mut members: Vec<String> = names.union(&self.broken).cloned().collect();
        members.retain(|name| !name.is_empty());
        Examination {
            mistakes: self.mistakes,
            warnings: self.warnings,
            files: self.files,
            experiments,
            members,
        }
    }
}

fn claim(raw: raw::Claim) -> Claim {
    Claim {
        id: raw.id,
        quantity: raw.quantity,
        is: raw.is,
        source: raw.source,
    }
}
