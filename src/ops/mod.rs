//! The operations: one file each, with its payload, shape rule, gradient rule, reference kernel and documentation.
//!
//! There are two kinds. A [`Layer`] is what a node of a [`crate::graph`] does; builders write them. A [`Compute`] is what a step
//! of a [`crate::program`] does, forward or backward; every layer is lowered to such steps. What a fast kernel computes is
//! always what [`Compute::reference`] computes: a plain loop nest, for any shape, in float32 and float64.
//!
//! A new operation is a file here, a name in each of the two lists below, and an arm wherever the compiler then says so: none of
//! the matches over operations has a default arm.
//!
//! Activations are NHWC: `rows × height × width × channels`; see [`extent`] for rows.

pub mod extent;
pub mod batch;
pub mod step;
pub mod lowering;
pub mod reverse;
pub mod reference;

mod alter;
mod attention;
mod batch_norm;
mod binary;
mod channels;
mod conv;
mod dropout;
mod each;
mod folded;
mod input;
mod layer_norm;
mod linear;
mod mean;
mod mean_probabilities;
mod pool;
mod shift;
mod shift_alter;
mod take_frames;

pub use alter::{Alter, AlterBack};
pub use attention::{Attention, AttentionBack};
pub use batch::{Batch, Layout, NormGroup, Segment};
pub use batch_norm::MOMENTUM as BATCH_NORM_MOMENTUM;
pub use batch_norm::{
    BatchNorm, BatchStatistics, Mask, Norm, NormParams, Normalize, NormalizeBack, RunningStatistics,
};
pub use binary::{Binary, SumPixels, SumProducts};
pub use channels::{ConcatChannels, PadChannels, SliceChannels};
pub use conv::{Conv, ConvBackBias, ConvBackInput, ConvBackWeight};
pub use dropout::{Dropout, DropoutKey, Drops, draw};
pub use each::{Each, EachBack};
pub use extent::{Extent, Rate, Shape, windowed};
pub use folded::FoldedConv;
pub use input::Input;
pub use layer_norm::{Affine, LayerNorm, LayerNormBack};
pub use linear::Linear;
pub use lowering::Lowering;
pub use mean::{Mean, MeanBack};
pub use mean_probabilities::{MeanProbabilities, MeanProbabilitiesBack};
pub use pool::{Pool, PoolBack, Pooled};
pub use reference::{Real, Site, Statistics};
pub use reverse::Reverse;
pub use shift::{Shift, ShiftBack, fold as shift_fold};
pub use shift_alter::{ShiftAlter, ShiftAlterBack};
pub use step::{Buffer, BufferId, Dtype, Step};
pub use take_frames::{TakeFrames, TakeFramesBack, slow_frames};

/// Index into a graph's parameters.
pub type ParamId = usize;
/// Index into a graph's running statistics.
pub type StatId = usize;

/// The shapes of parameters.
pub trait Shapes {
    /// As PyTorch has it.
    fn shape(&self, param: ParamId) -> &[usize];
}

/// What the shapes of a layer follow from, besides its inputs'.
#[derive(Clone, Copy)]
pub struct Surroundings<'a> {
    pub params: &'a dyn Shapes,
    /// How many branches have private parts.
    pub branches: usize,
    /// Height and width of the input.
    pub input: (usize, usize),
}

impl Surroundings<'_> {
    /// `extent`, if every parameter has a value for each of its channels.
    fn all_channels(
        &self,
        mut params: impl Iterator<Item = ParamId>,
        extent: Extent,
    ) -> Result<Extent, String> {
        let count = |id: ParamId| self.params.shape(id).iter().product::<usize>();
        match params.find(|&id| count(id) != extent.shape.channels) {
            Some(id) => Err(format!(
                "a parameter of {:?} does not fit {extent}",
                self.params.shape(id)
            )),
            None => Ok(extent),
        }
    }

    fn per_branch(&self, found: usize, may_share: bool) -> Result<(), String> {
        if found == self.branches || (may_share && found == 1) {
            return Ok(());
        }
        Err(format!(
            "expected {} private parts, found {found}",
            self.branches
        ))
    }
}

/// What a node does.
pub trait Layer {
    /// In a person's words.
    fn name(&self) -> &'static str;

    /// Whether it can read so many inputs: one, unless it says otherwise.
    fn takes(&self, inputs: usize) -> bool {
        inputs == 1
    }

    /// Every parameter that it uses, in the order of the official checkpoint. A graph in which one is used by no layer is not legal.
    fn params(&self) -> Vec<ParamId> {
        Vec::new()
    }

    /// Every running statistic that it uses; the same holds.
    fn stats(&self) -> Vec<StatId> {
        Vec::new()
    }

    /// The extent of its output, or why it cannot read these inputs.
    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String>;

