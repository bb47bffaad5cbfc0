//! The rendered numbers are those of the run folder.

use serde_json::Value;

use crate::support::*;

const PAGE: &str = "<!-- results -->
# Results

At 4 frames {{top1 tiny 4}} and {{top5 tiny 4}} of {{clips tiny 4}}; at 2 frames {{deviation tiny 4 2}} less.
{{run tiny}} has {{parameters tiny}} parameters and had {{steps tiny}} steps.

{{results tiny}}

{{classes tiny}}
";

fn summary(project: &Project, frames: usize) -> Value {
    let path = project.run().join(format!("eval/{frames}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn top1(summary: &Value) -> f64 {
    100.0 * summary["top1"].as_f64().unwrap() / summary["clips"].as_f64().unwrap()
}

/// The texts of the links whose title begins so.
fn cited<'a>(html: &'a str, title: &str) -> Vec<&'a str> {
    let links = html.split("<a href=").skip(1);
    let links = links.filter(|link| link.contains(&format!("title=\"{title}")));
    let text = |link: &'a str| {
        link.split_once('>')?
            .1
            .split_once("</a>")
            .map(|(text, _)| text)
    };
    links.filter_map(text).collect()
}

#[test]
fn rendered_numbers_are_those_of_the_run() {
    let project = Project::new(PAGE);
    expect(&project.build(), 0);
    let html = project.read("out/html/results.html");
    let of_run: Vec<Value> = [2, 3, 4].map(|frames| summary(&project, frames)).into();
    for (summary, frames) in of_run.iter().zip([2, 3, 4]) {
        let cited = cited(&html, &format!("eval/{frames}.json of tiny-"));
        let expected = format!("{:.2} %", top1(summary));
        assert!(cited.contains(&expected.as_str()), "{cited:?} {expected}");
        for class in summary["classes"].as_object().unwrap().values() {
            let expected = format!("{:.2} %", top1(class));
            assert!(cited.contains(&expected.as_str()), "{cited:?} {expected}");
        }
    }
    let gap = format!("{:.2} points", top1(&of_run[2]) - top1(&of_run[0]));
    assert_eq!(cited(&html, "eval/4.json and eval/2.json"), [gap.as_str()]);
    let clips = of_run[2]["clips"].to_string();
    assert!(cited(&html, "eval/4.json of").contains(&clips.as_str()));
    assert_eq!(cited(&html, "manifest.json of")[1], "12");
}

#[test]
fn a_run_has_a_page_with_what_it_came_from() {
    let project = Project::new(PAGE);
    expect(&project.build(), 0);
    let name = project
        .run()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let html = project.read("out/html/results.html");
    assert!(
        html.contains(&format!("href=\"runs/{name}.html\"")),
        "{html}"
    );
    let page = project.read(&format!("out/html/runs/{name}.html"));
    let manifest: Value =
        serde_json::from_slice(&std::fs::read(project.run().join("manifest.json")).unwrap())
            .unwrap();
    let build = &manifest["builds"][0];
    let wanted = [
        &manifest["identity"],
        &manifest["data"]["pins"]["verified"]["pins_sha256"],
        &manifest["data"]["pins"]["verified"]["validation_root"],
        &build["source_sha256"],
        &manifest["files"]["metrics.jsonl"],
    ];
    for value in wanted {
        assert!(page.contains(value.as_str().unwrap()), "{value}");
    }
    if let Some(commit) = build["commit"].as_str() {
        assert!(page.contains(commit));
    }
    let contents = project.read("out/src/SUMMARY.md");
    assert!(
        contents.contains(&format!("(runs/{name}.md)")),
        "{contents}"
    );
}

#[test]
fn the_same_book_is_built_twice_with_the_same_bytes() {
    let project = Project::new(PAGE);
    expect(&project.build(), 0);
    let first = project.read("out/html/results.html");
    expect(&project.build(), 0);
    assert_eq!(project.read("out/html/results.html"), first);
}

#[test]
fn what_was_generated_is_a_plain_mdbook() {
    let project = Project::new(PAGE);
    expect(&project.build(), 0);
    let rendered = project.read("out/html/results.html");
    let mut book = mdbook_driver::MDBook::load(project.path("out")).unwrap();
    book.config.build.build_dir = "again".into();
    book.build().unwrap();
    assert_eq!(project.read("out/again/results.html"), rendered);
}
