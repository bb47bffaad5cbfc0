//! Runs of the tiny experiment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Output};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ffn::base::files;
use ffn::exchange::write::{Entry, Notes, Values, safetensors};
use ffn::run::checkpoint::{self, MODEL, STATE};
use ffn::run::optimizer_state::{MOMENTUM, OPTIMIZER};
use ffn::run::{Folder, seal};

pub use crate::program::*;

pub const TINY: &str = "fixtures/experiments/tiny.ron";

/// Files of a run that a clock or a flag decides.
const RECORDS: [&str; 4] = ["history.json", "timing.jsonl", "log.txt", "lock"];

/// Runs the tiny experiment below `out` to its end.
pub fn run_tiny(out: &Path, flags: &[&str]) -> Output {
    let out = out.to_str().unwrap();
    ffn(&[&["run", TINY, "--out", out], flags].concat())
}

/// Starts the tiny experiment below `out`.
pub fn start_tiny(out: &Path, flags: &[&str]) -> Child {
    let out = out.to_str().unwrap();
    let mut command = command(&[&["run", TINY, "--out", out], flags].concat());
    command.spawn().unwrap()
}

/// The one run folder below `out`.
pub fn only_run(out: &Path) -> PathBuf {
    let mut folders = std::fs::read_dir(out).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "more than one run");
    folder
}

/// A run that nobody disturbed, on one thread.
pub fn undisturbed() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("undisturbed");
        let _ = std::fs::remove_dir_all(&out);
        expect(&run_tiny(&out, &["--threads", "1", "--workers", "1"]), 0);
        only_run(&out)
    })
}

/// Steps in the metrics of the run below `out`, 0 before there are any.
pub fn steps(out: &Path) -> usize {
    let folder = std::fs::read_dir(out).ok().and_then(|mut f| f.next());
    let metrics = folder.map(|folder| folder.unwrap().path().join("metrics.jsonl"));
    let text = metrics.and_then(|path| std::fs::read(path).ok());
    text.map_or(0, |text| text.iter().filter(|&&b| b == b'\n').count())
}

/// Waits until the run below `out` has so many steps; false when the process ended before.
pub fn wait_for_steps(child: &mut Child, out: &Path, count: usize) -> bool {
    let limit = Instant::now() + Duration::from_secs(60);
    while steps(out) < count {
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        assert!(Instant::now() < limit, "no step {count} within a minute");
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

/// Every finished file of a run that must not depend on how the run went, by path.
pub fn results(run: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    collect(run, run, &mut files);
    files.retain(|name, _| !RECORDS.contains(&name.as_str()) && !name.contains(".tmp-"));
    files
}

fn collect(root: &Path, folder: &Path, files: &mut BTreeMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_str().unwrap();
            files.insert(name.to_owned(), std::fs::read(&path).unwrap());
        }
    }
}

/// Fails with the names of the files that differ.
#[track_caller]
pub fn assert_same(a: &BTreeMap<String, Vec<u8>>, b: &BTreeMap<String, Vec<u8>>) {
    let names = |files: &BTreeMap<String, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(a), names(b));
    let differing: Vec<&String> = a.keys().filter(|name| a[*name] != b[*name]).collect();
    assert!(differing.is_empty(), "different bytes in {differing:?}");
}

/// The whole checkpoints of a run, by step.
pub fn checkpoints(run: &Path) -> Vec<PathBuf> {
    let all = checkpoint::list(&run.join("checkpoints")).unwrap();
    all.into_iter().map(|(_, path)| path).collect()
}

/// A training clip of the tiny data set.
pub fn some_clip() -> PathBuf {
    let videos = std::fs::read_dir(data()).unwrap();
    let mut videos: Vec<PathBuf> = videos.map(|entry| entry.unwrap().path()).collect();
    videos.sort();
    let clip = videos
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "webm"));
    clip.expect("a clip")
}

/// Rewrites a run's checkpoints as versions before `optimizer.safetensors` wrote them.
pub fn as_earlier_versions(run: &Path) {
    for checkpoint in checkpoints(run) {
        let state = checkpoint::state(&checkpoint).unwrap();
        let tensors = checkpoint::optimizer(&checkpoint, &state).unwrap().tensors;
        let entries = tensors.iter().map(|(name, shape, values)| Entry {
            name: name.strip_prefix("momentum/").unwrap(),
            shape,
            values: Values::Float32(values),
        });
        let entries: Vec<_> = entries.collect();
        let bytes = safetensors::encode(&entries, &Notes::new()).unwrap();
        std::fs::write(checkpoint.join(MOMENTUM), bytes).unwrap();
        std::fs::remove_file(checkpoint.join(OPTIMIZER)).unwrap();
        list_again(&checkpoint);
    }
    let folder = Folder::at(run);
    let mut manifest = folder.manifest().unwrap();
    if manifest.finished {
        let names = folder.files().unwrap();
        let is_listed =
            |name: &&String| manifest.files.contains_key(*name) || name.ends_with(MOMENTUM);
        manifest.files = hashes(run, names.iter().filter(is_listed));
        std::fs::write(run.join("manifest.json"), seal::seal(&manifest).unwrap()).unwrap();
        let mut history = folder.history().unwrap();
        history.files = hashes(run, history.files.keys());
        std::fs::write(run.join("history.json"), seal::seal(&history).unwrap()).unwrap();
    }
}

fn hashes<'a>(folder: &Path, names: impl Iterator<Item = &'a String>) -> BTreeMap<String, String> {
    let hash = |name: &String| files::sha256_of_file(&folder.join(name)).unwrap();
    names.map(|name| (name.clone(), hash(name))).collect()
}

/// Writes a checkpoint's `state.json` anew, with the hashes of the files that are there.
pub fn list_again(place: &Path) {
    let mut state = checkpoint::state(place).unwrap();
    let names = [MODEL, OPTIMIZER, MOMENTUM].map(str::to_owned);
    let there = names.iter().filter(|name| place.join(name).exists());
    state.files = hashes(place, there);
    std::fs::write(place.join(STATE), seal::seal(&state).unwrap()).unwrap();
}

/// Flips a bit in the middle of a file.
pub fn flip_bit(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}
