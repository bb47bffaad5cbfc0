//! Pins: what a data set was when its experiments were written down, in git.
//!
//! `NAME.pins.ron` holds the class names, the SHA-256 of each label file, and for each split its count and the Merkle root
//! over its videos' hashes. The hashes themselves lie beside it in `NAME.pins.sha256`, lines `hash  id`: only they can
//! say which videos differ, but the roots are enough to say that some do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::dataset::{Dataset, Progress, Split};
use super::hashes;
use super::listing::{counted, list_all};
use crate::base::{Error, Kind, Result, Shown, files, limits};

const VERSION: u32 = 1;

/// The content of a pin file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    pub version: u32,
    /// Class names in label order.
    pub classes: Vec<String>,
    /// SHA-256 of each label file.
    pub labels: Hashes,
    pub train: SplitPins,
    pub validation: SplitPins,
    /// SHA-256 of the file of hashes.
    pub hashes: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitPins {
    pub count: usize,
    /// Root of the Merkle tree over the videos, sorted by id.
    pub root: String,
}

/// SHA-256 by name.
pub type Hashes = BTreeMap<String, String>;

/// A data set's pins and each video's hash, by id.
pub struct Computed {
    pub pins: Pins,
    pub videos: Hashes,
}

/// Hashes a data set. `full`: whatever the cache remembers.
pub fn compute(dataset: &Dataset, full: bool, progress: &Progress<'_>) -> Result<Computed> {
    let found = hashes::of_dataset(dataset, full, progress)?;
    let ids = dataset.samples().map(|sample| sample.id.clone());
    let videos: Hashes = ids.zip(found).collect();
    let label = |(name, path): &(String, PathBuf)| Ok((name.clone(), files::sha256_of_file(path)?));
    let split = |split| {
        let samples = dataset.split(split);
        let ids = samples.iter().map(|sample| sample.id.as_str());
        SplitPins {
            count: samples.len(),
            root: root(ids, &videos),
        }
    };
    let pins = Pins {
        version: VERSION,
        classes: dataset.classes.clone(),
        labels: dataset.texts.iter().map(label).collect::<Result<_>>()?,
        train: split(Split::Train),
        validation: split(Split::Validation),
        hashes: files::sha256(sidecar_text(&videos).as_bytes()),
    };
    Ok(Computed { pins, videos })
}

/// The Merkle root over (id, hash) sorted by id, in the shape of RFC 6962: a leaf is SHA-256(`leaf id hash`), a node
/// SHA-256(`node left right`), hashes in hexadecimal; a node without a partner moves up as it is.
fn root<'a>(ids: impl Iterator<Item = &'a str>, videos: &Hashes) -> String {
    let mut ids: Vec<&str> = ids.collect();
    ids.sort_unstable();
    let leaf = |id: &&str| Some(digest(&["leaf", id, videos.get(*id)?]));
    let mut level: Vec<String> = ids.iter().filter_map(leaf).collect();
    while level.len() > 1 {
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => digest(&["node", left, right]),
                _ => pair.concat(),
            })
            .collect();
    }
    level.pop().unwrap_or_else(|| digest(&[]))
}

fn digest(words: &[&str]) -> String {
    files::sha256(words.join(" ").as_bytes())
}

/// Whether something has this name, even a link that leads nowhere: what cannot be read is not the same as what is not there.
pub fn is_there(path: &Path) -> bool {
    !matches!(path.symlink_metadata(), Err(error) if error.kind() == std::io::ErrorKind::NotFound)
}

/// Where the hashes of a pin file lie: `NAME.pins.sha256` beside `NAME.pins.ron`.
pub fn sidecar(pins: &Path) -> PathBuf {
    pins.with_extension("sha256")
}

fn sidecar_text(videos: &Hashes) -> String {
    videos
        .iter()
        .map(|(id, hash)| format!("{hash}  {id}\n"))
        .collect()
}

/// Reads a pin file; its SHA-256 comes with it.
pub fn read(path: &Path) -> Result<(Pins, String)> {
    let text = files::read_text(path, limits::LIST)?;
    let pins: Pins = ron::from_str(&text).map_err(|error| {
        Error::new(
            Kind::Data,
            format!(
                "the pin file `{}`: {}",
                path.shown(),
                error.to_string().shown()
            ),
        )
        .hint("take it from git again, or make it with `ffn data pin`")
    })?;
    match pins.version {
        VERSION => Ok((pins, files::sha256(text.as_bytes()))),
        other => Err(Error::new(
            Kind::Data,
            format!(
                "the pin file `{}` has version {other}, this program reads version {VERSION}",
                path.shown()
            ),
        )),
    }
}

