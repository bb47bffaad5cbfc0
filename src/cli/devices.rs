//! `ffn devices`

use std::path::Path;

use serde::Serialize;

use super::options::CudaOptions;
use super::print_json;
use crate::base::{Result, Shown, terminal};
use crate::exec::EngineKind;
use crate::exec::choice::{Measured, Rate};
use crate::exec::cuda::libraries::Outcome;
use crate::exec::cuda::probe::{Finding, GpuInfo, Probe};
use crate::ranks::mpi_libraries;
use crate::run::provenance::Machine;

#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    cuda: CudaOptions,

    /// Print as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Devices {
    cpu: Machine,
    multiply_adds: &'static [Rate],
    mixed: EngineKind,
    cuda: Probe,
    /// Libraries by which ranks of one run may speak to one another.
    mpi: Vec<String>,
}

pub fn run(args: Args) -> Result<()> {
    let devices = Devices {
        cpu: Machine::this(),
        multiply_adds: Measured::here().rates(),
        mixed: Measured::here().mixed(),
        cuda: Probe::new(&args.cuda.search()),
        mpi: mpi_libraries(),
    };
    if args.json {
        return print_json(&devices);
    }
    terminal::print(text(&devices))
}

fn text(Devices { cpu, cuda, mpi, .. }: &Devices) -> String {
    let mut text = format!(
        "cpu      {}, {} cores, device class `{}`\n         {}\n",
        cpu.cpu,
        cpu.cores,
        cpu.device_class,
        Measured::here().describe()
    );
    for gpu in &cuda.gpus {
        text += &gpu_line(gpu);
    }
    if let Some(trouble) = &cuda.trouble {
        text += &format!("cuda     {trouble}\n");
    }
    text += "\n`--device auto` takes the cpu, `--device cuda:N` a GPU: no GPU has run the engine yet. CUDA needs\n";
    cuda.libraries.iter().for_each(|f| text += &finding(f));
    text += &match mpi.is_empty() {
        true => "mpi      none found; `srun` and `torchrun` start ranks of one run without it\n"
            .to_owned(),
        false => format!("mpi      {}\n", mpi.join(", ")),
    };
    text
}

fn gpu_line(gpu: &GpuInfo) -> String {
    let GpuInfo {
        ordinal,
        name,
        architecture,
        memory_bytes,
    } = gpu;
    let memory = *memory_bytes as f64 / f64::from(1 << 30);
    format!("cuda:{ordinal}   {name}, {memory:.1} GiB, compute capability {architecture}\n")
}

fn finding(Finding { library, outcome }: &Finding) -> String {
    let name = format!("  {:<7}", library.to_string());
    let indent = "         ";
    match outcome {
        Outcome::Found { version, path } => {
            format!("{name}{version}{}\n", place(path.as_deref()))
        }
        Outcome::Missing { looked } => {
            let folders = looked.iter().map(|folder| format!(", {}", folder.shown()));
            format!(
                "{name}not found: `{}`\n{indent}looked in the system's folders and LD_LIBRARY_PATH{}\n{indent}to mend it: {}\n",
                library.file(),
                folders.collect::<String>(),
                library.remedy()
            )
        }
        Outcome::Broken { path, why } => {
            let place = place(path.as_deref());
            let remedy = library.remedy();
            format!("{name}cannot be used{place}: {why}\n{indent}to mend it: {remedy}\n")
        }
    }
}

fn place(path: Option<&Path>) -> String {
    path.map_or_else(String::new, |path| format!(", {}", path.shown()))
}
