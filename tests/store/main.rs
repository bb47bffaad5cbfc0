//! Packs on object stores: against a server of the test's own, which fails as it is told to, and against moto behind it.
//!
//! What every test asks for is that a run has the bytes that the same run from the local pack has.

#[path = "../support/limit.rs"]
mod limit;
#[path = "../support/skipped.rs"]
mod skipped;

mod moto;
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use ffn::base::files;
use limit::{InTime, wait_until};
use server::{Backend, Fault, Server};
use tempfile::TempDir;

const EXPERIMENT: &str = r#"Experiment(
    name: "small",
    model: Tsm(backbone: ResNet(block: Basic, blocks: [1, 1], width: 8, stem: Small), init: Random),
    method: Ffn(frames: [4, 8]),
    data: Miniature(pins: "small.pins.ron", train: 24, validation: 8, size: 64, frames: 20),
    train: (epochs: 3, batch: 6, clips: (crop: Centre(short_side: 64), flip: Off, size: 32)),
    optimizer: Sgd(lr: 0.01),
    schedule: (shape: Cosine(last: 0.01), step: Iteration),
    eval: (frames: [4, 8], short_side: 64, size: 32, batch: 3),
)"#;

/// What of the environment would lead to a real store, or make one of these.
const FOREIGN: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The experiment, its data pinned, a pack of them in `pack`, and what a run from it leaves.
struct Packed {
    folder: TempDir,
    expected: Results,
}

static PACKED: LazyLock<Packed> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("small.ron"), EXPERIMENT).unwrap();
    let place = Place {
        folder: folder.path().to_owned(),
        config: String::new(),
        variables: Vec::new(),
    };
    for arguments in [
        &["data", "pin", "small.ron"][..],
        &[
            "data",
            "pack",
            "small.ron",
            "--out",
            "pack",
            "--shard-mib",
            "1",
        ],
    ] {
        place.succeed(arguments);
    }
    let expected = place.run("pack", "local", &[]);
    Packed { folder, expected }
});

/// The files of a run that are results, by their paths.
type Results = BTreeMap<String, String>;

fn results(out: &Path) -> Results {
    let run = fs::read_dir(out).unwrap().next().unwrap().unwrap().path();
    let mut found = BTreeMap::new();
    collect(&run, &run, &mut found);
    assert!(found.contains_key("metrics.jsonl") && found.contains_key("manifest.json"));
    // What has times in it, and processes.
    let of_clocks = ["history.json", "timing.jsonl", "log.txt", "lock"];
    found.retain(|name, _| !of_clocks.contains(&name.as_str()));
    found
}

fn collect(root: &Path, folder: &Path, found: &mut Results) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => collect(root, &path, found),
            false => {
                let name = path
                    .strip_prefix(root)
                    .unwrap()
                    .to_string_lossy()
                    .into_owned();
                found.insert(name, files::sha256_of_file(&path).unwrap());
            }
        }
    }
}

/// A folder in which `ffn` works.
struct Place {
    folder: PathBuf,
    /// `store: (…)`
    config: String,
    variables: Vec<(String, String)>,
}

impl Place {
    /// With the experiment and its pins, and a cache of its own.
    fn new(folder: &TempDir, settings: &str) -> Self {
        for name in ["small.ron", "small.pins.ron", "small.pins.sha256"] {
            fs::copy(PACKED.folder.path().join(name), folder.path().join(name)).unwrap();
        }
        let cache = folder.path().join("cache");
        Self {
            folder: folder.path().to_owned(),
            config: format!("(store: (cache: {cache:?}, allow_http: true, {settings}))"),
            variables: Vec::new(),
        }
    }

