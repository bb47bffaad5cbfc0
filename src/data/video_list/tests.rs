use tempfile::TempDir;

use super::*;
use crate::data::listing::Expected;
use crate::spec::Unreadable;

/// A data set's folder with files in it; what ends in `/` is a folder.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

fn data(lists: VideoLists, class_count: usize) -> VideoList {
    VideoList {
        root: "videos".into(),
        pins: "videos.pins.ron".into(),
        lists,
        class_names: None,
        class_count,
        direction_sensitive: false,
        train_count: None,
        validation_count: None,
        missing: Missing::Fail,
        unreadable: Unreadable::Fail,
    }
}

fn text() -> VideoLists {
    VideoLists::Text {
        train: "train.txt".into(),
        validation: "val.txt".into(),
    }
}

fn shown(listing: &Listing) -> Vec<(String, usize)> {
    let samples = listing.train.iter().chain(&listing.validation);
    samples
        .map(|sample| (sample.id.clone(), sample.label))
        .collect()
}

fn owned(samples: &[(&str, usize)]) -> Vec<(String, usize)> {
    samples
        .iter()
        .map(|(id, label)| (id.to_string(), *label))
        .collect()
}

#[test]
fn lists_of_paths_and_numbers() {
    let folder = folder(&[
        ("train.txt", "a b.mp4 1\nc/d.avi 0\n"),
        ("val.txt", "e.mkv 1\n"),
        ("a b.mp4", ""),
        ("c/d.avi", ""),
        ("e.mkv", ""),
    ]);
    let listing = read(folder.path(), Path::new("/nowhere"), &data(text(), 2)).unwrap();
    assert_eq!(
        shown(&listing),
        owned(&[("a b.mp4", 1), ("c/d.avi", 0), ("e.mkv", 1)])
    );
    assert_eq!(listing.classes, ["0", "1"]);
    assert!(listing.missing.is_empty());
    assert_eq!(listing.texts.len(), 2);
}

#[test]
fn lists_of_paths_and_names() {
    let folder = folder(&[
        ("train.txt", "a.mp4 walk\nb.mp4 run\n"),
        ("val.txt", "c.mp4 walk\n"),
    ]);
    let listing = read(folder.path(), Path::new("/nowhere"), &data(text(), 2)).unwrap();
    assert_eq!(listing.classes, ["run", "walk"]);
    assert_eq!(
        shown(&listing),
        owned(&[("a.mp4", 1), ("b.mp4", 0), ("c.mp4", 1)])
    );
    assert_eq!(listing.missing.len(), 3);
}

/// Which number a name has nobody says.
#[test]
fn names_and_numbers_do_not_mix() {
    let folder = folder(&[
        ("train.txt", "a.mp4 0\nb.mp4 cat\n"),
        ("val.txt", "c.mp4 dog\n"),
        ("classes.txt", "dog\ncat\n"),
    ]);
    let mut data = data(text(), 2);
    let error = read(folder.path(), Path::new("/nowhere"), &data).unwrap_err();
    let expected = "`a.mp4` has a number for its label, and `b.mp4` a name";
    assert_eq!(error.message, expected);
    data.class_names = Some("classes.txt".into());
    let listing = read(folder.path(), Path::new("/nowhere"), &data).unwrap();
    let expected = [("a.mp4", 0), ("b.mp4", 1), ("c.mp4", 0)];
    assert_eq!(shown(&listing), owned(&expected));
}

#[test]
fn tables_with_a_header() {
    let folder = folder(&[
        ("train.csv", "split,file,class\ntrain,\"a, b.mp4\",2\n"),
        ("val.csv", "class,file\n0,c.mp4\n"),
    ]);
    let lists = |label: &str| VideoLists::Csv {
        train: "train.csv".into(),
        validation: "val.csv".into(),
        path: "file".into(),
        label: label.into(),
    };
    let listing = read(
        folder.path(),
        Path::new("/nowhere"),
        &data(lists("class"), 3),
    )
    .unwrap();
    assert_eq!(shown(&listing), owned(&[("a, b.mp4", 2), ("c.mp4", 0)]));
    let error = read(
        folder.path(),
        Path::new("/nowhere"),
        &data(lists("label"), 3),
    )
    .unwrap_err();
    assert!(
        error
            .message
            .ends_with("it has no column `label`; its columns are split, file, class"),
        "{error}"
    );
}

