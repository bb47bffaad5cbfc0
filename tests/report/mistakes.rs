//! What makes a build fail, with page, line and column.

use std::fs;

use crate::support::*;

#[test]
fn every_mistake_of_every_page_is_told_at_once() {
    let project = Project::new(
        "<!-- results -->
# Results

The gap is 41.56 points, by {{top1 tiny 16}} at most.
See {{top1 other 4}}, {{tpo1 tiny 4}}, {{top1 tiny}} and {{top1 tiny x}}.

In a sentence: {{results tiny}}

{{optional tiny}}
{{claim tiny gap}}
",
    );
    project.write("book/src/a.md", "# A\n\nIt has {{top1 tiny 4}}.\n");
    let mistakes = project.mistakes();
    let name = project
        .run()
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    insta::assert_snapshot!("mistakes", mistakes.replace(&name, "tiny-IDENTITY"));
}

#[test]
fn an_unfinished_run_is_stale() {
    let project = Project::new("<!-- results -->\n{{top1 tiny 4}}\n");
    let path = project.run().join("manifest.json");
    let mut manifest = document(&path);
    manifest["finished"] = false.into();
    write_sealed(&path, manifest);
    assert!(project.mistakes().contains("is not finished"));
}

#[test]
fn a_changed_result_is_stale() {
    let project = Project::new("<!-- results -->\n\n  {{top1 tiny 4}}\n");
    let path = project.run().join("eval/4.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"top1\": ", "\"top1\": 1", 1)).unwrap();
    let mistakes = project.mistakes();
    assert!(
        mistakes.contains("PROJECT/book/src/results.md:3:3: "),
        "{mistakes}"
    );
    assert!(mistakes.contains("eval/4.json"), "{mistakes}");
    assert!(mistakes.contains("expected"), "{mistakes}");
}

/// The run is of the experiment file as it was; the file's folder stands in the run's history.
#[test]
fn a_run_of_an_experiment_that_changed_since_is_stale() {
    let project = Project::new("<!-- results -->\n{{top1 tiny 4}}\n");
    let experiments = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    copy(&experiments, &project.path("experiments"));
    let runs = project.path("runs");
    fs::remove_dir_all(&runs).unwrap();
    let file = project.path("experiments/tiny.ron");
    let (file, runs) = (file.to_str().unwrap(), runs.to_str().unwrap());
    expect(&ffn(&["run", file, "--out", runs]), 0);
    expect(&project.build(), 0);

    let text = fs::read_to_string(file).unwrap();
    fs::write(file, text.replace("lr: 0.02", "lr: 0.03")).unwrap();
    fs::remove_dir_all(project.path("out")).unwrap();
    let mistakes = project.mistakes();
    assert!(
        mistakes.contains("is stale: its experiment file changed since"),
        "{mistakes}"
    );
    assert!(
        mistakes.contains("optimizer.lr: 0.02 -> 0.03"),
        "{mistakes}"
    );

    fs::write(file, &text).unwrap();
    let pins = project.path("experiments/pins/tiny.pins.ron");
    let pinned = fs::read_to_string(&pins).unwrap();
    fs::write(&pins, pinned + "\n").unwrap();
    assert!(
        project
            .mistakes()
            .contains("is stale: its pins changed since")
    );

    fs::remove_file(file).unwrap();
    fs::write(
        &pins,
        fs::read_to_string(&pins).unwrap().trim_end().to_owned() + "\n",
    )
    .unwrap();
    assert!(
        project
            .mistakes()
            .contains("has no experiment called `tiny` any more")
    );
}

#[test]
fn a_folder_of_something_else_is_not_replaced() {
    let project = Project::new("# Results\n");
    project.write("out/src/precious.md", "mine");
    let output = project.build();
    expect(&output, 2);
    assert!(stderr(&output).contains("holds something else than a built book"));
    assert_eq!(project.read("out/src/precious.md"), "mine");
}

#[test]
fn an_optional_part_says_what_it_needs() {
    let page = "<!-- results -->\n# R\n\n{{optional other}}\n{{top1 other 4}}\n{{end}}\n\n{{optional tiny}}\n{{steps tiny}} steps\n{{end}}\n";
    let project = Project::new(page);
    expect(&project.build(), 0);
    let html = project.read("out/html/results.html");
    assert!(html.contains("it needs <code>other</code>"), "{html}");
    assert!(html.contains("12</a> steps"), "{html}");
}
