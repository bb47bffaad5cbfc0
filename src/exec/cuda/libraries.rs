//! NVIDIA's libraries, found at run time: the driver's, NVRTC and cuDNN.
//!
//! A folder that a person names comes first, then the system (LD_LIBRARY_PATH and what the loader knows), then the Python
//! environments at hand, whose wheels keep libraries in `nvidia/*/lib`. What is found outside the system is opened by
//! its path before anybody asks for it by name; the loader then gives the open one.

use std::fmt;
use std::path::{Path, PathBuf};

use cudarc::{cudnn::sys as cudnn, driver::sys as driver, nvrtc::sys as nvrtc};
use serde::Serialize;

/// A library that the engine calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Library {
    Driver,
    Nvrtc,
    Cudnn,
}

impl Library {
    pub const ALL: [Self; 3] = [Self::Driver, Self::Nvrtc, Self::Cudnn];

    /// As people and the library's own file call it.
    pub fn file(self) -> &'static str {
        match self {
            Self::Driver => "libcuda.so",
            Self::Nvrtc => "libnvrtc.so",
            Self::Cudnn => "libcudnn.so",
        }
    }

    /// Libraries that this one opens by name, each of which may lie in a folder of its own.
    fn companions(self) -> &'static [&'static str] {
        match self {
            Self::Driver => &[],
            Self::Nvrtc => &["libnvrtc-builtins.so"],
            Self::Cudnn => &["libnvrtc.so", "libcublasLt.so", "libcublas.so"],
        }
    }

    /// What a person does who lacks it.
    pub fn remedy(self) -> &'static str {
        match self {
            Self::Driver => {
                "install NVIDIA's driver, 580 or newer; in a container, start it with the host's (`--gpus all`)"
            }
            Self::Nvrtc => {
                "`pip install nvidia-cuda-nvrtc==13.0.88`, and name that Python environment with `--cuda-libraries DIR`"
            }
            Self::Cudnn => {
                "`pip install nvidia-cudnn-cu13==9.19.0.56`, and name that Python environment with `--cuda-libraries DIR`"
            }
        }
    }

    /// Opens the library for good under a name by which it is called, if there is one; says which version it is, or why
    /// it cannot be used.
    fn open_by_name(self) -> Option<Result<Version, String>> {
        // SAFETY: opening a library runs its initialisers, as every later call would; NVIDIA's ask for nothing first. Each
        // version function has been looked up by its name before it is called, with the parameters that it is documented
        // to have, and writes to places of their types.
        unsafe {
            let (symbol, is_present): (&str, unsafe fn() -> bool) = match self {
                Self::Driver => ("cuDriverGetVersion", driver::is_culib_present),
                Self::Nvrtc => ("nvrtcVersion", nvrtc::is_culib_present),
                Self::Cudnn => ("cudnnGetVersion", cudnn::is_culib_present),
            };
            if !is_present() {
                return None;
            }
            let library = match self {
                Self::Driver => driver::culib(),
                Self::Nvrtc => nvrtc::culib(),
                Self::Cudnn => cudnn::culib(),
            };
            if library.get::<*const ()>(symbol.as_bytes()).is_err() {
                return Some(Err(format!("it has no function `{symbol}`")));
            }
            let (mut major, mut minor) = (0, 0);
            Some(Ok(match self {
                Self::Driver => {
                    // On failure it stays 0, which is too old for everything.
                    driver::cuDriverGetVersion(&mut major);
                    Version(major / 1000, major % 1000 / 10)
                }
                Self::Nvrtc => {
                    nvrtc::nvrtcVersion(&mut major, &mut minor);
                    Version(major, minor)
                }
                Self::Cudnn => {
                    let version = cudnn::cudnnGetVersion() as i32;
                    Version(version / 10_000, version % 10_000 / 100)
                }
            }))
        }
    }
}

/// Major and minor version; the driver's is that of the newest CUDA that it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub i32, pub i32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl Serialize for Version {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What became of the search for a library.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    /// Open.
    Found {
        version: Version,
        /// Where the system tells.
        path: Option<PathBuf>,
    },
    Missing {
        /// The folders that were looked into besides the system's own.
        looked: Vec<PathBuf>,
    },
    /// There is a file that cannot be used.
    Broken { path: Option<PathBuf>, why: String },
}

/// Where libraries are looked for besides the system's own folders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Folders that a person named.
    named: Vec<PathBuf>,
    /// Folders of Python environments.
    environments: Vec<PathBuf>,
}

impl Search {
    /// `folder`: one with libraries, or a Python environment. The others are those of `VIRTUAL_ENV`, `CONDA_PREFIX` and
    /// the first `python3` on the path.
    pub fn new(folder: Option<&Path>) -> Self {
        let variables = ["VIRTUAL_ENV", "CONDA_PREFIX"];
        let variables = variables
            .into_iter()
            .filter_map(std::env::var_os)
            .map(PathBuf::from);
        let mut environments = Vec::new();
        for folder in variables.chain(python_prefix()).flat_map(|p| wheels(&p)) {
            if !environments.contains(&folder) {
                environments.push(folder);
            }
        }
        Self {
            named: folder.map(named).unwrap_or_default(),
            environments,
        }
    }

