//! What may be the name of a video, a folder or a class: nothing that leads out of the data set's folder, and nothing that
//! could pass for a line of its own in the files and messages that name it.

use std::path::{Component, Path};

use crate::base::Shown;
use crate::base::shown::is_hidden;

/// The longest, in bytes: what the file systems take as one name, a few folders deep.
const LONGEST: usize = 1024;

/// A path below the data set's folder, written in one way alone: `a/b`.
pub fn check_path(path: &str) -> Result<(), String> {
    check_text(path)?;
    let as_written = Path::new(path)
        .components()
        .map(|component| match component {
            Component::Normal(_) => Ok(()),
            Component::ParentDir => Err("`..` leads out of the data set's folder"),
            Component::RootDir | Component::Prefix(_) => {
                Err("it is an absolute path; one below the data set's folder is expected")
            }
            Component::CurDir => Err("`./` stands in it; the folder's name alone is expected"),
        });
    as_written.collect::<Result<(), _>>()?;
    match path {
        _ if path.contains('\\') => {
            Err("it has a backslash; `/` is expected between folders".to_owned())
        }
        // `components` passes over these.
        _ if path.split('/').any(|part| part.is_empty() || part == ".") => Err(
            "it has a `/` or `./` too many; two ways to write one folder would be two videos"
                .to_owned(),
        ),
        _ => Ok(()),
    }
}

/// The name of a file, without its ending.
pub fn check_file(name: &str) -> Result<(), String> {
    check_path(name)?;
    match name.contains('/') {
        true => Err("it has a `/`; the name of a file is expected".to_owned()),
        false => Ok(()),
    }
}

/// The name of a class.
pub fn check_class(name: &str) -> Result<(), String> {
    check_text(name)
}

fn check_text(text: &str) -> Result<(), String> {
    match text {
        _ if text.trim().is_empty() => Err("it is empty".to_owned()),
        _ if text.len() > LONGEST => Err(format!("it has more than {LONGEST} bytes")),
        _ => match text.chars().find(|sign| is_hidden(*sign)) {
            None => Ok(()),
            Some(sign) => Err(format!(
                "the sign `{}` stands in it, which is not seen as itself",
                sign.to_string().shown()
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_the_folder_and_are_written_in_one_way() {
        for good in ["7", "a b/c", "über", ".hidden", "a..b", "v_-x (1)"] {
            assert_eq!(check_path(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "  ",
            "..",
            "../a",
            "a/../b",
            "a/..",
            "/a",
            "./a",
            "a/./b",
            "a//b",
            "a/",
            "a\\b",
            "a\nb",
            "a\tb",
            "a\r",
            "a\0",
            "\u{feff}a",
            "a\u{202e}b",
            "a\u{2028}b",
            "a\u{1b}[2J",
        ];
        for bad in bad {
            assert!(check_path(bad).is_err(), "{bad:?}");
        }
        assert!(check_path(&"a".repeat(2000)).is_err());
        assert!(check_file("a/b").is_err() && check_file("a b").is_ok());
        assert!(check_class("Moving [something] / up").is_ok() && check_class("a\nb").is_err());
    }
}
