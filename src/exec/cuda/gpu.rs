//! A GPU in use: its context, one stream, the compiled kernels and cuDNN.
//!
//! Everything runs on one stream, in the order in which it is asked for, but for the copies of what comes next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cudarc::cudnn::{result as cudnn, sys};
use cudarc::driver::sys::CUevent_flags;
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaModule, CudaSlice, CudaStream, DeviceRepr,
    DriverError, LaunchConfig, PinnedHostSlice, PushKernelArg, ValidAsZeroBits,
};
use cudarc::nvrtc::Ptx;

use super::compile::{Variant, compile};
use super::cudnn::failed as cudnn_failed;
use super::libraries::{Search, Version};
use super::probe::{GpuInfo, Probe, describe};
use crate::base::{Error, Kind, Result};
use crate::ops::Dtype;

/// Threads of a block over single values, and of one that sums, as in `kernels/common.cuh`.
const THREADS: usize = 256;
const SUMMING_THREADS: usize = 512;
/// Lanes of a block that sums, at most.
const LANES: usize = 32;

pub struct Gpu {
    pub info: GpuInfo,
    pub stream: Arc<CudaStream>,
    /// For copies beside what is computed; events order both.
    pub copies: Arc<CudaStream>,
    modules: RefCell<BTreeMap<Variant, Arc<CudaModule>>>,
    functions: RefCell<BTreeMap<(Variant, &'static str), CudaFunction>>,
    cudnn: sys::cudnnHandle_t,
}

/// A kernel by its name in `kernels`, compiled for a variant.
#[derive(Debug, Clone, Copy)]
pub struct Kernel {
    pub name: &'static str,
    pub variant: Variant,
}

/// An argument of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Arg {
    /// Of a value on the device; 0 is null.
    Address(u64),
    Int(i32),
    Count(u64),
    Float(f32),
    Double(f64),
}

impl Kernel {
    pub fn plain(name: &'static str) -> Self {
        Self::single(name, Dtype::Float32)
    }

    pub fn single(name: &'static str, dtype: Dtype) -> Self {
        let variant = Variant::single(dtype);
        Self { name, variant }
    }

    /// The widest for rows of `count` values.
    pub fn of(name: &'static str, dtype: Dtype, count: usize) -> Self {
        let variant = Variant::of(dtype, count);
        Self { name, variant }
    }
}

impl Arg {
    pub const NULL: Self = Self::Address(0);
}

/// The threads of a kernel.
#[derive(Debug, Clone, Copy)]
pub enum Grid {
    /// One for each of `length` values of each of `parts` parts.
    Values { length: usize, parts: usize },
    /// Blocks for the channels of each part.
    Sums { channels: usize, parts: usize },
    /// A line of a block for each of `lines` rows of `values` values.
    Lines { lines: usize, values: usize },
    /// So many blocks, as `kernels/update.cu` takes them.
    Blocks(usize),
}

impl Gpu {
    /// Opens GPU `ordinal` and compiles the kernels in float32 for it. Libraries that are not in the system's folders must be open:
    /// [`Search::open`].
    pub fn open(ordinal: usize) -> Result<Self> {
        let info = Probe::new(&Search::default()).gpu(ordinal)?.clone();
        let context = CudaContext::new(ordinal).map_err(|e| failed("open the GPU", e))?;
        // SAFETY: only `input.rs` uses both streams on one memory, with events of its own.
        unsafe { context.disable_event_tracking() };
        let stream = || {
            let stream = context.new_stream();
            stream.map_err(|e| failed("open a stream", e))
        };
        let (stream, copies) = (stream()?, stream()?);
        let handle = cudnn::create_handle().map_err(|e| cudnn_failed("start cuDNN", e))?;
        let gpu = Self {
            info,
            modules: RefCell::default(),
            functions: RefCell::default(),
            cudnn: handle,
            stream,
            copies,
        };
        // SAFETY: both live as long as the GPU.
        let outcome = unsafe { cudnn::set_stream(handle, gpu.stream.cu_stream().cast()) };
        outcome.map_err(|e| cudnn_failed("set cuDNN's stream", e))?;
        // For what is float32 in every program, and for the optimiser.
        gpu.prepare(Dtype::Float32)?;
        Ok(gpu)
    }

    pub fn cudnn(&self) -> sys::cudnnHandle_t {
        self.cudnn
    }

    /// Compiles and loads what programs of a dtype need, unless that is done.
    pub fn prepare(&self, dtype: Dtype) -> Result<()> {
        const TENSOR_CORES_FOR_BF16: Version = Version(8, 0);
        if dtype == Dtype::Bf16 && self.info.architecture < TENSOR_CORES_FOR_BF16 {
            let message = format!(
                "{}: bf16 needs compute capability {TENSOR_CORES_FOR_BF16}, the GPU has {}",
                self.info.name, self.info.architecture
            );
            return Err(Error::new(Kind::Device, message)
                .hint("compute in float32: `precision: Float32`, or `--engine compiled`"));
        }
        for variant in Variant::both(dtype) {
            if self.modules.borrow().contains_key(&variant) {
                continue;
            }
            let cubin = compile(self.info.architecture, variant)?;
            let context = self.stream.context();
            let module = context.load_module(Ptx::from_binary(cubin.bytes));
            let module = module.map_err(|e| failed("load the kernels", e))?;
            self.modules.borrow_mut().insert(variant, module);
        }
        Ok(())
    }

