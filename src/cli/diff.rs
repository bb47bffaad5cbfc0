//! `ffn diff`

use std::path::{Path, PathBuf};

use super::options::SetOptions;
use crate::base::{Error, Kind, Result, count, terminal};
use crate::spec::{self, Experiment};

/// Exit code 0 when both are the same experiment, 1 when they differ. With `--set` alone: the file beside itself with settings.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An experiment file, or a run folder.
    #[arg(value_name = "A")]
    before: PathBuf,

    /// Another one; what `--set` says is laid over this one.
    #[arg(value_name = "B", required_unless_present = "set")]
    after: Option<PathBuf>,

    #[command(flatten)]
    set: SetOptions,
}

pub fn run(args: Args) -> Result<()> {
    let after = args.after.as_ref().unwrap_or(&args.before);
    let none = SetOptions::default();
    let (before, after) = (read(&args.before, &none)?, read(after, &args.set)?);
    let differences = spec::diff(&before, &after);
    if differences.is_empty() {
        terminal::line(format_args!("the same experiment: {}", before.identity()))?;
        return Ok(());
    }
    terminal::print(spec::table(&differences))?;
    let fields = count(differences.len(), "field");
    let message = format!("the experiments differ in {fields}");
    Err(Error::new(Kind::Different, message))
}

/// A run folder has its resolved experiment in it.
fn read(path: &Path, set: &SetOptions) -> Result<Experiment> {
    let file = match path.is_dir() {
        true => path.join("experiment.ron"),
        false => path.to_path_buf(),
    };
    Ok(set.load(&file)?.experiment)
}
