//! What an experiment will cost, before anything is allocated: parameters, multiply-adds, memory, steps.
//!
//! Everything follows from the experiment and the programs that it compiles into; its data are not read.

pub mod gpu;
pub mod shards;

use std::fmt::{self, Display, Formatter};

use serde::Serialize;

use self::gpu::{AskedGpu, OnGpu, Planned};
use crate::base::Result;
use crate::data::clip::{evaluation_batch, evaluation_size, evaluation_views};
use crate::data::loader::steps_per_epoch;
use crate::exec::plan::Task;
use crate::exec::{DeviceId, EngineKind};
use crate::exec::{cpu, cuda};
use crate::graph::{Graph, Param, ParamKind};
use crate::ops::{Batch, Layer as _};
use crate::program::batch::{Segment, every_branch, served};
use crate::program::cost::Cost;
use crate::program::{Numerics, Program, TrainOptions, compile_eval, compile_train};
use crate::spec::{Data, Experiment, Suite, Train};
use crate::train::{optimizer, rates};

/// Of every member, by name; its seeds cost the same.
pub fn plans<'a>(suite: &'a Suite, target: &Target) -> Result<Vec<(&'a str, Plan)>> {
    let members = suite.members.iter();
    let plans = members.map(|member| Ok((&*member.name, Plan::of(&member.experiment, target)?)));
    plans.collect()
}

/// What would compute the model.
pub struct Target {
    /// Instead of the engine that a run would take.
    pub engine: Option<EngineKind>,
    pub device: DeviceId,
    /// The device where it is a GPU: the plan then says what the run takes of its memory.
    pub gpu: Option<AskedGpu>,
}

impl Target {
    /// What would compute a model of this experiment.
    pub fn engine_for(&self, experiment: &Experiment) -> EngineKind {
        let own = || EngineKind::of(experiment.train.precision, self.device);
        self.engine.unwrap_or_else(own)
    }
}

/// Everything that can be said of an experiment without its data.
#[derive(Debug, Serialize)]
pub struct Plan {
    pub name: String,
    /// [`Experiment::summary`].
    pub summary: String,
    /// What the programs are for.
    pub engine: EngineKind,
    pub parameters: Vec<ParametersOfKind>,
    /// Values of all parameters.
    pub parameter_count: usize,
    /// Each frame count that is trained or evaluated, ascending.
    pub forward: Vec<Forward>,
    pub training: Training,
    /// Each frame count of the evaluation.
    pub evaluation: Vec<Evaluation>,
    pub on_gpu: Option<OnGpu>,
    /// In the graph's order.
    pub layers: Vec<Layer>,
    /// Each parameter, in the graph's order.
    pub groups: Vec<GroupOf>,
}

/// How many parameters of one kind there are.
#[derive(Debug, Serialize)]
pub struct ParametersOfKind {
    /// [`ParamKind::name`].
    pub kind: &'static str,
    pub tensors: usize,
    pub values: usize,
}

/// One clip at one frame count.
#[derive(Debug, Serialize)]
pub struct Forward {
    pub frames: usize,
    /// Frame count of the branch that serves it.
    pub branch: usize,
    /// Whether the experiment trains it.
    pub trained: bool,
    /// In convolutions and classifier.
    pub multiply_adds: u64,
}

/// Training steps.
#[derive(Debug, Serialize)]
pub struct Training {
    /// Clips of one training step.
    pub batch: usize,
    /// Passes of one training step.
    pub shards: usize,
    /// Frames of one training step, all branches together.
    pub frames: usize,
    /// Forward and backward: three times the forward products.
    pub step_multiply_adds: u64,
    /// `None` where the experiment does not say how many clips there are.
    pub steps_per_epoch: Option<u64>,
    /// Of a part of the videos: each class is rounded by itself.
    pub is_about: bool,
    pub epochs: usize,
    /// Parameters, gradients, momentum and averaged weights.
    pub state_bytes: usize,
    pub memory: Memory,
    /// Of the program of one pass of a training step.
    pub steps: Vec<Fused>,
}

