//! `ffn analyse`

mod tables;

use std::path::PathBuf;

use serde::Serialize;

use super::opening::Opening;
use super::options::{self, DataOptions, FrameCounts, MachineOptions};
use super::{eval, surface};
use crate::analysis::document;
use crate::analysis::drift::Drift;
use crate::analysis::estimate::{Extent, estimate};
use crate::analysis::predictions::Said;
use crate::analysis::subject::evaluations;
use crate::analysis::{
    Alterations, Confusion, Content, Document, Flips, Gains, Latency, PreciseNorms, Subject,
    Surface,
};
use crate::base::{Error, Kind, Result, Shown, terminal};
use crate::report::source::Suite;
use crate::run::{Folder, Working, results, verify};
use crate::suite;
use crate::train::progress::Progress;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folders of finished runs and of suites.
    #[arg(required = true, value_name = "RUN|SUITE")]
    folders: Vec<PathBuf>,

    /// Compare the accuracy of every class with this run.
    #[arg(long, value_name = "RUN")]
    against: Option<PathBuf>,

    /// Frame counts of the any-frame surface, as of `ffn eval`; else those that it was computed for, or those of the
    /// experiment.
    #[arg(long, value_name = "T", value_delimiter = ',')]
    frames: Vec<FrameCounts>,

    /// Training clips that norm statistics are estimated from; else as many as before, or 2048 where there are so many.
    #[arg(long, value_name = "N", value_parser = options::count::<usize>)]
    clips: Option<usize>,

    /// Tell the distance of every norm.
    #[arg(long)]
    layers: bool,

    /// Print JSON.
    #[arg(long, conflicts_with = "layers")]
    json: bool,

    /// Folder of the experiment file, where pins and lists are; else the one that the run was made from.
    #[arg(long, value_name = "DIR")]
    experiments: Option<PathBuf>,

    #[command(flatten)]
    data: DataOptions,

    #[command(flatten)]
    machine: MachineOptions,
}

/// Training clips that statistics are estimated from where nobody says how many.
const CLIPS: usize = 2048;

/// Everything that is known of a run.
#[derive(Serialize)]
struct Analyses {
    surface: Document<Surface>,
    latency: Document<Latency>,
    drift: Document<Drift>,
    precise_bn: Document<PreciseNorms>,
    alteration: Document<Alterations>,
    flips: Document<Flips>,
    confusion: Document<Confusion>,
    gains: Option<Document<Gains>>,
}

/// Computes what is not there or stale, keeps it, and tells all.
pub fn run(args: Args) -> Result<()> {
    let against = args.against.as_ref().map(Folder::at);
    let what = What {
        opening: Opening {
            experiments: args.experiments.as_deref(),
            data: &args.data,
            machine: &args.machine,
        },
        frames: &args.frames,
        clips: args.clips,
    };
    let mut all = Vec::new();
    for folder in runs(&args.folders)? {
        let work = Work::new(&what, folder)?;
        let trained = work.folder.experiment()?.method.frames().to_vec();
        let name = work.folder.name();
        let analyses = work.analyses(against.as_ref())?;
        match args.json {
            true => all.push(analyses),
            // The other runs are analysed even where nobody reads this.
            false => terminal::tell(tables::describe(&name, &analyses, &trained, args.layers)),
        }
    }
    match args.json {
        true => super::print_json(&all),
        false => Ok(()),
    }
}

/// The analyses of a run alone.
const NAMES: [&str; 7] = [
    Surface::NAME,
    Latency::NAME,
    Drift::NAME,
    PreciseNorms::NAME,
    Alterations::NAME,
    Flips::NAME,
    Confusion::NAME,
];

/// Computes the analyses that a run does not have, and keeps them; where it has all of them, nothing is written.
pub fn complete(folder: &Folder, data: &DataOptions, machine: &MachineOptions) -> Result<()> {
    let kept = |name: &&str| document::path(folder, name, None).exists();
    if NAMES.iter().all(kept) {
        return Ok(());
    }
    let what = What {
        opening: Opening {
            experiments: None,
            data,
            machine,
        },
        frames: &[],
        clips: None,
    };
    Work::new(&what, folder.clone())?.analyses(None).map(drop)
}

/// The run folders, those of suites among them.
fn runs(folders: &[PathBuf]) -> Result<Vec<Folder>> {
    let mut runs = Vec::new();
    for path in folders {
        match suite::folder::is_at(path) {
            true => runs.extend(Suite::open(path)?.runs()?.into_iter().map(|run| run.folder)),
            false => runs.push(Folder::at(path)),
        }
    }
    Ok(runs)
}

/// What is analysed of a run, and how it is opened.
struct What<'a> {
    opening: Opening<'a>,
    /// As the flag `--frames`.
    frames: &'a [FrameCounts],
    /// As the flag `--clips`.
    clips: Option<usize>,
}

/// One run while it is analysed.
struct Work<'a> {
    what: &'a What<'a>,
    folder: Working,
    /// Opened when the first analysis asks for it: with fresh ones no data are read.
    subject: Option<Subject>,
}

impl<'a> Work<'a> {
    /// Refuses a run that still trains, that is not as it was written, or that another engine computed.
    fn new(what: &'a What<'a>, folder: Folder) -> Result<Self> {
        let manifest = folder.manifest()?;
        if !manifest.finished {
            return Err(Error::new(
                Kind::Run,
                format!("the run `{}` is not finished", folder.path().shown()),
            )
            .hint("`ffn run` with its experiment goes on with it"));
        }
        manifest.check_engine(what.opening.machine.engine)?;
        verify::intact(&folder)?;
        let folder = folder.lock()?;
        Ok(Self {
            what,
            folder,
            subject: None,
        })
    }

