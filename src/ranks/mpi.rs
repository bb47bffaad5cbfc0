//! Messages by MPI, whose library is opened at run time: no headers, one binary for all.
//!
//! | library | interface | its handles |
//! |---|---|---|
//! | `libmpi.so.40` | Open MPI's | addresses of symbols |
//! | `libmpi_abi.so.1` | the standard one of MPI 5 (MPICH 5 has it) | numbers as wide as pointers |
//! | `libmpi.so.12`, `libmpich.so.12` | MPICH's, of Intel MPI too | `int` |
//!
//! Two functions carry everything: a message is its length, then parts of at most 1 GiB. Whoever starts MPI calls it, from one thread
//! (`MPI_THREAD_FUNNELED`). On an error MPI ends the whole job, as it does by itself when a rank dies.

use std::ffi::{c_int, c_void};
use std::path::PathBuf;

use libloading::{Library, Symbol};

use super::{Transport, gone};
use crate::base::{Error, Kind, Result, Shown, limits};

/// A library's name, and how it is spoken to.
pub struct Candidate {
    file: &'static str,
    interface: Interface,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interface {
    OpenMpi,
    Standard,
    Mpich,
}

/// What Open MPI's `mpirun` starts must open.
pub const OPEN_MPI: [Candidate; 1] = [Candidate {
    file: "libmpi.so.40",
    interface: Interface::OpenMpi,
}];

/// What others start.
pub const OTHERS: [Candidate; 3] = [
    Candidate {
        file: "libmpi_abi.so.1",
        interface: Interface::Standard,
    },
    Candidate {
        file: "libmpi.so.12",
        interface: Interface::Mpich,
    },
    Candidate {
        file: "libmpich.so.12",
        interface: Interface::Mpich,
    },
];

impl Interface {
    fn name(self) -> &'static str {
        match self {
            Self::OpenMpi => "Open MPI's interface",
            Self::Standard => "the standard interface",
            Self::Mpich => "MPICH's interface",
        }
    }
}

const SUCCESS: c_int = 0;
const TAG: c_int = 0;
/// MPI counts in `int`.
const PART: usize = 1 << 30;

/// Larger than every library's `MPI_Status`, and as strictly aligned.
#[repr(C, align(16))]
struct Status([u8; 256]);

/// Calls with handles of type `H`.
struct Calls<H> {
    send: unsafe extern "C" fn(*const c_void, c_int, H, c_int, c_int, H) -> c_int,
    receive: unsafe extern "C" fn(*mut c_void, c_int, H, c_int, c_int, H, *mut Status) -> c_int,
    world: H,
    byte: H,
}

enum Handles {
    Wide(Calls<usize>),
    Narrow(Calls<c_int>),
}

/// Whether one of them is here; none is started.
pub fn opens(candidates: &[Candidate]) -> bool {
    let mut all = candidates
        .iter()
        .flat_map(|candidate| paths(candidate.file));
    // SAFETY: opening a library runs its initialisers; those of MPI libraries wait for MPI_Init.
    all.any(|path| unsafe { Library::new(path) }.is_ok())
}

/// The MPI libraries that can be opened here; none of them is started.
pub fn found() -> Vec<String> {
    let all = OPEN_MPI.iter().chain(&OTHERS);
    let opens = |candidate: &&Candidate| opens(std::slice::from_ref(candidate));
    let name =
        |candidate: &Candidate| format!("{} ({})", candidate.file, candidate.interface.name());
    all.filter(opens).map(name).collect()
}

pub struct Mpi {
    file: String,
    handles: Handles,
    finalize: unsafe extern "C" fn() -> c_int,
    /// Closed by nobody: MPI may have threads in it.
    _library: &'static Library,
}

