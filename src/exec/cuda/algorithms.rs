//! What cuDNN's algorithms take: the one that its heuristic proposes, which is used, beside the fastest that gives the same
//! bits every time and the fastest at all. Nothing is chosen by that: two runs would choose differently.

use std::collections::BTreeMap;
use std::ffi::c_void;

use cudarc::cudnn::{result::CudnnError, sys};
use cudarc::driver::CudaSlice;
use serde::Serialize;

use super::conv::{Algorithm, Convolution, Direction, Product, Tensors, failed, filled};
use super::gpu::Gpu;
use super::memory::base;
use super::{product, runs};
use crate::base::Result;
use crate::program::Program;

/// Seconds of the algorithms of one convolution, which `count` steps have; of those that need no more than a gigabyte of
/// scratch memory.
#[derive(Debug, Clone, Serialize)]
pub struct Timed {
    /// The first step that has it.
    pub step: String,
    pub direction: Direction,
    pub count: usize,
    /// Of the one that is used; `None` where cuDNN did not time it.
    pub used: Option<f64>,
    pub deterministic: Option<f64>,
    pub fastest: Option<f64>,
}

/// Bytes of scratch memory that an algorithm may take.
const WORKSPACE: usize = 1 << 30;

/// Times every convolution of a program, each shape once.
pub fn time(gpu: &Gpu, program: &Program) -> Result<Vec<Timed>> {
    let mut found: Vec<Timed> = Vec::new();
    let mut known = BTreeMap::new();
    let scratch = gpu.allocate("the algorithms' scratch memory", WORKSPACE)?;
    for step in program.steps() {
        let Some((product, direction)) = product(program, &step.op) else {
            continue;
        };
        for (frames, _) in runs(program, &step.op) {
            let key = format!("{product:?} {direction:?} {}", frames.len());
            let index = *known.entry(key).or_insert(found.len());
            match found.get_mut(index) {
                Some(timed) => timed.count += 1,
                None => found.push(Timed {
                    step: step.name.clone(),
                    ..time_one(gpu, (&product, direction), frames.len(), &scratch)?
                }),
            }
        }
    }
    Ok(found)
}

fn time_one(
    gpu: &Gpu,
    (product, direction): (&Product, Direction),
    frames: usize,
    scratch: &CudaSlice<u8>,
) -> Result<Timed> {
    let convolution = Convolution::new(gpu, product, frames, direction)?;
    let tensors = Tensors::new(gpu, product, frames)?;
    let [x, w, y] = tensors.addresses(gpu).map(|at| at as *mut c_void);
    let scratch = base(gpu, scratch) as *mut c_void;
    // SAFETY: the tensors have the shapes' sizes, the scratch memory what is said.
    let tries = unsafe { time_all(&convolution, gpu, [x, w, y], scratch) };
    let tries = tries.map_err(|e| failed("time its algorithms", e))?;
    gpu.synchronize()?;
    let least = |wanted: &dyn Fn(&Try) -> bool| {
        let seconds = tries.iter().filter(|t| wanted(t)).map(|t| t.seconds);
        seconds.reduce(f64::min)
    };
    Ok(Timed {
        step: String::new(),
        direction,
        count: 1,
        used: least(&|t| t.is_used),
        deterministic: least(&|t| t.is_deterministic),
        fastest: least(&|_| true),
    })
}

/// An algorithm that ran.
struct Try {
    seconds: f64,
    is_deterministic: bool,
    is_used: bool,
}

/// # Safety
/// The addresses lead to tensors of the convolution's shapes, `scratch` to [`WORKSPACE`] bytes.
unsafe fn time_all(
    convolution: &Convolution,
    gpu: &Gpu,
    [at_x, at_w, at_y]: [*mut c_void; 3],
    scratch: *mut c_void,
) -> Result<Vec<Try>, CudnnError> {
    let handle = gpu.cudnn();
    let (x, w, y, conv) = convolution.descriptors();
    /// The results of one of cuDNN's searches, whose types have the same fields.
    macro_rules! tries {
        ($used:expr, $search:expr) => {{
            let found = filled($search)?.into_iter();
            let ran = found.filter(|p| p.status == sys::cudnnStatus_t::CUDNN_STATUS_SUCCESS);
            let of = ran.map(|p| Try {
                seconds: f64::from(p.time) / 1e3,
                is_deterministic: p.determinism == sys::cudnnDeterminism_t::CUDNN_DETERMINISTIC,
                is_used: p.algo == $used && p.mathType == convolution.math,
            });
            Ok(of.collect())
        }};
    }
    // SAFETY: the caller's promise; the descriptors live as long as the convolution, and cuDNN fills as many results as it
    // says.
    unsafe {
        match convolution.algorithm {
            Algorithm::Forward(used) => tries!(used, |most, found, to| {
                sys::cudnnFindConvolutionForwardAlgorithmEx(
                    handle, x, at_x, w, at_w, conv, y, at_y, most, found, to, scratch, WORKSPACE,
                )
                .result()
            }),
            Algorithm::InputGradient(used) => tries!(used, |most, found, to| {
                sys::cudnnFindConvolutionBackwardDataAlgorithmEx(
                    handle, w, at_w, y, at_y, conv, x, at_x, most, found, to, scratch, WORKSPACE,
                )
                .result()
            }),
            Algorithm::WeightGradient(used) => tries!(used, |most, found, to| {
                sys::cudnnFindConvolutionBackwardFilterAlgorithmEx(
                    handle, x, at_x, y, at_y, conv, w, at_w, most, found, to, scratch, WORKSPACE,
                )
                .result()
            }),
        }
    }
}
