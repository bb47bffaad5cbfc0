//! `procedural-v1`: weights and inputs as functions of a tensor's name; `book/src/golden.md` is the definition.

use crate::base::rng::fnv1a;
use crate::exchange::names;

/// The values of a parameter or running statistic.
pub fn weight(name: &str, shape: &[usize]) -> Vec<f32> {
    let count = shape.iter().product();
    let scale = scale(name, shape);
    raw(name, count).map(|v| scale.of(v)).collect()
}

/// v ← v · factor + offset, then · last; each operation rounded to float32.
struct Scale {
    factor: f32,
    offset: Option<f32>,
    last: Option<f32>,
}

impl Scale {
    fn of(&self, v: f32) -> f32 {
        let scaled = v * self.factor;
        let moved = self.offset.map_or(scaled, |offset| scaled + offset);
        self.last.map_or(moved, |last| moved * last)
    }
}

fn scale(name: &str, shape: &[usize]) -> Scale {
    let times = |factor| Scale {
        factor,
        offset: None,
        last: None,
    };
    let around_one = |factor| Scale {
        offset: Some(1.0),
        ..times(factor)
    };
    if name.ends_with("running_mean") {
        return times(0.1);
    }
    if name.ends_with("running_var") {
        return around_one(0.2);
    }
    if name.contains("adaconv") {
        return times(0.1);
    }
    match *shape {
        [_, inputs, height, width] => times((6.0 / (inputs * height * width) as f64).sqrt() as f32),
        [_, _] => times(0.05),
        _ if name.ends_with("bias") => times(0.1),
        // The last norm of a bottleneck: a residual branch starts small.
        _ if names::vanilla(name).ends_with(".bn3.weight") => Scale {
            last: Some(0.25),
            ..around_one(0.1)
        },
        _ => around_one(0.1),
    }
}

/// An input of shape (clips, frames, 3, size, size), laid out as this program reads pixels: (clips·frames, size, size, 3).
pub fn input(name: &str, pictures: usize, size: usize) -> Vec<f32> {
    let scale = 3f64.sqrt() as f32;
    let planes = raw(name, pictures * size * size * 3).map(|v| v * scale);
    channels_last(planes, pictures, size)
}

/// Pictures of three planes each → pictures of pixels.
pub fn channels_last(planes: impl Iterator<Item = f32>, pictures: usize, size: usize) -> Vec<f32> {
    let mut pixels = vec![0.0; pictures * size * size * 3];
    for (index, value) in planes.enumerate() {
        let (plane, pixel) = (index / (size * size), index % (size * size));
        let (picture, channel) = (plane / 3, plane % 3);
        pixels[(picture * size * size + pixel) * 3 + channel] = value;
    }
    pixels
}

/// Values in [−1, 1): SplitMix64 seeded with the name, its upper 24 bits.
fn raw(name: &str, count: usize) -> impl Iterator<Item = f32> {
    const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;
    let seed = fnv1a(name.as_bytes());
    (1..=count as u64).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(GAMMA));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let z = z ^ (z >> 31);
        2.0 * ((z >> 40) as f32 / (1u32 << 24) as f32) - 1.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_laid_out_frame_by_frame() {
        let flat: Vec<f32> = raw("input.4", 2 * 3 * 4).collect();
        let pixels = input("input.4", 2, 2);
        let scale = 3f64.sqrt() as f32;
        // Frame 1, channel 2, row 1, column 0.
        assert_eq!(pixels[(4 + 2) * 3 + 2], flat[(3 + 2) * 4 + 2] * scale);
        assert_eq!(pixels[0], flat[0] * scale);
    }

    #[test]
    fn scales_follow_the_kind_of_tensor() {
        let first = |name: &str| raw(name, 1).next().unwrap();
        let check = |name: &str, shape: &[usize], expected: f32| {
            assert_eq!(weight(name, shape)[0], expected, "{name}");
        };
        let name = "base_model.layer1.0.bn3_8.weight";
        check(name, &[4], (first(name) * 0.1 + 1.0) * 0.25);
        let name = "base_model.layer1.0.bn2.weight";
        check(name, &[4], first(name) * 0.1 + 1.0);
        let name = "base_model.layer1.0.adaconv_8.weight";
        check(name, &[4, 1, 1, 1], first(name) * 0.1);
        let name = "base_model.bn1.running_var";
        check(name, &[4], first(name) * 0.2 + 1.0);
        let name = "new_fc.weight";
        check(name, &[4, 8], first(name) * 0.05);
        let name = "new_fc.bias";
        check(name, &[4], first(name) * 0.1);
    }
}
