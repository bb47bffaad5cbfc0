//! `ffn plan`: what an experiment will cost, before anything is allocated.

mod card;
mod tables;

use std::path::PathBuf;

use serde::Serialize;

use self::card::{Card, OnCard, Planned};
use super::options::DeviceOptions;
use super::print_json;
use crate::base::{Result, terminal};
use crate::data::clip::{evaluation_batch, evaluation_size, evaluation_views};
use crate::data::loader::steps_per_epoch;
use crate::exec::{Device, EngineKind};
use crate::graph::{Graph, ParamKind};
use crate::program::batch::{Batch, Segment, every_branch, served};
use crate::program::cost::Cost;
use crate::program::{Numerics, Program, Step, TrainOptions, compile_eval, compile_train};
use crate::spec::{self, Data, Document, Experiment, Suite};
use crate::train::optimizer;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment or suite file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Every layer with its output's shape, parameters and multiply-adds for one frame; every fused step of a training
    /// step and of an evaluation with its multiply-adds and the bytes that it reads and writes.
    #[arg(long)]
    layers: bool,

    /// Every parameter with its group, learning rate and weight decay.
    #[arg(long)]
    groups: bool,

    /// What would compute the model, instead of the engine that fits `precision` and this machine.
    #[arg(long, value_enum)]
    engine: Option<EngineKind>,

    #[command(flatten)]
    device: DeviceOptions,

    /// As JSON, layers and groups included.
    #[arg(long, conflicts_with_all = ["layers", "groups"])]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let target = Target {
        engine: args.engine,
        device: args.device.place(),
        card: Card::open(&args.device, args.engine.unwrap_or_default())?,
    };
    match spec::load_document(&args.file)? {
        Document::Experiment(loaded) => {
            tell_warnings(&loaded.warnings);
            let plan = Plan::of(&loaded.experiment, &target)?;
            match args.json {
                true => print_json(&plan),
                false => plan.tell(&args),
            }
        }
        Document::Suite(loaded) => {
            tell_warnings(&loaded.warnings);
            let plans = plans(&loaded.suite, &target)?;
            if args.json {
                return print_json(&plans);
            }
            for (name, plan) in &plans {
                terminal::line(format_args!("{name}:"))?;
                plan.tell(&args)?;
                terminal::line("")?;
            }
            Ok(())
        }
    }
}

fn tell_warnings(warnings: &[String]) {
    warnings
        .iter()
        .for_each(|warning| terminal::say_exactly(&format!("{warning}\n")));
}

/// Of every member, by name; its seeds cost the same.
fn plans<'a>(suite: &'a Suite, target: &Target) -> Result<Vec<(&'a str, Plan)>> {
    let members = suite.members.iter();
    let plans = members.map(|member| Ok((&*member.name, Plan::of(&member.experiment, target)?)));
    plans.collect()
}

/// What would compute the model.
struct Target {
    /// Instead of the engine that a run would take.
    engine: Option<EngineKind>,
    device: Device,
    card: Option<Card>,
}

/// Everything that can be said of an experiment without its data.
#[derive(Debug, Serialize)]
struct Plan {
    name: String,
    summary: String,
    /// What the programs are for.
    engine: EngineKind,
    parameters: Vec<ParametersOfKind>,
    parameter_count: usize,
    forward: Vec<Forward>,
    training: Training,
    evaluation: Vec<Evaluation>,
    on_card: Option<OnCard>,
    layers: Vec<Layer>,
    groups: Vec<GroupOf>,
}

#[derive(Debug, Serialize)]
struct ParametersOfKind {
    kind: &'static str,
    tensors: usize,
    values: usize,
}

/// One clip at one frame count.
#[derive(Debug, Serialize)]
struct Forward {
    frames: usize,
    branch: usize,
    trained: bool,
    multiply_adds: u64,
}

#[derive(Debug, Serialize)]
struct Training {
    batch: usize,
    /// Frames of one step, all branches together.
    frames: usize,
    /// Forward and backward: three times the forward products.
    step_multiply_adds: u64,
    steps_per_epoch: Option<u64>,
    epochs: usize,
    /// Parameters, gradients and momentum.
    state_bytes: usize,
    memory: Memory,
    steps: Vec<Fused>,
}

