//! Computes a network: [`cpu`] and [`cuda`] run its compiled program, [`dfdx`] interprets its graph.

pub mod arena;
pub mod choice;
pub mod cpu;
pub mod cuda;
pub mod device;
pub mod dfdx;
mod input;
mod lengths;
pub mod plan;
pub mod reference;
mod update;

use serde::{Deserialize, Serialize};

pub use self::device::{Device, Engine, TaskTime};
pub use self::input::{Input, Next};
pub use self::update::{AdamW, Rates, Rule, Update};
pub use crate::ops::{DropoutKey, Dtype, Statistics};
pub use crate::program::{Fusions, Numerics, Segment, Style, TrainOptions};
use crate::spec::Precision;

/// What computes a model, and with how much of the machine. No result depends on the threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Executor {
    pub engine: EngineKind,
    /// Of the compiled engine; the reference runs on the CPU.
    pub device: DeviceId,
    pub threads: usize,
    /// Of the compiled engine.
    pub fusions: Fusions,
}

impl Executor {
    /// The compiled engine on the CPU.
    pub fn compiled(threads: usize) -> Self {
        Self {
            engine: EngineKind::Compiled,
            device: DeviceId::Cpu,
            threads,
            fusions: Fusions::ALL,
        }
    }

    /// How its programs are made.
    pub fn style(self) -> Style {
        Style {
            numerics: self.engine.numerics(),
            fusions: self.fusions,
        }
    }

    /// The engine, the device where it is not the CPU, and the fusions where they are not all.
    pub fn name(self) -> String {
        let device = match self.device {
            DeviceId::Cpu => String::new(),
            DeviceId::Cuda(ordinal) => format!(" on cuda:{ordinal}"),
        };
        let fusions = match self.fusions {
            Fusions::ALL => String::new(),
            fusions => format!(" with --fuse {fusions}"),
        };
        format!("{}{device}{fusions}", self.engine.name())
    }
}

/// Where a compiled program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceId {
    Cpu,
    /// A GPU, as the driver counts them.
    Cuda(usize),
}

/// Which engine computes the trunk. These texts are also those of `--help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineKind {
    /// Fused programs with kernels of their own, in float32: for everything.
    // Earlier manifests call it by its device.
    #[default]
    #[serde(alias = "cpu")]
    Compiled,
    /// The same, with activations, their gradients and the factors of products in bf16: mixed precision. Weights, sums,
    /// statistics and everything behind the pooled features stay float32. Fast on some processors with AVX512-BF16 and on GPUs.
    CompiledBf16,
    /// The same in the order of sums of Intel's AMX, fast on processors that have it; others compute the same bits, slowly. On the
    /// CPU alone.
    CompiledAmx,
    /// The reference: every layer in dfdx's own operations, its own gradients, in float32. Slow; to hold the compiled
    /// engine against.
    Dfdx,
    /// The reference in float64: to tell rounding from mistakes.
    DfdxF64,
}

impl EngineKind {
    /// As on the command line and in a manifest.
    pub fn name(self) -> &'static str {
        match self {
            Self::Compiled => "compiled",
            Self::CompiledBf16 => "compiled-bf16",
            Self::CompiledAmx => "compiled-amx",
            Self::Dfdx => "dfdx",
            Self::DfdxF64 => "dfdx-f64",
        }
    }

    /// Whether it computes on a GPU too.
    pub fn runs_on_gpus(self) -> bool {
        match self {
            Self::Compiled | Self::CompiledBf16 => true,
            Self::CompiledAmx | Self::Dfdx | Self::DfdxF64 => false,
        }
    }

    pub fn arithmetic(self) -> Arithmetic {
        match self {
            Self::Compiled | Self::Dfdx => Arithmetic::Float32,
            Self::CompiledBf16 | Self::CompiledAmx => Arithmetic::Bf16,
            Self::DfdxF64 => Arithmetic::Float64,
        }
    }

    /// The engine that computes in a precision, as far as the device gains by it: on the CPU by measurement.
    pub fn of(precision: Precision, device: DeviceId) -> Self {
        match (precision, device) {
            (Precision::Mixed, DeviceId::Cpu) => choice::Measured::here().mixed(),
            // A GPU without tensor cores for bf16 says so.
            (Precision::Mixed, DeviceId::Cuda(_)) => Self::CompiledBf16,
            (Precision::Float32, _) => Self::Compiled,
        }
    }

    /// What a compiled program computes in.
    pub fn numerics(self) -> Numerics {
        match self {
            Self::CompiledBf16 => Numerics::Bf16,
            Self::CompiledAmx => Numerics::Bf16Amx,
            Self::Compiled | Self::Dfdx | Self::DfdxF64 => Numerics::Float32,
        }
    }
}

/// What an engine computes in. What goes in and comes out is float32.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arithmetic {
    Float32,
    /// Sums in float32 of products of bf16.
    Bf16,
    Float64,
}

impl Statistics {
    /// PyTorch's initial ones: mean 0, variance 1, no batch seen.
    pub fn initial(graph: &crate::graph::Graph) -> Self {
        let all = |value: f32| {
            let stats = graph.stats.iter();
            stats.map(|stat| vec![value; stat.channels]).collect()
        };
        Self {
            mean: all(0.0),
            var: all(1.0),
            batches: vec![0; graph.stats.len()],
        }
    }
}