/// As [`read`], of data that are held against them.
pub fn of_data(path: &Path) -> Result<(Pins, String)> {
    match is_there(path) {
        false => Err(Error::new(
            Kind::Data,
            format!(
                "the data are not pinned: there is no pin file `{}`",
                path.shown()
            ),
        )
        .hint(
            "`ffn data pin EXPERIMENT` makes it from the data on this machine; \
             `--unpinned` goes on without, and every report will say so",
        )),
        true => read(path),
    }
}

/// Writes the pins and, beside them, the hashes.
pub fn write(path: &Path, computed: &Computed) -> Result<()> {
    if sidecar(path) == path {
        let message = format!(
            "the pin file `{}` has the name of its own file of hashes",
            path.shown()
        );
        return Err(Error::new(Kind::Usage, message).hint("call it `NAME.pins.ron`"));
    }
    let pretty = ron::ser::PrettyConfig::new().struct_names(false);
    let text = ron::ser::to_string_pretty(&computed.pins, pretty)
        .map_err(|error| Error::new(Kind::Io, format!("cannot write the pins: {error}")))?;
    files::write_atomic(&sidecar(path), sidecar_text(&computed.videos).as_bytes())?;
    files::write_atomic(path, format!("{text}\n").as_bytes())
}

/// The pinned hash of each video; `None` where the file of hashes is not there.
pub fn pinned_hashes(path: &Path, pins: &Pins) -> Result<Option<Hashes>> {
    let path = sidecar(path);
    if !is_there(&path) {
        return Ok(None);
    }
    let text = files::read_text(&path, limits::LIST)?;
    let computed = files::sha256(text.as_bytes());
    let damaged = |what: String| {
        Error::new(
            Kind::Data,
            format!("the pinned hashes `{}`: {what}", path.shown()),
        )
        .hint("take the file from git again; without it only the roots are compared")
    };
    if computed != pins.hashes {
        return Err(damaged(format!(
            "they are not those of the pin file\n  expected  {}\n  computed  {computed}",
            pins.hashes.shown()
        )));
    }
    let entry = |line: &str| {
        let (hash, id) = line.split_once("  ")?;
        Some((id.to_owned(), hash.to_owned()))
    };
    let hashes: Option<_> = text.lines().map(entry).collect();
    let hashes = hashes.ok_or_else(|| damaged("a line is not `hash  id`".into()))?;
    Ok(Some(hashes))
}

/// One thing that differs from the pins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it is one of: `videos`, `classes`.
    pub what: &'static str,
    /// Id of the video, name of the file, label of the class, split.
    pub name: String,
    /// `None`: the pins have no such.
    pub expected: Option<String>,
    /// `None`: the data have no such.
    pub found: Option<String>,
}

/// Compares a data set with the pins at `path`; the error lists what differs, by id, with expected and computed.
pub fn compare(path: &Path, pinned: &Pins, computed: &Computed) -> Result<()> {
    let differences = differences(path, pinned, computed)?;
    if differences.is_empty() {
        return Ok(());
    }
    Err(Error::new(
        Kind::Data,
        format!(
            "the data are not those of the pins `{}`\n{}",
            path.shown(),
            describe(path, &differences)
        ),
    )
    .hint(format!(
        "get these files again; if the change is meant, `ffn data pin --update` writes new pins, \
         and the experiments that use them are then others{}",
        list_all(differences.len())
    )))
}

const CLASSES: &str = "classes";
const LABEL_FILES: &str = "label files";
const COUNTS: &str = "clips";
const ROOTS: &str = "roots";
const VIDEOS: &str = "videos";

/// What differs from the pins at `path`.
pub fn differences(path: &Path, pinned: &Pins, computed: &Computed) -> Result<Vec<Difference>> {
    let found = &computed.pins;
    if *pinned == *found {
        return Ok(Vec::new());
    }
    let by_label = |classes: &[String]| -> BTreeMap<usize, String> {
        classes.iter().cloned().enumerate().collect()
    };
    let mut all = apart(
        CLASSES,
        &by_label(&pinned.classes),
        &by_label(&found.classes),
    );
    all.extend(apart(LABEL_FILES, &pinned.labels, &found.labels));
    let by_split = |pins: &Pins, value: fn(&SplitPins) -> String| -> Hashes {
        let splits = [("training", &pins.train), ("validation", &pins.validation)];
        splits
            .map(|(name, split)| (name.to_owned(), value(split)))
            .into()
    };
    for (what, value) in [
        (
            COUNTS,
            (|split| split.count.to_string()) as fn(&SplitPins) -> String,
        ),
        (ROOTS, |split| split.root.clone()),
    ] {
        all.extend(apart(
            what,
            &by_split(pinned, value),
            &by_split(found, value),
        ));
    }
    if let Some(expected) = pinned_hashes(path, pinned)? {
        all.extend(apart(VIDEOS, &expected, &computed.videos));
    }
    Ok(all)
}

