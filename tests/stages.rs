//! The order of the stages and of the files in them, read from the source: no stage reads one that stands below it in
//! `src/lib.rs`, and no files read one another in a circle.
//!
//! What counts is every path that begins with `crate`, `super` or `self`, in tests too; comments and strings do not. A
//! module and the modules in it may read one another: the parent names its children, and they take what it has in common.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Stages whose files have circles: a setting's declaration names its check, and checks name the types that are declared; a device's plan
/// names the file of each kernel, and that file says how it is planned.
const WITH_CIRCLES: [&str; 2] = ["exec", "spec"];

/// Pairs (stage, stage below) that are accepted. There is none.
const UPWARDS: [(&str, &str); 0] = [];

/// Every file of `src` as a module, `data::video::webm`, with the modules that it reads.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let mut texts = BTreeMap::new();
    collect(Path::new("src"), &mut Vec::new(), &mut texts);
    let names: BTreeSet<String> = texts.keys().cloned().collect();
    let read = |(name, text): (&String, &String)| {
        let paths = paths(&tokens(text));
        let targets = paths.iter().filter_map(|path| target(name, path, &names));
        (
            name.clone(),
            targets.filter(|target| target != name).collect(),
        )
    };
    texts.iter().map(read).collect()
}

fn collect(folder: &Path, at: &mut Vec<String>, texts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            at.push(stem);
            collect(&path, at, texts);
            at.pop();
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let own = Some(stem).filter(|stem| !["mod", "lib", "main"].contains(&stem.as_str()));
            let name: Vec<String> = at.iter().cloned().chain(own).collect();
            texts.insert(name.join("::"), fs::read_to_string(&path).unwrap());
        }
    }
}

/// Words and signs of a source file, without comments, strings and characters; `::` is one sign.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("r\"") || rest.starts_with("r#") {
            raw_string(rest)
        } else if first == '"' {
            string(rest)
        } else if first == '\'' {
            character(rest)
        } else if is_of_word(first) {
            let length = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            tokens.push(rest[..length].to_owned());
            length
        } else if rest.starts_with("::") {
            tokens.push("::".to_owned());
            2
        } else {
            if !first.is_whitespace() {
                tokens.push(first.to_string());
            }
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

fn is_of_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn string(text: &str) -> usize {
    let mut escaped = false;
    let end = text[1..].find(|c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    });
    end.map_or(text.len(), |end| end + 2)
}

/// `r"…"`, `r#"…"#`; of a raw name, `r#type`, the two signs before it.
fn raw_string(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 2;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let start = 2 + hashes;
    let found = text[start..].find(&end);
    found.map_or(text.len(), |at| start + at + end.len())
}

