//! A textured object over a textured background, with noise: pose → image.
//!
//! All arithmetic is on integers or IEEE doubles with `libm`, so that every machine draws the same bytes.

use crate::base::rng::Stream;
use crate::data::video::Image;

use super::motion::Pose;

/// What a clip looks like, whatever moves.
pub struct Scene {
    shape: Shape,
    /// The colours of the object's two halves, and of the mark on the second.
    halves: [Rgb; 2],
    mark: Rgb,
    object_texture: Texture,
    ground: [Rgb; 2],
    ground_texture: Texture,
    /// Standard deviation of each frame's noise, in grey levels.
    noise: f64,
}

type Rgb = [f64; 3];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    Disc,
    Square,
    Triangle,
}

impl Shape {
    pub fn name(self) -> &'static str {
        match self {
            Shape::Disc => "disc",
            Shape::Square => "square",
            Shape::Triangle => "triangle",
        }
    }

    /// Whether a point is inside; the shape lies in the square from -1 to 1.
    fn contains(self, u: f64, v: f64) -> bool {
        match self {
            Shape::Disc => u * u + v * v <= 1.0,
            Shape::Square => u.abs().max(v.abs()) <= 0.85,
            Shape::Triangle => u >= -0.7 && u + 1.6 * v.abs() <= 0.95,
        }
    }
}

impl Scene {
    pub fn draw(random: &mut Stream) -> Self {
        let shape = [Shape::Disc, Shape::Square, Shape::Triangle][random.below(3) as usize];
        let halves = [colour(random, 150.0, 250.0), colour(random, 0.0, 90.0)];
        Self {
            shape,
            halves,
            mark: colour(random, 200.0, 255.0),
            object_texture: Texture::draw(random, 3),
            ground: [colour(random, 40.0, 150.0), colour(random, 90.0, 210.0)],
            ground_texture: Texture::draw(random, 5),
            noise: 3.0 + 5.0 * random.uniform(),
        }
    }

    pub fn shape(&self) -> Shape {
        self.shape
    }

    /// The image of one frame, `size` pixels high and wide.
    pub fn render(&self, pose: &Pose, size: usize, noise: &mut Stream) -> Image {
        let mut rgb = Vec::with_capacity(size * size * 3);
        let frame = Frame::new(self, pose, size);
        for y in 0..size {
            for x in 0..size {
                let colour = frame.pixel(x, y);
                rgb.extend(colour.map(|value| {
                    let value = value + self.noise * rough_normal(noise.next_u64());
                    libm::round(value).clamp(0.0, 255.0) as u8
                }));
            }
        }
        Image {
            width: size,
            height: size,
            rgb,
        }
    }
}

/// What is the same for all pixels of a frame.
struct Frame<'a> {
    scene: &'a Scene,
    pose: &'a Pose,
    size: f64,
    sin: f64,
    cos: f64,
}

impl<'a> Frame<'a> {
    fn new(scene: &'a Scene, pose: &'a Pose, size: usize) -> Self {
        Self {
            scene,
            pose,
            size: size as f64,
            sin: libm::sin(pose.angle),
            cos: libm::cos(pose.angle),
        }
    }

    /// The mean of four points of the pixel.
    fn pixel(&self, x: usize, y: usize) -> Rgb {
        let mut sum = [0.0; 3];
        for (dx, dy) in [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)] {
            let point = self.point((x as f64 + dx) / self.size, (y as f64 + dy) / self.size);
            for (sum, value) in sum.iter_mut().zip(point) {
                *sum += value / 4.0;
            }
        }
        sum
    }

    fn point(&self, x: f64, y: f64) -> Rgb {
        let (dx, dy) = (nearest(x - self.pose.x), nearest(y - self.pose.y));
        let u = (dx * self.cos + dy * self.sin) / self.pose.radius;
        let v = (dy * self.cos - dx * self.sin) / self.pose.radius;
        let scene = self.scene;
        if !scene.shape.contains(u, v) {
            let weight = scene.ground_texture.at(x, y);
            return mix(scene.ground[0], scene.ground[1], weight);
        }
        let on_mark = (u - 0.35) * (u - 0.35) + v * v < 0.06;
        let half = scene.halves[usize::from(u > 0.0)];
        match on_mark {
            true => scene.mark,
            false => half.map(|value| value + 50.0 * (scene.object_texture.at(u, v) - 0.5)),
        }
    }
}

/// The representative of a distance on the torus that is nearest to zero.
fn nearest(distance: f64) -> f64 {
    distance - libm::round(distance)
}

/// Random values on a square lattice that repeats, smooth between its points.
struct Texture {
    side: usize,
    values: Vec<f64>,
}

impl Texture {
    fn draw(random: &mut Stream, side: usize) -> Self {
        Self {
            side,
            values: (0..side * side).map(|_| random.uniform()).collect(),
        }
    }

    /// Between 0 and 1; of period 1 in both directions.
    fn at(&self, x: f64, y: f64) -> f64 {
        let side = self.side as f64;
        let (x, y) = ((x - libm::floor(x)) * side, (y - libm::floor(y)) * side);
        let (left, top) = (x as usize, y as usize);
        let (tx, ty) = (smooth(x - left as f64), smooth(y - top as f64));
        let value = |x: usize, y: usize| self.values[y % self.side * self.side + x % self.side];
        let row = |y| value(left, y) * (1.0 - tx) + value(left + 1, y) * tx;
        row(top) * (1.0 - ty) + row(top + 1) * ty
    }
}

fn smooth(t: f64) -> f64 {
    t * t * (3.0 - 2.0 * t)
}

fn mix(a: Rgb, b: Rgb, weight: f64) -> Rgb {
    [0, 1, 2].map(|i| a[i] * (1.0 - weight) + b[i] * weight)
}

fn colour(random: &mut Stream, low: f64, high: f64) -> Rgb {
    [(); 3].map(|()| low + (high - low) * random.uniform())
}

/// Nearly normal with variance 1: the sum of four uniform 16-bit parts, which is cheap and exact.
fn rough_normal(bits: u64) -> f64 {
    const DEVIATION: f64 = 37_837.23; // sqrt(4 / 12) · 2^16
    let sum: u64 = [0, 16, 32, 48]
        .iter()
        .map(|shift| bits >> shift & 0xffff)
        .sum();
    (sum as f64 - 131_070.0) / DEVIATION
}
