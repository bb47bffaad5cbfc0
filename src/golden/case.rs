//! What a `case.json` means. Anything unknown or out of range is refused before anything is computed.

use std::collections::BTreeMap;
use std::path::Path;

use super::raw::{Arch, MethodName, Mode, ModelName, Raw, ReferenceError, Source, in_bundle};
use super::tensors::{damaged, read_json};
use crate::base::Result;
use crate::graph::Graph;
use crate::spec::network::{self, Network, Training, experiment, held_still};
use crate::spec::{
    self, Alteration, Distillation, Experiment, Ffn, Method, Model, Norms, ShiftSegments,
};

/// Largest number of input values of one branch, 256 MiB of float32: 400 images of 224 × 224. More is a typing error.
const MAX_INPUT: usize = 1 << 26;
/// Largest number of classes, clips and steps, for the same reason.
const MAX_COUNT: usize = 1 << 16;
/// Frames of a clip, as in the experiment language.
const MAX_FRAMES: usize = 1024;
/// Heights and widths, as in the experiment language.
const PIXELS: std::ops::RangeInclusive<usize> = 16..=4096;
/// A reference whose own float32 strays this far fixes nothing: eight times that, and zeros would pass.
const MAX_REFERENCE_ERROR: f64 = 0.125;

/// A case that makes sense.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    pub name: String,
    /// Network, objective and optimiser; no dropout, a constant rate.
    pub experiment: Experiment,
    /// Clips.
    pub batch: usize,
    /// Height and width of a frame.
    pub input: (usize, usize),
    /// Frame counts that are run, ascending.
    pub frames: Vec<usize>,
    /// `None` for an evaluation.
    pub steps: Option<Steps>,
    /// Nodes of the graph whose outputs are compared too.
    pub taps: Vec<String>,
    pub weights: Source,
    pub inputs: Source,
    /// Of the reference's own float32, for each group.
    pub reference: BTreeMap<String, ReferenceError>,
    /// The same of its mixed precision in bf16, where that was computed.
    pub reference_bf16: Option<BTreeMap<String, ReferenceError>>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Steps {
    pub count: u64,
    pub labels: Vec<usize>,
    /// Beginnings of the names of parameters and statistics that are recorded one by one; `None`: of all. If there are some, the
    /// norms of all tensors are recorded together too.
    pub record: Option<Vec<String>>,
}

impl Steps {
    /// Whether a parameter or statistic is recorded one by one.
    pub fn records(&self, name: &str) -> bool {
        let begins = |record: &Vec<String>| record.iter().any(|begin| name.starts_with(begin));
        self.record.as_ref().is_none_or(begins)
    }
}

impl Case {
    /// The network that it is of.
    pub fn graph(&self) -> Result<Graph> {
        Graph::build(&self.experiment, self.input)
    }

    /// Reads a case and the experiment that it names, which is in the same folder.
    pub fn read(path: &Path) -> Result<Self> {
        let raw: Raw = read_json(path)?;
        let refused = |what: String| damaged(path, &what);
        check_sizes(&raw).map_err(refused)?;
        let training = [
            ("steps", raw.steps.is_some()),
            ("labels", raw.labels.is_some()),
        ];
        only_in_training(&raw, &training).map_err(refused)?;
        check_record(&raw).map_err(refused)?;
        check_reference(&raw.reference_f32_error).map_err(refused)?;
        raw.reference_bf16_error
            .iter()
            .try_for_each(check_bf16_reference)
            .map_err(refused)?;
        let experiment = match &raw.experiment {
            Some(file) => {
                check_left_to_experiment(&raw).map_err(refused)?;
                let file = in_bundle(file).map_err(refused)?;
                let folder = path.parent().unwrap_or(Path::new(""));
                held_still(spec::load(&folder.join(file))?.experiment, raw.height)
            }
            None => named(&raw).map_err(refused)?,
        };
        resolve(raw, experiment).map_err(refused)
    }
}

