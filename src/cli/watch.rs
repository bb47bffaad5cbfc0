//! `ffn watch`

use std::path::{Path, PathBuf};

use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::report::live::{Site, server};
use crate::run::Folder;
use crate::suite;

/// Where it listens without a flag; where that is taken, on any port.
const PORT: u16 = 6360;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder that holds the runs; or a run or a suite in it.
    #[arg(default_value = "runs", value_name = "DIR")]
    runs: PathBuf,

    /// Port of 127.0.0.1 to listen on; 0 takes any that is free. Without it 6360, or any where that is taken.
    #[arg(long, value_name = "PORT")]
    port: Option<u16>,
}

/// Serves the live page until the process is ended.
pub fn run(args: Args) -> Result<()> {
    let (runs, page) = place(&args.runs)?;
    let listener = match args.port {
        Some(port) => server::bind(port)?,
        None => server::bind(PORT).or_else(|error| {
            terminal::say(format_args!("{}; taking one that is free", error.message));
            server::bind(0)
        })?,
    };
    let address = listener.local_addr();
    let port = address
        .map_err(|e| Error::new(Kind::Io, e.to_string()))?
        .port();
    terminal::line(format_args!("http://127.0.0.1:{port}/{page}"))?;
    terminal::say(format_args!(
        "It shows the runs in `{}`; Ctrl-C ends it. From another machine: ssh -L {port}:127.0.0.1:{port} HOST",
        runs.shown()
    ));
    server::serve(listener, Site::new(&runs))
}

/// The folder of runs, and which of its pages is meant.
fn place(given: &Path) -> Result<(PathBuf, String)> {
    let folder = Folder::at(given);
    let what = match (folder.exists(), suite::folder::is_at(given)) {
        (true, _) => "run",
        (_, true) => "suite",
        // Runs may begin later.
        _ if given.is_dir() || given == Path::new("runs") => {
            return Ok((given.to_owned(), String::new()));
        }
        _ => {
            let message = format!("there is no folder `{}`", given.shown());
            let hint = "runs are in the folder that `ffn run --out` names, `runs` without it";
            return Err(Error::new(Kind::Usage, message).hint(hint));
        }
    };
    let whole = given
        .canonicalize()
        .map_err(|e| Error::io("find", given, &e))?;
    let runs = whole.parent().unwrap_or(Path::new("/")).to_owned();
    Ok((runs, server::address(what, &Folder::at(whole).name())))
}
