//! Planes of luma and chroma → red, green, blue bytes.
//!
//! With samples of n bits, luma L = Y − y₀ and chroma B = Cb − c₀, R = Cr − c₀, where c₀ = 2^(n−1):
//!
//! ```text
//! r = L·a                  + R·2(1−Kr)·b
//! g = L·a − B·2(1−Kb)Kb/Kg·b − R·2(1−Kr)Kr/Kg·b
//! b = L·a + B·2(1−Kb)·b
//! ```
//! limited range: y₀ = 16·2^(n−8), a = 255 / (219·2^(n−8)), b = 255 / (224·2^(n−8));
//! full range: y₀ = 0, a = b = 255 / (2^n − 1).
//!
//! Coefficients are integers in units of 2^-16, sums are rounded to the nearest integer and clamped to 0–255, so
//! every machine gives the same bytes, within half a grey level and the coefficients' rounding (below 0.05) of the
//! real number. A chroma sample serves all the pixels that it covers (no interpolation), as in libswscale's and so
//! most readers' usual conversion.

use pulp::Arch;
use rusty_vp9::DecodedFrame;

use super::header::{Colour, Space};
use super::{Image, VideoError};

const ONE: i64 = 1 << 16;

/// Kr and Kb in units of 1/10000 (ITU-T H.273, table 4).
fn luma_weights(space: Space) -> (i64, i64) {
    match space {
        Space::Bt601 | Space::Rgb => (2990, 1140),
        Space::Bt709 => (2126, 722),
        Space::Smpte240 => (2120, 870),
        Space::Bt2020 => (2627, 593),
    }
}

/// The conversion of one colour description and depth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Matrix {
    black: i32,
    neutral: i32,
    luma: i32,
    red_of_cr: i32,
    green_of_cb: i32,
    green_of_cr: i32,
    blue_of_cb: i32,
}

impl Matrix {
    fn new(colour: Colour, depth: u32) -> Self {
        let (kr, kb) = luma_weights(colour.space);
        let kg = 10_000 - kr - kb;
        let unit = 1i64 << (depth - 8);
        let (black, luma_range, chroma_range) = match colour.full_range {
            true => (0, (256 * unit) - 1, (256 * unit) - 1),
            false => (16 * unit, 219 * unit, 224 * unit),
        };
        let chroma = |numerator: i64, denominator: i64| {
            round_div(255 * ONE * numerator, denominator * chroma_range)
        };
        Self {
            black: black as i32,
            neutral: (128 * unit) as i32,
            luma: round_div(255 * ONE, luma_range),
            red_of_cr: chroma(2 * (10_000 - kr), 10_000),
            green_of_cb: chroma(2 * (10_000 - kb) * kb, 10_000 * kg),
            green_of_cr: chroma(2 * (10_000 - kr) * kr, 10_000 * kg),
            blue_of_cb: chroma(2 * (10_000 - kb), 10_000),
        }
    }

    #[inline(always)]
    fn rgb(&self, y: i32, cb: i32, cr: i32) -> [u8; 3] {
        let luma = (y - self.black) * self.luma + (ONE / 2) as i32;
        let (cb, cr) = (cb - self.neutral, cr - self.neutral);
        [
            byte(luma + cr * self.red_of_cr),
            byte(luma - cb * self.green_of_cb - cr * self.green_of_cr),
            byte(luma + cb * self.blue_of_cb),
        ]
    }

    /// Converts the pixels of a row two by two, each pair with the one sample of chroma that it shares: nearly all videos
    /// are such, and whole vectors of pairs go at once. Returns how many were converted: of an odd number all but the last.
    fn pairs(&self, luma: &[u8], cb: &[u8], cr: &[u8], rgb: &mut [u8]) -> usize {
        let (pixels, _) = rgb.as_chunks_mut::<6>();
        let (luma, _) = luma.as_chunks::<2>();
        let converted = 2 * pixels.len();
        Arch::new().dispatch(
            #[inline(always)]
            || {
                let samples = luma.iter().zip(cb.iter().zip(cr));
                for (pixels, (&[one, two], (&cb, &cr))) in pixels.iter_mut().zip(samples) {
                    let [r, g, b] = self.rgb(one.into(), cb.into(), cr.into());
                    let [s, h, c] = self.rgb(two.into(), cb.into(), cr.into());
                    *pixels = [r, g, b, s, h, c];
                }
            },
        );
        converted
    }
}