fn resolve(raw: Raw, experiment: Experiment) -> Result<Case, String> {
    let steps = match raw.mode {
        Mode::Eval => None,
        Mode::Train => Some(steps(&raw, &experiment)?),
    };
    Ok(Case {
        name: raw.name,
        experiment,
        batch: raw.batch,
        input: (raw.height, raw.width),
        frames: raw.frames,
        steps,
        taps: raw.taps,
        weights: raw.weights,
        inputs: raw.inputs,
        reference: raw.reference_f32_error,
        reference_bf16: raw.reference_bf16_error,
    })
}

fn check_sizes(raw: &Raw) -> Result<(), String> {
    if raw.name.is_empty() || raw.name.len() > 100 || raw.name.chars().any(char::is_control) {
        return Err("name must be 1 to 100 printable characters".to_owned());
    }
    within("height", raw.height, PIXELS)?;
    within("width", raw.width, PIXELS)?;
    within("batch", raw.batch, 1..=MAX_COUNT)?;
    within("classes", raw.classes.unwrap_or(1), 1..=MAX_COUNT)?;
    frame_counts("frames", &raw.frames)?;
    let branches = raw.branches.as_deref();
    branches.map_or(Ok(()), |counts| frame_counts("branches", counts))?;
    let largest = raw.frames.iter().chain(branches.unwrap_or_default()).max();
    let values = [raw.batch, raw.height, raw.width, 3]
        .iter()
        .try_fold(largest.copied().unwrap_or(1), |product, &n| {
            product.checked_mul(n)
        });
    match values {
        Some(values) if values <= MAX_INPUT => Ok(()),
        _ => Err(format!("an input has more than {MAX_INPUT} values")),
    }
}

fn within(field: &str, value: usize, range: std::ops::RangeInclusive<usize>) -> Result<(), String> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(format!(
            "{field} must be in {}..={}, found {value}",
            range.start(),
            range.end()
        )),
    }
}

fn frame_counts(field: &str, counts: &[usize]) -> Result<(), String> {
    let ascending = counts.windows(2).all(|pair| pair[0] < pair[1]);
    let (first, last) = (counts.first(), counts.last());
    match first.is_some_and(|&n| n > 0) && last.is_some_and(|&n| n <= MAX_FRAMES) && ascending {
        true => Ok(()),
        false => Err(format!(
            "{field} must be one or more numbers from 1 to {MAX_FRAMES}, ascending"
        )),
    }
}

fn check_reference(errors: &BTreeMap<String, ReferenceError>) -> Result<(), String> {
    let usable = |error: &ReferenceError| (0.0..MAX_REFERENCE_ERROR).contains(&error.rel_l2);
    match errors.iter().find(|(_, error)| !usable(error)) {
        None => Ok(()),
        Some((group, error)) => Err(format!(
            "rel_l2 of `{}` must be in 0..{MAX_REFERENCE_ERROR}, found {}: a reference that strays as far in float32 fixes nothing",
            group.escape_default(),
            error.rel_l2
        )),
    }
}

/// Of bf16 a group may stray far: what is amplified most has no digits left, and [`super::compare::CEILING`] holds it.
fn check_bf16_reference(errors: &BTreeMap<String, ReferenceError>) -> Result<(), String> {
    let usable = |error: &ReferenceError| error.rel_l2.is_finite() && error.rel_l2 >= 0.0;
    match errors.iter().find(|(_, error)| !usable(error)) {
        None => Ok(()),
        Some((group, error)) => Err(format!(
            "rel_l2 of `{}` in reference_bf16_error must be a number from 0 on, found {}",
            group.escape_default(),
            error.rel_l2
        )),
    }
}

