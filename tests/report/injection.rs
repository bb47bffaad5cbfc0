//! Books, runs and suites of somebody else: what they say stays text, what they name stays unread, and nothing of them runs.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use html5ever::tokenizer::{
    BufferQueue, TagKind, Token, TokenSink, TokenSinkResult, Tokenizer, TokenizerOpts,
};
use serde_json::json;

use crate::support::*;
use crate::tables::suite;

const NASTY: &str = "m`<img src=x onerror=alert(1)>`<script>alert(2)</script>|{{#include ../../../secret.txt}}\u{1b}[31m\n\n# x](y)";

/// A name that a folder can have.
const NASTY_FOLDER: &str = "tiny <img src=x onerror=alert(1)> {{#include ..}} `[x](y) \"'\n#?";

/// The elements of a page in their order with the names of their attributes, as a browser reads them.
#[derive(Default)]
struct Elements {
    found: RefCell<Vec<String>>,
}

impl TokenSink for Elements {
    type Handle = ();

    fn process_token(&self, token: Token, _: u64) -> TokenSinkResult<()> {
        if let Token::TagToken(tag) = token {
            let attributes = tag.attrs.iter().map(|a| a.name.local.to_string());
            let names: Vec<String> = attributes.collect();
            let end = if tag.kind == TagKind::EndTag { "/" } else { "" };
            self.found
                .borrow_mut()
                .push(format!("{end}{} {}", tag.name, names.join(" ")));
        }
        TokenSinkResult::Continue
    }
}

fn elements(html: &str) -> Vec<String> {
    let input = BufferQueue::default();
    input.push_back(html.into());
    let tokenizer = Tokenizer::new(Elements::default(), TokenizerOpts::default());
    let _ = tokenizer.feed(&input);
    tokenizer.sink.found.into_inner()
}

/// Replaces every text of a run and its suite by what `of` makes of it, and builds a book of all their pages.
fn book_of(of: impl Fn(&str) -> String, folder: &str) -> Project {
    let page = "<!-- results -->\n# R\n\n{{run tiny}} {{claim small gap}}\n\n{{verdicts small}}\n\n{{members small}}\n\n\
                {{results tiny}}\n\n{{classes tiny}}\n\n{{plot deviation small}}\n\n{{plot confusion-4 tiny}}\n\n\
                {{code secret.rs secret}}\n";
    let project = Project::new(page);
    project.write("secret.txt", "top secret");
    project.write(
        "secret.rs",
        &format!("secret\n{}\n", of("plain").replace('\n', " ")),
    );
    let suite = suite(&project);
    let run = project.run();
    let classes: Vec<String> =
        serde_json::from_slice(&fs::read(run.join("classes.json")).unwrap()).unwrap();
    let classes: Vec<String> = classes.iter().map(|name| of(name)).collect();
    let text = serde_json::to_string(&classes).unwrap();
    fs::write(run.join("classes.json"), &text).unwrap();
    let mut manifest = document(&run.join("manifest.json"));
    manifest["files"]["classes.json"] = ffn::base::files::sha256(text.as_bytes()).into();
    for field in ["os", "cpu", "device_class"] {
        manifest["machines"][0][field] = of(field).into();
    }
    for field in ["version", "commit", "source_sha256"] {
        manifest["builds"][0][field] = of(field).into();
    }
    let hash = write_sealed(&run.join("manifest.json"), manifest);
    let mut history = document(&run.join("history.json"));
    history["files"]["manifest.json"] = hash.into();
    write_sealed(&run.join("history.json"), history);

    let old = run.file_name().unwrap().to_str().unwrap();
    fs::rename(&run, run.with_file_name(folder)).unwrap();
    let mut record = document(&suite.join("suite.json"));
    record["members"][0]["name"] = of("tiny").into();
    record["members"][0]["run"] = folder.into();
    record["members"][0]["variant"] = json!({ of("field"): of("value") });
    write_sealed(&suite.join("suite.json"), record);
    let verdicts = fs::read_to_string(suite.join("verdicts.json")).unwrap();
    let mut verdicts: serde_json::Value = serde_json::from_str(&verdicts).unwrap();
    for claim in verdicts.as_array_mut().unwrap() {
        for field in ["sentence", "source", "reason"] {
            if let Some(text) = claim[field].as_str() {
                claim[field] = of(text).into();
            }
        }
        let evidence = claim["evidence"].as_object().unwrap();
        claim["evidence"] = evidence
            .iter()
            .map(|(path, hash)| (path.replace(old, folder), hash.clone()))
            .collect::<serde_json::Map<_, _>>()
            .into();
    }
    fs::write(suite.join("verdicts.json"), verdicts.to_string()).unwrap();
    project
}

