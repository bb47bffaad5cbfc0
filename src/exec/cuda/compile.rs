//! The kernels' CUDA C, and NVRTC, which compiles it for one architecture of GPU and one dtype of activations.

use std::ffi::CString;

use cudarc::nvrtc::{result, sys};

use super::libraries::Version;
use crate::base::{Error, Kind, Result};
use crate::ops::{BATCH_NORM_MOMENTUM, Dtype};

/// What the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Variant {
    /// Of activations and their gradients.
    pub dtype: Dtype,
    /// Values that a thread takes at once; what it works on has a multiple of as many channels.
    pub width: usize,
}

impl Variant {
    pub fn single(dtype: Dtype) -> Self {
        Self { dtype, width: 1 }
    }

    /// As many values as a GPU loads at once.
    pub fn wide(dtype: Dtype) -> Self {
        const LOAD: usize = 16;
        Self {
            dtype,
            width: LOAD / dtype.size(),
        }
    }

    /// The widest for rows of `count` values.
    pub fn of(dtype: Dtype, count: usize) -> Self {
        let wide = Self::wide(dtype);
        match count.is_multiple_of(wide.width) {
            true => wide,
            false => Self::single(dtype),
        }
    }

    /// Both variants of a dtype.
    pub fn both(dtype: Dtype) -> [Self; 2] {
        [Self::single(dtype), Self::wide(dtype)]
    }
}

/// A program for one architecture.
pub struct Cubin {
    pub bytes: Vec<u8>,
    /// What the compiler tells: registers and spills of each kernel.
    pub log: String,
}

/// All kernels as one text, with the constant that they share with the reference. It wants to know REAL, the dtype, and WIDTH.
pub fn kernels() -> String {
    let constant = format!("#define NORM_MOMENTUM {BATCH_NORM_MOMENTUM:e}\n");
    let files = [
        include_str!("kernels/common.cuh"),
        include_str!("kernels/norm.cu"),
        include_str!("kernels/layer_norm.cu"),
        include_str!("kernels/attention.cu"),
        include_str!("kernels/shift.cu"),
        include_str!("kernels/frames.cu"),
        include_str!("kernels/pool.cu"),
        include_str!("kernels/mean.cu"),
        include_str!("kernels/mean_probabilities.cu"),
        include_str!("kernels/conv.cu"),
        include_str!("kernels/depthwise.cu"),
        include_str!("kernels/each.cu"),
        include_str!("kernels/binary.cu"),
        include_str!("kernels/channels.cu"),
        include_str!("kernels/input.cu"),
        include_str!("kernels/update.cu"),
    ];
    constant + &files.join("\n")
}

/// The kernels' text for a variant.
fn source(variant: Variant) -> String {
    let real = match variant.dtype {
        Dtype::Float32 => "float",
        Dtype::Bf16 => "bf16",
    };
    let width = variant.width;
    format!("#define REAL {real}\n#define WIDTH {width}\n{}", kernels())
}

/// Compiles a variant of the kernels for GPUs of a compute capability. NVRTC must be open.
pub fn compile(architecture: Version, variant: Variant) -> Result<Cubin> {
    let Version(major, minor) = architecture;
    let options = [
        format!("--gpu-architecture=sm_{major}{minor}"),
        "--std=c++17".to_owned(),
        "--ptxas-options=-v".to_owned(),
    ];
    let source = CString::new(source(variant))
        .map_err(|_| Error::new(Kind::Device, "the kernels' text has a zero byte"))?;
    let program = Program::new(&source)?;
    // SAFETY: the program is not freed yet.
    let outcome = unsafe { result::compile_program(program.0, &options) };
    let log = program.log();
    outcome.map_err(|error| {
        let message = format!(
            "NVRTC cannot compile the kernels for compute capability {architecture}: {error}"
        );
        Error::new(Kind::Device, format!("{message}\n{log}"))
            .hint("`ffn devices` says which NVRTC was found; a newer GPU needs a newer one")
    })?;
    Ok(Cubin {
        bytes: program.cubin()?,
        log,
    })
}

/// NVRTC's program, freed when it goes.
struct Program(sys::nvrtcProgram);

impl Program {
    fn new(source: &CString) -> Result<Self> {
        let program = result::create_program(source, Some(c"kernels.cu"));
        Ok(Self(program.map_err(failed)?))
    }

