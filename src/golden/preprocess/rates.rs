//! `preprocess_uniformer/schedule.json`: learning rates, and the drop path of each block.

use std::path::Path;

use serde::Deserialize;

use super::Pairs;
use crate::base::Result;
use crate::golden::tensors::{Tensor, damaged, read_json};
use crate::graph::{Graph, Node, Op};
use crate::ops::{Dropout, Drops};
use crate::spec::network::{self, Network, Training};
use crate::spec::{
    AdamW, Experiment, Method, Model, Optimizer, Schedule, ScheduleShape, ScheduleStep, UniFormer,
    Warmup,
};
use crate::train::schedule;

const SCHEDULE: &str = "schedule.json";
/// Of the last block.
const DROP_PATH: f64 = 0.2;
/// Width and height of images; nothing here depends on them.
const INPUT: usize = 32;
/// The epochs of the bundle are thousandths.
const STEPS_PER_EPOCH: u64 = 1000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rates {
    solver: Solver,
    /// (epoch, rate)
    rates: Vec<(f64, f64)>,
    #[serde(rename = "drop_path_0.2")]
    drop_path: Vec<f64>,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "SCREAMING_SNAKE_CASE")]
struct Solver {
    base_lr: f64,
    cosine_end_lr: f64,
    warmup_start_lr: f64,
    warmup_epochs: f64,
    max_epoch: usize,
    cosine_after_warmup: bool,
    lr_policy: String,
}

pub fn read(folder: &Path, pairs: &mut Pairs) -> Result<()> {
    let path = folder.join(SCHEDULE);
    rates(&read_json(&path)?, pairs).map_err(|what| damaged(&path, &what))
}

fn rates(rates: &Rates, pairs: &mut Pairs) -> Result<(), String> {
    let experiment = scheduled(&rates.solver)?;
    for (epoch, expected) in &rates.rates {
        let step = (epoch * STEPS_PER_EPOCH as f64).round() as u64;
        let found = schedule::rate(&experiment, STEPS_PER_EPOCH, step);
        let name = format!("learning rates/epoch {epoch}");
        pairs.near(name, Tensor::scalar(*expected), Tensor::scalar(found));
    }
    let found = drop_path(&experiment).map_err(|error| error.message)?;
    let expected: Vec<f32> = rates.drop_path.iter().map(|&rate| rate as f32).collect();
    pairs.near("drop path".into(), row(&expected), row(&found));
    Ok(())
}

fn row(values: &[f32]) -> Tensor {
    Tensor::new(vec![values.len()], values)
}

/// The drop path's probability of each block.
fn drop_path(experiment: &Experiment) -> Result<Vec<f32>> {
    let graph = Graph::build(experiment, (INPUT, INPUT))?;
    let probability = |node: &Node| match &node.op {
        // A block drops twice, by one probability.
        Op::Dropout(Dropout {
            drops: Drops::Clips { share },
            ..
        }) if node.name.ends_with("drop_path1") => {
            Some(share * experiment.model.drop_path() as f32)
        }
        _ => None,
    };
    Ok(graph.nodes.iter().filter_map(probability).collect())
}

/// The solver as an experiment says it.
fn scheduled(solver: &Solver) -> Result<Experiment, String> {
    if !solver.cosine_after_warmup || solver.lr_policy != "cosine" || solver.base_lr <= 0.0 {
        return Err("another solver than a cosine after a warm-up".into());
    }
    let optimizer = Optimizer::AdamW(AdamW {
        lr: solver.base_lr,
        beta1: 0.9,
        beta2: 0.999,
        eps: 1e-8,
        weight_decay: 0.05,
        decay_1d: false,
        clip: None,
    });
    let mut experiment = network::experiment(&Network {
        method: Method::Vanilla { frames: 8 },
        model: Model::UniFormer(UniFormer {
            drop_path: DROP_PATH,
            ..network::uniformer()
        }),
        classes: 2,
        size: INPUT,
        training: Some(Training {
            batch: 1,
            optimizer,
        }),
    });
    experiment.train.epochs = solver.max_epoch;
    experiment.schedule = Schedule {
        shape: ScheduleShape::Cosine {
            last: solver.cosine_end_lr / solver.base_lr,
        },
        warmup: Some(Warmup {
            epochs: solver.warmup_epochs,
            from: solver.warmup_start_lr / solver.base_lr,
        }),
        step: ScheduleStep::Iteration,
    };
    Ok(experiment)
}
