//! A server on this machine that gives the files of a folder, or what another server gives, and fails as it is told to.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What goes wrong with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Status(u16),
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// Nothing comes for so many milliseconds after the first half of the body.
    Stall(u64),
    /// One byte of the body is another.
    Wrong,
}

/// Of what it gives the answers.
pub enum Backend {
    Folder(PathBuf),
    Server(SocketAddr),
}

pub struct Server {
    pub address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    backend: Backend,
    /// Without ETags nobody can go on where an answer was cut off.
    has_tags: bool,
    /// Part of a path, how often, and what goes wrong.
    faults: Mutex<Vec<(String, usize, Fault)>>,
    /// The paths that were asked for.
    asked: Mutex<Vec<String>>,
}

impl Server {
    pub fn start(backend: Backend, has_tags: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            backend,
            has_tags,
            faults: Mutex::default(),
            asked: Mutex::default(),
        });
        let own = Arc::clone(&shared);
        thread::spawn(move || {
            for connection in listener.incoming().flatten() {
                let shared = Arc::clone(&own);
                thread::spawn(move || shared.serve(connection));
            }
        });
        Self { address, shared }
    }

    /// The next `times` answers to paths with `part` go wrong.
    pub fn fail(&self, part: &str, times: usize, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults.push((part.to_owned(), times, fault));
    }

    /// Whether all that was to go wrong has.
    pub fn has_failed(&self) -> bool {
        let faults = self.shared.faults.lock().unwrap();
        faults.iter().all(|(_, times, _)| *times == 0)
    }

    pub fn heal(&self) {
        self.shared.faults.lock().unwrap().clear();
    }

    /// The paths that were asked for since the last time, with this ending.
    pub fn asked(&self, ending: &str) -> Vec<String> {
        let asked = std::mem::take(&mut *self.shared.asked.lock().unwrap());
        let matching = asked.into_iter().filter(|path| path.ends_with(ending));
        matching.collect()
    }
}

impl Shared {
    fn serve(&self, mut connection: TcpStream) {
        let mut reader = BufReader::new(connection.try_clone().unwrap());
        let Some(head) = head(&mut reader) else {
            return;
        };
        let path = head.split(' ').nth(1).unwrap_or("/").to_owned();
        self.asked.lock().unwrap().push(path.clone());
        let path = path
            .replace("%2E", ".")
            .replace("%2D", "-")
            .replace("%2F", "/");
        let fault = self.fault(&path);
        if let Some(Fault::Status(status)) = fault {
            let body = "no";
            let _ = write!(
                connection,
                "HTTP/1.1 {status} Injected\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            return;
        }
        let (head, body) = match &self.backend {
            Backend::Folder(folder) => self.file(folder, &path, &head),
            Backend::Server(address) => forward(*address, &head, &mut reader),
        };
        let _ = answer(&mut connection, &head, body, fault);
    }

    fn fault(&self, path: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let open = |(part, times, _): &&mut (String, usize, Fault)| {
            *times > 0 && path.contains(part.as_str())
        };
        let (_, times, fault) = faults.iter_mut().find(open)?;
        *times -= 1;
        Some(*fault)
    }

    /// A file of the folder, or the rest of it.
    fn file(&self, folder: &std::path::Path, path: &str, head: &str) -> (String, Vec<u8>) {
        let Ok(whole) = fs::read(folder.join(path.trim_start_matches('/'))) else {
            return ("HTTP/1.1 404 Not Found\r\n".to_owned(), b"none".to_vec());
        };
        let range = head.lines().find_map(|line| {
            line.to_lowercase()
                .strip_prefix("range: bytes=")
                .map(str::to_owned)
        });
        let (status, body) = match range.and_then(|range| {
            let (first, last) = range.split_once('-')?;
            Some((first.parse::<usize>().ok()?, last.parse::<usize>().ok()?))
        }) {
            None => ("200 OK\r\n".to_owned(), whole.clone()),
            Some((first, last)) => (
                format!(
                    "206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}\r\n",
                    whole.len()
                ),
                whole[first..=last].to_vec(),
            ),
        };
        let tag = match self.has_tags {
            true => format!(
                "ETag: \"{}-{}\"\r\n",
                whole.len(),
                whole.iter().map(|b| u64::from(*b)).sum::<u64>()
            ),
            false => String::new(),
        };
        let head =
            format!("HTTP/1.1 {status}{tag}Last-Modified: Tue, 01 Dec 2026 00:00:00 GMT\r\n");
        (head, body)
    }
}

/// The lines of a request or an answer up to the empty one.
fn head(reader: &mut impl BufRead) -> Option<String> {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        match reader.read_line(&mut line) {
            Ok(1..) if line == "\r\n" => return Some(head),
            Ok(1..) => head.push_str(&line),
            _ => return None,
        }
    }
}

fn forward(address: SocketAddr, head: &str, _: &mut impl Read) -> (String, Vec<u8>) {
    let mut upstream = TcpStream::connect(address).unwrap();
    let is_own = |line: &&str| !line.to_lowercase().starts_with("connection:");
    let lines: Vec<&str> = head.lines().filter(is_own).collect();
    let request = format!("{}\r\nConnection: close\r\n\r\n", lines.join("\r\n"));
    upstream.write_all(request.as_bytes()).unwrap();
    let mut answer = BufReader::new(upstream);
    let head = self::head(&mut answer).unwrap_or_default();
    let mut body = Vec::new();
    let _ = answer.read_to_end(&mut body);
    let drop = ["content-length:", "connection:", "transfer-encoding:"];
    let kept = head.lines().filter(|line| {
        !drop
            .iter()
            .any(|name| line.to_lowercase().starts_with(name))
    });
    let head: String = kept.map(|line| format!("{line}\r\n")).collect();
    (head, body)
}

fn answer(
    connection: &mut TcpStream,
    head: &str,
    mut body: Vec<u8>,
    fault: Option<Fault>,
) -> std::io::Result<()> {
    if fault == Some(Fault::Wrong) {
        let middle = body.len() / 2;
        if let Some(byte) = body.get_mut(middle) {
            *byte ^= 1;
        }
    }
    let length = body.len();
    write!(
        connection,
        "{head}Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    match fault {
        Some(Fault::Cut(bytes)) => connection.write_all(&body[..bytes.min(length)]),
        Some(Fault::Stall(time)) => {
            let (first, second) = body.split_at(length / 2);
            connection.write_all(first)?;
            connection.flush()?;
            thread::sleep(Duration::from_millis(time));
            connection.write_all(second)
        }
        _ => connection.write_all(&body),
    }
}
