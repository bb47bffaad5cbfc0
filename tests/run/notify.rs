//! `--notify`: what a command of the user's hears.

#![cfg(unix)]

use std::path::Path;

use crate::program::InTime;
use crate::support::{TINY, command, expect, only_run, run_tiny, stderr};

/// Writes what it hears into a file, a line each time.
fn listener(file: &Path) -> String {
    let file = file.to_str().unwrap();
    format!(
        "printf '%s|%s|%s|%s\\n' \"$FFN_EVENT\" \"$FFN_NAME\" \"$FFN_FOLDER\" \"$FFN_MESSAGE\" >> '{file}'"
    )
}

#[test]
fn a_run_that_stops_and_one_that_finishes_are_told_with_results() {
    let place = tempfile::tempdir().unwrap();
    let (out, heard) = (place.path().join("runs"), place.path().join("heard"));
    let notify = listener(&heard);
    expect(
        &run_tiny(&out, &["--notify", &notify, "--max-minutes", "0"]),
        75,
    );
    expect(&run_tiny(&out, &["--notify", &notify]), 0);
    let run = only_run(&out);
    let (name, folder) = (
        run.file_name().unwrap().to_str().unwrap(),
        run.to_str().unwrap(),
    );
    let text = std::fs::read_to_string(&heard).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 2, "{text}");
    assert!(
        lines[0].starts_with(&format!(
            "stopped|{name}|{folder}|{name}: stopped after step 0 of 12: "
        )),
        "{text}"
    );
    let finished = format!("finished|{name}|{folder}|{name}: ");
    let results = lines[1]
        .strip_prefix(&finished)
        .unwrap_or_else(|| panic!("{text}"));
    assert!(
        results.contains(" % at 2, ") && results.ends_with(" % at 4 frames"),
        "{text}"
    );
    // What is finished already does not end again.
    expect(&run_tiny(&out, &["--notify", &notify]), 0);
    assert_eq!(std::fs::read_to_string(&heard).unwrap(), text);
}

#[test]
fn a_command_that_fails_is_said_and_the_run_is_what_it_is() {
    let place = tempfile::tempdir().unwrap();
    let output = run_tiny(&place.path().join("runs"), &["--notify", "exit 3"]);
    expect(&output, 0);
    let said = stderr(&output);
    let warning = "warning: the command of --notify ended with exit status: 3";
    assert!(said.lines().any(|line| line == warning), "{said}");
}

#[test]
fn the_configuration_names_it_and_an_empty_flag_switches_it_off() {
    let place = tempfile::tempdir().unwrap();
    let (out, heard, config) = (
        place.path().join("runs"),
        place.path().join("heard"),
        place.path().join("config.ron"),
    );
    let command_line = listener(&heard).replace('\\', "\\\\").replace('"', "\\\"");
    std::fs::write(&config, format!("(notify: \"{command_line}\")")).unwrap();
    let run = |flags: &[&str]| {
        let out = out.to_str().unwrap();
        let mut command = command(&[&["run", TINY, "--out", out], flags].concat());
        command.env("FFN_CONFIG", &config).in_time()
    };
    expect(&run(&["--notify", "", "--max-minutes", "0"]), 75);
    assert!(!heard.exists());
    expect(&run(&[]), 0);
    assert!(
        std::fs::read_to_string(&heard)
            .unwrap()
            .starts_with("finished|")
    );
}