#[test]
fn kinetics() {
    let folder = folder(&[
        (
            "train.csv",
            "label,youtube_id,time_start,time_end,split,is_cc\nair drumming,-a{id},3,13,train,0\n",
        ),
        (
            "val.csv",
            "label,youtube_id,time_start,time_end,split\nzumba,b,100,110,val\n",
        ),
    ]);
    let lists = |place: &str| VideoLists::Kinetics {
        train: "train.csv".into(),
        validation: "val.csv".into(),
        place: place.into(),
    };
    let place = "{split}/{label}/{id}_{start}_{end}.mp4";
    let listing = read(folder.path(), Path::new("/nowhere"), &data(lists(place), 2)).unwrap();
    let expected = [
        ("train/air drumming/-a{id}_000003_000013.mp4", 0),
        ("val/zumba/b_000100_000110.mp4", 1),
    ];
    assert_eq!(shown(&listing), owned(&expected));
    assert_eq!(listing.classes, ["air drumming", "zumba"]);
}

#[test]
fn the_splits_of_hmdb51() {
    let folder = folder(&[
        (
            "splits/wave_test_split1.txt",
            "#1 (a).avi 1 \nb.avi 2 \nc.avi 0 \n",
        ),
        ("splits/clap_test_split1.txt", "d.avi 2\ne.avi 1\n"),
        ("splits/clap_test_split2.txt", "d.avi 1\ne.avi 2\n"),
        ("wave/#1 (a).avi", ""),
    ]);
    let lists = VideoLists::Hmdb51 {
        splits: "splits".into(),
        split: 1,
    };
    let listing = read(folder.path(), Path::new("/nowhere"), &data(lists, 2)).unwrap();
    assert_eq!(listing.classes, ["clap", "wave"]);
    let expected = [
        ("clap/e.avi", 0),
        ("wave/#1 (a).avi", 1),
        ("clap/d.avi", 0),
        ("wave/b.avi", 1),
    ];
    assert_eq!(shown(&listing), owned(&expected));
    assert_eq!(listing.missing.len(), 3);
    let names: Vec<&str> = listing
        .texts
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        ["splits/clap_test_split1.txt", "splits/wave_test_split1.txt"]
    );
}

#[test]
fn folders_named_by_class() {
    let folder = folder(&[
        ("train/run/a.mp4", ""),
        ("train/walk/b.mp4", ""),
        ("train/walk/.hidden", ""),
        ("val/walk/c.mp4", ""),
    ]);
    let lists = VideoLists::Folders {
        train: "train".into(),
        validation: "val".into(),
    };
    let listing = read(folder.path(), Path::new("/nowhere"), &data(lists, 2)).unwrap();
    let expected = [
        ("train/run/a.mp4", 0),
        ("train/walk/b.mp4", 1),
        ("val/walk/c.mp4", 1),
    ];
    assert_eq!(shown(&listing), owned(&expected));
}

#[test]
fn declared_missing_videos_are_left_out_whether_they_are_there_or_not() {
    let folder = folder(&[
        ("train.txt", "a.mp4 0\nb.mp4 0\n"),
        ("val.txt", "c.mp4 1\n"),
        ("lacking.txt", "b.mp4\n"),
        ("a.mp4", ""),
        ("b.mp4", ""),
        ("c.mp4", ""),
    ]);
    let mut data = data(text(), 2);
    data.missing = Missing::Listed("lacking.txt".into());
    let listing = read(folder.path(), Path::new("/nowhere"), &data).unwrap();
    assert_eq!(shown(&listing), owned(&[("a.mp4", 0), ("c.mp4", 1)]));
    assert!(listing.texts.iter().any(|(name, _)| name == "lacking.txt"));
    std::fs::write(folder.path().join("lacking.txt"), "x.mp4\n").unwrap();
    let error = read(folder.path(), Path::new("/nowhere"), &data).unwrap_err();
    assert!(
        error
            .message
            .contains("videos that are in no list (1):\n  x.mp4"),
        "{error}"
    );
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = folder(&[
        ("train.txt", "a.mp4\nb.mp4  1\n../c.mp4 1\n"),
        ("val.txt", "c.webm 1\n"),
        ("c.mp4", ""),
    ]);
    let read = || read(folder.path(), Path::new("/nowhere"), &data(text(), 2));
    let message = read().unwrap_err().message;
    let lines = "lines that cannot be used (2):\n  line 1: a path, one space and a label are expected: `a.mp4`\n  line 2:";
    assert!(message.contains(lines), "{message}");
    std::fs::write(folder.path().join("train.txt"), "../c.mp4 1\nc.mp4 7\n").unwrap();
    let message = read().unwrap_err().message;
    assert!(
        message.contains("entries that cannot be used (2):"),
        "{message}"
    );
    assert!(
        message.contains("`c.mp4`: the label 7 is not below the 2 classes"),
        "{message}"
    );
    std::fs::write(folder.path().join("train.txt"), "c.mp4 1\n").unwrap();
    let listing = read().unwrap();
    let expected = Expected {
        classes: 2,
        train: None,
        validation: None,
    };
    let message = listing.check(expected).unwrap_err().message;
    assert!(
        message.contains("there is no such file, but `c.mp4`"),
        "{message}"
    );
}
