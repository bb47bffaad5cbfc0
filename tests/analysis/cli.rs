//! What a person types and sees.

use std::path::Path;

use crate::support::*;

#[test]
fn the_surface_has_every_branch_and_agrees_with_the_evaluation() {
    let run = Run::new();
    let path = run.path();
    let output = ffn(&[
        "eval",
        &path,
        "--frames",
        "2..4,6",
        "--all-branches",
        "--save",
    ]);
    expect(&output, 0);
    let told = stdout(&output).replace(&path, "RUN");
    insta::assert_snapshot!("surface", without_latency(&told));

    let surface = run.document("surface");
    let points = surface["content"]["points"].as_array().unwrap();
    let of = |point: &serde_json::Value| (point["frames"].as_u64(), point["branch"].as_u64());
    let places: Vec<_> = points.iter().map(of).collect();
    let expected = [2, 3, 4, 6]
        .into_iter()
        .flat_map(|t| [2, 4].map(|b| (Some(t), Some(b))));
    assert_eq!(places, expected.collect::<Vec<_>>());
    for frames in [2, 3, 4] {
        let chosen = |p: &&serde_json::Value| p["frames"] == frames && p["chosen"] == true;
        let mut chosen = points.iter().filter(chosen);
        let point = chosen.next().unwrap();
        assert!(chosen.next().is_none(), "one branch serves {frames} frames");
        let text = std::fs::read_to_string(run.join(&format!("eval/{frames}.json"))).unwrap();
        let summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        for field in ["branch", "clips", "top1", "top5", "loss"] {
            assert_eq!(point[field], summary[field], "{field} at {frames} frames");
        }
    }
    let latency = run.document("latency");
    for point in latency["content"]["points"].as_array().unwrap() {
        let of = |name: &str| point[name].as_f64().unwrap();
        assert!(0.0 < of("fastest_ms") && of("fastest_ms") <= of("median_ms"));
        assert!(of("median_ms") <= of("slowest_ms"));
    }
}

#[test]
fn threads_and_workers_leave_no_trace() {
    let (one, other) = (Run::new(), Run::new());
    expect(&one.analyse(&["--threads", "1", "--workers", "1"]), 0);
    expect(&other.analyse(&["--threads", "3", "--workers", "3"]), 0);
    assert_eq!(one.analyses(), other.analyses());
    assert_eq!(one.analyses().len(), 6);
}

#[test]
fn everything_is_told_and_the_second_time_nothing_is_computed() {
    let run = Run::new();
    let other = Run::new();
    let against = other.path();
    let output = run.analyse(&["--against", &against, "--clips", "16", "--layers"]);
    expect(&output, 0);
    insta::assert_snapshot!("analyse", without_latency(&stdout(&output)));

    let before = run.analyses();
    let mut again = command(&["analyse", &run.path(), "--layers", "--against", &against]);
    again.env("FFN_DATA_MINIATURE", "/nowhere");
    let again = again.in_time();
    expect(&again, 0);
    assert_eq!(
        stdout(&again),
        stdout(&output),
        "latency too is what was kept"
    );
    assert_eq!(run.analyses(), before);
    expect(&ffn(&["verify", &run.path()]), 0);
}

#[test]
fn analyses_as_data() {
    let run = Run::new();
    let output = run.analyse(&["--json", "--clips", "8"]);
    expect(&output, 0);
    let told: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let names: Vec<&String> = told[0].as_object().unwrap().keys().collect();
    let expected = [
        "alteration",
        "confusion",
        "drift",
        "flips",
        "gains",
        "latency",
        "precise_bn",
        "surface",
    ];
    assert_eq!(names, expected);
    assert_eq!(told[0]["drift"]["content"]["clips"], 8);
}

/// A UniFormer: at a branch's own frame count nothing is apart, at another one something is.
#[test]
fn what_layer_norms_read_is_compared() {
    let place = tempfile::tempdir().unwrap();
    copy(
        Path::new("fixtures/experiments/pins"),
        &place.path().join("pins"),
    );
    let text = std::fs::read_to_string(TINY).unwrap();
    let (head, rest) = text.split_once("    model: ").unwrap();
    let (_, tail) = rest.split_once("    method: ").unwrap();
    let model =
        "UniFormer(widths: [8, 8, 8, 8], depths: [1, 1, 1, 1], head_width: 8, init: Random)";
    let text = format!("{head}    model: {model},\n    method: {tail}");
    let text = text.replace("Off, size: 24", "Off, size: 32");
    let text = text.replace("short_side: 24, size: 24", "short_side: 32, size: 32");
    let (file, out) = (place.path().join("small.ron"), place.path().join("runs"));
    std::fs::write(&file, text).unwrap();
    let out = out.to_str().unwrap();
    expect(&ffn(&["run", file.to_str().unwrap(), "--out", out]), 0);
    let run = std::fs::read_dir(out)
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let run = run.to_str().unwrap();
    let output = ffn(&["analyse", run, "--clips", "8", "--json"]);
    expect(&output, 0);
    let told: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    let drift = &told[0]["drift"]["content"];
    let series = drift["inputs"].as_array().unwrap();
    let passes = series.iter().map(|series| {
        let layers = series["layers"].as_array().unwrap();
        assert_eq!(layers.len() as u64, drift["layer_norms"].as_u64().unwrap());
        let shift: f64 = layers
            .iter()
            .map(|layer| layer["shift"].as_f64().unwrap())
            .sum();
        let of = |name: &str| series[name].as_u64().unwrap();
        (of("frames"), of("branch"), shift > 0.0)
    });
    let expected = [(2, 2, false), (2, 4, true), (3, 4, true), (4, 4, false)];
    assert_eq!(passes.collect::<Vec<_>>(), expected);
    let told = stdout(&ffn(&["analyse", run]));
    assert!(
        told.contains("\nhow far what layer norms read is"),
        "{told}"
    );
}

#[test]
fn what_makes_no_sense_is_told() {
    let run = Run::new();
    let path = run.path();
    let cases = [
        (
            format!("eval {path} --frames 4..2"),
            2,
            "write `2..4`: a range goes upwards",
        ),
        (format!("eval {path} --frames 2..9999"), 2, "found 9999"),
        (
            format!("eval {TINY} --weights a.pth --all-branches"),
            2,
            "cannot be used with",
        ),
        ("analyse".to_owned(), 2, "required arguments"),
        ("analyse src".to_owned(), 5, "`src` is not a run folder"),
        (
            format!("analyse {path} --against src"),
            5,
            "`src` is not a run folder",
        ),
        (
            format!("analyse {path} --engine dfdx"),
            5,
            "was computed by the engine `compiled`",
        ),
    ];
    for (line, code, message) in cases {
        let output = ffn(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(
            output.status.code(),
            Some(code),
            "{line}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(message),
            "{line}: {}",
            stderr(&output)
        );
    }
    let help = ffn(&["analyse", "--help"]);
    insta::assert_snapshot!("help", stdout(&help));
}