    fn with(mut self, variables: &[(&str, &str)]) -> Self {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        self.variables.extend(variables.iter().map(own));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let config = self.path("config.ron");
        let text = if self.config.is_empty() {
            "()"
        } else {
            &self.config
        };
        fs::write(&config, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ffn"));
        for (name, _) in std::env::vars_os() {
            if FOREIGN
                .iter()
                .any(|start| name.to_string_lossy().starts_with(start))
            {
                command.env_remove(name);
            }
        }
        command
            .args(arguments)
            .current_dir(&self.folder)
            .env("FFN_CONFIG", config)
            .env("XDG_CACHE_HOME", self.path("user"))
            // Nobody asks the machine who he is.
            .env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
            .envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn output(&self, arguments: &[&str]) -> Output {
        self.command(arguments).in_time()
    }

    #[track_caller]
    fn succeed(&self, arguments: &[&str]) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8(output.stdout).unwrap() + &said
    }

    /// What it says, with this exit code.
    #[track_caller]
    fn fails(&self, arguments: &[&str], code: i32) -> String {
        let output = self.output(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
        said
    }

    /// A run into the folder `out`; its results.
    #[track_caller]
    fn run(&self, root: &str, out: &str, flags: &[&str]) -> Results {
        let arguments = ["run", "small.ron", "--data-root", root, "--out", out];
        self.succeed(&[&arguments, flags].concat());
        results(&self.path(out))
    }

    /// Names and sizes of what the cache holds.
    fn cached(&self) -> Vec<(String, u64)> {
        let entries = fs::read_dir(self.path("cache/shards"))
            .into_iter()
            .flatten();
        let file = |entry: std::io::Result<fs::DirEntry>| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_string_lossy().into_owned();
            Some((name, entry.metadata().ok()?.len()))
        };
        let files = entries.filter_map(file);
        files
            .filter(|(name, _)| !name.starts_with("lock-"))
            .collect()
    }
}

fn shards() -> usize {
    let entries = fs::read_dir(PACKED.folder.path().join("pack")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".tar")).count()
}

/// A server that gives the pack, and its address.
fn serve(has_tags: bool) -> (Server, String) {
    let folder = PACKED.folder.path().to_owned();
    let server = Server::start(Backend::Folder(folder), has_tags);
    let root = format!("http://{}/pack", server.address);
    (server, root)
}

/// All that fails for a while, for any number of workers, in a cache that holds all and in one that holds two files of many.
#[test]
fn a_run_has_the_bytes_of_the_local_pack_whatever_fails() {
    assert!(shards() >= 5, "{}", shards());
    for (cache_mib, workers, has_tags) in [(64, "1", true), (3, "3", false), (3, "1", true)] {
        let (server, root) = serve(has_tags);
        server.fail("pack.json", 2, Fault::Status(503));
        server.fail("videos.jsonl", 1, Fault::Cut(10));
        server.fail("shard-00000", 1, Fault::Status(500));
        server.fail("shard-00001", 2, Fault::Cut(300_000));
        server.fail("shard-00002", 1, Fault::Wrong);
        server.fail("shard-00003", 1, Fault::Stall(2500));
        let folder = tempfile::tempdir().unwrap();
        let settings = format!("cache_mib: {cache_mib}, patience_seconds: 60");
        let place = Place::new(&folder, &settings);
        let found = place.run(&root, "stored", &["--workers", workers]);
        assert!(found == PACKED.expected, "{cache_mib} {workers}");
        assert!(server.has_failed());
        let bytes: u64 = place.cached().iter().map(|(_, bytes)| bytes).sum();
        assert!(bytes <= cache_mib << 20, "{bytes}");
    }
}

