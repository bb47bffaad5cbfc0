//! Attention by products of matrices, a block of queries at a time: no N × N matrix is ever whole.
//!
//! Keys and values are packed first, for all heads of a clip, then blocks of queries go their way by themselves. A block's scores lie in
//! strips of 16 keys (`[strip][query][16]`), which all products read as they are, by queries or by keys.
//!
//! Forward: S = Q·Kᵀ, softmax, Y = P·V. Backward the same again, then dP = dY·Vᵀ, dS = P∘(dP − Σ P∘dP), and with them dQ = dS·K;
//! Pᵀ·dY and dSᵀ·Q are added to dV and dK. The queries of a clip are cut into groups of blocks, as its length says, each with sums
//! of its own for all keys, that are added in order: so no bit depends on threads. These take N²/4 values a head at 64 channels, for
//! one clip at a time. Everything between x and y is float32.

use std::ops::Range;

use rayon::prelude::*;

use super::conv::tiling::STRIP;
use super::functions::{LANES, exp, folded};
use super::kernel::{Kernel, by_dtype};
use super::matrix::{Left, Matrix, Out, Right, multiply, pack, pack_transposed};
use super::memory::Scratch;
use super::plan::Planner;
use super::scalar::Scalar;
use super::simd::wide;
use crate::ops::{Attention, BufferId, Dtype, Step};

/// Queries of a block.
const BLOCK: usize = 64;
/// Rows of a strip of scores: strips a power of two apart would meet in the same sets of a cache.
const HEIGHT: usize = BLOCK + 1;
/// Queries of a group, about.
const GROUP: usize = 512;

/// Sizes of an attention, and its clips.
#[derive(Clone)]
struct Form {
    op: Attention,
    /// Of queries, of keys, of values.
    channels: usize,
    /// Of a head.
    width: usize,
    clips: Vec<Range<usize>>,
}

/// A clip's tokens, and sizes that follow from their number.
#[derive(Clone, Copy)]
struct Clip<'a> {
    form: &'a Form,
    first: usize,
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
        }
    }

    fn clips(&self) -> impl Iterator<Item = Clip<'_>> {
        let clip = |tokens: &Range<usize>| Clip {
            form: self,
            first: tokens.start,
            tokens: tokens.len(),
        };
        self.clips.iter().map(clip)
    }

    /// The most that a clip has of something.
    fn most(&self, of: impl Fn(Clip<'_>) -> usize) -> usize {
        self.clips().map(of).max().unwrap_or(0)
    }

    /// Channels of a head as strips hold them.
    fn wide(&self) -> usize {
        self.width.next_multiple_of(STRIP)
    }

    /// Values of a block's rows of a head.
    fn rows(&self) -> usize {
        BLOCK * self.wide()
    }
}

impl<'a> Clip<'a> {
    /// Tokens as strips hold them.
    fn long(self) -> usize {
        self.tokens.next_multiple_of(STRIP)
    }

    /// Values of a head's packed keys, or values, whichever way.
    fn packed(self) -> usize {
        self.long() * self.form.wide()
    }

    /// Values of a block's scores.
    fn scores(self) -> usize {
        HEIGHT * self.long()
    }

    /// Queries of a group: whole blocks, all groups about as large.
    fn group(self) -> usize {
        let groups = self.tokens.div_ceil(GROUP).max(1);
        self.tokens.div_ceil(groups).next_multiple_of(BLOCK)
    }

    fn groups(self) -> usize {
        self.tokens.div_ceil(self.group().max(1))
    }

