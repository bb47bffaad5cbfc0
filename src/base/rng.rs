//! Random numbers keyed by what they are for, so that no worker carries a state.
//!
//! A [`Stream`] is ChaCha8 whose 256-bit key is the SHA-256 of (seed, purpose, parts). The same key gives the
//! same numbers on every machine; what is drawn for one sample never depends on another.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use sha2::{Digest, Sha256};

/// FNV-1a of 64 bits: a name as a number.
pub fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// What a stream is for: streams of different purposes are independent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Order of the training samples in an epoch; parts: epoch.
    Shuffle,
    /// Frame indices of a training clip; parts: epoch, sample, branch (0 where branches share the draw).
    Frames,
    /// Crop and flip of a training clip; parts: epoch, sample and, of another than the first clip of a video, its number.
    Augment,
    /// Dropout masks; parts: step, branch.
    Dropout,
    /// Initial weights; parts: hash of the parameter's name.
    Init,
    /// A rendered clip of the miniature; parts: split, clip.
    Render,
    /// Resampled clips and seeds of an interval.
    Bootstrap,
    /// RandAugment's operations of a training clip; parts as of `Augment`.
    RandAugment,
    /// Colours of a training clip; parts as of `Augment`.
    ColorJitter,
    /// The box that is erased of a training clip; parts as of `Augment`.
    Erase,
    /// What it is filled with; parts: epoch, sample, clip of the video, branch, frame.
    EraseNoise,
    /// How the clips of a group are mixed; parts: step, group.
    Mix,
}

/// A stream of random numbers.
pub struct Stream(ChaCha8Rng);

impl Stream {
    pub fn new(seed: u64, purpose: Purpose, parts: &[u64]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"ffn stream 1");
        hasher.update(seed.to_le_bytes());
        hasher.update([purpose as u8]);
        for part in parts {
            hasher.update(part.to_le_bytes());
        }
        Self(ChaCha8Rng::from_seed(hasher.finalize().into()))
    }

    /// Leaves out the next `count` numbers, each of [`Stream::next_u64`] or [`Stream::uniform`].
    pub fn skip(&mut self, count: u64) {
        // ChaCha counts words of 32 bits.
        let place = self.0.get_word_pos() + 2 * u128::from(count);
        self.0.set_word_pos(place);
    }

    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`, without bias; 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        if bound == 0 {
            return 0;
        }
        // Lemire's multiplication with rejection of the short part.
        let short = bound.wrapping_neg() % bound;
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(bound);
            if (wide as u64) >= short {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Uniform in `[0, 1)`, a multiple of 2^-53.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 * (1.0 / (1u64 << 53) as f64)
    }

    /// Standard normal, by Box and Muller with `libm`, so that every machine gives the same bits.
    pub fn normal(&mut self) -> f64 {
        let radius = libm::sqrt(-2.0 * libm::log(1.0 - self.uniform()));
        radius * libm::cos(2.0 * std::f64::consts::PI * self.uniform())
    }

    /// Gamma with this shape, above 0, and scale 1, by Marsaglia and Tsang (2000).
    pub fn gamma(&mut self, shape: f64) -> f64 {
        if shape < 1.0 {
            let u = 1.0 - self.uniform();
            return self.gamma(shape + 1.0) * libm::pow(u, 1.0 / shape);
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / libm::sqrt(9.0 * d);
        loop {
            let x = self.normal();
            let root = 1.0 + c * x;
            let (v, u) = (root * root * root, 1.0 - self.uniform());
            if root > 0.0 && libm::log(u) < 0.5 * x * x + d - d * v + d * libm::log(v) {
                return d * v;
            }
        }
    }

    /// Beta with both parameters `shape`, above 0.
    pub fn beta(&mut self, shape: f64) -> f64 {
        let (a, b) = (self.gamma(shape), self.gamma(shape));
        // Both vanish where the shape is tiny: the distribution is then that of its two ends.
        match a + b > 0.0 {
            true => a / (a + b),
            false => self.below(2) as f64,
        }
    }

    /// Fisher and Yates.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}
