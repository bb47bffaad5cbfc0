//! A Chromium that is driven through ChromeDriver, where both are installed; and the little of HTTP that this needs.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::skipped::skipped;

/// One question to a server of this machine: the status, the headers as they came, the body.
pub fn ask(
    port: u16,
    request: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(60)))
        .unwrap();
    let given = headers.iter().any(|(name, _)| *name == "Host");
    let host = if given {
        String::new()
    } else {
        format!("Host: 127.0.0.1:{port}\r\n")
    };
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    let length = body.len();
    write!(stream, "{request} HTTP/1.1\r\n{host}{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}").unwrap();
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        assert_ne!(reader.read_line(&mut head).unwrap(), 0, "cut off: {head}");
    }
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length:").nth(1);
    let length = length.and_then(|rest| rest.split("\r\n").next()?.trim().parse().ok());
    // ChromeDriver keeps a connection open whatever it is asked.
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, head, String::from_utf8(body).unwrap())
}

/// A browser with one window; it ends with this.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Browser {
    /// `None`, said as a skip, where there is no ChromeDriver. A window as wide as `width`, as a phone has it; dark or light.
    pub fn open(width: u32, dark: bool) -> Option<Self> {
        let driver = Command::new("chromedriver")
            .arg("--port=0")
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut driver) = driver else {
            skipped("there is no ChromeDriver");
            return None;
        };
        let port = port_of(&mut driver);
        let mut browser = Self {
            driver,
            port,
            session: String::new(),
        };
        let profile = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ];
        let mut arguments: Vec<String> = profile.map(str::to_owned).to_vec();
        arguments.push(format!(
            "--blink-settings=preferredColorScheme={}",
            if dark { 0 } else { 1 }
        ));
        let options = json!({
            "args": arguments,
            "mobileEmulation": {"deviceMetrics": {"width": width, "height": 800, "pixelRatio": 1.0}},
        });
        let wanted =
            json!({"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}});
        let answer = browser.post("", &json!({"capabilities": {"alwaysMatch": wanted}}));
        browser.session = answer["sessionId"].as_str().unwrap().to_owned();
        Some(browser)
    }

    pub fn go(&self, address: &str) {
        self.post("/url", &json!({ "url": address }));
    }

    /// What a function body in JavaScript returns.
    pub fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until a condition in JavaScript holds.
    #[track_caller]
    pub fn wait(&self, condition: &str) {
        let limit = Instant::now() + Duration::from_secs(60);
        while self.run(&format!("return !!({condition})")) != json!(true) {
            let text = self.run("return document.body.innerText");
            assert!(Instant::now() < limit, "never: {condition}\n{text}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the browser complained of.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.post("/se/log", &json!({"type": "browser"}));
        let entries = log.as_array().unwrap().iter();
        entries.map(|entry| entry["message"].to_string()).collect()
    }

    fn post(&self, command: &str, body: &Value) -> Value {
        let session = if self.session.is_empty() {
            String::new()
        } else {
            format!("/{}", self.session)
        };
        let json = [("Content-Type", "application/json")];
        let (status, _, text) = ask(
            self.port,
            &format!("POST /session{session}{command}"),
            &json,
            &body.to_string(),
        );
        assert_eq!(status, 200, "{command}: {text}");
        serde_json::from_str::<Value>(&text).unwrap()["value"].take()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Its browser with it.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            ask(
                self.port,
                &format!("DELETE /session/{}", self.session),
                &[],
                "",
            )
        }));
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// The port that it says it was started on.
fn port_of(driver: &mut Child) -> u16 {
    let lines = BufReader::new(driver.stdout.take().unwrap()).lines();
    let said = lines
        .map(Result::unwrap)
        .find(|line| line.contains("started successfully on port"));
    let said = said.expect("a port");
    said.trim_end_matches('.')
        .rsplit(' ')
        .next()
        .unwrap()
        .parse()
        .unwrap()
}
