//! An editor that follows a script.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use crate::limit::{InTime, TIME};

pub struct Client {
    child: Child,
    input: Option<ChildStdin>,
    messages: Receiver<Value>,
    requests: i32,
}

/// As neovim does, without anything that is new.
pub fn plain() -> Value {
    json!({ "general": {}, "textDocument": {} })
}

pub fn with_snippets() -> Value {
    json!({ "textDocument": { "completion": { "completionItem": { "snippetSupport": true } } } })
}

impl Client {
    /// A server that nothing was said to.
    pub fn start() -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ffn"))
            .arg("lsp")
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            while let Some(message) = read(&mut output) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        Self {
            input: child.stdin.take(),
            child,
            messages,
            requests: 0,
        }
    }

    /// A server that is ready, for an editor that can do this.
    pub fn ready(capabilities: &Value) -> Self {
        let mut client = Self::start();
        client.request(
            "initialize",
            json!({ "processId": null, "rootUri": null, "capabilities": capabilities }),
        );
        client.notify("initialized", json!({}));
        client
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).unwrap();
        input.flush().unwrap();
    }

    pub fn send(&mut self, message: &Value) {
        let body = message.to_string();
        self.raw(format!("Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes());
    }

    #[track_caller]
    pub fn receive(&mut self) -> Value {
        self.messages.recv_timeout(TIME).unwrap()
    }

    /// What a request is answered with, whatever is told before.
    #[track_caller]
    pub fn request(&mut self, method: &str, params: Value) -> Value {
        self.requests += 1;
        let id = self.requests;
        self.send(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let answer = self.receive();
            if answer.get("id") == Some(&json!(id)) {
                return answer;
            }
        }
    }

    pub fn notify(&mut self, method: &str, params: Value) {
        self.send(&json!({ "jsonrpc": "2.0", "method": method, "params": params }));
    }

    pub fn open(&mut self, uri: &str, text: &str) {
        let document = json!({ "uri": uri, "languageId": "ron", "version": 1, "text": text });
        self.notify("textDocument/didOpen", json!({ "textDocument": document }));
    }

    pub fn change(&mut self, uri: &str, version: i32, text: &str) {
        let params = json!({
            "textDocument": { "uri": uri, "version": version },
            "contentChanges": [{ "text": text }],
        });
        self.notify("textDocument/didChange", params);
    }

    pub fn close(&mut self, uri: &str) {
        self.notify(
            "textDocument/didClose",
            json!({ "textDocument": { "uri": uri } }),
        );
    }

    /// The diagnostics that are told next, and of which file.
    #[track_caller]
    pub fn told(&mut self) -> (String, Vec<Value>) {
        let told = self.receive();
        assert_eq!(told["method"], "textDocument/publishDiagnostics", "{told}");
        let params = &told["params"];
        let diagnostics = params["diagnostics"].as_array().unwrap().clone();
        (params["uri"].as_str().unwrap().to_owned(), diagnostics)
    }

    /// Asks about the place of `‸` in a text that it opens.
    #[track_caller]
    pub fn ask(&mut self, method: &str, uri: &str, marked: &str) -> Value {
        let (before, after) = marked.split_once('‸').unwrap();
        self.open(uri, &format!("{before}{after}"));
        let line = before.matches('\n').count();
        let last = before.rsplit('\n').next().unwrap();
        let column = last.encode_utf16().count();
        let position = json!({ "line": line, "character": column });
        let answer = self.request(
            method,
            json!({ "textDocument": { "uri": uri }, "position": position }),
        );
        assert!(answer.get("error").is_none(), "{answer}");
        answer["result"].clone()
    }

    /// Ends the stream, and waits for the end of the server.
    #[track_caller]
    pub fn end(mut self) -> Output {
        self.input = None;
        self.child.in_time()
    }

    #[track_caller]
    pub fn shut_down(mut self) -> Output {
        assert_eq!(self.request("shutdown", Value::Null)["result"], Value::Null);
        self.notify("exit", Value::Null);
        self.end()
    }
}

fn read(output: &mut impl BufRead) -> Option<Value> {
    let mut header = String::new();
    output.read_line(&mut header).ok()?;
    let length = header
        .strip_prefix("Content-Length: ")?
        .trim()
        .parse()
        .unwrap();
    let mut blank = String::new();
    output.read_line(&mut blank).ok()?;
    let mut body = vec![0; length];
    output.read_exact(&mut body).ok()?;
    Some(serde_json::from_slice(&body).unwrap())
}

/// How an editor names a file of the project.
pub fn uri(path: &str) -> String {
    format!(
        "file://{}",
        Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display()
    )
}

/// A diagnostic in lines.
pub fn shown(diagnostic: &Value) -> String {
    let severity = match diagnostic["severity"].as_i64() {
        Some(1) => "error",
        Some(2) => "warning",
        _ => "other",
    };
    let mut text = format!(
        "{} {severity}: {}\n",
        place(&diagnostic["range"]),
        diagnostic["message"].as_str().unwrap()
    );
    for related in diagnostic["relatedInformation"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let file = related["location"]["uri"]
            .as_str()
            .unwrap()
            .rsplit('/')
            .next()
            .unwrap();
        let place = place(&related["location"]["range"]);
        text += &format!(
            "  {file} {place}: {}\n",
            related["message"].as_str().unwrap()
        );
    }
    text
}

fn place(range: &Value) -> String {
    let at = |end: &str| format!("{}:{}", range[end]["line"], range[end]["character"]);
    format!("{}-{}", at("start"), at("end"))
}

pub fn all_shown(diagnostics: &[Value]) -> String {
    let text: String = diagnostics.iter().map(shown).collect();
    text.replace(env!("CARGO_MANIFEST_DIR"), "ROOT")
}