    /// Multiply-adds for a clip of so many frames, of which the network's usual count is made: products alone.
    fn clip_multiply_adds(&self, _: Surroundings<'_>, _output: Extent, _frames: usize) -> u64 {
        0
    }

    /// Emits its forward steps, which write [`Lowering::output`].
    fn lower(&self, at: &mut Lowering<'_>);
}

/// What a step computes.
pub trait Compute {
    /// The kind of step, as tables name it.
    fn kind(&self) -> &'static str;

    /// Parameters that it trains: backward steps that its gradient rule emits write their gradients.
    fn trained(&self) -> Vec<ParamId> {
        Vec::new()
    }

    /// Parameters whose gradient the step itself writes.
    fn gradients(&self) -> Vec<ParamId> {
        Vec::new()
    }

    /// Products that the network's definition asks for.
    fn multiply_adds(&self, _step: &Step, _buffers: &[Buffer], _batch: &Batch) -> u64 {
        0
    }

    /// Emits the steps of its gradient. Steps of a backward pass have no rule: they are not differentiated again.
    fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule>;

    /// The plain loops that say what the step computes.
    fn reference<R: Real>(&self, site: Site<'_, '_, R>);
}

/// There is no gradient rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoRule;

macro_rules! layers {
    ($($name:ident),* $(,)?) => {
        /// What a node of a graph does.
        #[derive(Debug, Clone, PartialEq)]
        pub enum Op { $($name($name)),* }

        impl Op {
            fn layer(&self) -> &dyn Layer {
                match self { $(Self::$name(layer) => layer),* }
            }
        }

        $(impl From<$name> for Op {
            fn from(layer: $name) -> Self { Self::$name(layer) }
        })*
    };
}

macro_rules! computations {
    ($($name:ident),* $(,)?) => {
        /// What a step of a program computes.
        #[derive(Debug, Clone, PartialEq)]
        pub enum StepOp { $($name($name)),* }

        impl Compute for StepOp {
            fn kind(&self) -> &'static str {
                match self { $(Self::$name(op) => op.kind()),* }
            }
            fn trained(&self) -> Vec<ParamId> {
                match self { $(Self::$name(op) => op.trained()),* }
            }
            fn gradients(&self) -> Vec<ParamId> {
                match self { $(Self::$name(op) => op.gradients()),* }
            }
            fn multiply_adds(&self, step: &Step, buffers: &[Buffer], batch: &Batch) -> u64 {
                match self { $(Self::$name(op) => op.multiply_adds(step, buffers, batch)),* }
            }
            fn differentiate(&self, at: &mut Reverse<'_>) -> Result<(), NoRule> {
                match self { $(Self::$name(op) => op.differentiate(at)),* }
            }
            fn reference<R: Real>(&self, site: Site<'_, '_, R>) {
                match self { $(Self::$name(op) => op.reference(site)),* }
            }
        }

        $(impl From<$name> for StepOp {
            fn from(op: $name) -> Self { Self::$name(op) }
        })*
    };
}

layers! {
    Input,
    Conv,
    BatchNorm,
    LayerNorm,
    Attention,
    Each,
    Binary,
    Pool,
    Mean,
    MeanProbabilities,
    Shift,
    TakeFrames,
    Alter,
    SliceChannels,
    ConcatChannels,
    Dropout,
    Linear,
}

computations! {
    Conv,
    ConvBackInput,
    ConvBackWeight,
    ConvBackBias,
    FoldedConv,
    BatchStatistics,
    RunningStatistics,
    Normalize,
    NormalizeBack,
    LayerNorm,
    LayerNormBack,
    Attention,
    AttentionBack,
    Each,
    EachBack,
    Binary,
    SumPixels,
    SumProducts,
    Pool,
    PoolBack,
    Mean,
    MeanBack,
    MeanProbabilities,
    MeanProbabilitiesBack,
    Shift,
    ShiftBack,
    ShiftAlter,
    ShiftAlterBack,
    TakeFrames,
    TakeFramesBack,
    Alter,
    AlterBack,
    SliceChannels,
    PadChannels,
    ConcatChannels,
    Dropout,
}

impl Layer for Op {
    fn name(&self) -> &'static str {
        self.layer().name()
    }

    fn takes(&self, inputs: usize) -> bool {
        self.layer().takes(inputs)
    }

    fn params(&self) -> Vec<ParamId> {
        self.layer().params()
    }

    fn stats(&self) -> Vec<StatId> {
        self.layer().stats()
    }

    fn extent(&self, inputs: &[Extent], around: Surroundings<'_>) -> Result<Extent, String> {
        self.layer().extent(inputs, around)
    }

    fn clip_multiply_adds(&self, around: Surroundings<'_>, output: Extent, frames: usize) -> u64 {
        self.layer().clip_multiply_adds(around, output, frames)
    }

    fn lower(&self, at: &mut Lowering<'_>) {
        self.layer().lower(at);
    }
}
