//! The pages that nobody writes: one for each run, suite and file that the others refer to.

use std::fmt::Write;

use super::catalogue::Catalogue;
use super::{files, runs, suites};
use crate::base::{Result, files as base_files};
use crate::report::escape::{self, code};
use crate::report::numbers::{giga, percent, thousands};
use crate::report::source::{Run, Suite, evaluation};
use crate::report::{table, verdicts};
use crate::run::left_out;
use crate::run::manifest::{Manifest, Pins};
use crate::run::provenance::{Build, Machine};

/// A page with its title, for the table of contents.
pub struct Generated {
    /// Below the book's source folder, with `/`.
    pub path: String,
    pub title: String,
    pub text: String,
}

/// What a run is and what it came from.
pub fn run(run: &Run) -> Result<Generated> {
    let (name, manifest) = (run.name(), &run.manifest);
    let mut text = format!(
        "# {}\n\n{}.\n\n",
        escape::markdown(&name),
        escape::markdown(&run.experiment.summary())
    );
    text += &table::words(&["", ""].map(str::to_owned), &identity(run));
    text += "\n## Results\n\n";
    text += &results(run);
    text += "\n## Made by\n\n";
    for build in &manifest.builds {
        text += &described_build(build);
    }
    text.extend(manifest.machines.iter().map(described_machine));
    let minutes = run.seconds()? / 60.0;
    for process in &run.history.processes {
        let ended = process.ended.as_deref().unwrap_or("(killed)");
        let ended = escape::markdown(ended);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "- A process from {} to {ended}: steps {} to {}, {} threads, {} workers.",
            escape::markdown(&process.started),
            process.from_step,
            process.to_step,
            process.threads,
            process.workers
        );
    }
    let _ = write!(text, "\nAll together {minutes:.1} minutes by the clock.\n");
    text +=
        "\n## Files\n\nEvery result of the run with its SHA-256; `ffn verify` recomputes them.\n\n";
    let rows = manifest.files.iter();
    let rows: Vec<Vec<String>> = rows
        .map(|(path, hash)| vec![code(path), code(hash)])
        .collect();
    text += &table::words(&["file", "SHA-256"].map(str::to_owned), &rows);
    let _ = write!(
        text,
        "\n## Experiment\n\nThe canonical form, whose SHA-256 is the identity.\n\n{}",
        escape::block("ron", &run.experiment.canonical())
    );
    Ok(Generated {
        path: runs::page(&name),
        title: name,
        text,
    })
}

fn identity(run: &Run) -> Vec<Vec<String>> {
    let manifest = &run.manifest;
    let data = &manifest.data;
    let mut rows = vec![
        vec!["experiment".to_owned(), code(&manifest.identity)],
        vec![
            "data".to_owned(),
            format!(
                "{} training and {} validation clips of {} classes{}",
                thousands(data.train as u64),
                thousands(data.validation as u64),
                data.classes,
                run.experiment.train.part()
            ),
        ],
    ];
    match &data.pins {
        Pins::Unpinned => rows.push(vec![
            "pins".to_owned(),
            "**unpinned**: nobody checked what the data are".to_owned(),
        ]),
        Pins::Verified {
            pins_sha256,
            train_root,
            validation_root,
        } => {
            rows.push(vec!["pins".to_owned(), code(pins_sha256)]);
            rows.push(vec!["training split".to_owned(), code(train_root)]);
            rows.push(vec!["validation split".to_owned(), code(validation_root)]);
        }
    }
    if let Some(left_out) = left_out::describe(manifest.left_out) {
        let words = format!("**{left_out}** because of damage (`unreadable: Skip`)");
        rows.push(vec!["training".to_owned(), words]);
    }
    if let Some(weights) = run.weights() {
        rows.push(vec!["results".to_owned(), weights]);
    }
    rows.extend([
        vec![
            "initial weights".to_owned(),
            code(&manifest.initial_weights),
        ],
        vec!["steps".to_owned(), ended(manifest)],
        vec![
            "parameters".to_owned(),
            thousands(run.graph.parameter_count() as u64),
        ],
        vec![
            "computed".to_owned(),
            format!(
                "engine {}, {:?}",
                code(manifest.engine.name()),
                manifest.precision.computed
            ),
        ],
    ]);
    rows
}