/// One forward pass.
#[derive(Debug, Serialize)]
struct Evaluation {
    #[serde(flatten)]
    batch: EvalShape,
    memory: Memory,
    steps: Vec<Fused>,
}

/// Clips that are evaluated at once.
#[derive(Debug, Clone, Copy, Serialize)]
struct EvalShape {
    frames: usize,
    clips: usize,
    /// Of each clip.
    views: usize,
}

/// One step of a program and what it asks of a machine at least.
#[derive(Debug, Serialize)]
struct Fused {
    step: String,
    #[serde(flatten)]
    cost: Cost,
}

#[derive(Debug, Serialize)]
struct Memory {
    arena_bytes: usize,
    scratch_bytes_per_thread: usize,
}

#[derive(Debug, Serialize)]
struct Layer {
    name: String,
    op: &'static str,
    output: String,
    parameters: usize,
    multiply_adds: u64,
}

#[derive(Debug, Serialize)]
struct GroupOf {
    parameter: String,
    kind: &'static str,
    frozen: bool,
    rate: f64,
    decay: f64,
}

impl Plan {
    fn of(experiment: &Experiment, target: &Target) -> Result<Self> {
        let own = || EngineKind::of(experiment.train.precision, target.device);
        let engine = target.engine.unwrap_or_else(own);
        let numerics = engine.numerics();
        let graph = Graph::build(experiment, square(experiment.train.clips.size))?;
        let evaluation_graph = Graph::build(experiment, square(evaluation_size(&experiment.eval)))?;
        let on_card = |card| {
            OnCard::of(&Planned {
                card,
                experiment,
                training: &graph,
                evaluation: &evaluation_graph,
                engine,
            })
        };
        let whole = |&frames: &usize| EvalShape::whole(experiment, frames);
        let evaluation = experiment.eval.frames.iter().map(whole);
        Ok(Self {
            on_card: target.card.as_ref().map(on_card).transpose()?,
            name: experiment.name.clone(),
            summary: experiment.summary(),
            engine,
            parameters: parameters(&graph),
            parameter_count: graph.parameter_count(),
            forward: forward(experiment, &evaluation_graph)?,
            training: training(experiment, &graph, numerics)?,
            evaluation: evaluation
                .map(|batch| evaluate(&evaluation_graph, batch, numerics))
                .collect::<Result<_>>()?,
            layers: layers(&graph),
            groups: groups(experiment, &graph),
        })
    }
}

/// Whether the programs of an experiment can be planned, found without planning them.
pub fn fits(experiment: &Experiment) -> Result<()> {
    let training = Graph::build(experiment, square(experiment.train.clips.size))?;
    let segments = every_branch(&training, experiment.train.batch);
    Batch::check(&training, &segments)?;
    let evaluation = Graph::build(experiment, square(evaluation_size(&experiment.eval)))?;
    for frames in &experiment.eval.frames {
        let whole = EvalShape::whole(experiment, *frames);
        Batch::check(&evaluation, &[whole.segment(&evaluation)])?;
    }
    Ok(())
}

fn square(size: usize) -> (usize, usize) {
    (size, size)
}

fn parameters(graph: &Graph) -> Vec<ParametersOfKind> {
    let of_kind = |kind: ParamKind| {
        let params = graph.params.iter().filter(move |param| param.kind == kind);
        ParametersOfKind {
            kind: kind.name(),
            tensors: params.clone().count(),
            values: params.map(|param| param.count()).sum(),
        }
    };
    let kinds = ParamKind::ALL.into_iter().map(of_kind);
    kinds.filter(|of| of.tensors > 0).collect()
}

/// Every frame count that is trained or evaluated.
fn forward(experiment: &Experiment, graph: &Graph) -> Result<Vec<Forward>> {
    let trained = experiment.method.frames();
    let mut frames = [trained, &experiment.eval.frames].concat();
    frames.sort_unstable();
    frames.dedup();
    let of = |frames: usize| {
        graph.check_size(frames)?;
        Ok(Forward {
            frames,
            branch: graph.branches[graph.branch_for(frames)],
            trained: trained.contains(&frames),
            multiply_adds: graph.clip_multiply_adds(frames),
        })
    };
    frames.into_iter().map(of).collect()
}

