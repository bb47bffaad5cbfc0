//! Flags that several subcommands share.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::base::{Error, Kind, Result, Shown, files, limits, terminal};
use crate::exec::cuda::libraries::Search;
use crate::exec::{DeviceId, EngineKind, Executor, Fusions};
use crate::ranks::own_gpu;
use crate::spec::{self, Document, Loaded, Settings};
pub use crate::train::machine::thread_count;
use crate::train::machine::{DeviceChoice, MachineChoice};
use crate::train::opening::{DataLocation, Opening};

/// Frames of a clip.
const MAX_FRAMES: usize = limits::FRAMES.most as usize;

/// `--threads` and `--workers`.
pub fn threads(text: &str) -> Result<usize, String> {
    number(text, 0..=limits::THREADS.most)
}

/// `--batch`.
pub fn batch(text: &str) -> Result<usize, String> {
    number(text, 1..=limits::BATCH.most)
}

/// `--frames`, where it takes one number.
pub fn frames(text: &str) -> Result<usize, String> {
    number(text, 1..=limits::FRAMES.most)
}

/// `--size`.
pub fn pixels(text: &str) -> Result<usize, String> {
    number(text, 16..=limits::PIXELS.most)
}

/// How often something is done: steps, repeats, clips, classes.
pub fn count<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    number(text, 1..=limits::COUNT.most)
}

/// A side of an image.
pub fn side(text: &str) -> Result<usize, String> {
    number(text, 1..=limits::PIXELS.most)
}

/// Where something begins: epochs, numbers of frames, steps.
pub fn start<T: TryFrom<u64>>(text: &str) -> Result<T, String> {
    number(text, 0..=limits::COUNT.most)
}

fn number<T: TryFrom<u64>>(text: &str, legal: RangeInclusive<u64>) -> Result<T, String> {
    let number = text.parse().ok().filter(|number| legal.contains(number));
    let number = number.and_then(|number| T::try_from(number).ok());
    number.ok_or_else(|| {
        format!(
            "expected a number from {} to {}",
            legal.start(),
            legal.end()
        )
    })
}

/// What is different from the file.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SetOptions {
    /// Another value for a field of the experiment, or of every member of a suite: `train.epochs=10`. Values as in a file:
    /// `'name="other"'`, `'method=Vanilla(frames: 8)'`. As a part of the identity it makes another run. Can be repeated.
    #[arg(long = "set", value_name = "FIELD=VALUE")]
    set: Vec<String>,
}

impl SetOptions {
    pub fn load(&self, path: &Path) -> Result<Loaded> {
        spec::load_with(path, &Settings::parse(&self.set)?)
    }

    pub fn load_document(&self, path: &Path) -> Result<Document> {
        spec::load_document_with(path, &Settings::parse(&self.set)?)
    }

    /// The documents of several files, whose warnings are told; every mistake of every file at once.
    pub fn load_documents(&self, paths: &[PathBuf]) -> Result<Vec<Document>> {
        let (mut documents, mut reports) = (Vec::new(), Vec::new());
        for path in paths {
            match self.load_document(path) {
                Ok(document) => documents.push(document),
                Err(error) if error.kind == Kind::Experiment => reports.push(error.message),
                Err(error) => return Err(error),
            }
        }
        for document in &documents {
            let warnings = match document {
                Document::Experiment(loaded) => &loaded.warnings,
                Document::Suite(loaded) => &loaded.warnings,
            };
            warnings
                .iter()
                .for_each(|warning| terminal::say_exactly(warning));
        }
        match reports.is_empty() {
            true => Ok(documents),
            false => Err(Error::new(Kind::Experiment, reports.join("\n"))),
        }
    }

    /// As it was written, for another command line.
    pub fn arguments(&self) -> Vec<String> {
        let pairs = self.set.iter();
        pairs
            .flat_map(|set| ["--set".to_owned(), set.clone()])
            .collect()
    }
}

/// Where the data are, and whether they must be the pinned ones.
#[derive(Debug, Clone, clap::Args)]
pub struct DataOptions {
    /// Folder of the data set, or of a pack on an object store: `s3://BUCKET/FOLDER`, `gs://`, `az://`, `https://` (in a program that was
    /// built with `--features object-store`). Else `FFN_DATA_<NAME>` or the configuration file says where it is.
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,

    /// Work on data that nobody pinned; the manifest and every report will say so.
    #[arg(long)]
    pub unpinned: bool,
}

/// What of this machine is used. Results do not depend on it, within one device class.
#[derive(Debug, Clone, clap::Args)]
pub struct MachineOptions {
    #[command(flatten)]
    pub device: DeviceOptions,

    /// What computes the model, instead of the run's own engine; of a new run the one that fits `precision` and this
    /// machine.
    #[arg(long, value_enum)]
    pub engine: Option<EngineKind>,

    #[command(flatten)]
    pub fuse: FuseOptions,

    /// Threads of the compiled engine on the CPU; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = threads)]
    pub threads: usize,

    /// Threads that decode and transform videos; 0: one for each core.
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = threads)]
    pub workers: usize,
}

/// `--fuse`
#[derive(Debug, Clone, Copy, clap::Args)]
pub struct FuseOptions {
    /// Which steps the compiled engine makes one of, instead of the run's own choice; of a new run all: `all`, `none`, or
    /// some of norm, shift, fold-norm, fold-sum, fold-shift, channels, recompute, with commas between them.
    #[arg(long, value_name = "FUSIONS")]
    pub fuse: Option<Fusions>,
}

