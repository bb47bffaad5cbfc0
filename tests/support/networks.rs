//! Small networks of every architecture but TSM's, for images of any height and width.

use ffn::graph::arch::tea::{self, Tea};
use ffn::graph::arch::{slowfast, uniformer};
use ffn::graph::{Graph, frame_flexible};
use ffn::spec::*;

pub const CLASSES: usize = 5;

/// FFN at 2 and 4 frames.
pub fn flexible(graph: &Graph) -> Graph {
    let ffn = Ffn {
        frames: vec![2, 4],
        lambda: 1.0,
        alteration: Alteration::Normal { std: 1e-3 },
        norms: Norms::Private,
        distillation: Distillation::FromLargest,
        shift_segments: ShiftSegments::PerBranch,
    };
    frame_flexible(graph, &ffn).unwrap()
}

pub fn tea(input: (usize, usize)) -> Graph {
    let tea = Tea {
        backbone: &Res2Net {
            blocks: [2, 2, 1, 1],
            planes: 16,
            width: 24,
            scale: 4,
        },
        classes: CLASSES,
        frames: 4,
        input,
    };
    tea::tea(&tea).unwrap()
}

pub fn slowfast(input: (usize, usize)) -> Graph {
    let layout = SlowFast {
        blocks: [2, 1, 1, 1],
        width: 8,
        alpha: 2,
        beta: 4,
        fusion_ratio: 2,
        fusion_kernel: 5,
        slow_frames: SlowFrames::Joined,
        head: Head::Mean,
        dropout: 0.0,
        init: Init::Random,
    };
    let slowfast = slowfast::SlowFast {
        layout: &layout,
        classes: CLASSES,
        frames: 4,
        input,
        trained_at: input.0,
    };
    slowfast::slowfast(&slowfast).unwrap()
}

pub fn uniformer(input: (usize, usize)) -> Graph {
    let layout = UniFormer {
        widths: [8, 8, 12, 16],
        depths: [2, 1, 2, 1],
        head_width: 4,
        mlp_ratio: 2,
        drop_path: 0.0,
        init: Init::Random,
    };
    let uniformer = uniformer::UniFormer {
        layout: &layout,
        classes: CLASSES,
        frames: 4,
        input,
    };
    uniformer::uniformer(&uniformer).unwrap()
}
