//! One run on several processes: the bytes do not depend on how many.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

use ffn::run::history;

use crate::resume::signal;
use crate::support::*;

const SHARDED: [&str; 2] = ["train.shards=4", "train.norm_clips=2"];

/// The flags of a sharded run below `out`.
fn arguments<'a>(out: &'a Path, flags: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec!["run", TINY, "--out", out.to_str().unwrap()];
    for setting in SHARDED {
        arguments.extend(["--set", setting]);
    }
    arguments.extend(flags);
    arguments
}

/// A port that nobody has at the moment.
fn free_port() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// As torchrun starts them; the first comes first. `flags`: for each rank.
fn start(out: &Path, flags: &[&[&str]]) -> Vec<Child> {
    start_all(flags.iter().map(|flags| arguments(out, flags)).collect())
}

/// The commands of all ranks.
fn start_all(commands: Vec<Vec<&str>>) -> Vec<Child> {
    let (port, size) = (free_port(), commands.len().to_string());
    let start = |(rank, arguments): (usize, &Vec<&str>)| {
        let mut command = command(arguments);
        command
            .env("RANK", rank.to_string())
            .env("WORLD_SIZE", &size)
            .env("MASTER_ADDR", "127.0.0.1")
            .env("MASTER_PORT", &port);
        command.spawn().unwrap()
    };
    commands.iter().enumerate().map(start).collect()
}

fn ended(ranks: Vec<Child>) -> Vec<Output> {
    ranks.into_iter().map(|rank| rank.in_time()).collect()
}

/// The run of one process.
fn alone() -> &'static Path {
    static RUN: OnceLock<PathBuf> = OnceLock::new();
    RUN.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alone");
        let _ = std::fs::remove_dir_all(&out);
        expect(&ffn(&arguments(&out, &["--threads", "1"])), 0);
        only_run(&out)
    })
}

/// The same run, however it was computed. Open MPI binds a rank to a core, and the manifest tells how many cores there were.
#[track_caller]
fn assert_as_alone(out: &Path) {
    let [mut a, mut b] = [alone().to_owned(), only_run(out)].map(|run| results(&run));
    for results in [&mut a, &mut b] {
        let manifest = results.remove("manifest.json").unwrap();
        let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let manifest = manifest.as_object_mut().unwrap();
        manifest.remove("machines");
        manifest.remove("seal");
        results.insert("manifest".into(), format!("{manifest:?}").into());
    }
    assert_same(&a, &b);
}

#[test]
fn any_number_of_ranks_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    for size in [2, 3, 4] {
        let out = place.path().join(size.to_string());
        for output in ended(start(&out, &vec![&["--threads", "1"][..]; size])) {
            expect(&output, 0);
        }
        assert_as_alone(&out);
    }
}

/// Killed, stopped through a rank that is not the first, and gone on with by other numbers of ranks.
#[test]
fn however_it_was_disturbed_it_ends_the_same() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path();
    let flags = &["--checkpoint-minutes", "0", "--threads", "1"][..];
    let mut ranks = start(out, &[flags, flags, flags]);
    assert!(wait_for_steps(&mut ranks[0], out, 2));
    ranks[1].kill().unwrap();
    for (rank, output) in ended(ranks)
        .iter()
        .enumerate()
        .filter(|(rank, _)| *rank != 1)
    {
        expect(output, 7);
        assert!(
            stderr(output).contains("is gone"),
            "rank {rank}: {}",
            stderr(output)
        );
    }
    let mut ranks = start(out, &[flags, flags]);
    assert!(wait_for_steps(&mut ranks[0], out, 5));
    signal(&ranks[1], "-TERM");
    for output in ended(ranks) {
        expect(&output, 75);
        assert!(
            stderr(&output).contains("everything is saved in"),
            "{}",
            stderr(&output)
        );
    }
    expect(&ffn(&arguments(out, &[])), 0);
    assert_as_alone(out);
    // What is finished is finished for all.
    for output in ended(start(out, &[flags, flags])) {
        expect(&output, 0);
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (path, name) = entry.map(|e| (e.path(), e.file_name())).unwrap();
        match path.is_dir() {
            true => copy(&path, &to.join(name)),
            false => drop(std::fs::copy(&path, to.join(name)).unwrap()),
        }
    }
}