impl Mpi {
    /// Opens the first of the libraries that is there, and starts MPI.
    pub fn start(candidates: &[Candidate]) -> Result<Self> {
        let mut tried = Vec::new();
        for candidate in candidates {
            for path in paths(candidate.file) {
                // SAFETY: opening a library runs its initialisers; those of MPI libraries wait for MPI_Init.
                match unsafe { Library::new(&path) } {
                    Ok(library) => {
                        let file = path.display().to_string();
                        return Self::initialized(Box::leak(Box::new(library)), candidate, file);
                    }
                    Err(_) => tried.push(path.display().to_string()),
                }
            }
        }
        let message = format!(
            "no MPI library can be opened; tried {}",
            tried.join(", ").shown()
        );
        Err(Error::new(Kind::Device, message).hint(
            "install the one that the launcher belongs to (`pip install mpich` brings both), or have its folder in LD_LIBRARY_PATH",
        ))
    }

    fn initialized(library: &'static Library, candidate: &Candidate, file: String) -> Result<Self> {
        type Init = unsafe extern "C" fn(*mut c_int, *mut c_void, c_int, *mut c_int) -> c_int;
        let failed = |what: &str| {
            let message = format!("`{}` is no MPI library: {what}", file.shown());
            Error::new(Kind::Device, message)
        };
        // SAFETY: the functions are MPI's, with the parameters that its standard gives them in C; which handles they take
        // follows from the library's interface, whose headers say so.
        let (init, handles, finalize) = unsafe {
            let init: Init =
                *symbol(library, "MPI_Init_thread").ok_or_else(|| failed("MPI_Init_thread"))?;
            let finalize =
                *symbol(library, "MPI_Finalize").ok_or_else(|| failed("MPI_Finalize"))?;
            let handles = handles(library, candidate.interface);
            (init, handles.ok_or_else(|| failed("MPI_Send"))?, finalize)
        };
        let funneled = match candidate.interface {
            Interface::Standard => 1024,
            Interface::OpenMpi | Interface::Mpich => 1,
        };
        let mut provided = 0;
        // SAFETY: MPI_Init_thread may be called once, which `Ranks::meet` asks of its caller; null is what it takes for no arguments, and
        // `provided` outlives the call.
        let outcome = unsafe {
            init(
                std::ptr::null_mut(),
                std::ptr::null_mut(),
                funneled,
                &mut provided,
            )
        };
        match outcome {
            SUCCESS => Ok(Self {
                file,
                handles,
                finalize,
                _library: library,
            }),
            code => Err(Error::new(
                Kind::Device,
                format!("MPI does not start: code {code}"),
            )),
        }
    }
}

/// Where a library may be: beside the launcher, whose it is; where the system looks; in Python's environments.
fn paths(file: &str) -> Vec<PathBuf> {
    let environments = ["VIRTUAL_ENV", "CONDA_PREFIX"].map(std::env::var_os);
    let environments = environments.into_iter().flatten().map(PathBuf::from);
    let below = |place: PathBuf| place.join("lib").join(file);
    let beside = launcher().map(below).filter(|path| path.exists());
    let system = std::iter::once(PathBuf::from(file));
    let all = beside.into_iter().chain(system);
    all.chain(environments.map(below)).collect()
}

/// The folder that holds the launcher's `bin`: the launcher is what started this process.
#[cfg(unix)]
fn launcher() -> Option<PathBuf> {
    let parent = std::os::unix::process::parent_id();
    let program = std::fs::read_link(format!("/proc/{parent}/exe")).ok()?;
    Some(program.parent()?.parent()?.to_owned())
}

#[cfg(not(unix))]
fn launcher() -> Option<PathBuf> {
    None
}

/// # Safety
/// The symbol must be of type `T`.
unsafe fn symbol<'l, T>(library: &'l Library, name: &str) -> Option<Symbol<'l, T>> {
    // SAFETY: as the caller promises.
    unsafe { library.get(name.as_bytes()).ok() }
}

