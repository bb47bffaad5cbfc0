//! Attention by products of matrices, a block of tokens at a time: no N × N matrix is ever whole.
//!
//! Queries, keys and values are read where they lie. What stands on the right of a product (Kᵀ and V; backward also Vᵀ, Qᵀ, dYᵀ, …)
//! is packed first, for all heads of a clip. Then blocks of queries go their way by themselves: scores, softmax, values.
//!
//! Backward there are two passes over blocks. Of queries: P and dP, and dQ; what softmax divided by, and Σ P∘dP, are kept for
//! each query. Then of keys, with every product transposed: Pᵀ and dPᵀ again, and dK and dV. So no two blocks add to one sum, and
//! no bit depends on threads.

use std::ops::Range;

use rayon::prelude::*;

use super::conv::tiling::{Gather, PANEL, PRODUCT_ROWS, STRIP};
use super::functions::{exp, largest, sum};
use super::kernel::Kernel;
use super::memory::Scratch;
use super::plan::Planner;
use super::product::{Finish, Product, Target};
use super::simd::wide;
use super::tile::packed_index;
use crate::ops::{Attention, BufferId, Dtype, Shape, Step};

/// Tokens of a block.
const BLOCK: usize = 96;
/// Words of scratch memory of a product's sums.
const SUMS: usize = PRODUCT_ROWS * PANEL * STRIP;
/// Packed matrices of the backward pass at a time.
const PACKED: usize = 4;

/// One head's part of an activation: `width` channels of each token from `first` on, of `pitch`.
#[derive(Clone, Copy)]
struct Part<'a> {
    values: &'a [f32],
    pitch: usize,
    first: usize,
    width: usize,
}

impl Part<'_> {
    fn row(&self, token: usize) -> &[f32] {
        &self.values[token * self.pitch + self.first..][..self.width]
    }

    /// As the left matrix of a product, of `tokens` rows.
    fn gather(&self, tokens: usize) -> Gather {
        Gather {
            source: Shape {
                channels: self.pitch,
                height: 1,
                width: tokens,
            },
            depth: self.width,
            ..Gather::matrix(tokens, self.width)
        }
    }

    /// Packs the rows of some tokens as the right matrix of tokens × channels.
    fn pack(&self, tokens: Range<usize>, to: &mut [f32]) {
        let count = tokens.len();
        for (row, token) in tokens.enumerate() {
            for (strip, values) in self.row(token).chunks(STRIP).enumerate() {
                let at = packed_index::<f32>(count, row, strip * STRIP);
                let (values_to, rest) = to[at..][..STRIP].split_at_mut(values.len());
                values_to.copy_from_slice(values);
                rest.fill(0.0);
            }
        }
    }

    /// The same of channels × tokens.
    fn pack_transposed(&self, tokens: Range<usize>, to: &mut [f32]) {
        let strips = to.chunks_exact_mut(self.width * STRIP);
        for (strip, to) in strips.enumerate() {
            let first = tokens.start + strip * STRIP;
            for column in 0..STRIP {
                let token = first + column;
                let is_there = token < tokens.end;
                for (channel, to) in to.chunks_exact_mut(STRIP).enumerate() {
                    to[column] = if is_there {
                        self.row(token)[channel]
                    } else {
                        0.0
                    };
                }
            }
        }
    }
}

/// Sizes of an attention, and its clips.
#[derive(Clone)]
struct Form {
    op: Attention,
    /// Of queries, of keys, of values.
    channels: usize,
    /// Of a head.
    width: usize,
    clips: Vec<Range<usize>>,
    /// Of all clips.
    tokens: usize,
}

impl Form {
    fn of(planner: &Planner<'_>, op: Attention, x: BufferId) -> Self {
        let extent = planner.extent(x);
        let channels = extent.shape.channels / 3;
        Self {
            op,
            channels,
            width: channels / op.heads,
            clips: Attention::clips(&planner.program.batch, extent),
            tokens: planner.layout(x).rows * extent.shape.pixels(),
        }
    }

    fn longest(&self) -> usize {
        self.clips.iter().map(Range::len).max().unwrap_or(0)
    }

    /// Values of one head's packed matrix of N tokens, whichever way.
    fn packed(&self, tokens: usize) -> usize {
        let across = tokens * self.width.next_multiple_of(STRIP);
        let along = tokens.next_multiple_of(STRIP) * self.width;
        across.max(along)
    }

