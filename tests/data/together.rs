//! Videos that one `ffmpeg` decodes together: the bytes that each has alone, whatever becomes of the others.

use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::Place;
use crate::program::supported;

const EXPERIMENT: &str = r#"Experiment(
    name: "small",
    model: Tsm(backbone: ResNet(block: Basic, blocks: [1], width: 8, stem: Small), init: Random),
    method: Ffn(frames: [2, 4]),
    data: VideoList(root: "small", pins: "small.pins.ron", lists: Text(
        train: "train.txt", validation: "val.txt",
    ), class_count: 2, direction_sensitive: true, unreadable: Skip),
    train: (epochs: 1, batch: 5, clips: (crop: Centre(short_side: 16), flip: Off, size: 16)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [2, 4], short_side: 16, size: 16, batch: 8),
)"#;

/// Containers, codecs and sizes of all kinds, side by side.
const VIDEOS: [&str; 7] = [
    "h264.mp4",
    "mpeg4.avi",
    "h264_rotated.mp4",
    "h264.mkv",
    "even.webm",
    "h264_ten_bit.mp4",
    "h264.mov",
];
const COPIES: usize = 3;

/// A data set of the fixtures, and an `ffmpeg` that is `program`, after it said that it was started, and did `instead` where it has several
/// videos.
fn place(program: &Path, instead: &str) -> Place {
    let place = Place::empty(EXPERIMENT);
    let (mut train, mut val) = (String::new(), String::new());
    let long_ago = SystemTime::now() - Duration::from_secs(3600);
    for number in 0..COPIES * VIDEOS.len() {
        let name = VIDEOS[number % VIDEOS.len()];
        add(&place, name, &format!("{number}_{name}"), long_ago);
        let list = match number < 2 * VIDEOS.len() {
            true => &mut train,
            false => &mut val,
        };
        *list += &format!("{number}_{name} {}\n", number % 2);
    }
    fs::write(place.path("data/train.txt"), train).unwrap();
    fs::write(place.path("data/val.txt"), val).unwrap();
    fs::create_dir(place.path("bin")).unwrap();
    let script = format!(
        "#!/bin/sh\necho \"$1\" >> '{}'\ncase \"$*\" in *pipe:*pipe:*) {instead};; esac\nexec '{}' \"$@\"\n",
        place.path("started").display(),
        program.display(),
    );
    let own = place.path("bin/ffmpeg");
    fs::write(&own, script).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o755)).unwrap();
    place
}

fn add(place: &Place, fixture: &str, name: &str, time: SystemTime) {
    let videos = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/videos");
    let copy = place.path("data").join(name);
    fs::copy(videos.join(fixture), &copy).unwrap();
    let file = fs::File::options().write(true).open(copy).unwrap();
    file.set_modified(time).unwrap();
}

fn starts(place: &Place) -> Vec<String> {
    let text = fs::read_to_string(place.path("started")).unwrap_or_default();
    let _ = fs::remove_file(place.path("started"));
    text.lines().map(str::to_owned).collect()
}

fn ffn(place: &Place, args: &[&str]) {
    let output = place.output(args);
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {text}");
}

/// The lines about videos.
fn certificate(place: &Place) -> String {
    ffn(
        place,
        &["data", "certify", "small.ron", "--out", "c.gz", "--force"],
    );
    let file = fs::File::open(place.path("c.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file)
        .read_to_string(&mut text)
        .unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('\t'));
    lines.map(|line| format!("{line}\n")).collect()
}

/// The weights after a training that all clips take part in, and what was left out of it.
fn trained(place: &Place) -> (Vec<u8>, String) {
    ffn(place, &["data", "pin", "small.ron"]);
    ffn(place, &["run", "small.ron", "--device", "cpu"]);
    let runs = fs::read_dir(place.path("runs")).unwrap();
    let run = runs.map(|run| run.unwrap().path()).next().unwrap();
    let checkpoints = ffn::run::checkpoint::list(&run.join("checkpoints")).unwrap();
    let model = checkpoints.last().unwrap().1.join("model.safetensors");
    let metrics = fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    let skipped = metrics.lines().filter(|line| line.contains("skipped"));
    (
        fs::read(model).unwrap(),
        skipped.map(str::to_owned).collect(),
    )
}

#[test]
fn one_process_decodes_many_videos_and_no_byte_changes() {
    let mut before: Option<(String, (Vec<u8>, String))> = None;
    for (folder, version) in supported() {
        let place = place(&folder.join("ffmpeg"), "true");
        let found = certificate(&place);
        assert_eq!(found.lines().count(), 1 + COPIES * VIDEOS.len(), "{found}");
        assert!(!found.contains("\t!\t"), "{version}: {found}");
        let starts_of_all = starts(&place);
        // 21 videos, at most 4 of them at once: 6 groups, counted and decoded, and the question for its version.
        assert!(starts_of_all.len() <= 13, "{version}: {starts_of_all:#?}");
        assert_eq!(certificate(&place), found);
        // What was counted is remembered by the next process.
        assert!(starts(&place).len() <= 7, "{version}");
        let found = (found, trained(&place));
        if let Some(before) = &before {
            assert!(*before == found, "{version}");
        }
        before = Some(found);
    }
}

#[test]
fn where_the_process_fails_each_video_is_decoded_alone() {
    let Some((folder, _)) = supported().next() else {
        return;
    };
    let program = folder.join("ffmpeg");
    let alone = place(&program, "exit 1");
    let expected = (certificate(&alone), trained(&alone));
    assert!(starts(&alone).len() > 2 * 18);
    let faults = [
        "kill -9 $$",
        r"printf 'P6\n48 32\n255\nabc'; exit 0",
        r"for name in $*; do case $name in pipe:*) printf 'P6\n48 32\n255\nabc' > /dev/fd/${name#pipe:} ;; esac; done; exit 0",
        "echo '[h264 @ 0x1] [error] damage' >&2; true",
        "exec >&-; sleep 0.2; exit 0",
    ];
    for fault in faults {
        let place = place(&program, fault);
        let found = (certificate(&place), trained(&place));
        assert!(found == expected, "{fault}");
    }
}

#[test]
fn a_damaged_video_is_named_and_the_others_are_decoded() {
    for (folder, version) in supported() {
        let place = place(&folder.join("ffmpeg"), "true");
        let whole = certificate(&place);
        add(
            &place,
            "h264_damaged.mp4",
            "9_h264_rotated.mp4",
            SystemTime::now(),
        );
        fs::write(place.path("data/2_h264_rotated.mp4"), b"RIFF....AVI ").unwrap();
        let found = certificate(&place);
        let differs = whole.lines().zip(found.lines()).filter(|(a, b)| a != b);
        let differs: Vec<&str> = differs.map(|(_, b)| b).collect();
        assert_eq!(differs.len(), 2, "{version}: {differs:#?}");
        for (line, id) in differs.iter().zip(["2_h264_rotated", "9_h264_rotated"]) {
            assert!(line.starts_with(id) && line.contains("\t!\t"), "{line}");
        }
    }
}