    fn log(&self) -> String {
        // SAFETY: the program is not freed yet.
        let bytes = unsafe { result::get_program_log(self.0) }.unwrap_or_default();
        let bytes = bytes.into_iter().map(|byte| byte as u8);
        let bytes: Vec<u8> = bytes.take_while(|&byte| byte != 0).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn cubin(&self) -> Result<Vec<u8>> {
        let mut size = 0;
        // SAFETY: the program is not freed yet, and the bytes are as many as it says.
        unsafe {
            let outcome = sys::nvrtcGetCUBINSize(self.0, &mut size);
            outcome.result().map_err(failed)?;
            let mut bytes = vec![0_u8; size];
            let outcome = sys::nvrtcGetCUBIN(self.0, bytes.as_mut_ptr().cast());
            outcome.result().map_err(failed)?;
            Ok(bytes)
        }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // SAFETY: nobody has the program any more. What it says at the end changes nothing.
        let _ = unsafe { result::destroy_program(self.0) };
    }
}

fn failed(error: result::NvrtcError) -> Error {
    Error::new(Kind::Device, format!("NVRTC: {error}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::*;
    use crate::exec::cuda::libraries::{Library, Outcome, Search};

    /// Whether NVRTC 13.0 is there; if not, the test has compiled nothing and says so, past the capture of its output.
    fn has_nvrtc() -> bool {
        let folder = std::env::var_os("FFN_CUDA_LIBRARIES");
        let search = Search::new(folder.as_deref().map(std::path::Path::new));
        let outcome = search.open(Library::Nvrtc);
        if let Outcome::Found {
            version: Version(13, 0),
            ..
        } = outcome
        {
            return true;
        }
        let message = format!(
            "skipped: exec::cuda::compile: NVRTC 13.0 is needed, found {outcome:?}; FFN_CUDA_LIBRARIES names a folder\n"
        );
        std::io::stderr().write_all(message.as_bytes()).unwrap();
        false
    }

    /// Of each kernel, from the compiler's log: registers, and bytes of shared memory, stack and spills.
    fn resources(log: &str) -> BTreeMap<String, String> {
        let number = |line: &str, unit: &str| {
            let before = line.split(unit).next().unwrap_or_default();
            let word = before.split_whitespace().last().unwrap_or_default();
            word.parse::<u32>().unwrap_or(0)
        };
        let (mut found, mut kernel, mut stack) = (BTreeMap::new(), String::new(), [0; 3]);
        for line in log.lines() {
            if let Some((_, rest)) = line.split_once("entry function '") {
                kernel = rest.split('\'').next().unwrap_or_default().to_owned();
            } else if line.contains("bytes stack frame") {
                let units = [
                    " bytes stack frame",
                    " bytes spill stores",
                    " bytes spill loads",
                ];
                stack = units.map(|unit| number(line, unit));
            } else if line.contains(" registers") {
                let shared = match line.contains(" bytes smem") {
                    true => number(line, " bytes smem"),
                    false => 0,
                };
                let registers = number(line, " registers");
                // The blocks that sum are the largest, of 512 threads: a GPU has 65,536 registers for each.
                assert!(registers <= 128, "{kernel}: {registers} registers");
                let [stack, stores, loads] = stack;
                let text = format!("{registers:>2} {shared:>5} {stack} {stores}/{loads}");
                found.insert(kernel.clone(), text);
            }
        }
        found
    }

    /// Of each kernel what [`resources`] says: for single values of float32 and of bf16, for four of float32, for eight of
    /// bf16.
    fn table(architecture: Version) -> String {
        let single = [Dtype::Float32, Dtype::Bf16].map(Variant::single);
        let wide = [Dtype::Float32, Dtype::Bf16].map(Variant::wide);
        let columns = [single, wide].concat().into_iter().map(|variant| {
            let cubin = compile(architecture, variant).unwrap();
            assert_eq!(cubin.bytes.get(..4), Some(&b"\x7fELF"[..]));
            resources(&cubin.log)
        });
        let columns: Vec<_> = columns.collect();
        let rows = columns[0].keys().map(|kernel| {
            let found = columns.iter().map(|column| column[kernel].as_str());
            format!("{kernel:<18} {}", found.collect::<Vec<_>>().join("   "))
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn kernels_for_both_architectures() {
        if !has_nvrtc() {
            return;
        }
        let table = [Version(8, 0), Version(9, 0)].map(table).join("\n\n");
        insta::assert_snapshot!(table);
    }

    #[test]
    fn mistakes_are_told_with_the_compilers_words() {
        if has_nvrtc() {
            let error = compile(Version(1, 0), Variant::single(Dtype::Float32))
                .err()
                .unwrap();
            assert!(error.message.contains("gpu-architecture"), "{error}");
        }
    }
}
