//! `ffn submit`, with a Slurm that is made of scripts.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::*;

/// A folder whose programs come first on the PATH, and what they were given.
struct Fake(tempfile::TempDir);

impl Fake {
    fn new(programs: &[(&str, &str)]) -> Self {
        let fake = Self(tempfile::tempdir().unwrap());
        for (name, script) in programs {
            let path = fake.path(name);
            fs::write(
                &path,
                format!("#!/bin/bash\nhere={:?}\n{script}\n", fake.0.path()),
            )
            .unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        fake
    }

    /// An `sbatch` that keeps each script with its arguments and names jobs from 101 on.
    fn sbatch() -> Self {
        Self::new(&[(
            "sbatch",
            "job=$((101 + $(ls \"$here\" | grep -c '^job-')))
             { echo \"$@\"; cat; } > \"$here/job-$job\"
             echo \"$job;cluster\"",
        )])
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    fn on_path(&self, command: &mut Command) {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        command.env("PATH", path).env_remove("SLURM_CONF");
    }

    fn ffn(&self, arguments: &[&str]) -> Output {
        let mut command = command(arguments);
        self.on_path(&mut command);
        command.in_time()
    }

    fn submit(&self, file: &str, out: &Path, flags: &[&str]) -> Output {
        self.ffn(&[&["submit", file, "--out", out.to_str().unwrap()], flags].concat())
    }
}

fn runs(out: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(out)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut runs: Vec<_> = entries
        .filter(|path| path.join("manifest.json").exists())
        .collect();
    runs.sort();
    runs
}

#[test]
fn the_missing_runs_become_an_array_and_a_last_job() {
    let fake = Fake::sbatch();
    let place = finished();
    for run in &runs(place.path())[..2] {
        fs::remove_dir_all(run).unwrap();
    }
    let flags = ["--time", "8:00:00", "--partition", "main", "--cpus", "2"];
    let output = fake.submit(TINY, place.path(), &flags);
    expect(&output, 0);
    let said = stdout(&output);
    assert!(said.contains("job 101: 2 runs of tiny_suite"), "{said}");
    assert!(said.contains("4 finished already"), "{said}");
    assert!(said.contains("job 102: judges the claims"), "{said}");
    let (array, last) = (fake.read("job-101"), fake.read("job-102"));
    assert!(array.starts_with("--parsable\n#!/bin/bash\n"), "{array}");
    for line in [
        "#SBATCH --array=1-2\n",
        "#SBATCH --requeue\n",
        "#SBATCH --signal=TERM@300\n",
        "#SBATCH --time=8:00:00\n",
        "#SBATCH --partition=main\n",
        "#SBATCH --cpus-per-task=2\n",
        "    1) set -- fixtures/suites/tiny.ron --member ffn --seed ",
        " --threads 2 --workers 2 ||",
    ] {
        assert!(array.contains(line), "{line}{array}");
    }
    assert!(
        last.starts_with("--parsable --dependency=afterany:101\n"),
        "{last}"
    );
    assert!(last.contains(" --judge || code=$?\n"), "{last}");
    assert!(place.path().join("slurm").is_dir());
    assert!(suite_folder(place.path()).join("suite.json").exists());
}

#[test]
fn what_is_finished_is_not_submitted() {
    let fake = Fake::sbatch();
    let place = finished();
    let output = fake.submit(TINY, place.path(), &[]);
    expect(&output, 0);
    assert!(
        stdout(&output).contains("6 runs finished already"),
        "{}",
        stdout(&output)
    );
    assert_eq!(fake.read("job-101"), "");
}

/// The queue has the first submission's jobs: the same files again submit nothing, another suite what the queue lacks.
#[test]
fn what_is_queued_is_not_submitted_again() {
    let fake = Fake::new(&[
        (
            "sbatch",
            "job=$((101 + $(ls \"$here\" | grep -c '^job-'))); { echo \"$@\"; cat; } > \"$here/job-$job\"; echo $job",
        ),
        (
            "squeue",
            "for i in 1 2 3 4 5 6; do echo \"101|$i|PENDING||Priority|ffn-tiny_suite\"; done
             echo '102|N/A|PENDING||Dependency|ffn-tiny_suite-last'
             echo '7|N/A|RUNNING|n1|None|somebody.sh'",
        ),
        ("scontrol", "tail -n +2 \"$here/job-$3\""),
    ]);
    let place = tempfile::tempdir().unwrap();
    // Not asked for the queue, because there are no scripts to be asked for yet.
    let first = fake.submit(TINY, place.path(), &[]);
    expect(&first, 0);
    let again = fake.submit(TINY, place.path(), &[]);
    expect(&again, 0);
    assert!(
        stdout(&again).contains("6 in the queue"),
        "{}",
        stdout(&again)
    );
    assert_eq!(fake.read("job-103"), "");

    let (_folder, other) = suite(
        "other",
        "(name: \"new\", experiment: \"tiny.ron\", with: (train: (epochs: 1))),",
    );
    let output = fake.submit(&other, place.path(), &[]);
    expect(&output, 0);
    assert!(
        stdout(&output).contains("not submitted: 0 finished already, 2 in the queue"),
        "{}",
        stdout(&output)
    );
    assert!(fake.read("job-103").contains("#SBATCH --array=1-2\n"));
    // The claims of this suite are judged when all that it consists of has ended.
    let last = fake.read("job-104");
    assert!(
        last.starts_with("--parsable --dependency=afterany:103:101_1:101_2\n"),
        "{last}"
    );

    let watched = watched_with(&fake, place.path());
    assert!(
        watched.contains("pending (Priority)") && watched.contains("job 101_6"),
        "{watched}"
    );
}

/// What `ffn runs --watch` says at first.
fn watched_with(fake: &Fake, runs: &Path) -> String {
    let mut command = command(&["runs", runs.to_str().unwrap(), "--watch", "--every", "1"]);
    fake.on_path(&mut command);
    let mut child = command.spawn().unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2500));
    child.kill().unwrap();
    let said = stdout(&child.in_time());
    assert!(said.matches("waiting in the queue").count() >= 2, "{said}");
    said
}

/// A suite with the tiny FFN, which is in every suite here, and other members.
fn suite(name: &str, members: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("it's a place");
    fs::create_dir(&place).unwrap();
    let experiments = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/experiments");
    for file in ["tiny.ron", "pins"] {
        std::os::unix::fs::symlink(experiments.join(file), place.join(file)).unwrap();
    }
    let text = format!(
        "Suite(name: \"{name}\", seeds: [1, 2], members: [(name: \"ffn\", experiment: \"tiny.ron\"), {members}])"
    );
    let path = place.join("a \"suite\" $HOME.ron");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (folder, path)
}

/// A Slurm that is good enough for one script: `srun` runs what follows its options, `scontrol` says what it was asked for.
fn one_element(fake: &Fake, script: &str, element: &str) -> Output {
    let mut shell = Command::new("bash");
    shell
        .args(["-c", script])
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    shell
        .env("SLURM_ARRAY_JOB_ID", "7")
        .env("SLURM_ARRAY_TASK_ID", element);
    for (name, value) in command(&[]).get_envs() {
        shell.env(name, value.unwrap());
    }
    fake.on_path(&mut shell);
    shell.in_time()
}

#[test]
fn scripts_run_what_they_name_whatever_it_is_called() {
    let fake = Fake::new(&[
        ("srun", "while [[ $1 == --* ]]; do shift; done; exec \"$@\""),
        ("scontrol", "echo \"$@\" >> \"$here/asked\""),
    ]);
    let (folder, file) = suite(
        "odd",
        "(name: \"it's \\\"new\\\" $HOME `x`\", experiment: \"tiny.ron\", with: (train: (epochs: 1))),",
    );
    let out = folder.path().join("my \"runs\" 50%");
    let flags = ["--print", "--", "--max-minutes", "0"];
    let stopping = stdout(&fake.submit(&file, &out, &flags));
    let output = one_element(&fake, &stopping, "3");
    expect(&output, 75);
    assert_eq!(fake.read("asked"), "requeue 7_3\n");
    let going_on = stdout(&fake.submit(&file, &out, &["--print"]));
    let output = one_element(&fake, &going_on, "3");
    expect(&output, 0);
    assert_eq!(runs(&out).len(), 1);
    assert_eq!(fake.read("asked"), "requeue 7_3\n");
    // Finished: the script has another third element now.
    let left = stdout(&fake.submit(&file, &out, &["--print"]));
    assert!(left.contains("#SBATCH --array=1-3\n"), "{left}");
    expect(&one_element(&fake, &left, "9"), 2);
}

#[test]
fn what_cannot_be_submitted_is_told() {
    let place = tempfile::tempdir().unwrap();
    let fake = Fake::sbatch();
    let template = place.path().join("site.sh");
    fs::write(&template, "module load x\n#SBATCH --account=lab\n").unwrap();
    let template = template.to_str().unwrap();
    for (flags, message) in [
        (&["--time", "8h"][..], "`8h` is no time limit"),
        (
            &["--ranks", "2"],
            "--ranks 2: too few `train.shards` in 6 runs (`ffn` has 1)",
        ),
        (
            &["--time", "1", "--grace", "60"],
            "--grace 60 is no less than",
        ),
        (&["--gres", "gpu 1"], "--gres takes a word"),
        (&["--sbatch", "exclude=n3"], "--sbatch takes an option"),
        (&["--template", template], "line 2 of the template"),
        (&["--", "--jobs", "2"], "--jobs is no flag for one run"),
        (&["--", "other.ron"], "another FILE is no flag"),
        (&["--", "--set", "seed=3"], "--set stands after `--`"),
        (
            &["--", "--no-such-flag"],
            "unexpected argument '--no-such-flag'",
        ),
    ] {
        let output = fake.submit(TINY, place.path(), flags);
        expect(&output, 2);
        assert!(stderr(&output).contains(message), "{}", stderr(&output));
    }
    assert_eq!(fake.read("job-101"), "");

    let without = Fake::new(&[]);
    let mut command = command(&["submit", TINY, "--out", place.path().to_str().unwrap()]);
    let output = command.env("PATH", without.0.path()).in_time();
    expect(&output, 2);
    assert!(
        stderr(&output).contains("there is no `sbatch`"),
        "{}",
        stderr(&output)
    );
    assert!(stderr(&output).contains("hint: "), "{}", stderr(&output));

    let refusing = Fake::new(&[(
        "sbatch",
        "echo 'sbatch: error: invalid partition specified: x' >&2; exit 1",
    )]);
    let output = refusing.submit(TINY, place.path(), &["--partition", "x"]);
    expect(&output, 2);
    assert!(
        stderr(&output).contains("invalid partition"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn a_users_own_lines_come_first() {
    let fake = Fake::sbatch();
    let place = tempfile::tempdir().unwrap();
    fs::write(
        place.path().join("slurm.sh"),
        "#SBATCH --account=lab\nmodule load x\n",
    )
    .unwrap();
    let out = place.path().join("runs");
    let mut command = command(&["submit", TINY, "--print", "--out", out.to_str().unwrap()]);
    fake.on_path(&mut command);
    command.env("FFN_CONFIG", place.path().join("config.ron"));
    let output = command.in_time();
    expect(&output, 0);
    let script = stdout(&output);
    assert_eq!(
        script
            .matches("\n#SBATCH --account=lab\nmodule load x\n\n")
            .count(),
        2,
        "{script}"
    );
}
