//! A plan as a person reads it.

use crate::base::count;
use crate::cli::table;
use crate::exec::{DeviceId, Executor};
use crate::plan::gpu::{EngineNeeds, OnGpu};
use crate::plan::shards::Shards;
use crate::plan::{Forward, Fused, GroupOf, Layer, Memory, Plan};
use crate::report::numbers::thousands;

/// All of a plan but its layers and groups.
pub fn overview(plan: &Plan) -> String {
    let steps = match plan.training.steps_per_epoch {
        Some(steps) => format!(
            "{}{} steps an epoch, {} in all",
            if plan.training.is_about { "about " } else { "" },
            thousands(steps),
            thousands(steps * plan.training.epochs as u64)
        ),
        None => "steps follow from the list's length".to_owned(),
    };
    [
        format!("{}\n  {}\n", plan.name, plan.summary),
        parameter_table(plan),
        forward_table(plan),
        match &plan.on_gpu {
            Some(gpu) => gpu_table(gpu),
            None => memory_table(plan),
        },
        format!(
            "training: {} epochs, {steps}; a step has {} clips{}, {} frames, {} G multiply-adds\n",
            plan.training.epochs,
            plan.training.batch,
            match plan.training.shards {
                1 => String::new(),
                shards => format!(" in {shards} shards"),
            },
            thousands(plan.training.frames as u64),
            giga(plan.training.step_multiply_adds),
        ),
    ]
    .join("\n")
}

fn parameter_table(plan: &Plan) -> String {
    let row = |kind: &str, tensors: usize, values: usize| {
        let counts = [tensors, values].map(|count| thousands(count as u64));
        [kind.to_owned()].into_iter().chain(counts).collect()
    };
    let mut rows: Vec<Vec<String>> = plan
        .parameters
        .iter()
        .map(|of| row(of.kind, of.tensors, of.values))
        .collect();
    let tensors = plan.parameters.iter().map(|of| of.tensors).sum();
    rows.push(row("total", tensors, plan.parameter_count));
    table::render(&["parameters", "tensors", "values"], &rows)
}

fn forward_table(plan: &Plan) -> String {
    let row = |of: &Forward| {
        vec![
            format!("{} frames", of.frames),
            of.branch.to_string(),
            if of.trained { "yes" } else { "no" }.to_owned(),
            giga(of.multiply_adds),
        ]
    };
    let rows: Vec<_> = plan.forward.iter().map(row).collect();
    table::render(&["one clip", "branch", "trained", "G multiply-adds"], &rows)
}

fn memory_table(plan: &Plan) -> String {
    let row = |what: String, memory: &Memory| {
        vec![
            what,
            mega(memory.arena_bytes),
            mega(memory.scratch_bytes_per_thread),
        ]
    };
    let state = "parameters, gradients, momentum".to_owned();
    let mut rows = vec![vec![state, mega(plan.training.state_bytes)]];
    let training = &plan.training;
    let what = format!(
        "training, {} clips",
        training.batch / training.shards.max(1)
    );
    rows.push(row(what, &training.memory));
    rows.extend(
        plan.evaluation
            .iter()
            .map(|of| row(of.batch.to_string(), &of.memory)),
    );
    let title = format!("memory, {}", plan.engine.name());
    table::render(&[&title, "MB", "+ MB a thread"], &rows)
}

/// A training step for each number of shards.
pub fn shards(choices: &[Shards], executor: Executor) -> String {
    let row = |of: &Shards| {
        let group = of
            .norm_clips
            .map_or("all".to_owned(), |clips| clips.to_string());
        vec![
            of.shards.to_string(),
            of.clips.to_string(),
            group,
            mega(of.bytes),
            format!("{:.2}", of.seconds),
        ]
    };
    let rows: Vec<_> = choices.iter().map(row).collect();
    let on = match executor.device {
        DeviceId::Cpu => count(executor.threads, "thread"),
        DeviceId::Cuda(_) => executor.name(),
    };
    let memory = format!("MB, {on}");
    table::render(
        &[
            "train.shards",
            "clips of a shard",
            "train.norm_clips",
            &memory,
            "s a step, at least",
        ],
        &rows,
    )
}