/// What one process finds, and keeps, is what several do; times are those of one.
#[test]
fn evaluations_and_analyses_are_split_over_ranks() {
    let place = tempfile::tempdir().unwrap();
    let mut before = None;
    for size in [1, 2, 3] {
        let run = place.path().join(format!("{size}")).join("run");
        copy(alone(), &run);
        let run_name = run.to_str().unwrap();
        let mut said = Vec::new();
        for command in [
            &[
                "eval",
                run_name,
                "--frames",
                "2..5",
                "--save",
                "--threads",
                "1",
            ][..],
            &[
                "eval",
                run_name,
                "--all-branches",
                "--save",
                "--threads",
                "1",
            ],
            &["analyse", run_name, "--threads", "1", "--clips", "7"],
            // From what is kept.
            &["analyse", run_name, "--threads", "1"],
        ] {
            let outputs = ended(start_all(vec![command.to_vec(); size]));
            for (rank, output) in outputs.iter().enumerate() {
                expect(output, 0);
                let (out, err) = (stdout(output), stderr(output));
                let silent = out.is_empty() && err.is_empty();
                assert_eq!(silent, rank > 0, "rank {rank}: {out}{err}");
            }
            said.push(stdout(&outputs[0]));
        }
        assert_eq!(said[2], said[3]);
        // Of the surface and of all, which tell times.
        said.truncate(1);
        let mut found = results(&run);
        found.retain(|name, _| name.starts_with("eval") || name.starts_with("analysis"));
        assert!(found.len() > 10, "{:?}", found.keys());
        found.remove("analysis/latency.json").unwrap();
        let found = (said, found);
        if let Some((texts, files)) = &before {
            assert_eq!(*texts, found.0);
            assert_same(files, &found.1);
        }
        before = Some(found);
        expect(&ffn(&["verify", run_name]), 0);
    }
}

#[test]
fn ranks_that_were_asked_something_else_are_refused() {
    let run = alone().to_str().unwrap();
    let commands = vec![vec!["eval", run], vec!["eval", run, "--frames", "3"]];
    for output in ended(start_all(commands)) {
        expect(&output, 2);
        let text = stderr(&output);
        assert!(
            text.contains("rank 1 was asked for") && text.contains("[3]"),
            "{text}"
        );
    }
}

#[test]
fn ranks_that_would_compute_something_else_are_refused() {
    let place = tempfile::tempdir().unwrap();
    let other = &["--set", "optimizer.lr=0.03"][..];
    for output in ended(start(place.path(), &[&[][..], other])) {
        expect(&output, 2);
        let expected = "rank 1 cannot take part: its experiment is";
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    for output in ended(start(place.path(), &[&[][..]; 5])) {
        expect(&output, 2);
        let expected = "a step of 4 cannot be shared out among 5 ranks";
        assert!(stderr(&output).contains(expected), "{}", stderr(&output));
    }
    assert!(!place.path().read_dir().unwrap().any(|entry| {
        let entry = entry.unwrap();
        entry.path().join("metrics.jsonl").exists()
    }));
}

/// A launcher of MPI with so many ranks of a run below `out`.
fn mpi(launcher: &Path, size: &str, out: &Path, flags: &[&str]) -> Output {
    let mut mpi = Command::new(launcher);
    mpi.args(["-n", size]).arg(env!("CARGO_BIN_EXE_ffn"));
    mpi.args(arguments(out, flags))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("FFN_DATA_MINIATURE", data())
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    mpi.in_time()
}

fn outcome(out: &Path) -> history::Outcome {
    let history = ffn::run::Folder::at(only_run(out)).history().unwrap();
    history.processes.last().unwrap().outcome
}

/// The launchers of MPI that `FFN_MPI` names. However a run ends, rank 0 writes down how.
#[test]
fn mpi_ends_the_same() {
    let Some(launchers) = std::env::var_os("FFN_MPI") else {
        return crate::skipped::skipped("FFN_MPI names no launcher of MPI (.ci/mpi)");
    };
    for launcher in std::env::split_paths(&launchers) {
        let place = tempfile::tempdir().unwrap();
        let out = place.path().join("stopped");
        mpi(&launcher, "2", &out, &["--max-minutes", "0"]);
        assert_eq!(outcome(&out), history::Outcome::Stopped);
        let out = place.path().join("diverged");
        let wild = "optimizer=Sgd(lr: 100.0, weight_decay: 1.0, clip: None)";
        mpi(&launcher, "2", &out, &["--set", wild]);
        assert_eq!(outcome(&out), history::Outcome::Diverged);
        for size in ["2", "3"] {
            let out = place.path().join(size);
            let output = mpi(&launcher, size, &out, &["--threads", "1"]);
            expect(&output, 0);
            let said = [stdout(&output), stderr(&output)].concat();
            assert!(said.contains("MPI, "), "{said}");
            assert_as_alone(&out);
        }
    }
}