/// The steps of training, and why they are fewer than were planned.
fn ended(manifest: &Manifest) -> String {
    let steps = thousands(manifest.steps);
    match &manifest.stopped_early {
        None => steps,
        Some(early) => {
            let planned = thousands(early.planned_steps);
            format!("{steps} of {planned}: {}", escape::markdown(&early.reason))
        }
    }
}

fn results(run: &Run) -> String {
    let header = [
        "frames",
        "branch",
        "top-1",
        "top-5",
        "clips",
        "G multiply-adds",
        "from",
    ];
    let row = |summary: &crate::run::results::Summary| {
        vec![
            summary.frames.to_string(),
            summary.branch.to_string(),
            percent(summary.top1_percent()),
            percent(summary.top5_percent()),
            summary.clips.to_string(),
            giga(run.gflops(summary.frames)),
            code(&evaluation(summary.frames)),
        ]
    };
    let rows: Vec<Vec<String>> = run.results.iter().map(row).collect();
    table::markdown(&header.map(str::to_owned), &rows)
}

fn described_build(build: &Build) -> String {
    let commit = build.commit.as_deref().map_or("no commit".to_owned(), code);
    let dirty = match build.dirty {
        Some(true) => ", with changes that are not committed",
        _ => "",
    };
    format!(
        "- `ffn` {} at commit {commit}{dirty}; sources {}, `Cargo.lock` {}.\n",
        escape::markdown(&build.version),
        code(&build.source_sha256),
        code(&build.cargo_lock_sha256)
    )
}

fn described_machine(machine: &Machine) -> String {
    format!(
        "- {}, {} cores, {}, device class {}.\n",
        escape::markdown(&machine.cpu),
        machine.cores,
        escape::markdown(&machine.os),
        code(&machine.device_class)
    )
}

/// What a suite consists of, and what became of its claims.
pub fn suite(suite: &Suite, catalogue: &Catalogue) -> Result<Generated> {
    let name = suite.name();
    let mut text = format!(
        "# {}\n\nSuite {}.\n\n## Members\n\n",
        escape::markdown(&name),
        code(&suite.record.identity)
    );
    let mut rows = Vec::new();
    for member in &suite.record.members {
        let run = catalogue.run(&member.run)?;
        let chosen = member.variant.iter();
        let chosen: Vec<String> = chosen
            .map(|(field, value)| code(&format!("{field}: {value}")))
            .collect();
        rows.push(vec![
            code(&member.name),
            chosen.join(", "),
            escape::link(
                &code(&run.name()),
                &format!("../{}", runs::page(&run.name())),
                "",
            ),
        ]);
    }
    text += &table::words(&["member", "variant", "run"].map(str::to_owned), &rows);
    text += "\n## Claims\n\n";
    let row = |judged| {
        let cells = verdicts::row(judged);
        cells.iter().map(|cell| escape::markdown(cell)).collect()
    };
    let rows: Vec<Vec<String>> = suite.verdicts.iter().map(row).collect();
    text += &table::words(&verdicts::HEADER.map(str::to_owned), &rows);
    Ok(Generated {
        path: suites::page(&name),
        title: name,
        text,
    })
}

/// A file with its SHA-256.
pub fn file(name: &str, content: &str) -> Generated {
    let language = match name.rsplit('.').next() {
        Some("rs") => "rust",
        Some("json") => "json",
        Some("ron") => "ron",
        Some("toml") => "toml",
        _ => "text",
    };
    let hash = base_files::sha256(content.as_bytes());
    let text = format!(
        "# {}\n\nSHA-256 {}\n\n{}",
        code(name),
        code(&hash),
        escape::block(language, content)
    );
    Generated {
        path: files::page(name),
        title: name.to_owned(),
        text,
    }
}
