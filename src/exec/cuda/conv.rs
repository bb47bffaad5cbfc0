//! Convolutions by cuDNN: NHWC, by algorithms that give the same bits every time. float32 is multiplied and added in
//! float32 (no TF32), bf16 by tensor cores that add in float32.
//!
//! Of the algorithms that cuDNN's heuristic proposes for a shape, the first that is deterministic is taken. The heuristic
//! depends on card and library alone; timing them instead would let two runs of one experiment differ.

use std::ffi::c_void;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use cudarc::cudnn::{result as cudnn, result::CudnnError, sys};
use cudarc::driver::{CudaSlice, result as driver};
use serde::Serialize;

use super::compile::Variant;
use super::gpu::{self, Gpu};
use super::memory::base;
use crate::base::{Error, Kind, Result};
use crate::program::{BufferId, ConvGeometry, Element, Program};

/// What is computed of y = x ∗ w.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// y from x and w.
    Forward,
    /// dx from dy and w.
    InputGradient,
    /// dw from x and dy.
    WeightGradient,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Forward => "forward",
            Self::InputGradient => "input gradient",
            Self::WeightGradient => "weight gradient",
        })
    }
}

/// What cuDNN computes for a step.
#[derive(Debug, Clone, Copy)]
pub struct Product {
    pub conv: ConvGeometry,
    /// Of all three tensors.
    pub element: Element,
    /// Channels of the input, if it is a picture of float32 that bf16 is multiplied with: it and the weight are then widened by
    /// zeros to what a thread loads at once, which tensor cores take at full speed.
    pub picture: Option<usize>,
}

impl Product {
    /// Of the step that computes `y`, or from its gradient, out of `x`.
    pub fn of(program: &Program, conv: &ConvGeometry, x: BufferId, y: BufferId) -> Self {
        let element = program.buffers[y].element;
        let is_picture = program.buffers[x].element != element;
        let mut product = Self {
            conv: *conv,
            element,
            picture: is_picture.then_some(conv.from.channels),
        };
        if is_picture {
            let wide = Variant::wide(element).width;
            product.conv.from.channels = conv.from.channels.next_multiple_of(wide);
        }
        product
    }

    /// Bytes of the input of `frames` frames.
    pub fn input_bytes(&self, frames: usize) -> usize {
        frames * self.conv.from.count() * self.element.size()
    }

    /// Bytes of the weight.
    pub fn weight_bytes(&self) -> usize {
        self.conv.weights() * self.element.size()
    }
}

/// A product's tensors by themselves, for measurements.
pub struct Tensors {
    memory: [CudaSlice<u8>; 3],
}

impl Tensors {
    /// Every byte is the same; numbers of ordinary size, both as float32 and as bf16.
    const FILL: u8 = 0x3d;

    pub fn new(gpu: &Gpu, product: &Product, frames: usize) -> Result<Self> {
        let output = frames * product.conv.to.count() * product.element.size();
        let filled = |len| {
            let bytes = gpu.allocate::<u8>("a convolution", len)?;
            let at = base(gpu, &bytes);
            // SAFETY: as many bytes were taken at that address.
            let filled =
                unsafe { driver::memset_d8_async(at, Self::FILL, len, gpu.stream.cu_stream()) };
            filled.map_err(|e| gpu::failed("fill memory", e))?;
            Ok(bytes)
        };
        let memory = [
            filled(product.input_bytes(frames))?,
            filled(product.weight_bytes())?,
            filled(output)?,
        ];
        Ok(Self { memory })
    }

    /// Where x, w and y are.
    pub fn addresses(&self, gpu: &Gpu) -> [u64; 3] {
        self.memory.each_ref().map(|bytes| base(gpu, bytes))
    }
}

pub enum Algorithm {
    Forward(sys::cudnnConvolutionFwdAlgo_t),
    InputGradient(sys::cudnnConvolutionBwdDataAlgo_t),
    WeightGradient(sys::cudnnConvolutionBwdFilterAlgo_t),
}

/// A convolution of `frames` pictures, ready to run.
pub struct Convolution {
    shapes: Shapes,
    pub algorithm: Algorithm,
    /// How it multiplies: as the shapes' descriptor says.
    pub math: sys::cudnnMathType_t,
    /// Bytes of scratch memory.
    pub workspace: usize,
}

/// cuDNN's descriptors, freed when they go.
struct Shapes {
    x: sys::cudnnTensorDescriptor_t,
    w: sys::cudnnFilterDescriptor_t,
    y: sys::cudnnTensorDescriptor_t,
    conv: sys::cudnnConvolutionDescriptor_t,
    element: Element,
}

