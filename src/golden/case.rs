//! What a `case.json` means. Anything unknown or out of range is refused before anything is computed.

use std::collections::BTreeMap;
use std::path::Path;

use super::raw::{
    Arch, Kind, MethodName, Mode, ModelName, Optimizer, Raw, ReferenceError, SlowFramesName,
    Source, in_bundle,
};
use super::tensors::{damaged, read_json};
use crate::base::Result;
use crate::graph::Graph;
use crate::model::objective::Targets;
use crate::spec::network::{self, Network, Training, experiment, held_still};
use crate::spec::{
    self, Alteration, Distillation, Experiment, Ffn, Group, Groups, Head, Method, Model, Norms,
    ShiftSegments, SlowFrames,
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
    /// Whether the head sees windows, whose logits are the case's.
    pub windows: bool,
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
    pub targets: StepTargets,
    /// Beginnings of the names of parameters and statistics that are recorded one by one; `None`: of all. If there are some, the
    /// norms of all tensors are recorded together too.
    pub record: Option<Vec<String>>,
}

/// What the clips of a case are.
#[derive(Debug, Clone, PartialEq)]
pub enum StepTargets {
    /// The same in every step.
    Labels(Vec<usize>),
    /// For each step, clips × classes.
    Soft(Vec<Vec<f32>>),
}

impl Steps {
    /// Those of a step of `clips` clips.
    pub fn targets(&self, step: u64, clips: usize) -> Targets<'_> {
        match &self.targets {
            StepTargets::Labels(labels) => Targets::Labels(labels),
            StepTargets::Soft(steps) => Targets::Soft {
                clips,
                probabilities: steps.get(step as usize).map_or(&[], Vec::as_slice),
            },
        }
    }

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
            (
                "labels` or `soft_targets",
                raw.labels.is_some() || raw.soft_targets.is_some(),
            ),
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
        windows: raw.head_window.is_some(),
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
        ("drop_path", raw.drop_path.is_some()),
        ("lambda", raw.lambda.is_some()),
        ("optimizer", raw.optimizer.is_some()),
        ("slow_frames", raw.slow_frames.is_some()),
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
        model: model(raw, needed("arch", raw.arch)?)?,
        classes: needed("classes", raw.classes)?,
        size: raw.height,
        training: training(raw)?,
    };
    let mut experiment = experiment(&network);
    if let Some(window) = raw.head_window {
        within("head_window", window, 1..=64)?;
        // Five halvings make a window of it.
        experiment.train.clips.size = window << 5;
    }
    Ok(experiment)
}

fn model(raw: &Raw, arch: Arch) -> Result<Model, String> {
    match (raw.model.unwrap_or_default(), arch) {
        (ModelName::Tea, Arch::Res2Net50) => Ok(network::tea()),
        (ModelName::SlowFast, Arch::SlowFastR50) => slowfast(raw).map(Model::SlowFast),
        (ModelName::UniFormer, Arch::UniFormerS) => Ok(Model::UniFormer(network::uniformer())),
        (ModelName::Tsm, arch) => match arch.backbone() {
            Some(backbone) => Ok(network::tsm(backbone)),
            None => Err("the arch is none of model tsm".to_owned()),
        },
        (ModelName::Tea, _) => Err("model tea has the arch res2net50_26w_4s alone".to_owned()),
        (ModelName::SlowFast, _) => {
            Err("model slowfast has the arch slowfast_r50 alone".to_owned())
        }
        (ModelName::UniFormer, _) => {
            Err("model uniformer has the arch uniformer_s alone".to_owned())
        }
    }
}

fn slowfast(raw: &Raw) -> Result<spec::SlowFast, String> {
    let usual = network::slowfast();
    let field = |name: &str, value: Option<usize>, usual: usize| {
        let value = value.unwrap_or(usual);
        within(name, value, 1..=64).map(|()| value)
    };
    Ok(spec::SlowFast {
        alpha: field("alpha", raw.alpha, usual.alpha)?,
        beta: field("beta_inv", raw.beta_inv, usual.beta)?,
        fusion_ratio: field("fusion_ratio", raw.fusion_ratio, usual.fusion_ratio)?,
        fusion_kernel: field("fusion_kernel", raw.fusion_kernel, usual.fusion_kernel)?,
        head: match raw.head_window {
            Some(_) => Head::Windows,
            None => Head::Mean,
        },
        slow_frames: match raw.slow_frames {
            Some(SlowFramesName::Joint) => SlowFrames::Joined,
            Some(SlowFramesName::PerClip) | None => SlowFrames::PerClip,
        },
        ..usual
    })
}

fn needed<T>(field: &str, value: Option<T>) -> Result<T, String> {
    value.ok_or_else(|| {
        format!("the field `{field}` is missing; a case names an experiment, or has this field")
    })
}

