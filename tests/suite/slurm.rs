//! `ffn submit` with a real Slurm: `.ci/slurm start` starts one, `FFN_SLURM` names its `slurm.conf`.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use crate::skipped::skipped;
use crate::support::*;
use crate::whole::results;

/// The cluster's configuration; without one the test compares nothing and says so.
fn cluster() -> Option<PathBuf> {
    let conf = std::env::var_os("FFN_SLURM").map(PathBuf::from);
    let answers = |conf: &PathBuf| {
        let mut sinfo = Command::new("sinfo");
        sinfo
            .env("SLURM_CONF", conf)
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let conf = conf.filter(answers);
    if conf.is_none() {
        skipped("there is no Slurm; .ci/slurm starts one, FFN_SLURM names its slurm.conf");
    }
    conf
}

fn on(conf: &Path, mut command: Command) -> Output {
    command.env("SLURM_CONF", conf);
    command.in_time()
}

fn submit(conf: &Path, file: &str, out: &Path, flags: &[&str]) -> Output {
    let arguments = [&["submit", file, "--out", out.to_str().unwrap()], flags].concat();
    let output = on(conf, command(&arguments));
    expect(&output, 0);
    output
}

fn slurm(conf: &Path, program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments);
    let output = on(conf, command);
    stdout(&output)
}

/// The numbers of the jobs that a submission made.
fn jobs(output: &Output) -> Vec<String> {
    let said = stdout(output);
    let jobs = said
        .lines()
        .filter_map(|line| line.strip_prefix("job ")?.split_once(':'));
    jobs.map(|(job, _)| job.to_owned()).collect()
}

fn wait_for(conf: &Path, what: &str, holds: impl Fn() -> bool) {
    let limit = Instant::now() + Duration::from_secs(120);
    while !holds() {
        let queue = slurm(conf, "squeue", &[]);
        assert!(Instant::now() < limit, "{what}: not in time\n{queue}");
        std::thread::sleep(Duration::from_millis(300));
    }
}

fn wait_until_ended(conf: &Path, jobs: &[String]) {
    let list = format!("--jobs={}", jobs.join(","));
    wait_for(conf, "jobs", || {
        slurm(conf, "squeue", &["--noheader", &list]).is_empty()
    });
}

/// All that the jobs of a submission said.
fn logs(out: &Path) -> String {
    let entries = std::fs::read_dir(out.join("slurm")).unwrap();
    let text = |path: PathBuf| std::fs::read_to_string(path).unwrap();
    entries.map(|entry| text(entry.unwrap().path())).collect()
}

/// Every result of the runs, without what the jobs said.
fn bytes(out: &Path) -> Vec<(String, Vec<u8>)> {
    let all = results(out).into_iter();
    all.filter(|(name, _)| !name.starts_with("slurm/"))
        .collect()
}

