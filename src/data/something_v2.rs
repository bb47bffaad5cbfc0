//! Something-Something V2's layout: label, train and validation JSON, and `<id>.webm`.

use std::collections::{BTreeMap, HashSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::dataset::Sample;
use super::listing::{Listing, counted};
use super::video::Source;
use super::{names, texts};
use crate::base::{Error, Kind, Result, Shown};

/// Folders below the root that may hold the label files.
const LABEL_FOLDERS: [&str; 2] = ["", "labels"];
/// What the distribution puts before the label files' names.
const LABEL_PREFIXES: [&str; 2] = ["", "something-something-v2-"];
/// Folders below the root that may hold the videos.
const VIDEO_FOLDERS: [&str; 3] = ["", "20bn-something-something-v2", "videos"];

/// One video of the train or validation file. Its `label` is the template filled in, which nothing here needs.
#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    #[serde(default)]
    template: Option<String>,
}

/// Reads the data set below `root`.
pub fn read(root: &Path) -> Result<Listing> {
    let [labels, train, validation] = ["labels", "train", "validation"].map(|name| {
        let path = find_text(root, name)?;
        Ok((format!("{name}.json"), path))
    });
    let texts: Vec<(String, PathBuf)> = vec![labels?, train?, validation?];
    let classes = read_classes(&texts[0].1)?;
    let train = read_entries(&texts[1].1, &classes)?;
    let validation = read_entries(&texts[2].1, &classes)?;

    let videos = Videos::find(root, train.iter().chain(&validation))?;
    let samples = |entries: Vec<(String, usize)>| -> Vec<Sample> {
        entries
            .into_iter()
            .map(|(id, label)| Sample {
                source: Source::File(videos.folder.join(file_name(&id))),
                id,
                label,
            })
            .collect()
    };
    let mut listing = Listing {
        classes,
        train: samples(train),
        validation: samples(validation),
        texts,
        missing: Vec::new(),
    };
    listing.note_missing(|sample| videos.missing(&sample.id));
    Ok(listing)
}

fn file_name(id: &str) -> String {
    format!("{id}.webm")
}

/// The label files that are there, by their names in the folder.
pub fn label_files(root: &Path) -> Vec<String> {
    let paths = ["labels", "train", "validation"].map(|name| find_text(root, name));
    let below = |path: PathBuf| Some(path.strip_prefix(root).ok()?.to_str()?.to_owned());
    paths.into_iter().flatten().filter_map(below).collect()
}

/// The label file `name`, under any of the names and places it is known to have.
fn find_text(root: &Path, name: &str) -> Result<PathBuf> {
    let places = LABEL_FOLDERS.iter().flat_map(|folder| {
        LABEL_PREFIXES.map(|prefix| root.join(folder).join(format!("{prefix}{name}.json")))
    });
    let places: Vec<PathBuf> = places.collect();
    texts::find(&format!("`{name}.json`"), &places).map_err(|error| {
        error.hint("the label files are a download of their own beside the videos; `--data-root` says which folder is meant")
    })
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    serde_json::from_str(&texts::read(path)?).map_err(|error| {
        let what = error.to_string();
        Error::new(Kind::Data, format!("`{}`: {}", path.shown(), what.shown()))
            .hint("unpack the label files of the distribution again")
    })
}

/// Class names in the order of the indices `"0"`, `"1"`, … that `labels.json` gives them.
fn read_classes(path: &Path) -> Result<Vec<String>> {
    let indices: BTreeMap<String, String> = read_json(path)?;
    let mut classes = vec![None; indices.len()];
    for (name, index) in &indices {
        let place = index
            .parse()
            .ok()
            .and_then(|index: usize| classes.get_mut(index));
        match place {
            Some(place @ None) => *place = Some(name.clone()),
            _ => {
                return Err(Error::new(
                    Kind::Data,
                    format!(
                        "`{}`: the class `{}` has the index `{}`; each of 0 to {} is expected once",
                        path.shown(),
                        name.shown(),
                        index.shown(),
                        indices.len() - 1
                    ),
                ));
            }
        }
    }
    // As many names as places, and no place was taken twice: none is empty.
    Ok(classes.into_iter().flatten().collect())
}

