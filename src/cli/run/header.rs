//! What `ffn run` says of a run before it works: the plan in a few lines.

use std::path::{Path, PathBuf};

use crate::base::{Shown, count};
use crate::cli::results;
use crate::data::store;
use crate::exec::choice::Measured;
use crate::exec::{DeviceId, EngineKind, cpu};
use crate::run::manifest::Continued;
use crate::train::Session;

/// Where a run is, and with what it loads.
pub struct Place {
    /// Whether its folder was made by this process.
    pub is_new: bool,
    /// Folder of the data set, or its address on an object store.
    pub videos: PathBuf,
    /// The run's folder.
    pub run: PathBuf,
    pub workers: usize,
}

pub fn text(session: &Session<'_>, place: &Place) -> String {
    let executor = session.model().executor();
    format!(
        "{}{}  machine    engine {}, {}, {}\n  videos     {}\n  run        {}\n",
        describe(session),
        origin(session, place.is_new).unwrap_or_default(),
        executor.name(),
        count(executor.threads, "thread"),
        count(place.workers, "worker"),
        videos(&place.videos),
        place.run.shown()
    )
}

/// Where they are, and when they are held against hashes, where that is not before the run.
fn videos(root: &Path) -> String {
    match store::is_address(root) {
        false => root.shown(),
        true => format!(
            "{}, each tar file held against its hash when it arrives",
            root.shown()
        ),
    }
}

/// What there is to say of the engine: why mixed precision takes it, or what the run loses by it on this machine.
fn engine(session: &Session<'_>) -> Option<String> {
    let manifest = session.manifest();
    let executor = session.model().executor();
    let measured = || executor.device == DeviceId::Cpu && manifest.precision.is_mixed();
    match executor.engine {
        EngineKind::CompiledAmx if !cpu::has_amx() => Some(
            "`compiled-amx`, which this machine computes without AMX: the same bits, in more time"
                .to_owned(),
        ),
        engine if measured() && engine == Measured::here().mixed() => {
            Some(Measured::here().describe())
        }
        _ => None,
    }
}

/// Whose training the run goes on from; of one that starts from the beginning, the run beside it that comes nearest.
fn origin(session: &Session<'_>, is_new: bool) -> Option<String> {
    /// Fields in which a run differs that is worth a line.
    const FEW: usize = 3;
    if let Some(continued) = &session.manifest().continues {
        let Continued { run, step, .. } = continued;
        return Some(format!(
            "  from       {}, which trains the same: its first {step} steps are not computed again\n",
            run.shown()
        ));
    }
    let (nearest, differences) = is_new.then(|| session.nearest(FEW)).flatten()?;
    if differences
        .iter()
        .all(|difference| difference.path == "seed")
    {
        return None;
    }
    let fields: Vec<String> = differences.iter().map(ToString::to_string).collect();
    Some(format!(
        "  beside     {} has {}: another training, so this one starts from the beginning\n",
        nearest.name().shown(),
        fields.join(", ").shown()
    ))
}

/// The plan in a few lines.
fn describe(session: &Session<'_>) -> String {
    let manifest = session.manifest();
    let graph = session.model().graph();
    let parameters: usize = graph
        .params
        .iter()
        .map(|p| p.shape.iter().product::<usize>())
        .sum();
    let branches: Vec<String> = graph.branches.iter().map(usize::to_string).collect();
    let data = &manifest.data;
    let mut lines = vec![
        format!("{} ({})", manifest.name, manifest.identity),
        format!(
            "  model      {parameters} parameters, trained at {} frames",
            branches.join(", ")
        ),
        format!(
            "  data       {} training and {} validation clips of {} classes{}, {}",
            data.train,
            data.validation,
            data.classes,
            session.experiment().train.part(),
            results::pins(manifest)
        ),
        format!(
            "  training   {} steps, {} an epoch, from step {}",
            manifest.steps,
            manifest.steps_per_epoch,
            session.step()
        ),
    ];
    lines.extend(
        session
            .ranks()
            .map(|(size, transport)| format!("  ranks      {size}, {transport}")),
    );
    lines.extend(engine(session).map(|engine| format!("  engine     {engine}")));
    lines.extend(manifest.precision.note().map(|note| format!("  {note}")));
    lines.join("\n") + "\n"
}
