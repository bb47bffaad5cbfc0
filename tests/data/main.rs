//! Data sets, pins and loaders, on a small miniature that is rendered once.

#[path = "../support/limit.rs"]
mod limit;

#[cfg(unix)]
#[path = "../support/ffmpeg.rs"]
mod program;
#[path = "../support/skipped.rs"]
mod skipped;

mod packs;
#[cfg(unix)]
mod together;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, LazyLock};

use ffn::base::Kind;
use ffn::data::dataset::Pinned;
use ffn::data::open::OpenOptions;
use ffn::data::video::Image;
use ffn::data::{Dataset, EvalBatch, EvalLoader, Pixels, Split, TrainBatch, TrainLoader};
use ffn::spec::{self, BranchFrames, Crops, Data, EvalSampling, Experiment, Unreadable};
use limit::InTime;
use tempfile::TempDir;

const EXPERIMENT: &str = r#"Experiment(
    name: "small",
    model: Tsm(backbone: ResNet(block: Basic, blocks: [1, 1], width: 8, stem: Small), init: Random),
    method: Ffn(frames: [4, 8]),
    data: Miniature(pins: "pins/small.pins.ron", train: 16, validation: 8, size: 40, frames: 20),
    train: (epochs: 3, batch: 6, clips: (crop: Centre(short_side: 40), flip: Off, size: 32)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [4, 8], short_side: 40, size: 32, batch: 3),
)"#;

/// The rendered miniature; tests that change it take a copy.
static RENDERED: LazyLock<TempDir> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let Data::Miniature(miniature) = read(folder.path(), EXPERIMENT).data else {
        panic!("a miniature is expected");
    };
    fs::remove_file(folder.path().join("small.ron")).unwrap();
    ffn::data::miniature::render(folder.path(), &miniature, &|_, _| ()).unwrap();
    folder
});

/// The same clips as a data set that may leave out what is damaged.
static SKIPPING: LazyLock<String> = LazyLock::new(|| {
    let (before, rest) = EXPERIMENT.split_once("data: ").unwrap();
    let (_, after) = rest.split_once('\n').unwrap();
    let data = r#"SomethingV2(root: "small", pins: "pins/small.pins.ron", class_count: 8, train_count: 16,
        validation_count: 8, unreadable: Skip),"#;
    format!("{before}data: {data}\n{after}")
});

const FRAME_FOLDERS: &str = r#"Experiment(
    name: "small",
    model: Tsm(backbone: ResNet(block: Basic, blocks: [1, 1], width: 8, stem: Small), init: Random),
    method: Vanilla(frames: 4),
    data: FrameFolders(
        root: "small", pins: "pins/small.pins.ron", train_list: "train.txt", validation_list: "validation.txt",
        template: "{:03}.png", class_count: 2, direction_sensitive: true, validation_count: 1,
    ),
    train: (epochs: 1, batch: 2, clips: (crop: Centre(short_side: 16), flip: Off, size: 16)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [4], short_side: 16, size: 16, batch: 3),
)"#;

/// An experiment file and its data in a folder of its own.
struct Place {
    folder: TempDir,
    text: &'static str,
}