    /// Opens a library for the rest of the process, or says where it was looked for.
    pub fn open(&self, library: Library) -> Outcome {
        let named = open_in(&self.named, library);
        let found = named.or_else(|| opened(library, None));
        found
            .or_else(|| open_in(&self.environments, library))
            .unwrap_or_else(|| Outcome::Missing {
                looked: [&*self.named, &*self.environments].concat(),
            })
    }
}

/// `None` where none of the folders has it.
fn open_in(folders: &[PathBuf], library: Library) -> Option<Outcome> {
    let path = find(folders, library.file())?;
    for companion in library.companions() {
        // Whether one is needed is for the library to say.
        find(folders, companion).map(|path| keep_open(&path));
    }
    let broken = |why: String| Outcome::Broken {
        path: Some(path.clone()),
        why,
    };
    if let Err(error) = keep_open(&path) {
        // The loader's own words, where it has some.
        let words = std::error::Error::source(&error).map(ToString::to_string);
        return Some(broken(words.unwrap_or_else(|| error.to_string())));
    }
    let nameless = || broken("it is open, but not under a name by which it is called".to_owned());
    Some(opened(library, Some(&path)).unwrap_or_else(nameless))
}

/// What a library that can be opened by its name is; `path` as far as it is known.
fn opened(library: Library, path: Option<&Path>) -> Option<Outcome> {
    let version = library.open_by_name()?;
    let path = loaded_from(library).or(path.map(Path::to_owned));
    Some(match version {
        Ok(version) => Outcome::Found { version, path },
        Err(why) => Outcome::Broken { path, why },
    })
}

impl fmt::Display for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Nvrtc => "NVRTC",
            Self::Cudnn => "cuDNN",
        })
    }
}

/// The folder that holds `bin/python3`, if one is on the path.
fn python_prefix() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let mut folders = std::env::split_paths(&path);
    let bin = folders.find(|folder| folder.join("python3").is_file())?;
    bin.parent().map(Path::to_owned)
}

/// The folders that a person can mean by one.
fn named(folder: &Path) -> Vec<PathBuf> {
    let mut folders = vec![folder.to_owned(), folder.join("lib")];
    folders.extend(libraries_below(folder));
    folders.extend(libraries_below(&folder.join("nvidia")));
    folders.extend(wheels(folder));
    folders.retain(|folder| folder.is_dir());
    folders
}

/// `lib/python3*/site-packages/nvidia/*/lib` of a Python environment.
fn wheels(prefix: &Path) -> Vec<PathBuf> {
    let pythons = below(&prefix.join("lib")).filter(|path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with("python3")
    });
    let packages = pythons.flat_map(|python| {
        ["site-packages", "dist-packages"].map(|packages| python.join(packages).join("nvidia"))
    });
    packages
        .flat_map(|nvidia| libraries_below(&nvidia))
        .collect()
}

/// `*/lib` in a folder.
fn libraries_below(folder: &Path) -> Vec<PathBuf> {
    let libraries = below(folder).map(|package| package.join("lib"));
    libraries.filter(|folder| folder.is_dir()).collect()
}

/// What a folder holds, in order; nothing if it cannot be read.
fn below(folder: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    paths.into_iter()
}

/// The first file with this name, or with this name and a version.
fn find(folders: &[PathBuf], name: &str) -> Option<PathBuf> {
    let mut files = folders.iter().flat_map(|folder| below(folder));
    files.find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let version = file.strip_prefix(name);
        version.is_some_and(|v| v.is_empty() || v.starts_with('.')) && path.is_file()
    })
}

/// Opens a library for good: others find it by its own name, and see what it defines.
fn keep_open(path: &Path) -> Result<(), libloading::Error> {
    #[cfg(unix)]
    // SAFETY: runs the initialisers of a library that a person named, or that lies where NVIDIA's wheels are.
    let library = unsafe {
        use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};
        Library::open(Some(path), RTLD_NOW | RTLD_GLOBAL)?
    };
    #[cfg(not(unix))]
    // SAFETY: as above.
    let library = unsafe { libloading::Library::new(path)? };
    std::mem::forget(library);
    Ok(())
}

/// The file that the loader took, where the system tells.
fn loaded_from(library: Library) -> Option<PathBuf> {
    let mapped = |maps: &str| {
        let paths = maps
            .lines()
            .filter_map(|line| line.find('/').map(|at| &line[at..]));
        let mut paths = paths.map(Path::new);
        let found = paths.find(|path| {
            let file = path.file_name().unwrap_or_default().to_string_lossy();
            file.starts_with(library.file())
        });
        found.map(Path::to_owned)
    };
    mapped(&std::fs::read_to_string("/proc/self/maps").ok()?)
}
