//! The miniature: rendered clips whose classes differ only in motion, in Something-Something V2's layout.

mod clip;
mod motion;
mod scene;

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

pub use motion::Motion;

use crate::base::files::write_atomic;
use crate::base::rng::{Purpose, Stream};
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::spec::Miniature;

/// Raised when the same parameters give other clips.
pub const VERSION: u32 = 1;

/// Seed of all clips: the data set is one, experiments have seeds of their own.
const SEED: u64 = 1;

/// What is rendered into a folder; kept there as `miniature.json`, so that nothing else is mixed in.
#[derive(Debug, Serialize)]
struct Parameters {
    version: u32,
    train: usize,
    validation: usize,
    size: usize,
    frames: usize,
}

/// An entry of `train.json` and `validation.json`.
#[derive(Debug, Serialize)]
struct Entry {
    id: String,
    label: String,
    template: &'static str,
    placeholders: [String; 1],
}

/// One clip: its number in its split, and how it looks and moves.
struct Clip {
    id: usize,
    motion: Motion,
    path: motion::Path,
    scene: scene::Scene,
    noise: Stream,
}

impl Clip {
    fn draw(split: u64, number: usize, id: usize) -> Self {
        let mut random = Stream::new(SEED, Purpose::Render, &[split, number as u64]);
        let motion = Motion::ALL[number % Motion::ALL.len()];
        Self {
            id,
            motion,
            path: motion::Path::draw(motion, &mut random),
            scene: scene::Scene::draw(&mut random),
            noise: random,
        }
    }

    fn entry(&self) -> Entry {
        let thing = format!("a {}", self.scene.shape().name());
        let template = self.motion.template();
        Entry {
            id: self.id.to_string(),
            label: template.replace("[Something]", &thing),
            template,
            placeholders: [thing],
        }
    }

    fn render(&mut self, size: usize, frames: usize) -> Result<Vec<u8>> {
        let (path, scene, noise) = (&self.path, &self.scene, &mut self.noise);
        let image = |frame| scene.render(&path.pose(frame), size, noise);
        clip::encode((0..frames).map(image), size)
    }
}

/// Renders what is missing of the miniature below `root` (labels.json, train.json, validation.json, `<id>.webm`),
/// and does nothing where it is complete. `progress(done, total)` is called as clips are finished.
///
/// Ids count from 1, first the training split. Each clip and list is written whole or not at all, so a render that
/// was killed goes on where it was, and two at once write the same bytes.
pub fn render(
    root: &Path,
    miniature: &Miniature,
    progress: &(dyn Fn(usize, usize) + Sync),
) -> Result<()> {
    claim(root, miniature)?;
    let splits = [(0, miniature.train), (1, miniature.validation)];
    let total = miniature.train + miniature.validation;
    let done = AtomicUsize::new(0);
    for (split, count) in splits {
        (0..count).into_par_iter().try_for_each(|number| {
            let id = number + 1 + if split == 0 { 0 } else { miniature.train };
            let path = root.join(format!("{id}.webm"));
            if !path.exists() {
                let mut clip = Clip::draw(split, number, id);
                let video = clip.render(miniature.size, miniature.frames)?;
                write_atomic(&path, &video)?;
            }
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, total);
            Ok(())
        })?;
    }
    write_lists(root, miniature)
}

/// Marks the folder as this miniature's, or says what is in it.
fn claim(root: &Path, miniature: &Miniature) -> Result<()> {
    let parameters = Parameters {
        version: VERSION,
        train: miniature.train,
        validation: miniature.validation,
        size: miniature.size,
        frames: miniature.frames,
    };
    let marker = root.join("miniature.json");
    let expected = json(&parameters)?;
    let occupied = |what: String| {
        Error::new(Kind::Data, format!("`{}` {what}", root.shown()))
            .hint("give the miniature a folder of its own, or delete this one")
    };
    match marker.exists() {
        true => match files::read_text(&marker, limits::SETTINGS)? {
            found if found == expected => Ok(()),
            found => Err(occupied(format!(
                "holds another miniature\nexpected: {}\nfound:    {}",
                one_line(&expected),
                one_line(&found)
            ))),
        },
        false if root.join("labels.json").exists() => {
            Err(occupied("holds another data set".to_owned()))
        }
        false => write_atomic(&marker, expected.as_bytes()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `labels.json` (class name → index as text), `train.json`, `validation.json`.
fn write_lists(root: &Path, miniature: &Miniature) -> Result<()> {
    let names = Motion::ALL.iter().enumerate();
    let labels: serde_json::Map<_, _> = names
        .map(|(index, motion)| (motion.class_name(), index.to_string().into()))
        .collect();
    write_new(&root.join("labels.json"), &json(&labels)?)?;
    let entries = |split, count, first| -> Vec<Entry> {
        let clip = |number| Clip::draw(split, number, number + first).entry();
        (0..count).map(clip).collect()
    };
    let train = entries(0, miniature.train, 1);
    write_new(&root.join("train.json"), &json(&train)?)?;
    let validation = entries(1, miniature.validation, miniature.train + 1);
    write_new(&root.join("validation.json"), &json(&validation)?)
}

fn write_new(path: &Path, text: &str) -> Result<()> {
    match path.exists() {
        true => Ok(()),
        false => write_atomic(path, text.as_bytes()),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Error::new(Kind::Data, format!("cannot write JSON: {error}")))
}
