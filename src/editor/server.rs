//! The life of a server, and which message is answered how.

use std::io::{BufRead, Write};
use std::sync::mpsc;

use gen_lsp_types::{
    CompletionList, DidChangeTextDocumentParams, DidCloseTextDocumentParams,
    DidOpenTextDocumentParams, TextDocumentContentChangeEvent, TextDocumentPositionParams,
};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response, ResponseError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::completion::completions;
use super::documents::Documents;
use super::lines::Encoding;
use super::told::hover;
use super::wire::{self, Incoming};
use crate::base::{Error, Kind, Result, Shown, terminal};

/// Messages that wait while one is answered.
const WAITING: usize = 64;

/// Serves one editor until it asks to exit.
///
/// # Errors
/// Where the streams break, where what comes in is no message of the protocol, and where the editor leaves without a
/// shutdown.
pub fn serve(mut input: impl BufRead + Send + 'static, output: impl Write) -> Result<()> {
    let (sender, receiver) = mpsc::sync_channel(WAITING);
    let read = move || {
        while let Some(incoming) = wire::read(&mut input) {
            if sender.send(incoming).is_err() {
                return;
            }
        }
    };
    let reader = std::thread::Builder::new().spawn(read);
    reader.map_err(|e| Error::new(Kind::Device, format!("cannot start a thread: {e}")))?;
    let mut server = Server::new(output);
    while let Ok(first) = receiver.recv() {
        let mut next = Some(first);
        // What is typed meanwhile counts before anything is examined.
        while let Some(incoming) = next {
            if server.hear(incoming)? {
                return Ok(());
            }
            next = receiver.try_recv().ok();
        }
        server.tell_news()?;
    }
    Err(left_early())
}

fn left_early() -> Error {
    Error::new(Kind::Protocol, "the editor left without a shutdown")
}

#[derive(Clone, Copy, PartialEq)]
enum State {
    New,
    Ready,
    ShutDown,
}

struct Server<W> {
    output: W,
    state: State,
    /// Whether the editor knows snippets.
    snippets: bool,
    documents: Documents,
}

/// What a request is answered with.
type Answer = Result<Value, ResponseError>;

impl<W: Write> Server<W> {
    fn new(output: W) -> Self {
        Self {
            output,
            state: State::New,
            snippets: false,
            documents: Documents::new(Encoding::Utf16),
        }
    }

    /// Takes a message; whether it is the last.
    fn hear(&mut self, incoming: Incoming) -> Result<bool> {
        match incoming {
            Incoming::Failed(error) => return Err(error),
            Incoming::Malformed(why) => wire::write_malformed(&mut self.output, &why)?,
            Incoming::Message(Message::Request(request)) => self.request(request)?,
            // Nothing is asked of the editor.
            Incoming::Message(Message::Response(_)) => {}
            Incoming::Message(Message::Notification(told)) if told.method == "exit" => {
                return match self.state {
                    State::ShutDown => Ok(true),
                    State::New | State::Ready => Err(left_early()),
                };
            }
            Incoming::Message(Message::Notification(told)) => {
                if self.state == State::Ready {
                    self.notification(told);
                }
            }
        }
        Ok(false)
    }

    fn request(&mut self, request: Request) -> Result<()> {
        let Request { id, method, params } = request;
        let answer = match (self.state, method.as_str()) {
            (State::New, "initialize") => Ok(self.initialize(&params)),
            (State::New, _) => refusal(ErrorCode::ServerNotInitialized, "`initialize` comes first"),
            (State::ShutDown, _) => refusal(
                ErrorCode::InvalidRequest,
                "only `exit` comes after a shutdown",
            ),
            (State::Ready, "initialize") => {
                refusal(ErrorCode::InvalidRequest, "`initialize` comes once")
            }
            (State::Ready, "shutdown") => {
                self.state = State::ShutDown;
                Ok(Value::Null)
            }
            (State::Ready, "textDocument/hover") => self.hover(params),
            (State::Ready, "textDocument/completion") => self.completion(params),
            (State::Ready, other) => refusal(
                ErrorCode::MethodNotFound,
                &format!("`{}` is not served", other.shown()),
            ),
        };
        self.answer(id, answer)
    }

    fn answer(&mut self, id: RequestId, answer: Answer) -> Result<()> {
        let response = Response {
            id,
            response_result: answer,
        };
        wire::write(&mut self.output, &Message::Response(response))
    }

