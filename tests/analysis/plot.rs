//! `ffn plot`: which figures there are, and what is said of those that are missing.

use std::path::Path;

use crate::support::*;

fn plot(runs: &[&str], out: &Path) -> std::process::Output {
    let out = out.to_str().unwrap();
    ffn(&[&["plot"], runs, &["--out", out]].concat())
}

fn names(out: &Path) -> Vec<String> {
    let files = std::fs::read_dir(out).unwrap();
    let names = files.map(|file| file.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn what_is_not_analysed_is_told() {
    let (run, out) = (Run::new(), tempfile::tempdir().unwrap());
    let output = plot(&[&run.path()], out.path());
    expect(&output, 0);
    assert_eq!(
        names(out.path()),
        ["deviation.svg", "gflops.svg", "training-tiny-5632702c.svg"]
    );
    let told = stderr(&output);
    for name in ["drift", "confusion", "alteration"] {
        let sentence = format!("no {name} of `tiny-5632702c`: `ffn analyse {}`", run.path());
        assert!(told.contains(&sentence), "{told}");
    }
}

#[test]
fn an_analysed_run_has_every_figure_and_the_same_bytes_each_time() {
    let run = Run::new();
    expect(&run.analyse(&["--clips", "8"]), 0);
    let outs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for out in &outs {
        let output = plot(&[&run.path()], out.path());
        expect(&output, 0);
        assert_eq!(stderr(&output), "", "nothing is missing");
    }
    let expected = [
        "alteration-tiny-5632702c.svg",
        "confusion-tiny-5632702c-2.svg",
        "confusion-tiny-5632702c-3.svg",
        "confusion-tiny-5632702c-4.svg",
        "deviation.svg",
        "drift.svg",
        "gflops.svg",
        "training-tiny-5632702c.svg",
    ];
    assert_eq!(names(outs[0].path()), expected);
    for name in expected {
        let [a, b] = [&outs[0], &outs[1]].map(|out| std::fs::read(out.path().join(name)).unwrap());
        assert_eq!(a, b, "{name}");
    }
}

#[test]
fn a_changed_analysis_is_not_drawn() {
    let run = Run::new();
    expect(&run.analyse(&["--clips", "8"]), 0);
    let path = run.join("analysis/drift.json");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("0.1", "0.2", 1)).unwrap();
    let out = tempfile::tempdir().unwrap();
    let output = plot(&[&run.path()], out.path());
    expect(&output, 5);
    assert!(
        stderr(&output).contains("drift.json` is damaged"),
        "{}",
        stderr(&output)
    );
    assert_eq!(names(out.path()), [""; 0], "nothing is written");
}

#[test]
fn a_suite_is_analysed_and_its_seeds_are_drawn_as_one() {
    let place = tempfile::tempdir().unwrap();
    let (runs, out) = (place.path().join("runs"), place.path().join("figures"));
    let runs = runs.to_str().unwrap();
    let output = ffn(&["run", "fixtures/suites/tiny.ron", "--out", runs]);
    assert!(
        [0, 1].contains(&output.status.code().unwrap()),
        "{}",
        stderr(&output)
    );
    let folders = std::fs::read_dir(runs)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let suite = folders
        .into_iter()
        .find(|path| path.join("suite.json").exists())
        .unwrap();
    let suite = suite.to_str().unwrap();
    expect(&ffn(&["analyse", suite, "--clips", "8"]), 0);
    let output = plot(&[suite], &out);
    expect(&output, 0);
    assert_eq!(stderr(&output), "");
    let count = |begin: &str| {
        names(&out)
            .iter()
            .filter(|name| name.starts_with(begin))
            .count()
    };
    assert_eq!(
        count("training-"),
        3,
        "one for each member, the two seeds together"
    );
    let curve = std::fs::read_to_string(out.join("deviation.svg")).unwrap();
    assert!(
        curve.contains("Lines: mean of the seeds; shaded: their range."),
        "{curve}"
    );
    for label in ["FFN", "vanilla/epochs=1", "vanilla/epochs=2"] {
        assert!(
            curve.contains(&format!(">{label}</text>")),
            "{label}: {curve}"
        );
    }
}