/// A case that names an experiment leaves to it what the experiment says.
fn check_left_to_experiment(raw: &Raw) -> Result<(), String> {
    let fields = [
        ("model", raw.model.is_some()),
        ("method", raw.method.is_some()),
        ("arch", raw.arch.is_some()),
        ("classes", raw.classes.is_some()),
        ("branches", raw.branches.is_some()),
        ("shift_segments", raw.shift_segments.is_some()),
        ("dropout", raw.dropout.is_some()),
        ("lambda", raw.lambda.is_some()),
        ("optimizer", raw.optimizer.is_some()),
    ];
    match fields.iter().find(|(_, there)| *there) {
        None => Ok(()),
        Some((field, _)) => Err(format!(
            "a case with the field `experiment` has no field `{field}`"
        )),
    }
}

/// The experiment that the fields of a case stand for.
fn named(raw: &Raw) -> Result<Experiment, String> {
    let network = Network {
        method: method(raw)?,
        model: model(raw.model.unwrap_or_default(), needed("arch", raw.arch)?)?,
        classes: needed("classes", raw.classes)?,
        size: raw.height,
        training: training(raw)?,
    };
    Ok(experiment(&network))
}

fn model(name: ModelName, arch: Arch) -> Result<Model, String> {
    match (name, arch.backbone()) {
        (ModelName::Tsm, Some(backbone)) => Ok(network::tsm(backbone)),
        (ModelName::Tea, None) => Ok(network::tea()),
        (ModelName::Tsm, None) => Err("arch res2net50_26w_4s is of model tea alone".to_owned()),
        (ModelName::Tea, Some(_)) => {
            Err("model tea has the arch res2net50_26w_4s alone".to_owned())
        }
    }
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| {
        format!("the field `{field}` is missing; a case names an experiment, or has this field")
    })
}

fn method(raw: &Raw) -> Result<Method, String> {
    let segments = shift_segments(&needed("shift_segments", raw.shift_segments.clone())?)?;
    let branches = needed("branches", raw.branches.clone())?;
    let name = needed("method", raw.method)?;
    match (name, branches.as_slice()) {
        (MethodName::Tsm | MethodName::Vanilla, &[frames])
            if segments == ShiftSegments::PerBranch =>
        {
            Ok(Method::Vanilla { frames })
        }
        (MethodName::Tsm | MethodName::Vanilla, [_]) => {
            let name = name.text();
            Err(format!(
                "method {name} knows shift_segments `per_branch` only"
            ))
        }
        (MethodName::Tsm | MethodName::Vanilla, branches) => {
            let name = name.text();
            Err(format!("method {name} has one branch, found {branches:?}"))
        }
        (MethodName::Ffn, [_]) => Err("method ffn needs two branches or more".to_owned()),
        (MethodName::Ffn, branches) => Ok(Method::Ffn(Ffn {
            frames: branches.to_vec(),
            lambda: number("lambda", raw.lambda.unwrap_or(1.0), 0.0, 1000.0)?,
            alteration: match raw.model.unwrap_or_default() {
                ModelName::Tsm => Alteration::KaimingFanOut,
                ModelName::Tea => Alteration::Off,
            },
            norms: Norms::Private,
            distillation: Distillation::FromLargest,
            shift_segments: segments,
        })),
    }
}

fn shift_segments(text: &str) -> Result<ShiftSegments, String> {
    let shared = text.strip_prefix("shared_").map(str::parse::<usize>);
    match shared {
        _ if text == "per_branch" => Ok(ShiftSegments::PerBranch),
        Some(Ok(frames)) if (1..=MAX_FRAMES).contains(&frames) => Ok(ShiftSegments::Shared(frames)),
        _ => Err(format!(
            "unknown shift_segments `{}`, expected `per_branch` or `shared_N` such as `shared_16`",
            text.escape_default()
        )),
    }
}

fn number(field: &str, value: f64, least: f64, most: f64) -> Result<f64, String> {
    match (least..=most).contains(&value) {
        true => Ok(value),
        false => Err(format!(
            "{field} must be in {least}..={most}, found {value}"
        )),
    }
}

