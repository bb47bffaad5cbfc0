//! Signals, killed commands, and clocks.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::skipped::skipped;
use crate::support::*;

fn kill(child: &std::process::Child, signal: &str) {
    let id = child.id().to_string();
    assert!(
        Command::new("kill")
            .args([signal, &id])
            .status()
            .unwrap()
            .success()
    );
}

#[test]
fn a_signal_is_heard_while_a_model_is_built() {
    let place = Place::new();
    let wide = place.experiment("wide.ron", |text| {
        text.replace("width: 8", "width: 144")
            .replace("[1, 1]", "[3, 4, 6, 3]")
            .replace("Basic", "Bottleneck")
    });
    // How soon that is depends on the machine and on what else it does: a try that comes too late finishes its step first.
    let heard = |signal: &str, out: &str, wait: u64| {
        let child = limited(&["run", &wide, "--out", &place.text(out)])
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait));
        let begun = Instant::now();
        kill(&child, signal);
        let output = child.in_time();
        let at_once = begun.elapsed() < Duration::from_secs(2);
        let early = stderr(&output).contains("stopped before anything was to be saved");
        early && at_once && output.status.code() == Some(75)
    };
    for signal in ["-TERM", "-INT", "-HUP", "-USR1", "-USR2"] {
        let mut tries = [250, 120, 60, 400, 800].into_iter();
        assert!(
            tries.any(|wait| heard(signal, &format!("r{signal}{wait}"), wait)),
            "{signal}"
        );
    }
}

#[test]
fn a_signal_that_was_ignored_stays_so() {
    let place = Place::new();
    let long = place.experiment("long.ron", |text| text.replace("epochs: 4", "epochs: 200"));
    let program = limited(&["run", &long, "--out", &place.text("r")]);
    // As `nohup` starts it.
    let mut command = Command::new("bash");
    command
        .args(["-c", "trap '' HUP; exec \"$@\"", "nohup"])
        .arg(program.get_program())
        .args(program.get_args())
        .envs(
            program
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let child = command.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(600));
    for _ in 0..3 {
        kill(&child, "-HUP");
    }
    assert_eq!(child.in_time().status.code(), Some(0));
}

fn temporaries(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with(".tmp-") {
            found.push(name);
        } else if path.is_dir() {
            found.extend(temporaries(&path));
        }
    }
    found
}

#[test]
fn killed_commands_leave_nothing_that_the_next_does_not_clear() {
    let place = Place::new();
    let run_folder = place.finished("r");
    let folder = run_folder.to_str().unwrap();
    let (model, metrics) = (place.text("x/m.pth"), place.text("met"));
    let commands = [
        vec![
            "export", folder, "--format", "pth", "--out", &model, "--force",
        ],
        vec![
            "export-metrics",
            folder,
            "--to",
            "mlflow",
            "--out",
            &metrics,
        ],
        vec!["plot", folder, "--out", &metrics],
    ];
    for signal in ["-TERM", "-KILL"] {
        for attempt in 0..15 {
            for arguments in &commands {
                let child = limited(arguments).spawn().unwrap();
                std::thread::sleep(Duration::from_millis(4 + attempt));
                kill(&child, signal);
                child.in_time();
            }
        }
        for arguments in &commands {
            expect(&run(arguments), 0);
        }
        let left = [
            temporaries(&place.path("x")),
            temporaries(&place.path("met")),
        ]
        .concat();
        assert_eq!(left, [""; 0], "{signal}");
    }
}

/// A library that tells another time.
const CLOCK: &str = "
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t id, struct timespec *t) {
    static int (*own)(clockid_t, struct timespec *);
    if (!own) own = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, \"clock_gettime\");
    int code = own(id, t);
    const char *shift = getenv(\"CLOCK_SHIFT\");
    if (id == CLOCK_REALTIME && shift) t->tv_sec = atoll(shift);
    return code;
}
";

/// A library whose file system has locks, and none left.
const NO_LOCKS: &str = "
#include <errno.h>
int flock(int file, int what) { errno = ENOLCK; return -1; }
";

#[test]
fn locks_that_a_server_refuses_are_explained() {
    let place = Place::new();
    let (source, library) = (place.write("locks.c", NO_LOCKS), place.text("locks.so"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library, &source])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return skipped("there is no C compiler for a file system without locks");
    }
    let mut command = limited(&["run", TINY, "--out", &place.text("r")]);
    command.env("LD_PRELOAD", &library);
    let output = within(Duration::from_secs(60), command);
    expect(&output, 8);
    for text in [
        "cannot lock `",
        "No locks available",
        "rpc.statd",
        "`--out`",
    ] {
        says(&output, text);
    }
}

#[test]
fn any_clock_will_do() {
    let place = Place::new();
    let (source, library) = (place.write("clock.c", CLOCK), place.text("clock.so"));
    let built = Command::new("cc")
        .args(["-shared", "-fPIC", "-o", &library, &source, "-ldl"])
        .status();
    if !built.is_ok_and(|status| status.success()) {
        return skipped("there is no C compiler for a clock that is wrong");
    }
    for seconds in [
        "-1000000000",
        "-9000000000000000",
        "300000000000",
        "9000000000000000",
        "0",
    ] {
        let out = place.text(&format!("r{seconds}"));
        let mut command = limited(&["run", TINY, "--out", &out]);
        command
            .env("LD_PRELOAD", &library)
            .env("CLOCK_SHIFT", seconds);
        expect(&within(Duration::from_secs(60), command), 0);
        let folder = place.only_run(&format!("r{seconds}"));
        let plots = place.text("plots");
        for flags in [&["verify"][..], &["plot", "--out", &plots]] {
            let mut command = limited(&[flags, &[folder.to_str().unwrap()]].concat());
            command
                .env("LD_PRELOAD", &library)
                .env("CLOCK_SHIFT", seconds);
            expect(&within(Duration::from_secs(60), command), 0);
        }
    }
}
