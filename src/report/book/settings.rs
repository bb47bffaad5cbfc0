//! `book.toml`: what of mdBook's settings is taken as it stands, and what needs a person's word.
//!
//! A book may come from somebody else. Its settings can name programs (preprocessors, other renderers), and paths; mdBook
//! runs the one and reads or writes the other wherever they lead. Here a program runs only where a flag names it, and
//! every path stays in the book's folder. What is written beside the pages are the settings that were applied, so that
//! mdBook renders the same from them.

use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use mdbook_driver::config::{Config, HtmlConfig};
use serde::Deserialize;

use super::mistake::told;
use crate::base::{Error, Kind, Result, Shown, files, limits};

/// The file's name in the book's folder.
pub const FILE: &str = "book.toml";

/// mdBook's own preprocessor for `{{#include}}`, which puts any file of the machine into a page: off unless it is allowed.
const LINKS: &str = "links";

/// mdBook's own preprocessor that makes `README.md` an index.
const INDEX: &str = "index";

/// A table of a preprocessor or a renderer.
#[derive(Deserialize)]
struct Program {
    command: Option<String>,
}

/// Reads the settings of a book's folder and makes of them what is applied. `allowed`: preprocessors and renderers that
/// may run.
pub fn read(book: &Path, allowed: &[String]) -> Result<Config> {
    let path = book.join(FILE);
    let text = match path.exists() {
        true => files::read_text(&path, limits::SETTINGS)?,
        false => String::new(),
    };
    let damaged = |e: mdbook_driver::errors::Error| {
        let message = format!("`{}` is no mdBook settings: {}", path.shown(), told(&e));
        Error::new(Kind::Usage, message)
    };
    let mut config = Config::from_str(&text).map_err(damaged)?;
    let programs = programs(&config).map_err(damaged)?;
    let html: HtmlConfig = config
        .get("output.html")
        .map_err(damaged)?
        .unwrap_or_default();
    let mut mistakes = foreign_paths(&config, &html);
    mistakes.extend(not_allowed(&programs, allowed));
    if !mistakes.is_empty() {
        let message = format!("`{}` asks for too much:{}", path.shown(), mistakes.concat());
        let hint = "paths stay inside the book; a program of a book that you trust runs with `--allow NAME`";
        return Err(Error::new(Kind::Usage, message).hint(hint));
    }
    apply(&mut config, allowed).map_err(damaged)?;
    Ok(config)
}

/// The settings as a file.
pub fn written(config: &Config) -> Result<String> {
    toml::to_string(config).map_err(|e| {
        let message = format!("cannot write `{FILE}`: {}", e.to_string().shown());
        Error::new(Kind::Io, message)
    })
}

/// Name and command of whatever is not mdBook's own.
fn programs(config: &Config) -> Result<Vec<(String, String)>, mdbook_driver::errors::Error> {
    let preprocessors = config.preprocessors::<Program>()?.into_iter();
    let preprocessors = preprocessors.filter(|(name, _)| name != INDEX);
    let renderers = config.outputs::<Program>()?.into_iter();
    let renderers = renderers.filter(|(name, _)| !["html", "markdown"].contains(&name.as_str()));
    let named = preprocessors.chain(renderers).map(|(name, program)| {
        let command = match name.as_str() {
            LINKS => "mdBook's own, which includes files".to_owned(),
            _ => program.command.unwrap_or_else(|| format!("mdbook-{name}")),
        };
        (name, command)
    });
    Ok(named.collect())
}

/// A line for each program that no flag names, and for each flag that names none.
fn not_allowed(programs: &[(String, String)], allowed: &[String]) -> Vec<String> {
    let refused = programs.iter().filter(|(name, _)| !allowed.contains(name));
    let refused = refused
        .map(|(name, command)| format!("\n  the program `{}`: {}", name.shown(), command.shown()));
    let known = |name: &&String| *name == LINKS || programs.iter().any(|(known, _)| known == *name);
    let unknown = allowed.iter().filter(|name| !known(name));
    let unknown = unknown.map(|name| {
        format!(
            "\n  `--allow {}` names no preprocessor or renderer of it",
            name.shown()
        )
    });
    refused.chain(unknown).collect()
}

/// A line for each path that leads out of the book's folder.
fn foreign_paths(config: &Config, html: &HtmlConfig) -> Vec<String> {
    let mut mistakes = Vec::new();
    if config.book.src != Path::new("src") {
        let found = config.book.src.shown();
        mistakes.push(format!("\n  `book.src`: expected `src`, found `{found}`"));
    }
    let files = [
        ("additional-css", &html.additional_css),
        ("additional-js", &html.additional_js),
    ];
    let files = files
        .into_iter()
        .flat_map(|(key, paths)| paths.iter().map(move |path| (key, path.clone())));
    // A redirect's key is an address of the site: it begins with a slash, and becomes a file.
    let redirects = html.redirect.keys();
    let redirects = redirects.map(|key| ("redirect", PathBuf::from(key.trim_start_matches('/'))));
    let theme = html.theme.iter().map(|path| ("theme", path.clone()));
    let missing = html.input_404.iter().map(|path| ("input-404", path.into()));
    for (key, path) in files.chain(redirects).chain(theme).chain(missing) {
        if !is_inside(&path) {
            mistakes.push(format!(
                "\n  `output.html.{key}`: `{}` leads out of the book",
                path.shown()
            ));
        }
    }
    mistakes
}

/// Whether a path leads nowhere but into the folder that it starts at.
pub fn is_inside(path: &Path) -> bool {
    path.components()
        .all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
}

/// What this program decides: where the book goes, that no page is made up, and mdBook's own preprocessors.
fn apply(config: &mut Config, allowed: &[String]) -> Result<(), mdbook_driver::errors::Error> {
    config.build.build_dir = PathBuf::from("html");
    config.build.create_missing = false;
    let empty = serde_json::Map::new;
    if config.build.use_default_preprocessors {
        config.build.use_default_preprocessors = false;
        config.set(format!("preprocessor.{INDEX}"), empty())?;
    }
    if allowed.iter().any(|name| name == LINKS) {
        config.set(format!("preprocessor.{LINKS}"), empty())?;
    }
    Ok(())
}