/// What training adds, or the name of the first field that is missing or too many.
fn training(raw: &Raw) -> Result<Option<Training>, String> {
    let fields = [
        ("dropout", raw.dropout.is_some()),
        ("lambda", raw.lambda.is_some()),
        ("optimizer", raw.optimizer.is_some()),
    ];
    only_in_training(raw, &fields)?;
    if raw.dropout.is_some_and(|dropout| dropout != 0.0) {
        return Err("dropout must be 0: nobody else's random numbers can be repeated".to_owned());
    }
    let Some(optimizer) = &raw.optimizer else {
        return Ok(None);
    };
    let clip_norm = optimizer.clip_norm;
    Ok(Some(Training {
        batch: raw.batch,
        lr: number("lr", optimizer.lr, 0.0, 100.0)?,
        momentum: number("momentum", optimizer.momentum, 0.0, 1.0)?,
        weight_decay: number("weight_decay", optimizer.weight_decay, 0.0, 1.0)?,
        clip_norm: clip_norm
            .map(|norm| number("clip_norm", norm, f64::MIN_POSITIVE, 1e9))
            .transpose()?,
    }))
}

/// `fields`: name, and whether the case has it.
fn only_in_training(raw: &Raw, fields: &[(&str, bool)]) -> Result<(), String> {
    let train = raw.mode == Mode::Train;
    match fields.iter().find(|(_, there)| *there != train) {
        None => Ok(()),
        Some((field, true)) => Err(format!("mode eval has no field `{field}`")),
        Some((field, false)) => Err(format!("mode train needs the field `{field}`")),
    }
}

/// What is recorded is a matter of training alone.
fn check_record(raw: &Raw) -> Result<(), String> {
    let Some(record) = &raw.record else {
        return Ok(());
    };
    if raw.mode == Mode::Eval {
        return Err("mode eval has no field `record`".to_owned());
    }
    match record.is_empty() || record.iter().any(String::is_empty) {
        true => Err("record must be one or more beginnings of names".to_owned()),
        false => Ok(()),
    }
}

fn steps(raw: &Raw, experiment: &Experiment) -> Result<Steps, String> {
    let branches = experiment.method.frames();
    if raw.frames != branches {
        return Err(format!(
            "training runs every branch: frames {:?} must be branches {branches:?}",
            raw.frames
        ));
    }
    let classes = experiment.data.class_count();
    let labels = raw.labels.clone().unwrap_or_default();
    if labels.len() != raw.batch || labels.iter().any(|&label| label >= classes) {
        return Err(format!(
            "labels must be {} numbers below {classes}",
            raw.batch
        ));
    }
    shared_out(raw.batch, experiment)?;
    let count = raw.steps.unwrap_or(0);
    match (1..=MAX_COUNT as u64).contains(&count) {
        true => Ok(Steps {
            count,
            labels,
            record: raw.record.clone(),
        }),
        false => Err(format!("steps must be in 1..={MAX_COUNT}, found {count}")),
    }
}

/// Whether a training batch falls into the groups that share statistics, and those in which the shift works.
pub fn shared_out(batch: usize, experiment: &Experiment) -> Result<(), String> {
    if let Some(clips) = experiment.train.norm_clips
        && !batch.is_multiple_of(clips)
    {
        return Err(format!(
            "norms see groups of {clips} clips, and a batch of {batch} does not fall into them"
        ));
    }
    let Method::Ffn(ffn) = &experiment.method else {
        return Ok(());
    };
    let ShiftSegments::Shared(group) = ffn.shift_segments else {
        return Ok(());
    };
    match ffn
        .frames
        .iter()
        .find(|&&t| !(batch * t).is_multiple_of(group))
    {
        None => Ok(()),
        Some(frames) => Err(format!(
            "the shift works in groups of {group} frames, and {batch} clips of {frames} frames do not fall into them"
        )),
    }
}
