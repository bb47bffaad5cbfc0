//! What of this machine works on a run, as a person chose it. Results do not depend on it, within one device class.

use std::path::PathBuf;

use crate::base::{Error, Kind, Result};
use crate::exec::cuda::libraries::Search;
use crate::exec::cuda::probe::Probe;
use crate::exec::{DeviceId, EngineKind, Executor, Fusions};

/// What computes and what loads.
#[derive(Debug, Clone)]
pub struct MachineChoice {
    /// What computes the model, instead of the run's own engine.
    pub engine: Option<EngineKind>,
    pub device: DeviceChoice,
    /// Those of the compiled engine's programs, instead of the run's own.
    pub fusions: Option<Fusions>,
    /// Threads of the compiled engine on the CPU; 0: one for each core.
    pub threads: usize,
    /// Threads that decode and transform videos; 0: one for each core.
    pub workers: usize,
}

/// A device, whether it is there or not, and where NVIDIA's libraries are.
#[derive(Debug, Clone)]
pub struct DeviceChoice {
    pub device: DeviceId,
    /// Looked into before the system's folders: a folder of libraries, or a Python environment.
    pub libraries: Option<PathBuf>,
}

impl MachineChoice {
    /// `own`: engine and fusions where none are asked for.
    pub fn executor(&self, own: (EngineKind, Fusions)) -> Result<Executor> {
        let engine = self.engine.unwrap_or(own.0);
        Ok(Executor {
            engine,
            device: self.device.open(engine)?,
            threads: thread_count(self.threads),
            fusions: self.fusions.unwrap_or(own.1),
        })
    }
}

impl DeviceChoice {
    /// The device, with the libraries that it needs open; what it lacks is an error now.
    pub fn open(&self, engine: EngineKind) -> Result<DeviceId> {
        if let DeviceId::Cuda(ordinal) = self.device {
            if !engine.runs_on_gpus() {
                let message = format!("the engine `{}` runs on the CPU alone", engine.name());
                return Err(Error::new(Kind::Usage, message)
                    .hint("leave out `--device`, or take `--engine compiled`"));
            }
            Probe::new(&Search::new(self.libraries.as_deref())).gpu(ordinal)?;
        }
        Ok(self.device)
    }
}

/// `requested`, or the number of cores where it is 0.
pub fn thread_count(requested: usize) -> usize {
    match requested {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        n => n,
    }
}

/// Cores of the machine, whichever of them this process may use.
pub fn online_cores() -> usize {
    #[cfg(unix)]
    {
        // SAFETY: it reads a number of the system, and has no other effect.
        let online = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
        if let Ok(online) = usize::try_from(online) {
            return online.max(1);
        }
    }
    thread_count(0)
}
