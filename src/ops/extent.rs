//! The extent of an activation: how many rows it has, and the shape of each.

use std::fmt;

/// Of one row of an activation: channels × height × width.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    pub channels: usize,
    pub height: usize,
    pub width: usize,
}

impl Shape {
    /// One pixel of so many channels.
    pub const fn vector(channels: usize) -> Self {
        Self {
            channels,
            height: 1,
            width: 1,
        }
    }

    pub fn pixels(self) -> usize {
        self.height * self.width
    }

    /// Values of one row.
    pub fn count(self) -> usize {
        self.channels * self.pixels()
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}×{}×{}", self.channels, self.height, self.width)
    }
}

/// How many rows an activation has: time is the axis that a clip's rows lie along.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Rate {
    /// ⌈frames / n⌉ rows a clip of so many frames.
    Every(usize),
    /// One row a clip.
    Clip,
    /// One row a norm group: what is known of the rows of [`Rate::Every`]`(1)` that share their batch statistics.
    Group,
}

impl Rate {
    /// A row for each frame.
    pub const FRAME: Self = Self::Every(1);

    /// Rows of a clip of so many frames.
    pub fn rows(self, frames: usize) -> usize {
        match self {
            Self::Every(step) => frames.div_ceil(step.max(1)),
            Self::Clip | Self::Group => 1,
        }
    }
}

/// Rows and the shape of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Extent {
    pub rate: Rate,
    pub shape: Shape,
}

impl Extent {
    /// The same rows of another shape.
    pub fn with(self, shape: Shape) -> Self {
        Self { shape, ..self }
    }

    /// The same rows and pixels with other channels.
    pub fn with_channels(self, channels: usize) -> Self {
        self.with(Shape {
            channels,
            ..self.shape
        })
    }
}

impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rate {
            Rate::Every(1) => write!(f, "{}", self.shape),
            Rate::Every(step) => write!(f, "{} every {step} frames", self.shape),
            Rate::Clip => write!(f, "{} a clip", self.shape),
            Rate::Group => write!(f, "{} a norm group", self.shape),
        }
    }
}

/// Side of an image after a window of `kernel` moved by `stride` over `side` pixels and `padding` on both ends;
/// `None` where the window does not fit.
pub fn windowed(side: usize, kernel: usize, stride: usize, padding: usize) -> Option<usize> {
    (side + 2 * padding)
        .checked_sub(kernel)
        .map(|room| room / stride.max(1) + 1)
}

/// The extent after a window `[time, height, width]`, or why it does not fit. Along time the window must be as wide as its
/// padding on both ends and the row between, so that the rows of clips of any length are counted by a [`Rate`].
pub(super) fn after_window(
    from: Extent,
    kernel: [usize; 3],
    stride: [usize; 3],
    padding: [usize; 3],
) -> Result<Extent, String> {
    let refused = || format!("a window of {kernel:?} does not fit {from}");
    let side = |side, axis: usize| windowed(side, kernel[axis], stride[axis], padding[axis]);
    let height = side(from.shape.height, 1).ok_or_else(refused)?;
    let width = side(from.shape.width, 2).ok_or_else(refused)?;
    let rate = match from.rate {
        rate if kernel[0] == 1 && stride[0] == 1 && padding[0] == 0 => rate,
        Rate::Every(step) if kernel[0] == 2 * padding[0] + 1 => Rate::Every(step * stride[0]),
        Rate::Every(_) | Rate::Clip | Rate::Group => return Err(refused()),
    };
    Ok(Extent {
        rate,
        shape: Shape {
            height,
            width,
            ..from.shape
        },
    })
}
