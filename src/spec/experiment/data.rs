//! The data set.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::spec::decode::language;
use crate::spec::rules::{FILE, ROOT, TEMPLATE};
use crate::spec::setting::{default, required};

/// Clips of a split, and more.
const COUNT: RangeInclusive<usize> = 1..=1_000_000_000;
const CLASSES: RangeInclusive<usize> = 2..=1_000_000;
/// Clips of a rendered split.
const RENDERED: RangeInclusive<usize> = Miniature::CLASS_COUNT..=1_000_000;

language! {
    /// The data set.
    #[derive(Debug, Clone, PartialEq, Serialize)]
    pub enum Data: "a data set" {
        SomethingV2(SomethingV2 = required()),
        FrameFolders(FrameFolders = required()),
        Miniature(Miniature = required()),
    }

    /// Something-Something V2 as distributed: `<id>.webm` with the label, train and validation JSON.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct SomethingV2 {
        /// Name under which a machine's configuration knows the folder.
        root: String = default("sthv2".to_owned()).text(&ROOT),
        /// Pin file, relative to the experiment's folder.
        pins: String = required().text(&FILE),
        class_count: usize = required().whole(CLASSES),
        train_count: usize = required().whole(COUNT),
        validation_count: usize = required().whole(COUNT),
        unreadable: Unreadable = default(Unreadable::Fail),
    }

    /// Folders of images with the TSM lists: lines `folder frames label`.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct FrameFolders {
        /// Name under which a machine's configuration knows the folder.
        root: String = required().text(&ROOT),
        /// Pin file, relative to the experiment's folder.
        pins: String = required().text(&FILE),
        train_list: String = required().text(&FILE),
        validation_list: String = required().text(&FILE),
        /// File with one class name a line, in label order; without one the numbers are the names.
        class_names: Option<String> = default(None).text(&FILE),
        /// Name of an image: `{}` or `{:05}` stands for its number.
        template: String = required().text(&TEMPLATE),
        /// Number of the first image.
        first: usize = default(1),
        class_count: usize = required().whole(CLASSES),
        /// Whether a class may change when left and right are exchanged; the lists do not say.
        direction_sensitive: bool = required(),
        train_count: Option<usize> = default(None).whole(COUNT),
        validation_count: Option<usize> = default(None).whole(COUNT),
        unreadable: Unreadable = default(Unreadable::Fail),
    }

    /// Rendered clips whose classes differ only in motion.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct Miniature {
        /// Pin file, relative to the experiment's folder.
        pins: String = required().text(&FILE),
        /// Clips of the training split; a multiple of the class count.
        train: usize = required().whole(RENDERED),
        /// Clips of the validation split; a multiple of the class count.
        validation: usize = required().whole(RENDERED),
        /// Height and width of a clip in pixels.
        size: usize = required().whole(16..=512),
        /// Frames of a clip.
        frames: usize = required().whole(2..=1024),
    }

    /// What becomes of a video that cannot be read.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
    pub enum Unreadable: "a policy for unreadable videos" {
        /// The run stops.
        Fail,
        /// Left out, counted and reported; in training only, evaluation still stops.
        Skip,
    }
}

impl Data {
    /// The name under which a machine's configuration knows the root folder.
    pub fn root_name(&self) -> &str {
        match self {
            Data::SomethingV2(data) => &data.root,
            Data::FrameFolders(data) => &data.root,
            Data::Miniature(_) => "miniature",
        }
    }

    pub fn class_count(&self) -> usize {
        match self {
            Data::SomethingV2(data) => data.class_count,
            Data::FrameFolders(data) => data.class_count,
            Data::Miniature(_) => Miniature::CLASS_COUNT,
        }
    }

    /// Path of the pin file, relative to the experiment file's folder.
    pub fn pins(&self) -> &str {
        match self {
            Data::SomethingV2(data) => &data.pins,
            Data::FrameFolders(data) => &data.pins,
            Data::Miniature(data) => &data.pins,
        }
    }

    pub fn pins_mut(&mut self) -> &mut String {
        match self {
            Data::SomethingV2(data) => &mut data.pins,
            Data::FrameFolders(data) => &mut data.pins,
            Data::Miniature(data) => &mut data.pins,
        }
    }

    /// Whether a class may change when left and right are exchanged.
    pub fn direction_sensitive(&self) -> bool {
        match self {
            Data::SomethingV2(_) | Data::Miniature(_) => true,
            Data::FrameFolders(data) => data.direction_sensitive,
        }
    }

    pub fn unreadable(&self) -> Unreadable {
        match self {
            Data::SomethingV2(data) => data.unreadable,
            Data::FrameFolders(data) => data.unreadable,
            Data::Miniature(_) => Unreadable::Fail,
        }
    }
}

impl Miniature {
    /// The motions: see `data::miniature`.
    pub const CLASS_COUNT: usize = 8;
}
