//! Output that nobody reads, and text that would steer a terminal.

use std::fs::File;
use std::process::Stdio;

use crate::skipped::skipped;
use crate::support::*;

/// A full disk, where the system has one to try.
fn full() -> Option<File> {
    let full = File::options().write(true).open("/dev/full").ok();
    if full.is_none() {
        skipped("/dev/full is not there");
    }
    full
}

/// A pipe whose reader is gone.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn a_training_goes_on_where_nobody_reads() {
    let place = Place::new();
    type Open = fn() -> Option<Stdio>;
    let cases: [(&str, [Open; 2]); 4] = [
        ("closed-out", [|| Some(closed()), || Some(Stdio::piped())]),
        ("closed-both", [|| Some(closed()), || Some(closed())]),
        (
            "full-out",
            [|| full().map(Stdio::from), || Some(Stdio::piped())],
        ),
        (
            "full-both",
            [|| full().map(Stdio::from), || full().map(Stdio::from)],
        ),
    ];
    for (name, [out, err]) in cases {
        let (Some(out), Some(err)) = (out(), err()) else {
            continue;
        };
        let mut command = limited(&["run", TINY, "--out", &place.text(name)]);
        command.stdout(out).stderr(err);
        let output = within(std::time::Duration::from_secs(60), command);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let folder = place.only_run(name);
        expect(&run(&["verify", folder.to_str().unwrap()]), 0);
        let log = std::fs::read_to_string(folder.join("log.txt")).unwrap();
        assert!(log.contains("after step 12: 4 frames"), "{log}");
    }
}

#[test]
fn other_commands_end_quietly_at_a_closed_pipe() {
    for arguments in [
        &["schema"][..],
        &["check", TINY],
        &["plan", TINY],
        &["plan", TINY, "--json"],
        &["diff", TINY, TINY],
        &["data", "frames", "fixtures/videos/even.webm"],
    ] {
        let mut command = limited(arguments);
        command.stdout(closed());
        let output = within(std::time::Duration::from_secs(60), command);
        assert_eq!(output.status.code(), Some(141), "{arguments:?}");
        assert_eq!(stderr(&output), "", "{arguments:?}");
    }
}

#[test]
fn a_full_disk_behind_stdout_is_an_error() {
    let Some(full) = full() else { return };
    let mut command = limited(&["schema"]);
    command.stdout(full);
    let output = within(std::time::Duration::from_secs(60), command);
    expect(&output, 8);
    says(&output, "error: cannot write on stdout:");
}

/// Signs that move the cursor or forge a line: none may reach a terminal.
#[track_caller]
fn assert_plain(output: &std::process::Output) {
    for text in [stdout(output), stderr(output)] {
        let bad = text
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\t'));
        assert_eq!(bad, None, "{text:?}");
        assert!(
            !text.lines().any(|line| line.starts_with("error: forged")),
            "{text}"
        );
        assert!(!text.contains('\u{202e}'), "{text}");
    }
}

#[test]
fn foreign_text_cannot_steer_a_terminal() {
    let place = Place::new();
    let evil = "7\u{1b}]0;title\u{7}\u{1b}[2J\nerror: forged line\u{202e}";
    // A file's name.
    for arguments in [["check"], ["verify"], ["plot"]] {
        let path = place.text(evil);
        let output = run(&[arguments[0], &path]);
        assert_ne!(output.status.code(), Some(0));
        assert_plain(&output);
    }
    // The source line of a report, and the names in it.
    let source = format!("Experiment(name: \"a{evil}\", mo\u{1b}[31mdel: 3)");
    let output = run(&["check", &place.write("source.ron", source)]);
    expect(&output, 3);
    assert_plain(&output);
    // A member's name, spelled out and raw.
    for name in ["m\\u{1b}[31mX\\nerror: forged", evil] {
        let experiment = place.experiment("tiny.ron", |text| text);
        let suite = format!(
            "Suite(name: \"s\", members: [(name: \"{name}\", experiment: \"{experiment}\")])"
        );
        let output = run(&["check", &place.write("suite.ron", suite)]);
        expect(&output, 3);
        assert_plain(&output);
    }
}

#[test]
fn ids_and_class_names_cannot_steer_a_terminal() {
    let place = Place::new();
    let experiment = place.two_clips();
    let labels = r#"{"a": "0", "b\u001b[31mRED": "1"}"#;
    let train =
        r#"[{"id": "7\u001b]0;title\u0007\u001b[2J\nerror: forged line", "template": "a"}]"#;
    for (labels, train) in [
        (labels, r#"[{"id": "7", "template": "a"}]"#),
        (r#"{"a": "0", "b": "1"}"#, train),
    ] {
        place.write("d/labels.json", labels);
        place.write("d/train.json", train);
        for what in ["pin", "stats", "verify"] {
            let output = run(&["data", what, &experiment, "--data-root", &place.text("d")]);
            assert_ne!(output.status.code(), Some(0), "data {what}");
            assert_plain(&output);
        }
    }
}