    /// Part 0, 1 or 2 of a head: queries, keys or values.
    fn part<'a>(&self, x: &'a [f32], part: usize, head: usize) -> Part<'a> {
        Part {
            values: x,
            pitch: 3 * self.channels,
            first: part * self.channels + head * self.width,
            width: self.width,
        }
    }

    /// A head of what comes out, or of its gradient.
    fn output<'a>(&self, y: &'a [f32], head: usize) -> Part<'a> {
        Part {
            values: y,
            pitch: self.channels,
            first: head * self.width,
            width: self.width,
        }
    }

    /// Packs matrices of every head of a clip: `[matrix][head]`.
    fn pack_all(
        &self,
        to: &mut [f32],
        size: usize,
        matrices: usize,
        pack: impl Fn(usize, usize, &mut [f32]) + Sync,
    ) {
        let heads = self.op.heads;
        let all = to[..matrices * heads * size].par_chunks_exact_mut(size);
        all.enumerate()
            .for_each(|(index, to)| pack(index / heads, index % heads, to));
    }

    /// scores[i, j] = left[i]·right[j] for the tokens `rows` on the left and all `columns` that were packed.
    fn scores(
        &self,
        left: Part<'_>,
        rows: Range<usize>,
        (right, columns): (&[f32], usize),
        (scores, scratch): (&mut [f32], &mut [f32]),
    ) {
        let plan = left.gather(self.tokens);
        let product = Product {
            plan: &plan,
            x: &left.values[left.first..],
            shifted: None,
            w: right,
            columns,
            finish: Finish::NONE,
        };
        let first = rows.start;
        let place = |row: usize| (row - first) * columns;
        product.run(
            rows,
            Target {
                y: scores,
                place,
                scratch,
            },
        );
    }

    /// y[i] = Σ_j weights[i, j]·right[j] for all `rows`; row i goes to `y[i·pitch + first..]`.
    fn combine(
        &self,
        (weights, rows, columns): (&[f32], usize, usize),
        right: &[f32],
        (y, pitch, first): (&mut [f32], usize, usize),
        scratch: &mut [f32],
    ) {
        let plan = Gather::matrix(rows, columns);
        let product = Product {
            plan: &plan,
            x: weights,
            shifted: None,
            w: right,
            columns: self.width,
            finish: Finish::NONE,
        };
        let place = |row: usize| row * pitch + first;
        product.run(0..rows, Target { y, place, scratch });
    }
}

/// Softmax of scaled scores, in place; the largest score, and what the powers were multiplied by.
#[inline(always)]
fn softmax(scores: &mut [f32], scale: f32) -> (f32, f32) {
    let most = largest(scores);
    for score in scores.iter_mut() {
        *score = exp(scale * (*score - most));
    }
    let inverse = 1.0 / sum(scores, scores, |p, _| p);
    scores.iter_mut().for_each(|p| *p *= inverse);
    (most, inverse)
}

pub fn plan_forward(planner: &mut Planner<'_>, step: &Step, op: Attention) -> Option<()> {
    if planner.common_dtype(step)? != Dtype::Float32 {
        return None;
    }
    let form = Form::of(planner, op, step.reads[0]);
    let longest = form.longest();
    let len = 2 * op.heads * form.packed(longest);
    let packed = planner.workspace(step, "keys and values", len, Dtype::Float32);
    let kernel = Kernel::with_scratch(BLOCK * longest + SUMS, move |buffers, context| {
        let x = buffers.x::<f32>(0);
        let [y, packed] = buffers.outputs().map(|write| write.of::<f32>());
        for clip in &form.clips {
            forward(&form, clip, x, (&mut *y, &mut *packed), context.scratch);
        }
    });
    planner.task_over(
        step,
        kernel,
        step.reads.clone(),
        vec![step.writes[0], packed],
    );
    Some(())
}