impl Convolution {
    pub fn new(gpu: &Gpu, product: &Product, frames: usize, direction: Direction) -> Result<Self> {
        let Product { conv, element, .. } = product;
        let shapes =
            Shapes::new(product, frames).map_err(|e| failed("describe a convolution", e))?;
        // SAFETY: handle and descriptors are alive.
        let chosen = unsafe { shapes.choose(gpu.cudnn(), direction) };
        let (algorithm, math, workspace) = chosen
            .map_err(|e| failed("choose an algorithm", e))?
            .ok_or_else(|| {
                let (from, to) = (conv.from, conv.to);
                let message = format!(
                    "cuDNN has no deterministic algorithm in {element:?} for {direction} of a {0}×{0} convolution, {1} to {2} channels",
                    conv.kernel, from.channels, to.channels
                );
                Error::new(Kind::Device, message)
            })?;
        Ok(Self {
            shapes,
            algorithm,
            math,
            workspace,
        })
    }

    /// cuDNN's descriptors of x, w, y and the convolution: they go with this.
    pub fn descriptors(
        &self,
    ) -> (
        sys::cudnnTensorDescriptor_t,
        sys::cudnnFilterDescriptor_t,
        sys::cudnnTensorDescriptor_t,
        sys::cudnnConvolutionDescriptor_t,
    ) {
        let Shapes { x, w, y, conv, .. } = self.shapes;
        (x, w, y, conv)
    }

    /// Queues it: `read` in the order in which [`Direction`] names them.
    ///
    /// # Safety
    /// The addresses lead to whole tensors of the convolution's shapes on the GPU, `workspace` to
    /// [`Convolution::workspace`] bytes.
    pub unsafe fn run(
        &self,
        gpu: &Gpu,
        read: [u64; 2],
        written: u64,
        workspace: u64,
    ) -> Result<()> {
        let handle = gpu.cudnn();
        let one = (&raw const ONE).cast();
        let zero = (&raw const ZERO).cast();
        let [a, b] = read.map(|address| address as *const c_void);
        let to = written as *mut c_void;
        let Shapes { x, w, y, conv, .. } = self.shapes;
        let (scratch, bytes) = (workspace as *mut c_void, self.workspace);
        // SAFETY: the caller's promise; the descriptors are alive, the factors are float32 as the descriptors want.
        let outcome = unsafe {
            match self.algorithm {
                Algorithm::Forward(algorithm) => cudnn::convolution_forward(
                    handle, one, x, a, w, b, conv, algorithm, scratch, bytes, zero, y, to,
                ),
                Algorithm::InputGradient(algorithm) => cudnn::convolution_backward_data(
                    handle, one, w, b, y, a, conv, algorithm, scratch, bytes, zero, x, to,
                ),
                Algorithm::WeightGradient(algorithm) => cudnn::convolution_backward_filter(
                    handle, one, x, a, y, b, conv, algorithm, scratch, bytes, zero, w, to,
                ),
            }
        };
        outcome.map_err(|e| failed("convolve", e))
    }
}

static ONE: f32 = 1.0;
static ZERO: f32 = 0.0;

impl Shapes {
    fn new(product: &Product, frames: usize) -> Result<Self, CudnnError> {
        const NHWC: sys::cudnnTensorFormat_t = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        const FLOAT: sys::cudnnDataType_t = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        let conv = &product.conv;
        let (kind, math) = match product.element {
            Element::Float32 => (FLOAT, sys::cudnnMathType_t::CUDNN_FMA_MATH),
            Element::Bf16 => (
                sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
                sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            ),
        };
        let (from, to) = (conv.from, conv.to);
        let side = conv.kernel;
        let ints = |values: [usize; 4]| values.map(|v| v as i32);
        let (padding, stride) = (conv.padding as i32, conv.stride as i32);
        let mut shapes = Self {
            x: null_mut(),
            w: null_mut(),
            y: null_mut(),
            conv: null_mut(),
            element: product.element,
        };
        shapes.x = cudnn::create_tensor_descriptor()?;
        shapes.w = cudnn::create_filter_descriptor()?;
        shapes.y = cudnn::create_tensor_descriptor()?;
        shapes.conv = cudnn::create_convolution_descriptor()?;
        // SAFETY: the descriptors were just made.
        unsafe {
            let x = ints([frames, from.channels, from.height, from.width]);
            cudnn::set_tensor4d_descriptor(shapes.x, NHWC, kind, x)?;
            let w = ints([to.channels, from.channels, side, side]);
            cudnn::set_filter4d_descriptor(shapes.w, kind, NHWC, w)?;
            let y = ints([frames, to.channels, to.height, to.width]);
            cudnn::set_tensor4d_descriptor(shapes.y, NHWC, kind, y)?;
            let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
            cudnn::set_convolution2d_descriptor(
                shapes.conv,
                padding,
                padding,
                stride,
                stride,
                1,
                1,
                mode,
                FLOAT,
            )?;
            cudnn::set_convolution_math_type(shapes.conv, math)?;
        }
        Ok(shapes)
    }

