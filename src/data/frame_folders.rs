//! The TSM layout: lists of `folder frames label`, and folders of numbered images.

use std::path::{Path, PathBuf};

use super::dataset::Sample;
use super::listing::{Listing, counted};
use super::video::{Inventory, Source, Template, VideoError, check_count};
use super::{names, texts};
use crate::base::{Error, Kind, Result, Shown};
use crate::spec::FrameFolders;

/// Reads the data set below `root`. Lists are looked for in `base`, the experiment's folder, then in `root`.
pub fn read(root: &Path, base: &Path, data: &FrameFolders) -> Result<Listing> {
    let template = Template::parse(&data.template)
        .map_err(|error| Error::new(Kind::Data, error.to_string()))?;
    let mut files = Vec::new();
    let mut text = |name: &str, lines: &str| -> Result<(PathBuf, String)> {
        let path = find_text(root, base, name, lines)?;
        files.push((name.to_owned(), path.clone()));
        let content = texts::read(&path)?;
        Ok((path, content))
    };
    let classes = match &data.class_names {
        Some(name) => text(name, "class names, in the order of their labels")?
            .1
            .lines()
            .map(str::to_owned)
            .collect(),
        None => (0..data.class_count)
            .map(|label| label.to_string())
            .collect(),
    };
    let mut samples = |list: &str| {
        let (path, lines) = text(list, "`folder frames label`")?;
        read_list(root, data, &path, &lines)
    };
    let train = samples(&data.train_list)?;
    let validation = samples(&data.validation_list)?;
    let mut listing = Listing {
        classes,
        train,
        validation,
        texts: files,
        missing: Vec::new(),
    };
    listing.note_missing(|sample| missing(sample, &template));
    Ok(listing)
}

fn find_text(root: &Path, base: &Path, name: &str, lines: &str) -> Result<PathBuf> {
    let places = [base.join(name), root.join(name)];
    texts::find(&format!("the list `{}`", name.shown()), &places).map_err(|error| {
        error.hint(format!(
            "it has lines of {lines}; put it beside the experiment or into the data set's folder"
        ))
    })
}

/// A line is `folder frames label`, and the folder may hold spaces.
fn read_list(root: &Path, data: &FrameFolders, path: &Path, lines: &str) -> Result<Vec<Sample>> {
    let mut wrong = Vec::new();
    let mut samples = Vec::new();
    for (number, line) in lines.lines().enumerate() {
        match parse_line(line, data) {
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
            Err(what) => wrong.push(format!("line {}: {what}: `{}`", number + 1, line.shown())),
        }
    }
    match counted("lines that cannot be used", &wrong) {
        None => Ok(samples),
        Some(problem) => Err(
            Error::new(Kind::Data, format!("`{}`: {problem}", path.shown())).hint(
                "a line is `folder frames label`: the folder below the data set's, the number of its images, and the label \
                 from 0, with one space between them",
            ),
        ),
    }
}

/// Folder, number of images and label. What is wrong otherwise, by its cause where that can be told.
fn parse_line<'l>(line: &'l str, data: &FrameFolders) -> Result<(&'l str, usize, usize), String> {
    let mut parts = line.trim_end().rsplitn(3, ' ');
    let (Some(label), Some(count), Some(folder)) = (parts.next(), parts.next(), parts.next())
    else {
        return Err(without_three_parts(line));
    };
    if count.is_empty() || folder != folder.trim() || folder.is_empty() {
        return Err("there is a space too many; one is expected between the parts".into());
    }
    let whole = |digits: &str, what| {
        whole(digits).map_err(|wrong| format!("`{}`, {what}, is {wrong}", digits.shown()))
    };
    let (count, label) = (
        whole(count, "the number of frames")?,
        whole(label, "the label")?,
    );
    names::check_path(folder)?;
    if count == 0 {
        return Err("a video without frames".into());
    }
    check_count(data.first, count).map_err(|error| error.to_string())?;
    match label < data.class_count {
        true => Ok((folder, count, label)),
        false if label == data.class_count => Err(format!(
            "the label {label} is not below the {label} classes; labels count from 0, these perhaps from 1"
        )),
        false => Err(format!(
            "the label {label} is not below the {} classes",
            data.class_count
        )),
    }
}

