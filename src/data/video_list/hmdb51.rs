//! HMDB51's splits: of each class a file `CLASS_test_splitN.txt` with lines `NAME 1` (training), `NAME 2` (test) or `NAME 0` (unused).
//! The videos of a class are in its folder.

use std::path::{Path, PathBuf};

use super::{Class, Entry, Lists, Texts, refuse};
use crate::base::{Error, Kind, Result, Shown};

pub fn read(texts: &mut Texts<'_>, splits: &str, split: usize) -> Result<Lists> {
    let ending = format!("_test_split{split}.txt");
    let places = [texts.base.join(splits), texts.root.join(splits)];
    let folder = places.iter().find(|path| path.is_dir()).ok_or_else(|| {
        let tried: Vec<String> = places.iter().map(|path| format!("\n  {}", path.shown())).collect();
        let message = format!("the folder of the splits is missing; it is none of{}", tried.concat());
        Error::new(Kind::Data, message)
            .hint("unpack test_train_splits.rar of HMDB51 into the data set's folder: it is `testTrainMulti_7030_splits`")
    })?;
    let classes = classes(folder, &ending)?;
    if classes.is_empty() {
        let message = format!("`{}` has no files `CLASS{ending}`", folder.shown());
        return Err(Error::new(Kind::Data, message));
    }
    let mut lists = Lists {
        train: Vec::new(),
        validation: Vec::new(),
        classes: None,
    };
    for class in &classes {
        let name = format!("{splits}/{class}{ending}");
        let (path, content) = texts.read(&name, "`video 0`, `video 1` or `video 2`")?;
        let mut wrong = Vec::new();
        for (number, line) in content
            .lines()
            .enumerate()
            .filter(|(_, line)| !line.trim().is_empty())
        {
            let (video, part) = line.trim_end().rsplit_once(' ').unwrap_or((line, ""));
            let entry = || Entry {
                place: format!("`{}` line {}", name.shown(), number + 1),
                path: format!("{class}/{video}"),
                class: Class::Name(class.clone()),
            };
            match part {
                "0" => {}
                "1" => lists.train.push(entry()),
                "2" => lists.validation.push(entry()),
                _ => wrong.push(format!("line {}: `{}`", number + 1, line.shown())),
            }
        }
        refuse(
            &path,
            &wrong,
            "a line is the name of a video and 0 (unused), 1 (training) or 2 (test)",
        )?;
    }
    lists.classes = Some(classes);
    Ok(lists)
}

/// The classes that have a file of this ending, in the order of their names.
fn classes(folder: &Path, ending: &str) -> Result<Vec<String>> {
    let attempt = || -> std::io::Result<Vec<PathBuf>> {
        std::fs::read_dir(folder)?
            .map(|entry| Ok(entry?.path()))
            .collect()
    };
    let paths = attempt().map_err(|error| Error::io("read", folder, &error))?;
    let mut classes: Vec<String> = paths
        .iter()
        .filter_map(|path| {
            path.file_name()?
                .to_str()?
                .strip_suffix(ending)
                .map(str::to_owned)
        })
        .collect();
    classes.sort_unstable();
    Ok(classes)
}
