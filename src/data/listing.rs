//! What the label files of a data set say: classes and samples. The layouts' readers fill it, and it is checked here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::dataset::{Sample, Split};
use super::names;
use super::video::VideoError;
use crate::base::{Error, Kind, Result, Shown, limits};

/// A data set as its label files describe it.
#[derive(Debug, Clone, Default)]
pub struct Listing {
    /// Class names in label order.
    pub classes: Vec<String>,
    pub train: Vec<Sample>,
    pub validation: Vec<Sample>,
    /// The files this was read from, under the names that the pins give them.
    pub texts: Vec<(String, PathBuf)>,
    /// Videos that are not there.
    pub missing: Vec<Fault>,
}

/// What is wrong with one video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    pub split: Split,
    pub id: String,
    /// The file or folder.
    pub path: PathBuf,
    pub what: String,
    /// Whether its bytes are damaged, which `unreadable: Skip` allows in training: see [`VideoError::is_damage`].
    pub is_damage: bool,
}

impl Fault {
    pub fn of(split: Split, sample: &Sample, error: &VideoError) -> Self {
        Self {
            is_damage: error.is_damage(),
            ..Self::missing(split, sample, error.to_string())
        }
    }

    /// Of a video that is not there, or not all of it.
    pub fn missing(split: Split, sample: &Sample, what: String) -> Self {
        Self {
            split,
            id: sample.id.clone(),
            path: sample.source.path().to_owned(),
            what,
            is_damage: false,
        }
    }

    /// One line for a person.
    pub fn describe(&self) -> String {
        let (id, path) = (self.id.shown(), self.path.shown());
        format!("{id}  {path}: {}", self.what)
    }
}

/// What the experiment expects of it.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    pub classes: usize,
    pub train: Option<usize>,
    pub validation: Option<usize>,
}

impl Listing {
    /// Notes each sample of which `fault` says that its video is not there.
    pub fn note_missing(&mut self, fault: impl Fn(&Sample) -> Option<String>) {
        let splits = [
            (Split::Train, &self.train),
            (Split::Validation, &self.validation),
        ];
        let samples = splits
            .into_iter()
            .flat_map(|(split, samples)| samples.iter().map(move |sample| (split, sample)));
        self.missing = samples
            .filter_map(|(split, sample)| Some(Fault::missing(split, sample, fault(sample)?)))
            .collect();
    }

    /// What is wrong with the lists themselves: counts that are not the expected ones, ids and classes that come twice or
    /// that cannot be names.
    pub fn problems(&self, expected: Expected) -> Vec<String> {
        let (train, validation) = (self.train.len(), self.validation.len());
        let counts = [
            ("classes", self.classes.len(), Some(expected.classes)),
            ("training clips", train, expected.train),
            ("validation clips", validation, expected.validation),
        ];
        let mut problems = Vec::new();
        for (what, found, expected) in counts {
            if let Some(expected) = expected.filter(|expected| *expected != found) {
                problems.push(format!("{what}: expected {expected}, found {found}"));
            }
        }
        for (what, found) in [("training", train), ("validation", validation)] {
            if found == 0 {
                problems.push(format!("the {what} split is empty"));
            }
            let bounded =
                limits::CLIPS.check(Kind::Data, &format!("the {what} split"), found as u64);
            problems.extend(bounded.err().map(|error| error.message));
        }
        let ids = self.train.iter().chain(&self.validation);
        let twice = repeated(ids.map(|sample| sample.id.as_str()));
        problems.extend(counted("ids listed more than once", &twice));
        problems.extend(class_problems(&self.classes));
        problems
    }

    /// Refuses a data set in whose lists something is wrong, or of which videos are missing: all of it in one error.
    pub fn check(&self, expected: Expected) -> Result<()> {
        let mut problems = self.problems(expected);
        let hint = match self.missing.len() {
            0 => "the lists must be those that the experiment was written for".to_owned(),
            missing => {
                let hint = "complete the data set; `--data-root` says which folder is meant";
                format!("{hint}{}", list_all(missing))
            }
        };
        let missing: Vec<String> = self.missing.iter().map(Fault::describe).collect();
        problems.extend(counted("missing videos", &missing));
        match problems.is_empty() {
            true => Ok(()),
            false => Err(Error::new(Kind::Data, problems.join("\n")).hint(hint)),
        }
    }
}

fn class_problems(classes: &[String]) -> Vec<String> {
    let strange: Vec<String> = classes
        .iter()
        .enumerate()
        .filter_map(|(label, name)| {
            let what = names::check_class(name).err()?;
            Some(format!("{label}  `{}`: {what}", name.shown()))
        })
        .collect();
    let twice = repeated(classes.iter().map(String::as_str));
    let problems = [
        counted("names that no class can have", &strange),
        counted("class names that come more than once", &twice),
    ];
    problems.into_iter().flatten().collect()
}

/// What comes more than once, for a person.
fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let again = names.filter(|name| !seen.insert(*name));
    again.map(Shown::shown).collect()
}

/// How many items of a list a message shows.
pub const SHOWN: usize = 10;

/// Where the whole of a list is said that a message cuts; nothing where it does not.
pub fn list_all(count: usize) -> &'static str {
    match count > SHOWN {
        true => "; `ffn data verify EXPERIMENT --json` lists every one",
        false => "",
    }
}

/// What the items are, how many, and the first ten, one a line; nothing where there are none.
pub fn counted(what: &str, items: &[String]) -> Option<String> {
    let mut text = match items.len() {
        0 => return None,
        count => format!("{what} ({count}):"),
    };
    for item in items.iter().take(SHOWN) {
        text.push_str("\n  ");
        text.push_str(item);
    }
    if items.len() > SHOWN {
        text.push_str(&format!("\n  and {} more", items.len() - SHOWN));
    }
    Some(text)
}

/// The label of a class. `who` names it, in the message where there is none of the name.
pub fn label_of(who: &str, name: &str, classes: &[String]) -> Result<usize> {
    let position = classes.iter().position(|class| class == name);
    position.ok_or_else(|| {
        let message = format!("{who} `{}`, which is no class of the data", name.shown());
        let error = Error::new(Kind::Experiment, message);
        let near = |class: &&String| strsim::jaro(name, class);
        match classes.iter().max_by(|a, b| near(a).total_cmp(&near(b))) {
            Some(nearest) => error.hint(format!("did you mean `{}`?", nearest.shown())),
            None => error,
        }
    })
}

/// How many of the samples have each label.
pub fn clips_of_classes(samples: &[Sample]) -> BTreeMap<usize, usize> {
    let mut counts = BTreeMap::new();
    for sample in samples {
        *counts.entry(sample.label).or_default() += 1;
    }
    counts
}
