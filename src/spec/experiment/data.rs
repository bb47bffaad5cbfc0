//! The data set.

use std::ops::RangeInclusive;

use serde::Serialize;

use crate::spec::decode::language;
use crate::spec::rules::{FILE, PLACE, ROOT, TEMPLATE};
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
        VideoList(VideoList = required()),
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

    /// Video files of any container with lists of their labels. WebM with VP9 is decoded in process, anything else by the `ffmpeg`
    /// on this machine.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub struct VideoList {
        /// Name under which a machine's configuration knows the folder.
        root: String = required().text(&ROOT),
        /// Pin file, relative to the experiment's folder.
        pins: String = required().text(&FILE),
        lists: VideoLists = required(),
        /// File with one class name a line, in label order. Without one: the names in the lists, in the order of their bytes; where
        /// these are numbers, the numbers.
        class_names: Option<String> = default(None).text(&FILE),
        class_count: usize = required().whole(CLASSES),
        /// Whether a class may change when left and right are exchanged; the lists do not say.
        direction_sensitive: bool = required(),
        train_count: Option<usize> = default(None).whole(COUNT),
        validation_count: Option<usize> = default(None).whole(COUNT),
        /// Videos that the lists have and nobody can get any more.
        missing: Missing = default(Missing::Fail),
        unreadable: Unreadable = default(Unreadable::Fail),
    }

    /// The form of a data set's lists. Paths of videos are below the data set's folder; lists are looked for beside the experiment, then
    /// there.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub enum VideoLists: "a form of lists" {
        /// Lines `path label`; the label is a number from 0, or a name without a space.
        Text {
            train: String = required().text(&FILE),
            validation: String = required().text(&FILE),
        },
        /// Comma-separated values with a header.
        Csv {
            train: String = required().text(&FILE),
            validation: String = required().text(&FILE),
            /// Name of the column of paths.
            path: String = default("path".to_owned()),
            /// Name of the column of labels: numbers from 0, or names.
            label: String = default("label".to_owned()),
        },
        /// Kinetics' lists: columns `label`, `youtube_id`, `time_start`, `time_end`, `split`.
        Kinetics {
            train: String = required().text(&FILE),
            validation: String = required().text(&FILE),
            /// Path of a video; `{label}`, `{id}`, `{start}`, `{end}` (six digits) and `{split}` stand for the columns.
            place: String = default("{split}/{id}_{start}_{end}.mp4".to_owned()).text(&PLACE),
        },
        /// The three splits of HMDB51: files `CLASS_test_splitN.txt`; videos in a folder for each class.
        Hmdb51 {
            /// Their folder.
            splits: String = default("testTrainMulti_7030_splits".to_owned()).text(&FILE),
            split: usize = required().whole(1..=3),
        },
        /// A folder for each split, in it one for each class.
        Folders {
            train: String = default("train".to_owned()).text(&FILE),
            validation: String = default("val".to_owned()).text(&FILE),
        },
    }

    /// What becomes of videos that the lists have and this machine does not.
    #[derive(Debug, Clone, PartialEq, Eq, Serialize)]
    pub enum Missing: "a policy for missing videos" {
        /// The run does not start.
        Fail,
        /// A file that names videos as the lists do, one a line: these are left out, whether they are there or not. It is pinned, so
        /// that everybody has the same data set.
        Listed(String = required().text(&FILE)),
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
            Data::VideoList(data) => &data.root,
            Data::Miniature(_) => "miniature",
        }
    }

    pub fn class_count(&self) -> usize {
        match self {
            Data::SomethingV2(data) => data.class_count,
            Data::FrameFolders(data) => data.class_count,
            Data::VideoList(data) => data.class_count,
            Data::Miniature(_) => Miniature::CLASS_COUNT,
        }
    }

    /// Videos of the training split as far as the experiment says.
    pub fn train_count(&self) -> Option<usize> {
        match self {
            Data::SomethingV2(data) => Some(data.train_count),
            Data::FrameFolders(data) => data.train_count,
            Data::VideoList(data) => data.train_count,
            Data::Miniature(data) => Some(data.train),
        }
    }

    /// Videos of the validation split as far as the experiment says.
    pub fn validation_count(&self) -> Option<usize> {
        match self {
            Data::SomethingV2(data) => Some(data.validation_count),
            Data::FrameFolders(data) => data.validation_count,
            Data::VideoList(data) => data.validation_count,
            Data::Miniature(data) => Some(data.validation),
        }
    }

    /// Path of the pin file, relative to the experiment file's folder.
    pub fn pins(&self) -> &str {
        match self {
            Data::SomethingV2(data) => &data.pins,
            Data::FrameFolders(data) => &data.pins,
            Data::VideoList(data) => &data.pins,
            Data::Miniature(data) => &data.pins,
        }
    }

    pub fn pins_mut(&mut self) -> &mut String {
        match self {
            Data::SomethingV2(data) => &mut data.pins,
            Data::FrameFolders(data) => &mut data.pins,
            Data::VideoList(data) => &mut data.pins,
            Data::Miniature(data) => &mut data.pins,
        }
    }

    /// Whether a class may change when left and right are exchanged.
    pub fn direction_sensitive(&self) -> bool {
        match self {
            Data::SomethingV2(_) | Data::Miniature(_) => true,
            Data::FrameFolders(data) => data.direction_sensitive,
            Data::VideoList(data) => data.direction_sensitive,
        }
    }

    pub fn unreadable(&self) -> Unreadable {
        match self {
            Data::SomethingV2(data) => data.unreadable,
            Data::FrameFolders(data) => data.unreadable,
            Data::VideoList(data) => data.unreadable,
            Data::Miniature(_) => Unreadable::Fail,
        }
    }
}

impl Miniature {
    /// The motions: see `data::miniature`.
    pub const CLASS_COUNT: usize = 8;
}
