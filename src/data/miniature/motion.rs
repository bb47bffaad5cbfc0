//! The classes: what moves, and how.
//!
//! A clip is an image on a torus (what leaves on one side comes in on the other) with one object on it. Its state
//! is position, angle and size; in each class one of them runs through its whole range once in a period of 32 to 48
//! frames, from a random start, and the others rest at random values. So in every class each single frame has the
//! same distribution of images, and the classes of a pair are each other's reversal in time: only the order of
//! the frames tells them apart. Four frames at segment centres of 48 are 12 frames apart, at most 3/8 of a period,
//! so even they determine the class; at a period below 24 they would not.

use std::f64::consts::TAU;

use crate::base::rng::Stream;

/// A class of motion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Motion {
    Circle { clockwise: bool },
    Turn { clockwise: bool },
    Cross { right: bool },
    Scale { grow: bool },
}

impl Motion {
    /// In label order.
    pub const ALL: [Motion; 8] = [
        Motion::Circle { clockwise: true },
        Motion::Circle { clockwise: false },
        Motion::Turn { clockwise: true },
        Motion::Turn { clockwise: false },
        Motion::Cross { right: true },
        Motion::Cross { right: false },
        Motion::Scale { grow: true },
        Motion::Scale { grow: false },
    ];

    /// As in Something-Something V2: the placeholder stands in brackets, the class name is the same without them.
    pub fn template(self) -> &'static str {
        match self {
            Motion::Circle { clockwise: true } => "[Something] moving in a clockwise circle",
            Motion::Circle { clockwise: false } => {
                "[Something] moving in a counterclockwise circle"
            }
            Motion::Turn { clockwise: true } => "[Something] turning clockwise in its place",
            Motion::Turn { clockwise: false } => {
                "[Something] turning counterclockwise in its place"
            }
            Motion::Cross { right: true } => "[Something] moving from left to right",
            Motion::Cross { right: false } => "[Something] moving from right to left",
            Motion::Scale { grow: true } => "[Something] growing again and again",
            Motion::Scale { grow: false } => "[Something] shrinking again and again",
        }
    }

    pub fn class_name(self) -> String {
        self.template().replace(['[', ']'], "")
    }
}

/// Where the object is: in units of the image's side, except the angle in radians, clockwise on the screen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    /// The centre; any number, the image is a torus.
    pub x: f64,
    pub y: f64,
    pub angle: f64,
    /// Half the object's extent.
    pub radius: f64,
}

/// The motion of one clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    motion: Motion,
    /// Frames.
    period: f64,
    /// Where in the period the clip starts, in `[0, 1)`.
    start: f64,
    /// The pose of what rests; the centre of a circle.
    rest: Pose,
    /// The radius of a circle.
    orbit: f64,
}

/// Range of the object's radius.
const RADIUS: (f64, f64) = (0.11, 0.25);
/// Range of a circle's radius.
const ORBIT: (f64, f64) = (0.18, 0.28);
/// Range of the period in frames.
const PERIOD: (f64, f64) = (32.0, 48.0);

impl Path {
    pub fn draw(motion: Motion, random: &mut Stream) -> Self {
        let mut between = |(low, high): (f64, f64)| low + (high - low) * random.uniform();
        Self {
            motion,
            period: between(PERIOD),
            start: between((0.0, 1.0)),
            rest: Pose {
                x: between((0.0, 1.0)),
                y: between((0.0, 1.0)),
                angle: between((0.0, TAU)),
                radius: between(RADIUS),
            },
            orbit: between(ORBIT),
        }
    }

    pub fn pose(&self, frame: usize) -> Pose {
        let turns = frame as f64 / self.period;
        let phase = |forward: bool| self.start + if forward { turns } else { -turns };
        let mut pose = self.rest;
        match self.motion {
            Motion::Circle { clockwise } => {
                let angle = TAU * phase(clockwise);
                pose.x += self.orbit * libm::cos(angle);
                pose.y += self.orbit * libm::sin(angle);
            }
            Motion::Turn { clockwise } => pose.angle += TAU * phase(clockwise),
            Motion::Cross { right } => pose.x += phase(right),
            Motion::Scale { grow } => {
                let phase = phase(grow);
                pose.radius = RADIUS.0 + (RADIUS.1 - RADIUS.0) * (phase - libm::floor(phase));
            }
        }
        pose
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::rng::Purpose;

    fn path(motion: Motion, clip: u64) -> Path {
        Path::draw(motion, &mut Stream::new(0, Purpose::Render, &[clip]))
    }

    #[test]
    fn the_classes_of_a_pair_are_each_other_backwards() {
        for pair in Motion::ALL.chunks(2) {
            for clip in 0..20 {
                let (forward, mut backward) = (path(pair[0], clip), path(pair[1], clip));
                // Started where the other arrives, it shows the same images in reverse.
                backward.start += 47.0 / forward.period;
                for frame in 0..48 {
                    let (a, b) = (forward.pose(frame), backward.pose(47 - frame));
                    for (a, b) in [
                        (a.x, b.x),
                        (a.y, b.y),
                        (a.angle, b.angle),
                        (a.radius, b.radius),
                    ] {
                        assert!((a - b).abs() < 1e-9, "{:?}, frame {frame}", pair[0]);
                    }
                }
            }
        }
    }

    #[test]
    fn four_frames_do_not_alias() {
        for clip in 0..100 {
            let period = path(Motion::ALL[0], clip).period;
            assert!(
                12.0 / period < 0.5,
                "more than half a period between segment centres"
            );
        }
    }

    #[test]
    fn class_names_differ() {
        let names: std::collections::BTreeSet<_> =
            Motion::ALL.iter().map(|m| m.class_name()).collect();
        assert_eq!(names.len(), crate::spec::Miniature::CLASS_COUNT);
    }
}
