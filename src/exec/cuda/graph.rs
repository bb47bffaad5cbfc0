//! A pass as one CUDA graph: hundreds of launches become one, which costs the host next to nothing.
//!
//! The first pass runs step by step, because libraries load what they need when it is asked for; while the device computes it,
//! the graph of the others is captured. It holds addresses: of the engine's own memory, and of the weights that it was
//! captured with.

use cudarc::driver::CudaGraph;
use cudarc::driver::sys::CUgraphInstantiate_flags;
use cudarc::driver::sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;

use super::gpu::{Gpu, failed};
use super::weights::Weights;
use crate::base::{Error, Kind, Result, terminal};

/// How a pass is queued again.
#[derive(Default)]
pub enum Replay {
    #[default]
    Untried,
    Captured {
        graph: CudaGraph,
        /// [`Weights::places`] of those that it was captured with.
        weights: [u64; 3],
    },
    /// Driver or cuDNN would not have it captured: it runs step by step, to the same bits.
    Impossible,
}

impl Replay {
    /// Queues what `queue` queues. It may copy from pinned memory alone, whose contents are those of the time when the graph
    /// runs, and wait for nothing.
    pub fn run(&mut self, gpu: &Gpu, own: &Weights, queue: impl Fn() -> Result<()>) -> Result<()> {
        match self {
            Self::Captured { graph, weights } if *weights == own.places() => {
                graph.launch().map_err(|e| failed("launch a graph", e))
            }
            Self::Impossible => queue(),
            Self::Captured { .. } | Self::Untried => {
                queue()?;
                *self = match capture(gpu, queue) {
                    Ok(graph) => Self::Captured {
                        graph,
                        weights: own.places(),
                    },
                    Err(error) => {
                        terminal::say(format_args!(
                            "warning: {}; passes run step by step, slower",
                            error.message
                        ));
                        Self::Impossible
                    }
                };
                Ok(())
            }
        }
    }
}

fn capture(gpu: &Gpu, queue: impl Fn() -> Result<()>) -> Result<CudaGraph> {
    let stream = &gpu.stream;
    let begun = stream.begin_capture(CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
    begun.map_err(|e| failed("begin to capture a graph", e))?;
    let queued = queue();
    // However that went, the stream must not stay in capture.
    let graph = stream.end_capture(CUgraphInstantiate_flags(0));
    queued?;
    let graph = graph.map_err(|e| failed("capture a graph", e))?;
    graph.ok_or_else(|| Error::new(Kind::Device, "CUDA: the captured graph is empty"))
}