#[inline(always)]
fn byte(sum: i32) -> u8 {
    (sum >> 16).clamp(0, 255) as u8
}

fn round_div(numerator: i64, denominator: i64) -> i32 {
    ((numerator + denominator / 2) / denominator) as i32
}

/// Rows of samples, one or two bytes each.
struct Plane<'a> {
    bytes: &'a [u8],
    stride: usize,
    wide: bool,
}

impl Plane<'_> {
    fn row(&self, y: usize) -> &[u8] {
        &self.bytes[y * self.stride..][..self.stride]
    }

    fn sample(&self, row: &[u8], x: usize) -> i32 {
        match self.wide {
            false => i32::from(row[x]),
            true => i32::from(u16::from_le_bytes([row[2 * x], row[2 * x + 1]])),
        }
    }
}

/// Converts the frame `index`. The error says how the decoder's planes contradict its description, or that there is no
/// memory.
pub fn to_image(frame: &DecodedFrame, colour: Colour, index: usize) -> Result<Image, VideoError> {
    let planes = planes(frame).map_err(|what| VideoError::Decode { frame: index, what })?;
    let mut image = Image::black(frame.width as usize, frame.height as usize)?;
    convert(frame, &planes, colour, &mut image);
    Ok(image)
}

fn convert(frame: &DecodedFrame, planes: &[Plane<'_>; 3], colour: Colour, image: &mut Image) {
    let (shift_x, shift_y) = (frame.subsampling_x, frame.subsampling_y);
    let matrix = Matrix::new(colour, frame.bit_depth);
    let paired = shift_x == 1 && frame.bit_depth == 8 && colour.space != Space::Rgb;
    let row = (image.width * 3).max(1);
    for (y, rgb) in image.rgb.chunks_exact_mut(row).enumerate() {
        let luma = planes[0].row(y);
        let [cb, cr] = [1, 2].map(|chroma: usize| planes[chroma].row(y >> shift_y));
        let converted = match paired {
            true => matrix.pairs(luma, cb, cr, rgb),
            false => 0,
        };
        let (pixels, _) = rgb.as_chunks_mut::<3>();
        for (x, pixel) in pixels.iter_mut().enumerate().skip(converted) {
            let luma = planes[0].sample(luma, x);
            let [cb, cr] = [(1, cb), (2, cr)].map(|(p, row)| planes[p].sample(row, x >> shift_x));
            *pixel = match colour.space {
                Space::Rgb => [cr, luma, cb].map(|v| (v >> (frame.bit_depth - 8)) as u8),
                _ => matrix.rgb(luma, cb, cr),
            };
        }
    }
}

/// The three planes, checked: the rest indexes them without fear.
fn planes(frame: &DecodedFrame) -> Result<[Plane<'_>; 3], String> {
    if !matches!(frame.bit_depth, 8 | 10 | 12) || frame.subsampling_x > 1 || frame.subsampling_y > 1
    {
        return Err(format!("{} bits a sample", frame.bit_depth));
    }
    let wide = frame.bit_depth > 8;
    let plane = |index: usize| {
        let (shift_x, shift_y) = match index {
            0 => (0, 0),
            _ => (frame.subsampling_x, frame.subsampling_y),
        };
        let columns = ((frame.width + shift_x) >> shift_x) as usize;
        let rows = ((frame.height + shift_y) >> shift_y) as usize;
        let (bytes, stride) = match (frame.planes.get(index), frame.strides.get(index)) {
            (Some(bytes), Some(stride)) => (bytes, *stride),
            _ => return Err(format!("plane {index} is missing")),
        };
        if stride < columns << u32::from(wide) || bytes.len() < rows * stride {
            return Err(format!("plane {index} is smaller than {columns}x{rows}"));
        }
        Ok(Plane {
            bytes,
            stride,
            wide,
        })
    };
    Ok([plane(0)?, plane(1)?, plane(2)?])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The formula of the module's documentation in real numbers.
    fn exact(colour: Colour, depth: u32, [y, cb, cr]: [i32; 3]) -> [f64; 3] {
        let (kr, kb) = luma_weights(colour.space);
        let (kr, kb) = (kr as f64 / 1e4, kb as f64 / 1e4);
        let kg = 1.0 - kr - kb;
        let unit = f64::from(1 << (depth - 8));
        let (black, a, b) = match colour.full_range {
            true => (
                0.0,
                255.0 / (256.0 * unit - 1.0),
                255.0 / (256.0 * unit - 1.0),
            ),
            false => (16.0 * unit, 255.0 / (219.0 * unit), 255.0 / (224.0 * unit)),
        };
        let luma = (f64::from(y) - black) * a;
        let (cb, cr) = (
            (f64::from(cb) - 128.0 * unit) * b,
            (f64::from(cr) - 128.0 * unit) * b,
        );
        [
            luma + cr * 2.0 * (1.0 - kr),
            luma - cb * 2.0 * (1.0 - kb) * kb / kg - cr * 2.0 * (1.0 - kr) * kr / kg,
            luma + cb * 2.0 * (1.0 - kb),
        ]
    }

    /// Half a grey level of rounding and the coefficients' own.
    const ERROR: f64 = 0.55;

    proptest! {
        #[test]
        fn conversion_is_within_its_error_bound(
            space in prop::sample::select(vec![Space::Bt601, Space::Bt709, Space::Smpte240, Space::Bt2020]),
            full_range: bool,
            depth in prop::sample::select(vec![8u32, 10, 12]),
            samples: [u16; 3],
        ) {
            let colour = Colour { space, full_range };
            let samples = samples.map(|sample| i32::from(sample >> (16 - depth)));
            let bytes = Matrix::new(colour, depth).rgb(samples[0], samples[1], samples[2]);
            for (byte, value) in bytes.iter().zip(exact(colour, depth, samples)) {
                let value = value.clamp(0.0, 255.0);
                prop_assert!((f64::from(*byte) - value).abs() <= ERROR, "{bytes:?} for {value}");
            }
        }
    }

    proptest! {
        #[test]
        fn pairs_are_single_pixels(
            rows in prop::collection::vec(any::<[u8; 4]>(), 1..200), odd: bool,
        ) {
            let width = rows.len() * 2 - usize::from(odd);
            let luma: Vec<u8> = rows.iter().flat_map(|row| [row[0], row[1]]).collect();
            let [cb, cr] = [2, 3].map(|place: usize| rows.iter().map(|row| row[place]).collect::<Vec<_>>());
            let matrix = Matrix::new(Colour::default(), 8);
            let mut rgb = vec![0; width * 3];
            let converted = matrix.pairs(&luma, &cb, &cr, &mut rgb);
            prop_assert_eq!(converted, width / 2 * 2);
            for (x, pixel) in rgb.chunks_exact(3).take(converted).enumerate() {
                let expected = matrix.rgb(luma[x].into(), cb[x / 2].into(), cr[x / 2].into());
                prop_assert_eq!(pixel, expected);
            }
        }
    }

    #[test]
    fn black_grey_and_white_are_exact() {
        for depth in [8, 10, 12] {
            let unit = 1 << (depth - 8);
            let limited = Matrix::new(Colour::default(), depth);
            assert_eq!(limited.rgb(16 * unit, 128 * unit, 128 * unit), [0; 3]);
            assert_eq!(limited.rgb(235 * unit, 128 * unit, 128 * unit), [255; 3]);
            let full = Colour {
                space: Space::Bt709,
                full_range: true,
            };
            let full = Matrix::new(full, depth);
            assert_eq!(full.rgb(0, 128 * unit, 128 * unit), [0; 3]);
            assert_eq!(full.rgb(256 * unit - 1, 128 * unit, 128 * unit), [255; 3]);
        }
    }
}
