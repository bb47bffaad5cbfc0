//! Attention, clip by clip: `kernels/attention.cu`.

use std::ops::Range;

use super::{Planner, wide};
use crate::exec::cuda::gpu::{Grid, Kernel};
use crate::exec::cuda::work::{Call, Operand};
use crate::ops::{Attention, BufferId, Dtype, Step};

/// The launches of a step; `x` has queries, keys and values.
struct Clips {
    attention: Attention,
    x: BufferId,
    /// Of one head.
    width: usize,
    dtype: Dtype,
    tokens: Vec<Range<usize>>,
}

impl Clips {
    fn of(planner: &Planner<'_>, step: &Step, attention: Attention, x: BufferId) -> Option<Self> {
        let extent = planner.extent(x);
        Some(Self {
            attention,
            x,
            width: extent.shape.channels / 3 / attention.heads,
            dtype: planner.common_dtype(step)?,
            tokens: Attention::clips(&planner.program.batch, extent),
        })
    }

    /// Channels of queries, of keys, of values.
    fn channels(&self) -> usize {
        self.attention.heads * self.width
    }

    /// A workspace for P of the longest clip.
    fn matrix(&self, planner: &mut Planner<'_>, step: &Step, what: &str) -> BufferId {
        let longest = self.tokens.iter().map(Range::len).max().unwrap_or(0);
        let len = self.attention.heads * longest * longest;
        planner.workspace(step, what, len, Dtype::Float32)
    }

    fn kernel(&self, name: &'static str) -> Kernel {
        wide(name, self.dtype, &[self.width])
    }

    /// Part 0, 1 or 2 of x from the clip's first token on.
    fn part(&self, part: usize, tokens: &Range<usize>) -> Operand {
        let channels = self.channels();
        Operand::from(self.x, (3 * tokens.start + part) * channels)
    }

    /// Of `name`, a line of threads for each head and token.
    fn lines(&self, name: &'static str, tokens: usize, operands: Vec<Operand>) -> Call {
        let lines = self.attention.heads * tokens;
        let grid = Grid::Lines {
            lines,
            values: tokens,
        };
        Call::launch(self.kernel(name), grid, operands)
    }

    /// What the kernels of a line want to know: heads, tokens, channels of a head, and the scale.
    fn sizes(&self, tokens: usize) -> [Operand; 4] {
        let scale = Operand::Float(self.attention.scale as f32);
        let [heads, tokens, width] = [self.attention.heads, tokens, self.width].map(Operand::int);
        [heads, tokens, width, scale]
    }

    fn weights(&self, tokens: &Range<usize>, p: BufferId) -> Call {
        let mut operands = vec![self.part(0, tokens)];
        operands.extend(self.sizes(tokens.len()));
        operands.push(Operand::buffer(p));
        self.lines("attention_weights", tokens.len(), operands)
    }

    /// to = P·from, or Pᵀ·from; each with the values from one token to the next.
    fn mix(
        &self,
        (p, transposed): (BufferId, bool),
        tokens: usize,
        (from, from_pitch): (Operand, usize),
        (to, to_pitch): (Operand, usize),
    ) -> Call {
        let length = self.channels();
        let operands = [
            Operand::buffer(p),
            Operand::flag(transposed),
            from,
            Operand::int(from_pitch),
            Operand::int(tokens),
            Operand::int(self.width),
            Operand::int(length),
            Operand::int(to_pitch),
            to,
        ];
        let grid = Grid::Values {
            length,
            parts: tokens,
        };
        Call::launch(self.kernel("mix_tokens"), grid, operands)
    }
}

pub fn forward(planner: &mut Planner<'_>, step: &Step, attention: Attention) -> Option<()> {
    let (x, y) = (step.reads[0], step.writes[0]);
    let clips = Clips::of(planner, step, attention, x)?;
    let p = clips.matrix(planner, step, "weights");
    let channels = clips.channels();
    let of_clip = |tokens: &Range<usize>| {
        let values = (clips.part(2, tokens), 3 * channels);
        let to = (Operand::from(y, tokens.start * channels), channels);
        [
            clips.weights(tokens, p),
            clips.mix((p, false), tokens.len(), values, to),
        ]
    };
    let work = clips.tokens.iter().flat_map(of_clip).collect();
    planner.task_with(step, work, vec![p]);
    Some(())
}

pub fn back(planner: &mut Planner<'_>, step: &Step, attention: Attention) -> Option<()> {
    let (dy, x, dx) = (step.reads[0], step.reads[1], step.writes[0]);
    let clips = Clips::of(planner, step, attention, x)?;
    let p = clips.matrix(planner, step, "weights");
    let d = clips.matrix(planner, step, "slopes");
    let channels = clips.channels();
    let of_clip = |tokens: &Range<usize>| {
        let dy = Operand::from(dy, tokens.start * channels);
        let pitch = 3 * channels;
        let to = |part: usize| {
            let first = (3 * tokens.start + part) * channels;
            (Operand::from(dx, first), pitch)
        };
        let mut slopes = vec![dy, clips.part(2, tokens), Operand::buffer(p)];
        slopes.extend(clips.sizes(tokens.len()));
        slopes.push(Operand::buffer(d));
        let (queries, keys) = (clips.part(0, tokens), clips.part(1, tokens));
        let count = tokens.len();
        [
            clips.weights(tokens, p),
            clips.lines("attention_slopes", count, slopes),
            clips.mix((d, false), count, (keys, pitch), to(0)),
            clips.mix((d, true), count, (queries, pitch), to(1)),
            clips.mix((p, true), count, (dy, channels), to(2)),
        ]
    };
    let work = clips.tokens.iter().flat_map(of_clip).collect();
    planner.task_with(step, work, vec![p, d]);
    Some(())
}
