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
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        match parse(line) {
            Ok((path, class)) => entries.push(Entry {
                place: format!("`{}` line {}", name.shown(), number + 1),
                path: path.to_owned(),
                class,
            }),
            Err(what) => wrong.push(format!("line {}: {what}: `{}`", number + 1, line.shown())),
        }
    }
    let hint = "a line is `path label`: the path of a video below the data set's folder and its label, with one space between";
    refuse(&path, &wrong, hint)?;
    Ok(entries)
}

fn parse(line: &str) -> Result<(&str, Class), &'static str> {
    let expected = "a path, one space and a label are expected";
    let (path, label) = line.rsplit_once(' ').ok_or(expected)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match class(label) {
        _ if path.is_empty() || path != path.trim() => Err(expected),
        Class::Name(_) if label.parse::<f64>().is_ok() => {
            Err("a label counts from 0, in whole numbers")
        }
        Class::Number(_) if path.rsplit_once(' ').is_some_and(|(_, last)| digits(last)) => {
            Err("two numbers: `folder frames label` is a list of `FrameFolders`")
        }
        class => Ok((path, class)),
    }
}

/// Digits alone are a number.
pub fn class(label: &str) -> Class {
    let is_number = !label.is_empty() && label.bytes().all(|b| b.is_ascii_digit());
    match label.parse() {
        Ok(number) if is_number => Class::Number(number),
        _ => Class::Name(label.to_owned()),
    }
}
