//! `ffn export`

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::options;
use crate::base::{Error, Kind, Result, Shown, files, terminal};
use crate::data::clip::evaluation_size;
use crate::exchange::mapping::{Mapping, Purpose};
use crate::exchange::onnx::{self, Export, Frames};
use crate::exchange::read;
use crate::exchange::write::{Notes, pth, safetensors};
use crate::exec::Executor;
use crate::graph::Graph;
use crate::graph::arch::names;
use crate::model::StateDict;
use crate::run::provenance::Build;
use crate::run::{Folder, tensors};
use crate::spec::{self, Eval, Experiment};
use crate::train::opening;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Run folder, whose last checkpoint is taken; or, with --experiment, a file of weights that `ffn import` reads.
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// What is written; else the ending of --out says it.
    #[arg(long, value_enum)]
    format: Option<Format>,

    /// File to write; else the run's name with the format's ending, in this folder.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// ONNX: frames of a clip, or `any` for whatever the input has. Without it, the most that the model was trained at.
    #[arg(long, value_name = "T|any")]
    frames: Option<Frames>,

    /// ONNX: the branch whose norms and alteration are taken, by its frame count. Without it, the one that serves
    /// --frames; the largest for `any`.
    #[arg(long, value_name = "B")]
    branch: Option<usize>,

    /// PyTorch: the state dictionary alone, under its bare names, instead of what the official code saves.
    #[arg(long)]
    plain: bool,

    /// The experiment of a file of weights.
    #[arg(long, value_name = "FILE")]
    experiment: Option<PathBuf>,

    /// Replace a file that is there.
    #[arg(long)]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Official names: parameters, running statistics, counters.
    Safetensors,
    /// A PyTorch checkpoint for the official code.
    #[value(alias = "pt", alias = "pth.tar")]
    Pth,
    /// One branch for evaluation; norms and alteration folded.
    Onnx,
}

/// A model with what is known of where it comes from.
struct Source {
    name: String,
    experiment: Experiment,
    state: StateDict,
    /// Steps and epochs that it was trained for, if it comes from a run.
    trained: Option<(u64, u64)>,
    /// Of a run's data, in label order.
    classes: Vec<String>,
    notes: Notes,
}

/// What is written, and a line about it.
struct Written {
    bytes: Vec<u8>,
    holds: String,
}

pub fn run(args: Args) -> Result<()> {
    let format = args.format()?;
    let source = match &args.experiment {
        None => Source::of_run(&Folder::at(&args.run))?,
        Some(experiment) => Source::of_weights(&args.run, experiment)?,
    };
    let out = args.out(format, &source.name);
    options::check_output(&out, args.force)?;
    let written = match format {
        Format::Safetensors => source.safetensors()?,
        Format::Pth => source.pth(args.plain)?,
        Format::Onnx => source.onnx(args.frames, args.branch)?,
    };
    files::write_atomic(&out, &written.bytes)?;
    terminal::line(out.shown())?;
    terminal::line(format_args!("  holds   {}", written.holds))?;
    terminal::line(format_args!("  from    {}", source.describe()))?;
    terminal::line(format_args!("  size    {} bytes", written.bytes.len()))?;
    terminal::line(format_args!("  sha256  {}", files::sha256(&written.bytes)))
}

impl Args {
    /// The format asked for, or that of the ending; flags of another format are refused.
    fn format(&self) -> Result<Format> {
        let usage = |message: &str| Err(Error::new(Kind::Usage, message));
        let ending = self.out.as_deref().and_then(Format::of_ending);
        let Some(format) = self.format.or(ending) else {
            return usage("--format says what is written: safetensors, pth or onnx");
        };
        if format != Format::Onnx && (self.frames.is_some() || self.branch.is_some()) {
            return usage(
                "--frames and --branch are for ONNX: the other formats hold every branch",
            );
        }
        if format != Format::Pth && self.plain {
            return usage("--plain is for PyTorch: the other formats have bare names anyway");
        }
        Ok(format)
    }