/// # Safety
/// The library must have this interface.
unsafe fn handles(library: &'static Library, interface: Interface) -> Option<Handles> {
    // SAFETY: both calls have these parameters in every MPI; what differs is how wide a handle is, which is the interface's.
    // Open MPI's symbols are objects whose addresses are the handles, and none of them is read.
    unsafe {
        Some(match interface {
            Interface::OpenMpi => {
                // What a symbol is as a pointer is its address.
                let address = |name| symbol::<*const c_void>(library, name).map(|s| s.addr());
                Handles::Wide(Calls {
                    send: *symbol(library, "MPI_Send")?,
                    receive: *symbol(library, "MPI_Recv")?,
                    world: address("ompi_mpi_comm_world")?,
                    byte: address("ompi_mpi_byte")?,
                })
            }
            Interface::Standard => Handles::Wide(Calls {
                send: *symbol(library, "MPI_Send")?,
                receive: *symbol(library, "MPI_Recv")?,
                world: 0x101,
                byte: 0x247,
            }),
            Interface::Mpich => Handles::Narrow(Calls {
                send: *symbol(library, "MPI_Send")?,
                receive: *symbol(library, "MPI_Recv")?,
                world: 0x4400_0000,
                byte: 0x4c00_010d,
            }),
        })
    }
}

impl<H: Copy> Calls<H> {
    fn send(&self, to: c_int, bytes: &[u8]) -> c_int {
        let length = (bytes.len() as u64).to_le_bytes();
        let parts = std::iter::once(&length[..]).chain(bytes.chunks(PART));
        for part in parts {
            // SAFETY: the pointer is good for so many bytes during the call, which reads them and returns when they may be reused.
            let code = unsafe {
                (self.send)(
                    part.as_ptr().cast(),
                    part.len() as c_int,
                    self.byte,
                    to,
                    TAG,
                    self.world,
                )
            };
            if code != SUCCESS {
                return code;
            }
        }
        SUCCESS
    }

    fn receive_into(&self, from: c_int, bytes: &mut [u8]) -> c_int {
        for part in bytes.chunks_mut(PART) {
            let mut status = Status([0; 256]);
            // SAFETY: the pointer is good for so many bytes, which nobody else has, and the status has room for every library's.
            let code = unsafe {
                (self.receive)(
                    part.as_mut_ptr().cast(),
                    part.len() as c_int,
                    self.byte,
                    from,
                    TAG,
                    self.world,
                    &mut status,
                )
            };
            if code != SUCCESS {
                return code;
            }
        }
        SUCCESS
    }
}

impl Transport for Mpi {
    fn name(&self) -> String {
        format!("MPI, {}", self.file)
    }

    fn send(&mut self, to: usize, bytes: &[u8]) -> Result<()> {
        let code = match &self.handles {
            Handles::Wide(calls) => calls.send(to as c_int, bytes),
            Handles::Narrow(calls) => calls.send(to as c_int, bytes),
        };
        match code {
            SUCCESS => Ok(()),
            code => Err(gone(to, format_args!("MPI_Send gave {code}"))),
        }
    }

    fn receive(&mut self, from: usize) -> Result<Vec<u8>> {
        let receive = |bytes: &mut [u8]| {
            let code = match &self.handles {
                Handles::Wide(calls) => calls.receive_into(from as c_int, bytes),
                Handles::Narrow(calls) => calls.receive_into(from as c_int, bytes),
            };
            match code {
                SUCCESS => Ok(()),
                code => Err(gone(from, format_args!("MPI_Recv gave {code}"))),
            }
        };
        let mut length = [0; 8];
        receive(&mut length)?;
        let length = u64::from_le_bytes(length) as usize;
        let mut bytes = limits::reserved(length, "a message of another rank")?;
        bytes.resize(length, 0);
        receive(&mut bytes)?;
        Ok(bytes)
    }

    fn finish(&mut self) -> Result<()> {
        // SAFETY: every rank calls it once, when nothing more is to be said.
        match unsafe { (self.finalize)() } {
            SUCCESS => Ok(()),
            code => Err(Error::new(
                Kind::Device,
                format!("MPI_Finalize gave {code}"),
            )),
        }
    }
}
