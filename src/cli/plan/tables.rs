//! A plan as a person reads it.

use crate::base::{Result, terminal};
use std::fmt::{self, Display, Formatter};

use super::{Args, EvalShape, Forward, Fused, GroupOf, Layer, Memory, Plan};
use crate::cli::table;
use crate::report::numbers::thousands;

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

impl Plan {
    pub fn tell(&self, args: &Args) -> Result<()> {
        terminal::print(self.overview())?;
        if args.layers {
            terminal::print(format_args!("\n{}", self.layer_table()))?;
            terminal::print(format_args!(
                "\n{}",
                step_table("training step", &self.training.steps)
            ))?;
            if let Some(largest) = self.evaluation.last() {
                let title = format!("evaluation, {} frames", largest.batch.frames);
                terminal::print(format_args!("\n{}", step_table(&title, &largest.steps)))?;
            }
        }
        if args.groups {
            terminal::print(format_args!("\n{}", self.group_table()))?;
        }
        Ok(())
    }

    fn overview(&self) -> String {
        let steps = match self.training.steps_per_epoch {
            Some(steps) => format!(
                "{} steps an epoch, {} in all",
                thousands(steps),
                thousands(steps * self.training.epochs as u64)
            ),
            None => "steps follow from the list's length".to_owned(),
        };
        [
            format!("{}\n  {}\n", self.name, self.summary),
            self.parameter_table(),
            self.forward_table(),
            match &self.on_card {
                Some(card) => card.text(),
                None => self.memory_table(),
            },
            format!(
                "training: {} epochs, {steps}; a step has {} clips, {} frames, {} G multiply-adds\n",
                self.training.epochs,
                self.training.batch,
                thousands(self.training.frames as u64),
                giga(self.training.step_multiply_adds),
            ),
        ]
        .join("\n")
    }

    fn parameter_table(&self) -> String {
        let row = |kind: &str, tensors: usize, values: usize| {
            let counts = [tensors, values].map(|count| thousands(count as u64));
            [kind.to_owned()].into_iter().chain(counts).collect()
        };
        let mut rows: Vec<Vec<String>> = self
            .parameters
            .iter()
            .map(|of| row(of.kind, of.tensors, of.values))
            .collect();
        let tensors = self.parameters.iter().map(|of| of.tensors).sum();
        rows.push(row("total", tensors, self.parameter_count));
        table::render(&["parameters", "tensors", "values"], &rows)
    }

    fn forward_table(&self) -> String {
        let row = |of: &Forward| {
            vec![
                format!("{} frames", of.frames),
                of.branch.to_string(),
                if of.trained { "yes" } else { "no" }.to_owned(),
                giga(of.multiply_adds),
            ]
        };
        let rows: Vec<_> = self.forward.iter().map(row).collect();
        table::render(&["one clip", "branch", "trained", "G multiply-adds"], &rows)
    }

    fn memory_table(&self) -> String {
        let row = |what: String, memory: &Memory| {
            vec![
                what,
                mega(memory.arena_bytes),
                mega(memory.scratch_bytes_per_thread),
            ]
        };
        let state = "parameters, gradients, momentum".to_owned();
        let mut rows = vec![vec![state, mega(self.training.state_bytes)]];
        let training = &self.training;
        let what = format!("training, {} clips", training.batch);
        rows.push(row(what, &training.memory));
        rows.extend(
            self.evaluation
                .iter()
                .map(|of| row(of.batch.to_string(), &of.memory)),
        );
        let title = format!("memory, {}", self.engine.name());
        table::render(&[&title, "MB", "+ MB a thread"], &rows)
    }

    fn layer_table(&self) -> String {
        let row = |layer: &Layer| {
            vec![
                layer.name.clone(),
                layer.op.to_owned(),
                layer.output.clone(),
                thousands(layer.parameters as u64),
                format!("{:.3}", layer.multiply_adds as f64 / 1e6),
            ]
        };
        let rows: Vec<_> = self.layers.iter().map(row).collect();
        let header = [
            "layer",
            "does",
            "output",
            "parameters",
            "M multiply-adds a frame",
        ];
        table::render(&header, &rows)
    }

    fn group_table(&self) -> String {
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
        let rows: Vec<_> = self.groups.iter().map(row).collect();
        table::render(&["parameter", "group", "rate", "decay"], &rows)
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

pub fn mega(bytes: usize) -> String {
    format!("{:.1}", bytes as f64 / 1e6)
}
