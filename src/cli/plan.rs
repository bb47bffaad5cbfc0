//! `ffn plan`: what an experiment will cost, before anything is allocated.

use std::path::PathBuf;

use super::options::{DeviceOptions, SetOptions, thread_count};
use super::print_json;
use super::tables::plan as tables;
use crate::base::{Result, terminal};
use crate::bench::Limits;
use crate::exec::{EngineKind, Executor};
use crate::plan::gpu::AskedGpu;
use crate::plan::{self, Plan, Target, shards};
use crate::spec::{Document, Experiment};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment or suite file.
    #[arg(value_name = "FILE")]
    file: PathBuf,

    #[command(flatten)]
    set: SetOptions,

    /// Every layer with its output's shape, parameters and multiply-adds for one frame; every fused step of a training
    /// step and of an evaluation with its multiply-adds and the bytes that it reads and writes.
    #[arg(long)]
    layers: bool,

    /// Every parameter with its group, learning rate and weight decay.
    #[arg(long)]
    groups: bool,

    /// What a training step takes for each number of shards (`train.shards`): its memory, and the time that it takes at least on this
    /// machine, which is measured for it.
    #[arg(long)]
    shards: bool,

    /// What would compute the model, instead of the engine that fits `precision` and this machine.
    #[arg(long, value_enum)]
    engine: Option<EngineKind>,

    #[command(flatten)]
    device: DeviceOptions,

    /// As JSON, layers and groups included.
    #[arg(long, conflicts_with_all = ["layers", "groups", "shards"])]
    json: bool,
}

pub fn run(args: Args) -> Result<()> {
    let target = Target {
        engine: args.engine,
        device: args.device.place(),
        gpu: AskedGpu::open(&args.device.choice(), args.engine.unwrap_or_default())?,
    };
    match args.set.load_document(&args.file)? {
        Document::Experiment(loaded) => {
            tell_warnings(&loaded.warnings);
            let plan = Plan::of(&loaded.experiment, &target)?;
            match args.json {
                true => print_json(&plan),
                false => {
                    tell(&plan, &args)?;
                    tell_shards(&loaded.experiment, &target, &args)
                }
            }
        }
        Document::Suite(loaded) => {
            tell_warnings(&loaded.warnings);
            let plans = plan::plans(&loaded.suite, &target)?;
            if args.json {
                return print_json(&plans);
            }
            for (name, plan) in &plans {
                terminal::line(format_args!("{name}:"))?;
                tell(plan, &args)?;
                let member = loaded.suite.members.iter().find(|m| m.name == *name);
                if let Some(member) = member {
                    tell_shards(&member.experiment, &target, &args)?;
                }
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

fn tell(plan: &Plan, args: &Args) -> Result<()> {
    terminal::print(tables::overview(plan))?;
    if args.layers {
        terminal::print(format_args!("\n{}", tables::layers(plan)))?;
    }
    if args.groups {
        terminal::print(format_args!("\n{}", tables::groups(plan)))?;
    }
    Ok(())
}

fn tell_shards(experiment: &Experiment, target: &Target, args: &Args) -> Result<()> {
    if !args.shards {
        return Ok(());
    }
    let executor = Executor {
        engine: target.engine_for(experiment),
        device: target.device,
        ..Executor::compiled(thread_count(0))
    };
    let limits = Limits::measure(executor)?;
    let floor = |cost| limits.floor(cost);
    let choices = shards::choices(experiment, target, executor.threads, &floor)?;
    terminal::print(format_args!("\n{}", tables::shards(&choices, executor)))
}
