//! `ffn plot`

use std::path::PathBuf;

use crate::base::{Result, Shown, files, terminal};
use crate::report::plot::{self, Subject};
use crate::report::source::{Run, Suite};
use crate::run::Folder;
use crate::suite::{self, MemberRun};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of runs and of finished suites; all that is comparable is drawn together, runs under work as far as they are.
    #[arg(required = true, value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// Folder that gets the figures, as SVG.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// Draws every figure for which there is something, and tells what is missing for the others.
pub fn run(args: Args) -> Result<()> {
    let mut subjects = Vec::new();
    for path in args.folders {
        match suite::folder::is_at(&path) {
            true => subjects.extend(members(&Suite::open(&path)?)?),
            false => {
                let run = Run::so_far(Folder::at(path))?;
                let name = run.name();
                subjects.push(Subject { name, run });
            }
        }
    }
    let gathered = plot::figures(&subjects)?;
    for figure in &gathered.figures {
        let path = args.out.join(figure.file());
        files::write_atomic(&path, figure.svg.as_bytes())?;
        terminal::line(path.shown())?;
    }
    for sentence in &gathered.missing {
        terminal::say(sentence);
    }
    Ok(())
}

/// The runs of a suite under their members' names.
fn members(suite: &Suite) -> Result<Vec<Subject>> {
    let members = suite.record.members.iter().zip(suite.runs()?);
    let subject = |(member, run): (&MemberRun, Run)| Subject {
        name: member.name.clone(),
        run,
    };
    Ok(members.map(subject).collect())
}