#[track_caller]
fn assert_same(ours: &Path, undisturbed: &Path) {
    let (ours, other) = (bytes(ours), bytes(undisturbed));
    let names = |files: &[(String, Vec<u8>)]| -> Vec<String> {
        files.iter().map(|(name, _)| name.clone()).collect()
    };
    assert_eq!(names(&ours), names(&other));
    let pairs = ours.iter().zip(&other);
    let differing: Vec<_> = pairs
        .filter(|(a, b)| a.1 != b.1)
        .map(|(a, _)| &a.0)
        .collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// A suite of two members of which one takes about so many seconds here, at a place whose name has to be quoted.
fn long_suite(place: &Path, seconds: f64) -> String {
    let folder = place.join("it's a \"place\"");
    std::fs::create_dir(&folder).unwrap();
    copy(Path::new("fixtures/experiments/pins"), &folder.join("pins"));
    let text = std::fs::read_to_string("fixtures/experiments/tiny.ron").unwrap();
    let text = text.replace("every: 2", "every: 0");
    std::fs::write(folder.join("tiny.ron"), text).unwrap();
    let write = |epochs: u64| {
        let path = folder.join("a suite.ron");
        let suite = format!(
            "Suite(name: \"long\", members: [\
                (name: \"a long one\", experiment: \"tiny.ron\", with: (train: (epochs: {epochs}))),\
                (name: \"short\", experiment: \"tiny.ron\", with: (name: \"short\")),\
            ], claims: [(id: \"size\", quantity: Parameters(run: \"short\"), is: AtLeast(10))])"
        );
        std::fs::write(&path, suite).unwrap();
        path.to_str().unwrap().to_owned()
    };
    const TRIED: u64 = 40;
    let file = write(TRIED);
    let begun = Instant::now();
    let out = place.join("tried");
    expect(
        &run(&file, &out, &["--threads", "1", "--member", "a long one"]),
        0,
    );
    let each = begun.elapsed().as_secs_f64() / TRIED as f64;
    write((seconds / each).ceil() as u64)
}

/// The time limit's signal, exit code 75, the queue, and on from there, to the bytes of a run that nobody disturbed.
#[test]
fn a_time_limit_leaves_no_trace() {
    let Some(conf) = cluster() else { return };
    let place = tempfile::tempdir().unwrap();
    // Slurm looks at time limits every half minute.
    let file = long_suite(place.path(), 45.0);
    let (out, undisturbed) = (
        place.path().join("runs #1"),
        place.path().join("undisturbed"),
    );
    let flags = ["--time", "1", "--grace", "57", "--cpus", "1"];
    let submitted = submit(&conf, &file, &out, &flags);
    let local = [
        "run",
        &file,
        "--out",
        undisturbed.to_str().unwrap(),
        "--threads",
        "1",
    ];
    let local = command(&local).spawn().unwrap();
    expect(&local.in_time(), 0);
    wait_until_ended(&conf, &jobs(&submitted));
    let said = logs(&out);
    if !said.contains("stopped after step ") {
        return skipped("the run was finished before Slurm looked at its time limit");
    }
    assert!(!said.contains("error: not requeued"), "{said}");
    assert!(said.contains("\nshown    size"), "{said}");
    assert_same(&out, &undisturbed);
    let again = submit(&conf, &file, &out, &flags);
    assert!(
        stdout(&again).contains("2 runs finished already"),
        "{}",
        stdout(&again)
    );
}

/// Two suites at once that share runs; the first is cancelled; submitted again, it has everything.
#[test]
fn two_suites_and_a_cancellation() {
    let Some(conf) = cluster() else { return };
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("runs");
    let first = submit(&conf, TINY, &out, &["--at-once", "1", "--time", "5"]);
    let other = place.path().join("other.ron");
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    let experiment = experiments.join("tiny.ron");
    let experiment = experiment.to_str().unwrap();
    let suite = format!(
        "Suite(name: \"other\", seeds: [2, 3], members: [(name: \"mine\", experiment: \"{experiment}\")])"
    );
    std::fs::write(&other, suite).unwrap();
    let second = submit(&conf, other.to_str().unwrap(), &out, &["--time", "5"]);
    assert!(
        stdout(&second).contains("1 in the queue"),
        "{}",
        stdout(&second)
    );
    let [array, last] = jobs(&first).try_into().unwrap();
    let cancelled = || slurm(&conf, "squeue", &["--noheader", "--jobs", &array]).is_empty();
    wait_for(&conf, "a run", || {
        cancelled()
            || out
                .join("slurm")
                .join(format!("ffn-tiny_suite-{array}_1.log"))
                .exists()
    });
    slurm(&conf, "scancel", &[&array]);
    wait_until_ended(&conf, &[array, last]);
    wait_until_ended(&conf, &jobs(&second));
    assert!(
        logs(&out).contains(" runs are not finished:"),
        "{}",
        logs(&out)
    );

    let again = submit(&conf, TINY, &out, &["--time", "5"]);
    wait_until_ended(&conf, &jobs(&again));
    let reference = finished();
    let ours = tempfile::tempdir().unwrap();
    for (name, _) in bytes(reference.path()) {
        let run = Path::new(&name).components().next().unwrap();
        copy(&out.join(run), &ours.path().join(run));
    }
    assert_same(ours.path(), reference.path());
}

/// Each node computes half of every step.
#[test]
fn ranks_on_two_nodes_end_as_one_process() {
    let Some(conf) = cluster() else { return };
    let place = tempfile::tempdir().unwrap();
    let [ours, alone] = ["ours", "alone"].map(|name| place.path().join(name));
    let sharded = ["--set", "train.shards=2", "--set", "train.norm_clips=2"];
    let flags = [&sharded[..], &["--ranks", "2", "--cpus", "1"]].concat();
    let arguments = [
        &["submit", TINY, "--out", ours.to_str().unwrap()],
        &flags[..],
    ]
    .concat();
    let mut command = command(&arguments);
    // The nodes of this cluster have names that nobody can look up.
    command.env("MASTER_ADDR", "127.0.0.1");
    let submitted = on(&conf, command);
    expect(&submitted, 0);
    wait_until_ended(&conf, &jobs(&submitted));
    assert!(logs(&ours).contains("ranks      2, TCP"), "{}", logs(&ours));
    expect(
        &run(TINY, &alone, &[&sharded[..], &["--threads", "1"]].concat()),
        0,
    );
    assert_same(&ours, &alone);
}