/// Where NVIDIA's libraries are.
#[derive(Debug, Clone, clap::Args)]
pub struct CudaOptions {
    /// Folder of NVIDIA's libraries, or a Python environment with their wheels; looked into before the system's folders.
    #[arg(
        long,
        value_name = "DIR",
        env = "FFN_CUDA_LIBRARIES",
        hide_env_values = true
    )]
    pub cuda_libraries: Option<PathBuf>,
}

impl CudaOptions {
    pub fn search(&self) -> Search {
        Search::new(self.cuda_libraries.as_deref())
    }
}

/// Frame counts as written on the command line: `8`, or `2..24` with both ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FrameCounts(RangeInclusive<usize>);

/// A frame count that a person can mean.
pub fn check_frames(frames: usize) -> Result<usize> {
    match frames {
        1..=MAX_FRAMES => Ok(frames),
        _ => Err(Error::new(
            Kind::Usage,
            format!("--frames takes numbers from 1 to {MAX_FRAMES}, found {frames}"),
        )),
    }
}

impl FrameCounts {
    /// All of several ranges, ascending, each once.
    pub fn union(all: &[Self]) -> Vec<usize> {
        let mut frames: Vec<usize> = all.iter().flat_map(Self::range).collect();
        frames.sort_unstable();
        frames.dedup();
        frames
    }

    pub fn range(&self) -> RangeInclusive<usize> {
        self.0.clone()
    }
}

impl FromStr for FrameCounts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let number = |text: &str| {
            let number = text
                .parse()
                .map_err(|_| format!("`{text}` is no frame count"))?;
            check_frames(number).map_err(|error| error.message)
        };
        let (first, last) = (number(first)?, number(last)?);
        match first <= last {
            true => Ok(Self(first..=last)),
            false => Err(format!("write `{last}..{first}`: a range goes upwards")),
        }
    }
}

impl DataOptions {
    pub fn location(&self) -> DataLocation {
        DataLocation {
            root: self.data_root.clone(),
            cache: None,
            unpinned: self.unpinned,
        }
    }
}

impl MachineOptions {
    pub fn choice(&self) -> MachineChoice {
        MachineChoice {
            engine: self.engine,
            device: self.device.choice(),
            fusions: self.fuse.fuse,
            threads: self.threads,
            workers: self.workers,
        }
    }

    /// `own`: engine and fusions where none are asked for.
    pub fn executor(&self, own: (EngineKind, Fusions)) -> Result<Executor> {
        self.choice().executor(own)
    }
}

/// How these flags open a run; `experiments` is the folder of its experiment file, where one is given.
pub fn opening(
    experiments: Option<&Path>,
    data: &DataOptions,
    machine: &MachineOptions,
) -> Opening {
    Opening {
        experiments: experiments.map(Path::to_owned),
        data: data.location(),
        machine: machine.choice(),
    }
}

/// `--device`, and where its libraries are.
#[derive(Debug, Clone, clap::Args)]
pub struct DeviceOptions {
    /// Where the compiled engine runs: `auto` takes the CPU, `cuda:N` a GPU of `ffn devices`, `cuda` the first, or of several ranks on
    /// a machine each its own.
    #[arg(long, default_value = "auto", value_name = "auto|cpu|cuda[:N]")]
    device: Chosen,

    #[command(flatten)]
    cuda: CudaOptions,
}

impl DeviceOptions {
    /// The device, whether it is there or not.
    pub fn place(&self) -> DeviceId {
        self.device.0
    }

    pub fn choice(&self) -> DeviceChoice {
        self.device.with(&self.cuda)
    }

    /// The device, with the libraries that it needs open; what it lacks is an error now.
    pub fn open(&self, engine: EngineKind) -> Result<DeviceId> {
        self.choice().open(engine)
    }
}

/// A device as written on the command line.
// `auto` is the CPU until the engine on CUDA has been held against the goldens on a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen(DeviceId);

impl Chosen {
    /// With the libraries of another flag.
    pub fn with(self, cuda: &CudaOptions) -> DeviceChoice {
        DeviceChoice {
            device: self.0,
            libraries: cuda.cuda_libraries.clone(),
        }
    }
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let ordinal = text.strip_prefix("cuda:").map(str::parse);
        match (text, ordinal) {
            ("auto" | "cpu", _) => Ok(Self(DeviceId::Cpu)),
            ("cuda", _) => Ok(Self(DeviceId::Cuda(own_gpu()))),
            (_, Some(Ok(ordinal))) => Ok(Self(DeviceId::Cuda(ordinal))),
            _ => {
                Err("expected `auto`, `cpu`, `cuda`, or `cuda:` and the number of a GPU".to_owned())
            }
        }
    }
}

/// Refuses a file to write where one is already, unless it may be replaced, and where something else is.
pub fn check_output(path: &Path, force: bool) -> Result<()> {
    match files::is_replaceable(path)? && !force {
        false => Ok(()),
        true => Err(
            Error::new(Kind::Usage, format!("`{}` is there already", path.shown()))
                .hint("--force replaces it; --out names another file"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::FrameCounts;

    #[test]
    fn single_counts_and_ranges() {
        let range = |text: &str| text.parse::<FrameCounts>().map(|counts| counts.range());
        assert_eq!(range("8"), Ok(8..=8));
        assert_eq!(range("2..24"), Ok(2..=24));
        for (text, message) in [
            ("0", "--frames takes numbers from 1 to 1024, found 0"),
            (
                "2..2000",
                "--frames takes numbers from 1 to 1024, found 2000",
            ),
            ("8..4", "write `4..8`: a range goes upwards"),
            ("2..", "`` is no frame count"),
            ("x", "`x` is no frame count"),
            ("-1", "`-1` is no frame count"),
        ] {
            assert_eq!(range(text), Err(message.to_owned()), "{text}");
        }
    }
}
