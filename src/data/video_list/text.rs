//! Lines `path label`, the label a number from 0 or a class name without a space.

use super::{Class, Entry, Lists, Texts, refuse};
use crate::base::{Result, Shown};

pub fn read(texts: &mut Texts<'_>, names: [&String; 2]) -> Result<Lists> {
    let [train, validation] = names.map(|name| entries(texts, name));
    Ok(Lists {
        train: train?,
        validation: validation?,
        classes: None,
    })
}

fn entries(texts: &mut Texts<'_>, name: &str) -> Result<Vec<Entry>> {
    let (path, content) = texts.read(name, "`path label`")?;
    let mut wrong = Vec::new();
    let mut entries = Vec::new();
    for (number, line) in content.lines().enumerate() {
        match line.trim_end().rsplit_once(' ') {
            Some((path, label)) if !path.is_empty() && path == path.trim() => entries.push(Entry {
                path: path.to_owned(),
                class: class(label),
            }),
            _ => wrong.push(format!(
                "line {}: a path, one space and a label are expected: `{}`",
                number + 1,
                line.shown()
            )),
        }
    }
    let hint = "a line is `path label`: the path of a video below the data set's folder and its label, with one space between";
    refuse(&path, &wrong, hint)?;
    Ok(entries)
}

/// Digits alone are a number.
pub fn class(label: &str) -> Class {
    let is_number = !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    match label.parse() {
        Ok(number) if is_number => Class::Number(number),
        _ => Class::Name(label.to_owned()),
    }
}
