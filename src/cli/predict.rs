//! `ffn predict`

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::options::{self, MachineOptions};
use super::table;
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::data::dataset::Pinned;
use crate::data::video::Source;
use crate::data::{Dataset, Sample};
use crate::model::Model;
use crate::run::{Folder, results};
use crate::spec::{Data, Experiment};
use crate::train::evaluate::{Branches, Evaluation};
use crate::train::opening;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Video files, or folders of numbered images.
    #[arg(required = true, value_name = "VIDEO")]
    videos: Vec<PathBuf>,

    /// Frames that are looked at; else the most that the experiment evaluates.
    #[arg(long, value_name = "T")]
    frames: Option<usize>,

    /// How many classes are printed.
    #[arg(long, default_value_t = 5, value_name = "N", value_parser = options::count::<usize>)]
    top: usize,

    /// Print JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    machine: MachineOptions,
}

/// What is said about a video.
#[derive(Debug, Serialize)]
struct Answer {
    video: String,
    frames: usize,
    branch: usize,
    top: Vec<Guess>,
}

#[derive(Debug, Serialize)]
struct Guess {
    class: usize,
    name: String,
    probability: f64,
}

/// A run, ready to look at videos.
struct Classifier {
    experiment: Experiment,
    classes: Vec<String>,
    model: Model,
    step: u64,
    frames: usize,
}

/// Classifies each video as a validation clip would be; those that cannot be read are told at the end.
pub fn run(args: Args) -> Result<()> {
    let mut classifier = Classifier::open(&args)?;
    let (mut answers, mut failures) = (Vec::new(), Vec::new());
    for video in &args.videos {
        match classifier.classify(video, args.top) {
            Ok(answer) => answers.push(answer),
            Err(error) => failures.push(error),
        }
    }
    match args.json {
        true => super::print_json(&answers)?,
        false => answers.iter().try_for_each(print)?,
    }
    match failures.is_empty() {
        true => Ok(()),
        false => Err(combine(&failures)),
    }
}

impl Classifier {
    fn open(args: &Args) -> Result<Self> {
        let folder = Folder::at(&args.run);
        let experiment = folder.experiment()?;
        let frames = match args.frames {
            Some(frames) => options::check_frames(frames)?,
            None => experiment.eval.frames.last().copied().unwrap_or(1),
        };
        let executor = args.machine.executor(folder.manifest()?.computation())?;
        let (model, step) = opening::model(&folder, &experiment, executor)?;
        Ok(Self {
            classes: folder.classes()?,
            frames,
            experiment,
            model,
            step,
        })
    }

    fn classify(&mut self, video: &Path, top: usize) -> Result<Answer> {
        let dataset = self.dataset_of(video)?;
        let evaluation = Evaluation {
            experiment: &self.experiment,
            dataset: &dataset,
            frames: &[self.frames],
            branches: Branches::Serving,
            workers: 1,
            step: self.step,
        };
        let mut ranked = Vec::new();
        evaluation.each_batch(&mut self.model, &mut |batch, logits| {
            for (id, logits) in batch.ids.iter().zip(logits.iter().flatten()) {
                ranked = results::ranked(id, logits)?;
            }
            Ok(())
        })?;
        let graph = self.model.graph();
        let branch = graph.branches.get(graph.branch_for(self.frames));
        Ok(Answer {
            video: video.shown(),
            frames: self.frames,
            branch: branch.copied().unwrap_or(self.frames),
            top: ranked
                .into_iter()
                .take(top)
                .map(|(class, probability)| Guess {
                    class,
                    name: self.classes.get(class).cloned().unwrap_or_default(),
                    probability,
                })
                .collect(),
        })
    }

    /// A validation split of this one video: it takes the way that every evaluation takes.
    fn dataset_of(&self, video: &Path) -> Result<Arc<Dataset>> {
        let id = video.file_stem().unwrap_or(video.as_os_str());
        let id = id.to_string_lossy().into_owned();
        let source = self
            .source(video)
            .map_err(|error| error.into_error(&id, video))?;
        Ok(Arc::new(Dataset {
            root: PathBuf::new(),
            classes: self.classes.clone(),
            train: Vec::new(),
            whole: 0,
            validation: vec![Sample {
                id,
                label: 0,
                source,
            }],
            texts: Vec::new(),
            pinned: Pinned::Unpinned,
            lost: None,
        }))
    }

    fn source(&self, video: &Path) -> Result<Source, crate::data::video::VideoError> {
        let (template, first) = match &self.experiment.data {
            Data::FrameFolders(data) => (data.template.as_str(), data.first),
            Data::SomethingV2(_) | Data::VideoList(_) | Data::Miniature(_) => ("img_{:05}.jpg", 1),
        };
        match video.is_dir() {
            true => Source::folder(video, template, first),
            false => Ok(Source::File(video.to_owned())),
        }
    }
}

fn print(answer: &Answer) -> Result<()> {
    terminal::line(format_args!(
        "{} at {} frames, by the branch of {}",
        answer.video, answer.frames, answer.branch
    ))?;
    let rows: Vec<_> = answer.top.iter().map(row).collect();
    terminal::print(table::render(&["class", "probability"], &rows))
}

fn row(guess: &Guess) -> Vec<String> {
    vec![
        guess.name.clone(),
        format!("{:.2} %", 100.0 * guess.probability),
    ]
}

fn combine(failures: &[Error]) -> Error {
    let messages: Vec<&str> = failures.iter().map(|e| e.message.as_str()).collect();
    Error::new(Kind::Data, messages.join("\n"))
}
