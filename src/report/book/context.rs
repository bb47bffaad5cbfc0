//! What the references of a book read, and what they asked for.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::catalogue::Catalogue;
use crate::train::opening::Opening;

/// What the references of a book read, and what they asked for.
pub struct Context<'a> {
    pub catalogue: &'a Catalogue,
    /// The folder that paths of files in references start at.
    pub root: &'a Path,
    /// The subcommands with their help.
    pub commands: &'a [(String, String)],
    /// How a run is opened that lacks an analysis.
    pub opening: &'a Opening,
    /// Folder names of the runs that were referred to: each gets a page.
    pub runs: BTreeSet<String>,
    /// The suites that were referred to, by folder name.
    pub suites: BTreeSet<String>,
    /// Files that were referred to, with their text.
    pub files: BTreeMap<String, String>,
    /// `../` for each folder that the page is below the book's source folder.
    pub up: String,
}