/// One forward pass.
#[derive(Debug, Serialize)]
pub struct Evaluation {
    #[serde(flatten)]
    pub batch: EvalShape,
    pub memory: Memory,
    /// Of the program of one batch.
    pub steps: Vec<Fused>,
}

/// Clips that are evaluated at once.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct EvalShape {
    pub frames: usize,
    pub clips: usize,
    /// Of each clip.
    pub views: usize,
}

/// One step of a program and what it asks of a machine at least.
#[derive(Debug, Serialize)]
pub struct Fused {
    /// Name and kind.
    pub step: String,
    #[serde(flatten)]
    pub cost: Cost,
}

/// What an engine on the CPU takes for a program.
#[derive(Debug, Serialize)]
pub struct Memory {
    pub arena_bytes: usize,
    pub scratch_bytes_per_thread: usize,
}

/// A node of the graph.
#[derive(Debug, Serialize)]
pub struct Layer {
    pub name: String,
    pub op: &'static str,
    /// Shape of the output.
    pub output: String,
    /// Values of its parameters.
    pub parameters: usize,
    /// For one frame.
    pub multiply_adds: u64,
}

/// How a parameter is trained.
#[derive(Debug, Serialize)]
pub struct GroupOf {
    pub parameter: String,
    /// [`ParamKind::name`].
    pub kind: &'static str,
    pub frozen: bool,
    /// Learning rate before any schedule.
    pub rate: f64,
    /// Weight decay.
    pub decay: f64,
}

impl Plan {
    pub fn of(experiment: &Experiment, target: &Target) -> Result<Self> {
        let engine = target.engine_for(experiment);
        let style = (engine.numerics(), target.device);
        let graph = Graph::build(experiment, square(experiment.train.clips.size))?;
        let evaluation_graph = Graph::build(experiment, square(evaluation_size(&experiment.eval)))?;
        let on_gpu = |gpu| {
            OnGpu::of(&Planned {
                gpu,
                experiment,
                training: &graph,
                evaluation: &evaluation_graph,
                engine,
            })
        };
        let whole = |&frames: &usize| EvalShape::whole(experiment, frames);
        let evaluation = experiment.eval.frames.iter().map(whole);
        Ok(Self {
            on_gpu: target.gpu.as_ref().map(on_gpu).transpose()?,
            name: experiment.name.clone(),
            summary: experiment.summary(),
            engine,
            parameters: parameters(&graph),
            parameter_count: graph.parameter_count(),
            forward: forward(experiment, &evaluation_graph)?,
            training: training(experiment, &graph, style)?,
            evaluation: evaluation
                .map(|batch| evaluate(&evaluation_graph, batch, style))
                .collect::<Result<_>>()?,
            layers: layers(&graph),
            groups: groups(experiment, &graph)?,
        })
    }
}

