//! How much of a card's memory a model takes, before it takes it: what [`super::memory::Memory`] allocates is what is said
//! here.

use serde::Serialize;

use super::conv::Convolution;
use super::gpu::Gpu;
use super::update::Momentum;
use super::weights::Weights;
use crate::base::Result;
use crate::graph::Graph;
use crate::program::{Op, Program};

/// Bytes of an engine, besides the weights, which all engines of a model share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Needs {
    /// The program's arena.
    pub buffers: usize,
    /// What kernels look up of the batch's frames.
    pub tables: usize,
    /// A batch as bytes.
    pub pixels: usize,
    /// cuDNN's scratch memory.
    pub workspace: usize,
    /// The input of a convolution that shifts or widens it.
    pub staged_input: usize,
    /// The widened weight of one, or its gradient.
    pub staged_weight: usize,
}

impl Needs {
    /// As cuDNN answers on a card.
    pub fn of(gpu: &Gpu, program: &Program) -> Result<Self> {
        let convolutions = super::convolutions(gpu, program)?;
        Ok(Self::of_convolutions(program, &convolutions))
    }

    /// All but cuDNN's scratch memory, which only a card can tell.
    pub fn without_cudnn(program: &Program) -> Self {
        Self::of_convolutions(program, &[])
    }

    /// `convolutions`: of each step.
    pub(super) fn of_convolutions(program: &Program, convolutions: &[Vec<Convolution>]) -> Self {
        let word = size_of::<f32>();
        let workspaces = convolutions.iter().flatten().map(|conv| conv.workspace);
        // A card gives no memory of no bytes.
        let mut needs = Self {
            buffers: program.arena * word,
            tables: 2 * program.batch.frames * word,
            pixels: program.buffers[program.input].len,
            workspace: workspaces.map(|bytes| bytes.max(1)).max().unwrap_or(0),
            staged_input: 1,
            staged_weight: 1,
        };
        for step in program.steps() {
            let Some((product, _)) = super::product(program, &step.op) else {
                continue;
            };
            let widens = product.picture.is_some();
            if widens || matches!(step.op, Op::Conv { shift: Some(_), .. }) {
                let bytes = product.input_bytes(program.batch.frames);
                needs.staged_input = needs.staged_input.max(bytes);
            }
            if widens {
                needs.staged_weight = needs.staged_weight.max(product.weight_bytes());
            }
        }
        needs
    }

    pub fn total(&self) -> usize {
        self.buffers + self.tables + self.pixels + self.convolutions()
    }

    /// What convolutions take besides the program's buffers.
    pub fn convolutions(&self) -> usize {
        self.workspace + self.staged_input + self.staged_weight
    }
}

/// Bytes of a model's weights, and of what training adds to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WeightNeeds {
    /// Parameters and running statistics.
    pub model: usize,
    pub gradients: usize,
    pub momentum: usize,
}

impl WeightNeeds {
    /// `trained`: whether each parameter is.
    pub fn of(graph: &Graph, trained: &[bool]) -> Result<Self> {
        let [params, statistics] = Weights::layouts(graph);
        Ok(Self {
            model: params.bytes() + statistics.bytes(),
            gradients: params.bytes(),
            momentum: Momentum::needs(&params, trained)?,
        })
    }

    pub fn total(&self) -> usize {
        self.model + self.gradients + self.momentum
    }
}
