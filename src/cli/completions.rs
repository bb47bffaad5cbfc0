//! `ffn completions` and `ffn man`

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use crate::base::{Error, Result, Shown, terminal};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose completions; how to install them is in the shell's own manual, for bash:
    /// `ffn completions bash > ~/.local/share/bash-completion/completions/ffn`.
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: Args) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "ffn", &mut script);
    terminal::print_exactly(&String::from_utf8_lossy(&script))
}

#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Folder for the pages: `ffn.1` and one for each subcommand; `man DIR/ffn-run.1` reads one.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

pub fn man(args: ManArgs) -> Result<()> {
    let out = &args.out;
    std::fs::create_dir_all(out).map_err(|e| Error::io("make", out, &e))?;
    let command = Cli::command().disable_help_subcommand(true);
    clap_mangen::generate_to(command, out).map_err(|e| Error::io("write pages into", out, &e))?;
    terminal::line(format_args!("the pages are in `{}`", out.shown()))
}
