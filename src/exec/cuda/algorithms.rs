//! What cuDNN's algorithms take: the one that its heuristic proposes, which is used, beside the fastest that gives the same
//! bits every time and the fastest at all. Nothing is chosen by that: two runs would choose differently.

use std::collections::BTreeMap;
use std::ffi::c_void;

use cudarc::cudnn::{result::CudnnError, sys};
use cudarc::driver::CudaSlice;
use serde::Serialize;

use super::cudnn::{Algorithm, Convolution, Direction, Tensors, failed, filled};
use super::gpu::Gpu;
use super::memory::base;
use super::plan::{DevicePlan, PlannedProduct};
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
    let plan = DevicePlan::of(program)?;
    let mut found: Vec<Timed> = Vec::new();
    let mut known = BTreeMap::new();
    let scratch = gpu.allocate("the algorithms' scratch memory", WORKSPACE)?;
    for planned in &plan.products {
        let PlannedProduct {
            product,
            direction,
            rows,
            ..
        } = planned;
        let key = format!("{product:?} {direction:?} {rows}");
        let index = *known.entry(key).or_insert(found.len());
        match found.get_mut(index) {
            Some(timed) => timed.count += 1,
            None => found.push(time_one(gpu, planned, &scratch)?),
        }
    }
    Ok(found)
}

fn time_one(gpu: &Gpu, planned: &PlannedProduct, scratch: &CudaSlice<u8>) -> Result<Timed> {
    let PlannedProduct {
        name,
        product,
        direction,
        rows,
    } = planned;
    let convolution = Convolution::new(gpu, product, *rows, *direction)?;
    let tensors = Tensors::new(gpu, product, *rows)?;
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
        step: name.clone(),
        direction: *direction,
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
