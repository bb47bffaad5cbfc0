use serde_json::Value;

use crate::client::{Client, plain, uri, with_snippets};

/// What is offered at `‸`, and what would be written.
fn offered(capabilities: &Value, texts: &[(&str, &str)]) -> String {
    let mut client = Client::ready(capabilities);
    let mut shown = String::new();
    for (index, (what, text)) in texts.iter().enumerate() {
        let file = uri(&format!("fixtures/suites/new{index}.ron"));
        let answer = client.ask("textDocument/completion", &file, text);
        shown += &format!("=== {what}\n");
        for item in answer["items"].as_array().into_iter().flatten() {
            let detail = item["detail"]
                .as_str()
                .map_or(String::new(), |detail| format!(" ({detail})"));
            let label = item["label"].as_str().unwrap();
            let edit = &item["textEdit"];
            let range = &edit["range"];
            let from = format!("{}:{}", range["start"]["line"], range["start"]["character"]);
            let length = range["end"]["character"].as_i64().unwrap()
                - range["start"]["character"].as_i64().unwrap();
            shown += &format!("{label}{detail}: {} at {from}+{length}\n", edit["newText"]);
        }
        shown.push('\n');
    }
    client.shut_down();
    shown
}

#[test]
fn an_experiment_is_completed_while_it_does_not_parse() {
    let shown = offered(
        &plain(),
        &[
            ("an empty file", "‸"),
            ("the first word", "// ä\nExp‸"),
            (
                "fields of the file",
                "Experiment(\n    name: \"x\",\n    ‸\n    seed: 3,\n)",
            ),
            (
                "a half-typed field",
                "Experiment(\n    name: \"x\",\n    mo‸\n",
            ),
            (
                "without the comma before it",
                "Experiment(\n    seed: 3\n    mo‸",
            ),
            ("behind a value", "Experiment(seed: 3 ‸"),
            ("a field's value", "Experiment(model: ‸"),
            ("right behind the colon", "Experiment(model:‸)"),
            (
                "a half-typed value",
                "Experiment(/* ä𝒙 */ method: V‸\n    data: Miniature()",
            ),
            (
                "fields of a variant",
                "Experiment(method: Ffn(lambda: 1, ‸), train: ())",
            ),
            ("a variant's value", "Experiment(method: Ffn(norms: ‸"),
            ("nested", "Experiment(model: Tsm(backbone: ResNet(‸"),
            (
                "a field that is renamed",
                "Experiment(model: Tsm(‸drop: 0.5))",
            ),
            (
                "a field that is renamed, at its end",
                "Experiment(model: Tsm(drop‸: 0.5))",
            ),
            ("an option", "Experiment(optimizer: Sgd(clip: ‸"),
            ("yes or no", "Experiment(optimizer: Sgd(nesterov: ‸"),
            ("a struct", "Experiment(model: Tsm(shift: ‸"),
            ("a list", "Experiment(method: Ffn(frames: ‸"),
            (
                "in a list of numbers",
                "Experiment(method: Ffn(frames: [2, ‸",
            ),
            (
                "a variant before its bracket",
                "Experiment(method: ‸Ff(frames: [2, 4]))",
            ),
            (
                "behind brackets that are never closed",
                "Experiment(model: Tsm(backbone: ResNet(width: 8,\n    method: Vanilla(frames: 4),\n    tr‸\n",
            ),
            ("in a comment", "Experiment( // na‸\n)"),
            ("in a text", "Experiment(name: \"na‸\")"),
            ("in a number", "Experiment(seed: 1‸)"),
            ("behind the end", "Experiment()\n‸"),
            ("in another program's file", "Config(‸)"),
        ],
    );
    insta::assert_snapshot!("experiment", shown);
}

#[test]
fn a_suite_is_completed() {
    let shown = offered(
        &plain(),
        &[
            (
                "fields of a member",
                "Suite(name: \"s\", members: [(name: \"a\", ‸)])",
            ),
            (
                "what is laid over",
                "Suite(members: [(with: (train: (epochs: 1, ba‸)))])",
            ),
            (
                "of a variant that is not named",
                "Suite(members: [(with: (method: (‸)))])",
            ),
            (
                "in a grid",
                "Suite(members: [(grid: (train: (precision: ‸)))])",
            ),
            (
                "an alternative",
                "Suite(members: [(grid: (train: (precision: [Float32, ‸])))])",
            ),
            ("an experiment file", "Suite(members: [(experiment: ‸)])"),
            (
                "an experiment file in quotes",
                "Suite(members: [(experiment: \"t‸\")])",
            ),
            (
                "in an experiment",
                "Suite(members: [(experiment: Experiment(ev‸",
            ),
            ("a claim", "Suite(claims: [(id: \"a\", ‸)])"),
            ("a quantity", "Suite(claims: [(quantity: ‸)])"),
            ("a bound", "Suite(claims: [(is: ‸)])"),
        ],
    );
    insta::assert_snapshot!("suite", shown);
}

#[test]
fn snippets_hold_what_must_be_there() {
    let shown = offered(
        &with_snippets(),
        &[
            ("an empty file", "‸"),
            (
                "a field of each kind",
                "Experiment(model: Tsm(backbone: ResNet(‸))",
            ),
            ("a text", "Experiment(na‸)"),
            ("a struct", "Experiment(tr‸)"),
            ("variants", "Experiment(data: ‸)"),
            ("in a grid", "Suite(members: [(grid: (train: (‸)))])"),
            ("an alternative", "Suite(members: [(grid: (method: ‸))])"),
        ],
    );
    insta::assert_snapshot!("snippets", shown);
}

/// Members are known from the last time that the suite could be read.
#[test]
fn members_are_offered_to_claims() {
    let mut client = Client::ready(&plain());
    let file = uri("fixtures/suites/new.ron");
    let members = "members: [(name: \"a\\\"$\", experiment: \"../experiments/tiny.ron\"), (name: \"b\", experiment: \"../experiments/tiny.ron\", grid: (train: (epochs: [1, 2]))), (name: \"c\", experiment: \"gone.ron\")]";
    client.open(&file, &format!("Suite(name: \"s\", {members})"));
    client.told();
    for (claim, expected) in [
        (
            "Gain(run: ‸",
            ["\"a\\\"$\"", "\"b/epochs=1\"", "\"b/epochs=2\"", "\"c\""],
        ),
        (
            "Order(runs: [\"a\", \"‸",
            ["a\\\"$", "b/epochs=1", "b/epochs=2", "c"],
        ),
    ] {
        let text = format!("Suite(name: \"s\", {members}, claims: [(quantity: {claim}");
        let answer = client.ask("textDocument/completion", &file, &text);
        let items = answer["items"].as_array().unwrap();
        let written: Vec<&str> = items
            .iter()
            .map(|item| item["textEdit"]["newText"].as_str().unwrap())
            .collect();
        assert_eq!(written, expected, "{claim}");
    }
    client.shut_down();
}
