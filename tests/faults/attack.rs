//! Mutated experiments, videos and checkpoints, and kills, by chance but the same each time.
//!
//! `cargo test` tries a tenth. All of it, or other ones: `.ci/attack [SEED]`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::support::*;

/// Cases of each kind in a whole attack.
const EXPERIMENTS: usize = 300;
const VIDEOS: usize = 200;
const CHECKPOINTS: usize = 100;
const KILLS: usize = 40;

/// One program takes no longer, however wrong its input is.
const TIME: Duration = Duration::from_secs(20);

/// Of `cases` those that are tried now.
fn tried(cases: usize) -> usize {
    match std::env::var_os("FFN_ATTACK_SEED") {
        Some(_) => cases,
        None => cases.div_ceil(10),
    }
}

/// Numbers by chance: xorshift64*.
struct Chance(u64);

impl Chance {
    fn new(kind: u64) -> Self {
        let seed = std::env::var("FFN_ATTACK_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok());
        Self((seed.unwrap_or(1u64) << 8 | kind).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let mixed = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        mixed as usize % most.max(1)
    }

    fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// One to eight changes: bits, bytes, runs that are cut, repeated, moved or filled, an end that is missing.
    fn mutate(&mut self, bytes: &mut Vec<u8>) {
        for _ in 0..=self.below(8) {
            let (len, at) = (bytes.len(), self.below(bytes.len()));
            let end = (at + 1 + self.below(64)).min(len);
            if len == 0 {
                return bytes.push(self.below(256) as u8);
            }
            match self.below(8) {
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = self.below(256) as u8,
                2 => drop(bytes.drain(at..end)),
                3 => {
                    let run = bytes[at..end].to_vec();
                    let to = self.below(bytes.len());
                    drop(bytes.splice(to..to, run));
                }
                4 => bytes[at..end].fill(*self.of(&[0, 0x7f, 0x80, 0xff])),
                5 => drop(bytes.splice(
                    at..at,
                    (*self.of(&[u64::MAX, 1 << 63, 1 << 31, 0])).to_be_bytes(),
                )),
                6 => bytes.truncate(at.max(len / 2)),
                _ => bytes.swap(at, end - 1),
            }
        }
    }

    /// As [`mutate`](Self::mutate), in words of the language.
    fn rewrite(&mut self, text: &str) -> Vec<u8> {
        const WORDS: [&str; 20] = [
            "99999999999999999999",
            "18446744073709551615",
            "-1",
            "0",
            "1e308",
            "NaN",
            "None",
            "Some(",
            "(",
            ")",
            "[",
            "]",
            "\"",
            "\\u{1b}",
            "/*",
            "r#\"",
            "Ffn(frames: [2, 4])",
            "é\u{202e}",
            "\t\t\t\t",
            "with: (",
        ];
        let mut text = text.to_owned();
        for _ in 0..=self.below(4) {
            let mut places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
            places.push(text.len());
            let (a, b) = (*self.of(&places), *self.of(&places));
            let start = a.min(b);
            let near = |&at: &usize| (start..=a.max(b).min(start + 24)).contains(&at);
            let end = places.iter().copied().rfind(near).unwrap_or(start);
            match self.below(3) {
                0 => text.insert_str(start, self.of::<&str>(&WORDS)),
                1 => text.replace_range(start..end, self.of::<&str>(&WORDS)),
                _ => text.replace_range(start..end, ""),
            }
        }
        let mut bytes = text.into_bytes();
        if self.below(4) == 0 {
            self.mutate(&mut bytes);
        }
        bytes
    }
}

/// Fails with the input kept, where the program does not end soon with an answer that a person can read.
#[track_caller]
fn answers(arguments: &[&str], codes: &[i32], input: &str) {
    let begun = Instant::now();
    let output = within(TIME, limited(arguments));
    let (code, message) = (output.status.code(), stderr(&output));
    let kept = || {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("finding");
        fs::copy(input, &kept).unwrap();
        format!(
            "{arguments:?}: {code:?} in {:?}, {} holds the input\n{message}",
            begun.elapsed(),
            kept.display()
        )
    };
    assert!(code.is_some_and(|code| codes.contains(&code)), "{}", kept());
    assert!(code == Some(0) || !message.trim().is_empty(), "{}", kept());
    let hidden = message
        .chars()
        .any(|c| c.is_control() && !matches!(c, '\n' | '\t'));
    assert!(!hidden && message.len() < 1 << 20, "{}", kept());
}

fn files(folder: &str, ends: &[&str]) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path().to_str().unwrap().to_owned());
    let mut paths: Vec<String> = paths
        .filter(|path| ends.iter().any(|end| path.ends_with(end)))
        .collect();
    paths.sort();
    paths
}