impl Place {
    /// With a copy of the miniature.
    fn new() -> Self {
        let place = Self::empty(EXPERIMENT);
        for entry in fs::read_dir(RENDERED.path()).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), place.path("data").join(entry.file_name())).unwrap();
        }
        place
    }

    fn empty(text: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        Self { folder, text }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn experiment(&self) -> Experiment {
        read(self.folder.path(), self.text)
    }

    fn open(&self, unpinned: bool) -> ffn::base::Result<Dataset> {
        open(
            &self.experiment(),
            self.folder.path(),
            &self.path("data"),
            unpinned,
        )
    }

    /// `ffn data ARGS` on this place: its exit code, and what it printed, or said if it failed.
    fn ffn(&self, args: &[&str]) -> (i32, String) {
        let Output {
            status,
            stdout,
            stderr,
        } = self.output(&[&["data"], args].concat());
        let text = String::from_utf8(if status.success() { stdout } else { stderr }).unwrap();
        let text = text.replace(&*self.folder.path().to_string_lossy(), "HERE");
        let text = without_hashes(&text);
        (status.code().unwrap(), text)
    }

    /// `ffn ARGS` on this place. A folder `bin` in it comes first on the PATH.
    fn output(&self, args: &[&str]) -> Output {
        self.experiment();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = [self.path("bin")]
            .into_iter()
            .chain(std::env::split_paths(&path));
        Command::new(env!("CARGO_BIN_EXE_ffn"))
            .args(args)
            .env("PATH", std::env::join_paths(folders).unwrap())
            .current_dir(self.folder.path())
            .env("FFN_DATA_MINIATURE", self.path("data"))
            .env("FFN_DATA_SMALL", self.path("data"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .in_time()
    }

    /// As [`Place::new`], read as Something-Something V2, which may leave out what is damaged.
    fn skipping() -> Self {
        Self {
            text: SKIPPING.as_str(),
            ..Self::new()
        }
    }
}

/// Every SHA-256 as `<sha256>`: what the hashes are is the miniature's affair.
fn without_hashes(text: &str) -> String {
    let word = |word: &str| match word.trim_end() {
        hash if hash.len() == 64 && hash.bytes().all(|b| b.is_ascii_hexdigit()) => {
            word.replace(hash, "<sha256>")
        }
        _ => word.to_owned(),
    };
    text.split_inclusive([' ', '\n']).map(word).collect()
}

/// Writes the experiment into a folder and loads it from there.
fn read(folder: &Path, text: &str) -> Experiment {
    let path = folder.join("small.ron");
    fs::write(&path, text).unwrap();
    spec::load(&path)
        .unwrap_or_else(|error| panic!("{error}"))
        .experiment
}

fn open(
    experiment: &Experiment,
    base: &Path,
    root: &Path,
    unpinned: bool,
) -> ffn::base::Result<Dataset> {
    Dataset::open(
        experiment,
        &OpenOptions {
            root: Some(root.to_owned()),
            cache: None,
            base,
            unpinned,
            progress: &|_, _, _| (),
        },
    )
}

fn shared() -> (Arc<Dataset>, Experiment) {
    let folder = tempfile::tempdir().unwrap();
    let experiment = read(folder.path(), EXPERIMENT);
    let dataset = open(&experiment, folder.path(), RENDERED.path(), true).unwrap();
    (Arc::new(dataset), experiment)
}

fn train(
    dataset: &Arc<Dataset>,
    experiment: &Experiment,
    workers: usize,
    first: u64,
) -> Vec<TrainBatch> {
    let mut loader = TrainLoader::start(Arc::clone(dataset), experiment, workers, first);
    std::iter::from_fn(|| loader.next_batch())
        .map(|batch| batch.unwrap())
        .collect()
}

fn evaluate(
    dataset: &Arc<Dataset>,
    experiment: &Experiment,
    frames: &[usize],
    workers: usize,
) -> Vec<EvalBatch> {
    let mut loader = EvalLoader::start(Arc::clone(dataset), experiment, frames, workers);
    std::iter::from_fn(|| loader.next_batch())
        .map(|batch| batch.unwrap())
        .collect()
}

/// What `look` finds, once it finds something.
fn soon<T>(mut look: impl FnMut() -> Option<T>) -> T {
    for _ in 0..1000 {
        match look() {
            Some(found) => return found,
            None => std::thread::sleep(std::time::Duration::from_millis(10)),
        }
    }
    panic!("nothing came");
}

fn bytes(pixels: &Pixels) -> &[u8] {
    match pixels {
        Pixels::Bytes(bytes) => bytes,
        Pixels::Values(_) => panic!("bytes were expected"),
    }
}

/// Flips one bit in the middle of a file and sets its time back, as rot would.
fn damage(path: &Path) {
    let time = fs::metadata(path).unwrap().modified().unwrap();
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
    fs::File::options()
        .write(true)
        .open(path)
        .unwrap()
        .set_modified(time)
        .unwrap();
}

#[test]
fn batches_do_not_depend_on_workers_or_the_first_step() {
    let (dataset, experiment) = shared();
    let all = train(&dataset, &experiment, 1, 0);
    assert_eq!(all.len(), 3 * (16 / 6));
    assert!(train(&dataset, &experiment, 5, 0) == all);
    assert!(train(&dataset, &experiment, 2, 3) == all[3..]);
    for (step, batch) in all.iter().enumerate() {
        assert_eq!((batch.step, batch.ids.len()), (step as u64, 6));
        assert_eq!(batch.pixels.len(), 6 * (4 + 8) * 32 * 32 * 3);
    }
    // Another order in each epoch, no clip twice within one.
    assert_ne!(all[0].ids, all[2].ids);
    let mut epoch = [all[0].ids.clone(), all[1].ids.clone()].concat();
    epoch.sort();
    epoch.dedup();
    assert_eq!(epoch.len(), 12);
}

#[test]
fn synchronized_branches_show_frames_of_the_largest() {
    let (dataset, mut experiment) = shared();
    experiment.train.clips.branches = BranchFrames::Synchronized;
    for batch in train(&dataset, &experiment, 2, 0) {
        let frame = 32 * 32 * 3;
        let (small, large) = bytes(&batch.pixels).split_at(6 * 4 * frame);
        for (small, large) in small.chunks(4 * frame).zip(large.chunks(8 * frame)) {
            assert!(
                small
                    .chunks(frame)
                    .all(|one| large.chunks(frame).any(|other| one == other))
            );
        }
    }
}

#[test]
fn evaluation_is_in_order_and_decodes_once_for_all_frame_counts() {
    let (dataset, experiment) = shared();
    let batches = evaluate(&dataset, &experiment, &[4, 8, 5], 3);
    assert!(evaluate(&dataset, &experiment, &[4, 8, 5], 1) == batches);
    let ids: Vec<_> = batches.iter().flat_map(|batch| batch.ids.clone()).collect();
    let expected: Vec<_> = dataset
        .validation
        .iter()
        .map(|sample| sample.id.clone())
        .collect();
    assert_eq!(ids, expected);
    let sizes: Vec<_> = batches.iter().map(|batch| batch.ids.len()).collect();
    assert_eq!(sizes, [3, 3, 2]);
    for batch in &batches {
        for (pixels, frames) in batch.pixels.iter().zip([4, 8, 5]) {
            assert_eq!(pixels.len(), batch.ids.len() * frames * 32 * 32 * 3);
        }
    }
    // Together or alone, a frame count gets the same pixels.
    let alone = evaluate(&dataset, &experiment, &[8], 2);
    assert!(
        alone
            .iter()
            .zip(&batches)
            .all(|(alone, all)| alone.pixels[0] == all.pixels[1])
    );
}

#[test]
fn views_are_temporal_clips_times_crops() {
    let (dataset, mut experiment) = shared();
    experiment.eval.sampling = EvalSampling::Twice;
    experiment.eval.crops = Crops::Ten;
    let batches = evaluate(&dataset, &experiment, &[4], 2);
    let frame = 32 * 32 * 3;
    assert_eq!((batches.len(), batches[0].views), (8, 20));
    assert_eq!(batches[0].pixels[0].len(), 20 * 4 * frame);
    // The second view is the first one flipped.
    let row = |view: usize| &bytes(&batches[0].pixels[0])[view * 4 * frame..][..32 * 3];
    let flipped: Vec<u8> = row(0).chunks(3).rev().flatten().copied().collect();
    assert_eq!(row(1), flipped);

    experiment.eval.crops = Crops::Three;
    let batches = evaluate(&dataset, &experiment, &[4], 2);
    assert_eq!((batches[0].views, batches[0].size), (6, 40));
    assert_eq!(batches[0].pixels[0].len(), 6 * 4 * 40 * 40 * 3);
}

#[test]
fn unreadable_videos_stop_or_are_left_out_as_declared() {
    let place = Place::new();
    let id = "3";
    let broken = place.path("data").join(format!("{id}.webm"));
    fs::write(&broken, b"").unwrap();
    let mut dataset = place.open(true).unwrap();
    let mut experiment = place.experiment();

    let mut loader = TrainLoader::start(Arc::new(dataset.clone()), &experiment, 2, 0);
    let seen_ahead = || {
        loader.next_pixels();
        loader.next_batch()
    };
    let results: Vec<_> = std::iter::from_fn(seen_ahead).collect();
    let error = results.last().unwrap().as_ref().unwrap_err();
    assert_eq!(error.kind, Kind::Data);
    let message = error
        .to_string()
        .replace(&*place.folder.path().to_string_lossy(), "HERE");
    insta::assert_snapshot!(message);
    assert!(results[..results.len() - 1].iter().all(Result::is_ok));

    // The miniature always stops; the same files read as Something-Something V2 may say Skip.
    experiment.data = Data::SomethingV2(spec::SomethingV2 {
        root: "small".into(),
        pins: "pins/small.pins.ron".into(),
        class_count: 8,
        train_count: 16,
        validation_count: 8,
        unreadable: Unreadable::Skip,
    });
    let batches = train(&Arc::new(dataset.clone()), &experiment, 2, 0);
    assert_eq!(batches.len(), 6);
    let skipped: Vec<_> = batches.iter().flat_map(|batch| &batch.skipped).collect();
    assert!(!skipped.is_empty() && skipped.iter().all(|(skipped, _)| skipped == id));
    for batch in &batches {
        assert_eq!(batch.ids.len() + batch.skipped.len(), 6);
        assert_eq!(batch.pixels.len(), batch.ids.len() * 12 * 32 * 32 * 3);
    }

    // Evaluation stops whatever the policy.
    dataset.validation = dataset.train.clone();
    let mut loader = EvalLoader::start(Arc::new(dataset), &experiment, &[4], 2);
    let results: Vec<_> = std::iter::from_fn(|| loader.next_batch()).collect();
    assert!(results.last().unwrap().is_err());
}

/// Whoever looks at the next batch gets the same batches in the same order.
#[test]
fn a_look_ahead_changes_nothing() {
    let (dataset, experiment) = shared();
    let expected = train(&dataset, &experiment, 2, 0);
    let mut loader = TrainLoader::start(Arc::clone(&dataset), &experiment, 2, 0);
    for batch in &expected {
        let pixels = soon(|| loader.next_pixels());
        assert!(Arc::ptr_eq(&pixels, &loader.next_pixels().unwrap()));
        let found = loader.next_batch().unwrap().unwrap();
        assert!(found == *batch && Arc::ptr_eq(&pixels, &found.pixels));
    }
    assert!(loader.next_pixels().is_none() && loader.next_batch().is_none());

    let expected = evaluate(&dataset, &experiment, &[4, 8], 2);
    let mut loader = EvalLoader::start(dataset, &experiment, &[4, 8], 2);
    let (last, whole) = expected.split_last().unwrap();
    for batch in whole {
        let pixels = soon(|| loader.next_pixels(1));
        assert!(loader.next_pixels(2).is_none());
        let found = loader.next_batch().unwrap().unwrap();
        assert!(found == *batch && Arc::ptr_eq(&pixels, &found.pixels[1]));
    }
    assert!(loader.next_pixels(0).is_none(), "it is no whole batch");
    assert!(loader.next_batch().unwrap().unwrap() == *last);
}

#[test]
fn a_loader_that_is_dropped_early_ends() {
    let (dataset, experiment) = shared();
    let mut loader = TrainLoader::start(dataset, &experiment, 3, 0);
    loader.next_batch().unwrap().unwrap();
    let report = loader.report();
    assert_eq!(report.videos, 6);
    assert!(report.depth <= 2 && report.waited > 0.0);
    drop(loader);
}

#[test]
fn pins_are_made_verified_and_say_what_changed() {
    let place = Place::new();
    let error = place.open(false).unwrap_err();
    assert_eq!(error.kind, Kind::Data);
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4);
    insta::assert_snapshot!("no_pins", text);

    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("pin", text);
    assert_eq!(place.ffn(&["verify", "small.ron"]).0, 0);
    let dataset = place.open(false).unwrap();
    assert!(matches!(dataset.pinned, Pinned::Verified { .. }));
    assert_eq!(
        (dataset.split(Split::Train).len(), dataset.validation.len()),
        (16, 8)
    );

    // Two files, one bit each, sizes and times as before; `--full` looks again.
    damage(&place.path("data/7.webm"));
    damage(&place.path("data/20.webm"));
    let (code, text) = place.ffn(&["verify", "small.ron", "--full"]);
    assert_eq!(code, 4);
    insta::assert_snapshot!("two_videos_differ", text);

    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("--update"), "{text}");
    let (code, text) = place.ffn(&["pin", "small.ron", "--update"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(place.ffn(&["verify", "small.ron"]).0, 0);
}

#[test]
fn a_suite_pins_each_data_set_of_its_members_once() {
    let place = Place::new();
    let suite = r#"Suite(
        name: "both",
        seeds: [1, 2],
        members: [
            (name: "a", experiment: "small.ron"),
            (name: "b", experiment: "small.ron", with: (name: "b", data: (pins: "pins/other.pins.ron"))),
            (name: "c", experiment: "small.ron", with: (name: "c", train: (epochs: 4))),
        ],
        claims: [],
    )"#;
    fs::write(place.path("both.ron"), suite).unwrap();
    let (code, text) = place.ffn(&["pin", "both.ron"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("16 training clips").count(), 2, "{text}");
    for pins in ["pins/small.pins.ron", "pins/other.pins.ron"] {
        assert!(place.path(pins).exists(), "{text}");
    }
    let (code, text) = place.ffn(&["pin", "both.ron"]);
    assert_eq!(code, 0, "{text}");
    assert_eq!(text.matches("are those of the data").count(), 2, "{text}");
}

#[test]
fn without_the_hashes_the_roots_still_tell() {
    let place = Place::new();
    place.ffn(&["pin", "small.ron"]);
    fs::remove_file(place.path("pins/small.pins.sha256")).unwrap();
    assert_eq!(place.ffn(&["verify", "small.ron"]).0, 0);
    fs::write(place.path("data/7.webm"), "x").unwrap();
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4);
    insta::assert_snapshot!(text);
}

#[test]
fn label_files_are_pinned_too() {
    let place = Place::new();
    place.ffn(&["pin", "small.ron"]);
    let path = place.path("data/labels.json");
    let labels = fs::read_to_string(&path).unwrap();
    // The first two classes change places.
    let swapped = labels
        .replace("\"0\"", "\"x\"")
        .replace("\"1\"", "\"0\"")
        .replace("\"x\"", "\"1\"");
    fs::write(&path, swapped).unwrap();
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4);
    insta::assert_snapshot!(text);
}

