//! What a training step takes for each number of shards in which its clips can be shared out.

use serde::Serialize;

use super::{Target, square};
use crate::base::Result;
use crate::exec::cpu;
use crate::graph::Graph;
use crate::program::batch::every_branch;
use crate::program::cost::Cost;
use crate::program::{TrainOptions, compile_train};
use crate::spec::{Experiment, FrozenNorms, Train};

/// A training step in so many passes.
#[derive(Debug, Clone, Serialize)]
pub struct Shards {
    pub shards: usize,
    /// Clips of a pass.
    pub clips: usize,
    /// The norm group that `train.norm_clips` must say: the experiment's where it divides a shard, else the shard.
    pub norm_clips: Option<usize>,
    /// Of training: what all passes share, the sums over shards, and the engine.
    pub bytes: usize,
    /// Of all passes, at least: each step of the program at what the machine can at most.
    pub seconds: f64,
}

/// The sums that are held while the shards of a step are added, in parameters' values: a binary tree's.
fn sums(shards: usize) -> usize {
    match shards {
        0 | 1 => 0,
        shards => shards.ilog2() as usize + 1,
    }
}

/// The numbers of shards in which the videos of a step can be shared out.
pub fn possible(train: &Train) -> impl Iterator<Item = usize> + use<> {
    let videos = train.batch / train.clips.repeats.max(1);
    (1..=videos).filter(move |shards| videos.is_multiple_of(*shards))
}

/// For every number of shards. `floor`: the least time of a step with a cost on this machine; `threads`: those of the engine where
/// it computes on the CPU.
pub fn choices(
    experiment: &Experiment,
    target: &Target,
    threads: usize,
    floor: &dyn Fn(Cost) -> f64,
) -> Result<Vec<Shards>> {
    let engine = target.engine_for(experiment);
    let graph = Graph::build(experiment, square(experiment.train.clips.size))?;
    let of = |shards: usize| {
        let experiment = in_shards(experiment, shards);
        let clips = experiment.train.shard_clips();
        let options = TrainOptions::of(&experiment);
        let segments = every_branch(&graph, clips);
        let program = compile_train(&graph, &segments, &options, &[], engine.numerics())?;
        let plan = cpu::plan::plan(&program)?;
        let engine_bytes = match &target.gpu {
            Some(gpu) => gpu.needs(&program)?.total(),
            None => cpu::plan::memory(&plan, threads),
        };
        let state = super::state_bytes(&experiment, &graph);
        let sums = sums(shards) * graph.parameter_count() * size_of::<f32>();
        let steps = super::steps(&program, &plan, target.device)?;
        let pass: f64 = steps.iter().map(|step| floor(step.cost)).sum();
        Ok(Shards {
            shards,
            clips,
            norm_clips: experiment.train.norm_clips,
            bytes: state + sums + engine_bytes,
            seconds: pass * shards as f64,
        })
    };
    possible(&experiment.train).map(of).collect()
}

/// The experiment with so many shards, and norm groups that fit into them.
pub fn in_shards(experiment: &Experiment, shards: usize) -> Experiment {
    let mut experiment = experiment.clone();
    let train = &mut experiment.train;
    train.shards = shards;
    let clips = train.shard_clips();
    let fits = train
        .norm_clips
        .is_some_and(|group| group > 0 && clips.is_multiple_of(group));
    if shards > 1 && !fits && train.frozen_norms != FrozenNorms::All {
        train.norm_clips = Some(clips);
    }
    experiment
}

/// What to write so that a training fits into `available` bytes, where it does not: the fewest shards.
pub fn advice(
    experiment: &Experiment,
    target: &Target,
    threads: usize,
    available: usize,
) -> Option<String> {
    let choices = choices(experiment, target, threads, &|_| 0.0).ok()?;
    let own = choices
        .iter()
        .find(|of| of.shards == experiment.train.shards)?;
    if own.bytes <= available {
        return None;
    }
    let fits = choices
        .iter()
        .find(|of| of.bytes <= available && of.shards > own.shards)?;
    Some(written(&in_shards(experiment, fits.shards).train))
}

/// As in an experiment.
pub fn written(train: &Train) -> String {
    match train.norm_clips {
        Some(clips) => format!(
            "`train.shards: {}, train.norm_clips: {clips}`",
            train.shards
        ),
        None => format!("`train.shards: {}`", train.shards),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exec::{DeviceId, EngineKind};
    use crate::spec::network::{self, Network, Training};
    use crate::spec::{Backbone, Block, Method, ResNet, Stem};

    const TARGET: Target = Target {
        engine: Some(EngineKind::Compiled),
        device: DeviceId::Cpu,
        gpu: None,
    };

    /// Of few parameters: clips outweigh the sums of the gradients.
    fn experiment(batch: usize) -> Experiment {
        network::experiment(&Network {
            method: Method::Vanilla { frames: 4 },
            model: network::tsm(Backbone::ResNet(ResNet {
                block: Block::Basic,
                blocks: vec![1, 1],
                width: 8,
                stem: Stem::Small,
            })),
            classes: 10,
            size: 64,
            training: Some(Training::sgd(batch, 0.1, 0.9, 0.0)),
        })
    }

    #[test]
    fn more_shards_take_less_memory_and_as_many_products() {
        let all = choices(&experiment(12), &TARGET, 1, &|cost| {
            cost.multiply_adds as f64
        });
        let all = all.unwrap();
        let counts: Vec<usize> = all.iter().map(|of| of.shards).collect();
        assert_eq!(counts, [1, 2, 3, 4, 6, 12]);
        assert_eq!((all[0].norm_clips, all[3].norm_clips), (None, Some(3)));
        let products = |of: &Shards| (of.seconds / all[0].seconds - 1.0).abs() < 0.05;
        assert!(all.iter().all(products), "{all:?}");
        assert!(all[0].bytes > all[1].bytes && all[1].bytes > all[3].bytes);
    }

    #[test]
    fn the_fewest_shards_that_fit_are_named() {
        let experiment = experiment(32);
        let all = choices(&experiment, &TARGET, 1, &|_| 0.0).unwrap();
        let advice = |room| advice(&experiment, &TARGET, 1, room);
        assert_eq!(advice(all[0].bytes), None);
        let two = "`train.shards: 2, train.norm_clips: 16`";
        assert_eq!(advice(all[0].bytes - 1).as_deref(), Some(two));
        let four = "`train.shards: 4, train.norm_clips: 8`";
        assert_eq!(advice(all[1].bytes - 1).as_deref(), Some(four));
        assert_eq!(advice(1000), None);
    }
}