fn method(raw: &Raw) -> Result<Method, String> {
    let segments = match raw.model.unwrap_or_default() {
        ModelName::Tsm | ModelName::Tea => {
            shift_segments(&needed("shift_segments", raw.shift_segments.clone())?)?
        }
        ModelName::SlowFast | ModelName::UniFormer => ShiftSegments::PerBranch,
    };
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
                ModelName::Tsm | ModelName::SlowFast | ModelName::UniFormer => {
                    Alteration::KaimingFanOut
                }
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
    let dropped = [raw.dropout, raw.drop_path];
    if dropped.into_iter().flatten().any(|dropout| dropout != 0.0) {
        return Err("dropout must be 0: nobody else's random numbers can be repeated".to_owned());
    }
    let Some(optimizer) = &raw.optimizer else {
        return Ok(None);
    };
    let training = match optimizer.kind {
        Kind::Sgd => sgd(optimizer, raw.batch)?,
        Kind::AdamW => adamw(optimizer, raw.batch)?,
    };
    Ok(Some(match optimizer.clip_norm {
        Some(norm) => training.clipped(number("clip_norm", norm, f64::MIN_POSITIVE, 1e9)?),
        None => training,
    }))
}

/// Weight decay of a case may be far above what anybody trains with, so that a parameter in the wrong group shows.
const MOST_DECAY: f64 = 100.0;

fn rates(optimizer: &Optimizer) -> Result<(f64, f64), String> {
    Ok((
        number("lr", optimizer.lr, 0.0, 100.0)?,
        number("weight_decay", optimizer.weight_decay, 0.0, MOST_DECAY)?,
    ))
}

fn sgd(optimizer: &Optimizer, batch: usize) -> Result<Training, String> {
    if optimizer.betas.is_some() || optimizer.eps.is_some() || optimizer.decay_1d.is_some() {
        return Err("an optimizer of kind sgd has no betas, eps or decay_1d".to_owned());
    }
    let (lr, decay) = rates(optimizer)?;
    let momentum = needed("momentum", optimizer.momentum)?;
    let mut training = Training::sgd(batch, lr, number("momentum", momentum, 0.0, 1.0)?, decay);
    if let spec::Optimizer::Sgd(sgd) = &mut training.optimizer {
        sgd.nesterov = optimizer.nesterov.unwrap_or(false);
        if let Some(of_norms) = optimizer.norm_weight_decay {
            let of_norms = number("norm_weight_decay", of_norms, 0.0, MOST_DECAY)?;
            let one = Group::new(1.0, 1.0);
            sgd.groups = Groups {
                first_conv: one,
                conv: one,
                alteration: one,
                norm: Group::new(1.0, if decay > 0.0 { of_norms / decay } else { 0.0 }),
                classifier_weight: one,
                classifier_bias: one,
            };
        }
    }
    Ok(training)
}

fn adamw(optimizer: &Optimizer, batch: usize) -> Result<Training, String> {
    let of_sgd = optimizer.momentum.is_some()
        || optimizer.nesterov.is_some()
        || optimizer.norm_weight_decay.is_some();
    if of_sgd {
        return Err(
            "an optimizer of kind adamw has no momentum, nesterov or norm_weight_decay".to_owned(),
        );
    }
    let (lr, weight_decay) = rates(optimizer)?;
    let [beta1, beta2] = needed("betas", optimizer.betas)?;
    let below_one = 1.0 - f64::EPSILON;
    let optimizer = spec::AdamW {
        lr,
        beta1: number("betas[0]", beta1, 0.0, below_one)?,
        beta2: number("betas[1]", beta2, 0.0, below_one)?,
        eps: number("eps", needed("eps", optimizer.eps)?, 0.0, 1.0)?,
        weight_decay,
        decay_1d: optimizer.decay_1d.unwrap_or(true),
        clip: None,
    };
    Ok(Training {
        batch,
        optimizer: spec::Optimizer::AdamW(optimizer),
    })
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
    match record.is_empty() {
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
    shared_out(raw.batch, experiment)?;
    let count = raw.steps.unwrap_or(0);
    let targets = targets(raw, classes, count)?;
    match (1..=MAX_COUNT as u64).contains(&count) {
        true => Ok(Steps {
            count,
            targets,
            record: raw.record.clone(),
        }),
        false => Err(format!("steps must be in 1..={MAX_COUNT}, found {count}")),
    }
}

/// Labels, or soft targets of every step.
fn targets(raw: &Raw, classes: usize, steps: u64) -> Result<StepTargets, String> {
    let batch = raw.batch;
    match (&raw.labels, &raw.soft_targets) {
        (Some(labels), None) => {
            let fit = labels.len() == batch && labels.iter().all(|&label| label < classes);
            match fit {
                true => Ok(StepTargets::Labels(labels.clone())),
                false => Err(format!("labels must be {batch} numbers below {classes}")),
            }
        }
        (None, Some(soft)) => {
            let of_clip = |clip: &Vec<f32>| {
                clip.len() == classes && clip.iter().all(|p| (0.0..=1.0).contains(p))
            };
            let of_step = |step: &Vec<Vec<f32>>| step.len() == batch && step.iter().all(of_clip);
            match soft.len() as u64 == steps && soft.iter().all(of_step) {
                true => Ok(StepTargets::Soft(
                    soft.iter().map(|step| step.concat()).collect(),
                )),
                false => Err(format!(
                    "soft_targets must be {steps} steps of {batch} clips of {classes} numbers from 0 to 1"
                )),
            }
        }
        (Some(_), Some(_)) | (None, None) => {
            Err("a case for training has either labels or soft_targets".to_owned())
        }
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
