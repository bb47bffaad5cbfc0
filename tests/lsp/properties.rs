//! No text, and no place in it, ends the server.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use ffn::editor::{self, Encoding, Known, Lines};
use ffn::spec::examine::{self, Folder};
use proptest::prelude::*;
use proptest::sample::Index;

/// Everything that is asked about a place of a text.
fn ask(lines: &Lines, offset: usize) {
    let known = Known {
        members: vec!["a".to_owned()],
        files: vec!["b.ron".to_owned()],
    };
    editor::hover(lines, offset);
    for item in editor::completions(lines, offset, &known, true) {
        assert!(!item.label.is_empty());
    }
}

fn lines(text: &str) -> Lines {
    Lines::new(text.to_owned(), Encoding::Utf16)
}

fn experiments() -> Vec<String> {
    let entries = fs::read_dir("experiments")
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut paths: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|end| end == "ron"))
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect()
}

fn is_short(text: &str) -> bool {
    text.len() < 4000
}

#[test]
fn every_beginning_of_every_experiment_is_completed() {
    let texts = experiments();
    assert!(texts.len() > 30);
    for text in texts.iter().filter(|text| is_short(text)) {
        for (at, _) in text.char_indices() {
            let beginning = lines(&text[..at]);
            ask(&beginning, at);
        }
    }
}

/// In a whole file every field and value has a meaning.
#[test]
fn every_name_of_every_experiment_has_a_meaning() {
    for text in experiments() {
        let lines = lines(&text);
        let starts = text
            .char_indices()
            .zip([' '].into_iter().chain(text.chars()));
        let mut seen = 0;
        for ((at, sign), before) in starts {
            let line = text[..at].rsplit('\n').next().unwrap();
            let in_comment = line.contains("//") || line.matches('"').count() % 2 == 1;
            let begins = sign.is_alphabetic() && !before.is_alphanumeric() && before != '_';
            if begins && !in_comment {
                let rest: String = text[at..].chars().take(30).collect();
                assert!(editor::hover(&lines, at).is_some(), "{rest}\n{text}");
                seen += 1;
            }
        }
        assert!(seen > 10);
    }
}

const TOKENS: [&str; 26] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ":",
    ",",
    "\"",
    "Experiment",
    "Suite",
    "model",
    "Tsm",
    "Some",
    "None",
    "with",
    "grid",
    "members",
    "claims",
    " ",
    "\n",
    "// ",
    "/*",
    "*/",
    "1",
    "𝒙",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..Default::default() })]

    #[test]
    fn no_edit_ends_it(
        which in any::<Index>(),
        from in any::<Index>(),
        length in 0usize..40,
        inserted in prop_oneof!["\\PC{0,4}", prop::sample::select(TOKENS.as_slice()).prop_map(str::to_owned)],
        place in any::<Index>(),
    ) {
        let texts = experiments();
        let signs: Vec<char> = which.get(&texts).chars().collect();
        let from = from.index(signs.len());
        let to = (from + length).min(signs.len());
        let text: String = signs[..from].iter().chain(inserted.chars().collect::<Vec<_>>().iter()).chain(&signs[to..]).collect();
        let lines = lines(&text);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        ask(&lines, *place.get(&places));
        ask(&lines, text.char_indices().nth(from).map_or(text.len(), |(at, _)| at));
        examine::examine(&text, Folder::on_disk(Path::new("experiments")));
    }

    #[test]
    fn no_soup_ends_it(tokens in prop::collection::vec(prop::sample::select(TOKENS.as_slice()), 0..60), place in any::<Index>()) {
        let text = tokens.concat();
        let lines = lines(&text);
        let places: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
        ask(&lines, *place.get(&places));
        ask(&lines, text.len());
        examine::examine(&text, Folder::on_disk(Path::new("experiments")));
    }

    #[test]
    fn no_message_ends_it_before_the_stream_does(bodies in prop::collection::vec("\\PC{0,40}|\\{\"method\":\"textDocument/did(Open|Change|Close)\",\"params\":\\{\\}\\}", 0..6)) {
        let initialize = r#"{"id":1,"method":"initialize","params":{}}"#.to_owned();
        let bodies = [initialize].into_iter().chain(bodies);
        let text: String = bodies.map(|body| format!("Content-Length: {}\r\n\r\n{body}", body.len())).collect();
        let mut output = Vec::new();
        ffn::base::terminal::silence(true);
        let ended = editor::serve(Cursor::new(text.into_bytes()), &mut output);
        let error = ended.unwrap_err();
        prop_assert_eq!(error.message, "the editor left without a shutdown");
    }
}