/// A number of digits alone, or what it is instead.
fn whole(digits: &str) -> Result<usize, &'static str> {
    match digits.bytes().all(|b| b.is_ascii_digit()) {
        false => Err("no number"),
        true => digits.parse().map_err(|_| "larger than any can be"),
    }
}

/// Why a line has no three parts.
fn without_three_parts(line: &str) -> String {
    let line = line.trim();
    let ending = line.split([' ', ',', '\t', ';']).next().unwrap_or_default();
    let ending = ending.rsplit_once('.').map_or("", |(_, ending)| ending);
    let is_video = |known: &&str| known.eq_ignore_ascii_case(ending);
    match line {
        "" => "the line is empty".into(),
        _ if line.contains('\t') => {
            "its parts stand apart by tabs; one space is expected between them".into()
        }
        _ if line.contains([',', ';']) => {
            "its parts stand apart by commas or semicolons; one space is expected between them"
                .into()
        }
        _ if ["mp4", "webm", "avi", "mkv", "mov"].iter().any(is_video) => {
            "it names a video file without a number of frames; a folder of images is expected"
                .into()
        }
        _ => "three parts are expected".into(),
    }
}

/// What is not there of a sample: its folder, its first or its last image. Those between are met when they are hashed.
/// The folder is only read where something is amiss.
fn missing(sample: &Sample, template: &Template) -> Option<String> {
    let Source::Folder {
        path, first, count, ..
    } = &sample.source
    else {
        return None;
    };
    let ends = [*first, first.saturating_add(count - 1)];
    let absent = ends
        .into_iter()
        .map(|number| path.join(template.name(number)))
        .find(|image| !image.is_file())?;
    Some(match absent.metadata() {
        Ok(metadata) => not_a_file(&absent, &metadata),
        Err(_) => explain(path, template, (*first, *count)),
    })
}

fn not_a_file(path: &Path, metadata: &std::fs::Metadata) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    let what = crate::base::files::kind_of(metadata);
    format!("`{}` is {what}, not a file", name.shown())
}

/// What the folder of a video holds instead of the images `first .. first + count`.
pub fn explain(path: &Path, template: &Template, (first, count): (usize, usize)) -> String {
    match Inventory::of(path, template) {
        Ok(inventory) => format!("{count} images are listed; {}", inventory.explain(first)),
        Err(VideoError::Missing) => "there is no such folder".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listing::Expected;
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

    fn folder(train: &str, validation: &str, images: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("train.txt", train),
            ("validation.txt", validation),
            ("classes.txt", "up\ndown\n"),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        for image in images {
            let path = folder.path().join(image);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn message(folder: &tempfile::TempDir) -> String {
        let expected = Expected {
            classes: 2,
            train: None,
            validation: Some(1),
        };
        let listing = read(folder.path(), Path::new("no-such-folder"), &data());
        let error = listing
            .and_then(|listing| listing.check(expected))
            .unwrap_err();
        error
            .to_string()
            .replace(&*folder.path().to_string_lossy(), "ROOT")
    }

    #[test]
    fn folders_may_hold_spaces() {
        let images = ["a b/img_00001.jpg", "a b/img_00003.jpg", "c/img_00001.jpg"];
        let folder = folder("a b 3 1\n", "c 1 0\n", &images);
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
    fn the_cause_of_a_wrong_line_is_named() {
        let lines = [
            "a\t3\t1",
            "a  3 1",
            "a 3  1",
            " a 3 1",
            "a,3,1",
            "a.mp4 1",
            "a 3 +1",
            "a 1.5 1",
            "../a 3 1",
            "/a 3 1",
            "a/ 3 1",
            "a\\b 3 1",
            "a\u{1b}[2J 3 1",
            "a 1000000001 1",
            "a 18446744073709551615 1",
            "a 99999999999999999999999 1",
            "a 3 18446744073709551616",
        ];
        let said = lines.map(|line| match parse_line(line, &data()) {
            Ok(found) => panic!("{line:?} is {found:?}"),
            Err(what) => format!("{line:?}\n  {what}"),
        });
        insta::assert_snapshot!(said.join("\n"));
    }

    #[test]
    fn numbers_behind_the_largest_are_refused() {
        let data = FrameFolders {
            first: usize::MAX,
            ..data()
        };
        let error = parse_line("a 3 1", &data).unwrap_err();
        assert!(error.contains("18446744073709551615"), "{error}");
    }

    #[test]
    fn missing_images_are_listed() {
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
