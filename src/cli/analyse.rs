//! `ffn analyse`

use std::path::PathBuf;

use super::options::{self, DataOptions, FrameCounts, MachineOptions};
use super::ranks;
use super::tables::analyses;
use crate::analysis::{Request, work};
use crate::base::{Result, terminal};
use crate::report::source::Suite;
use crate::run::Folder;
use crate::suite;
use crate::train::sharing::Sharing;
use crate::train::team::Team;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of finished runs and of suites.
    #[arg(required = true, value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// Compare the accuracy of every class with this run.
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,

    /// Frame counts of the any-frame surface, as of `ffn eval`; else those that it was computed for, or those of the
    /// experiment.
    #[arg(long, value_name = "T", value_delimiter = ',')]
    frames: Vec<FrameCounts>,

    /// Training clips that norm statistics are estimated from; else as many as before, or 2048 where there are so many.
    #[arg(long, value_name = "N", value_parser = options::count::<usize>)]
    clips: Option<usize>,

    /// Tell the distance of every norm.
    #[arg(long)]
    layers: bool,

    /// Print JSON.
    #[arg(long, conflicts_with = "layers")]
    json: bool,

    /// Folder of the experiment file, where pins and lists are; else the one that the run was made from.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,
}

/// Computes what is not there or stale, keeps it, and tells all.
pub fn run(mut args: Args) -> Result<()> {
    let asked = args.asked();
    let mut team = ranks::join(&mut args.machine, &asked)?;
    analyse_all(&args, team.as_mut())?;
    ranks::finish(team)
}

impl Args {
    /// What ranks must have been asked for alike.
    fn asked(&self) -> String {
        let Self {
            folders,
            against,
            frames,
            clips,
            ..
        } = self;
        let frames = FrameCounts::union(frames);
        format!("analyse {folders:?}, against {against:?}, frames {frames:?}, clips {clips:?}")
    }
}

fn analyse_all(args: &Args, mut team: Option<&mut Team>) -> Result<()> {
    let against = args.against.as_ref().map(Folder::at);
    let opening = options::opening(args.experiments.as_deref(), &args.data, &args.machine);
    let request = Request {
        frames: FrameCounts::union(&args.frames),
        clips: args.clips,
    };
    let mut all = Vec::new();
    for folder in runs(&args.folders)? {
        let name = folder.name();
        let sharing = Sharing::among(team.as_deref_mut());
        let found = work::analyse(
            folder.clone(),
            &opening,
            &request,
            against.as_ref(),
            sharing,
        )?;
        if args.json {
            all.push(found);
            continue;
        }
        let experiment = folder.experiment()?;
        let trained = experiment.method.frames();
        // The other runs are analysed even where nobody reads this.
        terminal::tell(analyses::describe(&name, &found, trained, args.layers));
    }
    match args.json {
        true => super::print_json(&all),
        false => Ok(()),
    }
}

/// The run folders, those of suites among them.
fn runs(folders: &[PathBuf]) -> Result<Vec<Folder>> {
    let mut runs = Vec::new();
    for path in folders {
        match suite::folder::is_at(path) {
            true => runs.extend(Suite::open(path)?.runs()?.into_iter().map(|run| run.folder)),
            false => runs.push(Folder::at(path)),
        }
    }
    Ok(runs)
}
