//! `ffn bench algorithms`: what the same bits every time cost on a GPU.

use std::path::PathBuf;

use serde::Serialize;

use crate::base::{Error, Kind, Result, terminal};
use crate::cli::options::{self, DeviceOptions};
use crate::cli::{print_json, table};
use crate::exec::cuda::algorithms::{self, Timed};
use crate::exec::cuda::{Gpu, probe::GpuInfo};
use crate::exec::{DeviceId, EngineKind};
use crate::graph::Graph;
use crate::program::batch::every_branch;
use crate::program::{TrainOptions, compile_train};
use crate::run::provenance::{Build, Machine};
use crate::spec;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file. Neither its data nor its initial weights are needed.
    #[arg(value_name = "EXPERIMENT")]
    file: PathBuf,

    /// Clips in a batch, instead of the experiment's.
    #[arg(long, value_name = "N", value_parser = options::batch)]
    batch: Option<usize>,

    /// What would compute the model, instead of the engine that fits `precision`.
    #[arg(long, value_enum)]
    engine: Option<EngineKind>,

    /// As JSON.
    #[arg(long)]
    json: bool,

    #[command(flatten)]
    device: DeviceOptions,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Report {
    experiment: PathBuf,
    engine: EngineKind,
    clips: usize,
    gpu: GpuInfo,
    /// Seconds of all convolutions of a step whose three times are known.
    total: Total,
    convolutions: Vec<Timed>,
    build: Build,
    machine: Machine,
}

#[derive(Debug, Default, Serialize)]
struct Total {
    /// Convolutions that are not in the sums: the algorithm that is used was not timed.
    left_out: usize,
    used: f64,
    deterministic: f64,
    fastest: f64,
}

pub fn run(args: &Args) -> Result<()> {
    let experiment = spec::load(&args.file)?.experiment;
    let own = EngineKind::of(experiment.train.precision, args.device.place());
    let engine = args.engine.unwrap_or(own);
    let device = args.device.open(engine)?;
    let DeviceId::Cuda(ordinal) = device else {
        let message = "cuDNN's algorithms run on a GPU alone";
        return Err(Error::new(Kind::Usage, message).hint("name one: `--device cuda:0`"));
    };
    let size = experiment.train.clips.size;
    let graph = Graph::build(&experiment, (size, size))?;
    let clips = args.batch.unwrap_or(experiment.train.batch);
    let (segments, options) = (every_branch(&graph, clips), TrainOptions::of(&experiment));
    let program = compile_train(&graph, &segments, &options, &[], engine.numerics())?;
    let gpu = Gpu::open(ordinal)?;
    let convolutions = algorithms::time(&gpu, &program)?;
    let report = Report {
        experiment: args.file.clone(),
        engine,
        clips,
        gpu: gpu.info.clone(),
        total: Total::of(&convolutions),
        convolutions,
        build: Build::this(),
        machine: Machine::with(device),
    };
    match args.json {
        true => print_json(&report),
        false => {
            terminal::print(report.text())?;
            Ok(())
        }
    }
}

impl Total {
    fn of(convolutions: &[Timed]) -> Self {
        let mut total = Self::default();
        for timed in convolutions {
            let count = timed.count as f64;
            match (timed.used, timed.deterministic, timed.fastest) {
                (Some(used), Some(deterministic), Some(fastest)) => {
                    total.used += count * used;
                    total.deterministic += count * deterministic;
                    total.fastest += count * fastest;
                }
                _ => total.left_out += timed.count,
            }
        }
        total
    }
}

impl Report {
    fn text(&self) -> String {
        let header = [
            "convolution",
            "times",
            "used, ms",
            "deterministic",
            "fastest",
        ];
        let cell = |seconds: Option<f64>| match seconds {
            Some(seconds) => format!("{:.3}", seconds * 1e3),
            None => "-".to_owned(),
        };
        let rows = self.convolutions.iter().map(|timed| {
            let name = format!("{}, {}", timed.step, timed.direction);
            let seconds = [timed.used, timed.deterministic, timed.fastest];
            let count = timed.count.to_string();
            [name, count].into_iter().chain(seconds.map(cell)).collect()
        });
        let Total {
            left_out,
            used,
            deterministic,
            fastest,
        } = self.total;
        let percent = |more: f64, less: f64| 100.0 * (more / less - 1.0);
        format!(
            "{}\nconvolutions of a step of {} clips on {}, engine {}, {left_out} left out:\n\
             used                    {:.2} ms, as cuDNN's heuristic proposes\n\
             fastest deterministic   {:.2} ms: a choice by time would save {:.1} %\n\
             fastest                 {:.2} ms: the same bits every time cost {:.1} %\n",
            table::render(&header, &rows.collect::<Vec<_>>()),
            self.clips,
            self.gpu.name,
            self.engine.name(),
            used * 1e3,
            deterministic * 1e3,
            percent(used, deterministic),
            fastest * 1e3,
            percent(deterministic, fastest),
        )
    }
}