/// Whether the programs of an experiment can be planned, found without planning them.
pub fn fits(experiment: &Experiment) -> Result<()> {
    let training = Graph::build(experiment, square(experiment.train.clips.size))?;
    let segments = every_branch(&training, experiment.train.shard_clips());
    Batch::check(&training, &segments)?;
    rates::multipliers(&experiment.train, &training)?;
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

fn training(
    experiment: &Experiment,
    graph: &Graph,
    (numerics, device): (Numerics, DeviceId),
) -> Result<Training> {
    let Train { batch, shards, .. } = experiment.train;
    let segments = every_branch(graph, experiment.train.shard_clips());
    let program = compile_train(
        graph,
        &segments,
        &TrainOptions::of(experiment),
        &[],
        numerics,
    )?;
    let frames = program.batch.frames * shards;
    let plan = cpu::plan::plan(&program)?;
    let clips = experiment.data.train_count();
    Ok(Training {
        batch,
        shards,
        frames,
        step_multiply_adds: graph.step_multiply_adds(batch),
        steps_per_epoch: clips.map(|all| {
            let videos = experiment.train.videos(all, experiment.data.class_count());
            steps_per_epoch(videos, &experiment.train)
        }),
        is_about: experiment.train.subset < 1.0,
        epochs: experiment.train.epochs,
        state_bytes: state_bytes(experiment, graph),
        memory: memory(&plan),
        steps: steps(&program, &plan, device)?,
    })
}

/// Parameters, gradients, moments and averaged weights.
fn state_bytes(experiment: &Experiment, graph: &Graph) -> usize {
    let averaged = usize::from(experiment.train.ema.is_some());
    let each = 2 + experiment.optimizer.moments() + averaged;
    each * graph.parameter_count() * size_of::<f32>()
}

fn evaluate(
    graph: &Graph,
    batch: EvalShape,
    (numerics, device): (Numerics, DeviceId),
) -> Result<Evaluation> {
    let program = compile_eval(graph, &[batch.segment(graph)], &[], numerics)?;
    let plan = cpu::plan::plan(&program)?;
    Ok(Evaluation {
        batch,
        memory: memory(&plan),
        steps: steps(&program, &plan, device)?,
    })
}

impl EvalShape {
    /// A whole batch at a frame count.
    fn whole(experiment: &Experiment, frames: usize) -> Self {
        let eval = &experiment.eval;
        let most = experiment.data.validation_count().unwrap_or(usize::MAX);
        Self {
            frames,
            clips: evaluation_batch(eval).min(most),
            views: evaluation_views(eval),
        }
    }

    /// The last batch, where it is smaller and the experiment says how many clips there are.
    fn rest(self, data: &Data) -> Option<Self> {
        let clips = data.validation_count()? % self.clips.max(1);
        (clips > 0).then_some(Self { clips, ..self })
    }

    fn segment(self, graph: &Graph) -> Segment {
        served(graph, self.frames, self.clips * self.views)
    }
}

impl Display for EvalShape {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let clips = if self.clips == 1 { "clip" } else { "clips" };
        write!(
            f,
            "evaluation, {} {clips} of {} frames",
            self.clips, self.frames
        )?;
        match self.views {
            1 => Ok(()),
            views => write!(f, ", {views} views each"),
        }
    }
}

/// What the device makes of the program's steps. `cpu`: the CPU's plan of it.
fn steps(program: &Program, cpu: &cpu::plan::CpuPlan, device: DeviceId) -> Result<Vec<Fused>> {
    fn fused<K>(task: &Task<K>) -> Fused {
        Fused {
            step: format!("{}: {}", task.name, task.kind),
            cost: task.cost,
        }
    }
    Ok(match device {
        DeviceId::Cpu => cpu.tasks().map(fused).collect(),
        DeviceId::Cuda(_) => {
            let planned = cuda::plan::DevicePlan::of(program)?;
            planned.plan.tasks().map(fused).collect()
        }
    })
}

fn memory(plan: &cpu::plan::CpuPlan) -> Memory {
    Memory {
        arena_bytes: plan.arena * size_of::<f32>(),
        scratch_bytes_per_thread: cpu::plan::scratch(plan) * size_of::<f32>(),
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
            multiply_adds: graph.multiply_adds(id, 1),
        }
    };
    (0..graph.nodes.len()).map(of).collect()
}

fn groups(experiment: &Experiment, graph: &Graph) -> Result<Vec<GroupOf>> {
    let trained = optimizer::trained(experiment, graph)?;
    let rates = rates::multipliers(&experiment.train, graph)?;
    let of = |((param, rate), trained): ((&Param, f64), bool)| {
        let group = optimizer::group(&experiment.optimizer, param);
        GroupOf {
            parameter: param.name.clone(),
            kind: param.kind.name(),
            frozen: !trained,
            rate: experiment.optimizer.lr() * group.lr * rate,
            decay: experiment.optimizer.weight_decay() * group.decay,
        }
    };
    let params = graph.params.iter().zip(rates);
    Ok(params.zip(trained).map(of).collect())
}