/// What is whole in the cache is not fetched again; what is damaged there is; of two processes one fetches.
#[test]
fn the_cache_is_shared_and_looked_at() {
    let (server, root) = serve(true);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "");
    let start = |out: &str| {
        let mut command = place.command(&["run", "small.ron", "--data-root", &root, "--out", out]);
        command.stdout(std::process::Stdio::piped());
        command.stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    let both = [start("a"), start("b")].map(InTime::in_time);
    for output in &both {
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    assert!(results(&place.path("a")) == PACKED.expected);
    assert!(results(&place.path("b")) == PACKED.expected);
    assert_eq!(server.asked(".tar").len(), shards());

    let victim = place.cached().swap_remove(0).0;
    let victim = place.path("cache/shards").join(victim);
    let mut bytes = fs::read(&victim).unwrap();
    bytes[1000] ^= 1;
    fs::write(&victim, bytes).unwrap();
    assert!(place.run(&root, "c", &[]) == PACKED.expected);
    assert_eq!(server.asked(".tar").len(), 1);
    // The lists were not fetched again either, and the index was.
    assert!(place.run(&root, "d", &[]) == PACKED.expected);
    assert_eq!(server.asked(""), ["/pack/pack.json"]);
}

#[test]
fn a_run_that_was_killed_goes_on_to_the_same_bytes() {
    let (server, root) = serve(false);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "cache_mib: 3");
    server.fail("shard-00004", 1000, Fault::Stall(60_000));
    let arguments = ["run", "small.ron", "--data-root", &root, "--out", "killed"];
    let mut child = place.command(&arguments).spawn().unwrap();
    let unfinished = || {
        let files = place.cached();
        files.iter().any(|(name, _)| name.starts_with(".tmp-"))
    };
    wait_until("a file under way", || {
        !server.asked("shard-00004.tar").is_empty() && unfinished()
    });
    std::thread::sleep(Duration::from_millis(500));
    child.kill().unwrap();
    child.wait().unwrap();
    server.heal();
    assert!(place.run(&root, "killed", &[]) == PACKED.expected);
    assert!(
        place
            .cached()
            .iter()
            .all(|(name, _)| name.ends_with(".tar")),
        "{:?}",
        place.cached()
    );
}

/// Everything is saved, and the run goes on when the store is there again.
#[test]
fn a_run_that_waits_for_a_store_hears_a_signal() {
    let (server, root) = serve(true);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "patience_seconds: 600");
    server.fail("shard-00001", 1000, Fault::Stall(600_000));
    let arguments = ["run", "small.ron", "--data-root", &root, "--out", "stopped"];
    let child = place.command(&arguments).spawn().unwrap();
    wait_until("a file under way", || {
        !server.asked("shard-00001.tar").is_empty()
    });
    // By then the training is at the step that needs it.
    std::thread::sleep(Duration::from_secs(2));
    let id = child.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &id]).status();
    assert!(kill.unwrap().success());
    let asked = Instant::now();
    assert_eq!(child.in_time().status.code(), Some(75));
    assert!(asked.elapsed() < Duration::from_secs(20));
    server.heal();
    assert!(place.run(&root, "stopped", &[]) == PACKED.expected);
}

/// The cache of `--stage`, and what `ffn data verify` says and does.
#[test]
fn verification_fetches_all_where_it_is_asked_to() {
    let (server, root) = serve(true);
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "");
    let verify = ["data", "verify", "small.ron", "--data-root", &root];
    let said = place.succeed(&verify);
    assert!(
        said.contains("were not fetched: each is held against its hash"),
        "{said}"
    );
    assert!(server.asked(".tar").is_empty());
    let said = place.succeed(&[&verify[..], &["--full"]].concat());
    assert!(
        said.contains("are those of the pins") && !said.contains("not fetched"),
        "{said}"
    );
    assert_eq!(server.asked(".tar").len(), shards());

    assert!(place.run(&root, "staged", &["--stage", "node"]) == PACKED.expected);
    assert_eq!(server.asked(".tar").len(), shards());
    assert!(place.path("node/shards").is_dir());
    server.asked("");

    let other = tempfile::tempdir().unwrap();
    let place = Place::new(&other, "");
    server.fail("shard-00001", 1000, Fault::Wrong);
    let said = place.fails(&[&verify[..], &["--full"]].concat(), 4);
    assert!(
        said.contains("is not the file that was packed, twice"),
        "{said}"
    );
    // Each of the videos in it says so, and it was fetched twice in all.
    assert_eq!(server.asked("shard-00001.tar").len(), 2);
}

/// A copy of the pack in a folder, changed.
fn changed(change: impl FnOnce(&Path)) -> TempDir {
    let copy = tempfile::tempdir().unwrap();
    let pack = copy.path().join("pack");
    fs::create_dir_all(pack.join("texts")).unwrap();
    let source = PACKED.folder.path().join("pack");
    for folder in ["", "texts"] {
        for entry in fs::read_dir(source.join(folder)).unwrap() {
            let from = entry.unwrap().path();
            if from.is_file() {
                fs::copy(&from, pack.join(folder).join(from.file_name().unwrap())).unwrap();
            }
        }
    }
    change(&pack);
    copy
}

fn replace(path: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(path, text.replacen(from, to, 1)).unwrap();
}

