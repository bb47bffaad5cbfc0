//! Where a data set is on this machine, or on an object store: the flag, the environment, the user's configuration file, in that
//! order.
//!
//! An experiment names its root; it never says where it is, so that its identity is the same on every machine.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::config::{self, Config};
use super::miniature::VERSION;
use super::store;
use crate::base::{Error, Kind, Result, Shown, files};
use crate::spec::{Data, Miniature, VideoLists};

/// The root folder of an experiment's data, or its address on an object store. The miniature has a place of its own in the user's cache folder, where none
/// is given; everything else must be somewhere already.
pub fn find(data: &Data, flag: Option<&Path>) -> Result<PathBuf> {
    match told(data.root_name(), flag)? {
        Some(root) if store::is_address(&root) => Ok(root),
        Some(root) if is_home(&root) => Err(missing_folder(data, &root)),
        Some(root) if root.is_dir() || matches!(data, Data::Miniature(_)) => Ok(root),
        Some(root) => Err(missing_folder(data, &root)),
        None => match data {
            Data::Miniature(miniature) => miniature_root(miniature),
            _ => Err(no_root(data, config::path().as_deref())),
        },
    }
}

/// What flag, environment or configuration file say of a root, whatever is there.
pub fn told(name: &str, flag: Option<&Path>) -> Result<Option<PathBuf>> {
    let configured = || Ok(Config::read()?.data.remove(name));
    choose(flag, env::var_os(variable(name)), configured)
}

fn choose(
    flag: Option<&Path>,
    variable: Option<OsString>,
    configured: impl FnOnce() -> Result<Option<PathBuf>>,
) -> Result<Option<PathBuf>> {
    match (flag, variable.filter(|value| !value.is_empty())) {
        (Some(root), _) => Ok(Some(root.to_owned())),
        (None, Some(root)) => Ok(Some(root.into())),
        (None, None) => configured(),
    }
}

/// `FFN_DATA_` and the root's name in capitals; what is no letter or digit becomes `_`.
fn variable(name: &str) -> String {
    let name = name.to_ascii_uppercase();
    format!(
        "FFN_DATA_{}",
        name.replace(|c: char| !c.is_ascii_alphanumeric(), "_")
    )
}

/// Parameters that render other clips have another folder.
fn miniature_root(miniature: &Miniature) -> Result<PathBuf> {
    let Miniature {
        pins: _,
        train,
        validation,
        size,
        frames,
    } = miniature;
    let parameters = format!("{VERSION} {train} {validation} {size} {frames}");
    let hash = files::sha256(parameters.as_bytes());
    Ok(files::cache_folder()?.join(format!("miniature-{}", &hash[..8])))
}

/// Whether a path was meant for a shell, which makes a home folder of `~`, and no folder has that name.
fn is_home(root: &Path) -> bool {
    root.to_string_lossy().starts_with('~') && !root.exists()
}

