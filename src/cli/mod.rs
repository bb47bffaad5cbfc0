//! One file for each subcommand: its flags, and what it prints. What it computes is the library's.

pub mod exit_codes;
pub mod options;
mod new;
mod check;
mod completions;
mod schema;
mod lsp;
mod diff;
mod plan;
mod bench;
mod devices;
mod data;
mod golden;
mod run;
mod submit;
mod eval;

mod predict;
mod ranks;
mod export;
mod runs;
mod watch;
mod verify;
mod import;
mod why;
mod analyse;
mod plot;
mod report;
mod export_metrics;
mod book;
mod jobs;
mod results;
mod suites;
mod table;
mod tables;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::base::{Error, Kind, Result, signals, terminal};
use crate::run::provenance::Build;

/// A declarative experiment language and reproducibility harness for video recognition.
#[derive(Debug, Parser)]
#[command(name = "ffn", version, long_version = version(), propagate_version = true, after_help = exit_codes::HELP)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write an experiment on data of your own, with the recipe of another.
    New(new::Args),
    /// Check experiment and suite files and report every mistake.
    Check(check::Args),
    /// Print the JSON Schema of experiments or suites.
    Schema(schema::Args),
    /// Serve an editor: mistakes, documentation and completions while you write.
    Lsp(lsp::Args),
    /// Compare two experiments field by field.
    Diff(diff::Args),
    /// Print parameters, FLOPs, memory and steps of an experiment or a suite.
    Plan(plan::Args),
    /// Measure how fast this machine trains, evaluates and loads data.
    Bench(bench::Args),
    /// List what this machine can compute on, and how to mend what cannot be used.
    Devices(devices::Args),
    /// Pin, verify, count and look at data.
    Data(data::Args),
    /// Train and evaluate experiments and suites, and judge the suites' claims.
    Run(run::Args),
    /// Have a cluster (Slurm) compute what is missing of experiments and suites.
    Submit(submit::Args),
    /// Evaluate a run, or weights of another program, at any frame counts.
    Eval(eval::Args),
    /// Classify videos with a run.
    Predict(predict::Args),
    /// Write a run's model for other programs: safetensors, PyTorch, ONNX.
    Export(export::Args),
    /// List runs.
    Runs(runs::Args),
    /// Show runs in a browser while they work: curves, speed, results, verdicts.
    Watch(watch::Args),
    /// Recompute every hash of a run folder, and every verdict of a suite.
    Verify(verify::Args),
    /// Read weights of other programs, and say which tensor is which parameter.
    Import(import::Args),
    /// Find the first place where two experiments or runs part, from cause to effect.
    Why(why::Args),
    /// Find out where a run's accuracy goes when the frame count changes, and why.
    Analyse(analyse::Args),
    /// Draw runs and suites: training, deviation, operations, drift, confusion, alteration.
    Plot(plot::Args),
    /// A table of runs and suites to paste into a paper.
    Report(report::Args),
    /// Write a run's metrics for other programs: TensorBoard, MLflow, CSV, Parquet.
    ExportMetrics(export_metrics::Args),
    /// Build the book, whose numbers come from runs.
    Book(book::Args),
    /// Hold the engine against golden cases.
    Golden(golden::Args),
    /// Print completions for a shell.
    Completions(completions::Args),
    /// Write the manual pages.
    Man(completions::ManArgs),
}

/// What `--version` says after the name: the commit and the crates whose version can change a number.
fn version() -> String {
    let build = Build::this();
    let crates = build.crates.iter();
    let crates: Vec<String> = crates
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    format!(
        "{} ({})\n{}, {}\n{}",
        build.version,
        build.origin(),
        env!("FFN_RUSTC"),
        std::env::consts::ARCH,
        crates.join(", ")
    )
}

/// The program: parses the command line, runs the subcommand, prints its error, chooses the exit code.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    signals::hear();
    match dispatch(cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Why a process fails it says, even where another speaks for it.
            terminal::silence(false);
            match error.kind {
                Kind::Unread => {}
                Kind::Different => terminal::say(&error),
                // A report of a file has its own beginning, and colours.
                Kind::Experiment if !is_sentence(&error) => {
                    terminal::say_exactly(&error.to_string())
                }
                _ => terminal::say(format_args!("error: {error}")),
            }
            ExitCode::from(error.kind.exit_code())
        }
    }
}

/// Whether an error is a sentence, and no report with excerpts of a file.
fn is_sentence(error: &Error) -> bool {
    let first = error.message.chars().next();
    first.is_some_and(|first| first.is_ascii_lowercase() || first == '`')
}

/// Prints a value as JSON on stdout.
fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|e| Error::new(Kind::Io, format!("cannot write as JSON: {e}")))?;
    terminal::print_exactly(&(text + "\n"))
}

fn dispatch(command: Command) -> Result<()> {
    match command {
        Command::New(args) => new::run(args),
        Command::Check(args) => check::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Lsp(args) => lsp::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Data(args) => data::run(args),
        Command::Run(args) => run::run(args),
        Command::Submit(args) => submit::run(args),
        Command::Eval(args) => eval::run(args),
        Command::Predict(args) => predict::run(args),
        Command::Export(args) => export::run(args),
        Command::Runs(args) => runs::run(args),
        Command::Watch(args) => watch::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Import(args) => import::run(args),
        Command::Why(args) => why::run(args),
        Command::Analyse(args) => analyse::run(args),
        Command::Plot(args) => plot::run(args),
        Command::Report(args) => report::run(args),
        Command::ExportMetrics(args) => export_metrics::run(args),
        Command::Book(args) => book::run(args),
        Command::Golden(args) => golden::run(args),
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => completions::man(args),
    }
}
