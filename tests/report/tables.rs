//! `ffn report`

use std::path::Path;

use serde_json::json;

use crate::support::*;

#[test]
fn a_table_in_every_format() {
    let project = Project::new("# R\n");
    project.set_results(&[(2, 3), (3, 5), (4, 6)]);
    let run = project.run();
    for format in ["md", "html", "latex"] {
        let output = ffn(&["report", run.to_str().unwrap(), "--format", format]);
        expect(&output, 0);
        insta::assert_snapshot!(format!("report_{format}"), stdout(&output));
    }
}

/// The folder of the small suite as if it had been run, with a verdict of each kind.
pub fn suite(project: &Project) -> std::path::PathBuf {
    project.set_results(&[(2, 3), (3, 5), (4, 6)]);
    let folder = project.path("runs/small-12345678");
    std::fs::create_dir_all(&folder).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments/small_suite.ron");
    let ffn::spec::Document::Suite(loaded) = ffn::spec::load_document(&file).unwrap() else {
        panic!("it is a suite");
    };
    std::fs::write(folder.join("suite.ron"), loaded.suite.canonical()).unwrap();
    let run = project.run();
    let name = run.file_name().unwrap().to_str().unwrap();
    let manifest = document(&run.join("manifest.json"));
    let record = json!({
        "name": "small",
        "identity": loaded.suite.identity(),
        "members": [{"name": "tiny", "variant": {"seed": "1"}, "run": name, "identity": manifest["identity"]}],
    });
    let claim = |id: &str, verdict: &str, value: Option<f64>| {
        json!({
            "id": id, "sentence": "tiny loses at least 20 points | from 4 to 2 frames", "source": "table 1",
            "verdict": verdict, "reason": value.is_none().then_some("a run is missing"), "value": value,
            "interval": value.map(|v| [v - 2.0, v + 2.0]), "level": 0.95,
            "expected": {"relation": "at-least", "value": 20.0}, "unit": "points",
            "clips": 8, "seeds": 2, "runs": [name],
            "evidence": {format!("{name}/eval/4.predictions.jsonl"): manifest["files"]["eval/4.predictions.jsonl"]},
        })
    };
    let verdicts = json!([
        claim("gap", "pass", Some(25.5)),
        claim("gain", "fail", Some(-3.25)),
        claim("order", "inconclusive", None)
    ]);
    let serde_json::Value::Object(record) = record else {
        panic!("it is an object");
    };
    write_sealed(&folder.join("suite.json"), record);
    std::fs::write(folder.join("verdicts.json"), verdicts.to_string()).unwrap();
    folder
}

#[test]
fn a_suite_has_its_members_and_its_verdicts() {
    let project = Project::new("# R\n");
    let folder = suite(&project);
    for format in ["md", "latex"] {
        let output = ffn(&["report", folder.to_str().unwrap(), "--format", format]);
        expect(&output, 0);
        insta::assert_snapshot!(format!("report_suite_{format}"), stdout(&output));
    }
}

#[test]
fn a_book_shows_claims_with_their_intervals() {
    let page =
        "<!-- results -->\n# R\n\n{{claim small gap}}\n\n{{verdicts small}}\n\n{{members small}}\n";
    let project = Project::new(page);
    suite(&project);
    expect(&project.build(), 0);
    let html = project.read("out/html/results.html");
    assert!(
        html.contains("shown, 25.50 points, 95 % interval [23.50, 27.50]</a>"),
        "{html}"
    );
    assert!(html.contains("<strong>open</strong>"), "{html}");
    let page = project.read("out/html/suites/small-12345678.html");
    assert!(page.contains("a run is missing"), "{page}");

    let predictions = project.run().join("eval/4.predictions.jsonl");
    std::fs::write(&predictions, "").unwrap();
    std::fs::remove_dir_all(project.path("out")).unwrap();
    let mistakes = project.mistakes();
    assert!(
        mistakes.contains("made from other predictions"),
        "{mistakes}"
    );
}

#[test]
fn a_run_that_is_not_whole_is_in_no_table() {
    let project = Project::new("# R\n");
    let path = project.run().join("eval/4.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text + "\n").unwrap();
    let output = ffn(&["report", project.run().to_str().unwrap()]);
    expect(&output, 5);
    assert!(stderr(&output).contains("eval/4.json"));
}

/// Through `ffn run`: what the suite runner writes is what the book reads.
#[test]
fn a_suite_that_ran_is_in_the_book_until_its_file_changes() {
    let project =
        Project::new("<!-- results -->\n# R\n\n{{verdicts small}}\n\n{{plot deviation small}}\n");
    copy(
        Path::new("fixtures/experiments"),
        &project.path("experiments"),
    );
    std::fs::remove_dir_all(project.path("runs")).unwrap();
    let file = project.path("experiments/small_suite.ron");
    let (path, runs) = (file.to_str().unwrap(), project.path("runs"));
    // Its claim may fail; that is an outcome too.
    ffn(&["run", path, "--out", runs.to_str().unwrap()]);
    expect(&project.build(), 0);
    let html = project.read("out/html/results.html");
    assert!(
        html.contains("the gap of tiny from 4 to 2 frames"),
        "{html}"
    );
    assert!(
        html.contains("<svg") && html.contains("<figcaption>"),
        "{html}"
    );

    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("AtLeast(20.0)", "AtLeast(10.0)")).unwrap();
    std::fs::remove_dir_all(project.path("out")).unwrap();
    let mistakes = project.mistakes();
    assert!(
        mistakes.contains("no suite file beside its experiments says it any more"),
        "{mistakes}"
    );
}
