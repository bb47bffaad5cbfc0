//! What of CUDA this machine has, without using any of it.

use cudarc::driver::{DriverError, result, sys};
use serde::Serialize;

use super::libraries::{Library, Outcome, Search, Version};
use crate::base::{Error, Kind, Result};

/// The driver must run programs of this CUDA: NVRTC and cuDNN are called as theirs.
pub const OLDEST_DRIVER: Version = Version(13, 0);

/// Everything that the engine needs, and what of it is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Probe {
    pub libraries: Vec<Finding>,
    pub gpus: Vec<GpuInfo>,
    /// Why there are no GPUs, where the driver's library is there.
    pub trouble: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub library: Library,
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// A GPU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuInfo {
    /// N of `cuda:N`.
    pub ordinal: usize,
    pub name: String,
    /// Its compute capability.
    pub architecture: Version,
    pub memory_bytes: usize,
}

impl Probe {
    /// Opens the libraries, for the rest of the process, and asks the driver for its GPUs.
    pub fn new(search: &Search) -> Self {
        let finding = |library| Finding {
            outcome: search.open(library),
            library,
        };
        let libraries: Vec<Finding> = Library::ALL.map(finding).into();
        let driver = libraries.iter().find_map(|found| match found {
            Finding {
                library: Library::Driver,
                outcome: Outcome::Found { version, .. },
            } => Some(*version),
            _ => None,
        });
        let (gpus, trouble) = match driver.map(gpus) {
            None => (Vec::new(), None),
            Some(Ok(gpus)) => (gpus, None),
            Some(Err(why)) => (Vec::new(), Some(why)),
        };
        Self {
            libraries,
            gpus,
            trouble,
        }
    }

    /// What decides the bits of a GPU's results: GPU and libraries.
    pub fn device_class(&self, ordinal: usize) -> String {
        let gpu = self.gpus.iter().find(|gpu| gpu.ordinal == ordinal);
        let name = gpu.map_or("unknown GPU", |gpu| &gpu.name);
        let versions = self.libraries.iter().map(|found| match &found.outcome {
            Outcome::Found { version, .. } => format!(", {} {version}", found.library),
            _ => String::new(),
        });
        format!("cuda {name}{}", versions.skip(1).collect::<String>())
    }

    /// A GPU, if it and all libraries can be used.
    pub fn gpu(&self, ordinal: usize) -> Result<&GpuInfo> {
        let unusable = |what: String| {
            let message = format!("cannot compute on `cuda:{ordinal}`: {what}");
            Error::new(Kind::Device, message)
                .hint("`ffn devices` says what is there, and how to mend what is not")
        };
        for Finding { library, outcome } in &self.libraries {
            match outcome {
                Outcome::Found { .. } => {}
                Outcome::Missing { .. } => {
                    return Err(unusable(format!(
                        "{library}: `{}` not found",
                        library.file()
                    )));
                }
                Outcome::Broken { why, .. } => {
                    return Err(unusable(format!("{library}: {why}")));
                }
            }
        }
        if let Some(trouble) = &self.trouble {
            return Err(unusable(trouble.clone()));
        }
        let gpu = self.gpus.iter().find(|gpu| gpu.ordinal == ordinal);
        gpu.ok_or_else(|| {
            let gpus = self.gpus.iter().map(|gpu| format!(" cuda:{}", gpu.ordinal));
            unusable(format!("the driver's GPUs are{}", gpus.collect::<String>()))
        })
    }
}

/// The driver's GPUs, or why it has none.
fn gpus(driver: Version) -> Result<Vec<GpuInfo>, String> {
    if driver < OLDEST_DRIVER {
        return Err(format!(
            "the driver runs programs of CUDA {driver} at most, {OLDEST_DRIVER} is needed: install driver 580 or newer"
        ));
    }
    let failed = |error: DriverError| describe("initialise the driver", error);
    match result::init() {
        Err(DriverError(sys::CUresult::CUDA_ERROR_NO_DEVICE)) => {
            return Err("the driver sees no GPU: in a container, start it with the host's (`--gpus all`); CUDA_VISIBLE_DEVICES may hide GPUs".to_owned());
        }
        outcome => outcome.map_err(failed)?,
    }
    let count = result::device::get_count().map_err(failed)?;
    let gpus = (0..count).map(|ordinal| gpu(ordinal).map_err(failed));
    gpus.collect()
}

fn gpu(ordinal: i32) -> Result<GpuInfo, DriverError> {
    use sys::CUdevice_attribute::{
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
        CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
    };
    let device = result::device::get(ordinal)?;
    // SAFETY: the driver gave the device.
    let (memory_bytes, major, minor) = unsafe {
        (
            result::device::total_mem(device)?,
            result::device::get_attribute(device, MAJOR)?,
            result::device::get_attribute(device, MINOR)?,
        )
    };
    Ok(GpuInfo {
        ordinal: ordinal as usize,
        name: result::device::get_name(device)?,
        architecture: Version(major, minor),
        memory_bytes,
    })
}

/// A driver's error in words: what was tried, and the name by which the error is looked up.
pub fn describe(what: &str, error: DriverError) -> String {
    format!("cannot {what}: {:?}", error.0)
}
