//! Frame folders: how their images are called.

use std::path::Path;

use super::class_names::{self, MOST};
use super::pair::Pair;
use super::{Look, Read, below, names_in};
use crate::base::{Error, Kind, Result, Shown};
use crate::data::frame_folders;
use crate::data::video::{Template, is_image};
use crate::spec::{Data, FrameFolders, Unreadable};

/// Folders of a list that are looked at before none is said to be there.
const TRIED: usize = 20;

/// How images are called, by what is in a folder.
struct Naming {
    template: String,
    first: usize,
    count: usize,
}

pub fn read(look: &Look<'_>, pair: &Pair) -> Result<Read> {
    let (naming, others) = naming(look, pair)?;
    let mut data = FrameFolders {
        root: look.name.to_owned(),
        pins: look.pins.to_owned(),
        train_list: pair.train.clone(),
        validation_list: pair.validation.clone(),
        class_names: None,
        template: naming.template,
        first: naming.first,
        class_count: MOST,
        direction_sensitive: true,
        train_count: None,
        validation_count: None,
        unreadable: Unreadable::Fail,
    };
    let mut listing = frame_folders::read(look.root, look.base, &data)?;
    data.class_names = class_names::settle(look, pair.folder(), &mut listing);
    data.class_count = listing.classes.len();
    data.train_count = Some(listing.train.len());
    data.validation_count = Some(listing.validation.len());
    Ok(Read {
        data: Data::FrameFolders(data),
        listing,
        notes: others,
    })
}

/// The images' names in the first folder of the list that is there, and a line on other images beside them.
fn naming(look: &Look<'_>, pair: &Pair) -> Result<(Naming, Vec<String>)> {
    let lines = pair.first_lines(look, TRIED)?;
    let parts = lines.iter().filter_map(|line| {
        let mut parts = line.trim_end().rsplitn(3, ' ').skip(1);
        Some((parts.next()?.parse::<usize>().ok()?, parts.next()?))
    });
    let parts: Vec<(usize, &str)> = parts.collect();
    let there = parts
        .iter()
        .find(|(_, folder)| look.root.join(folder).is_dir());
    let Some((count, folder)) = there else {
        return Err(absent(
            look,
            pair,
            parts.first().map_or("", |(_, folder)| folder),
        ));
    };
    let mut found = namings(&look.root.join(folder))?;
    // That with as many images as the list says, then that with the most.
    found.sort_by_key(|naming| (naming.count != *count, std::cmp::Reverse(naming.count)));
    let mut found = found.into_iter();
    let Some(naming) = found.next() else {
        let message = format!(
            "there is no numbered JPEG or PNG in `{}`",
            look.root.join(folder).shown()
        );
        return Err(Error::new(Kind::Data, message)
            .hint("extract the frames of each clip into its folder: 00001.jpg, 00002.jpg, ..."));
    };
    let others: Vec<String> = found
        .map(|other| format!("`{}`", other.template.shown()))
        .collect();
    let note = format!(
        "beside the images `{}` there are others, which are not used: {}",
        naming.template.shown(),
        others.join(", ")
    );
    Ok((
        naming,
        (!others.is_empty()).then_some(note).into_iter().collect(),
    ))
}

fn absent(look: &Look<'_>, pair: &Pair, folder: &str) -> Error {
    let (list, root) = (pair.train.shown(), look.root.shown());
    let message = format!(
        "the folder `{}`, which `{list}` names, is not in `{root}`",
        folder.shown()
    );
    let error = Error::new(Kind::Data, message);
    match below(look, folder) {
        Some(hint) => error.hint(hint),
        None => error.hint("the folders that the lists name must be below the folder of the data"),
    }
}

/// The templates that fit the images in a folder, each image named by one.
fn namings(folder: &Path) -> Result<Vec<Naming>> {
    let mut images: Vec<String> = names_in(folder)?.files;
    images.retain(|name| is_image(name));
    // Of numbers without leading zeros the smallest first.
    images.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let mut found: Vec<(Template, Naming)> = Vec::new();
    for image in &images {
        if let Some((_, naming)) = found
            .iter_mut()
            .find(|(template, _)| template.number(image).is_some())
        {
            naming.count += 1;
        } else if let Some((template, first)) = Template::fitting(image)
            && let Ok(parsed) = Template::parse(&template)
        {
            let count = 1;
            found.push((
                parsed,
                Naming {
                    template,
                    first,
                    count,
                },
            ));
        }
    }
    Ok(found.into_iter().map(|(_, naming)| naming).collect())
}
