//! Messages as they go over a stream: a header with the length, then JSON.

use std::io::{self, BufRead, Read, Write};

use lsp_server::Message;

use crate::base::{Error, Kind, Result, Shown, limits};

/// Bytes of a line of a header; they have some 30.
const LONGEST_HEADER: u64 = 4096;

/// What came in.
pub enum Incoming {
    Message(Message),
    /// Well framed, but no message: the next one may be.
    Malformed(String),
    /// Nothing more can be read.
    Failed(Error),
}

/// The next message; `None` at the end of the stream.
pub fn read(input: &mut impl BufRead) -> Option<Incoming> {
    match frame(input) {
        Ok(None) => None,
        Err(error) => Some(Incoming::Failed(error)),
        Ok(Some(Frame::TooLong(why))) => Some(Incoming::Malformed(why)),
        Ok(Some(Frame::Body(body))) => Some(match serde_json::from_slice(&body) {
            Ok(message) => Incoming::Message(message),
            Err(error) => Incoming::Malformed(error.to_string()),
        }),
    }
}

enum Frame {
    Body(Vec<u8>),
    TooLong(String),
}

fn frame(input: &mut impl BufRead) -> Result<Option<Frame>> {
    let Some(length) = header(input)? else {
        return Ok(None);
    };
    if length > limits::MESSAGE.most {
        io::copy(&mut input.take(length), &mut io::sink()).map_err(unreadable)?;
        return Ok(Some(Frame::TooLong(limits::MESSAGE.excess(length))));
    }
    let mut body = Vec::new();
    let read = input
        .take(length)
        .read_to_end(&mut body)
        .map_err(unreadable)?;
    match read as u64 == length {
        true => Ok(Some(Frame::Body(body))),
        false => Err(refused(&format!(
            "a message of {length} bytes ends after {read}"
        ))),
    }
}

/// Length of the body behind a header; `None` at the end of the stream.
fn header(input: &mut impl BufRead) -> Result<Option<u64>> {
    let mut length = None;
    for count in 0.. {
        let mut line = Vec::new();
        let bounded = &mut input.take(LONGEST_HEADER);
        let read = bounded.read_until(b'\n', &mut line).map_err(unreadable)?;
        if read == 0 && count == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&line);
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = line.split_once(':') else {
            let found: String = line.chars().take(40).collect();
            return Err(refused(&format!(
                "expected `Content-Length`, found `{}`",
                found.shown()
            )));
        };
        if name.eq_ignore_ascii_case("Content-Length") {
            length = value.trim().parse().ok();
        }
    }
    match length {
        Some(length) => Ok(Some(length)),
        None => Err(refused("a header without `Content-Length`")),
    }
}

pub fn write(output: &mut impl Write, message: &Message) -> Result<()> {
    message.write(output).map_err(unwritable)
}

/// Answers what is no message, and so has no id.
pub fn write_malformed(output: &mut impl Write, why: &str) -> Result<()> {
    let code = lsp_server::ErrorCode::ParseError as i32;
    let answer = serde_json::json!({
        "jsonrpc": "2.0", "id": null, "error": { "code": code, "message": why },
    });
    let answer = answer.to_string();
    let written = write!(output, "Content-Length: {}\r\n\r\n{answer}", answer.len());
    written.and_then(|()| output.flush()).map_err(unwritable)
}

fn refused(what: &str) -> Error {
    let message = format!("no message of the Language Server Protocol: {what}");
    Error::new(Kind::Usage, message)
        .hint("an editor starts `ffn lsp`: see the book's page In an editor")
}

fn unreadable(error: io::Error) -> Error {
    Error::new(
        Kind::Io,
        format!("cannot read what the editor says: {error}"),
    )
}

fn unwritable(error: io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::BrokenPipe => Kind::Unread,
        _ => Kind::Io,
    };
    Error::new(kind, format!("cannot answer the editor: {error}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all(text: &[u8]) -> Vec<Incoming> {
        let mut input = text;
        let mut found = Vec::new();
        while let Some(incoming) = read(&mut input) {
            let ends = matches!(incoming, Incoming::Failed(_));
            found.push(incoming);
            if ends {
                break;
            }
        }
        found
    }

    fn framed(body: &str) -> String {
        format!("Content-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_malformed_message_is_passed_over() {
        let text = framed("{") + &framed("[]") + &framed(r#"{"id":1,"method":"x"}"#);
        let found = all(text.as_bytes());
        assert!(matches!(found[0], Incoming::Malformed(_)));
        assert!(matches!(found[1], Incoming::Malformed(_)));
        assert!(matches!(&found[2], Incoming::Message(Message::Request(r)) if r.method == "x"));
    }

    #[test]
    fn what_is_too_long_is_not_kept() {
        let mut text = format!("Content-Length: {}\r\n\r\n", limits::MESSAGE.most + 1).into_bytes();
        text.resize(text.len() + limits::MESSAGE.most as usize + 1, b' ');
        text.extend(framed(r#"{"method":"y"}"#).bytes());
        let found = all(&text);
        assert!(matches!(found[0], Incoming::Malformed(_)));
        assert!(
            matches!(&found[1], Incoming::Message(Message::Notification(n)) if n.method == "y")
        );
    }

    #[test]
    fn what_is_no_header_ends_it() {
        for text in [
            "hello\r\n",
            "X: 1\r\n\r\n",
            "Content-Length: -1\r\n\r\n",
            "Content-Length: 9\r\n\r\n{}",
        ] {
            assert!(
                matches!(all(text.as_bytes()).pop(), Some(Incoming::Failed(_))),
                "{text}"
            );
        }
        assert!(all(b"").is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), lie in 0usize..400) {
            all(&bytes);
            let mut text = format!("Content-Length: {lie}\r\n\r\n").into_bytes();
            text.extend(bytes);
            all(&text);
        }
    }
}