/// Every file below a folder, sorted.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

/// What differs between a book of plain names and one of hostile ones is text: no element, no attribute.
#[test]
fn hostile_names_add_no_element_and_disclose_no_file() {
    let plain = book_of(str::to_owned, "tiny-0");
    let hostile = book_of(|_| NASTY.to_owned(), NASTY_FOLDER);
    expect(&plain.build(), 0);
    expect(&hostile.build(), 0);
    let pages = |project: &Project| {
        let mut files = below(&project.path("out/html"));
        files.retain(|path| path.extension().is_some_and(|e| e == "html"));
        files
    };
    let (plain_pages, hostile_pages) = (pages(&plain), pages(&hostile));
    assert_eq!(plain_pages.len(), hostile_pages.len());
    for (plain, hostile) in plain_pages.iter().zip(&hostile_pages) {
        let read = |path: &Path| elements(&fs::read_to_string(path).unwrap());
        // The key of a matrix breaks long names into lines.
        let without_lines = |path: &Path| {
            let mut elements = read(path);
            elements.retain(|element| !element.starts_with("text ") && element != "/text ");
            elements
        };
        assert_eq!(
            without_lines(plain),
            without_lines(hostile),
            "{}",
            hostile.display()
        );
    }
    for file in below(&hostile.path("out")) {
        let bytes = fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("top secret"), "{}", file.display());
    }
    let mut scripts = below(&hostile.path("out/html"));
    scripts.retain(|path| {
        path.file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("searcher")
    });
    let [script] = &scripts[..] else {
        panic!("{scripts:?}")
    };
    let script = fs::read_to_string(script).unwrap();
    assert!(script.contains("+ escapeHTML(result.doc.breadcrumbs)"));
    let results = hostile.read("out/html/results.html");
    assert!(
        results.contains("&lt;script&gt;alert(2)&lt;/script&gt;|{{#include ../../../secret.txt}}"),
        "{results}"
    );

    let suite = hostile.path("runs/small-12345678");
    for format in ["md", "html", "latex"] {
        let output = ffn(&["report", suite.to_str().unwrap(), "--format", format]);
        expect(&output, 0);
        let text = stdout(&output);
        assert!(
            !text.contains(['\u{1b}', '\r']) && !text.replace("\\<", "").contains("<script"),
            "{text}"
        );
    }
    let out = hostile.path("plots");
    expect(
        &ffn(&[
            "plot",
            suite.to_str().unwrap(),
            "--out",
            out.to_str().unwrap(),
        ]),
        0,
    );
    assert!(below(&out).iter().all(|path| path.parent() == Some(&out)));
}

#[test]
fn no_program_of_a_book_runs_unasked() {
    let project = Project::new("# R\n");
    let mark = project.path("EXECUTED");
    let settings = format!(
        "[book]\ntitle = \"t\"\n[preprocessor.mine]\ncommand = \"touch {}\"\n[output.html]\n[output.pdf]\n",
        mark.display()
    );
    project.write("book/book.toml", &settings);
    let output = project.build();
    expect(&output, 2);
    let error = stderr(&output);
    assert!(
        error.contains("the program `mine`: touch ")
            && error.contains("the program `pdf`: mdbook-pdf"),
        "{error}"
    );
    assert!(
        error.contains("hint: ") && error.contains("--allow NAME"),
        "{error}"
    );
    assert!(!mark.exists());

    let output = project.build_with(&["--allow", "mine", "--allow", "typo"]);
    expect(&output, 2);
    assert!(
        stderr(&output).contains("`--allow typo` names no"),
        "{}",
        stderr(&output)
    );
    assert!(!mark.exists());

    // `touch` gives back no book, and says so; it did run.
    project.write("book/book.toml", &settings.replace("[output.pdf]\n", ""));
    expect(&project.build_with(&["--allow", "mine"]), 2);
    assert!(mark.exists());
}

#[test]
fn settings_lead_nowhere_out_of_the_book() {
    let project = Project::new("# R\n");
    let settings = "[book]\nsrc = \"../..\"\n[output.html]\ntheme = \"../x\"\nadditional-css = [\"a.css\", \"/etc/b.css\"]\n\
                    additional-js = [\"../c.js\"]\ninput-404 = \"../d.md\"\n[output.html.redirect]\n\"/../../e\" = \"x\"\n";
    project.write("book/book.toml", settings);
    let output = project.build();
    expect(&output, 2);
    let error = stderr(&output).replace(project.path("").to_str().unwrap(), "PROJECT/");
    insta::assert_snapshot!("settings", error);
    assert!(!project.path("out").exists());
}