    /// An algorithm is proposed together with how it multiplies. float32 stays float32 whatever is proposed.
    fn multiply_as(
        &self,
        proposed: sys::cudnnMathType_t,
    ) -> Result<sys::cudnnMathType_t, CudnnError> {
        if self.element == Element::Float32 {
            return Ok(sys::cudnnMathType_t::CUDNN_FMA_MATH);
        }
        // SAFETY: the descriptor lives as long as self.
        unsafe { cudnn::set_convolution_math_type(self.conv, proposed)? };
        Ok(proposed)
    }

    /// The first deterministic algorithm of those that cuDNN proposes whose scratch memory it can say, with how it
    /// multiplies and that memory.
    ///
    /// # Safety
    /// The handle is alive.
    unsafe fn choose(
        &self,
        handle: sys::cudnnHandle_t,
        direction: Direction,
    ) -> Result<Option<(Algorithm, sys::cudnnMathType_t, usize)>, CudnnError> {
        let Self { x, w, y, conv, .. } = *self;
        /// For the functions of one direction, whose types have the same fields.
        macro_rules! first {
            ($algorithm:path, $proposals:path, $workspace:path, $($shape:expr),+) => {{
                let found = filled(|most, found, to| {
                    $proposals(handle, $($shape),+, most, found, to)
                })?;
                let mut usable = found.iter().filter(|p| {
                    p.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS
                        && p.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC
                });
                Ok(usable.find_map(|p| {
                    let math = self.multiply_as(p.mathType).ok()?;
                    let bytes = $workspace(handle, $($shape),+, p.algo).ok()?;
                    Some(($algorithm(p.algo), math, bytes))
                }))
            }};
        }
        // SAFETY: the caller's promise; the descriptors live as long as self, and cuDNN fills as many results as it says.
        unsafe {
            match direction {
                Direction::Forward => first!(
                    Algorithm::Forward,
                    cudnn::get_convolution_forward_algorithm,
                    cudnn::get_convolution_forward_workspace_size,
                    x,
                    w,
                    conv,
                    y
                ),
                Direction::InputGradient => first!(
                    Algorithm::InputGradient,
                    cudnn::get_convolution_backward_data_algorithm,
                    cudnn::get_convolution_backward_data_workspace_size,
                    w,
                    y,
                    conv,
                    x
                ),
                Direction::WeightGradient => first!(
                    Algorithm::WeightGradient,
                    cudnn::get_convolution_backward_filter_algorithm,
                    cudnn::get_convolution_backward_filter_workspace_size,
                    x,
                    y,
                    conv,
                    w
                ),
            }
        }
    }
}

impl Drop for Shapes {
    fn drop(&mut self) {
        // SAFETY: each descriptor is freed once; what was never made is null. What cuDNN says at the end changes nothing.
        unsafe {
            if !self.x.is_null() {
                let _ = cudnn::destroy_tensor_descriptor(self.x);
            }
            if !self.w.is_null() {
                let _ = cudnn::destroy_filter_descriptor(self.w);
            }
            if !self.y.is_null() {
                let _ = cudnn::destroy_tensor_descriptor(self.y);
            }
            if !self.conv.is_null() {
                let _ = cudnn::destroy_convolution_descriptor(self.conv);
            }
        }
    }
}

/// Algorithms that cuDNN may propose, fastest first.
const PROPOSALS: usize = 16;

/// What `fill` writes: it gets the most that there is place for, where to put their number, and where to put them.
///
/// # Safety
/// `fill` writes as many as it says.
pub unsafe fn filled<P: Copy>(
    fill: impl FnOnce(i32, *mut i32, *mut P) -> Result<(), CudnnError>,
) -> Result<Vec<P>, CudnnError> {
    let mut count = 0;
    let mut places = [const { MaybeUninit::<P>::uninit() }; PROPOSALS];
    fill(PROPOSALS as i32, &mut count, places.as_mut_ptr().cast())?;
    let count = usize::try_from(count).unwrap_or(0);
    // SAFETY: the caller's promise.
    let written = places.iter().take(count);
    Ok(written.map(|p| unsafe { p.assume_init() }).collect())
}

pub fn failed(what: &str, error: CudnnError) -> Error {
    Error::new(Kind::Device, format!("cuDNN: cannot {what}: {error}"))
}
