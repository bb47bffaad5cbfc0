//! The recipe of an experiment on other data: its text, edited, so that what is said of the recipe stays and what is said of its
//! data goes.

mod section;

use super::edit::Edited;
use super::experiment::*;
use super::rules::{Findings, NAME};
use crate::base::{Error, Kind, Result, Shown, count};

/// The shortest side of images that a recipe of the miniature, whose clips have 32 pixels, is given for real videos.
const SMALL: usize = 64;

/// Whether an experiment can have this name.
pub fn check_name(name: &str) -> Result<()> {
    let mut findings = Findings::default();
    (NAME.check)(&mut findings, "name", name);
    match findings.mistakes.into_iter().next() {
        None => Ok(()),
        Some(found) => {
            let error = Error::new(
                Kind::Usage,
                format!("`{}`: {}", name.shown(), found.message),
            );
            Err(found.hint.into_iter().fold(error, Error::hint))
        }
    }
}

/// The name of a root that fits an experiment's: lowercase letters, digits and `_`.
pub fn root_name(name: &str) -> String {
    let lower = name.to_ascii_lowercase();
    lower.replace(|sign: char| !sign.is_ascii_alphanumeric(), "_")
}

/// The experiment whose recipe it is.
#[derive(Debug, Clone)]
pub struct Origin {
    /// As a person calls it: `ffn_tsm_sthv2`.
    pub name: String,
    pub text: String,
    pub experiment: Experiment,
}

/// What the new experiment has of its own.
#[derive(Debug, Clone)]
pub struct Own<'a> {
    pub name: &'a str,
    pub data: &'a Data,
    /// The layout in words, for the comment above the data: `videos with lists`.
    pub layout: &'a str,
    /// Frames of the clips that were looked at, ascending.
    pub lengths: &'a [usize],
    /// The initial weights from the new file's folder, where the recipe begins with some.
    pub weights: Option<Weights>,
}

#[derive(Debug, Clone)]
pub struct Weights {
    /// Relative to the new file's folder.
    pub file: String,
    pub is_there: bool,
}

/// A new experiment, which has no mistake.
#[derive(Debug, Clone)]
pub struct Recipe {
    pub text: String,
    pub experiment: Experiment,
    /// What is not as in the origin, besides name and data: one line each.
    pub changes: Vec<String>,
    /// What deserves a thought, one line each.
    pub advice: Vec<String>,
}

impl Origin {
    /// The experiment in a text. `file` stands for it in reports.
    pub fn parse(file: &str, text: &str) -> Result<Self> {
        let (experiment, _) = super::parse(file, text)?;
        Ok(Self {
            name: experiment.name.clone(),
            text: text.to_owned(),
            experiment,
        })
    }

    /// The file of the initial weights, relative to the folder of the experiment.
    pub fn weights(&self) -> Option<&str> {
        match self.experiment.model.init() {
            Init::Pretrained { file, .. } => Some(file),
            Init::Random => None,
        }
    }

    /// The recipe on other data.
    pub fn on(&self, own: &Own<'_>) -> Result<Recipe> {
        let mut adapter = Adapter {
            text: Edited::new(&self.text),
            origin: self,
            own,
            batch: self.experiment.train.batch,
            changes: Vec::new(),
            advice: Vec::new(),
        };
        adapter.adapt();
        let Adapter {
            text,
            changes,
            advice,
            ..
        } = adapter;
        let text = text.text().to_owned();
        let name = format!("{}.ron", own.name);
        let (experiment, _) = super::parse(&name, &text).map_err(|report| {
            let message = format!(
                "the recipe of {} does not fit these data\n{}",
                self.name, report.message
            );
            Error::new(report.kind, message)
        })?;
        Ok(Recipe {
            text,
            experiment,
            changes,
            advice,
        })
    }
}

struct Adapter<'a> {
    text: Edited,
    origin: &'a Origin,
    own: &'a Own<'a>,
    /// Clips of a step.
    batch: usize,
    changes: Vec<String>,
    advice: Vec<String>,
}

