//! `ffn lsp`

use std::io::{BufReader, stdin, stdout};

use crate::base::Result;
use crate::editor;

/// Editors start it; it speaks the Language Server Protocol on standard input and output.
#[derive(Debug, clap::Args)]
#[command(after_help = EDITORS)]
pub struct Args {
    /// Speak on standard input and output, as without it: some editors give this flag.
    #[arg(long)]
    stdio: bool,
}

const EDITORS: &str = "\
The editor shows the mistakes and warnings of `ffn check` while you type, the documentation of the
word under the cursor, and what can be written there, in experiments and in suites.

For Neovim 0.11 and later, in init.lua:
    vim.lsp.config('ffn', { cmd = { 'ffn', 'lsp' }, filetypes = { 'ron' } })
    vim.lsp.enable('ffn')

For Helix, in languages.toml:
    [language-server.ffn]
    command = \"ffn\"
    args = [\"lsp\"]

    [[language]]
    name = \"ron\"
    language-servers = [\"ffn\"]

Other editors are in the book, on the page In an editor.";

pub fn run(_: Args) -> Result<()> {
    editor::serve(BufReader::new(stdin()), stdout())
}
