//! Weights and inputs as functions of a tensor's name; `book/src/golden.md` is the definition.

use crate::base::rng::fnv1a;
use crate::graph::Architecture;

/// `procedural-v1`, of networks of images, and `procedural-v2`, of those with kernels along time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    V1,
    V2,
}

impl Version {
    /// The values of a parameter or running statistic.
    pub fn weight(self, architecture: Architecture, name: &str, shape: &[usize]) -> Vec<f32> {
        let count = shape.iter().product();
        let scale = self.scale(architecture, name, shape);
        raw(name, count).map(|v| scale.of(v)).collect()
    }

    fn scale(self, architecture: Architecture, name: &str, shape: &[usize]) -> Scale {
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
        if architecture.altered_block(name).is_some() {
            return times(0.1);
        }
        let scale = match *shape {
            // The temporal convolutions of TEA.
            _ if self == Self::V2 && name.contains(".shifts.") => times(1.0),
            [_, ref inputs @ ..] if inputs.len() >= 2 => {
                let inputs: usize = inputs.iter().product();
                times((6.0 / inputs as f64).sqrt() as f32)
            }
            [_, inputs] if !architecture.is_classifier(name) => {
                times((3.0 / inputs as f64).sqrt() as f32)
            }
            [_, _] => times(0.05),
            _ if name.ends_with("bias") => times(0.1),
            // The last norm of a bottleneck: a residual branch starts small.
            _ if architecture.is_third_norm(name) => Scale {
                last: Some(0.25),
                ..around_one(0.1)
            },
            _ => around_one(0.1),
        };
        // UniFormer's embeddings are small, so that its norms' eps shows.
        let is_small = architecture == Architecture::UniFormer && name.starts_with("patch_embed");
        match is_small {
            true => Scale {
                last: Some(0.125),
                ..scale
            },
            false => scale,
        }
    }
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

/// An input of shape (clips, frames, 3, height, width), laid out as this program reads pixels: (clips·frames, height, width, 3).
pub fn input(name: &str, images: usize, input: (usize, usize)) -> Vec<f32> {
    let scale = 3f64.sqrt() as f32;
    let planes = raw(name, images * input.0 * input.1 * 3).map(|v| v * scale);
    channels_last(planes, images, input)
}

/// Images of three planes each → images of pixels.
pub fn channels_last(
    planes: impl Iterator<Item = f32>,
    images: usize,
    (height, width): (usize, usize),
) -> Vec<f32> {
    let count = height * width;
    let mut pixels = vec![0.0; images * count * 3];
    for (index, value) in planes.enumerate() {
        let (plane, pixel) = (index / count, index % count);
        let (image, channel) = (plane / 3, plane % 3);
        pixels[(image * count + pixel) * 3 + channel] = value;
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
        let flat: Vec<f32> = raw("input.4", 2 * 3 * 6).collect();
        let pixels = input("input.4", 2, (2, 3));
        let scale = 3f64.sqrt() as f32;
        // Image 1, channel 2, row 1, column 0.
        assert_eq!(pixels[(6 + 3) * 3 + 2], flat[(3 + 2) * 6 + 3] * scale);
        assert_eq!(pixels[0], flat[0] * scale);
    }

    fn first(name: &str) -> f32 {
        raw(name, 1).next().unwrap()
    }

    #[test]
    fn scales_follow_the_kind_of_tensor() {
        let check = |name: &str, shape: &[usize], expected: f32| {
            for version in [Version::V1, Version::V2] {
                let found = version.weight(Architecture::Tsm, name, shape)[0];
                assert_eq!(found, expected, "{name}");
            }
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
        // Kernels of one, two and three axes.
        let name = "base_model.layer1.0.conv1.weight";
        let scaled = |inputs: f64| first(name) * (6.0 / inputs).sqrt() as f32;
        check(name, &[4, 2, 3], scaled(6.0));
        check(name, &[4, 2, 3, 5], scaled(30.0));
        check(name, &[4, 2, 3, 5, 7], scaled(210.0));
    }

    #[test]
    fn temporal_convolutions_of_tea_are_not_scaled() {
        let weight = |name| Version::V2.weight(Architecture::Tea, name, &[4, 1, 3])[0];
        let name = "base_model.layer1.0.shifts.0.conv.weight";
        assert_eq!(weight(name), first(name));
        let norm = |name| Version::V2.weight(Architecture::Tea, name, &[4])[0];
        let name = "base_model.layer1.0.me.bn3_16.weight";
        assert_eq!(norm(name), (first(name) * 0.1 + 1.0) * 0.25);
        let name = "base_model.layer1.0.bns_16.2.weight";
        assert_eq!(norm(name), first(name) * 0.1 + 1.0);
    }
}
