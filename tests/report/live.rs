//! `ffn watch`: its pages over HTTP, and in a browser while a training runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::json;

use crate::support::{Project, command, copy, expect, ffn, runs, stderr, stdout, tiny};
use crate::webdriver::{Browser, ask};

const TINY: &str = "fixtures/experiments/tiny.ron";

/// A server of the pages of a folder; it ends with this.
struct Server {
    process: Child,
    port: u16,
    /// As it was printed.
    address: String,
}

impl Server {
    fn of(place: &Path) -> Self {
        let place = place.to_str().unwrap();
        let mut process = command(&["watch", place, "--port", "0"]).spawn().unwrap();
        let mut address = String::new();
        let mut lines = BufReader::new(process.stdout.as_mut().unwrap());
        lines.read_line(&mut address).unwrap();
        let address = address.trim().to_owned();
        let port = address.split(['/', ':']).nth(4).unwrap().parse().unwrap();
        Self {
            process,
            port,
            address,
        }
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        ask(self.port, &format!("GET {path}"), &[], "")
    }

    /// The page of an address that there is.
    #[track_caller]
    fn page(&self, path: &str) -> String {
        let (status, head, body) = self.get(path);
        assert_eq!(status, 200, "{path}: {head}\n{body}");
        body
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn name(path: &Path) -> &str {
    path.file_name().unwrap().to_str().unwrap()
}

#[test]
fn a_run_is_shown_with_results_curves_and_log() {
    let server = Server::of(runs());
    let run = tiny();
    let index = server.page("/");
    let link = format!("href=\"run/{}\"", name(&run));
    assert!(
        index.contains(&link) && index.contains("1 run: 1 finished"),
        "{index}"
    );
    let page = server.page(&format!("/run/{}", name(&run)));
    for part in [
        "step 12 of 12 · epoch 4.0 of 4",
        "<td data-head=\"branch\">",
        "Training of tiny",
        "id=\"validation\"",
        "id=\"speed\"",
        "<td data-head=\"how\">finished</td>",
        "first step after",
        "kl.2",
    ] {
        assert!(page.contains(part), "no `{part}` in\n{page}");
    }
}

#[test]
fn given_a_run_its_page_is_named() {
    let server = Server::of(&tiny());
    let expected = format!("http://127.0.0.1:{}/run/{}", server.port, name(&tiny()));
    assert_eq!(server.address, expected);
    server.page(&format!("/run/{}", name(&tiny())));
}

#[test]
fn what_a_browser_has_is_not_sent_again() {
    let server = Server::of(runs());
    let (_, head, _) = server.get("/");
    let tag = head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .unwrap();
    let (status, _, body) = ask(server.port, "GET /", &[("If-None-Match", tag)], "");
    assert_eq!((status, body.as_str()), (304, ""));
}

#[test]
fn other_sites_other_verbs_and_other_places_are_refused() {
    let server = Server::of(runs());
    for host in ["evil.example", "127.0.0.1.nip.io", ""] {
        let (status, _, body) = ask(server.port, "GET /", &[("Host", host)], "");
        assert_eq!(status, 403, "{host}");
        assert!(!body.contains(name(&tiny())), "{body}");
    }
    for verb in ["POST", "PUT", "DELETE"] {
        assert_eq!(
            ask(server.port, &format!("{verb} /"), &[], "").0,
            405,
            "{verb}"
        );
    }
    let outside = [
        "/run/..",
        "/run/%2e%2e",
        "/run/..%2f..%2fetc",
        "/run/%ff",
        "/suite/nothing",
        "/Cargo.toml",
        "//etc/passwd",
        "/run/",
    ];
    for path in outside {
        let (status, _, body) = server.get(path);
        assert!([400, 404].contains(&status), "{path}: {status}\n{body}");
    }
    let (_, head, _) = server.get("/");
    assert!(
        head.contains("default-src 'none'; script-src 'self'"),
        "{head}"
    );
}

#[test]
fn what_stands_in_a_folder_is_text_and_what_is_damaged_is_told() {
    let project = Project::new("");
    let hostile = "<img src=x onerror=alert(1)>&amp;'\"{{x}} %2f";
    copy(&tiny(), &project.path("runs").join(hostile));
    let damaged = project.run();
    std::fs::write(damaged.join("manifest.json"), "{").unwrap();
    std::fs::write(
        project.path("runs").join(hostile).join("log.txt"),
        "</pre><script>alert(2)</script>\u{1b}[2J",
    )
    .unwrap();
    std::fs::create_dir(project.path("runs/suite")).unwrap();
    std::fs::write(project.path("runs/suite/suite.ron"), "nonsense").unwrap();
    let server = Server::of(&project.path("runs"));
    let index = server.page("/");
    assert!(
        index.contains("not readable") && index.contains("manifest.json"),
        "{index}"
    );
    let start = index.find("href=\"run/").unwrap() + 6;
    let address = index[start..].split('"').next().unwrap();
    let page = server.page(&format!("/{address}"));
    for text in [&index, &page] {
        assert!(
            !text.contains("<img") && !text.contains("<script>alert") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
    assert!(server.page("/suite/suite").contains("class=\"warning\""));
}

#[test]
fn a_folder_that_is_not_there_and_a_port_that_is_taken_are_told() {
    let output = ffn(&["watch", "nowhere"]);
    expect(&output, 2);
    insta::assert_snapshot!(stderr(&output), @r"
    error: there is no folder `nowhere`

    hint: runs are in the folder that `ffn run --out` names, `runs` without it
    ");
    let server = Server::of(runs());
    let port = server.port.to_string();
    let output = ffn(&["watch", runs().to_str().unwrap(), "--port", &port]);
    expect(&output, 2);
    insta::assert_snapshot!(stderr(&output).replace(&port, "PORT"), @r"
    error: cannot listen on port PORT of 127.0.0.1: another program has it

    hint: --port 0 takes any that is free
    ");
}

/// A training that goes on until it is asked to stop; it is killed with this.
struct Training {
    process: Child,
    out: PathBuf,
}

impl Training {
    fn below(out: &Path) -> Self {
        let text = out.to_str().unwrap();
        let settings = ["--set", "train.epochs=100000", "--set", "eval.every=20"];
        let mut command = command(&[&["run", TINY, "--out", text], &settings[..]].concat());
        Self {
            process: command.spawn().unwrap(),
            out: out.to_owned(),
        }
    }

    /// Its folder, once a file is in it.
    fn with(&mut self, file: &str) -> PathBuf {
        let run = |out: &Path| std::fs::read_dir(out).ok()?.next()?.ok().map(|e| e.path());
        loop {
            if let Some(run) = run(&self.out).filter(|run| run.join(file).exists()) {
                return run;
            }
            assert!(self.process.try_wait().unwrap().is_none(), "it ended");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to stop, and waits until everything is saved.
    fn stop(&mut self) {
        let pid = self.process.id().to_string();
        assert!(Command::new("kill").arg(pid).status().unwrap().success());
        assert_eq!(self.process.wait().unwrap().code(), Some(75));
    }
}

impl Drop for Training {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_run_under_work_is_drawn_and_told_so_far() {
    let place = tempfile::tempdir().unwrap();
    let mut training = Training::below(&place.path().join("runs"));
    let run = training.with("eval/epoch-0040/4.json");
    drop(training);
    // The line that was being written.
    let metrics = run.join("metrics.jsonl");
    let text = std::fs::read_to_string(&metrics).unwrap();
    std::fs::write(&metrics, text + "{\"step\":").unwrap();
    let (run, figures) = (run.to_str().unwrap(), place.path().join("figures"));
    let output = ffn(&["report", run]);
    expect(&output, 0);
    let table = stdout(&output);
    assert!(
        table.contains("(so far, after step ") && table.contains(" of 300000)"),
        "{table}"
    );
    let output = ffn(&["plot", run, "--out", figures.to_str().unwrap()]);
    expect(&output, 0);
    let drawn: Vec<_> = std::fs::read_dir(&figures)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    let training = drawn
        .iter()
        .find(|path| name(path).starts_with("training-"))
        .unwrap();
    assert!(
        std::fs::read_to_string(training)
            .unwrap()
            .contains("(so far)")
    );
    // What holds only of a finished run is refused as before.
    expect(&ffn(&["analyse", run]), 5);
}

#[test]
fn metrics_are_exported_until_the_run_is_finished() {
    let place = tempfile::tempdir().unwrap();
    let (out, metrics) = (place.path().join("runs"), place.path().join("metrics"));
    let mut training = Training::below(&out);
    let run = training.with("manifest.json");
    let (run, metrics) = (run.to_str().unwrap(), metrics.to_str().unwrap());
    let flags = [
        "--to",
        "tensorboard",
        "--out",
        metrics,
        "--follow",
        "--every",
        "1",
    ];
    let mut follow = command(&[&["export-metrics", run], &flags[..]].concat())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follow.stdout.take().unwrap()).lines();
    let mut first = || lines.next().unwrap().unwrap();
    first();
    let file = events(Path::new(metrics));
    let before = std::fs::read(&file).unwrap();
    let inode = |path: &Path| std::os::unix::fs::MetadataExt::ino(&path.metadata().unwrap());
    let same = inode(&file);
    first();
    first();
    training.stop();
    assert!(follow.wait().unwrap().success(), "it ends with the run");
    let after = std::fs::read(&file).unwrap();
    assert!(
        after.len() > before.len() && after.starts_with(&before),
        "written on"
    );
    assert_eq!(inode(&file), same, "the file that TensorBoard has open");
    let once = place.path().join("once");
    let flags = ["--to", "tensorboard", "--out", once.to_str().unwrap()];
    expect(&ffn(&[&["export-metrics", run], &flags[..]].concat()), 0);
    assert!(
        std::fs::read(events(&once)).unwrap() == after,
        "the last is the whole"
    );
}

/// The one event file in a folder of one run.
fn events(folder: &Path) -> PathBuf {
    let only = |folder: &Path| {
        std::fs::read_dir(folder)
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path()
    };
    only(&only(folder))
}

#[test]
fn a_page_in_a_browser_follows_a_training_by_itself() {
    let Some(browser) = Browser::open(390, true) else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let server = Server::of(out.path());
    browser.go(&server.address);
    browser.wait("document.body.innerText.includes('No run has begun')");
    browser.run("window.loaded = 'once'");
    let mut training = Training::below(out.path());
    browser.wait("document.querySelector('.working')");
    let run = browser.run("const a = document.querySelector('tbody a'); a.click(); return a.href");
    browser.wait("location.pathname.startsWith('/run/') && document.querySelector('progress')");
    browser.run("window.loaded = 'once'; window.first = document.querySelector('progress').parentNode.textContent");
    browser.wait("document.querySelector('progress').parentNode.textContent !== window.first && document.querySelector('#training polyline')");
    // What is selected stays so.
    browser.run("const log = document.querySelector('pre').firstChild; getSelection().selectAllChildren(log.parentNode)");
    browser.run("window.first = document.querySelector('progress').parentNode.textContent");
    browser.wait("document.querySelector('progress').parentNode.textContent !== window.first");
    let selected = "return String(getSelection()).includes('first step after')";
    assert_eq!(browser.run(selected), json!(true));
    training.stop();
    browser.wait("document.querySelector('.state.stopped')");
    let after = browser.run("return [window.loaded, location.href, document.title.split(' ')[0]]");
    assert_eq!(
        after,
        json!(["once", run, "stopped"]),
        "put in place, not loaded again"
    );
    let wide = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
    assert_eq!(browser.run(wide), json!(0), "wider than a phone");
    let paper = "return getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.run(paper), json!("rgb(22, 24, 28)"), "not dark");
    assert_eq!(browser.complaints(), Vec::<String>::new());
    drop(server);
    browser.wait("document.getElementById('updated').textContent.startsWith('no answer since')");
}
