//! Flags that several subcommands share.

use std::path::PathBuf;

use crate::exec::{EngineKind, Executor};

/// Where the data are, and whether they must be the pinned ones.
#[derive(Debug, Clone, clap::Args)]
pub struct DataOptions {
    /// Folder of the data set; else `FFN_DATA_<NAME>` or the configuration file says where it is.
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,

    /// Work on data that nobody pinned; the manifest and every report will say so.
    #[arg(long)]
    pub unpinned: bool,
}

/// What of this machine is used. Results do not depend on it, within one device class.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineOptions {
    /// Where the model runs.
    #[arg(long, value_enum, default_value_t = Device::Auto)]
    pub device: Device,

    /// What computes the model. Engines agree but for rounding.
    #[arg(long, value_enum, default_value_t)]
    pub engine: EngineKind,

    /// Threads of the compiled engine; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub threads: usize,

    /// Threads that decode and transform videos; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub workers: usize,
}

impl MachineOptions {
    pub fn executor(&self) -> Executor {
        Executor {
            engine: self.engine,
            threads: thread_count(self.threads),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Device {
    /// The best device that this build and machine have.
    Auto,
    Cpu,
}

/// `requested`, or the number of cores where it is 0.
pub fn thread_count(requested: usize) -> usize {
    match requested {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}
