//! Rules of single texts.

use super::{Findings, last};
use crate::spec::legal::Text;

/// The run folder is called so, on every machine.
pub const NAME: Text = Text {
    words: "a plain name",
    check: name,
};

/// A path to a file, which must mean the same on every machine.
pub const FILE: Text = Text {
    words: "a relative path with `/`",
    check: file,
};

/// A root's name is a part of an environment variable's.
pub const ROOT: Text = Text {
    words: "lowercase letters, digits and `_`",
    check: root,
};

pub const TEMPLATE: Text = Text {
    words: "with one `{}` or `{:05}`",
    check: template,
};

/// A path with names of Kinetics' columns in it.
pub const PLACE: Text = Text {
    words: "with `{id}` in it",
    check: place,
};

pub const SHA256: Text = Text {
    words: "64 hexadecimal digits",
    check: sha256,
};

fn name(findings: &mut Findings, path: &str, name: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let legal = name.len() <= 100 && name.chars().all(plain) && !name.starts_with(['.', '-']);
    if name.is_empty() {
        findings.mistake("the name is empty").at(path, "no name");
    } else if !legal {
        findings
            .mistake("the name cannot be a folder's on every machine")
            .at(path, "not a plain name")
            .hint("at most 100 letters, digits, `-`, `_` and `.`, starting with a letter or digit");
    }
}

fn file(findings: &mut Findings, path: &str, file: &str) {
    let name = last(path);
    if file.is_empty() {
        findings
            .mistake(format!("`{name}` is empty"))
            .at(path, "no file");
    } else if file.starts_with('/') || file.contains(['\\', ':', '\0']) {
        findings
            .mistake(format!("`{name}` must be a relative path with `/`"))
            .at(path, "means a file of one machine")
            .hint(
                "paths start at the folder of the experiment; a symbolic link can lead elsewhere",
            );
    }
}

fn root(findings: &mut Findings, path: &str, root: &str) {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if root.is_empty() || !root.chars().all(plain) {
        findings
            .mistake("`root` must be a name of lowercase letters, digits and `_`")
            .at(path, "a name, not a folder")
            .hint("for `sthv2` the folder is what --data-root, FFN_DATA_STHV2 or the configuration file says");
    }
}

fn template(findings: &mut Findings, path: &str, template: &str) {
    if !has_one_number(template) {
        findings
            .mistake("`template` must have one place for the image's number")
            .at(path, "no `{}` or `{:05}`, or more than one")
            .hint("`img_{:05}.jpg` is img_00001.jpg for 1; Python's `{:05d}` is written `{:05}`");
    }
}

/// What may stand in braces.
const PLACED: [&str; 5] = ["label", "id", "start", "end", "split"];

fn place(findings: &mut Findings, path: &str, place: &str) {
    file(findings, path, place);
    let braces = place
        .split('{')
        .skip(1)
        .map(|rest| rest.split_once('}').map(|(name, _)| name));
    let braces: Vec<Option<&str>> = braces.collect();
    let known = |name: &Option<&str>| name.is_some_and(|name| PLACED.contains(&name));
    if !braces.iter().all(known) || !braces.contains(&Some("id")) {
        findings
            .mistake("`place` must have `{id}`, and no other braces than `{label}`, `{start}`, `{end}` and `{split}`")
            .at(path, "where a video of Kinetics lies")
            .hint("`{split}/{id}_{start}_{end}.mp4` is train/-0IErS_cisg_000010_000020.mp4");
    }
}

/// One `{}` or `{:0N}`, no other braces.
fn has_one_number(template: &str) -> bool {
    let Some((before, rest)) = template.split_once('{') else {
        return false;
    };
    let Some((place, after)) = rest.split_once('}') else {
        return false;
    };
    let digits = |d: &str| d.len() == 1 && d.bytes().all(|b| (b'1'..=b'9').contains(&b));
    let width = place.strip_prefix(":0").is_some_and(digits);
    (place.is_empty() || width) && !before.contains('}') && !after.contains(['{', '}'])
}

fn sha256(findings: &mut Findings, path: &str, hash: &str) {
    if hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()) {
        let length = hash.chars().count();
        findings
            .mistake("`sha256` must be 64 hexadecimal digits")
            .at(path, format!("{length} characters"));
    }
}

#[cfg(test)]
mod tests {
    use super::has_one_number;

    #[test]
    fn a_template_has_one_number() {
        for legal in ["img_{:05}.jpg", "{}.png", "{:06}"] {
            assert!(has_one_number(legal), "{legal}");
        }
        for illegal in [
            "",
            "img.jpg",
            "{:05d}.jpg",
            "{}{}",
            "{",
            "}{}",
            "{:0}",
            "{:012}",
            "{:5}",
        ] {
            assert!(!has_one_number(illegal), "{illegal}");
        }
    }
}
