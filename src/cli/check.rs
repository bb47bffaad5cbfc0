//! `ffn check`

use std::path::PathBuf;

use super::options::SetOptions;
use crate::base::{Error, Kind, Result, terminal};
use crate::plan;
use crate::spec::{Document, Experiment, Suite};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Experiment and suite files.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,

    #[command(flatten)]
    set: SetOptions,

    /// Print the resolved form, which spells out every default and whose SHA-256 is the identity.
    #[arg(long)]
    resolved: bool,
}

pub fn run(args: Args) -> Result<()> {
    let mut failures = Vec::new();
    for file in &args.files {
        match args.set.load_document(file).and_then(fits) {
            Ok(document) => show(&document, args.resolved)?,
            Err(error) => failures.push(error),
        }
    }
    conclude(failures, args.files.len())
}

/// Refuses what is larger than any program can be.
fn fits(document: Document) -> Result<Document> {
    match &document {
        Document::Experiment(loaded) => plan::fits(&loaded.experiment)?,
        Document::Suite(loaded) => {
            for member in &loaded.suite.members {
                plan::fits(&member.experiment).map_err(|error| {
                    let message = format!("member `{}`: {}", member.name, error.message);
                    Error { message, ..error }
                })?;
            }
        }
    }
    Ok(document)
}

fn show(document: &Document, resolved: bool) -> Result<()> {
    let (text, warnings) = match document {
        Document::Experiment(loaded) => {
            (experiment(&loaded.experiment, resolved), &loaded.warnings)
        }
        Document::Suite(loaded) => (suite(&loaded.suite, resolved), &loaded.warnings),
    };
    terminal::print(text)?;
    for warning in warnings {
        terminal::say_exactly(&format!("{warning}\n"));
    }
    Ok(())
}

fn experiment(experiment: &Experiment, resolved: bool) -> String {
    if resolved {
        return experiment.canonical();
    }
    let (name, summary) = (&experiment.name, experiment.summary());
    format!(
        "{name}\n  {summary}\n  identity {}\n",
        experiment.identity()
    )
}

fn suite(suite: &Suite, resolved: bool) -> String {
    if resolved {
        return suite.canonical();
    }
    let runs: usize = suite.members.iter().map(|member| member.seeds.len()).sum();
    let (members, claims) = (suite.members.len(), suite.claims.len());
    let members = suite
        .members
        .iter()
        .map(|member| {
            let seeds: Vec<String> = member.seeds.iter().map(u64::to_string).collect();
            let (name, summary) = (&member.name, member.experiment.summary());
            format!("  {name}: {summary}, seed {}\n", seeds.join(", "))
        })
        .fold(
            format!(
                "{}\n  {members} members, {runs} runs, {claims} claims\n",
                suite.name
            ),
            |text, line| text + &line,
        );
    format!("{members}  identity {}\n", suite.identity())
}

fn conclude(mut failures: Vec<Error>, files: usize) -> Result<()> {
    if failures.len() < 2 {
        return failures.pop().map_or(Ok(()), Err);
    }
    for failure in &failures {
        terminal::say_exactly(&format!("error: {failure}\n"));
    }
    let message = format!("{} of {files} files have mistakes", failures.len());
    Err(Error::new(Kind::Experiment, message))
}
