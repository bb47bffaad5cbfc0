//! Convolutions by cuDNN: NHWC, by algorithms that give the same bits every time. float32 is multiplied and added in
//! float32 (no TF32), bf16 by tensor cores that add in float32.
//!
//! Of the algorithms that cuDNN's heuristic proposes for a shape, the first that is deterministic is taken. The heuristic
//! depends on GPU and library alone; timing them instead would let two runs of one experiment differ.

use std::ffi::c_void;
use std::fmt;
use std::mem::MaybeUninit;
use std::ptr::null_mut;

use cudarc::cudnn::{result as cudnn, result::CudnnError, sys};
use cudarc::driver::{CudaSlice, result as driver};
use serde::Serialize;

use super::gpu::{self, Gpu};
use super::memory::base;
use crate::base::{Error, Kind, Result};
use crate::ops::{Conv, Dtype, Shape};

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

/// A convolution of single images without groups, from `from` to `to`; a linear layer is one of a single pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    pub from: Shape,
    pub to: Shape,
    /// Along height and width, as what follows.
    pub kernel: [usize; 2],
    pub stride: [usize; 2],
    pub padding: [usize; 2],
    /// Of all three tensors.
    pub dtype: Dtype,
}

impl Product {
    /// That of an operation, unless it has groups or looks along time.
    pub fn of(conv: &Conv, from: Shape, to: Shape, dtype: Dtype) -> Option<Self> {
        let of_image = |sizes: [usize; 3]| [sizes[1], sizes[2]];
        let is_of_images = conv.kernel[0] == 1 && conv.stride[0] == 1 && conv.padding[0] == 0;
        (is_of_images && conv.groups == 1).then_some(Self {
            from,
            to,
            kernel: of_image(conv.kernel),
            stride: of_image(conv.stride),
            padding: of_image(conv.padding),
            dtype,
        })
    }

    /// Values of a kernel.
    pub fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Values of the weight.
    pub fn weights(&self) -> usize {
        self.taps() * self.from.channels * self.to.channels
    }
}

/// A product's tensors by themselves, for measurements.
pub struct Tensors {
    memory: [CudaSlice<u8>; 3],
}

impl Tensors {
    /// Every byte is the same; numbers of ordinary size, both as float32 and as bf16.
    const FILL: u8 = 0x3d;

    pub fn new(gpu: &Gpu, product: &Product, rows: usize) -> Result<Self> {
        let filled = |values: usize| {
            let len = values * product.dtype.size();
            let bytes = gpu.allocate::<u8>("a convolution", len)?;
            let at = base(gpu, &bytes);
            // SAFETY: as many bytes were taken at that address.
            let filled =
                unsafe { driver::memset_d8_async(at, Self::FILL, len, gpu.stream.cu_stream()) };
            filled.map_err(|e| gpu::failed("fill memory", e))?;
            Ok(bytes)
        };
        let memory = [
            filled(rows * product.from.count())?,
            filled(product.weights())?,
            filled(rows * product.to.count())?,
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

/// A convolution of some images, ready to run.
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
    dtype: Dtype,
}

impl Convolution {
    pub fn new(gpu: &Gpu, product: &Product, rows: usize, direction: Direction) -> Result<Self> {
        let shapes = Shapes::new(product, rows).map_err(|e| failed("describe a convolution", e))?;
        // SAFETY: handle and descriptors are alive.
        let chosen = unsafe { shapes.choose(gpu.cudnn(), direction) };
        let (algorithm, math, workspace) = chosen
            .map_err(|e| failed("choose an algorithm", e))?
            .ok_or_else(|| {
                let Product { from, to, kernel: [height, width], dtype, .. } = product;
                let message = format!(
                    "cuDNN has no deterministic algorithm in {dtype:?} for {direction} of a {height}×{width} convolution, {} to {} channels",
                    from.channels, to.channels
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
    fn new(product: &Product, rows: usize) -> Result<Self, CudnnError> {
        const NHWC: sys::cudnnTensorFormat_t = sys::cudnnTensorFormat_t::CUDNN_TENSOR_NHWC;
        const FLOAT: sys::cudnnDataType_t = sys::cudnnDataType_t::CUDNN_DATA_FLOAT;
        let (kind, math) = match product.dtype {
            Dtype::Float32 => (FLOAT, sys::cudnnMathType_t::CUDNN_FMA_MATH),
            Dtype::Bf16 => (
                sys::cudnnDataType_t::CUDNN_DATA_BFLOAT16,
                sys::cudnnMathType_t::CUDNN_TENSOR_OP_MATH,
            ),
        };
        let (from, to) = (product.from, product.to);
        let [[padding_h, padding_w], [stride_h, stride_w]] =
            [product.padding, product.stride].map(|sizes| sizes.map(|v| v as i32));
        let [height, width] = product.kernel;
        let ints = |values: [usize; 4]| values.map(|v| v as i32);
        let mut shapes = Self {
            x: null_mut(),
            w: null_mut(),
            y: null_mut(),
            conv: null_mut(),
            dtype: product.dtype,
        };
        shapes.x = cudnn::create_tensor_descriptor()?;
        shapes.w = cudnn::create_filter_descriptor()?;
        shapes.y = cudnn::create_tensor_descriptor()?;
        shapes.conv = cudnn::create_convolution_descriptor()?;
        // SAFETY: the descriptors were just made.
        unsafe {
            let x = ints([rows, from.channels, from.height, from.width]);
            cudnn::set_tensor4d_descriptor(shapes.x, NHWC, kind, x)?;
            let w = ints([to.channels, from.channels, height, width]);
            cudnn::set_filter4d_descriptor(shapes.w, kind, NHWC, w)?;
            let y = ints([rows, to.channels, to.height, to.width]);
            cudnn::set_tensor4d_descriptor(shapes.y, NHWC, kind, y)?;
            let mode = sys::cudnnConvolutionMode_t::CUDNN_CROSS_CORRELATION;
            cudnn::set_convolution2d_descriptor(
                shapes.conv,
                padding_h,
                padding_w,
                stride_h,
                stride_w,
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
        if self.dtype == Dtype::Float32 {
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