    /// Queues a kernel.
    ///
    /// # Safety
    /// The arguments are those of the kernel by number, order and type, and every address leads to as much memory of
    /// this GPU as the kernel reads or writes there.
    pub unsafe fn launch(&self, kernel: Kernel, grid: Grid, args: &[Arg]) -> Result<()> {
        let function = self.function(kernel)?;
        let mut launch = self.stream.launch_builder(&function);
        for arg in args {
            match arg {
                Arg::Address(address) => launch.arg(address),
                Arg::Int(value) => launch.arg(value),
                Arg::Count(value) => launch.arg(value),
                Arg::Float(value) => launch.arg(value),
                Arg::Double(value) => launch.arg(value),
            };
        }
        // SAFETY: the caller's promise.
        let outcome = unsafe { launch.launch(grid.config(kernel.variant.width)) };
        outcome
            .map(drop)
            .map_err(|e| failed(&format!("launch `{}`", kernel.name), e))
    }

    fn function(&self, Kernel { name, variant }: Kernel) -> Result<CudaFunction> {
        if let Some(function) = self.functions.borrow().get(&(variant, name)) {
            return Ok(function.clone());
        }
        let modules = self.modules.borrow();
        let module = modules.get(&variant).ok_or_else(|| {
            let message = format!("the kernels for {variant:?} are not loaded");
            Error::new(Kind::Device, message)
        })?;
        let function = module.load_function(name);
        let function = function.map_err(|e| failed(&format!("find `{name}`"), e))?;
        let mut functions = self.functions.borrow_mut();
        Ok(functions.entry((variant, name)).or_insert(function).clone())
    }

    /// Memory of the GPU, whatever it holds; `what` is for the message if there is too little.
    pub fn allocate<T: DeviceRepr + ValidAsZeroBits>(
        &self,
        what: &str,
        len: usize,
    ) -> Result<CudaSlice<T>> {
        // SAFETY: any bits are a value of these types. The driver refuses to give nothing.
        let allocated = unsafe { self.stream.alloc(len.max(1)) };
        allocated.map_err(|error| {
            let wanted = (len * size_of::<T>()) as f64 / 1e6;
            let free = self.free_memory().unwrap_or(0);
            let message = format!(
                "{}: {what} need {wanted:.0} MB, {:.0} MB are free ({:?})",
                self.info.name,
                free as f64 / 1e6,
                error.0
            );
            Error::new(Kind::Device, message)
                .hint(
                    "a smaller `train.batch` or `eval.batch` needs less; `ffn plan --device` says how much before anything runs",
                )
        })
    }

    /// Memory of this machine that the GPU reads and writes by itself, whatever it holds.
    pub fn pinned<T: DeviceRepr + ValidAsZeroBits>(
        &self,
        what: &str,
        len: usize,
    ) -> Result<PinnedHostSlice<T>> {
        // SAFETY: any bits are a value of these types. The driver refuses to give nothing.
        let allocated = unsafe { self.stream.context().alloc_pinned_with_flags(len.max(1), 0) };
        allocated.map_err(|error| failed(&format!("pin memory for {what}"), error))
    }

    /// Bytes of the GPU that nobody has taken yet.
    pub fn free_memory(&self) -> Result<usize> {
        let (free, _) = self
            .stream
            .context()
            .mem_get_info()
            .map_err(|e| failed("ask for free memory", e))?;
        Ok(free)
    }

    /// An event that orders streams.
    pub fn event(&self) -> Result<CudaEvent> {
        let event = self.stream.context().new_event(None);
        event.map_err(|e| failed("make an event", e))
    }

    /// Marks that can be queued between kernels.
    pub fn marks(&self, count: usize) -> Result<Vec<CudaEvent>> {
        let context = self.stream.context();
        let mark = |_| context.new_event(Some(CUevent_flags::CU_EVENT_DEFAULT));
        let marks = (0..count).map(mark).collect::<Result<_, _>>();
        marks.map_err(|e| failed("make an event", e))
    }

    /// Queues a mark, which takes the time when everything before it is done.
    pub fn mark(&self, mark: &CudaEvent) -> Result<()> {
        let outcome = mark.record(&self.stream);
        outcome.map_err(|e| failed("record an event", e))
    }

    /// Waits until everything queued is done.
    pub fn synchronize(&self) -> Result<()> {
        let outcome = self.stream.synchronize();
        outcome.map_err(|e| failed("finish the queued work", e))
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        // SAFETY: the handle goes with the GPU. What cuDNN says at the end changes nothing.
        let _ = unsafe { cudnn::destroy_handle(self.cudnn) };
    }
}

impl Grid {
    /// `width`: values that a thread takes.
    fn config(self, width: usize) -> LaunchConfig {
        let (blocks, parts, block) = match self {
            Self::Values { length, parts } => {
                (length.div_ceil(width * THREADS), parts, (THREADS, 1))
            }
            Self::Sums { channels, parts } => {
                let threads = channels.div_ceil(width);
                let lanes = threads.next_power_of_two().min(LANES);
                (
                    threads.div_ceil(lanes),
                    parts,
                    (lanes, SUMMING_THREADS / lanes),
                )
            }
            Self::Lines { lines, values } => {
                let threads = values.div_ceil(width);
                let lanes = threads.next_power_of_two().min(LANES);
                let of_block = SUMMING_THREADS / lanes;
                (lines.div_ceil(of_block), 1, (lanes, of_block))
            }
            Self::Blocks(blocks) => (blocks, 1, (1, THREADS)),
        };
        LaunchConfig {
            grid_dim: (blocks as u32, parts as u32, 1),
            block_dim: (block.0 as u32, block.1 as u32, 1),
            shared_mem_bytes: 0,
        }
    }
}

pub fn failed(what: &str, error: DriverError) -> Error {
    Error::new(Kind::Device, format!("CUDA: {}", describe(what, error)))
}