    fn out(&self, format: Format, name: &str) -> PathBuf {
        let frames = match (format, self.frames) {
            (Format::Onnx, Some(frames)) => format!("-{frames}"),
            _ => String::new(),
        };
        let default = || format!("{name}{frames}.{}", format.ending()).into();
        self.out.clone().unwrap_or_else(default)
    }
}

impl Format {
    fn ending(self) -> &'static str {
        match self {
            Format::Safetensors => "safetensors",
            Format::Pth => "pth",
            Format::Onnx => "onnx",
        }
    }

    fn of_ending(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let ends = |endings: &[&str]| endings.iter().any(|ending| name.ends_with(ending));
        match name {
            _ if ends(&[".safetensors"]) => Some(Format::Safetensors),
            _ if ends(&[".pth", ".pt", ".pth.tar"]) => Some(Format::Pth),
            _ if ends(&[".onnx"]) => Some(Format::Onnx),
            _ => None,
        }
    }
}

impl Source {
    /// The weights of a run's last checkpoint, after a look at every hash.
    fn of_run(folder: &Folder) -> Result<Self> {
        let manifest = folder.manifest()?;
        let experiment = folder.experiment()?;
        let (model, step) = opening::model(folder, &experiment, Executor::compiled(1))?;
        let trained = (step, step / manifest.steps_per_epoch.max(1));
        let mut source = Self::new(folder.name(), experiment, model.state_dict()?)?;
        source.note("run", folder.name());
        source.note("step", step);
        source.trained = Some(trained);
        source.classes = folder.classes()?;
        Ok(source)
    }

    /// A file that `ffn import` reads.
    fn of_weights(path: &Path, experiment: &Path) -> Result<Self> {
        let experiment = spec::load(experiment)?.experiment;
        let checkpoint = read::open(path)?;
        let what = format!("checkpoint `{}`", path.shown());
        let graph = graph(&experiment)?;
        let mapping = Mapping::new(&what, &graph, &checkpoint, Purpose::Whole, &[])
            .and_then(|mapping| {
                mapping.check_whole(&what)?;
                Ok((mapping.load(false)?, mapping.choice(&checkpoint)))
            })
            .map_err(|error| {
                error.hint("`ffn import` takes what does not fit as it is, if it is told so")
            });
        let (loaded, choice) = mapping?;
        for line in choice {
            terminal::say(format_args!("note: `{}`: {line}", path.shown()));
        }
        let state = StateDict {
            floats: loaded.floats,
            counters: loaded.counters,
        };
        let name = path.file_stem().unwrap_or(path.as_os_str());
        Self::new(name.to_string_lossy().into_owned(), experiment, state)
    }

    fn new(name: String, experiment: Experiment, state: StateDict) -> Result<Self> {
        let mut source = Self {
            name,
            state,
            trained: None,
            classes: Vec::new(),
            notes: Notes::new(),
            experiment,
        };
        source.note("producer", Build::this().describe());
        source.note("experiment", source.experiment.name.clone());
        source.note("identity", source.experiment.identity());
        source.note(
            "weights_sha256",
            files::sha256(&tensors::encode(&source.state)?),
        );
        Ok(source)
    }

    fn note(&mut self, key: &str, text: impl ToString) {
        self.notes.insert(key.to_owned(), text.to_string());
    }

    fn describe(&self) -> String {
        match self.trained {
            Some((step, _)) => format!("{} after {step} steps", self.name.shown()),
            None => format!(
                "{} for the experiment {}",
                self.name.shown(),
                self.experiment.name.shown()
            ),
        }
    }

    fn safetensors(&self) -> Result<Written> {
        let entries = self.state.entries();
        Ok(Written {
            bytes: safetensors::encode(&entries, &self.notes)?,
            holds: format!(
                "{} tensors of every branch under official names",
                entries.len()
            ),
        })
    }

