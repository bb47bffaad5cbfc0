//! The TSM layout: lists of `folder frames label`, and folders of numbered pictures.

use std::path::{Path, PathBuf};

use super::dataset::Sample;
use super::listing::{Expected, Listing, counted};
use super::video::{Source, Template};
use crate::base::{Error, Kind, Result, Shown, files, limits};
use crate::spec::FrameFolders;

/// Reads and checks the data set below `root`. Lists are looked for in `base`, the experiment's folder, then in `root`.
pub fn read(root: &Path, base: &Path, data: &FrameFolders) -> Result<Listing> {
    let template = Template::parse(&data.template)
        .map_err(|error| Error::new(Kind::Data, error.to_string()))?;
    let mut texts = Vec::new();
    let mut text = |name: &str| -> Result<(PathBuf, String)> {
        let path = find_text(root, base, name)?;
        texts.push((name.to_owned(), path.clone()));
        let content = files::read_text(&path, limits::LIST)?;
        Ok((path, content))
    };
    let classes = match &data.class_names {
        Some(name) => text(name)?.1.lines().map(str::to_owned).collect(),
        None => (0..data.class_count)
            .map(|label| label.to_string())
            .collect(),
    };
    let mut samples = |list: &str| {
        let (path, lines) = text(list)?;
        read_list(root, data, &path, &lines)
    };
    let train = samples(&data.train_list)?;
    let validation = samples(&data.validation_list)?;
    let listing = Listing {
        classes,
        train,
        validation,
        texts,
    };
    let expected = Expected {
        classes: data.class_count,
        train: data.train_count,
        validation: data.validation_count,
    };
    listing.check(expected, |sample| missing(sample, &template))?;
    Ok(listing)
}

fn find_text(root: &Path, base: &Path, name: &str) -> Result<PathBuf> {
    let places = [base.join(name), root.join(name)];
    places.iter().find(|path| path.is_file()).cloned().ok_or_else(|| {
        let [first, second] = places.map(|path| path.shown().to_string());
        Error::new(
            Kind::Data,
            format!("the list `{name}` is missing; it is neither `{first}` nor `{second}`"),
        )
        .hint("a list has lines `folder frames label`; put it beside the experiment or into the data set's folder")
    })
}

/// A line is `folder frames label`, and the folder may hold spaces.
fn read_list(root: &Path, data: &FrameFolders, path: &Path, lines: &str) -> Result<Vec<Sample>> {
    let mut wrong = Vec::new();
    let mut samples = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        match parse_line(line, data.class_count) {
            Ok((folder, count, label)) => samples.push(Sample {
                id: folder.to_owned(),
                label,
                source: Source::Folder {
                    path: root.join(folder),
                    template: data.template.clone(),
                    first: data.first,
                    count,
                },
            }),
            Err(what) => wrong.push(format!("line {}: {what}: `{line}`", number + 1)),
        }
    }
    match counted("lines that cannot be used", &wrong) {
        None => Ok(samples),
        Some(problem) => Err(
            Error::new(Kind::Data, format!("`{}`: {problem}", path.shown()))
                .hint("a line is `folder frames label`, the number of frames and the label from 0"),
        ),
    }
}

fn parse_line(line: &str, classes: usize) -> Result<(&str, usize, usize), String> {
    let mut parts = line.trim_end().rsplitn(3, ' ');
    let (Some(label), Some(count), Some(folder)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err("three parts are expected".into());
    };
    let count = count
        .parse()
        .map_err(|_| format!("`{count}` is no number of frames"))?;
    let label = label
        .parse()
        .map_err(|_| format!("`{label}` is no label"))?;
    match (count, label) {
        (0, _) => Err("a video without frames".into()),
        (_, label) if label >= classes => Err(format!(
            "the label {label} is not below the {classes} classes"
        )),
        _ => Ok((folder, count, label)),
    }
}

/// What is not there of a sample: its folder, its first or its last picture. Those between are met when they are hashed.
fn missing(sample: &Sample, template: &Template) -> Option<String> {
    let Source::Folder {
        path, first, count, ..
    } = &sample.source
    else {
        return None;
    };
    [*first, first.saturating_add(count - 1)]
        .into_iter()
        .map(|number| path.join(template.name(number)))
        .find(|picture| !picture.is_file())
        .map(|picture| picture.shown().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Unreadable;

    fn data() -> FrameFolders {
        FrameFolders {
            root: "frames".into(),
            pins: "frames.pins.ron".into(),
            train_list: "train.txt".into(),
            validation_list: "validation.txt".into(),
            class_names: Some("classes.txt".into()),
            template: "img_{:05}.jpg".into(),
            first: 1,
            class_count: 2,
            direction_sensitive: true,
            train_count: None,
            validation_count: Some(1),
            unreadable: Unreadable::Fail,
        }
    }

    fn folder(train: &str, validation: &str, pictures: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("train.txt", train),
            ("validation.txt", validation),
            ("classes.txt", "up\ndown\n"),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        for picture in pictures {
            let path = folder.path().join(picture);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn message(folder: &tempfile::TempDir) -> String {
        let error = read(folder.path(), Path::new("no-such-folder"), &data()).unwrap_err();
        error
            .to_string()
            .replace(&*folder.path().to_string_lossy(), "ROOT")
    }

    #[test]
    fn folders_may_hold_spaces() {
        let pictures = ["a b/img_00001.jpg", "a b/img_00003.jpg", "c/img_00001.jpg"];
        let folder = folder("a b 3 1\n", "c 1 0\n", &pictures);
        let listing = read(folder.path(), Path::new("no-such-folder"), &data()).unwrap();
        assert_eq!(listing.classes, ["up", "down"]);
        let sample = &listing.train[0];
        assert_eq!((sample.id.as_str(), sample.label), ("a b", 1));
        let Source::Folder { count, first, .. } = sample.source else {
            panic!("{sample:?}");
        };
        assert_eq!((first, count), (1, 3));
    }

    #[test]
    fn every_wrong_line_is_listed() {
        let folder = folder("a b 3 1\nc 0 1\nd 3 2\ne\n\nf x 1\n", "c 1 0\n", &[]);
        insta::assert_snapshot!(message(&folder));
    }

    #[test]
    fn missing_pictures_are_listed() {
        let folder = folder(
            "a 3 1\nb 2 0\n",
            "c 1 0\nd 1 0\n",
            &["a/img_00001.jpg", "c/img_00001.jpg"],
        );
        insta::assert_snapshot!(message(&folder));
    }

    #[test]
    fn a_missing_list_says_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        insta::assert_snapshot!(message(&folder));
    }
}