    fn analyses(mut self, against: Option<&Folder>) -> Result<Analyses> {
        let (surface, latency) = self.surface()?;
        let (drift, precise_bn) = self.statistics()?;
        let alteration = self.alteration()?;
        let (flips, confusion) = self.predictions()?;
        let gains = against.map(|other| self.gains(other)).transpose()?;
        Ok(Analyses {
            surface,
            latency,
            drift,
            precise_bn,
            alteration,
            flips,
            confusion,
            gains,
        })
    }

    fn subject(&mut self) -> Result<&mut Subject> {
        if self.subject.is_none() {
            self.subject = Some(self.what.opening.open(Folder::clone(&self.folder))?);
        }
        self.subject
            .as_mut()
            .ok_or_else(|| Error::new(Kind::Run, "the run is not open"))
    }

    fn surface(&mut self) -> Result<(Document<Surface>, Document<Latency>)> {
        let experiment = self.folder.experiment()?;
        let (known, times) = (self.fresh::<Surface>(), self.fresh::<Latency>());
        let asked = eval::frame_counts(self.what.frames, &experiment);
        let covers = |surface: &Surface| {
            let known: Vec<usize> = surface.chosen().map(|point| point.frames).collect();
            self.what.frames.is_empty() || known == asked
        };
        if let (Some(surface), Some(latency)) = (known, times)
            && covers(&surface.content)
        {
            return Ok((surface, latency));
        }
        let (surface, latency) = surface::compute(self.subject()?, &asked)?;
        surface.write(&self.folder)?;
        latency.write(&self.folder)?;
        Ok((surface, latency))
    }

    /// Drift and control come from the same estimates.
    fn statistics(&mut self) -> Result<(Document<Drift>, Document<PreciseNorms>)> {
        let (drift, precise) = (self.fresh::<Drift>(), self.fresh::<PreciseNorms>());
        let asked = self.what.clips;
        if let (Some(drift), Some(precise)) = (drift, precise)
            && drift.content.clips == precise.content.clips
            && asked.is_none_or(|clips| clips == drift.content.clips)
        {
            return Ok((drift, precise));
        }
        let subject = self.subject()?;
        let extent = subject.extent(asked.unwrap_or(CLIPS));
        let origin = subject.origin()?;
        let (drift, precise) = estimated(subject, extent)?;
        let drift = Document::new(origin.clone(), drift);
        let precise = Document::new(origin, precise);
        drift.write(&self.folder)?;
        precise.write(&self.folder)?;
        Ok((drift, precise))
    }

    fn alteration(&mut self) -> Result<Document<Alterations>> {
        if let Some(known) = self.fresh() {
            return Ok(known);
        }
        let subject = self.subject()?;
        let document = Document::new(subject.origin()?, Alterations::of(&subject.model)?);
        document.write(&self.folder)?;
        Ok(document)
    }

    fn predictions(&mut self) -> Result<(Document<Flips>, Document<Confusion>)> {
        let (origin, summaries) = evaluations(&self.folder)?;
        if let (Some(flips), Some(confusion)) = (self.fresh::<Flips>(), self.fresh::<Confusion>())
            && flips.origin == origin
            && confusion.origin == origin
        {
            return Ok((flips, confusion));
        }
        let said = summaries.into_iter().map(|summary| {
            let predictions = results::read_predictions(&self.folder.eval(), &summary)?;
            Ok(Said {
                summary,
                predictions,
            })
        });
        let said: Vec<Said> = said.collect::<Result<_>>()?;
        let flips = Document::new(origin.clone(), Flips::of(&said)?);
        let confusion = Document::new(origin, Confusion::of(self.folder.classes()?, &said));
        flips.write(&self.folder)?;
        confusion.write(&self.folder)?;
        Ok((flips, confusion))
    }

    /// From the summaries alone: quick enough to compute every time.
    fn gains(&self, other: &Folder) -> Result<Document<Gains>> {
        verify::intact(other)?;
        let (origin, own) = evaluations(&self.folder)?;
        let (other_origin, others) = evaluations(other)?;
        let classes = self.folder.classes()?;
        let gains = Gains::of(&classes, &own, (&other.name(), &others))?;
        let document = Document {
            origin,
            against: Some(other_origin),
            content: gains,
        };
        document.write(&self.folder)?;
        Ok(document)
    }

    /// What is there already and belongs to the run as it is; a damaged or stale one is made again.
    fn fresh<T: Content>(&self) -> Option<Document<T>> {
        Document::read(&self.folder).ok().flatten()
    }
}

/// Estimates the statistics and evaluates with them.
fn estimated(subject: &mut Subject, extent: Extent) -> Result<(Drift, PreciseNorms)> {
    let mut progress = Progress::new();
    progress.prepare("training clips for norm statistics", extent.clips);
    let estimates = estimate(subject, extent, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    let estimates = estimates?;
    let drift = Drift::of(&subject.model, extent, &estimates);
    progress.evaluate(
        subject.dataset.validation.len(),
        &subject.experiment.eval.frames,
    );
    let precise = PreciseNorms::compute(subject, extent, &estimates, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    Ok((drift, precise?))
}