#[test]
fn damaged_pin_files_are_refused() {
    let place = Place::new();
    place.ffn(&["pin", "small.ron"]);
    let (pins, hashes) = (
        place.path("pins/small.pins.ron"),
        place.path("pins/small.pins.sha256"),
    );
    let whole = fs::read_to_string(&pins).unwrap();
    for damaged in [
        &whole[..whole.len() / 2],
        "",
        "(version: 2)",
        &whole.replace("version: 1", "version: 9"),
    ] {
        fs::write(&pins, damaged).unwrap();
        let (code, text) = place.ffn(&["verify", "small.ron"]);
        assert_eq!(code, 4, "{text}");
        assert!(text.contains("small.pins.ron"), "{text}");
    }
    fs::write(&pins, &whole).unwrap();
    damage(&hashes);
    damage(&place.path("data/7.webm"));
    let (code, text) = place.ffn(&["verify", "small.ron", "--full"]);
    assert_eq!(code, 4);
    assert!(
        text.contains("they are not those of the pin file"),
        "{text}"
    );
}

#[test]
fn stats_and_contact_sheets() {
    let place = Place::new();
    fs::write(place.path("data/3.webm"), b"").unwrap();
    let (code, text) = place.ffn(&["stats", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("stats", text);
    let (code, text) = place.ffn(&["stats", "small.ron", "--json"]);
    assert_eq!(code, 0, "{text}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["train"]["frames"]["max"], 20);

    let (code, text) = place.ffn(&[
        "show",
        "small.ron",
        "--ids",
        "1,2",
        "--out",
        "sheets",
        "--raw",
    ]);
    assert_eq!(code, 0, "{text}");
    insta::assert_snapshot!("show", text);
    let png = fs::read(place.path("sheets/2.png")).unwrap();
    let reader = png::Decoder::new(std::io::Cursor::new(png))
        .read_info()
        .unwrap();
    assert_eq!(
        (reader.info().width, reader.info().height),
        (2 + 8 * 114, 2 + 2 * 114)
    );
    let raw = fs::read(place.path("sheets/2.safetensors")).unwrap();
    let raw = safetensors::SafeTensors::deserialize(&raw).unwrap();
    assert_eq!(raw.tensor("frames.8").unwrap().shape(), [1, 8, 32, 32, 3]);

    let args = [
        "show",
        "small.ron",
        "--split",
        "validation",
        "--clips",
        "3",
        "--out",
        "views",
    ];
    assert_eq!(place.ffn(&args).0, 0);
    assert_eq!(fs::read_dir(place.path("views")).unwrap().count(), 3);
    let (code, text) = place.ffn(&["show", "small.ron", "--ids", "none", "--out", "sheets"]);
    assert_eq!(code, 2, "{text}");
}

/// Frame folders with their frame counts, and the list that trains on the first two of them.
const WALK: [(&str, usize); 3] = [("a walk", 9), ("b", 3), ("c", 8)];
const WALK_LIST: &str = "a walk 9 1\nb 3 0\n";

/// A place with frame folders; `c` is what is validated.
fn frame_folders(folders: &[(&str, usize)], train: &str) -> Place {
    let place = Place::empty(FRAME_FOLDERS);
    let root = place.path("data");
    for (id, count) in folders {
        write_frames(&root, id, *count);
    }
    fs::write(place.path("train.txt"), train).unwrap();
    fs::write(root.join("validation.txt"), "c 8 1\n").unwrap();
    place
}

/// Frame folders of PNG images: `id` has `count` frames of one grey each.
fn write_frames(root: &Path, id: &str, count: usize) {
    let folder = root.join(id);
    fs::create_dir_all(&folder).unwrap();
    for frame in 0..count {
        let image = Image {
            width: 12,
            height: 10,
            rgb: vec![10 * frame as u8; 12 * 10 * 3],
        };
        let path = folder.join(format!("{:03}.png", frame + 1));
        fs::write(path, image.to_png().unwrap()).unwrap();
    }
}

#[test]
fn frame_folders_are_read_pinned_and_loaded() {
    let place = frame_folders(&WALK, WALK_LIST);
    let root = place.path("data");

    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    let dataset = Arc::new(place.open(false).unwrap());
    let experiment = place.experiment();
    let batches = train(&dataset, &experiment, 2, 0);
    assert_eq!(batches.len(), 1);
    let batches = evaluate(&dataset, &experiment, &[4], 2);
    let greys: Vec<u8> = bytes(&batches[0].pixels[0])
        .chunks(16 * 16 * 3)
        .map(|frame| frame[0])
        .collect();
    assert_eq!(greys, [10, 30, 50, 70]);

    // Two images change places: the same bytes under other names are another clip.
    let [one, two] = ["c/002.png", "c/003.png"].map(|name| root.join(name));
    fs::rename(&one, root.join("x")).unwrap();
    fs::rename(&two, &one).unwrap();
    fs::rename(root.join("x"), &two).unwrap();
    let (code, text) = place.ffn(&["verify", "small.ron", "--full"]);
    assert_eq!(code, 4);
    assert!(text.contains("videos that differ (1):\n  c\n"), "{text}");

    fs::remove_file(root.join("b/003.png")).unwrap();
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4);
    insta::assert_snapshot!("missing_image", text);
}

#[test]
fn without_the_data_one_message_says_how_to_get_them() {
    let home = tempfile::tempdir().unwrap();
    let experiment = Path::new(env!("CARGO_MANIFEST_DIR")).join("experiments/ffn_tsm_sthv2.ron");
    let output = Command::new(env!("CARGO_BIN_EXE_ffn"))
        .args(["data", "stats"])
        .arg(experiment)
        .env_remove("FFN_DATA_STHV2")
        .env("FFN_CONFIG", home.path().join("config.ron"))
        .in_time();
    assert_eq!(output.status.code(), Some(4));
    let text = String::from_utf8(output.stderr).unwrap();
    insta::assert_snapshot!(text.replace(&*home.path().to_string_lossy(), "HOME"));

    // The configuration is asked where neither flag nor environment say it.
    let config = "(data: {\"sthv2\": \"/no/such/folder\"})";
    fs::write(home.path().join("config.ron"), config).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
    command
        .args(["data", "stats", "experiments/ffn_tsm_sthv2.ron"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("FFN_CONFIG", home.path().join("config.ron"));
    let asked = |command: &mut Command| String::from_utf8(command.in_time().stderr).unwrap();
    let configured = asked(command.env_remove("FFN_DATA_STHV2"));
    assert!(configured.contains("`/no/such/folder`"), "{configured}");
    let environment = asked(command.env("FFN_DATA_STHV2", "/nor/this"));
    assert!(environment.contains("`/nor/this`"), "{environment}");
    let flag = asked(command.args(["--data-root", "/nor/that"]));
    assert!(flag.contains("`/nor/that`"), "{flag}");
}

/// What a command said on both streams, and its exit code.
fn said(output: Output) -> (i32, String) {
    let streams = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(streams).unwrap(),
    )
}

#[test]
fn how_many_videos_were_left_out_is_told_wherever_results_are() {
    let place = Place::skipping();
    // Both of one batch's clips are damaged in some epoch or other.
    for id in ["3", "4"] {
        fs::write(place.path("data").join(format!("{id}.webm")), b"").unwrap();
    }
    let machine = ["--unpinned", "--threads", "1", "--workers", "1"];
    let run = place.output(&[&["run", "small.ron"], &machine[..]].concat());
    let (code, text) = said(run);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("left out of training: `3`: the file is empty"),
        "{text}"
    );
    let table = text.lines().filter(|line| line.starts_with("small-"));
    assert!(
        table.count() > 0 && text.contains("videos left out of training"),
        "{text}"
    );

    let folder = fs::read_dir(place.path("runs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let folder = folder.to_str().unwrap();
    let manifest = fs::read_to_string(format!("{folder}/manifest.json")).unwrap();
    assert!(manifest.contains("\"left_out\": 2"), "{manifest}");
    for command in [&["runs"][..], &["verify", folder], &["report", folder]] {
        let (code, text) = said(place.output(command));
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("2 videos left out"), "{command:?}: {text}");
    }
    let (code, text) = said(place.output(&[&["eval", folder], &machine[..]].concat()));
    assert_eq!(code, 0, "{text}");
    assert!(text.contains("videos left out of training"), "{text}");
    let why = ["why", folder, folder, "--unpinned"];
    let (_, text) = said(place.output(&why));
    assert!(text.contains("2 damaged videos left out"), "{text}");
}

/// A machine's fault is no video's: nothing is left out, whatever the experiment declares.
#[cfg(unix)]
#[test]
fn only_damage_is_left_out() {
    use std::os::unix::fs::PermissionsExt;
    let mp4 = b"\0\0\0\x18ftypisom\0\0\0\0isom";
    let place = Place::skipping();
    let bin = place.path("bin");
    fs::create_dir(&bin).unwrap();
    let ffmpeg = bin.join("ffmpeg");
    fs::write(
        &ffmpeg,
        "#!/bin/sh\necho \"Unrecognized option 'vsync'.\" >&2\nexit 1\n",
    )
    .unwrap();
    fs::set_permissions(&ffmpeg, fs::Permissions::from_mode(0o755)).unwrap();
    for id in 1..=16 {
        fs::write(place.path("data").join(format!("{id}.webm")), mp4).unwrap();
    }
    let args = [
        "run",
        "small.ron",
        "--unpinned",
        "--threads",
        "1",
        "--workers",
        "1",
    ];
    let (code, text) = said(place.output(&args));
    assert_ne!(code, 0, "{text}");
    assert!(
        text.contains("ffmpeg") && !text.contains("left out"),
        "{text}"
    );
}

#[test]
fn files_that_are_no_videos_are_not_pinned() {
    let place = Place::new();
    fs::write(place.path("data/3.webm"), "").unwrap();
    fs::write(
        place.path("data/4.webm"),
        "<!DOCTYPE html><html>not found</html>",
    )
    .unwrap();
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    insta::assert_snapshot!("no_videos", text);
    assert!(!place.path("pins/small.pins.ron").exists());

    // Pins that were made before anybody looked do not make videos of them.
    let whole = Place::new();
    whole.ffn(&["pin", "small.ron"]);
    fs::write(whole.path("data/3.webm"), "").unwrap();
    let (code, text) = whole.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("3.webm: the file is empty") && text.contains("videos that differ (1)"),
        "{text}"
    );

    // Where training may leave them out, they are told and pinned; in the validation split they never are.
    let place = Place::skipping();
    fs::write(place.path("data/3.webm"), "").unwrap();
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("which training leaves out") && text.contains("3.webm"),
        "{text}"
    );
    fs::write(place.path("data/20.webm"), "").unwrap();
    let (code, text) = place.ffn(&["pin", "small.ron", "--update"]);
    assert_eq!(code, 4, "{text}");
    assert!(text.contains("20.webm: the file is empty"), "{text}");
}

#[test]
fn every_missing_video_is_in_the_json() {
    let place = Place::skipping();
    for id in 1..=13 {
        fs::remove_file(place.path("data").join(format!("{id}.webm"))).unwrap();
    }
    fs::write(place.path("data/2.mp4"), "x").unwrap();
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 4);
    assert!(
        text.contains("missing videos (13)") && text.contains("and 3 more"),
        "{text}"
    );
    assert!(text.contains("verify EXPERIMENT --json"), "{text}");

    let output = place.output(&["data", "verify", "small.ron", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing = report["missing"].as_array().unwrap();
    assert_eq!(missing.len(), 13);
    let of = |id: &str| missing.iter().find(|video| video["id"] == id).unwrap();
    assert!(
        of("2")["what"].as_str().unwrap().contains("2.mp4"),
        "{report}"
    );
    assert_eq!(of("1")["split"], "train");
}

#[test]
fn the_json_of_data_that_are_whole_is_empty() {
    let place = Place::new();
    place.ffn(&["pin", "small.ron"]);
    let output = place.output(&["data", "verify", "small.ron", "--json"]);
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    for list in ["problems", "missing", "damaged", "differences", "surplus"] {
        assert!(report[list].as_array().unwrap().is_empty(), "{report}");
    }
    fs::write(place.path("data/3.webm"), "").unwrap();
    let output = place.output(&["data", "verify", "small.ron", "--json"]);
    assert_eq!(output.status.code(), Some(4));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["damaged"][0]["id"], "3");
    let differences = report["differences"].as_array().unwrap();
    assert!(
        differences
            .iter()
            .any(|one| one["what"] == "videos" && one["name"] == "3"),
        "{report}"
    );
}

#[test]
fn frame_folders_are_held_against_what_their_lists_say() {
    let place = frame_folders(&[("a", 9), ("b", 8), ("c", 8)], "a 5 1\nb 8 0\n");
    let root = place.path("data");
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("a  5 images are listed, and there are 4 more"),
        "{text}"
    );
    let (_, text) = place.ffn(&["stats", "small.ron"]);
    assert!(
        text.contains("a  5 images are listed, and there are 4 more"),
        "{text}"
    );

    fs::remove_file(root.join("b/004.png")).unwrap();
    fs::write(root.join("c/002.png"), "<html>").unwrap();
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    insta::assert_snapshot!("frame_folders_that_are_not_whole", text);

    for (args, expected) in [
        (
            &["frames", "data/b", "--template", "{:03}.png"][..],
            "image 4, `004.png`, is missing among its 7 images",
        ),
        (
            &[
                "frames",
                "data/a",
                "--template",
                "{:03}.png",
                "--first",
                "0",
            ],
            "numbered from 1, and 0 is expected",
        ),
        (
            &["frames", "data/a"],
            "the template `{:03}.png` names, with 1 as the first number",
        ),
        (
            &["frames", "data/a", "--template", "../{}.png"],
            "`..` leads out",
        ),
    ] {
        let (code, text) = place.ffn(args);
        assert_eq!(code, 4, "{text}");
        assert!(text.contains(expected), "{text}");
    }
    assert_eq!(
        place
            .ffn(&["frames", "data/a", "--template", "{:03}.png"])
            .0,
        0
    );
}

