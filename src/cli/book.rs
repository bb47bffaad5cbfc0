//! `ffn book`

use std::path::PathBuf;

use clap::CommandFactory;

use super::Cli;
use super::options::{self, DataOptions, MachineOptions};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::report::book::{self, Catalogue};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Runs and suites that the book may refer to; without any, all below `--runs`.
    #[arg(value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// Folder that holds runs and suites.
    #[arg(
        long,
        default_value = "runs",
        value_name = "DIR",
        conflicts_with = "folders"
    )]
    runs: PathBuf,

    /// The book as people wrote it: a folder with `book.toml` and `src`.
    #[arg(long, default_value = "book", value_name = "DIR")]
    book: PathBuf,

    /// Where the book goes: a plain mdBook, and below `html` what it looks like.
    #[arg(long, default_value = "target/book", value_name = "DIR")]
    out: PathBuf,

    /// A preprocessor or renderer that `book.toml` names and that may run: a program of somebody else, or mdBook's own
    /// `links`, with which pages include any file of this machine. May be given several times.
    #[arg(long, value_name = "NAME")]
    allow: Vec<String>,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,
}

pub fn run(args: Args) -> Result<()> {
    if !args.book.is_dir() {
        let message = format!("there is no book in `{}`", args.book.shown());
        let hint = "--book DIR names a folder with `book.toml` and `src`; this project's own book is the folder `book` of its repository";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    let catalogue = match args.folders.is_empty() {
        true => Catalogue::below(&args.runs)?,
        false => Catalogue::new(args.folders.clone()),
    };
    let commands = commands();
    let opening = options::opening(None, &args.data, &args.machine);
    let source = book::Source {
        book: &args.book,
        catalogue: &catalogue,
        commands: &commands,
        allowed: &args.allow,
        opening: &opening,
    };
    let built = book::build(&source, &args.out)?;
    terminal::line(format_args!(
        "{}: {} pages with numbers of {} runs",
        built.html.join("index.html").shown(),
        built.pages,
        built.runs.len()
    ))?;
    Ok(())
}

/// Every subcommand, nested ones too, with its whole help.
fn commands() -> Vec<(String, String)> {
    let mut command = without_values(Cli::command().term_width(100));
    command.build();
    let mut found = Vec::new();
    collect("", &mut command, &mut found);
    found
}

/// The help names variables of the environment; what they hold on this machine does not belong into a book.
fn without_values(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| arg.hide_env_values(true));
    command.mut_subcommands(without_values)
}

fn collect(prefix: &str, command: &mut clap::Command, found: &mut Vec<(String, String)>) {
    for subcommand in command.get_subcommands_mut() {
        if subcommand.get_name() == "help" {
            continue;
        }
        let name = format!("{prefix}{}", subcommand.get_name());
        found.push((name.clone(), subcommand.render_long_help().to_string()));
        collect(&format!("{name} "), subcommand, found);
    }
}
