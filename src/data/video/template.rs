//! How the images of a frame folder are called.

use std::path::{Path, PathBuf};

use super::VideoError;
use crate::base::Shown;
use crate::data::names;

/// An image name with one placeholder for the number: `img_{:05}.jpg`, or Python's `img_{:05d}.jpg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    before: String,
    after: String,
    /// Digits, filled up with zeros.
    width: usize,
}

impl Template {
    pub fn parse(template: &str) -> Result<Self, VideoError> {
        let wrong = |what: &str| VideoError::Template {
            template: template.shown(),
            what: what.to_owned(),
        };
        let missing = "expected one placeholder such as {:05}";
        let (before, rest) = template.split_once('{').ok_or_else(|| wrong(missing))?;
        let (format, after) = rest.split_once('}').ok_or_else(|| wrong(missing))?;
        if after.contains(['{', '}']) || before.contains('}') {
            return Err(wrong("expected one placeholder, found several braces"));
        }
        let named = format!("{before}0{after}");
        if let Err(what) = names::check_path(&named) {
            return Err(wrong(&what));
        }
        if after.contains('/') {
            return Err(wrong("expected one folder for the images of a video"));
        }
        let width = parse_width(format).map_err(wrong)?;
        Ok(Self {
            before: before.to_owned(),
            after: after.to_owned(),
            width,
        })
    }

    pub fn name(&self, number: usize) -> String {
        let Self {
            before,
            after,
            width,
        } = self;
        format!("{before}{number:0width$}{after}")
    }

    /// The folder that holds the images of the video at `path`: a template may begin with one of its own.
    pub fn folder(&self, path: &Path) -> PathBuf {
        match self.before.rsplit_once('/') {
            Some((folder, _)) => path.join(folder),
            None => path.to_owned(),
        }
    }

    /// The number of the image that is called `name` in [`Template::folder`]; `None` where the template names no such.
    pub fn number(&self, name: &str) -> Option<usize> {
        let before = match self.before.rsplit_once('/') {
            Some((_, before)) => before,
            None => &self.before,
        };
        let digits = name.strip_prefix(before)?.strip_suffix(&*self.after)?;
        let number: usize = digits.parse().ok()?;
        let width = self.width;
        (format!("{number:0width$}") == digits).then_some(number)
    }

    /// A template that names an image `name`, and its number: that of the last digits before the ending.
    pub fn fitting(name: &str) -> Option<(String, usize)> {
        let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
        let end = stem.rfind(|c: char| c.is_ascii_digit())? + 1;
        let before = stem
            .get(..end)?
            .trim_end_matches(|c: char| c.is_ascii_digit());
        let digits = stem.get(before.len()..end)?;
        let placeholder = match digits.starts_with('0') && digits.len() > 1 {
            true => format!("{{:0{}}}", digits.len()),
            false => "{}".to_owned(),
        };
        let template = format!("{before}{placeholder}{}", name.get(end..)?);
        let number = Self::parse(&template).ok()?.number(name)?;
        Some((template, number))
    }
}

/// The digits of a placeholder's format: `:05`, `:05d` or nothing.
fn parse_width(format: &str) -> Result<usize, &'static str> {
    let digits = format.strip_prefix(':').unwrap_or(format);
    let digits = digits.strip_suffix('d').unwrap_or(digits);
    match (digits, digits.strip_prefix('0')) {
        ("", _) => Ok(0),
        (_, Some(width)) => {
            let width = width.parse().ok().filter(|width| *width <= 20);
            width.ok_or("expected a number of digits from 1 to 20 after the zero")
        }
        _ => Err("expected zeros as filling, such as {:05}"),
    }
}
