//! `ffn plot`

use std::path::PathBuf;

use crate::base::{Result, files};
use crate::report::plot;
use crate::report::source::{Run, Suite};
use crate::run::Folder;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of finished runs and of suites; all that is comparable is drawn together.
    #[arg(required = true, value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// Folder that gets the figures, as SVG.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Draws every figure for which there is something, and tells what is missing for the others.
pub fn run(args: Args) -> Result<()> {
    let mut runs = Vec::new();
    for path in args.folders {
        match Suite::is_at(&path) {
            true => runs.extend(Suite::open(&path)?.runs()?),
            false => runs.push(Run::open(Folder::at(path))?),
        }
    }
    let gathered = plot::figures(&runs)?;
    for figure in &gathered.figures {
        let path = args.out.join(format!("{}.svg", figure.name));
        files::write_atomic(&path, figure.svg.as_bytes())?;
        println!("{}", path.display());
    }
    for sentence in &gathered.missing {
        eprintln!("{sentence}");
    }
    Ok(())
}