    fn pth(&self, plain: bool) -> Result<Written> {
        let entries = self.state.entries();
        let layout = match plain {
            true => pth::Layout::Plain,
            false => pth::Layout::Official {
                epoch: self.trained.map(|(_, epoch)| epoch),
                arch: names::official_backbone(&self.experiment.model),
                notes: &self.notes,
            },
        };
        let form = match plain {
            true => "as a plain state dictionary",
            false => "in `state_dict`, with `module.` in front",
        };
        Ok(Written {
            bytes: pth::encode(&entries, layout)?,
            holds: format!(
                "{} tensors of every branch under official names, {form}",
                entries.len()
            ),
        })
    }

    fn onnx(&self, frames: Option<Frames>, branch: Option<usize>) -> Result<Written> {
        let graph = graph(&self.experiment)?;
        let largest = graph.branches.last().copied().unwrap_or(1);
        let frames = frames.unwrap_or(Frames::Fixed(largest));
        let branch = choose(&graph, frames, branch)?;
        let mut notes = self.notes.clone();
        notes.extend(evaluation(&self.experiment.eval, &self.classes)?);
        notes.insert("branch".to_owned(), graph.branches[branch].to_string());
        notes.insert("frames".to_owned(), frames.to_string());
        let bytes = onnx::encode(&Export {
            name: &self.name,
            graph: &graph,
            entries: &self.state.entries(),
            branch,
            frames,
            notes: &notes,
        })?;
        let (height, width) = graph.input;
        let holds = format!(
            "the branch of {} frames: {} [clips, {frames}, 3, {height}, {width}] → {} [clips, {}], float32",
            graph.branches[branch],
            onnx::INPUT,
            onnx::OUTPUT,
            graph.classes
        );
        Ok(Written { bytes, holds })
    }
}

/// The graph that an evaluation runs.
fn graph(experiment: &Experiment) -> Result<Graph> {
    let size = evaluation_size(&experiment.eval);
    Graph::build(experiment, (size, size))
}

/// Index of the branch asked for, or of the one that serves `frames`.
fn choose(graph: &Graph, frames: Frames, branch: Option<usize>) -> Result<usize> {
    let served = match frames {
        Frames::Fixed(frames) => graph.branch_for(options::check_frames(frames)?),
        Frames::Any => graph.branches.len() - 1,
    };
    let Some(asked) = branch else {
        return Ok(served);
    };
    let found = graph.branches.iter().position(|&branch| branch == asked);
    found.ok_or_else(|| {
        let all: Vec<String> = graph.branches.iter().map(usize::to_string).collect();
        Error::new(
            Kind::Usage,
            format!(
                "there is no branch of {asked} frames; the model has {}",
                all.join(", ")
            ),
        )
    })
}

/// What one must know to feed the model as an evaluation does: values as in an experiment, lists as JSON.
fn evaluation(eval: &Eval, classes: &[String]) -> Result<Notes> {
    let mut notes = Notes::from([
        ("mean".to_owned(), json(&eval.normalize.mean)?),
        ("std".to_owned(), json(&eval.normalize.std)?),
        ("sampling".to_owned(), ron(&eval.sampling)?),
        ("short_videos".to_owned(), ron(&eval.short_videos)?),
        ("crops".to_owned(), ron(&eval.crops)?),
        ("short_side".to_owned(), eval.short_side.to_string()),
    ]);
    if !classes.is_empty() {
        notes.insert("classes".to_owned(), json(&classes)?);
    }
    Ok(notes)
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string(value).map_err(|e| unwritable(&e))
}

fn ron(value: &impl Serialize) -> Result<String> {
    ::ron::to_string(value).map_err(|e| unwritable(&e))
}

fn unwritable(e: &dyn std::fmt::Display) -> Error {
    Error::new(Kind::Run, format!("cannot write as text: {e}"))
}