fn forward(
    form: &Form,
    clip: &Range<usize>,
    x: &[f32],
    (y, packed): (&mut [f32], &mut [f32]),
    scratch: &Scratch,
) {
    let (count, size) = (clip.len(), form.packed(clip.len()));
    form.pack_all(packed, size, 2, |matrix, head, to| match matrix {
        0 => form.part(x, 1, head).pack_transposed(clip.clone(), to),
        _ => form.part(x, 2, head).pack(clip.clone(), to),
    });
    let (keys, values) = packed.split_at(form.op.heads * size);
    let of_clip = &mut y[clip.start * form.channels..clip.end * form.channels];
    let blocks = of_clip.par_chunks_mut(BLOCK * form.channels).enumerate();
    blocks.for_each(|(index, y)| {
        let first = clip.start + index * BLOCK;
        let rows = first..first + y.len() / form.channels;
        scratch.with(|scratch| {
            let (scores, sums) = scratch.split_at_mut(BLOCK * count);
            let scores = &mut scores[..rows.len() * count];
            for head in 0..form.op.heads {
                let right = (&keys[head * size..][..size], count);
                let queries = form.part(x, 0, head);
                form.scores(queries, rows.clone(), right, (&mut *scores, &mut *sums));
                wide(
                    #[inline(always)]
                    || {
                        for row in scores.chunks_exact_mut(count) {
                            softmax(row, form.op.scale as f32);
                        }
                    },
                );
                let right = &values[head * size..][..size];
                let to = (&mut *y, form.channels, head * form.width);
                form.combine((scores, rows.len(), count), right, to, sums);
            }
        });
    });
}

pub fn plan_back(planner: &mut Planner<'_>, step: &Step, op: Attention) -> Option<()> {
    if planner.common_dtype(step)? != Dtype::Float32 {
        return None;
    }
    let form = Form::of(planner, op, step.reads[1]);
    let longest = form.longest();
    let len = PACKED * op.heads * form.packed(longest);
    let packed = planner.workspace(step, "packed", len, Dtype::Float32);
    let kept = planner.workspace(step, "softmax", 6 * op.heads * longest, Dtype::Float32);
    let kernel = Kernel::with_scratch(2 * BLOCK * longest + SUMS, move |buffers, context| {
        let (dy, x) = (buffers.x::<f32>(0), buffers.x::<f32>(1));
        let [dx, packed, kept] = buffers.outputs().map(|write| write.of::<f32>());
        for clip in &form.clips {
            let back = Back {
                form: &form,
                clip: clip.clone(),
                size: form.packed(clip.len()),
                dy,
                x,
            };
            let of_clip = 3 * op.heads * clip.len();
            let (kept, by_head) = kept[..2 * of_clip].split_at_mut(of_clip);
            back.queries(dx, packed, kept, context.scratch);
            transpose(kept, by_head, clip.len());
            back.keys(dx, packed, by_head, context.scratch);
        }
    });
    let writes = vec![step.writes[0], packed, kept];
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

/// `[query][of head and number]` → `[of head and number][query]`.
fn transpose(from: &[f32], to: &mut [f32], queries: usize) {
    let numbers = from.len() / queries.max(1);
    for (number, to) in to.chunks_exact_mut(queries.max(1)).enumerate() {
        let values = from.iter().skip(number).step_by(numbers.max(1));
        to.iter_mut().zip(values).for_each(|(to, &v)| *to = v);
    }
}

/// The backward pass of one clip.
struct Back<'a> {
    form: &'a Form,
    clip: Range<usize>,
    /// Of a packed matrix.
    size: usize,
    dy: &'a [f32],
    x: &'a [f32],
}

