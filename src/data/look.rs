//! What the files of a data set are by their first bytes, and whether folders hold what their lists say: what can be told
//! of 200,000 videos without decoding one.

use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::Serialize;

use super::dataset::{Dataset, Progress, Sample, Split};
use super::frame_folders::explain;
use super::listing::Fault;
use super::video::{
    Inventory, Source, Template, VideoError, check_count, check_image, check_start,
};
use crate::base::Shown;

/// What was found.
#[derive(Debug, Clone, Default)]
pub struct Look {
    pub faults: Vec<Fault>,
    pub surplus: Vec<Surplus>,
}

/// A frame folder that holds more images than its list says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Surplus {
    pub split: Split,
    pub id: String,
    /// Images that the list says.
    pub listed: usize,
    /// Images besides, before the first or behind the last.
    pub beyond: usize,
}

impl Surplus {
    /// One line for a person.
    pub fn describe(&self) -> String {
        let Self { listed, beyond, .. } = self;
        format!(
            "{}  {listed} images are listed, and there are {beyond} more",
            self.id.shown()
        )
    }
}

/// Looks at every video.
pub fn at(dataset: &Dataset, progress: &Progress<'_>) -> Look {
    let splits = [Split::Train, Split::Validation];
    let samples: Vec<(Split, &Sample)> = splits
        .into_iter()
        .flat_map(|split| {
            dataset
                .split(split)
                .iter()
                .map(move |sample| (split, sample))
        })
        .collect();
    let done = AtomicUsize::new(0);
    let found: Vec<(Option<Fault>, Option<Surplus>)> = samples
        .par_iter()
        .map(|(split, sample)| {
            let found = at_sample(*split, sample);
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            progress("reading the starts of videos", done, samples.len());
            found
        })
        .collect();
    let (faults, surplus): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    Look {
        faults: faults.into_iter().flatten().collect(),
        surplus: surplus.into_iter().flatten().collect(),
    }
}

fn at_sample(split: Split, sample: &Sample) -> (Option<Fault>, Option<Surplus>) {
    let (looked, beyond) = match &sample.source {
        Source::File(path) => (check_start(path), 0),
        Source::Packed(packed) => (packed.check(), 0),
        folder => at_folder(folder),
    };
    let fault = looked.err().map(|error| Fault::of(split, sample, &error));
    (fault, surplus(split, sample, beyond))
}

/// What is wrong with the first image that is no image, and how many there are besides those that are listed.
fn at_folder(source: &Source) -> (Result<(), VideoError>, usize) {
    let Source::Folder {
        path,
        template,
        first,
        count,
    } = source
    else {
        return (Ok(()), 0);
    };
    let look = || {
        let template = Template::parse(template)?;
        check_count(*first, *count)?;
        let inventory = Inventory::of(path, &template)?;
        if inventory.missing(*first, *count).is_some() {
            let what = explain(path, &template, (*first, *count));
            return Err(VideoError::Numbering(what));
        }
        Ok((inventory.surplus(*first, *count), template))
    };
    let (beyond, template) = match look() {
        Ok(found) => found,
        Err(error) => return (Err(error), 0),
    };
    let image = |frame: usize| {
        let file = template.name(first + frame);
        check_image(&path.join(&file)).map_err(|error| match error.is_damage() {
            true => VideoError::Image {
                frame,
                what: error.to_string(),
                file,
            },
            false => VideoError::Unreadable(format!("`{}`: {error}", file.shown())),
        })
    };
    ((0..*count).try_for_each(image), beyond)
}

fn surplus(split: Split, sample: &Sample, beyond: usize) -> Option<Surplus> {
    let Source::Folder { count, .. } = &sample.source else {
        return None;
    };
    (beyond > 0).then(|| Surplus {
        split,
        id: sample.id.clone(),
        listed: *count,
        beyond,
    })
}

/// The frame folders of a split that hold more images than their list says.
pub fn surplus_of(split: Split, samples: &[Sample]) -> Vec<Surplus> {
    let of = |sample: &Sample| {
        let Source::Folder {
            path,
            template,
            first,
            count,
        } = &sample.source
        else {
            return None;
        };
        // What cannot be read at all is told of otherwise.
        let inventory = Inventory::of(path, &Template::parse(template).ok()?).ok()?;
        surplus(split, sample, inventory.surplus(*first, *count))
    };
    samples.par_iter().filter_map(of).collect()
}
