use crate::client::{Client, plain, uri};

/// What is shown of the word at `‸`.
fn hover(texts: &[(&str, &str)]) -> String {
    let mut client = Client::ready(&plain());
    let mut shown = String::new();
    for (index, (what, text)) in texts.iter().enumerate() {
        let file = uri(&format!("{index}.ron"));
        let answer = client.ask("textDocument/hover", &file, text);
        shown += &format!("=== {what}\n");
        match answer["contents"]["value"].as_str() {
            Some(value) => shown += &format!("{value}\n({})\n\n", answer["range"]),
            None => shown += "nothing\n\n",
        }
    }
    client.shut_down();
    shown
}

#[test]
fn words_of_an_experiment_are_told() {
    let shown = hover(&[
        ("the file's type", "Exper‸iment(name: \"x\")"),
        (
            "a field",
            "Experiment(\n// ä𝒙\nmodel: Tsm(/* ä𝒙 */ drop‸out: 0.5",
        ),
        ("its value", "Experiment(model: Tsm(dropout: 0‸.5))"),
        ("a variant", "Experiment(model: T‸sm())"),
        (
            "a variant without content",
            "Experiment(model: Tsm(backbone: ResNet5‸0))",
        ),
        (
            "a field of a variant's own",
            "Experiment(method: Vanilla(fram‸es: 4))",
        ),
        (
            "a named difference",
            "Experiment(method: Ffn(frames: [2, 4], shift_seg‸ments: Shared(16)))",
        ),
        (
            "a field with variants",
            "Experiment(method: Ffn(norm‸s: Private))",
        ),
        (
            "what acts through its holder",
            "Experiment(method: Ffn(fra‸mes: [2, 4]))",
        ),
        ("what is idle", "Experiment(na‸me: \"x\")"),
        ("an option", "Experiment(optimizer: Sgd(cl‸ip: None))"),
        ("an element", "Experiment(method: Ffn(frames: [2, ‸4]))"),
        (
            "behind a bracket that is never closed",
            "Experiment(model: Tsm(backbone: ResNet(width: 8,\n init: Random,\n meth‸od: Vanilla(frames: 4),\n",
        ),
        ("a misspelt field", "Experiment(model: Tsm(drop‸ot: 0.5))"),
        ("punctuation", "Experiment(‸"),
        ("another program's file", "Config(na‸me: 1)"),
    ]);
    insta::assert_snapshot!("experiment", shown);
}

#[test]
fn words_of_a_suite_are_told() {
    let shown = hover(&[
        ("a field", "Suite(name: \"s\", mem‸bers: [])"),
        ("of a member", "Suite(members: [(name: \"a\", gri‸d: ())])"),
        (
            "in what is laid over",
            "Suite(members: [(with: (method: (lam‸bda: 2)))])",
        ),
        (
            "in a grid",
            "Suite(members: [(grid: (train: (ep‸ochs: [1, 2])))])",
        ),
        (
            "an alternative",
            "Suite(members: [(grid: (train: (precision: [Flo‸at32])))])",
        ),
        (
            "in an experiment in it",
            "Suite(members: [(experiment: Experiment(se‸ed: 3))])",
        ),
        (
            "a quantity",
            "Suite(claims: [(quantity: Ga‸in(run: \"a\"))])",
        ),
        ("a bound's value", "Suite(claims: [(is: AtLeast(‸3))])"),
    ]);
    insta::assert_snapshot!("suite", shown);
}