    /// Part 0, 1 or 2 of a head in the pixels of the whole batch: queries, keys or values.
    fn part<E>(self, x: &'a [E], part: usize, head: usize) -> Matrix<'a, E> {
        let form = self.form;
        self.channels(x, 3 * form.channels, part * form.channels, head)
    }

    /// A head of what comes out, or of its gradient.
    fn output<E>(self, y: &'a [E], head: usize) -> Matrix<'a, E> {
        self.channels(y, self.form.channels, 0, head)
    }

    fn channels<E>(self, x: &'a [E], pitch: usize, first: usize, head: usize) -> Matrix<'a, E> {
        let width = self.form.width;
        Matrix {
            values: &x[self.first * pitch + first + head * width..],
            pitch,
            rows: self.tokens,
            columns: width,
        }
    }

    /// Packs matrices of every head, `[matrix][head]`: keys turned round, values as they are or `turned`, and keys as they are.
    fn pack<E: Scalar>(self, x: &[E], turned: bool, to: &mut [f32]) {
        let heads = self.form.op.heads;
        let all = to.par_chunks_exact_mut(self.packed()).enumerate();
        all.for_each(|(index, to)| match (index / heads, turned) {
            (0, _) => pack_transposed(self.part(x, 1, index), self.long(), to),
            (1, false) => pack(self.part(x, 2, index % heads), self.long(), to),
            (1, true) => pack_transposed(self.part(x, 2, index % heads), self.long(), to),
            _ => pack(self.part(x, 1, index % heads), self.long(), to),
        });
    }

    /// scores = left·right, a block's queries by all keys, from `queries` of the head's channels in strips.
    fn score(self, queries: usize, left: &[f32], right: &[f32], scores: &mut [f32]) {
        let right = Right {
            values: right,
            rows: self.form.width,
            columns: self.long(),
        };
        let left = Left::strips(left, queries, BLOCK, self.form.width);
        multiply(left, right, Out::strips(scores, HEIGHT));
    }

    /// y[i] = Σ_j scores[i, j]·right[j].
    fn combine(self, queries: usize, scores: &[f32], right: &[f32], y: &mut [f32]) {
        let wide = self.form.wide();
        let right = Right {
            values: right,
            rows: self.long(),
            columns: wide,
        };
        let left = Left::strips(scores, queries, HEIGHT, self.long());
        multiply(left, right, Out::rows(y, wide));
    }

    /// y[j] += Σ_i scores[i, j]·right[i].
    fn collect(self, queries: usize, scores: &[f32], right: &[f32], y: &mut [f32]) {
        let wide = self.form.wide();
        let right = Right {
            values: right,
            rows: BLOCK,
            columns: wide,
        };
        let left = Left::transposed(scores, queries, HEIGHT, self.tokens);
        multiply(left, right, Out::rows(y, wide).adding());
    }

    /// Of each query: scores become powers of e, as far as there are keys, else 0. Returns what they have to be multiplied by.
    fn powers(self, queries: usize, scores: &mut [f32]) -> [f32; BLOCK] {
        let (scale, keys) = (self.form.op.scale as f32, self.tokens);
        let mut factors = [0.0; BLOCK];
        wide(
            #[inline(always)]
            || {
                for (query, factor) in factors.iter_mut().enumerate().take(queries) {
                    let (mut most, mut sums) = ([f32::NEG_INFINITY; LANES], [0.0; LANES]);
                    for (strip, scores) in scores.chunks_exact(HEIGHT * STRIP).enumerate() {
                        let lanes = &scores[query * STRIP..][..STRIP];
                        for lane in 0..LANES {
                            let is_key = strip * STRIP + lane < keys;
                            let score = if is_key {
                                lanes[lane]
                            } else {
                                f32::NEG_INFINITY
                            };
                            most[lane] = most[lane].max(score);
                        }
                    }
                    let most = folded(most, f32::max);
                    for (strip, scores) in scores.chunks_exact_mut(HEIGHT * STRIP).enumerate() {
                        let lanes = &mut scores[query * STRIP..][..STRIP];
                        for lane in 0..LANES {
                            let power = exp(scale * (lanes[lane] - most));
                            let is_key = strip * STRIP + lane < keys;
                            lanes[lane] = if is_key { power } else { 0.0 };
                            sums[lane] += lanes[lane];
                        }
                    }
                    *factor = 1.0 / folded(sums, |a, b| a + b);
                }
            },
        );
        factors
    }
}

/// A block's rows of a head, in strips of channels; rows behind the last are zero.
fn block<E: Scalar>(of: Matrix<'_, E>, rows: &Range<usize>, to: &mut [f32]) {
    pack(of.rows(rows.clone()), BLOCK, to);
}

pub fn plan_forward(planner: &mut Planner<'_>, step: &Step, op: Attention) -> Option<()> {
    fn kernel<E: Scalar>(form: Form) -> Kernel {
        let scratch = form.most(|clip| clip.scores()) + 2 * form.rows();
        Kernel::with_scratch(scratch, move |buffers, context| {
            let x = buffers.x::<E>(0);
            let [y, packed] = buffers.outputs();
            let (y, packed) = (y.of::<E>(), packed.of::<f32>());
            for clip in form.clips() {
                let packed = &mut packed[..2 * form.op.heads * clip.packed()];
                forward(clip, x, (y, packed), context.scratch);
            }
        })
    }
    let dtype = planner.common_dtype(step)?;
    let form = Form::of(planner, op, step.reads[0]);
    let len = 2 * op.heads * form.most(|clip| clip.packed());
    let packed = planner.workspace(step, "keys and values", len, Dtype::Float32);
    let kernel = by_dtype!(dtype, E => kernel::<E>(form));
    let writes = vec![step.writes[0], packed];
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

fn forward<E: Scalar>(
    clip: Clip<'_>,
    x: &[E],
    (y, packed): (&mut [E], &mut [f32]),
    scratch: &Scratch,
) {
    let (form, size) = (clip.form, clip.packed());
    clip.pack(x, false, packed);
    let (keys, values) = packed.split_at(form.op.heads * size);
    let of_clip = &mut y[clip.first * form.channels..][..clip.tokens * form.channels];
    let blocks = of_clip.par_chunks_mut(BLOCK * form.channels).enumerate();
    blocks.for_each(|(index, y)| {
        let first = index * BLOCK;
        let rows = first..first + y.len() / form.channels;
        scratch.with(|scratch| {
            let (scores, rest) = scratch.split_at_mut(clip.scores());
            let (queries, rest) = rest.split_at_mut(form.rows());
            let out = &mut rest[..form.rows()];
            for head in 0..form.op.heads {
                block(clip.part(x, 0, head), &rows, queries);
                clip.score(rows.len(), queries, &keys[head * size..][..size], scores);
                let factors = clip.powers(rows.len(), scores);
                clip.combine(rows.len(), scores, &values[head * size..][..size], out);
                let out = out.chunks_exact(form.wide()).zip(factors);
                for (y, (out, factor)) in y.chunks_exact_mut(form.channels).zip(out) {
                    let y = &mut y[head * form.width..][..form.width];
                    let pairs = y.iter_mut().zip(out);
                    pairs.for_each(|(y, &v)| *y = E::round(v * factor));
                }
            }
        });
    });
}

/// Packed matrices of the backward pass: Kᵀ, Vᵀ and K.
const PACKED: usize = 3;

pub fn plan_back(planner: &mut Planner<'_>, step: &Step, op: Attention) -> Option<()> {
    fn kernel<E: Scalar>(form: Form) -> Kernel {
        let scratch = 2 * form.most(|clip| clip.scores()) + 2 * form.rows();
        Kernel::with_scratch(scratch, move |buffers, context| {
            let (dy, x) = (buffers.x::<E>(0), buffers.x::<E>(1));
            let [dx, packed, sums] = buffers.outputs();
            let (dx, packed, sums) = (dx.of::<E>(), packed.of::<f32>(), sums.of::<f32>());
            for clip in form.clips() {
                let packed = &mut packed[..PACKED * form.op.heads * clip.packed()];
                let back = Back { clip, dy, x };
                back.run(dx, packed, sums, context.scratch);
            }
        })
    }
    let dtype = planner.common_dtype(step)?;
    let form = Form::of(planner, op, step.reads[1]);
    let len = PACKED * op.heads * form.most(|clip| clip.packed());
    let packed = planner.workspace(step, "packed", len, Dtype::Float32);
    let len = op.heads * form.most(|clip| clip.groups() * Sums::len(clip));
    let sums = planner.workspace(step, "sums", len, Dtype::Float32);
    let kernel = by_dtype!(dtype, E => kernel::<E>(form));
    let writes = vec![step.writes[0], packed, sums];
    planner.task_over(step, kernel, step.reads.clone(), writes);
    Some(())
}

/// What a group of a head's queries makes: dQ of its own, and its part of dK and dV of all.
struct Sums<V> {
    queries: V,
    keys: V,
    values: V,
}

impl<V> Sums<V> {
    fn new(queries: V, keys: V, values: V) -> Self {
        Self {
            queries,
            keys,
            values,
        }
    }
}

impl Sums<()> {
    fn len(clip: Clip<'_>) -> usize {
        (clip.group() + 2 * clip.tokens) * clip.form.wide()
    }
}

impl<'a> Sums<&'a mut [f32]> {
    fn of_mut(clip: Clip<'_>, values: &'a mut [f32]) -> Self {
        let wide = clip.form.wide();
        let (queries, rest) = values.split_at_mut(clip.group() * wide);
        let (keys, values) = rest.split_at_mut(clip.tokens * wide);
        Self::new(queries, keys, values)
    }
}

impl<'a> Sums<&'a [f32]> {
    fn of(clip: Clip<'_>, values: &'a [f32]) -> Self {
        let wide = clip.form.wide();
        let (queries, rest) = values.split_at(clip.group() * wide);
        let (keys, values) = rest.split_at(clip.tokens * wide);
        Self::new(queries, keys, values)
    }
}

/// The backward pass of one clip.
struct Back<'a, E> {
    clip: Clip<'a>,
    dy: &'a [E],
    x: &'a [E],
}

impl<E: Scalar> Back<'_, E> {
    fn run(&self, dx: &mut [E], packed: &mut [f32], sums: &mut [f32], scratch: &Scratch) {
        let (clip, form) = (self.clip, self.clip.form);
        clip.pack(self.x, true, packed);
        let (packed, groups, len) = (&*packed, clip.groups(), Sums::len(clip));
        let sums = &mut sums[..form.op.heads * groups * len];
        let tasks = sums.par_chunks_exact_mut(len.max(1)).enumerate();
        tasks.for_each(|(index, sums)| {
            let (head, group) = (index / groups, index % groups);
            scratch.with(|scratch| {
                self.group((head, group), packed, Sums::of_mut(clip, sums), scratch);
            });
        });
        let pitch = 3 * form.channels;
        let tokens = &mut dx[clip.first * pitch..][..clip.tokens * pitch];
        let tokens = tokens.par_chunks_exact_mut(pitch).enumerate();
        let (sums, room) = (&*sums, || vec![0.0; 2 * form.width]);
        let tokens = tokens.with_min_len(BLOCK);
        tokens.for_each_init(room, |room, (token, dx)| {
            for (head, sums) in sums.chunks_exact(groups * len).enumerate() {
                let groups = sums.chunks_exact(len).map(|sums| Sums::of(clip, sums));
                self.assemble((head, token), groups, (dx, room));
            }
        });
    }

    fn group(
        &self,
        (head, group): (usize, usize),
        packed: &[f32],
        sums: Sums<&mut [f32]>,
        scratch: &mut [f32],
    ) {
        let (clip, form) = (self.clip, self.clip.form);
        let matrix = |index: usize| {
            let size = clip.packed();
            &packed[(index * form.op.heads + head) * size..][..size]
        };
        let (p, rest) = scratch.split_at_mut(clip.scores());
        let (dp, rest) = rest.split_at_mut(clip.scores());
        let (queries, rest) = rest.split_at_mut(form.rows());
        let dy = &mut rest[..form.rows()];
        sums.keys.fill(0.0);
        sums.values.fill(0.0);
        let start = group * clip.group();
        let end = clip.tokens.min(start + clip.group());
        let blocks = sums.queries.chunks_exact_mut(form.rows());
        for (first, dq) in (start..end).step_by(BLOCK).zip(blocks) {
            let rows = first..end.min(first + BLOCK);
            block(clip.part(self.x, 0, head), &rows, queries);
            block(clip.output(self.dy, head), &rows, dy);
            clip.score(rows.len(), queries, matrix(0), p);
            clip.score(rows.len(), dy, matrix(1), dp);
            self.softmax_back(rows.len(), p, dp);
            clip.combine(rows.len(), dp, matrix(2), dq);
            clip.collect(rows.len(), dp, queries, sums.keys);
            clip.collect(rows.len(), p, dy, sums.values);
        }
    }

    /// Scores become P, dP becomes scale·dS.
    fn softmax_back(&self, queries: usize, p: &mut [f32], dp: &mut [f32]) {
        let factors = self.clip.powers(queries, p);
        let scale = self.clip.form.op.scale as f32;
        wide(
            #[inline(always)]
            || {
                for (query, factor) in factors.iter().enumerate().take(queries) {
                    let mut sums = [0.0; LANES];
                    let strips = p.chunks_exact_mut(HEIGHT * STRIP);
                    for (p, dp) in strips.zip(dp.chunks_exact(HEIGHT * STRIP)) {
                        let p = &mut p[query * STRIP..][..STRIP];
                        let dp = &dp[query * STRIP..][..STRIP];
                        for lane in 0..LANES {
                            p[lane] *= factor;
                            sums[lane] += p[lane] * dp[lane];
                        }
                    }
                    let total = folded(sums, |a, b| a + b);
                    let strips = p.chunks_exact(HEIGHT * STRIP);
                    for (p, dp) in strips.zip(dp.chunks_exact_mut(HEIGHT * STRIP)) {
                        let p = &p[query * STRIP..][..STRIP];
                        let dp = &mut dp[query * STRIP..][..STRIP];
                        for lane in 0..LANES {
                            dp[lane] = p[lane] * (dp[lane] - total) * scale;
                        }
                    }
                }
            },
        );
    }

    /// A head's part of a token's gradient. `room`: for its keys and values.
    fn assemble<'s>(
        &self,
        (head, token): (usize, usize),
        groups: impl Iterator<Item = Sums<&'s [f32]>>,
        (dx, room): (&mut [E], &mut [f32]),
    ) {
        let (clip, form) = (self.clip, self.clip.form);
        let width = form.width;
        room.fill(0.0);
        let (keys, values) = room.split_at_mut(width);
        let add = |sums: &mut [f32], part: &[f32]| {
            let pairs = sums.iter_mut().zip(&part[token * form.wide()..]);
            pairs.for_each(|(sum, v)| *sum += v);
        };
        let mut put = |part: usize, values: &[f32]| {
            let to = &mut dx[part * form.channels + head * width..][..width];
            let pairs = to.iter_mut().zip(values);
            pairs.for_each(|(to, &v)| *to = E::round(v));
        };
        for (group, sums) in groups.enumerate() {
            add(keys, sums.keys);
            add(values, sums.values);
            if group == token / clip.group() {
                put(0, &sums.queries[token % clip.group() * form.wide()..]);
            }
        }
        put(1, keys);
        put(2, values);
    }
}

#[cfg(test)]
mod tests;