/// Ids and labels of a train or validation file, in its order.
fn read_entries(path: &Path, classes: &[String]) -> Result<Vec<(String, usize)>> {
    let entries: Vec<Entry> = read_json(path)?;
    let labels: BTreeMap<&str, usize> = classes
        .iter()
        .enumerate()
        .map(|(label, name)| (name.as_str(), label))
        .collect();
    let mut samples = Vec::with_capacity(entries.len());
    let (mut strange, mut unlabelled, mut unknown) = (Vec::new(), Vec::new(), Vec::new());
    for Entry { id, template } in entries {
        if let Err(what) = names::check_file(&id) {
            strange.push(format!("`{}`: {what}", id.shown()));
            continue;
        }
        let Some(template) = template else {
            unlabelled.push(id);
            continue;
        };
        match labels.get(class_name(&template).as_str()) {
            Some(&label) => samples.push((id, label)),
            None => unknown.push(format!("{id}  {}", template.shown())),
        }
    }
    let problems: Vec<String> = [
        counted("ids that are no file names", &strange),
        counted("videos without a template", &unlabelled),
        counted("templates of no class in the label file", &unknown),
    ]
    .into_iter()
    .flatten()
    .collect();
    match problems.is_empty() {
        true => Ok(samples),
        false => Err(Error::new(
            Kind::Data,
            format!("`{}`:\n{}", path.shown(), problems.join("\n")),
        )
        .hint("the label, train and validation files must be of one release; the test split has no labels")),
    }
}

/// A template's class: `Putting [something] on [something]` is `Putting something on something`.
fn class_name(template: &str) -> String {
    template.replace(['[', ']'], "")
}

/// The videos of a data set: their folder, and what is in it and beside it.
struct Videos {
    /// The first of the known folders that holds one of them.
    folder: PathBuf,
    names: HashSet<OsString>,
    /// Of every name in the known folders, by its stem: for messages, where videos are missing.
    others: BTreeMap<String, PathBuf>,
}

impl Videos {
    fn find<'a>(
        root: &Path,
        entries: impl Iterator<Item = &'a (String, usize)> + Clone,
    ) -> Result<Self> {
        let mut folders = Vec::new();
        for folder in VIDEO_FOLDERS.map(|folder| root.join(folder)) {
            if folder.is_dir() {
                let names = names_in(&folder)?;
                folders.push((folder, names));
            }
        }
        let is_listed = |names: &HashSet<OsString>| {
            let mut ids = entries.clone();
            ids.any(|(id, _)| names.contains(&OsString::from(file_name(id))))
        };
        let found = folders.iter().position(|(_, names)| is_listed(names));
        let is_whole = |names: &HashSet<OsString>| {
            let mut ids = entries.clone();
            ids.all(|(id, _)| names.contains(&OsString::from(file_name(id))))
        };
        let others = match found.and_then(|place| folders.get(place)) {
            Some((_, names)) if is_whole(names) => BTreeMap::new(),
            _ => by_stem(&folders),
        };
        let (folder, names) = match found {
            Some(place) => folders.swap_remove(place),
            None => (root.to_owned(), HashSet::new()),
        };
        Ok(Self {
            folder,
            names,
            others,
        })
    }

    /// What is said of a video that is not there, with what looks like it.
    fn missing(&self, id: &str) -> Option<String> {
        let name = file_name(id);
        if self.names.contains(&OsString::from(&name)) {
            return None;
        }
        Some(match self.others.get(&id.to_lowercase()) {
            None => "there is no such file".to_owned(),
            Some(other) => format!("there is no such file, but `{}`", other.shown()),
        })
    }
}

/// Every name in the folders by what stands before its ending, in lower case.
fn by_stem(folders: &[(PathBuf, HashSet<OsString>)]) -> BTreeMap<String, PathBuf> {
    let files = folders
        .iter()
        .flat_map(|(folder, names)| names.iter().map(move |name| folder.join(name)));
    let stem = |path: PathBuf| Some((path.file_stem()?.to_string_lossy().to_lowercase(), path));
    files.filter_map(stem).collect()
}

