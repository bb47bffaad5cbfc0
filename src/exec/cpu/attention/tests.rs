//! Attention and its gradient against their definition, in float64.

use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::exec::cpu::scalar::bf16;

fn values<E: Scalar>(seed: u64, count: usize) -> Vec<E> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count)
        .map(|_| E::round(stream.normal() as f32))
        .collect()
}

fn form(heads: usize, width: usize, clips: &[usize]) -> Form {
    let mut first = 0;
    let clips = clips.iter().map(|tokens| {
        first += tokens;
        first - tokens..first
    });
    let scale = (width as f64).powf(-0.5);
    Form {
        op: Attention { heads, scale },
        channels: heads * width,
        width,
        clips: clips.collect(),
    }
}

/// By definition, in float64: y, and dx from dy.
fn expected(form: &Form, x: &[f64], dy: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let (c, scale) = (form.channels, form.op.scale);
    let (mut y, mut dx) = (vec![0.0; dy.len()], vec![0.0; x.len()]);
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    for clip in &form.clips {
        for head in 0..form.op.heads {
            let at = |token: usize, part: usize| token * 3 * c + part * c + head * form.width;
            let part = |token, part| &x[at(token, part)..][..form.width];
            for i in clip.clone() {
                let scores: Vec<f64> = clip
                    .clone()
                    .map(|j| scale * dot(part(i, 0), part(j, 1)))
                    .collect();
                let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                let powers: Vec<f64> = scores.iter().map(|s| libm::exp(s - most)).collect();
                let sum: f64 = powers.iter().sum();
                let of_y = i * c + head * form.width;
                let dy = &dy[of_y..][..form.width];
                let dp: Vec<f64> = clip.clone().map(|j| dot(dy, part(j, 2))).collect();
                let total = dot(&powers, &dp) / sum;
                for (j, (power, dp)) in clip.clone().zip(powers.iter().zip(dp)) {
                    let p = power / sum;
                    let ds = scale * p * (dp - total);
                    for k in 0..form.width {
                        y[of_y + k] += p * x[at(j, 2) + k];
                        dx[at(i, 0) + k] += ds * x[at(j, 1) + k];
                        dx[at(j, 1) + k] += ds * x[at(i, 0) + k];
                        dx[at(j, 2) + k] += p * dy[k];
                    }
                }
            }
        }
    }
    (y, dx)
}

/// y and dx of one kernel each, as their tasks compute them.
fn found<E: Scalar>(form: &Form, x: &[E], dy: &[E]) -> (Vec<E>, Vec<E>) {
    let (heads, not) = (form.op.heads, E::round(f32::NAN));
    let room = 2 * form.most(|clip| clip.scores()) + 2 * form.rows();
    let scratch = Scratch::new(rayon::current_num_threads(), room).unwrap();
    let (mut y, mut dx) = (vec![not; dy.len()], vec![not; x.len()]);
    for clip in form.clips() {
        let mut packed = vec![f32::NAN; PACKED * heads * clip.packed()];
        forward(
            clip,
            x,
            (&mut y, &mut packed[..2 * heads * clip.packed()]),
            &scratch,
        );
        let mut sums = vec![f32::NAN; heads * clip.groups() * Sums::len(clip)];
        Back { clip, dy, x }.run(&mut dx, &mut packed, &mut sums, &scratch);
    }
    (y, dx)
}

fn check<E: Scalar>(heads: usize, width: usize, clips: &[usize], tolerance: f64) {
    let form = form(heads, width, clips);
    let tokens: usize = clips.iter().sum();
    let (x, dy) = (
        values::<E>(1, tokens * 3 * form.channels),
        values::<E>(2, tokens * form.channels),
    );
    let wide = |values: &[E]| {
        values
            .iter()
            .map(|v| f64::from(v.float()))
            .collect::<Vec<_>>()
    };
    let (y, dx) = found(&form, &x, &dy);
    let expected = expected(&form, &wide(&x), &wide(&dy));
    for (found, expected) in [(y, expected.0), (dx, expected.1)] {
        for (found, expected) in wide(&found).into_iter().zip(expected) {
            let error = (found - expected).abs() / expected.abs().max(1.0);
            assert!(
                error < tolerance,
                "{heads} heads of {width}, {clips:?}: {found} {expected}"
            );
        }
    }
}

/// One token, a strip and a bit, a block and one, a group and one, several groups; heads that leave strips partly empty; clips of
/// different lengths.
#[test]
fn it_is_attention_by_definition() {
    let cases: [(usize, usize, &[usize]); 4] = [
        (2, 3, &[1, 17]),
        (1, 16, &[65, 513]),
        (3, 20, &[130, 8]),
        (1, 8, &[1100]),
    ];
    for (heads, width, clips) in cases {
        check::<f32>(heads, width, clips, 2e-5);
        check::<bf16>(heads, width, clips, 1.0 / 200.0);
    }
}

#[test]
fn what_is_not_a_number_stays_none() {
    let form = form(1, 4, &[20]);
    let mut x = values::<f32>(1, 20 * 12);
    x[7 * 12 + 5] = f32::NAN;
    let (y, _) = found(&form, &x, &values(2, 20 * 4));
    assert!(y.iter().all(|v| v.is_nan()), "every query sees the key");
}
