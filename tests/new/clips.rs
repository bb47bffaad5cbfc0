//! The same few clips in each layout, and the program beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::OnceLock;

use ffn::data::something_v2;
use ffn::data::video::Video;
use ffn::data::{Sample, miniature};
use ffn::spec::Miniature;

use crate::program::{InTime, command, expect, stderr, stdout};

/// Clips for training and validation, of as many classes as the miniature has.
pub const TRAIN: usize = 16;
pub const VALIDATION: usize = 8;

/// The miniature, small: the layout of Something-Something V2.
pub fn rendered() -> &'static Path {
    static ROOT: OnceLock<PathBuf> = OnceLock::new();
    ROOT.get_or_init(|| {
        let root = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new");
        let small = Miniature {
            pins: "none".into(),
            train: TRAIN,
            validation: VALIDATION,
            size: 32,
            frames: 20,
        };
        miniature::render(&root, &small, &|_, _| ()).unwrap();
        root
    })
}

/// A folder to work in, whose `clips` is the folder of the data.
pub struct Place(tempfile::TempDir);

impl Place {
    pub fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.clips()).unwrap();
        place
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn clips(&self) -> PathBuf {
        self.path().join("clips")
    }

    /// Writes a file below the folder of the data.
    pub fn write(&self, name: &str, content: &str) {
        let path = self.clips().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub fn ffn(&self, arguments: &[&str]) -> Output {
        command(arguments).current_dir(self.path()).in_time()
    }

    /// `ffn new mine` with the clips and more.
    pub fn new_mine(&self, more: &[&str]) -> Output {
        self.ffn(&[&["new", "mine", "--data-root", "clips"], more].concat())
    }

    /// What it prints, and what it writes.
    pub fn written(&self, more: &[&str]) -> String {
        let output = self.new_mine(more);
        expect(&output, 0);
        let file = fs::read_to_string(self.path().join("mine.ron")).unwrap();
        expect(&self.ffn(&["check", "mine.ron"]), 0);
        format!(
            "{}{}\n--- mine.ron\n{file}",
            stdout(&output),
            stderr(&output)
        )
    }

    /// What it says where it refuses; nothing is written.
    pub fn refused(&self, code: i32, more: &[&str]) -> String {
        let output = self.new_mine(more);
        expect(&output, code);
        assert!(!self.path().join("mine.ron").exists());
        assert_eq!(stdout(&output), "");
        stderr(&output)
    }
}

/// The clips of the rendered miniature with the name of their split.
fn samples() -> Vec<(&'static str, Sample)> {
    let listing = something_v2::read(rendered()).unwrap();
    let train = listing.train.into_iter().map(|sample| ("train", sample));
    let validation = listing.validation.into_iter().map(|sample| ("val", sample));
    train.chain(validation).collect()
}

