//! The products against a loop over every multiplication, in float64.

use proptest::prelude::*;

use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::{border, pack};
use crate::program::PixelShape;
use crate::program::tiling::WEIGHT_PANEL;

/// Of sums whose terms are at most one: float32 sums of a few thousand terms stay well below.
const TOLERANCE: f64 = 2e-5;

#[derive(Debug, Clone, Copy)]
struct Case {
    conv: ConvGeometry,
    frames: usize,
}

fn values(seed: u64, count: usize) -> Vec<f32> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    (0..count).map(|_| stream.uniform() as f32 - 0.5).collect()
}

fn geometry(from: (usize, usize, usize), out: usize, kernel: usize, stride: usize) -> ConvGeometry {
    let (height, width, channels) = from;
    let padding = kernel / 2;
    let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    ConvGeometry {
        from: PixelShape {
            channels,
            height,
            width,
        },
        to: PixelShape {
            channels: out,
            height: side(height),
            width: side(width),
        },
        kernel,
        stride,
        padding,
        winograd: false,
    }
}

fn cases() -> impl Strategy<Value = Case> {
    let kernels = prop_oneof![Just(1usize), Just(3), Just(5), Just(7)];
    let from = (1..9usize, 1..9usize, 1..6usize);
    (from, 1..6usize, kernels, 1..4usize, 1..4usize).prop_map(
        |(from, out, kernel, stride, frames)| Case {
            conv: geometry(from, out, kernel, stride),
            frames,
        },
    )
}

/// Calls `visit` with the indices (x, weight, y) of every multiplication.
fn multiplications(case: Case, mut visit: impl FnMut(usize, usize, usize)) {
    let ConvGeometry {
        from,
        to,
        kernel,
        stride,
        padding,
        ..
    } = case.conv;
    let pixels = (0..case.frames * to.pixels()).map(|p| (p / to.pixels(), p % to.pixels()));
    for (frame, pixel) in pixels {
        for tap in 0..kernel * kernel {
            let y = (pixel / to.width * stride + tap / kernel).wrapping_sub(padding);
            let x = (pixel % to.width * stride + tap % kernel).wrapping_sub(padding);
            if y >= from.height || x >= from.width {
                continue;
            }
            for i in 0..from.channels {
                for o in 0..to.channels {
                    let x = ((frame * from.height + y) * from.width + x) * from.channels + i;
                    let w = (o * from.channels + i) * kernel * kernel + tap;
                    visit(x, w, (frame * to.pixels() + pixel) * to.channels + o);
                }
            }
        }
    }
}

fn assert_close(what: &str, found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let far = |(a, b): (&f32, &f64)| (f64::from(*a) - b).abs() > TOLERANCE * b.abs().max(1.0);
    let wrong: Vec<usize> = (0..found.len())
        .filter(|&i| far((&found[i], &expected[i])))
        .collect();
    if let Some(&i) = wrong.first() {
        let (a, b) = (found[i], expected[i]);
        panic!(
            "{what}: {} of {} differ; first at {i}: {a}, expected {b}",
            wrong.len(),
            found.len()
        );
    }
}

fn scratch(conv: ConvGeometry) -> Scratch {
    let channels = conv.from.channels.max(conv.to.channels);
    Scratch::new(1, WEIGHT_PANEL.max(conv.winograd_scratch(channels))).unwrap()
}

fn check_forward(case: Case) {
    let Case { conv, frames } = case;
    let x = values(1, frames * conv.from.count());
    let weight = values(2, conv.weights());
    let (bias, residual) = (
        values(3, conv.to.channels),
        values(4, frames * conv.to.count()),
    );
    let mut expected: Vec<f64> = residual.iter().map(|&v| f64::from(v)).collect();
    let columns = expected.iter_mut().enumerate();
    columns.for_each(|(i, y)| *y += f64::from(bias[i % conv.to.channels]));
    multiplications(case, |i, w, o| {
        expected[o] += f64::from(x[i]) * f64::from(weight[w])
    });
    expected.iter_mut().for_each(|y| *y = y.max(0.0));
    let mut w = vec![f32::NAN; conv.packed_forward()];
    let unfolded = pack::Folded {
        alter: None,
        scale: None,
    };
    pack::forward(&conv, &weight, unfolded, &mut w);
    let product = Forward {
        conv: &conv,
        x: &x,
        w: &w,
        shifted: None,
        finish: Finish {
            bias: Some(&bias),
            residual: Some(&residual),
            relu: true,
        },
    };
    let mut y = vec![f32::NAN; frames * conv.to.count()];
    product.run(0..frames, &mut y, &scratch(conv));
    assert_close("y", &y, &expected);
}

