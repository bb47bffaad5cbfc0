//! Videos with text lists, with HMDB51's splits, or in a folder for each class.

use super::class_names::{self, MOST};
use super::pair::Pair;
use super::{Candidate, Layout, Look, Read, below, names_in};
use crate::base::{Result, Shown};
use crate::data::listing::Listing;
use crate::data::video_list;
use crate::spec::{Data, Missing, Unreadable, VideoList, VideoLists};

/// What folders of splits may be called.
const TRAIN: [&str; 2] = ["train", "training"];
const VALIDATION: [&str; 5] = ["val", "validation", "valid", "test", "testing"];
/// The ending of the first split's files.
const SPLIT: &str = "_test_split1.txt";

pub fn text(look: &Look<'_>, pair: &Pair) -> Result<Read> {
    let (train, validation) = (pair.train.clone(), pair.validation.clone());
    read(look, VideoLists::Text { train, validation }, pair.folder())
}

/// Reads lists of videos. `folder`: of the lists.
pub fn read(look: &Look<'_>, lists: VideoLists, folder: &str) -> Result<Read> {
    let mut data = VideoList {
        root: look.name.to_owned(),
        pins: look.pins.to_owned(),
        lists,
        class_names: None,
        class_count: MOST,
        direction_sensitive: true,
        train_count: None,
        validation_count: None,
        missing: Missing::Fail,
        unreadable: Unreadable::Fail,
    };
    let mut listing = video_list::read(look.root, look.base, &data)?;
    // Numbers are as many as were declared; names are as many as there are.
    if listing.classes.len() == MOST {
        data.class_names = class_names::settle(look, folder, &mut listing);
    }
    elsewhere(look, &listing)?;
    data.class_count = listing.classes.len();
    data.train_count = Some(listing.train.len());
    data.validation_count = Some(listing.validation.len());
    Ok(Read {
        data: Data::VideoList(data),
        listing,
        notes: Vec::new(),
    })
}

/// Refuses lists whose videos are all in a folder below.
fn elsewhere(look: &Look<'_>, listing: &Listing) -> Result<()> {
    let clips = listing.train.len() + listing.validation.len();
    let first = listing.missing.first();
    let all = first.filter(|_| listing.missing.len() == clips);
    match all.and_then(|first| below(look, &first.id)) {
        None => Ok(()),
        Some(hint) => {
            let message = format!(
                "none of the {clips} videos that the lists name is in `{}`",
                look.root.shown()
            );
            Err(crate::base::Error::new(crate::base::Kind::Data, message).hint(hint))
        }
    }
}

/// The folders that hold the splits of HMDB51, beside the experiment or in the folder of the data.
pub fn hmdb51(look: &Look<'_>) -> Result<Option<Candidate>> {
    let folders = names_in(look.root)?.folders;
    let has_splits = |name: &String| {
        let files = names_in(&look.root.join(name)).map(|names| names.files);
        files.is_ok_and(|files| files.iter().any(|file| file.ends_with(SPLIT)))
    };
    // A folder of 200,000 clips is read in no time; 200,000 folders of clips are not.
    let folders = folders
        .into_iter()
        .filter(|name| name.to_lowercase().contains("split"));
    let Some(splits) = folders.into_iter().find(has_splits) else {
        return Ok(None);
    };
    let seen = format!("the splits in `{}`", splits.shown());
    let read = read(look, VideoLists::Hmdb51 { splits, split: 1 }, "");
    Ok(Some(Candidate {
        layout: Layout::Hmdb51,
        seen,
        read,
    }))
}

/// A folder for each split, in it one for each class.
pub fn folders(look: &Look<'_>) -> Result<Option<Candidate>> {
    let Some((train, validation)) = split_folders(look)? else {
        return Ok(None);
    };
    let seen = format!(
        "the folders `{}` and `{}`",
        train.shown(),
        validation.shown()
    );
    let read = read(look, VideoLists::Folders { train, validation }, "");
    Ok(Some(Candidate {
        layout: Layout::Folders,
        seen,
        read,
    }))
}

/// The folders of the splits, if each has folders of classes.
fn split_folders(look: &Look<'_>) -> Result<Option<(String, String)>> {
    let folders = names_in(look.root)?.folders;
    let named = |known: &[&str]| {
        known.iter().find_map(|known| {
            let is_it = |name: &&String| name.eq_ignore_ascii_case(known);
            folders.iter().find(is_it).cloned()
        })
    };
    let (Some(train), Some(validation)) = (named(&TRAIN), named(&VALIDATION)) else {
        return Ok(None);
    };
    for split in [&train, &validation] {
        if names_in(&look.root.join(split))?.folders.is_empty() {
            return Ok(None);
        }
    }
    Ok(Some((train, validation)))
}
