//! Every link and image of the rendered book leads somewhere, and nothing comes from the network.

use std::collections::BTreeSet;
use std::path::Path;

use crate::whole::{built, pages};

/// The values of an attribute.
fn values<'a>(html: &'a str, attribute: &'a str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {attribute}=\"");
    let parts: Vec<&str> = html.split(opening.as_str()).skip(1).collect();
    parts
        .into_iter()
        .filter_map(|part| Some(part.split_once('"')?.0))
}

fn read(page: &str) -> String {
    std::fs::read_to_string(built().join("html").join(page)).unwrap()
}

#[test]
fn links_and_images_resolve() {
    let mut broken = BTreeSet::new();
    for page in pages() {
        let html = read(&page);
        for target in values(&html, "href").chain(values(&html, "src")) {
            if target.contains("://")
                || target.starts_with("mailto:")
                || target.starts_with("data:")
            {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let file = match path {
                "" => page.clone(),
                path => relative(&page, path),
            };
            let there = built().join("html").join(&file).is_file();
            let anchored =
                || anchor.is_empty() || !file.ends_with(".html") || has_id(&read(&file), anchor);
            if !there || !anchored() {
                broken.insert(format!("{page}: {target}"));
            }
        }
    }
    // Links of the page that stands for missing ones start at the site's root.
    broken.retain(|link| !link.starts_with("404.html"));
    assert!(broken.is_empty(), "{broken:#?}");
}

fn has_id(html: &str, id: &str) -> bool {
    html.contains(&format!("id=\"{id}\""))
}

/// A path from the folder of a page.
fn relative(page: &str, path: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[test]
fn nothing_comes_from_the_network() {
    for page in pages() {
        let html = read(&page);
        let loaded = ["<script", "<link", "<img", "<iframe"];
        let tags = loaded.iter().flat_map(|tag| html.split(tag).skip(1));
        for tag in tags {
            let tag = tag.split('>').next().unwrap();
            let remote = ["src=\"http", "href=\"http", "src=\"//", "href=\"//"];
            assert!(!remote.iter().any(|r| tag.contains(r)), "{page}: {tag}");
        }
    }
    assert!(Path::new("book/theme/ffn.css").exists());
    let css = std::fs::read_to_string("book/theme/ffn.css").unwrap();
    assert!(!css.contains("url("), "no font or image from elsewhere");
}