fn check_backward(case: Case) {
    let Case { conv, frames } = case;
    let x = values(1, frames * conv.from.count());
    let weight = values(2, conv.weights());
    let dy = values(3, frames * conv.to.count());
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
    multiplications(case, |i, w, o| {
        dx[i] += f64::from(dy[o]) * f64::from(weight[w]);
        dw[w] += f64::from(dy[o]) * f64::from(x[i]);
    });
    let mut packed = vec![f32::NAN; conv.packed_backward()];
    pack::backward(&conv, &weight, &mut packed);
    let mut found = vec![f32::NAN; x.len()];
    let gradient = DataGradient {
        conv: &conv,
        dy: &dy,
        w: &packed,
    };
    gradient.run(&mut found, &scratch(conv));
    assert_close("dx", &found, &dx);
    let mut partials = vec![f32::NAN; conv.weight_strips(frames) * conv.weights()];
    let mut found = vec![f32::NAN; weight.len()];
    let gradient = WeightGradient {
        conv: &conv,
        frames,
        x: &x,
        dy: &dy,
    };
    gradient.run(&mut partials, &mut found, &scratch(conv));
    assert_close("dw", &found, &dw);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forward_is_the_sum_of_its_products(case in cases()) {
        check_forward(case);
    }

    #[test]
    fn backward_is_the_sum_of_its_products(case in cases()) {
        check_backward(case);
    }
}

/// Pictures of even and odd height and width, channels that fill vectors of each width, sums of more than one chunk.
#[test]
fn minimal_filtering_is_the_sum_of_its_products() {
    let cases = [
        (geometry((8, 8, 24), 24, 3, 1), 9),
        (geometry((7, 5, 16), 40, 3, 1), 7),
        (geometry((1, 2, 8), 8, 3, 1), 60),
        (geometry((13, 12, 520), 72, 3, 1), 2),
        (geometry((12, 13, 64), 136, 3, 1), 3),
    ];
    for (conv, frames) in cases {
        assert!(conv.suits_winograd());
        let conv = ConvGeometry {
            winograd: true,
            ..conv
        };
        check_forward(Case { conv, frames });
        check_backward(Case { conv, frames });
    }
}

/// Several tasks, blocks, tiles and strips, which small cases do not have.
#[test]
fn large_cases_are_cut_without_loss() {
    let cases = [
        (geometry((9, 9, 80), 16, 3, 1), 40),
        (geometry((9, 9, 80), 16, 3, 2), 40),
        (geometry((5, 5, 640), 8, 1, 1), 60),
        (geometry((33, 31, 3), 8, 7, 2), 20),
        (geometry((8, 8, 24), 24, 3, 1), 20),
        (geometry((6, 7, 40), 72, 3, 1), 30),
        (geometry((7, 5, 24), 140, 1, 2), 90),
    ];
    for (conv, frames) in cases {
        let case = Case { conv, frames };
        assert!(conv.weight_tiles().count * conv.weight_strips(frames) > 1);
        check_forward(case);
        check_backward(case);
    }
}

/// Pictures get their border in a step of their own; windows that then stay inside give the same values.
#[test]
fn a_border_changes_nothing() {
    let (conv, frames) = (geometry((33, 31, 3), 24, 7, 2), 3);
    let bordered = conv.bordered().unwrap();
    let x = values(1, frames * conv.from.count());
    let mut wide = vec![f32::NAN; frames * bordered.from.count()];
    border::surround(conv.from, conv.padding, &x, &mut wide);
    let weight = values(2, conv.weights());
    let mut w = vec![f32::NAN; conv.packed_forward()];
    let unfolded = pack::Folded {
        alter: None,
        scale: None,
    };
    pack::forward(&conv, &weight, unfolded, &mut w);
    let convolve = |conv: &ConvGeometry, x: &[f32]| {
        let mut y = vec![f32::NAN; frames * conv.to.count()];
        let product = Forward {
            conv,
            x,
            w: &w,
            shifted: None,
            finish: Finish::default(),
        };
        product.run(0..frames, &mut y, &scratch(*conv));
        y
    };
    assert_eq!(convolve(&conv, &x), convolve(&bordered, &wide));
}