/// Every layer, then every step of a training step and of the evaluation at the last frame count.
pub fn layers(plan: &Plan) -> String {
    let mut tables = vec![
        layer_table(plan),
        step_table("training step", &plan.training.steps),
    ];
    if let Some(largest) = plan.evaluation.last() {
        let title = format!("evaluation, {} frames", largest.batch.frames);
        tables.push(step_table(&title, &largest.steps));
    }
    tables.join("\n")
}

fn layer_table(plan: &Plan) -> String {
    let row = |layer: &Layer| {
        vec![
            layer.name.clone(),
            layer.op.to_owned(),
            layer.output.clone(),
            thousands(layer.parameters as u64),
            format!("{:.3}", layer.multiply_adds as f64 / 1e6),
        ]
    };
    let rows: Vec<_> = plan.layers.iter().map(row).collect();
    let header = [
        "layer",
        "does",
        "output",
        "parameters",
        "M multiply-adds a frame",
    ];
    table::render(&header, &rows)
}

/// Every parameter with its group.
pub fn groups(plan: &Plan) -> String {
    let row = |of: &GroupOf| {
        let number = |value: f64| match of.frozen {
            true => "frozen".to_owned(),
            false => value.to_string(),
        };
        vec![
            of.parameter.clone(),
            of.kind.to_owned(),
            number(of.rate),
            number(of.decay),
        ]
    };
    let rows: Vec<_> = plan.groups.iter().map(row).collect();
    table::render(&["parameter", "group", "rate", "decay"], &rows)
}

fn gpu_table(on_gpu: &OnGpu) -> String {
    let total = |what: &str, bytes: usize| {
        let blank = String::new();
        vec![
            what.to_owned(),
            blank.clone(),
            blank.clone(),
            blank,
            mega(bytes),
        ]
    };
    let mut rows = vec![
        total("parameters, statistics", on_gpu.weights.model),
        total("gradients", on_gpu.weights.gradients),
        total("momentum", on_gpu.weights.momentum),
    ];
    rows.extend(on_gpu.engines.iter().map(|EngineNeeds { what, needs }| {
        let parts = [
            needs.buffers,
            needs.pixels,
            needs.convolutions(),
            needs.total(),
        ];
        [what.clone()].into_iter().chain(parts.map(mega)).collect()
    }));
    rows.push(total("total", on_gpu.bytes));
    let title = format!("memory on {}", on_gpu.device);
    let table = table::render(&[&title, "buffers", "pixels", "convolutions", "MB"], &rows);
    format!("{table}{}\n", verdict(on_gpu))
}

fn verdict(on_gpu: &OnGpu) -> String {
    let needed = mega(on_gpu.bytes);
    let Some(has) = &on_gpu.has else {
        let why = on_gpu.unknown.as_deref().unwrap_or_default();
        return format!(
            "at least {needed} MB: cuDNN's scratch memory and what CUDA itself takes are not known here\n  {why}"
        );
    };
    let free = format!(
        "{needed} of {} MB, which {} has free with CUDA, the kernels and cuDNN open",
        mega(has.free_bytes),
        has.gpu
    );
    match (has.fits, &on_gpu.fewest_shards, on_gpu.largest_batch) {
        (true, ..) => format!("fits: {free}"),
        (false, Some(shards), _) => format!("does not fit: {free}; {shards} would"),
        (false, None, Some(batch)) => format!("does not fit: {free}; `train.batch: {batch}` would"),
        (false, None, None) => format!(
            "does not fit: {free}; nor would any `train.batch`: a smaller `eval.batch` needs less"
        ),
    }
}

fn step_table(title: &str, steps: &[Fused]) -> String {
    let row = |fused: &Fused| {
        vec![
            fused.step.clone(),
            format!("{:.3}", fused.cost.multiply_adds as f64 / 1e6),
            mega(fused.cost.bytes as usize),
        ]
    };
    let rows: Vec<_> = steps.iter().map(row).collect();
    table::render(&[title, "M multiply-adds", "MB"], &rows)
}

fn giga(number: u64) -> String {
    format!("{:.2}", number as f64 / 1e9)
}

fn mega(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