fn missing_folder(data: &Data, root: &Path) -> Error {
    let what = match root.metadata() {
        Ok(metadata) if metadata.is_file() => "is a file".to_owned(),
        Ok(metadata) => format!("is {}, not a folder", files::kind_of(&metadata)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "does not exist".to_owned(),
        Err(error) => format!("cannot be looked at ({error})"),
    };
    let error = Error::new(
        Kind::Data,
        format!(
            "the folder of the data set `{}` {what}: `{}`",
            data.root_name(),
            root.shown()
        ),
    );
    match is_home(root) {
        true => error.hint(
            "`~` means a home folder to a shell alone; write the whole path, `/home/NAME/...`",
        ),
        false => error.hint(how_to_get(data)),
    }
}

fn no_root(data: &Data, config: Option<&Path>) -> Error {
    let name = data.root_name();
    Error::new(
        Kind::Data,
        format!(
            "the experiment needs the data set `{name}`, and nothing says where it is on this machine"
        ),
    )
    .hint(format!(
        "{}\n\nThen say where it is, in one of three ways:\n{}",
        how_to_get(data),
        ways(name, config)
    ))
}

/// How to say where a root is, a way a line.
pub fn ways(name: &str, config: Option<&Path>) -> String {
    let config = config.map_or("the configuration file".to_owned(), |path| {
        format!("`{}`", path.shown())
    });
    let variable = variable(name);
    format!(
        "  --data-root DIR\n  {variable}=DIR in the environment\n  (data: {{\"{name}\": \"DIR\"}}) in {config}"
    )
}

/// What to download, and how it lies on the disk.
fn how_to_get(data: &Data) -> String {
    match data {
        Data::SomethingV2(own) if own.class_count != 174 => "\
DIR holds the videos and label files as Something-Something V2 has them
  labels.json  train.json  validation.json
  <id>.webm"
            .to_owned(),
        Data::SomethingV2(_) => "\
Something-Something V2 comes from Qualcomm (https://www.qualcomm.com/developer/software/something-something-v-2-dataset):
220,847 WebM videos, about 20 GB, and the labels, after a registration that is free for research.
Unpack both so that DIR holds
  labels.json  train.json  validation.json    (as they are, in labels/, or named something-something-v2-*.json)
  <id>.webm                                   (in DIR or in 20bn-something-something-v2/)"
            .to_owned(),
        Data::FrameFolders(frames) => {
            let name = super::video::Template::parse(&frames.template)
                .map_or(frames.template.clone(), |template| template.name(frames.first));
            format!(
                "\
extract the videos' frames as JPEG or PNG, one folder for each video, so that DIR holds
  <folder>/{name} and so on               (the folders that `{}` and `{}` name)",
                frames.train_list, frames.validation_list
            )
        }
        Data::VideoList(videos) => how_to_get_videos(&videos.lists),
        Data::Miniature(_) => "it is rendered where it is missing".to_owned(),
    }
}

/// The same of video files.
fn how_to_get_videos(lists: &VideoLists) -> String {
    match lists {
        VideoLists::Hmdb51 { splits, .. } => format!(
            "\
HMDB51 comes from the Serre lab (https://serre.lab.brown.edu/hmdb51.html): hmdb51_org.rar, an archive for each class in it, and
test_train_splits.rar. Unpack both so that DIR holds
  <class>/<video>.avi                     (51 folders)
  {splits}/<class>_test_split1.txt and so on"
        ),
        VideoLists::Kinetics { train, validation, place } => format!(
            "\
get the videos of Kinetics as far as they can be had, so that DIR holds
  {place}
  {train} and {validation}                (or beside the experiment)"
        ),
        VideoLists::Folders { train, validation } => format!(
            "\
DIR holds
  {train}/<class>/<video> and {validation}/<class>/<video>"
        ),
        VideoLists::Text { train, validation } | VideoLists::Csv { train, validation, .. } => format!(
            "DIR holds the videos that the lists `{train}` and `{validation}` name, and the lists, if they are not beside the experiment"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{SomethingV2, Unreadable};

    fn something() -> Data {
        Data::SomethingV2(SomethingV2 {
            root: "sth-v2".into(),
            pins: "pins/sthv2.pins.ron".into(),
            class_count: 174,
            train_count: 168_913,
            validation_count: 24_777,
            unreadable: Unreadable::Fail,
        })
    }

    fn chosen(flag: Option<&str>, variable: Option<&str>, config: Option<&str>) -> Option<PathBuf> {
        let configured = || Ok(config.map(PathBuf::from));
        choose(flag.map(Path::new), variable.map(Into::into), configured).unwrap()
    }

    #[test]
    fn the_flag_wins_then_the_environment_then_the_configuration() {
        assert_eq!(chosen(Some("a"), Some("b"), Some("c")), Some("a".into()));
        assert_eq!(chosen(None, Some("b"), Some("c")), Some("b".into()));
        assert_eq!(chosen(None, Some(""), Some("c")), Some("c".into()));
        assert_eq!(chosen(None, None, None), None);
    }

    #[test]
    fn variables_are_legal_names() {
        assert_eq!(variable("sth-v2"), "FFN_DATA_STH_V2");
    }

    #[test]
    fn without_a_root_the_message_says_what_to_download_and_where_to_put_it() {
        let error = no_root(
            &something(),
            Some(Path::new("/home/me/.config/ffn/config.ron")),
        );
        insta::assert_snapshot!(error);
        insta::assert_snapshot!(missing_folder(&something(), Path::new("/data/sthv2")));
    }

    #[test]
    fn what_stands_in_the_folders_place_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        let miniature = Data::Miniature(Miniature {
            pins: "p.pins.ron".into(),
            train: 8,
            validation: 8,
            size: 32,
            frames: 8,
        });
        let cases = [
            (something(), file.as_path(), "is a file"),
            (something(), &folder.path().join("none"), "does not exist"),
            (something(), Path::new("~/data"), "home folder"),
            (miniature, Path::new("~user/data"), "home folder"),
        ];
        for (data, root, expected) in cases {
            let error = find(&data, Some(root)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
