//! The products against a loop over every multiplication, in float64.

use proptest::prelude::*;

use super::*;
use crate::base::rng::{Purpose, Stream};
use crate::exec::cpu::memory::Scratch;
use crate::exec::cpu::scalar::{PackAs, bf16};
use crate::exec::cpu::{border, pack};
use crate::ops::Shape;

/// How far a result may be from the sum of its products in float64, whose terms are at most a quarter; of what is larger
/// than one, relative to it.
trait Tolerance: PackAs<Self> {
    /// Inputs are of the element already, so a result is rounded once.
    const DIRECT: f64;
    /// Minimal filtering rounds patches and transformed kernels too.
    const MINIMAL: f64;
    /// Sums stay in float32.
    const WEIGHT: f64 = 2e-5;
}

impl Tolerance for f32 {
    /// Sums of a few thousand terms stay well below.
    const DIRECT: f64 = 2e-5;
    const MINIMAL: f64 = 2e-5;
}

impl Tolerance for bf16 {
    /// Half of the last of 8 bits.
    const DIRECT: f64 = 1.0 / 256.0;
    /// Each of n products errs by 2⁻⁸ of at most 4·0.5·0.5·(9/4), at random: √n times that, n up to 9·136.
    const MINIMAL: f64 = 0.125;
}

const UNFOLDED: pack::Folded<'_> = pack::Folded {
    alter: None,
    scale: None,
};

#[derive(Debug, Clone, Copy)]
struct Case {
    conv: ConvGeometry,
    frames: usize,
}

fn values<E: Scalar>(seed: u64, count: usize) -> Vec<E> {
    let mut stream = Stream::new(seed, Purpose::Init, &[]);
    let values = (0..count).map(|_| E::round(stream.uniform() as f32 - 0.5));
    values.collect()
}

/// A parameter that loses nothing when it is packed.
fn weights<E: Scalar>(conv: ConvGeometry) -> Vec<f32> {
    let weights = values::<E>(2, conv.weights());
    weights.into_iter().map(Scalar::float).collect()
}

fn not_a_number<E: Scalar>(count: usize) -> Vec<E> {
    vec![E::round(f32::NAN); count]
}

