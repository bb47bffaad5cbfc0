//! `SUMMARY.md`, the book's contents: every page that it names is one of the book's.

use std::path::{Component, Path};

use mdbook_summary::{Summary, SummaryItem, parse_summary};

use super::expand::Page;
use super::mistake::{Mistake, told};
use crate::base::Shown;

/// What is wrong with the contents. `is_page`: whether the book has a page, by its path below the source folder.
pub fn check(page: Page<'_>, is_page: impl Fn(&str) -> bool) -> Vec<Mistake> {
    let at = |offset: usize, message: String| Mistake::at(page.shown, page.text, offset, message);
    let summary = match parse_summary(page.text) {
        Ok(summary) => summary,
        Err(e) => return vec![at(0, told(&e))],
    };
    let named = locations(&summary).into_iter();
    let mistakes = named.filter_map(|location| {
        let why = match below(location) {
            None => "leads out of the book's pages",
            Some(path) if !is_page(&path) => "is not there",
            Some(_) => return None,
        };
        let written = format!("]({}", location.to_string_lossy());
        let offset = page.text.find(&written).unwrap_or(0);
        Some(at(offset, format!("the page `{}` {why}", location.shown())))
    });
    mistakes.collect()
}

/// The paths of all pages.
fn locations(summary: &Summary) -> Vec<&Path> {
    fn collect<'a>(items: &'a [SummaryItem], found: &mut Vec<&'a Path>) {
        for item in items {
            if let SummaryItem::Link(link) = item {
                found.extend(link.location.as_deref());
                collect(&link.nested_items, found);
            }
        }
    }
    let mut found = Vec::new();
    for items in [
        &summary.prefix_chapters,
        &summary.numbered_chapters,
        &summary.suffix_chapters,
    ] {
        collect(items, &mut found);
    }
    found
}

/// A path with `/` and without `.`; `None` where it leads up or starts at a root.
fn below(path: &Path) -> Option<String> {
    let parts = path.components().filter(|part| *part != Component::CurDir);
    let names = parts.map(|part| match part {
        Component::Normal(name) => Some(name.to_string_lossy()),
        _ => None,
    });
    Some(names.collect::<Option<Vec<_>>>()?.join("/"))
}
