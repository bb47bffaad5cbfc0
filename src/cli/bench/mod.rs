//! `ffn bench`: how fast this machine does an experiment's work.

mod algorithms;
mod data;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::options::{self, MachineOptions, SetOptions};
use super::{print_json, table};
use crate::base::{Result, terminal};
use crate::bench::{Evaluating, Limits, Timing, Training, Work, measure, process};
use crate::data::clip::evaluation_batch;
use crate::exec::{DeviceId, EngineKind, Executor, Fusions};
use crate::model::StepTime;
use crate::run::provenance::{Build, Machine};
use crate::spec::Experiment;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    work: Subject,
}

#[derive(Debug, clap::Subcommand)]
enum Subject {
    /// Training steps, optimiser included.
    Train(ComputeArgs),
    /// Forward passes in evaluation, of one frame count.
    Eval(EvalArgs),
    /// Videos decoded and transformed into training batches. This one needs the data.
    Data(data::Args),
    /// cuDNN's algorithms for the convolutions of a training step on a GPU: the ones that are used, the fastest that give the
    /// same bits every time, the fastest at all.
    Algorithms(algorithms::Args),
}

#[derive(Debug, clap::Args)]
struct ComputeArgs {
    /// An experiment file. Neither its data nor its initial weights are needed.
    #[arg(value_name = "EXPERIMENT")]
    file: PathBuf,

    #[command(flatten)]
    set: SetOptions,

    /// Clips in a batch, instead of the experiment's.
    #[arg(long, value_name = "N", value_parser = options::batch)]
    batch: Option<usize>,

    /// Measured runs, after one that warms up.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = options::count::<usize>)]
    repeats: usize,

    /// Time of each kind of step beside its floor: what the machine's multiply-adds and its memory allow.
    #[arg(long)]
    profile: bool,

    /// The same of every single step.
    #[arg(long)]
    steps: bool,

    /// As JSON, profile and steps included.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    machine: MachineOptions,
}

#[derive(Debug, clap::Args)]
struct EvalArgs {
    /// Frames of a clip, instead of the method's largest.
    #[arg(long, value_name = "T", value_parser = options::frames)]
    frames: Option<usize>,

    #[command(flatten)]
    compute: ComputeArgs,
}