/// Nothing waits for a writer or reads without end.
#[cfg(unix)]
#[test]
fn special_files_are_refused_by_name() {
    let place = Place::new();
    let fifo = |name: &str| {
        let path = place.path(name);
        let _ = fs::remove_file(&path);
        assert!(
            Command::new("mkfifo")
                .arg(&path)
                .status()
                .unwrap()
                .success()
        );
    };
    let zero = |name: &str| {
        let path = place.path(name);
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    };
    fifo("data/3.webm");
    zero("data/4.webm");
    let (code, text) = place.ffn(&["pin", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("a FIFO, not a file") && text.contains("a device, not a file"),
        "{text}"
    );
    let (code, text) = place.ffn(&["stats", "small.ron"]);
    assert_eq!(code, 0, "{text}");
    assert!(
        text.contains("3: it cannot be read: it is a FIFO"),
        "{text}"
    );
    let (code, text) = place.ffn(&["frames", "data/3.webm"]);
    assert_eq!(code, 4, "{text}");

    fs::create_dir_all(place.path("pins")).unwrap();
    fifo("pins/small.pins.ron");
    let (code, text) = place.ffn(&["verify", "small.ron"]);
    assert_ne!(code, 0, "{text}");
    assert!(text.contains("FIFO"), "{text}");
    let place = Place {
        text: SKIPPING.as_str(),
        ..place
    };
    fs::remove_file(place.path("data/labels.json")).unwrap();
    let labels = place.path("data/labels.json");
    assert!(
        Command::new("mkfifo")
            .arg(&labels)
            .status()
            .unwrap()
            .success()
    );
    let (code, text) = place.ffn(&["stats", "small.ron"]);
    assert_eq!(code, 4, "{text}");
    assert!(
        text.contains("labels.json, which is a FIFO, not a file"),
        "{text}"
    );
}