#[test]
fn mutated_experiments_are_answered() {
    let place = Place::new();
    place.experiment("tiny.ron", |text| text);
    let originals = [files("experiments", &[".ron"]), vec![TINY.to_owned()]].concat();
    let mut chance = Chance::new(1);
    for _ in 0..tried(EXPERIMENTS) {
        let text = fs::read_to_string(chance.of(&originals)).unwrap();
        let path = place.write("e.ron", chance.rewrite(&text));
        answers(&[*chance.of(&["check", "plan"]), &path], &[0, 3, 8], &path);
    }
}

#[test]
fn mutated_videos_are_answered() {
    let place = Place::new();
    let originals = files("fixtures/videos", &[".webm", ".mkv", ".mp4"]);
    let mut chance = Chance::new(2);
    for _ in 0..tried(VIDEOS) {
        let original = chance.of(&originals);
        let end = original.rsplit('.').next().unwrap();
        let mut bytes = fs::read(original).unwrap();
        chance.mutate(&mut bytes);
        let path = place.write(&format!("v.{end}"), bytes);
        answers(&["data", "frames", &path], &[0, 4, 7], &path);
    }
}

#[test]
fn mutated_checkpoints_are_answered() {
    let place = Place::new();
    let folder = place.finished("r");
    let folder = folder.to_str().unwrap();
    let originals = ["pth", "safetensors"].map(|format| {
        let path = place.text(&format!("m.{format}"));
        expect(
            &run(&["export", folder, "--format", format, "--out", &path]),
            0,
        );
        path
    });
    let originals = [
        files("fuzz/corpus/checkpoint", &["pth", "safetensors"]),
        originals.to_vec(),
    ]
    .concat();
    let mut chance = Chance::new(3);
    for _ in 0..tried(CHECKPOINTS) {
        let mut bytes = fs::read(chance.of(&originals)).unwrap();
        // What is read first is at the ends.
        match chance.below(3) {
            0 => chance.mutate(&mut bytes),
            1 => {
                let mut start: Vec<u8> = bytes.drain(..bytes.len().min(400)).collect();
                chance.mutate(&mut start);
                bytes.splice(..0, start);
            }
            _ => {
                let mut end = bytes.split_off(bytes.len().saturating_sub(400));
                chance.mutate(&mut end);
                bytes.extend(end);
            }
        }
        let path = place.write("c", bytes);
        answers(&["import", &path, "-e", TINY], &[0, 1, 4, 5, 7, 8], &path);
    }
}

#[test]
fn kills_cost_nothing() {
    let place = Place::new();
    let whole = place.finished("whole");
    let long: Vec<Vec<u8>> = results_of(&whole);
    let mut chance = Chance::new(4);
    let out = place.text("killed");
    let mut kills = 0;
    while kills < tried(KILLS) {
        let arguments = [
            "run",
            TINY,
            "--out",
            &out,
            "--checkpoint-minutes",
            "0",
            "--threads",
            "1",
        ];
        let mut child = limited(&arguments).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(chance.below(250) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
        if chance.below(6) == 0 {
            expect(&run(&["run", TINY, "--out", &out]), 0);
            assert_eq!(
                results_of(&place.only_run("killed")),
                long,
                "after {kills} kills"
            );
            expect(
                &ffn(&["verify", place.only_run("killed").to_str().unwrap()]),
                0,
            );
            fs::remove_dir_all(&out).unwrap();
        }
    }
    expect(&run(&["run", TINY, "--out", &out]), 0);
    assert_eq!(results_of(&place.only_run("killed")), long);
}

/// What must be the same however a run went.
fn results_of(run: &Path) -> Vec<Vec<u8>> {
    let checkpoint = only_checkpoint(run);
    let names = [
        "metrics.jsonl",
        "classes.json",
        "eval/2.predictions.jsonl",
        "eval/4.json",
    ];
    let files = names.map(|name| run.join(name));
    let weights = ["model.safetensors", "optimizer.safetensors"].map(|name| checkpoint.join(name));
    files
        .iter()
        .chain(&weights)
        .map(|path| fs::read(path).unwrap())
        .collect()
}