/// Includes are text inside of code, and no reference outside of it.
#[test]
fn files_are_included_only_where_that_is_allowed() {
    let project = Project::new("# R\n\n```text\n{{#include ../../secret.txt}}\n```\n");
    project.write("secret.txt", "top secret");
    expect(&project.build(), 0);
    assert!(
        project
            .read("out/html/results.html")
            .contains("{{#include ../../secret.txt}}")
    );
    expect(&project.build_with(&["--allow", "links"]), 0);
    assert!(project.read("out/html/results.html").contains("top secret"));
    project.write("book/src/results.md", "{{#include ../../secret.txt}}\n");
    fs::remove_dir_all(project.path("out")).unwrap();
    assert!(
        project
            .mistakes()
            .contains("there is no reference `#include`")
    );
}

#[test]
fn the_contents_name_pages_of_the_book() {
    let project = Project::new("# R\n");
    project.write("outside.md", "top secret");
    let summary = "# Summary\n\n- [A](a.md)\n- [B](../../outside.md)\n- [C](/etc/hostname)\n- [D](missing.md)\n- [E]()\n";
    project.write("book/src/SUMMARY.md", summary);
    insta::assert_snapshot!("contents", project.mistakes());
    project.write(
        "book/src/SUMMARY.md",
        "# Summary\n\n- [A](./a.md)\n- [E]()\n",
    );
    expect(&project.build(), 0);
    fs::remove_file(project.path("book/src/SUMMARY.md")).unwrap();
    let output = project.build();
    expect(&output, 2);
    assert!(stderr(&output).contains("SUMMARY.md` is not there"));
}

#[cfg(unix)]
#[test]
fn links_lead_nowhere_out_of_the_book() {
    use std::os::unix::fs::symlink;
    let project = Project::new("# R\n\n{{source link.txt}}\n");
    symlink("/etc/hostname", project.path("link.txt")).unwrap();
    assert!(
        project
            .mistakes()
            .contains("`link.txt` is a link that leads out")
    );

    project.write("book/src/results.md", "# R\n");
    symlink("a.md", project.path("book/src/b.md")).unwrap();
    expect(&project.build(), 0);
    project.write("outside.md", "top secret");
    for name in ["c.md", "d.css"] {
        symlink(
            project.path("outside.md"),
            project.path("book/src").join(name),
        )
        .unwrap();
    }
    let output = project.build();
    expect(&output, 2);
    let error = stderr(&output);
    assert!(
        error.contains("book/src/c.md`, `") && error.contains("book/src/d.css`"),
        "{error}"
    );
}

/// What a link leads to is not handed on with a run.
#[cfg(unix)]
#[test]
fn a_document_that_is_a_link_is_not_exported() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    copy(&tiny(), &run);
    fs::rename(run.join("eval/4.json"), place.path().join("4.json")).unwrap();
    std::os::unix::fs::symlink("../../4.json", run.join("eval/4.json")).unwrap();
    let out = place.path().join("out");
    let output = ffn(&[
        "export-metrics",
        run.to_str().unwrap(),
        "--to",
        "mlflow",
        "--out",
        out.to_str().unwrap(),
    ]);
    expect(&output, 5);
    assert!(
        stderr(&output).contains("eval/4.json` is a link"),
        "{}",
        stderr(&output)
    );
    assert!(!out.exists());
}

/// A run's metrics have names of the run's own, which become paths of files.
#[test]
fn exported_files_stay_where_they_should() {
    let place = tempfile::tempdir().unwrap();
    let run = place.path().join("run");
    copy(&tiny(), &run);
    let metrics = run.join("metrics.jsonl");
    let text = fs::read_to_string(&metrics).unwrap();
    let hostile = text.replacen(
        "\"terms\":{",
        "\"terms\":{\"../../../../../../escaped\":1.0,\"a b\\n\":2.0,",
        1,
    );
    assert_ne!(text, hostile);
    fs::write(&metrics, hostile).unwrap();
    let out = place.path().join("a/b/c/d");
    for format in ["mlflow", "tensorboard", "csv", "parquet"] {
        let arguments = [
            "export-metrics",
            run.to_str().unwrap(),
            "--to",
            format,
            "--out",
            out.to_str().unwrap(),
        ];
        expect(&ffn(&arguments), 0);
    }
    let written = below(place.path());
    let outside = written
        .iter()
        .filter(|path| !path.starts_with(&out) && !path.starts_with(&run));
    assert_eq!(outside.count(), 0);
    assert!(
        written
            .iter()
            .any(|path| path.to_str().unwrap().contains("terms/a-b"))
    );
}
