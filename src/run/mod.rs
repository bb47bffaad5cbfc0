//! The run folder: manifest, metrics, provenance, verify.
//!
//! A run is one experiment on one version of its data. Its folder holds every number that it gave, and what each
//! came from. Format 1:
//!
//! | path | content | same bytes for the same run |
//! |---|---|---|
//! | `experiment.ron` | the resolved experiment; its SHA-256 is the identity | yes |
//! | `classes.json` | class names in label order | yes |
//! | `manifest.json` | [`manifest::Manifest`]: hashes, builds, machines, and SHA-256 of every file with a "yes" | on the same machine and build |
//! | `metrics.jsonl` | [`metrics::Record`] for every step | yes |
//! | `eval/<T>.json` | [`results::Summary`] of the validation split at T frames | yes |
//! | `eval/<T>.predictions.jsonl` | [`results::Prediction`] for every clip | yes |
//! | `eval/epoch-<E>/…` | the same after epoch E, where the experiment asks for it | yes |
//! | `eval/last/…`, `eval/unaveraged/…` | results of the last weights, where those of the best are the run's; of the weights that are averaged | yes |
//! | `analysis/<name>.json` | [`crate::analysis`]: what was found out about a finished run; sealed | yes, but for `latency.json` |
//! | `checkpoints/step-<S>/` | [`checkpoint`]: a finished run keeps the last, a working one two | yes |
//! | `checkpoints/best-<S>/` | [`best`]: the weights of the best evaluation, where the experiment keeps them | yes |
//! | `history.json` | [`history::History`]: processes, threads, times | no |
//! | `timing.jsonl` | seconds of every step, and how the loader kept up | no |
//! | `log.txt` | what happened, in words | no |
//! | `lock` | who writes the run, or wrote it last; locked while a process does | |
//!
//! "The same run" is the same experiment and data on the same device class, however often it was killed and
//! resumed and with whatever number of threads and workers. Documents named `.json` that steer a run carry a
//! [`seal`]; everything else of a finished run is listed with its hash in the manifest, or in the history.

pub mod best;
pub mod checkpoint;
pub mod finish;
pub mod folder;
pub mod history;
pub mod latest;
pub mod left_out;
pub mod log;
pub mod manifest;
pub mod metrics;
pub mod optimizer_state;
pub mod overview;
pub mod provenance;
pub mod results;
pub mod seal;
pub mod tensors;
pub mod verify;
pub mod weights;

pub use folder::{Folder, Working};