fn geometry(from: (usize, usize, usize), out: usize, kernel: usize, stride: usize) -> ConvGeometry {
    let (height, width, channels) = from;
    let padding = kernel / 2;
    let side = |side: usize| (side + 2 * padding - kernel) / stride + 1;
    ConvGeometry {
        from: Shape {
            channels,
            height,
            width,
        },
        to: Shape {
            channels: out,
            height: side(height),
            width: side(width),
        },
        kernel,
        stride,
        padding,
        algorithm: Algorithm::Direct,
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

/// With numbers of channels that are pairs.
fn paired(case: Case) -> Case {
    let Case { mut conv, frames } = case;
    conv.from.channels *= 2;
    conv.to.channels *= 2;
    Case { conv, frames }
}

/// Of an image with a border, where neighbours are computed together.
fn in_a_border(case: Case) -> Case {
    let Case { mut conv, frames } = case;
    conv.from.height += 2 * conv.padding;
    conv.from.width += 2 * conv.padding;
    conv.padding = 0;
    Case { conv, frames }
}

/// In the order of AMX: channels need not be pairs.
fn in_blocks(case: Case) -> Case {
    let Case { mut conv, frames } = case;
    conv.algorithm = Algorithm::Amx;
    Case { conv, frames }
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

fn assert_close<E: Scalar>(what: &str, tolerance: f64, found: &[E], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let far = |i: &usize| {
        let (a, b) = (f64::from(found[*i].float()), expected[*i]);
        // NaN is far from everything.
        let is_near = (a - b).abs() <= tolerance * b.abs().max(1.0);
        !is_near
    };
    let wrong: Vec<usize> = (0..found.len()).filter(far).collect();
    if let Some(&i) = wrong.first() {
        let (a, b) = (found[i].float(), expected[i]);
        panic!(
            "{what}: {} of {} differ; first at {i}: {a}, expected {b}",
            wrong.len(),
            found.len()
        );
    }
}

fn scratch(conv: ConvGeometry) -> Scratch {
    let words = [
        conv.weight_scratch(),
        conv.forward_scratch(),
        conv.backward_scratch(),
    ];
    Scratch::new(1, words.into_iter().max().unwrap()).unwrap()
}

fn tolerance<E: Tolerance>(conv: ConvGeometry) -> f64 {
    match conv.algorithm {
        Algorithm::Winograd => E::MINIMAL,
        Algorithm::Direct | Algorithm::Amx => E::DIRECT,
    }
}

fn check_forward<E: Tolerance, P: Products<E, E>>(case: Case) {
    let Case { conv, frames } = case;
    let x = values::<E>(1, frames * conv.from.count());
    let weight = weights::<E>(conv);
    let bias = values::<f32>(3, conv.to.channels);
    let residual = values::<E>(4, frames * conv.to.count());
    let mut expected: Vec<f64> = residual.iter().map(|v| f64::from(v.float())).collect();
    let columns = expected.iter_mut().enumerate();
    columns.for_each(|(i, y)| *y += f64::from(bias[i % conv.to.channels]));
    multiplications(case, |i, w, o| {
        expected[o] += f64::from(x[i].float()) * f64::from(weight[w])
    });
    expected.iter_mut().for_each(|y| *y = y.max(0.0));
    let mut w = not_a_number::<E>(conv.packed_forward());
    pack::forward(&conv, &weight, UNFOLDED, &mut w);
    let product = Forward {
        conv: &conv,
        x: &x[..],
        w: &w[..],
        shifted: None,
        finish: Finish {
            bias: Some(&bias),
            residual: Some(&residual[..]),
            relu: true,
        },
    };
    let mut y = not_a_number::<E>(frames * conv.to.count());
    product.run::<P>(0..frames, &mut y, &scratch(conv));
    assert_close("y", tolerance::<E>(conv), &y, &expected);
}

fn check_backward<E: Tolerance, P: Products<E, E>>(case: Case) {
    let Case { conv, frames } = case;
    let x = values::<E>(1, frames * conv.from.count());
    let weight = weights::<E>(conv);
    let dy = values::<E>(3, frames * conv.to.count());
    let (mut dx, mut dw) = (vec![0.0; x.len()], vec![0.0; weight.len()]);
    multiplications(case, |i, w, o| {
        dx[i] += f64::from(dy[o].float()) * f64::from(weight[w]);
        dw[w] += f64::from(dy[o].float()) * f64::from(x[i].float());
    });
    let mut packed = not_a_number::<E>(conv.packed_backward());
    pack::backward(&conv, &weight, &mut packed);
    let mut found = not_a_number::<E>(x.len());
    let gradient = DataGradient {
        conv: &conv,
        dy: &dy[..],
        w: &packed[..],
    };
    gradient.run::<P>(&mut found, &scratch(conv));
    assert_close("dx", tolerance::<E>(conv), &found, &dx);
    let mut partials = vec![f32::NAN; conv.weight_partials(frames)];
    let mut found = vec![f32::NAN; weight.len()];
    let gradient = WeightGradient {
        conv: &conv,
        frames,
        x: &x[..],
        dy: &dy[..],
    };
    P::weight_gradient(&gradient, &mut partials, &mut found, &scratch(conv));
    assert_close("dw", E::WEIGHT, &found, &dw);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn forward_is_the_sum_of_its_products(case in cases()) {
        check_forward::<f32, Direct>(case);
        check_forward::<bf16, Direct>(paired(case));
        check_forward::<bf16, Blocks>(in_blocks(case));
    }

    #[test]
    fn backward_is_the_sum_of_its_products(case in cases()) {
        check_backward::<f32, Direct>(case);
        check_backward::<bf16, Direct>(paired(case));
        check_backward::<bf16, Blocks>(in_blocks(case));
    }
}

/// Images of even and odd height and width, channels that fill vectors of each width, sums of more than one chunk.
#[test]
fn minimal_filtering_is_the_sum_of_its_products() {
    let cases = [
        (geometry((8, 8, 24), 24, 3, 1), 9),
        (geometry((7, 5, 16), 40, 3, 1), 7),
        (geometry((1, 2, 16), 16, 3, 1), 60),
        (geometry((13, 12, 520), 72, 3, 1), 2),
        (geometry((12, 13, 64), 136, 3, 1), 3),
    ];
    for (conv, frames) in cases {
        assert!(conv.suits_winograd());
        let conv = ConvGeometry {
            algorithm: Algorithm::Winograd,
            ..conv
        };
        check_forward::<f32, Direct>(Case { conv, frames });
        check_backward::<f32, Direct>(Case { conv, frames });
        check_forward::<bf16, Direct>(Case { conv, frames });
        check_backward::<bf16, Direct>(Case { conv, frames });
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
        assert!(conv.weight_tiles().count() * conv.weight_strips(frames) > 1);
        check_forward::<f32, Direct>(case);
        check_backward::<f32, Direct>(case);
        if conv.from.channels.is_multiple_of(2) {
            check_forward::<bf16, Direct>(case);
            check_backward::<bf16, Direct>(case);
        }
        check_forward::<bf16, Blocks>(in_blocks(case));
        check_backward::<bf16, Blocks>(in_blocks(case));
        check_forward::<f32, Direct>(in_a_border(case));
        check_backward::<f32, Direct>(in_a_border(case));
    }
}

#[test]
fn neighbours_are_columns_where_outputs_are_few() {
    let (conv, frames) = (geometry((12, 16, 3), 4, 7, 2), 2);
    let case = in_a_border(Case { conv, frames });
    assert_eq!(case.conv.neighbours(), 4);
    assert_eq!(case.conv.columns(), 16);
    check_forward::<f32, Direct>(case);
    check_backward::<f32, Direct>(case);
}

/// Images get their border in a step of their own; windows that then stay inside give the same values.
#[test]
fn a_border_changes_nothing() {
    let (conv, frames) = (geometry((33, 31, 3), 24, 7, 2), 3);
    let bordered = conv.bordered().unwrap();
    let x = values::<f32>(1, frames * conv.from.count());
    let mut wide = vec![f32::NAN; frames * bordered.from.count()];
    border::surround(conv.from, conv.padding, &x, &mut wide);
    let weight = values(2, conv.weights());
    let mut w = vec![f32::NAN; conv.packed_forward()];
    pack::forward(&conv, &weight, UNFOLDED, &mut w);
    let convolve = |conv: &ConvGeometry, x: &[f32]| {
        let mut y = vec![f32::NAN; frames * conv.to.count()];
        let product = Forward {
            conv,
            x,
            w: &w,
            shifted: None,
            finish: Finish::NONE,
        };
        product.run::<Direct>(0..frames, &mut y, &scratch(*conv));
        y
    };
    assert_eq!(convolve(&conv, &x), convolve(&bordered, &wide));
}