fn training(experiment: &Experiment, graph: &Graph, numerics: Numerics) -> Result<Training> {
    let batch = experiment.train.batch;
    let segments = every_branch(graph, batch);
    let program = compile_train(
        graph,
        &segments,
        &TrainOptions::of(experiment),
        &[],
        numerics,
    )?;
    let frames = program.batch.frames;
    let clips = training_clips(&experiment.data);
    Ok(Training {
        batch,
        frames,
        step_multiply_adds: 3 * graph.clip_multiply_adds(frames),
        steps_per_epoch: clips.map(|clips| steps_per_epoch(clips, batch)),
        epochs: experiment.train.epochs,
        state_bytes: 3 * graph.parameter_count() * size_of::<f32>(),
        memory: memory(&program),
        steps: steps(&program),
    })
}

fn evaluate(graph: &Graph, batch: EvalShape, numerics: Numerics) -> Result<Evaluation> {
    let program = compile_eval(graph, &[batch.segment(graph)], &[], numerics)?;
    Ok(Evaluation {
        batch,
        memory: memory(&program),
        steps: steps(&program),
    })
}

impl EvalShape {
    /// A whole batch at a frame count.
    fn whole(experiment: &Experiment, frames: usize) -> Self {
        let eval = &experiment.eval;
        let most = validation_clips(&experiment.data).unwrap_or(usize::MAX);
        Self {
            frames,
            clips: evaluation_batch(eval).min(most),
            views: evaluation_views(eval),
        }
    }

    /// The last batch, where it is smaller and the experiment says how many clips there are.
    fn rest(self, data: &Data) -> Option<Self> {
        let clips = validation_clips(data)? % self.clips.max(1);
        (clips > 0).then_some(Self { clips, ..self })
    }

    fn segment(self, graph: &Graph) -> Segment {
        served(graph, self.frames, self.clips * self.views)
    }
}

fn steps(program: &Program) -> Vec<Fused> {
    let fused = |step: &Step| Fused {
        step: format!("{}: {}", step.name, step.op.kind()),
        cost: program.cost(step),
    };
    program.steps().map(fused).collect()
}

/// Clips of the training split as far as the experiment says.
fn training_clips(data: &Data) -> Option<usize> {
    match data {
        Data::SomethingV2(data) => Some(data.train_count),
        Data::FrameFolders(data) => data.train_count,
        Data::Miniature(data) => Some(data.train),
    }
}

/// Clips of the validation split as far as the experiment says.
fn validation_clips(data: &Data) -> Option<usize> {
    match data {
        Data::SomethingV2(data) => Some(data.validation_count),
        Data::FrameFolders(data) => data.validation_count,
        Data::Miniature(data) => Some(data.validation),
    }
}

fn memory(program: &Program) -> Memory {
    Memory {
        arena_bytes: program.memory(0),
        scratch_bytes_per_thread: program.memory(1) - program.memory(0),
    }
}

fn layers(graph: &Graph) -> Vec<Layer> {
    let of = |id: usize| {
        let node = &graph.nodes[id];
        let params = node.op.params().into_iter();
        Layer {
            name: node.name.clone(),
            op: node.op.name(),
            output: node.shape.to_string(),
            parameters: params.map(|param| graph.params[param].count()).sum(),
            multiply_adds: graph.multiply_adds(id),
        }
    };
    (0..graph.nodes.len()).map(of).collect()
}

fn groups(experiment: &Experiment, graph: &Graph) -> Vec<GroupOf> {
    let spec::Optimizer::Sgd(sgd) = &experiment.optimizer;
    let of = |param: &crate::graph::Param| {
        let group = optimizer::group(&sgd.groups, param.kind);
        GroupOf {
            parameter: param.name.clone(),
            kind: param.kind.name(),
            frozen: optimizer::is_frozen(param, experiment.train.frozen_norms),
            rate: sgd.lr * group.lr,
            decay: sgd.weight_decay * group.decay,
        }
    };
    graph.params.iter().map(of).collect()
}