    /// Only two things of what an editor can do matter, so that no other can be misread.
    fn initialize(&mut self, params: &Value) -> Value {
        let encodings = params.pointer("/capabilities/general/positionEncodings");
        let knows_utf8 = encodings
            .and_then(Value::as_array)
            .is_some_and(|all| all.contains(&json!("utf-8")));
        let snippets = "/capabilities/textDocument/completion/completionItem/snippetSupport";
        self.snippets = params.pointer(snippets) == Some(&json!(true));
        let (encoding, name) = match knows_utf8 {
            true => (Encoding::Utf8, "utf-8"),
            false => (Encoding::Utf16, "utf-16"),
        };
        self.documents = Documents::new(encoding);
        self.state = State::Ready;
        // A change comes as the whole text (1): experiments are small.
        json!({
            "serverInfo": { "name": "ffn", "version": env!("CARGO_PKG_VERSION") },
            "capabilities": {
                "positionEncoding": name,
                "textDocumentSync": { "openClose": true, "change": 1, "save": {} },
                "hoverProvider": true,
                "completionProvider": { "triggerCharacters": ["(", "[", ":", "\""] },
            },
        })
    }

    fn notification(&mut self, told: Notification) {
        let heard = match told.method.as_str() {
            "textDocument/didOpen" => params(told.params).map(|opened| self.opened(opened)),
            "textDocument/didChange" => params(told.params).map(|changed| self.changed(changed)),
            "textDocument/didClose" => {
                params(told.params).map(|closed: DidCloseTextDocumentParams| {
                    self.documents.close(&closed.text_document.uri.0);
                })
            }
            "textDocument/didSave" => {
                self.documents.suites_are_stale();
                Ok(())
            }
            _ => Ok(()),
        };
        if let Err(error) = heard {
            terminal::say(format_args!("error: `{}`: {}", told.method, error.message));
        }
    }

    fn opened(&mut self, opened: DidOpenTextDocumentParams) {
        let document = opened.text_document;
        self.documents
            .set(&document.uri.0, document.version, document.text);
    }

    fn changed(&mut self, changed: DidChangeTextDocumentParams) {
        let document = changed.text_document;
        let whole = |change| match change {
            TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => {
                Some(whole.text)
            }
            // Not what was agreed.
            TextDocumentContentChangeEvent::TextDocumentContentChangePartial(_) => None,
        };
        if let Some(text) = changed.content_changes.into_iter().rev().find_map(whole) {
            let uri = document.text_document_identifier.uri.0;
            self.documents.set(&uri, document.version, text);
        }
    }

    fn hover(&self, asked: Value) -> Answer {
        let asked: TextDocumentPositionParams = params(asked)?;
        let lines = self.documents.lines(&asked.text_document.uri.0);
        let shown = lines.and_then(|lines| hover(lines, lines.offset(asked.position)));
        json(&shown)
    }

    fn completion(&self, asked: Value) -> Answer {
        let asked: TextDocumentPositionParams = params(asked)?;
        let uri = &asked.text_document.uri.0;
        let Some(lines) = self.documents.lines(uri) else {
            return Ok(Value::Null);
        };
        let known = self.documents.known(uri);
        let items = completions(lines, lines.offset(asked.position), &known, self.snippets);
        json(&CompletionList {
            items,
            ..CompletionList::default()
        })
    }

    fn tell_news(&mut self) -> Result<()> {
        for news in self.documents.news() {
            let method = "textDocument/publishDiagnostics".to_owned();
            let params = json(&news).unwrap_or_default();
            let told = Notification { method, params };
            wire::write(&mut self.output, &Message::Notification(told))?;
        }
        Ok(())
    }
}

fn params<T: DeserializeOwned>(params: Value) -> Result<T, ResponseError> {
    serde_json::from_value(params).map_err(|e| error(ErrorCode::InvalidParams, &e.to_string()))
}

fn json(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_err(|e| error(ErrorCode::InternalError, &e.to_string()))
}

fn refusal(code: ErrorCode, why: &str) -> Answer {
    Err(error(code, why))
}

fn error(code: ErrorCode, why: &str) -> ResponseError {
    ResponseError {
        code: code as i32,
        message: why.to_owned(),
        data: None,
    }
}