/// Copies each clip to the path that it is given, and returns for each split the lines of its list.
fn copied(
    place: &Place,
    path: impl Fn(&str, &Sample) -> String,
    line: impl Fn(&str, &Sample) -> String,
) -> [String; 2] {
    let mut lists = [String::new(), String::new()];
    for (split, sample) in samples() {
        let path = path(split, &sample);
        let to = place.clips().join(&path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(sample.source.path(), to).unwrap();
        lists[usize::from(split == "val")] += &(line(&path, &sample) + "\n");
    }
    lists
}

pub fn something_v2() -> Place {
    let place = Place::new();
    crate::program::copy(rendered(), &place.clips());
    place
}

/// Two classes of clips as the book's first page has them, in `CLIPS`.
pub fn of_the_page() -> Place {
    let place = Place::new();
    let sources = samples();
    let mut id = 0;
    for (split, clips) in [("train", 32), ("validation", 8)] {
        let mut entries = Vec::new();
        for clip in 0..clips {
            id += 1;
            let from = sources[clip % sources.len()].1.source.path();
            fs::copy(from, place.clips().join(format!("{id}.webm"))).unwrap();
            let template = ["Pouring [something]", "Spilling [something]"][clip % 2];
            entries.push(format!(
                "{{\"id\": \"{id}\", \"template\": \"{template}\"}}"
            ));
        }
        place.write(
            &format!("{split}.json"),
            &format!("[{}]", entries.join(", ")),
        );
    }
    let labels = "{\"Pouring something\": \"0\", \"Spilling something\": \"1\"}";
    place.write("labels.json", labels);
    fs::rename(place.clips(), place.path().join("CLIPS")).unwrap();
    place
}

/// Folders of images with the lists of TSM.
pub fn frame_folders() -> Place {
    let place = Place::new();
    let mut lists = [String::new(), String::new()];
    for (split, sample) in samples() {
        let video = Video::open(&sample.source).unwrap();
        let frames: Vec<usize> = (0..video.frame_count()).collect();
        let folder = format!("class {}/{}", sample.label, sample.id);
        fs::create_dir_all(place.clips().join(&folder)).unwrap();
        for (i, image) in video.frames(&frames).unwrap().iter().enumerate() {
            let path = place
                .clips()
                .join(&folder)
                .join(format!("img_{:05}.png", i + 1));
            fs::write(path, image.to_png().unwrap()).unwrap();
        }
        let line = format!("{folder} {} {}\n", frames.len(), sample.label);
        lists[usize::from(split == "val")] += &line;
    }
    place.write("train_videofolder.txt", &lists[0]);
    place.write("val_videofolder.txt", &lists[1]);
    place
}

/// A folder for each class in one for each split.
pub fn class_folders() -> Place {
    let place = Place::new();
    copied(
        &place,
        |split, sample| format!("{split}/class {}/{}.webm", sample.label, sample.id),
        |_, _| String::new(),
    );
    place
}

pub fn text_lists() -> Place {
    let place = Place::new();
    let [train, validation] = copied(
        &place,
        |_, sample| format!("videos/clip {}.webm", sample.id),
        |path, sample| format!("{path} {}", sample.label),
    );
    place.write("lists/train.txt", &train);
    place.write("lists/validation.txt", &validation);
    let names: Vec<String> = (0..8).map(|label| format!("class {label}\n")).collect();
    place.write("lists/classes.txt", &names.concat());
    place
}

pub fn csv_lists() -> Place {
    let place = Place::new();
    let lists = copied(
        &place,
        |_, sample| format!("videos/{}.webm", sample.id),
        |path, sample| format!("{},class {},{path}", sample.id, sample.label),
    );
    let [train, validation] = lists.map(|rows| format!("id,label,where\n{rows}"));
    place.write("train.csv", &train);
    place.write("val.csv", &validation);
    place
}

pub fn kinetics() -> Place {
    let place = Place::new();
    let lists = copied(
        &place,
        |split, sample| format!("{split}/{}_000001_000011.webm", sample.id),
        |path, sample| {
            format!(
                "class {},{},1,11,{}",
                sample.label,
                sample.id,
                path.split('/').next().unwrap()
            )
        },
    );
    let header = "label,youtube_id,time_start,time_end,split\n";
    let [train, validation] = lists.map(|rows| format!("{header}{rows}"));
    place.write("kinetics_train.csv", &train);
    place.write("kinetics_val.csv", &validation);
    place
}

pub fn hmdb51() -> Place {
    let place = Place::new();
    let mut splits = std::collections::BTreeMap::<usize, String>::new();
    copied(
        &place,
        |_, sample| format!("class{}/{}.webm", sample.label, sample.id),
        |_, _| String::new(),
    );
    for (split, sample) in samples() {
        let number = if split == "train" { 1 } else { 2 };
        *splits.entry(sample.label).or_default() += &format!("{}.webm {number}\n", sample.id);
    }
    for (label, lines) in splits {
        place.write(
            &format!("testTrainMulti_7030_splits/class{label}_test_split1.txt"),
            &lines,
        );
    }
    place
}