impl Adapter<'_> {
    fn adapt(&mut self) {
        if let Data::Miniature(_) = self.origin.experiment.data {
            self.leave_miniature();
        }
        self.head();
        self.data();
        self.weights();
        self.flip();
        self.crops();
        self.class_weights();
        self.batch();
        self.steps();
        self.lengths();
    }

    fn head(&mut self) {
        let (name, origin) = (self.own.name, &self.origin.name);
        self.text.uncomment("name");
        self.text.set("name", &format!("{name:?}"));
        self.text.head(&[
            format!(
                "Written by `ffn new`: the recipe of `{origin}`, with its comments, on other data."
            ),
            "What is not written here has its default: `ffn check --resolved` prints all of it."
                .to_owned(),
        ]);
    }

    fn data(&mut self) {
        let Own { data, layout, .. } = self.own;
        let root = data.root_name();
        self.text.uncomment("data");
        self.text.set("data", &section::text(data));
        self.text.comment("data", &format!("{}.", capital(layout)));
        let variable = format!("FFN_DATA_{}", root.to_ascii_uppercase());
        self.text.comment(
            "data",
            &format!(
                "`root` is a name. Its folder is another one on each machine: `--data-root DIR`, {variable}=DIR, or the configuration \
                 file."
            ),
        );
    }

    /// What the clips of the miniature ask for, and no others: small images, frames that do not confuse a motion with its reversal.
    fn leave_miniature(&mut self) {
        let origin = &self.origin.experiment;
        let (was, size) = (origin.train.clips.size, origin.train.clips.size.max(SMALL));
        self.text.strip();
        let paths = [
            "train.clips.sampling",
            "train.clips.crop",
            "eval.short_side",
            "eval.size",
        ];
        let removed: Vec<String> = paths
            .into_iter()
            .filter(|path| self.text.remove(path))
            .map(|path| format!("`{path}`"))
            .collect();
        if !removed.is_empty() {
            self.changes.push(format!(
                "left to the defaults, because they fit the miniature alone: {}",
                removed.join(", ")
            ));
        }
        if size != was {
            self.change(
                "train.clips.size",
                &size.to_string(),
                "the miniature's images have 32 pixels",
            );
        }
        self.text
            .comment("model", "Small, from random weights: quick on a CPU.");
        let why = "Height and width of what the network sees, in pixels. 112 shows more detail, and a step takes three times as long.";
        self.text.comment("train.clips.size", why);
    }

    fn weights(&mut self) {
        let (Init::Pretrained { file, .. }, Some(weights)) =
            (self.origin.experiment.model.init(), &self.own.weights)
        else {
            return;
        };
        if *file != weights.file {
            self.text
                .set("model.init.file", &format!("{:?}", weights.file));
        }
        if !weights.is_there {
            let file = &weights.file;
            self.text.comment(
                "model.init",
                &format!("`{file}` belongs beside this file. `init: Random` starts without it, and needs a longer training."),
            );
            self.advice.push(format!(
                "the initial weights are not there: put them at `{file}` beside the new file (book, \"Weights of other programs\"), \
                 or begin with random ones, `--set model.init=Random`"
            ));
        }
    }

    /// Which classes a mirror exchanges, nobody can tell from a folder.
    fn flip(&mut self) {
        const PATH: &str = "train.clips.flip";
        let was = match &self.origin.experiment.train.clips.flip {
            Flip::Off => None,
            Flip::Random => Some("Random"),
            Flip::Mapped { .. } => Some("Mapped"),
        };
        self.text.uncomment(PATH);
        self.text.set(PATH, "Off");
        if let Some(was) = was {
            self.changed(
                PATH,
                "Off",
                was,
                "a mirrored clip may belong to another class",
            );
        }
        self.text.comment(PATH, match self.own.data {
            Data::SomethingV2(_) | Data::Miniature(_) => {
                "No flip: a mirrored clip may belong to another class. `Mapped(classes: [(\"…left…\", \"…right…\")])` flips, and \
                 exchanges the classes that it names."
            }
            Data::FrameFolders(_) | Data::VideoList(_) => {
                "No flip: a mirrored clip may belong to another class. Where none does, `Random`, with `direction_sensitive: false` \
                 above."
            }
        });
    }

    fn crops(&mut self) {
        if self.origin.experiment.eval.crops == Crops::Ten {
            self.change("eval.crops", "One", "five of ten crops are mirrored");
        }
    }

    fn class_weights(&mut self) {
        if let ClassWeights::Listed(_) = self.origin.experiment.train.class_weights {
            let why = "the classes are others; `Balanced` weighs them by their clips";
            self.change("train.class_weights", "Equal", why);
        }
    }

    /// A step takes no more clips than there are.
    fn batch(&mut self) {
        let train = &self.origin.experiment.train;
        let Some(clips) = self.clips().filter(|clips| *clips < train.batch) else {
            return;
        };
        // Four steps an epoch or more, where there are so many clips.
        let few = |batch: usize| batch == 1 || !self.falls_into_segments(batch);
        let mut batch = train.clips.repeats.max(1);
        while batch * 8 <= clips || (few(batch) && batch * 2 <= clips) {
            batch *= 2;
        }
        self.batch = batch;
        let why = format!("there are {clips} clips for training");
        self.change("train.batch", &batch.to_string(), &why);
        let why = format!(
            "`{}` has {}, and there are {clips} clips for training.",
            self.origin.name, train.batch
        );
        self.text.comment("train.batch", &why);
        for path in ["train.norm_clips", "train.shards", "train.mixing.group"] {
            if self.text.remove(path) {
                let was = train.batch;
                let what = format!("`{path}` is left out: it was for {was} clips a step");
                self.changes.push(what);
            }
        }
        self.rate();
    }

    /// Whether the shift's segments, where all branches share them, are whole in a step of so many clips.
    fn falls_into_segments(&self, batch: usize) -> bool {
        let Method::Ffn(ffn) = &self.origin.experiment.method else {
            return true;
        };
        match ffn.shift_segments {
            ShiftSegments::Shared(segment) => {
                let mut frames = ffn.frames.iter();
                frames.all(|frames| (batch * frames).is_multiple_of(segment.max(1)))
            }
            ShiftSegments::PerBranch => true,
        }
    }

    /// With so many times fewer clips a step so many times the rate (Goyal et al. 2017).
    fn rate(&mut self) {
        let Experiment {
            optimizer, train, ..
        } = &self.origin.experiment;
        let (Optimizer::Sgd(Sgd { lr, .. }) | Optimizer::AdamW(AdamW { lr, .. })) = optimizer;
        let part = self.batch as f64 / train.batch as f64;
        let scaled = significant(lr * part);
        match self.text.gives("optimizer") {
            true => self.text.set("optimizer.lr", &scaled),
            false => self.text.set("optimizer", &format!("Sgd(lr: {scaled})")),
        }
        // Comments there tell rates in numbers.
        self.text.uncomment("schedule");
        self.text.uncomment("schedule.warmup");
        let (batch, was) = (self.batch, train.batch);
        let why = format!("with {batch} clips a step instead of {was} so much less than {lr}");
        self.changes
            .push(format!("`optimizer.lr` is {scaled}: {why}"));
        self.text.comment(
            "optimizer.lr",
            &format!("`{}` has {lr}, for {was} clips a step.", self.origin.name),
        );
    }

    /// Clips for training, of which a video may give several.
    fn clips(&self) -> Option<usize> {
        let train = &self.origin.experiment.train;
        let videos = self.own.data.train_count()?;
        let videos = videos.min(train.videos(videos, self.own.data.class_count()));
        Some(train.clips.clips(videos))
    }

    /// A small data set has few steps.
    fn steps(&mut self) {
        const FEW: usize = 10;
        let train = &self.origin.experiment.train;
        let steps = |clips: usize, batch: usize| train.epochs.saturating_mul(clips / batch.max(1));
        let Some(clips) = self.clips() else { return };
        let whole = self.origin.experiment.data.train_count();
        let Some(whole) = whole.map(|videos| steps(train.clips.clips(videos), train.batch)) else {
            return;
        };
        let own = steps(clips, self.batch);
        if own.saturating_mul(FEW) < whole {
            let origin = &self.origin.name;
            self.advice.push(format!(
                "{} are about {} on these data, and {whole} in `{origin}`: if it learns too little, raise `train.epochs`",
                count(train.epochs, "epoch"),
                count(own, "step"),
            ));
        }
    }

    fn lengths(&mut self) {
        let Experiment {
            method,
            eval,
            train,
            ..
        } = &self.origin.experiment;
        let most = method
            .frames()
            .iter()
            .chain(&eval.frames)
            .max()
            .copied()
            .unwrap_or(0);
        let lengths = self.own.lengths;
        let shorter = lengths.iter().filter(|length| **length < most).count();
        let (Some(shortest), true) = (lengths.first(), shorter > 0) else {
            return;
        };
        let what = match train.clips.short_videos {
            ShortVideos::Repeat => "of such a clip some frames are seen more than once",
            ShortVideos::FirstFrame => "of such a clip the first frame alone may be seen",
        };
        let some = match (shorter, lengths.len()) {
            (shorter, all) if shorter == all => format!("all {all}"),
            (shorter, all) => format!("{shorter} of the {all}"),
        };
        self.advice.push(format!(
            "{some} clips looked at have fewer than {most} frames, the shortest {shortest}: {what}"
        ));
        self.text.comment(
            "method",
            &format!("Some clips have fewer than {most} frames, the shortest that was looked at {shortest}: {what}."),
        );
    }

    /// Gives a field another value than the origin's.
    fn change(&mut self, path: &str, value: &str, why: &str) {
        self.text.uncomment(path);
        self.text.set(path, value);
        let what = format!("`{path}` is {value}: {why}");
        self.changes.push(what);
    }

    fn changed(&mut self, path: &str, value: &str, was: &str, why: &str) {
        let origin = &self.origin.name;
        self.changes
            .push(format!("`{path}` is {value}, in `{origin}` {was}: {why}"));
    }
}

/// A number with four digits that count, in the shortest form.
fn significant(number: f64) -> String {
    let rounded = format!("{number:.3e}").parse().unwrap_or(number);
    f64::to_string(&rounded)
}

fn capital(text: &str) -> String {
    let mut signs = text.chars();
    let first = signs.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + signs.as_str()
}
