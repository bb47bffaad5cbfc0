//! Writes a bundle from a model of ours: a snapshot that `ffn golden verify` holds later versions against.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::case::{Case, shared_out};
use super::compare::{Comparison, FLOOR, Rule};
use super::network::{Bundle, CASE, EXPECTED};
use super::procedural::Version;
use super::raw::{Mode, Raw, ReferenceError, Source};
use super::taps;
use super::tensors::{self, Tensors};
use crate::base::temporary::{Draft, folder_of};
use crate::base::{Error, Kind, Result, Shown, files};
use crate::exec::{EngineKind, Executor};
use crate::graph::Graph;
use crate::model::StateDict;
use crate::run::tensors::encode;
use crate::spec::Experiment;

const EXPERIMENT: &str = "experiment.ron";
const WEIGHTS: &str = "weights.safetensors";
/// What a recorded bundle may consist of; the case is written last and removed first.
const FILES: [&str; 4] = [CASE, EXPERIMENT, WEIGHTS, EXPECTED];

/// Height and width of the images unless a person says otherwise, or the experiment has smaller ones.
const SIZE: usize = 64;
/// The fewest clips of a case: batch norm over one clip would show less.
const CLIPS: usize = 2;

/// What is recorded. What is `None` or empty has a value that keeps the bundle small and quick.
pub struct Recipe {
    pub name: String,
    pub experiment: Experiment,
    /// `None`: procedural ones, which take no room.
    pub weights: Option<StateDict>,
    /// Training steps; `None` for an evaluation.
    pub steps: Option<u64>,
    pub batch: Option<usize>,
    /// Frame counts of an evaluation; empty: those of the experiment.
    pub frames: Vec<usize>,
    pub size: Option<usize>,
    /// Nodes and modules, as a person writes them.
    pub taps: Vec<String>,
    /// What computes the expected values, and how many threads there are.
    pub executor: Executor,
}

/// What was written.
pub struct Recorded {
    /// Name and bytes.
    pub files: Vec<(String, u64)>,
    /// How the compiled engine's float32 compares with the expected values.
    pub comparison: Comparison,
}

/// Records into `out`, all of it or nothing. With `update` a bundle that is there is replaced.
pub fn record(recipe: &Recipe, out: &Path, update: bool) -> Result<Recorded> {
    check_place(out, update)?;
    let parent = folder_of(out);
    fs::create_dir_all(parent).map_err(|e| Error::io("make", parent, &e))?;
    let draft = Draft::of(out).map_err(|e| Error::io("write into", parent, &e))?;
    let comparison = write(recipe, draft.path()).map_err(|error| {
        // Nobody has seen the draft: the bundle is what a person asked for.
        let (draft, out) = (draft.path().shown(), out.shown());
        let message = error.message.replace(&draft, &out);
        Error { message, ..error }
    })?;
    let files = place(draft.path(), out)?;
    Ok(Recorded { files, comparison })
}

/// A bundle that is there is replaced on request only, and a folder of other things never.
fn check_place(out: &Path, update: bool) -> Result<()> {
    if fs::symlink_metadata(out).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(());
    }
    let unreadable = |e| Error::io("read", out, &e);
    let mut names = Vec::new();
    for entry in fs::read_dir(out).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.file_name());
    }
    let other = names
        .iter()
        .find(|name| FILES.iter().all(|file| *name != file));
    let refuse = |what: String| Error::new(Kind::Usage, format!("`{}` {what}", out.shown()));
    match other {
        Some(name) => Err(
            refuse(format!("has something else in it: `{}`", name.shown()))
                .hint("choose a folder that is not there yet"),
        ),
        None if !names.is_empty() && !update => Err(refuse("holds a bundle already".to_owned())
            .hint("--update replaces it; `ffn golden verify` first says what has changed")),
        None => names
            .iter()
            .try_for_each(|name| files::is_replaceable(&out.join(name)).map(drop)),
    }
}

/// Writes every file of the bundle and reads it again, as a verification would.
fn write(recipe: &Recipe, folder: &Path) -> Result<Comparison> {
    let put = |name: &str, bytes: &[u8]| files::write_atomic(&folder.join(name), bytes);
    put(EXPERIMENT, recipe.experiment.canonical().as_bytes())?;
    if let Some(weights) = &recipe.weights {
        put(WEIGHTS, &encode(weights)?)?;
    }
    let mut raw = raw(recipe)?;
    put(CASE, &json(&raw)?)?;
    put(EXPECTED, &tensors::encode(&Tensors::new())?)?;
    let draft = Bundle::open(folder)?;
    let expected = draft.compute(recipe.executor)?;
    check_finite(&expected)?;
    let found = match recipe.executor.engine {
        EngineKind::Compiled | EngineKind::CompiledBf16 | EngineKind::CompiledAmx => {
            expected.clone()
        }
        _ => draft.compute(Executor::compiled(recipe.executor.threads))?,
    };
    raw.reference_f32_error = errors(&draft.case, &expected, &found);
    put(EXPECTED, &tensors::encode(&expected)?)?;
    put(CASE, &json(&raw)?)?;
    let bundle = Bundle::open(folder)?;
    bundle.compare(&found, EngineKind::Compiled)
}

