//! The rendered book in a browser as wide as a phone, where a Chromium is installed.

use std::process::Command;

use serde::Deserialize;

use crate::program::InTime;
use crate::skipped::skipped;
use crate::whole::{built, pages};

/// Width of a phone's window in CSS pixels.
const PHONE: u32 = 390;

/// `FFN_CHROMIUM`, else the first that answers. Without one the test has looked at nothing, and says so past the
/// capture of a test's output.
fn chromium() -> Option<String> {
    let named = std::env::var("FFN_CHROMIUM").ok();
    let known = ["chromium", "chromium-browser", "google-chrome"].map(str::to_owned);
    let mut candidates = named.into_iter().chain(known);
    let answers = |program: &String| {
        let output = Command::new(program).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = candidates.find(answers);
    if found.is_none() {
        skipped("there is no Chromium; FFN_CHROMIUM names one");
    }
    found
}

/// A page with everything wrong that is looked for, so that a browser that looks at nothing is noticed.
const CONTROL: &str =
    "<!DOCTYPE html><main><p style='width: 900px'>wide<img src='nowhere.png'></main>";

/// What the browser says of one page.
#[derive(Debug, Deserialize)]
struct Looked {
    page: String,
    /// Characters of text in the page.
    text: usize,
    images: usize,
    missing: Vec<String>,
    /// What is wider than its place, such as the page itself.
    wide: Vec<String>,
}

/// Loads one page after another into a frame as wide as a phone, and leaves what it saw as text.
fn observer(pages: &[String]) -> String {
    let list = serde_json::to_string(pages).unwrap();
    format!(
        "<!DOCTYPE html><meta charset=utf-8><body><script>
const seen = [];
async function look(page) {{
  const frame = document.createElement('iframe');
  frame.width = {PHONE}; frame.height = 800; frame.src = 'html/' + page;
  const loaded = new Promise(done => frame.onload = done);
  document.body.append(frame);
  await loaded;
  const images = [...frame.contentDocument.images];
  const places = ['html', 'body', '.page-wrapper', '.page', '.content', 'main'];
  const wide = places.filter(place => {{
    const element = frame.contentDocument.querySelector(place);
    return element && element.scrollWidth > element.clientWidth;
  }});
  seen.push({{page, text: frame.contentDocument.querySelector('main').textContent.trim().length,
    images: images.length, missing: images.filter(p => !p.naturalWidth).map(p => p.src), wide}});
  frame.remove();
}}
(async () => {{
  for (const page of {list}) await look(page);
  document.body.textContent = 'SEEN' + JSON.stringify(seen) + 'SEEN';
}})();
</script>"
    )
}

#[test]
fn every_page_reads_on_a_phone() {
    let Some(chromium) = chromium() else { return };
    let profile = tempfile::tempdir().unwrap();
    let observer_page = built().join("observer.html");
    let mut pages: Vec<String> = pages()
        .into_iter()
        .filter(|page| page != "404.html")
        .collect();
    std::fs::write(built().join("control.html"), CONTROL).unwrap();
    pages.push("../control.html".to_owned());
    std::fs::write(&observer_page, observer(&pages)).unwrap();
    let output = Command::new(chromium)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--allow-file-access-from-files",
            "--virtual-time-budget=120000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("file://{}", observer_page.display()))
        .in_time();
    let dom = String::from_utf8_lossy(&output.stdout);
    let seen = dom
        .rsplit("SEEN")
        .nth(1)
        .unwrap_or_else(|| panic!("the browser saw nothing: {dom}"));
    let seen = seen
        .replace("&gt;", ">")
        .replace("&lt;", "<")
        .replace("&amp;", "&");
    let mut seen: Vec<Looked> = serde_json::from_str(&seen).unwrap();
    assert_eq!(seen.len(), pages.len());
    let control = seen.pop().unwrap();
    assert!(control.wide.contains(&"html".to_owned()) && control.missing.len() == 1);
    let bad = seen
        .iter()
        .filter(|p| p.text == 0 || !p.missing.is_empty() || !p.wide.is_empty());
    assert_eq!(
        bad.map(|page| format!("{page:?}")).collect::<Vec<_>>(),
        Vec::<String>::new()
    );
    assert!(
        seen.iter().any(|looked| looked.images > 0),
        "the introduction has an image"
    );
    assert!(seen.iter().any(|looked| looked.page == "results.html"));
}
