//! `ffn`: a declarative experiment language and reproducibility harness for video recognition.
//!
//! A person writes an experiment in RON; `ffn` checks it, compiles it into a dfdx model, trains and evaluates it,
//! and leaves artifacts from which every table is made again. This page is the map of the code.
//!
//! # Three promises
//! 1. **Nothing silent.** A misspelt key, a missing video, a wrong class order or a checkpoint of another experiment
//!    is a [`base::Error`] that says where, what was expected and what to do.
//! 2. **Bit for bit.** The same experiment, pins and device class give the same bytes, whatever the number of
//!    threads or loader workers, and however often the run was killed and resumed. Random numbers are keyed by what
//!    they are for ([`base::rng`]), reductions are split in a fixed way ([`exec::cpu`]), a checkpoint holds all that
//!    the next step reads ([`run::checkpoint`]).
//! 3. **Every number has a source.** Each comes from a run folder ([`run`]), and each run from hashes of experiment,
//!    data, weights and code.
//!
//! # The pipeline
//! The modules are its stages, in this order. No stage reads one that stands below it in the list, and no files read one
//! another in a circle: `tests/stages.rs` holds both.
//!
//! | stage | what goes in | what comes out |
//! |---|---|---|
//! | [`base`] | | errors, random streams, atomic files: what every stage uses |
//! | [`spec`] | RON text | the resolved [`spec::Experiment`], or every mistake of the file at once |
//! | [`data`] | lists, pins, videos | [`data::TrainBatch`] and [`data::EvalBatch`]: bytes of all frame counts from one decode |
//! | [`ops`] | | each operation in one file: shape rule, gradient rule, reference kernel; the rows of a batch |
//! | [`graph`] | the experiment's architecture | nodes with shapes and official names; FFN is a transformation of a vanilla graph |
//! | [`program`] | a graph and the segments of a batch | plain steps, forward and backward, and their named fusions |
//! | [`exec`] | a program, parameters, pixels | logits, gradients, updated parameters; [`exec::dfdx`] interprets the graph itself, as the reference |
//! | [`exchange`] | checkpoints of other programs, our weights | named tensors; safetensors, PyTorch checkpoints, ONNX models |
//! | [`model`] | all of these | the dfdx module: the trunk on dfdx's tape, whatever engine computes it; the objective is dfdx |
//! | [`run`] | | the run folder: manifest, metrics, checkpoints, results, and their verification |
//! | [`ranks`] | what a launcher tells its processes | messages between them, by MPI or TCP |
//! | [`train`] | a model and a data set | optimiser, schedule, the loop, evaluation |
//! | [`plan`] | an experiment | what it will cost: parameters, multiply-adds, memory, steps |
//! | [`editor`] | what is typed into an experiment | its mistakes, documentation and completions, by the Language Server Protocol |
//! | [`golden`] | bundles of reference tensors | errors against the reference, and whether they are within tolerance |
//! | [`why`] | two experiments or runs | the first place where they part, from cause to effect |
//! | [`analysis`] | a finished run | where its accuracy goes when the frame count changes, and why: documents in its folder |
//! | [`suite`] | members, their runs, claims | verdicts with confidence intervals |
//! | [`report`] | runs, analyses and suites | plots, tables, the book, metrics in the formats of other programs |
//! | [`cluster`] | runs that are open | batch scripts for Slurm, and what its queue says of them |
//! | [`mod@bench`] | an experiment | how long this machine takes for its work, beside what it could do at most |
//! | [`cli`] | the command line | one file for each subcommand: its flags and what it prints; exit codes in [`cli::exit_codes`] |
//!
//! # Where to begin
//! - *The paper in code*: `graph/flexible.rs` (private norms, alteration), `model/objective.rs` (equation 4),
//!   `exec/dfdx/ops.rs` (the temporal shift, every layer).
//! - *One training step*, top-down: `train/session.rs` → [`model::Model::train_step`] → `model/trunk/compiled.rs` →
//!   [`exec::cpu::Engine::forward`].
//! - *A new field of the language*: one declaration in `spec/experiment/` ([`spec::setting`]); a default that follows from
//!   other fields in `spec/resolve.rs`, rules across fields in `spec/rules/`; `ffn schema` and its test say what else changed.
//! - *A new architecture*: a builder in `graph/arch/`, a golden case for it, a variant in the language.
//! - *A new operation*: a file in `ops/`; the compiler says where it needs an arm.
//! - *A new data set*: a reader beside `data/something_v2.rs` that lists samples; decoding and sampling are shared.

// They panic where nobody reads the output; `base::terminal` does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod base;
pub mod spec;
pub mod data;
pub mod ops;
pub mod graph;
pub mod program;
pub mod exec;
pub mod exchange;
pub mod model;
pub mod run;
pub mod ranks;
pub mod train;
pub mod plan;
pub mod editor;
pub mod golden;
pub mod why;
pub mod analysis;
pub mod suite;
pub mod report;
pub mod cluster;
pub mod bench;
pub mod cli;