/// What stays wrong is an error that names the address, says what was expected and found, and what to do.
#[test]
fn what_stays_wrong_is_said() {
    let run = |server: &Server, settings: &str| {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder, settings);
        let root = format!("http://{}/pack", server.address);
        move |code: i32| {
            let said = place.fails(&["run", "small.ron", "--data-root", &root], code);
            drop(folder);
            said.replace(&root, "ROOT")
        }
    };
    let check = |said: String, parts: &[&str]| {
        assert!(parts.iter().all(|part| said.contains(part)), "{said}");
    };
    let (server, _) = serve(true);
    for (part, fault, code, expected) in [
        (
            "pack.json",
            Fault::Status(404),
            4,
            &[
                "`ROOT/pack.json`: it is not there",
                "hint: an address leads",
            ][..],
        ),
        (
            "pack.json",
            Fault::Status(403),
            2,
            &["`ROOT/pack.json`: it is refused", "hint: "],
        ),
        (
            "pack.json",
            Fault::Status(400),
            8,
            &["`ROOT/pack.json`: it cannot be fetched", "400"],
        ),
        (
            "videos.jsonl",
            Fault::Wrong,
            4,
            &[
                "`ROOT/videos.jsonl` is not the file that was packed, twice",
                "expected  ",
                "computed  ",
            ],
        ),
        (
            "texts/",
            Fault::Wrong,
            4,
            &["is not the file that was packed, twice"],
        ),
        (
            "shard-00002",
            Fault::Wrong,
            4,
            &[
                "video `",
                "`ROOT/shard-00002.tar` is not the file",
                "hint: upload it again",
            ],
        ),
        (
            "shard-00002",
            Fault::Status(404),
            4,
            &["video `", "`ROOT/shard-00002.tar`: it is not there"],
        ),
        (
            "shard-00002",
            Fault::Status(503),
            8,
            &[
                "`ROOT/shard-00002.tar`: it cannot be fetched",
                "503",
                "look at the network",
            ],
        ),
        (
            "shard-00002",
            Fault::Cut(9),
            8,
            &["`ROOT/shard-00002.tar`: it cannot be fetched"],
        ),
    ] {
        server.fail(part, 1_000_000, fault);
        let began = Instant::now();
        check(run(&server, "patience_seconds: 2")(code), expected);
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "{part} {fault:?}"
        );
        server.heal();
    }
    check(
        run(&server, "cache_mib: 1")(2),
        &["may hold 1 MiB", "hint: `store: (cache_mib"],
    );
}

#[test]
fn packs_that_do_not_say_what_they_are_are_refused() {
    let zero = "0".repeat(64);
    type Case<'a> = (&'a str, &'a dyn Fn(&Path), &'a str);
    let cases: [Case; 5] = [
        (
            "old",
            &|pack| {
                let path = pack.join("pack.json");
                let text = fs::read_to_string(&path).unwrap();
                let mut index: serde_json::Value = serde_json::from_str(&text).unwrap();
                index["format"] = 1.into();
                index.as_object_mut().unwrap().remove("files");
                fs::write(&path, index.to_string()).unwrap();
            },
            "hint: pack the data again",
        ),
        (
            "path",
            &|pack| replace(&pack.join("pack.json"), "\"texts/", "\"../../texts/"),
            "`..` leads out",
        ),
        (
            "hash",
            &|pack| {
                let path = pack.join("pack.json");
                let text = fs::read_to_string(&path).unwrap();
                let at = text.find("\"sha256\": \"").unwrap() + 11;
                let hash = text[at..at + 64].to_owned();
                fs::write(&path, text.replace(&hash, &format!("../../{}", &zero[6..]))).unwrap();
            },
            "its hash is no SHA-256",
        ),
        (
            "shard",
            &|pack| {
                replace(
                    &pack.join("pack.json"),
                    "shard-00001.tar",
                    "shard-10001.tar",
                )
            },
            "does not say what `shard-00001.tar` is",
        ),
        (
            "text",
            &|pack| fs::write(pack.join("pack.json"), "{").unwrap(),
            "`pack.json`: EOF",
        ),
    ];
    for (name, change, expected) in cases {
        let copy = changed(change);
        let server = Server::start(Backend::Folder(copy.path().to_owned()), true);
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder, "");
        let root = format!("http://{}/pack", server.address);
        let said = place.fails(&["run", "small.ron", "--data-root", &root], 4);
        assert!(said.contains(expected), "{name}: {said}");
        if name == "old" {
            // In a folder it is read as ever.
            let root = copy.path().join("pack");
            assert!(place.run(root.to_str().unwrap(), "old", &[]) == PACKED.expected);
        }
    }
}