fn raw(recipe: &Recipe) -> Result<Raw> {
    let experiment = &recipe.experiment;
    let own = experiment.train.clips.size.min(experiment.eval.size);
    let size = recipe.size.unwrap_or(own.min(SIZE));
    let train = recipe.steps.is_some();
    let batch = recipe.batch.unwrap_or_else(|| match train {
        true => fewest_clips(experiment),
        false => CLIPS,
    });
    let frames = match (train, recipe.frames.is_empty()) {
        (true, _) => experiment.method.frames(),
        (false, true) => &experiment.eval.frames,
        (false, false) => &recipe.frames,
    };
    let graph = Graph::build(experiment, (size, size))?;
    let labels = (0..batch).map(|clip| clip % graph.classes.max(1));
    Ok(Raw {
        name: recipe.name.clone(),
        mode: if train { Mode::Train } else { Mode::Eval },
        experiment: Some(EXPERIMENT.to_owned()),
        model: None,
        method: None,
        arch: None,
        classes: None,
        batch,
        height: size,
        width: size,
        frames: frames.to_vec(),
        branches: None,
        shift_segments: None,
        weights: match &recipe.weights {
            None => Source::Procedural(Version::V1),
            Some(_) => Source::File(WEIGHTS.to_owned()),
        },
        inputs: Source::Procedural(Version::V1),
        taps: taps::select(&graph, &recipe.taps)?,
        record: None,
        alpha: None,
        beta_inv: None,
        fusion_ratio: None,
        fusion_kernel: None,
        head_window: None,
        slow_frames: None,
        drop_path: None,
        soft_targets: None,
        dropout: None,
        steps: recipe.steps,
        labels: train.then(|| labels.collect()),
        lambda: None,
        optimizer: None,
        reference_f32_error: BTreeMap::new(),
        reference_bf16_error: None,
    })
}

/// The smallest batch that norms and shift can share out.
fn fewest_clips(experiment: &Experiment) -> usize {
    let fits = |batch: &usize| shared_out(*batch, experiment).is_ok();
    // Every group's size divides a batch of their product, which is far below this for any sensible experiment.
    (CLIPS..1 << 12).find(fits).unwrap_or(CLIPS)
}

fn check_finite(expected: &Tensors) -> Result<()> {
    let broken = |values: &[f64]| values.iter().any(|value| !value.is_finite());
    match expected.iter().find(|(_, tensor)| broken(&tensor.values)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::new(
            Kind::Diverged,
            format!("`{name}` has values that are not finite: nothing can be held against them"),
        )),
    }
}

/// How far the compiled engine's float32 strays, for each group.
fn errors(case: &Case, expected: &Tensors, found: &Tensors) -> BTreeMap<String, ReferenceError> {
    let rule = Rule::Reference {
        errors: &BTreeMap::new(),
        floor: FLOOR,
        taps: &case.taps,
    };
    let comparison = Comparison::new(&case.name, expected, found, rule);
    let groups = comparison.groups.into_iter().map(|group| {
        let worst = group
            .worst
            .map(|worst| (worst.computed - worst.expected).abs());
        let error = ReferenceError {
            rel_l2: group.error,
            max_abs: worst.unwrap_or(0.0),
        };
        (group.name, error)
    });
    groups.collect()
}

fn json(raw: &Raw) -> Result<Vec<u8>> {
    let text = serde_json::to_string_pretty(raw);
    let text = text.map_err(|e| Error::new(Kind::Io, format!("cannot write as JSON: {e}")))?;
    Ok((text + "\n").into_bytes())
}

/// Moves the files of a draft to their place. While it lasts the place has no case, which no verification mistakes for a bundle.
fn place(draft: &Path, out: &Path) -> Result<Vec<(String, u64)>> {
    fs::create_dir_all(out).map_err(|e| Error::io("make", out, &e))?;
    for name in FILES {
        remove(&out.join(name))?;
    }
    let mut written = Vec::new();
    for name in FILES.iter().rev() {
        let (from, to) = (draft.join(name), out.join(name));
        if let Ok(about) = fs::metadata(&from) {
            fs::rename(&from, &to).map_err(|e| Error::io("write", &to, &e))?;
            written.push(((*name).to_owned(), about.len()));
        }
    }
    files::sync_folder(out).map_err(|e| Error::io("sync", out, &e))?;
    written.reverse();
    Ok(written)
}

fn remove(path: &PathBuf) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io("remove", path, &e)),
        _ => Ok(()),
    }
}