/// Names whose values differ, or that are on one side only.
fn apart<K: Ord + ToString>(
    what: &'static str,
    expected: &BTreeMap<K, String>,
    found: &BTreeMap<K, String>,
) -> Vec<Difference> {
    let names: BTreeSet<&K> = expected.keys().chain(found.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| expected.get(name) != found.get(name));
    differing
        .map(|name| Difference {
            what,
            name: name.to_string(),
            expected: expected.get(name).cloned(),
            found: found.get(name).cloned(),
        })
        .collect()
}

/// Differences from the pins at `path` in a person's words, the first ten of each sort.
pub fn describe(path: &Path, differences: &[Difference]) -> String {
    let of = |what| differences.iter().filter(move |one| one.what == what);
    let mut text: Vec<String> = Vec::new();
    let lines: Vec<String> = of(CLASSES).map(Difference::in_a_line).collect();
    text.extend(counted("classes that differ", &lines));
    let lines: Vec<String> = of(LABEL_FILES).map(Difference::in_lines).collect();
    text.extend(counted("label files that differ", &lines));
    text.extend(of(COUNTS).map(|one| {
        let (expected, found) = one.sides();
        format!("{} clips: expected {expected}, found {found}", one.name)
    }));
    text.extend(of(ROOTS).map(|one| {
        let (expected, found) = one.sides();
        let name = &one.name;
        format!("Merkle root of the {name} split:\n  expected  {expected}\n  computed  {found}")
    }));
    let lines: Vec<String> = of(VIDEOS).map(Difference::in_lines).collect();
    text.extend(counted("videos that differ", &lines));
    if !differences.is_empty() && !is_there(&sidecar(path)) {
        text.push(format!(
            "which videos differ cannot be said without their pinned hashes, `{}`",
            sidecar(path).shown()
        ));
    }
    text.join("\n")
}

impl Difference {
    fn sides(&self) -> (String, String) {
        let shown = |side: &Option<String>| side.as_deref().map_or("nothing".into(), Shown::shown);
        (shown(&self.expected), shown(&self.found))
    }

    fn in_a_line(&self) -> String {
        let quoted = |side: &Option<String>| match side {
            Some(name) => format!("`{}`", name.shown()),
            None => "nothing".to_owned(),
        };
        let (expected, found) = (quoted(&self.expected), quoted(&self.found));
        format!("{}: expected {expected}, found {found}", self.name)
    }

    fn in_lines(&self) -> String {
        let (expected, found) = self.sides();
        let name = self.name.shown();
        format!("{name}\n    expected  {expected}\n    computed  {found}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn videos(hashes: &[(&str, u8)]) -> Hashes {
        hashes
            .iter()
            .map(|(id, content)| (id.to_string(), files::sha256(&[*content])))
            .collect()
    }

    fn root_of(hashes: &[(&str, u8)]) -> String {
        root(hashes.iter().map(|(id, _)| *id), &videos(hashes))
    }

    #[test]
    fn the_root_depends_on_every_id_and_hash_but_not_on_the_order() {
        let all = [("a", 1), ("b", 2), ("c", 3), ("d", 4), ("e", 5)];
        let expected = root_of(&all);
        let mut turned = all;
        turned.reverse();
        assert_eq!(root_of(&turned), expected);
        for place in 0..all.len() {
            let (mut changed, mut renamed) = (all, all);
            changed[place].1 = 9;
            renamed[place].0 = "z";
            assert_ne!(root_of(&changed), expected);
            assert_ne!(root_of(&renamed), expected);
        }
        assert_ne!(root_of(&all[..4]), expected);
    }

    #[test]
    fn the_tree_is_that_of_rfc_6962() {
        let leaf = |id: &str, content: u8| digest(&["leaf", id, &files::sha256(&[content])]);
        let (a, b, c) = (leaf("a", 1), leaf("b", 2), leaf("c", 3));
        let expected = digest(&["node", &digest(&["node", &a, &b]), &c]);
        assert_eq!(root_of(&[("a", 1), ("b", 2), ("c", 3)]), expected);
    }

    #[test]
    fn the_files_go_both_ways() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.pins.ron");
        let videos = videos(&[("a b", 1), ("c", 2)]);
        let split = |count| SplitPins {
            count,
            root: "00".into(),
        };
        let pins = Pins {
            version: VERSION,
            classes: vec!["up".into(), "down".into()],
            labels: BTreeMap::from([("labels.json".into(), "11".into())]),
            train: split(1),
            validation: split(1),
            hashes: files::sha256(sidecar_text(&videos).as_bytes()),
        };
        let computed = Computed { pins, videos };
        write(&path, &computed).unwrap();
        let (read_back, _) = read(&path).unwrap();
        assert_eq!(read_back, computed.pins);
        assert_eq!(
            pinned_hashes(&path, &read_back).unwrap().unwrap(),
            computed.videos
        );
        compare(&path, &read_back, &computed).unwrap();
        let error = write(&folder.path().join("x.sha256"), &computed).unwrap_err();
        assert!(error.message.contains("its own file of hashes"), "{error}");
    }
}