#[test]
fn addresses_that_lead_nowhere_are_said() {
    let folder = tempfile::tempdir().unwrap();
    let place = Place::new(&folder, "patience_seconds: 1");
    let said = |root: &str, code| place.fails(&["run", "small.ron", "--data-root", root], code);
    assert!(said("hdfs://a/b", 2).contains("`hdfs://` is not known"));
    let secret = said("https://me:SECRET@127.0.0.1/a", 2);
    assert!(
        secret.contains("credentials are taken from the environment") && !secret.contains("SECRET")
    );
    let closed = said("https://127.0.0.1:1/a", 8);
    assert!(
        closed.contains("`https://127.0.0.1:1/a/pack.json`: it cannot be fetched")
            && closed.contains("hint: look at the network"),
        "{closed}"
    );
    // Who is nobody asks the machine, which here has nobody to ask.
    let nobody = said("s3://bucket/pack", 2);
    assert!(
        nobody.contains("no credentials") && nobody.contains("AWS_ACCESS_KEY_ID"),
        "{nobody}"
    );

    let plain = tempfile::tempdir().unwrap();
    let mut place = Place::new(&plain, "");
    place.config = "(store: (allow_http: false))".to_owned();
    let said = place.fails(
        &["run", "small.ron", "--data-root", "http://127.0.0.1:1/a"],
        2,
    );
    assert!(
        said.contains("is not encrypted") && said.contains("allow_http"),
        "{said}"
    );
    place.config = "(store: (cache_gib: 3))".to_owned();
    let said = place.fails(
        &["run", "small.ron", "--data-root", "http://127.0.0.1:1/a"],
        2,
    );
    assert!(
        said.contains("config.ron") && said.contains("cache_gib"),
        "{said}"
    );
}

/// Their protocols are read far enough here: the right file is asked for, and what is refused says what is missing.
#[test]
fn google_and_azure_are_asked_for_the_right_file() {
    let pack = PACKED.folder.path().join("pack");
    let copy = tempfile::tempdir().unwrap();
    let bucket = copy.path().join("bucket/some");
    fs::create_dir_all(&bucket).unwrap();
    std::os::unix::fs::symlink(&pack, bucket.join("pack")).unwrap();
    let server = Server::start(Backend::Folder(copy.path().to_owned()), true);
    let endpoint = format!("http://{}", server.address);
    let google = [
        ("GOOGLE_BASE_URL", endpoint.as_str()),
        ("GOOGLE_SKIP_SIGNATURE", "true"),
        ("GOOGLE_ALLOW_HTTP", "true"),
    ];
    let azure = [
        ("AZURE_STORAGE_ENDPOINT", endpoint.as_str()),
        ("AZURE_STORAGE_ACCOUNT_NAME", "me"),
        ("AZURE_SKIP_SIGNATURE", "true"),
        ("AZURE_ALLOW_HTTP", "true"),
    ];
    for (root, variables) in [
        ("gs://bucket/some/pack", &google[..]),
        ("az://bucket/some/pack", &azure[..]),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let place = Place::new(&folder, "patience_seconds: 2").with(variables);
        assert!(place.run(root, "stored", &[]) == PACKED.expected, "{root}");
        server.asked("");
        server.fail("pack.json", 1, Fault::Status(403));
        let said = place.fails(&["data", "verify", "small.ron", "--data-root", root], 2);
        assert!(
            said.contains(&format!("`{root}/pack.json`: it is refused")),
            "{said}"
        );
        assert!(said.contains("ACCOUNT"), "{said}");
        // Google's client writes every sign in hexadecimal.
        let asked = server
            .asked("")
            .concat()
            .replace("%2E", ".")
            .replace("%2F", "/");
        assert_eq!(asked, "/bucket/some/pack/pack.json");
    }
}