/// One reading of the folder is far quicker than asking for 200,000 files one by one.
fn names_in(folder: &Path) -> Result<HashSet<OsString>> {
    let attempt = || -> std::io::Result<_> {
        fs::read_dir(folder)?
            .map(|entry| Ok(entry?.file_name()))
            .collect()
    };
    attempt().map_err(|error| Error::io("read", folder, &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::listing::Expected;

    const LABELS: &str =
        r#"{"Moving something up": "1", "Moving something down": "0", "Holding something": "2"}"#;
    const TRAIN: &str = r#"[
        {"id": "7", "label": "moving a cup up", "template": "Moving [something] up", "placeholders": ["a cup"]},
        {"id": "3", "label": "moving a pen down", "template": "Moving [something] down", "placeholders": ["a pen"]}]"#;
    const VALIDATION: &str = r#"[{"id": "5", "template": "Holding [something]"}]"#;
    const EXPECTED: Expected = Expected {
        classes: 3,
        train: Some(2),
        validation: Some(1),
    };

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        folder
    }

    fn message(files: &[(&str, &str)], expected: Expected) -> String {
        let folder = folder(files);
        let listing = read(folder.path());
        let error = listing.and_then(|listing| listing.check(expected));
        error
            .unwrap_err()
            .to_string()
            .replace(&*folder.path().to_string_lossy(), "ROOT")
    }

    #[test]
    fn labels_follow_the_indices_and_samples_the_lists() {
        let folder = folder(&[
            ("labels.json", LABELS),
            ("train.json", TRAIN),
            ("validation.json", VALIDATION),
            ("3.webm", ""),
            ("5.webm", ""),
            ("7.webm", ""),
        ]);
        let listing = read(folder.path()).unwrap();
        assert_eq!(
            listing.classes,
            [
                "Moving something down",
                "Moving something up",
                "Holding something"
            ]
        );
        let train: Vec<_> = listing
            .train
            .iter()
            .map(|s| (s.id.as_str(), s.label))
            .collect();
        assert_eq!(train, [("7", 1), ("3", 0)]);
        assert_eq!(
            listing.validation[0].source,
            Source::File(folder.path().join("5.webm"))
        );
    }

    #[test]
    fn the_distributions_names_and_folders_are_known() {
        let folder = folder(&[
            ("labels/something-something-v2-labels.json", LABELS),
            ("something-something-v2-train.json", TRAIN),
            ("labels/validation.json", VALIDATION),
            ("20bn-something-something-v2/3.webm", ""),
            ("20bn-something-something-v2/5.webm", ""),
            ("20bn-something-something-v2/7.webm", ""),
        ]);
        let listing = read(folder.path()).unwrap();
        let path = folder.path().join("20bn-something-something-v2/7.webm");
        assert_eq!(listing.train[0].source, Source::File(path));
    }

    #[test]
    fn everything_missing_is_in_one_message() {
        let texts = [
            ("labels.json", LABELS),
            ("train.json", TRAIN),
            ("validation.json", VALIDATION),
        ];
        insta::assert_snapshot!(
            "missing_labels",
            message(&[("train.json", TRAIN)], EXPECTED)
        );
        let expected = Expected {
            classes: 174,
            train: Some(168_913),
            validation: None,
        };
        let files = [&texts[..], &[("7.webm", "")]].concat();
        insta::assert_snapshot!("missing_videos", message(&files, expected));
    }

    #[test]
    fn lists_that_do_not_belong_to_the_labels_are_refused() {
        let train = r#"[{"id": "7", "template": "Dropping [something]"}, {"id": "8"}, {"id": "../9", "template": "x"}]"#;
        let files = [
            ("labels.json", LABELS),
            ("train.json", train),
            ("validation.json", VALIDATION),
        ];
        insta::assert_snapshot!("unknown_templates", message(&files, EXPECTED));
        let files = [
            ("labels.json", r#"{"a": "0", "b": "0"}"#),
            ("train.json", TRAIN),
            ("validation.json", VALIDATION),
        ];
        insta::assert_snapshot!("index_twice", message(&files, EXPECTED));
        let files = [
            ("labels.json", LABELS),
            ("train.json", "[{\"id\": 7}]"),
            ("validation.json", VALIDATION),
        ];
        insta::assert_snapshot!("not_the_expected_json", message(&files, EXPECTED));
    }

    #[test]
    fn what_looks_like_a_missing_video_is_named() {
        let texts = [
            ("labels.json", LABELS),
            ("train.json", TRAIN),
            ("validation.json", VALIDATION),
        ];
        let videos = [("7.mp4", ""), ("3.WEBM", ""), ("videos/5.webm", "")];
        insta::assert_snapshot!(
            "looks_like_a_video",
            message(&[&texts[..], &videos].concat(), EXPECTED)
        );
    }

    #[test]
    fn names_that_could_forge_lines_are_refused() {
        let labels = r#"{"a\u001b[31mRED": "1", "b": "0"}"#;
        let train = r#"[{"id": "7\nerror: forged", "template": "b"}, {"id": "a\tb", "template": "b"},
            {"id": "..", "template": "b"}, {"id": "a/b", "template": "b"}, {"id": "", "template": "b"}]"#;
        let files = |train| {
            [
                ("labels.json", labels),
                ("train.json", train),
                ("validation.json", r#"[{"id": "v", "template": "b"}]"#),
                ("7.webm", ""),
                ("v.webm", ""),
            ]
        };
        insta::assert_snapshot!("strange_ids", message(&files(train), EXPECTED));
        let expected = Expected {
            classes: 2,
            train: None,
            validation: None,
        };
        let train = r#"[{"id": "7", "template": "b"}]"#;
        insta::assert_snapshot!("strange_class", message(&files(train), expected));
    }

    #[test]
    fn ids_that_come_twice_are_refused() {
        let validation = r#"[{"id": "7", "template": "Holding [something]"}]"#;
        let files = [
            ("labels.json", LABELS),
            ("train.json", TRAIN),
            ("validation.json", validation),
            ("3.webm", ""),
            ("7.webm", ""),
        ];
        insta::assert_snapshot!("id_twice", message(&files, EXPECTED));
    }
}
