use serde_json::{Value, json};

use crate::client::{Client, plain, uri};

#[test]
fn it_says_what_it_serves_and_exits_with_0_after_a_shutdown() {
    let mut client = Client::start();
    let answer = client.request("initialize", json!({ "capabilities": plain() }));
    let result = serde_json::to_string_pretty(&answer["result"]).unwrap();
    insta::assert_snapshot!(
        "capabilities",
        result.replace(env!("CARGO_PKG_VERSION"), "VERSION")
    );
    let output = client.shut_down();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn utf_8_is_taken_where_it_is_offered() {
    let mut client =
        Client::ready(&json!({ "general": { "positionEncodings": ["utf-16", "utf-8"] } }));
    client.open(&uri("new.ron"), "Experiment(\n/* äöü */ nam: \"x\")");
    let (_, found) = client.told();
    let unknown = found
        .iter()
        .find(|d| d["message"].as_str().unwrap().contains("`nam`"));
    assert_eq!(unknown.unwrap()["range"]["start"]["character"], 13);
    client.shut_down();
}

#[test]
fn it_exits_with_1_without_a_shutdown() {
    let mut client = Client::ready(&plain());
    client.notify("exit", Value::Null);
    let output = client.end();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(said, "error: the editor left without a shutdown\n");
    let output = Client::ready(&plain()).end();
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn what_is_asked_wrongly_is_refused_and_nothing_else_happens() {
    let mut client = Client::start();
    let code = |answer: &Value| answer["error"]["code"].as_i64();
    assert_eq!(
        code(&client.request("textDocument/hover", json!({}))),
        Some(-32002)
    );
    client.request("initialize", json!({ "capabilities": 3 }));
    assert_eq!(code(&client.request("initialize", json!({}))), Some(-32600));
    assert_eq!(
        code(&client.request("textDocument/rename", json!({}))),
        Some(-32601)
    );
    assert_eq!(
        code(&client.request("textDocument/hover", json!({ "position": -1 }))),
        Some(-32602)
    );
    client.notify("textDocument/didOpen", json!([1]));
    client.notify("$/cancelRequest", json!({ "id": 9 }));
    for body in ["{", "[]", "{\"id\": 1.5}", "\u{feff}"] {
        client.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
        let answer = client.receive();
        assert_eq!(
            (code(&answer), &answer["id"]),
            (Some(-32700), &Value::Null),
            "{body}"
        );
    }
    let unknown = json!({ "textDocument": { "uri": "file:///none.ron" }, "position": { "line": 0, "character": 0 } });
    assert_eq!(
        client.request("textDocument/completion", unknown)["result"],
        Value::Null
    );
    assert_eq!(
        client.request("shutdown", Value::Null)["result"],
        Value::Null
    );
    assert_eq!(
        code(&client.request("textDocument/hover", json!({}))),
        Some(-32600)
    );
    client.notify("exit", Value::Null);
    let output = client.end();
    assert_eq!(output.status.code(), Some(0));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .starts_with("error: `textDocument/didOpen`: ")
    );
}

#[test]
fn a_person_who_types_into_it_is_told_what_it_is() {
    let mut client = Client::start();
    client.raw(b"help\n");
    let output = client.end();
    assert_eq!(output.status.code(), Some(2));
    insta::assert_snapshot!("typed", String::from_utf8(output.stderr).unwrap());
}
