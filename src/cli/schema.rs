//! `ffn schema`

use crate::base::Result;
use crate::spec;

#[derive(Debug, clap::Args)]
pub struct Args {}

pub fn run(_: Args) -> Result<()> {
    print!("{}", spec::schema());
    Ok(())
}
