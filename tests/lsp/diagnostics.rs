use std::fs;

use serde_json::Value;

use crate::client::{Client, all_shown, plain, uri};

const MISTAKES: &str = r#"// Ein Experiment für später: 𝒙
Experiment(
    name: "mistakes",
    /* ä𝒙 */ model: Tsm(backbone: ResNet(block: Basic, blocks: [1, 1], width: 8, stem: Small), dropot: 0.2, init: Random),
    method: Ffn(frames: [4, 2]),
    method: Vanilla(frames: 4),
    data: Miniature(pins: "pins/tiny.pins.ron", train: 24, validation: 8, size: 24, frames: 12),
    train: (epochs: 4, batch: 8, precision: Flaot32),
    eval: (frames: [2], short_side: 24, size: 48),
)
"#;

fn tiny() -> String {
    fs::read_to_string("fixtures/experiments/tiny.ron").unwrap()
}

#[test]
fn every_mistake_is_told_at_its_place_and_is_gone_when_it_is_mended() {
    let mut client = Client::ready(&plain());
    let file = uri("fixtures/experiments/new.ron");
    client.open(&file, MISTAKES);
    let (told, found) = client.told();
    assert_eq!(told, file);
    insta::assert_snapshot!("mistakes", all_shown(&found));
    client.change(&file, 2, &tiny());
    assert_eq!(client.told(), (file.clone(), Vec::<Value>::new()));
    client.change(&file, 3, &tiny().replace("epochs", "epoch"));
    insta::assert_snapshot!("changed", all_shown(&client.told().1));
    client.close(&file);
    assert_eq!(client.told(), (file, Vec::<Value>::new()));
    client.shut_down();
}

/// As many as `ffn check` says.
#[test]
fn broken_files_have_as_many_mistakes_as_check_counts() {
    let mut client = Client::ready(&plain());
    let mut seen = 0;
    for entry in fs::read_dir("fixtures/experiments/broken").unwrap() {
        let path = entry.unwrap().path();
        let Ok(text) = fs::read_to_string(&path) else {
            continue;
        };
        let Err(error) = ffn::spec::load_document(&path) else {
            continue;
        };
        if ffn::spec::examine::language(&text).is_none() {
            continue;
        }
        let counted: usize = error
            .message
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap_or(1);
        client.open(&uri(path.to_str().unwrap()), &text);
        let errors = client
            .told()
            .1
            .iter()
            .filter(|d| d["severity"] == 1)
            .count();
        assert_eq!(
            errors,
            counted.min(101),
            "{}\n{}",
            path.display(),
            error.message
        );
        seen += 1;
    }
    assert!(seen >= 30, "{seen}");
    client.shut_down();
}

#[test]
fn a_suite_says_where_its_experiments_have_mistakes() {
    let mut client = Client::ready(&plain());
    let (suite, member) = (
        uri("fixtures/suites/new.ron"),
        uri("fixtures/experiments/tiny.ron"),
    );
    let text = "Suite(\n    name: \"s\",\n    members: [\n        (name: \"a\", experiment: \"../experiments/tiny.ron\", with: (train: (epochs: -1))),\n        (name: \"b\", experiment: \"../experiments/tiny.ron\"),\n        (name: \"c\", experiment: \"../experiments/gone.ron\"),\n    ],\n    claims: [(id: \"x\", quantity: Parameters(run: \"d\"), is: AtLeast(1))],\n)\n";
    client.open(&suite, text);
    let (told, found) = client.told();
    assert_eq!(told, suite);
    insta::assert_snapshot!("suite", all_shown(&found));
    // What is not saved yet counts.
    client.open(
        &member,
        &tiny()
            .replace("seconds", "sekunden ä")
            .replace("batch: 8", "bach: 8"),
    );
    let both = [client.told(), client.told()];
    assert_eq!([&both[0].0, &both[1].0], [&member, &suite]);
    insta::assert_snapshot!(
        "member",
        all_shown(&both[0].1) + "\n" + &all_shown(&both[1].1)
    );
    client.close(&member);
    let both = [client.told(), client.told()];
    assert_eq!(both[0], (member, Vec::new()));
    assert_eq!(both[1], (suite, found));
    client.shut_down();
}

#[test]
fn a_file_on_the_disk_that_a_suite_names_is_told_of_until_the_suite_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    fs::write(folder.join("a b.ron"), tiny().replace("Basic", "Basik")).unwrap();
    let at = |name: &str| format!("file://{}/{name}", folder.display());
    let mut client = Client::ready(&plain());
    client.open(
        &at("s.ron"),
        "Suite(name: \"s\", members: [(name: \"a\", experiment: \"a b.ron\")])",
    );
    let both = [client.told(), client.told()];
    assert_eq!([&both[0].0, &both[1].0], [&at("a%20b.ron"), &at("s.ron")]);
    insta::assert_snapshot!(
        "on_disk",
        all_shown(&both[0].1) + "\n" + &all_shown(&both[1].1)
    );
    fs::write(folder.join("a b.ron"), tiny()).unwrap();
    client.notify(
        "textDocument/didSave",
        serde_json::json!({ "textDocument": { "uri": at("s.ron") } }),
    );
    assert_eq!(
        [client.told().1, client.told().1],
        [Vec::<Value>::new(), Vec::new()]
    );
    client.shut_down();
}

#[test]
fn what_is_no_file_of_the_language_has_no_mistakes() {
    let mut client = Client::ready(&plain());
    let pins = fs::read_to_string("experiments/pins/miniature.pins.ron").unwrap();
    let others = [
        "",
        "// only this",
        "(",
        "Config(name: 3)",
        "{\"a\": 1}",
        "(name: 1, b: 2",
        "\u{0}\u{1}\u{fffd}",
        &pins,
    ];
    for (index, text) in others.iter().enumerate() {
        client.open(&uri(&format!("{index}.ron")), text);
        assert_eq!(client.told().1, Vec::<Value>::new(), "{text}");
    }
    client.shut_down();
}

#[test]
fn a_file_that_is_too_large_is_one_mistake() {
    let mut client = Client::ready(&plain());
    client.open(&uri("large.ron"), &"(".repeat(10 << 20));
    insta::assert_snapshot!("large", all_shown(&client.told().1));
    client.open(
        &uri("many.ron"),
        &format!("Experiment({})", "x: 1, ".repeat(9000)),
    );
    assert_eq!(client.told().1.len(), 101);
    client.shut_down();
}

/// Without a mistake, and larger than any program can be.
#[test]
fn what_no_program_can_hold_is_told() {
    let text = tiny()
        .replace("train: 24", "train: 99992")
        .replace("        batch: 8,", "        batch: 65536,")
        .replace("size: 24", "size: 512")
        .replace("short_side: 24", "short_side: 512")
        .replace("width: 8", "width: 1024");
    let mut client = Client::ready(&plain());
    let file = uri("fixtures/experiments/huge.ron");
    client.open(&file, &text);
    insta::assert_snapshot!("huge", all_shown(&client.told().1));
    let suite = uri("fixtures/suites/huge.ron");
    let member = |name: &str, file: &str| {
        format!("(name: \"{name}\", experiment: \"../experiments/{file}.ron\")")
    };
    let members = [member("small", "tiny"), member("huge", "huge")].join(", ");
    client.open(&suite, &format!("Suite(name: \"s\", members: [{members}])"));
    insta::assert_snapshot!("huge_member", all_shown(&client.told().1));
    client.shut_down();
}
