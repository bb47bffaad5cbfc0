//! Computes the analyses of a run that are not there or are stale, and keeps them in its folder.

use serde::Serialize;

use super::drift::Drift;
use super::estimate::{Extent, estimate, layer_inputs, layer_norms};
use super::predictions::Said;
use super::subject::evaluations;
use super::{
    Alterations, Confusion, Content, Document, Flips, Gains, Latency, PreciseNorms, Subject,
    Surface, document,
};
use crate::base::{Error, Kind, Result, Shown};
use crate::run::{Folder, Working, results, verify};
use crate::spec::Experiment;
use crate::train::opening::Opening;
use crate::train::progress::Progress;
use crate::train::sharing::Sharing;

/// Training clips that statistics are estimated from where nobody says how many.
const CLIPS: usize = 2048;

/// What of a run's analyses somebody decides.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// Frame counts of the any-frame surface, ascending, each once; none: those that it was computed for, or those of the
    /// experiment.
    pub frames: Vec<usize>,
    /// Training clips that norm statistics are estimated from; `None`: as many as before, or 2048 where there are so many.
    pub clips: Option<usize>,
}

/// Everything that is known of a run.
#[derive(Serialize)]
pub struct Analyses {
    pub surface: Document<Surface>,
    pub latency: Document<Latency>,
    pub drift: Document<Drift>,
    pub precise_bn: Document<PreciseNorms>,
    pub alteration: Document<Alterations>,
    pub flips: Document<Flips>,
    pub confusion: Document<Confusion>,
    /// Where there is a run to compare with.
    pub gains: Option<Document<Gains>>,
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

/// All analyses of a finished run; those that it lacks are computed and kept. `against`: the run whose classes' accuracy
/// is compared.
pub fn analyse(
    folder: Folder,
    opening: &Opening,
    request: &Request,
    against: Option<&Folder>,
    sharing: Sharing<'_>,
) -> Result<Analyses> {
    Work::new(folder, opening, request, sharing)?.analyses(against)
}

/// Computes the analyses that a run does not have, and keeps them; where it has all of them, nothing is written.
pub fn complete(folder: &Folder, opening: &Opening) -> Result<()> {
    let kept = |name: &&str| document::path(folder, name, None).exists();
    if NAMES.iter().all(kept) {
        return Ok(());
    }
    let alone = Sharing::alone();
    analyse(folder.clone(), opening, &Request::default(), None, alone).map(drop)
}

/// The frame counts of an experiment's evaluation, ascending, each once.
pub fn frames_of(experiment: &Experiment) -> Vec<usize> {
    let mut frames = experiment.eval.frames.clone();
    frames.sort_unstable();
    frames.dedup();
    frames
}

/// The any-frame surface: every one of `frames` by every branch, and how long each takes, which one rank measures alone.
pub fn surface(
    subject: &mut Subject,
    frames: &[usize],
    sharing: &mut Sharing<'_>,
) -> Result<(Document<Surface>, Document<Latency>)> {
    let origin = subject.origin()?;
    let mut progress = Progress::new();
    progress.evaluate(subject.dataset.validation.len(), frames);
    let surface = Surface::compute(subject, frames, sharing, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    let surface = surface?;
    let latency = sharing.tell(|| Latency::measure(subject, frames))?;
    Ok((
        Document::new(origin.clone(), surface),
        Document::new(origin, latency),
    ))
}

/// One run while it is analysed.
struct Work<'a> {
    opening: &'a Opening,
    request: &'a Request,
    folder: Folder,
    /// The first rank's alone.
    working: Option<Working>,
    sharing: Sharing<'a>,
    /// Opened when the first analysis asks for it: with fresh ones no data are read.
    subject: Option<Subject>,
}

impl<'a> Work<'a> {
    /// Refuses a run that still trains, that is not as it was written, or that another engine computed.
    fn new(
        folder: Folder,
        opening: &'a Opening,
        request: &'a Request,
        sharing: Sharing<'a>,
    ) -> Result<Self> {
        let manifest = folder.manifest()?;
        if !manifest.finished {
            return Err(Error::new(
                Kind::Run,
                format!("the run `{}` is not finished", folder.path().shown()),
            )
            .hint("`ffn run` with its experiment goes on with it"));
        }
        manifest.check_computation(opening.machine.engine, opening.machine.fusions)?;
        let working = match sharing.is_first() {
            true => {
                verify::intact(&folder)?;
                Some(folder.lock()?)
            }
            false => None,
        };
        Ok(Self {
            opening,
            request,
            folder,
            working,
            sharing,
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

    fn open(&mut self) -> Result<(&mut Subject, &mut Sharing<'a>)> {
        if self.subject.is_none() {
            let subject = Subject::open(self.folder.clone(), self.opening)?;
            self.sharing.introduce(|| subject.circumstances())?;
            self.subject = Some(subject);
        }
        let closed = || Error::new(Kind::Run, "the run is not open");
        let subject = self.subject.as_mut().ok_or_else(closed)?;
        Ok((subject, &mut self.sharing))
    }

    fn keep<T: Content>(&self, document: &Document<T>) -> Result<()> {
        match &self.working {
            Some(folder) => document.write(folder),
            None => Ok(()),
        }
    }

    fn surface(&mut self) -> Result<(Document<Surface>, Document<Latency>)> {
        let experiment = self.folder.experiment()?;
        let (known, times) = (self.fresh::<Surface>()?, self.fresh::<Latency>()?);
        let asked = match self.request.frames.as_slice() {
            [] => frames_of(&experiment),
            frames => frames.to_vec(),
        };
        let covers = |surface: &Surface| {
            let known: Vec<usize> = surface.chosen().map(|point| point.frames).collect();
            self.request.frames.is_empty() || known == asked
        };
        if let (Some(surface), Some(latency)) = (known, times)
            && covers(&surface.content)
        {
            return Ok((surface, latency));
        }
        let (subject, sharing) = self.open()?;
        let (surface, latency) = surface(subject, &asked, sharing)?;
        self.keep(&surface)?;
        self.keep(&latency)?;
        Ok((surface, latency))
    }

    /// Drift and control come from the same estimates.
    fn statistics(&mut self) -> Result<(Document<Drift>, Document<PreciseNorms>)> {
        let (drift, precise) = (self.fresh::<Drift>()?, self.fresh::<PreciseNorms>()?);
        let asked = self.request.clips;
        if let (Some(drift), Some(precise)) = (drift, precise)
            && drift.content.clips == precise.content.clips
            && asked.is_none_or(|clips| clips == drift.content.clips)
            && !drift.content.lacks_inputs()
        {
            return Ok((drift, precise));
        }
        let (subject, sharing) = self.open()?;
        let extent = subject.extent(asked.unwrap_or(CLIPS));
        let origin = subject.origin()?;
        let (drift, precise) = estimated(subject, extent, sharing)?;
        let drift = Document::new(origin.clone(), drift);
        let precise = Document::new(origin, precise);
        self.keep(&drift)?;
        self.keep(&precise)?;
        Ok((drift, precise))
    }

    fn alteration(&mut self) -> Result<Document<Alterations>> {
        if let Some(known) = self.fresh()? {
            return Ok(known);
        }
        let (subject, _) = self.open()?;
        let document = Document::new(subject.origin()?, Alterations::of(&subject.model)?);
        self.keep(&document)?;
        Ok(document)
    }

    fn predictions(&mut self) -> Result<(Document<Flips>, Document<Confusion>)> {
        let (origin, summaries) = evaluations(&self.folder)?;
        let (flips, confusion) = (self.fresh::<Flips>()?, self.fresh::<Confusion>()?);
        if let (Some(flips), Some(confusion)) = (flips, confusion)
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
        self.keep(&flips)?;
        self.keep(&confusion)?;
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
        self.keep(&document)?;
        Ok(document)
    }

    /// What is there already and belongs to the run as it is; a damaged or stale one is made again.
    /// The first rank looks: what it keeps may be seen by the others at once or later.
    fn fresh<T: Content>(&mut self) -> Result<Option<Document<T>>> {
        let folder = &self.folder;
        self.sharing
            .tell(|| Ok(Document::read(folder).ok().flatten()))
    }
}

/// Estimates the statistics and evaluates with them.
fn estimated(
    subject: &mut Subject,
    extent: Extent,
    sharing: &mut Sharing<'_>,
) -> Result<(Drift, PreciseNorms)> {
    let mut progress = Progress::new();
    progress.prepare("training clips for norm statistics", extent.clips);
    let estimates = estimate(subject, extent, sharing, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    let estimates = estimates?;
    let mut inputs = None;
    if !layer_norms(subject.model.graph()).is_empty() {
        progress.prepare("training clips for what layer norms read", extent.clips);
        let found = layer_inputs(subject, extent, sharing, &mut |done| {
            progress.evaluated(done);
            Ok(())
        });
        progress.clear();
        inputs = Some(found?);
    }
    let drift = Drift::of(&subject.model, extent, &estimates, inputs.as_deref());
    progress.evaluate(
        subject.dataset.validation.len(),
        &subject.experiment.eval.frames,
    );
    let precise = PreciseNorms::compute(subject, extent, &estimates, sharing, &mut |done| {
        progress.evaluated(done);
        Ok(())
    });
    progress.clear();
    Ok((drift, precise?))
}
