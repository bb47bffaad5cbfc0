//! Reads a run folder: what it is, its accuracy by frame count, and the clips that are right at 16 frames and wrong at 4.
//!
//! ```sh
//! cargo run --release --example results -- runs/tsm_miniature-XXXXXXXX
//! ```

use std::path::PathBuf;

use ffn::base::{Error, Kind, Result, terminal};
use ffn::run::{Folder, results, verify};

fn main() -> std::process::ExitCode {
    match std::env::args_os()
        .nth(1)
        .map(PathBuf::from)
        .map_or_else(usage, |run| tell(&run))
    {
        Ok(text) => {
            let _ = terminal::print(text);
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            terminal::say(format_args!("error: {error}"));
            std::process::ExitCode::from(error.kind.exit_code())
        }
    }
}

fn usage() -> Result<String> {
    Err(Error::new(Kind::Usage, "expected a run folder").hint("`ffn runs` lists them"))
}

fn tell(run: &std::path::Path) -> Result<String> {
    let folder = Folder::at(run);
    let (manifest, experiment) = (folder.manifest()?, folder.experiment()?);
    verify::intact(&folder)?;
    let mut text = format!("{}, seed {}\n", manifest.name, experiment.seed);
    let summaries = results::read_all(&folder.eval())?;
    for summary in &summaries {
        text += &format!(
            "{:>3} frames: {:.2} %\n",
            summary.frames,
            summary.top1_percent()
        );
    }
    if let [fewest, .., most] = &summaries[..] {
        let few = results::read_predictions(&folder.eval(), fewest)?;
        let many = results::read_predictions(&folder.eval(), most)?;
        let lost = few
            .iter()
            .zip(&many)
            .filter(|(few, many)| few.rank > 1 && many.rank == 1);
        text += &format!(
            "{} clips are right at {} frames and wrong at {}\n",
            lost.count(),
            most.frames,
            fewest.frames
        );
    }
    Ok(text)
}