/// `'x'`, `'\''`, `'\u{1b}'`; of a lifetime the sign alone.
fn character(text: &str) -> usize {
    let mut signs = text.char_indices().skip(1);
    match (signs.next(), signs.next()) {
        (Some((_, '\\')), Some((at, escaped))) => {
            let from = at + escaped.len_utf8();
            text[from..].find('\'').map_or(1, |end| from + end + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// The paths in a file that begin with `crate`, `super` or `self`, groups in braces taken apart.
fn paths(tokens: &[String]) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let begins = ["crate", "super", "self"].contains(&tokens[at].as_str());
        let follows = tokens.get(at + 1).is_some_and(|next| next == "::");
        let inside = at > 0 && tokens[at - 1] == "::";
        at = match begins && follows && !inside {
            true => path(tokens, at, &[], &mut found),
            false => at + 1,
        };
    }
    found
}

/// Reads a path from `at`, behind `before`; gives where it ends.
fn path(
    tokens: &[String],
    mut at: usize,
    before: &[String],
    found: &mut Vec<Vec<String>>,
) -> usize {
    let mut path = before.to_vec();
    loop {
        match tokens.get(at).map(String::as_str) {
            Some("{") => {
                at += 1;
                while tokens.get(at).is_some_and(|token| token != "}") {
                    at = match tokens[at].chars().all(is_of_word) {
                        true => self::path(tokens, at, &path, found),
                        false => at + 1,
                    };
                }
                return at + 1;
            }
            Some(word) if word.chars().all(is_of_word) => path.push(word.to_owned()),
            _ => break,
        }
        at += 1;
        match tokens.get(at).is_some_and(|next| next == "::") {
            true => at += 1,
            false => break,
        }
    }
    // `use super::a as b`: the other name is read as no path.
    if tokens.get(at).is_some_and(|next| next == "as") {
        at += 2;
    }
    found.push(path);
    at
}

/// The file that a path in `module` leads to: the longest beginning that is one.
fn target(module: &str, path: &[String], names: &BTreeSet<String>) -> Option<String> {
    let mut full: Vec<&str> = match path[0].as_str() {
        "crate" => Vec::new(),
        _ => module.split("::").filter(|name| !name.is_empty()).collect(),
    };
    for word in path {
        match word.as_str() {
            "crate" | "self" => {}
            "super" => drop(full.pop()),
            word => full.push(word),
        }
    }
    (1..=full.len())
        .rev()
        .map(|length| full[..length].join("::"))
        .find(|name| names.contains(name))
}

fn stage(module: &str) -> &str {
    module.split("::").next().unwrap_or_default()
}

/// The stages in the order of `src/lib.rs`.
fn stages() -> Vec<String> {
    let text = fs::read_to_string("src/lib.rs").unwrap();
    let names = text
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    names.map(str::to_owned).collect()
}

#[test]
fn the_map_lists_the_stages_in_their_order() {
    let text = fs::read_to_string("src/lib.rs").unwrap();
    let rows = text.lines().filter_map(|line| {
        let name = line.strip_prefix("//! | [`")?.split_once('`')?.0;
        Some(name.trim_start_matches("mod@").to_owned())
    });
    assert_eq!(rows.collect::<Vec<_>>(), stages());
}

#[test]
fn no_stage_reads_one_below_it() {
    let stages = stages();
    let place = |name: &str| stages.iter().position(|stage| stage == name);
    let mut wrong = Vec::new();
    for (module, reads) in modules() {
        for read in reads {
            let (own, other) = (stage(&module), stage(&read));
            let accepted = UPWARDS.contains(&(own, other));
            if place(own) < place(other) && place(own).is_some() && !accepted {
                wrong.push(format!("{module} reads {read}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "stages read others below them in src/lib.rs: move what both need upwards\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_files_read_one_another_in_a_circle() {
    let modules = modules();
    let contains = |a: &str, b: &str| b.strip_prefix(a).is_some_and(|rest| rest.starts_with("::"));
    let edges = |module: &str| -> Vec<&String> {
        let reads = modules[module].iter();
        let beside = reads.filter(|read| !contains(module, read) && !contains(read, module));
        beside.filter(|read| read.contains("::")).collect()
    };
    let mut wrong = Vec::new();
    for module in modules.keys().filter(|module| module.contains("::")) {
        if WITH_CIRCLES.contains(&stage(module)) {
            continue;
        }
        let mut reached = BTreeSet::new();
        let mut next = edges(module);
        while let Some(read) = next.pop() {
            if reached.insert(read) {
                next.extend(edges(read));
            }
        }
        if reached.contains(module) {
            wrong.push(module.clone());
        }
    }
    assert!(
        wrong.is_empty(),
        "files in circles: move what they share into a file of its own\n{}",
        wrong.join("\n")
    );
}

#[test]
fn paths_are_found_in_code_alone() {
    let text = r##"
        use super::{a::{self, B}, c as d};
        // crate::no
        let x = r#"crate::no"#; let y = "\"crate::no"; let z = ['"', '\''];
        crate::e::f::<u8>(); fn g<'a>(h: &'a self::I) {}
    "##;
    let found = paths(&tokens(text));
    let found: Vec<String> = found.iter().map(|path| path.join("::")).collect();
    assert_eq!(
        found,
        [
            "super::a::self",
            "super::a::B",
            "super::c",
            "crate::e::f",
            "self::I"
        ]
    );
}
