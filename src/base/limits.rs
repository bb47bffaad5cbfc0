//! Bounds on what comes from outside: files, lists, flags.
//!
//! Each is far above anything that a person works with, and far below what a machine falls over. A size is held against
//! its bound before anything is reserved or computed from it. The book's table of bounds is written from [`ALL`].

use super::{Error, Kind, Result};

/// The most that is taken of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// What is bounded, as a sentence's subject: `an experiment file`.
    pub what: &'static str,
    pub most: u64,
    pub unit: Unit,
    /// What the largest that people have needs.
    pub reason: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Bytes,
    /// Things, by their name in the plural.
    Of(&'static str),
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

pub const EXPERIMENT: Bound = Bound {
    what: "an experiment file",
    most: 64 * KIB,
    unit: Unit::Bytes,
    reason: "an experiment is a page of text",
};

pub const SUITE: Bound = Bound {
    what: "a suite file",
    most: MIB,
    unit: Unit::Bytes,
    reason: "a suite in its canonical form spells out each member",
};

pub const MESSAGE: Bound = Bound {
    what: "a message of an editor",
    most: 64 * MIB,
    unit: Unit::Bytes,
    reason: "it may hold a whole file, also one that is no experiment",
};

pub const NAME: Bound = Bound {
    what: "a name or a number in an experiment or a suite",
    most: 512,
    unit: Unit::Bytes,
    reason: "the smallest number, spelled out, has 330 digits",
};

pub const TEXT: Bound = Bound {
    what: "a text in an experiment or a suite",
    most: 4 * KIB,
    unit: Unit::Bytes,
    reason: "the longest path of Linux",
};

pub const MEMBERS: Bound = Bound {
    what: "a suite, with its grids",
    most: 4096,
    unit: Unit::Of("members"),
    reason: "a grid of four fields with eight alternatives each",
};

pub const SEEDS: Bound = Bound {
    what: "a member of a suite",
    most: 1000,
    unit: Unit::Of("seeds"),
    reason: "papers have three to ten",
};

pub const FRAMES: Bound = Bound {
    what: "a clip",
    most: 1024,
    unit: Unit::Of("frames"),
    reason: "the paper's clips have 16, the longest of the field 128",
};

pub const BATCH: Bound = Bound {
    what: "a batch",
    most: 65_536,
    unit: Unit::Of("clips"),
    reason: "the largest batches of ImageNet",
};

pub const PIXELS: Bound = Bound {
    what: "a side of an image",
    most: 4096,
    unit: Unit::Of("pixels"),
    reason: "networks see 224 to 448",
};

pub const THREADS: Bound = Bound {
    what: "a process",
    most: 1024,
    unit: Unit::Of("threads"),
    reason: "the largest servers have some 500 cores",
};

pub const COUNT: Bound = Bound {
    what: "a flag that counts",
    most: 1_000_000,
    unit: Unit::Of("times"),
    reason: "a whole training has fewer steps",
};

pub const SETTINGS: Bound = Bound {
    what: "a small settings, cache or pin file",
    most: MIB,
    unit: Unit::Bytes,
    reason: "a page of text, or a name for each of some hundred classes",
};

pub const LIST: Bound = Bound {
    what: "a list of a data set",
    most: 256 * MIB,
    unit: Unit::Bytes,
    reason: "the lists of Kinetics-700 have 60 MB",
};

pub const PACK: Bound = Bound {
    what: "the index of a pack",
    most: 4 * GIB,
    unit: Unit::Bytes,
    reason: "that of Kinetics-700 with all its frames has 1 GB",
};

pub const CLIPS: Bound = Bound {
    what: "a split",
    most: 2_000_000,
    unit: Unit::Of("clips"),
    reason: "HowTo100M has 1.2 million videos",
};

pub const IMAGES: Bound = Bound {
    what: "a frame folder",
    most: 1_000_000,
    unit: Unit::Of("images"),
    reason: "nine hours of video at 30 frames a second",
};

pub const NUMBER: Bound = Bound {
    what: "a frame folder",
    most: 1_000_000_000,
    unit: Unit::Of("numbers before its first image"),
    reason: "names with ten digits hold every number up to it and all images behind it",
};

pub const VIDEO: Bound = Bound {
    what: "a video file",
    most: GIB,
    unit: Unit::Bytes,
    reason: "half an hour at 4 Mbit/s; it is read whole",
};

pub const FRAME: Bound = Bound {
    what: "a frame",
    most: 4096 * 4096,
    unit: Unit::Of("pixels"),
    reason: "4K has 8.8 million",
};

pub const VIDEO_FRAMES: Bound = Bound {
    what: "a video",
    most: 1_000_000,
    unit: Unit::Of("frames"),
    reason: "nine hours at 30 frames a second",
};

pub const DECODING: Bound = Bound {
    what: "a clip",
    most: 64_000_000_000,
    unit: Unit::Of("pixels to decode"),
    reason: "four minutes of 4K, or an hour of 854x480, at 30 frames a second, from the key frame on",
};

pub const CLIP: Bound = Bound {
    what: "a clip in memory",
    most: 4 * GIB,
    unit: Unit::Bytes,
    reason: "ten times sixteen frames of 4K have 4 GB",
};

pub const DOCUMENT: Bound = Bound {
    what: "a document of a run folder",
    most: GIB,
    unit: Unit::Bytes,
    reason: "a line of metrics for each of a million steps",
};

pub const WEIGHTS: Bound = Bound {
    what: "a file of weights",
    most: 8 * GIB,
    unit: Unit::Bytes,
    reason: "a ResNet-50 with its momentum has 200 MB",
};

pub const WEIGHTS_HEADER: Bound = Bound {
    what: "the header of a safetensors file",
    most: 4 * MIB,
    unit: Unit::Bytes,
    reason: "the 850 tensors of a Frame Flexible ResNet-50 have 100 KB",
};

pub const WEIGHTS_TENSORS: Bound = Bound {
    what: "a file of weights",
    most: 50_000,
    unit: Unit::Of("tensors"),
    reason: "a Frame Flexible ResNet-101 has 2000, and as many again with its momentum",
};

pub const WEIGHTS_PICKLE: Bound = Bound {
    what: "the pickle of a PyTorch checkpoint",
    most: 64 * MIB,
    unit: Unit::Bytes,
    reason: "200 bytes for each tensor; some tools keep the loss of every step beside them",
};

pub const PICKLE_OBJECTS: Bound = Bound {
    what: "the pickle of a PyTorch checkpoint",
    most: 1 << 20,
    unit: Unit::Of("objects"),
    reason: "30 for each tensor, with the optimiser's state",
};

pub const CASE: Bound = Bound {
    what: "a JSON file of a golden bundle",
    most: MIB,
    unit: Unit::Bytes,
    reason: "a case is a page of text",
};

pub const BUNDLE: Bound = Bound {
    what: "a file of tensors in a golden bundle",
    most: GIB,
    unit: Unit::Bytes,
    reason: "inputs, gradients and weights of a ResNet-50 have 300 MB",
};

/// All bounds, in the order of the pipeline.
pub const ALL: &[Bound] = &[
    EXPERIMENT,
    SUITE,
    MESSAGE,
    NAME,
    TEXT,
    MEMBERS,
    SEEDS,
    FRAMES,
    BATCH,
    PIXELS,
    PACK,
    THREADS,
    COUNT,
    SETTINGS,
    LIST,
    CLIPS,
    IMAGES,
    NUMBER,
    VIDEO,
    FRAME,
    VIDEO_FRAMES,
    DECODING,
    CLIP,
    DOCUMENT,
    WEIGHTS,
    WEIGHTS_HEADER,
    WEIGHTS_TENSORS,
    WEIGHTS_PICKLE,
    PICKLE_OBJECTS,
    CASE,
    BUNDLE,
];

impl Bound {
    /// Refuses what is above the bound. `subject` says of what: a path, an id.
    pub fn check(&self, kind: Kind, subject: &str, found: u64) -> Result<()> {
        match found <= self.most {
            true => Ok(()),
            false => Err(Error::new(
                kind,
                format!("{subject}: {}", self.excess(found)),
            )),
        }
    }

    /// What is said of what is above the bound.
    pub fn excess(&self, found: u64) -> String {
        format!(
            "{found} {} are more than the {} that {} may have",
            self.unit.plural(),
            self.describe(),
            self.what
        )
    }

    /// The bound in words: `64 KiB`, `1000000 images`.
    pub fn describe(&self) -> String {
        match self.unit {
            Unit::Of(things) => format!("{} {things}", self.most),
            Unit::Bytes => [(GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")]
                .into_iter()
                .find(|(unit, _)| self.most.is_multiple_of(*unit))
                .map_or_else(
                    || format!("{} bytes", self.most),
                    |(unit, name)| format!("{} {name}", self.most / unit),
                ),
        }
    }
}

impl Unit {
    fn plural(&self) -> &'static str {
        match self {
            Unit::Bytes => "bytes",
            Unit::Of(things) => things,
        }
    }
}

/// Memory for `count` values, or an error where the machine has not so much. For sizes that come from a file or a flag.
pub fn reserved<T>(count: usize, what: &str) -> Result<Vec<T>> {
    let mut values = Vec::new();
    match values.try_reserve_exact(count) {
        Ok(()) => Ok(values),
        Err(_) => Err(out_of_memory(
            what,
            count as u128 * size_of::<T>().max(1) as u128,
        )),
    }
}

/// As many values as there are, in memory that is asked for first.
pub fn collected<T>(values: impl ExactSizeIterator<Item = T>, what: &str) -> Result<Vec<T>> {
    let mut all = reserved(values.len(), what)?;
    all.extend(values);
    Ok(all)
}

/// What is said where memory does not suffice.
pub fn out_of_memory(what: &str, bytes: u128) -> Error {
    Error::new(
        Kind::Device,
        format!("no memory for {what}: {bytes} bytes are needed"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told_in_words() {
        assert_eq!(EXPERIMENT.describe(), "64 KiB");
        EXPERIMENT
            .check(Kind::Experiment, "`e.ron`", 65536)
            .unwrap();
        let error = EXPERIMENT.check(Kind::Experiment, "`e.ron`", 65537);
        assert_eq!(
            error.unwrap_err().message,
            "`e.ron`: 65537 bytes are more than the 64 KiB that an experiment file may have"
        );
    }

    #[test]
    fn memory_that_no_machine_has_is_an_error() {
        let error = reserved::<u64>(usize::MAX / 16, "a test").unwrap_err();
        assert_eq!(error.kind, Kind::Device);
        assert_eq!(reserved::<u8>(7, "a test").unwrap().capacity(), 7);
    }
}