impl Back<'_> {
    fn right<'b>(&self, packed: &'b [f32], matrix: usize, head: usize) -> &'b [f32] {
        &packed[(matrix * self.form.op.heads + head) * self.size..][..self.size]
    }

    /// Blocks of dx, with their rows.
    fn blocks<'b>(
        &self,
        dx: &'b mut [f32],
    ) -> impl IndexedParallelIterator<Item = (Range<usize>, &'b mut [f32])> + use<'b> {
        let (pitch, start) = (3 * self.form.channels, self.clip.start);
        let of_clip = &mut dx[start * pitch..self.clip.end * pitch];
        let blocks = of_clip.par_chunks_mut(BLOCK * pitch).enumerate();
        blocks.map(move |(index, dx)| {
            let first = start + index * BLOCK;
            (first..first + dx.len() / pitch, dx)
        })
    }

    /// dQ; keeps of each query and head the largest score, the softmax's factor and Σ P∘dP.
    fn queries(&self, dx: &mut [f32], packed: &mut [f32], kept: &mut [f32], scratch: &Scratch) {
        let (form, count) = (self.form, self.clip.len());
        let (heads, scale) = (form.op.heads, form.op.scale as f32);
        form.pack_all(packed, self.size, 3, |matrix, head, to| {
            let clip = self.clip.clone();
            match matrix {
                0 => form.part(self.x, 1, head).pack_transposed(clip, to),
                1 => form.part(self.x, 2, head).pack_transposed(clip, to),
                _ => form.part(self.x, 1, head).pack(clip, to),
            }
        });
        let packed = &*packed;
        // `[query][head][3]`, so that blocks of queries write to parts of their own.
        let kept = kept.par_chunks_mut(3 * heads * BLOCK);
        self.blocks(dx).zip(kept).for_each(|((rows, dx), kept)| {
            scratch.with(|scratch| {
                let (p, rest) = scratch.split_at_mut(BLOCK * count);
                let (dp, sums) = rest.split_at_mut(BLOCK * count);
                let (p, dp) = (&mut p[..rows.len() * count], &mut dp[..rows.len() * count]);
                for head in 0..heads {
                    let keys = (self.right(packed, 0, head), count);
                    let queries = form.part(self.x, 0, head);
                    form.scores(queries, rows.clone(), keys, (&mut *p, &mut *sums));
                    let values = (self.right(packed, 1, head), count);
                    let dy = form.output(self.dy, head);
                    form.scores(dy, rows.clone(), values, (&mut *dp, &mut *sums));
                    let kept = kept.chunks_exact_mut(3 * heads);
                    wide(
                        #[inline(always)]
                        || {
                            let both = p.chunks_exact_mut(count).zip(dp.chunks_exact(count));
                            for ((p, dp), kept) in both.zip(kept) {
                                let (most, factor) = softmax(p, scale);
                                let total = sum(p, dp, |p, dp| p * dp);
                                for (p, dp) in p.iter_mut().zip(dp) {
                                    *p = *p * (dp - total) * scale;
                                }
                                kept[3 * head..][..3].copy_from_slice(&[most, factor, total]);
                            }
                        },
                    );
                    let right = self.right(packed, 2, head);
                    let to = (&mut *dx, 3 * form.channels, head * form.width);
                    form.combine((p, rows.len(), count), right, to, sums);
                }
            });
        });
    }

    /// dK and dV. `kept`: `[head][3][query]`.
    fn keys(&self, dx: &mut [f32], packed: &mut [f32], kept: &[f32], scratch: &Scratch) {
        let (form, count) = (self.form, self.clip.len());
        let (heads, scale) = (form.op.heads, form.op.scale as f32);
        form.pack_all(packed, self.size, 4, |matrix, head, to| {
            let clip = self.clip.clone();
            match matrix {
                0 => form.part(self.x, 0, head).pack_transposed(clip, to),
                1 => form.output(self.dy, head).pack_transposed(clip, to),
                2 => form.part(self.x, 0, head).pack(clip, to),
                _ => form.output(self.dy, head).pack(clip, to),
            }
        });
        let packed = &*packed;
        self.blocks(dx).for_each(|(rows, dx)| {
            scratch.with(|scratch| {
                let (p, rest) = scratch.split_at_mut(BLOCK * count);
                let (ds, sums) = rest.split_at_mut(BLOCK * count);
                let (p, ds) = (&mut p[..rows.len() * count], &mut ds[..rows.len() * count]);
                for head in 0..heads {
                    let queries = (self.right(packed, 0, head), count);
                    let keys = form.part(self.x, 1, head);
                    form.scores(keys, rows.clone(), queries, (&mut *p, &mut *sums));
                    let dy = (self.right(packed, 1, head), count);
                    let values = form.part(self.x, 2, head);
                    form.scores(values, rows.clone(), dy, (&mut *ds, &mut *sums));
                    let of_head = &kept[3 * head * count..][..3 * count];
                    let (most, rest) = of_head.split_at(count);
                    let (factor, total) = rest.split_at(count);
                    wide(
                        #[inline(always)]
                        || {
                            let both = p.chunks_exact_mut(count).zip(ds.chunks_exact_mut(count));
                            for (p, ds) in both {
                                let kept = most.iter().zip(factor).zip(total);
                                for ((p, ds), ((most, factor), total)) in
                                    p.iter_mut().zip(ds).zip(kept)
                                {
                                    *p = exp(scale * (*p - most)) * factor;
                                    *ds = *p * (*ds - total) * scale;
                                }
                            }
                        },
                    );
                    let pitch = 3 * form.channels;
                    let at = form.channels + head * form.width;
                    let queries = self.right(packed, 2, head);
                    form.combine(
                        (ds, rows.len(), count),
                        queries,
                        (&mut *dx, pitch, at),
                        sums,
                    );
                    let dy = self.right(packed, 3, head);
                    let at = at + form.channels;
                    form.combine((p, rows.len(), count), dy, (&mut *dx, pitch, at), sums);
                }
            });
        });
    }
}
