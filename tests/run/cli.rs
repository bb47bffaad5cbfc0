//! What the command line says of itself, and its exit codes.

use crate::support::*;

#[test]
fn help_of_every_subcommand() {
    let subcommands = [
        "new", "run", "submit", "eval", "predict", "runs", "verify", "import", "export",
    ];
    for name in subcommands {
        let output = ffn(&[name, "--help"]);
        expect(&output, 0);
        insta::assert_snapshot!(format!("help_{name}"), stdout(&output));
    }
    let output = ffn(&["--help"]);
    expect(&output, 0);
    insta::assert_snapshot!("help", stdout(&output));
}

#[test]
fn flags_that_make_no_sense_together_are_told() {
    let cases = [
        ("run", 2, "required arguments were not provided"),
        ("run a.ron --max-minutes x", 2, "invalid value 'x'"),
        (
            "run a.ron b.ron --resume runs/a",
            2,
            "--resume names one run",
        ),
        ("run a.ron --checkpoint-minutes=-1", 2, "not negative"),
        (
            "run a.ron --resume runs/a --out runs",
            2,
            "cannot be used with",
        ),
        ("run no-such-file.ron", 8, "cannot read `no-such-file.ron`"),
        ("eval src", 5, "`src` is not a run folder"),
        ("predict src a.webm", 5, "`src` is not a run folder"),
        ("verify src", 5, "`src` is not a run folder"),
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
}

#[test]
fn no_runs_is_no_error() {
    let place = tempfile::tempdir().unwrap();
    let output = ffn(&["runs", place.path().to_str().unwrap()]);
    expect(&output, 0);
    assert!(stdout(&output).starts_with("no runs in"));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let output = ffn(&["completions", shell]);
        expect(&output, 0);
        for word in ["export-metrics", "checkpoint-minutes"] {
            assert!(stdout(&output).contains(word), "{shell}: {word}");
        }
    }
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("man");
    expect(&ffn(&["man", "--out", out.to_str().unwrap()]), 0);
    for page in ["ffn.1", "ffn-run.1", "ffn-data-pin.1"] {
        let text = std::fs::read_to_string(out.join(page)).unwrap();
        assert!(
            text.starts_with(".ie") && text.contains(".SH NAME"),
            "{text}"
        );
    }
}

#[test]
fn the_version_says_what_it_was_built_with() {
    let output = ffn(&["--version"]);
    expect(&output, 0);
    for word in ["ffn 0.1.0 (", "rustc 1.", "dfdx 0.13", "rusty_vp9"] {
        assert!(stdout(&output).contains(word), "{}", stdout(&output));
    }
}