pub fn run(args: Args) -> Result<()> {
    match args.work {
        Subject::Train(args) => {
            let experiment = args.set.load(&args.file)?.experiment;
            let clips = args.batch.unwrap_or(experiment.train.batch);
            let executor = executor(&args, &experiment)?;
            let work = || Training::new(&experiment, clips, executor);
            compute(&args, executor, ("training step", clips), work)
        }
        Subject::Eval(EvalArgs {
            frames,
            compute: args,
        }) => {
            let experiment = args.set.load(&args.file)?.experiment;
            let views = evaluation_batch(&experiment.eval);
            let clips = args.batch.unwrap_or(views);
            let largest = experiment.method.frames().last().copied();
            let frames = frames.or(largest).unwrap_or(1);
            let executor = executor(&args, &experiment)?;
            let work = || Evaluating::new(&experiment, frames, clips, executor);
            compute(&args, executor, ("evaluation", clips), work)
        }
        Subject::Data(args) => data::run(&args),
        Subject::Algorithms(args) => algorithms::run(&args),
    }
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report {
    work: &'static str,
    experiment: PathBuf,
    engine: EngineKind,
    clips: usize,
    frames: usize,
    threads: usize,
    #[serde(flatten)]
    timing: Timing,
    multiply_adds: u64,
    peak_bytes: Option<u64>,
    /// Whose the peak is.
    peak_of: &'static str,
    limits: Limits,
    profile: Vec<KindTime>,
    steps: Vec<NamedTime>,
    build: Build,
    machine: Machine,
}

/// All steps of one kind.
#[derive(Debug, Default, Serialize)]
struct KindTime {
    kind: &'static str,
    steps: usize,
    #[serde(flatten)]
    time: Time,
}

/// One step.
#[derive(Debug, Serialize)]
struct NamedTime {
    step: String,
    kind: &'static str,
    #[serde(flatten)]
    time: Time,
}

/// What steps took, and the least that they could have taken.
#[derive(Debug, Default, Serialize)]
struct Time {
    seconds: f64,
    floor_seconds: f64,
    multiply_adds: u64,
    bytes: u64,
}

impl Time {
    fn of(step: &StepTime, limits: &Limits) -> Self {
        Self {
            seconds: step.seconds,
            floor_seconds: limits.floor(step.cost),
            multiply_adds: step.cost.multiply_adds,
            bytes: step.cost.bytes,
        }
    }

    fn add(&mut self, other: Self) {
        self.seconds += other.seconds;
        self.floor_seconds += other.floor_seconds;
        self.multiply_adds += other.multiply_adds;
        self.bytes += other.bytes;
    }

    const HEADER: [&str; 5] = ["ms", "floor, ms", "ratio", "GFLOP", "MB"];

    fn cells(&self) -> [String; 5] {
        let ratio = self.seconds / self.floor_seconds.max(f64::MIN_POSITIVE);
        [
            format!("{:.2}", self.seconds * 1e3),
            format!("{:.2}", self.floor_seconds * 1e3),
            format!("{ratio:.2}"),
            format!("{:.2}", 2.0 * self.multiply_adds as f64 / 1e9),
            format!("{:.1}", self.bytes as f64 / 1e6),
        ]
    }
}

/// As a run of the experiment would be computed.
fn executor(args: &ComputeArgs, experiment: &Experiment) -> Result<Executor> {
    let place = args.machine.device.place();
    let own = EngineKind::of(experiment.train.precision, place);
    args.machine.executor((own, Fusions::ALL))
}

fn compute<W: Work>(
    args: &ComputeArgs,
    executor: Executor,
    (name, clips): (&'static str, usize),
    work: impl FnOnce() -> Result<W>,
) -> Result<()> {
    // The measurement takes memory of its own: of a GPU's it goes before the work takes any, and of the process's it
    // comes when the peak is known.
    let of_gpu = match executor.device {
        DeviceId::Cpu => None,
        DeviceId::Cuda(_) => Some(Limits::measure(executor)?),
    };
    let mut work = work()?;
    let timing = measure(&mut work, args.repeats)?;
    let (peak_bytes, peak_of) = match executor.device {
        DeviceId::Cpu => (process::peak_bytes(), "the whole process"),
        DeviceId::Cuda(_) => (Some(work.memory() as u64), "the engine on the GPU"),
    };
    let limits = match of_gpu {
        Some(limits) => limits,
        None => Limits::measure(executor)?,
    };
    let report = Report {
        work: name,
        experiment: args.file.clone(),
        engine: executor.engine,
        clips,
        frames: work.frames(),
        threads: executor.threads,
        multiply_adds: work.multiply_adds(),
        peak_bytes,
        peak_of,
        profile: by_kind(&timing.steps, &limits),
        steps: each_step(&timing.steps, &limits),
        timing,
        limits,
        build: Build::this(),
        machine: Machine::with(executor.device),
    };
    if args.json {
        return print_json(&report);
    }
    terminal::print(report.overview())?;
    if args.profile {
        terminal::print(format_args!("\n{}", report.profile_table()))?;
    }
    if args.steps {
        terminal::print(format_args!("\n{}", report.step_table()))?;
    }
    Ok(())
}

fn by_kind(steps: &[StepTime], limits: &Limits) -> Vec<KindTime> {
    let mut kinds: BTreeMap<&str, KindTime> = BTreeMap::new();
    for step in steps {
        let kind = kinds.entry(step.kind).or_default();
        kind.kind = step.kind;
        kind.steps += 1;
        kind.time.add(Time::of(step, limits));
    }
    let mut kinds: Vec<KindTime> = kinds.into_values().collect();
    kinds.sort_by(|a, b| b.time.seconds.total_cmp(&a.time.seconds));
    kinds
}

fn each_step(steps: &[StepTime], limits: &Limits) -> Vec<NamedTime> {
    let named = |step: &StepTime| NamedTime {
        step: step.name.clone(),
        kind: step.kind,
        time: Time::of(step, limits),
    };
    steps.iter().map(named).collect()
}

impl Report {
    fn overview(&self) -> String {
        let median = self.timing.median();
        let runs = self.timing.seconds.iter().map(|s| format!("{s:.3}"));
        let runs: Vec<String> = runs.collect();
        let operations = 2.0 * self.multiply_adds as f64;
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}: {} clips, {} frames, {} threads, engine {}",
            self.work,
            self.clips,
            self.frames,
            self.threads,
            self.engine.name()
        );
        let _ = writeln!(
            text,
            "time         {median:.3} s, median of {}",
            runs.join(", ")
        );
        let _ = writeln!(
            text,
            "throughput   {:.1} frames/s",
            self.frames as f64 / median
        );
        let _ = writeln!(
            text,
            "products     {:.1} GFLOP, {:.0} GFLOP/s of {:.0} by {}",
            operations / 1e9,
            operations / median / 1e9,
            2.0 * self.limits.multiply_adds / 1e9,
            self.limits.products_by
        );
        let _ = writeln!(
            text,
            "memory       copies at {:.1} GB/s, read and written",
            self.limits.bytes / 1e9
        );
        if let Some(peak) = self.peak_bytes {
            let _ = writeln!(
                text,
                "peak         {:.0} MB of {}",
                peak as f64 / 1e6,
                self.peak_of
            );
        }
        text
    }

    fn profile_table(&self) -> String {
        let row = |kind: &KindTime| {
            let names = [kind.kind.to_owned(), kind.steps.to_string()];
            names.into_iter().chain(kind.time.cells()).collect()
        };
        let rows: Vec<_> = self.profile.iter().map(row).collect();
        let header = [&["kind of step", "steps"][..], &Time::HEADER].concat();
        table::render(&header, &rows)
    }

    fn step_table(&self) -> String {
        let row = |step: &NamedTime| {
            let names = [format!("{}: {}", step.step, step.kind)];
            names.into_iter().chain(step.time.cells()).collect()
        };
        let rows: Vec<_> = self.steps.iter().map(row).collect();
        let header = [&["step"][..], &Time::HEADER].concat();
        table::render(&header, &rows)
    }
}
