//! A real browser, told what to do over its debugging pipe (Chrome DevTools Protocol).
//!
//! ```text
//!   test ──write──► pipe ──► descriptor 3 ─┐
//!                                          │ chromium --remote-debugging-pipe
//!   test ◄─channel─ thread ◄─ descriptor 4 ┘
//! ```
//!
//! Messages are JSON, each ended by an octet of zero. No port is opened, and nothing but a browser is needed. A shell puts
//! the pipes where the browser looks for them. One thread reads; it ends when the browser has closed its end.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// How long an answer may take before the test fails: far longer than any takes, also where two cores are busy.
const ANSWER: Duration = Duration::from_secs(60);

/// Messages that wait to be read; beyond it the browser waits.
const QUEUE: usize = 4096;

/// What keeps the browser to itself: no network of its own, no profile of anybody.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
];

/// A browser with one page. Dropped, it is ended.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    to: ChildStdin,
    from: Receiver<Value>,
    sent: u64,
    session: Option<String>,
    /// What the page asked the network for, beside itself.
    requests: Vec<String>,
    /// What went wrong in the page: exceptions, violations of its policy.
    errors: Vec<String>,
    loaded: bool,
    page: String,
    profile: TempDir,
}

/// Where the browser is, if this machine has one.
pub fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join("chromium"))
        .find(|program| program.is_file())
}

impl Browser {
    /// Starts it with an empty page of this size.
    ///
    /// # Panics
    /// If there is none, or if it does not answer.
    pub fn start(wide: u32, high: u32) -> Self {
        let profile = tempfile::tempdir().expect("a folder for the profile");
        let mut child = Command::new("sh")
            .args([
                "-c",
                "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>/dev/null",
            ])
            .arg(program().expect("chromium is on the path"))
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the browser starts");
        let to = child.stdin.take().expect("its input is a pipe");
        let mut answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let (sender, from) = mpsc::sync_channel(QUEUE);
        std::thread::spawn(move || {
            let mut octets = Vec::new();
            while answers.read_until(0, &mut octets).is_ok_and(|read| read > 0) {
                octets.pop();
                let Ok(message) = serde_json::from_slice(&octets) else {
                    return;
                };
                if sender.send(message).is_err() {
                    return;
                }
                octets.clear();
            }
        });
        let mut browser = Self {
            child,
            to,
            from,
            sent: 0,
            session: None,
            requests: Vec::new(),
            errors: Vec::new(),
            loaded: false,
            page: String::new(),
            profile,
        };
        browser.attach(wide, high);
        browser
    }

    fn attach(&mut self, wide: u32, high: u32) {
        let target = self.call("Target.createTarget", &json!({"url": "about:blank"}));
        let target = &target["targetId"];
        let attached = self.call(
            "Target.attachToTarget",
            &json!({"targetId": target, "flatten": true}),
        );
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Network", "Log"] {
            self.call(&format!("{domain}.enable"), &json!({}));
        }
        let size = json!({"width": wide, "height": high, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size);
    }

    /// Opens a file at a fragment (`#F1`, or nothing) and waits until it is loaded.
    ///
    /// # Panics
    /// If it does not load.
    pub fn open(&mut self, file: &Path, fragment: &str) {
        // A page that differs by its fragment alone is not loaded again.
        self.navigate("about:blank");
        self.page = format!("file://{}", file.display());
        let url = format!("{}{fragment}", self.page);
        self.navigate(&url);
    }

    fn navigate(&mut self, url: &str) {
        self.loaded = false;
        self.call("Page.navigate", &json!({"url": url}));
        let deadline = Instant::now() + ANSWER;
        while !self.loaded {
            let left = deadline.saturating_duration_since(Instant::now());
            let message = self.from.recv_timeout(left).expect("the page loads");
            self.note(&message);
        }
    }

    /// What an expression is in the page; a promise is waited for.
    ///
    /// # Panics
    /// If it throws.
    pub fn eval(&mut self, expression: &str) -> Value {
        let parameters = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &parameters);
        assert!(
            answer.get("exceptionDetails").is_none(),
            "{expression} throws: {}",
            answer["exceptionDetails"]
        );
        answer["result"]["value"].clone()
    }

    /// The same, as text.
    ///
    /// # Panics
    /// If it is no text.
    pub fn text(&mut self, expression: &str) -> String {
        let value = self.eval(expression);
        value
            .as_str()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
            .to_owned()
    }

    /// The same, as a number.
    ///
    /// # Panics
    /// If it is none.
    pub fn number(&mut self, expression: &str) -> u64 {
        let value = self.eval(expression);
        value
            .as_u64()
            .unwrap_or_else(|| panic!("{expression} is {value}"))
    }

    /// Whether an expression holds.
    pub fn holds(&mut self, expression: &str) -> bool {
        self.eval(&format!("Boolean({expression})")) == Value::Bool(true)
    }

    /// Presses the pointer on the middle of the element that this expression is.
    pub fn click(&mut self, element: &str) {
        let middle = format!(
            "(() => {{ const on = {element}; on.scrollIntoView({{ block: 'center', behavior: 'instant' }}); \
             const box = on.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let middle = self.eval(&middle);
        self.click_at(&middle[0], &middle[1]);
    }

    /// Presses the pointer on a place of the window.
    pub fn click_at(&mut self, x: &Value, y: &Value) {
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let event = json!({"type": kind, "x": x, "y": y, "button": button, "clickCount": 1});
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Presses a key: `Enter`, `Tab`, `Escape`, `ArrowDown`, or a letter.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Tab" => (9, ""),
            "Escape" => (27, ""),
            "ArrowLeft" => (37, ""),
            "ArrowUp" => (38, ""),
            "ArrowRight" => (39, ""),
            "ArrowDown" => (40, ""),
            letter => (0, letter),
        };
        for kind in ["keyDown", "keyUp"] {
            let text = if kind == "keyDown" { text } else { "" };
            let event =
                json!({"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", &event);
        }
    }

    /// Types into what has the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", &json!({"text": text}));
    }

    /// Which colours the user prefers (`light`, `dark`), and for what the page is drawn (`print`, or nothing for a screen).
    pub fn media(&mut self, scheme: &str, medium: &str) {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call(
            "Emulation.setEmulatedMedia",
            &json!({"media": medium, "features": features}),
        );
    }

    /// The page as it would be printed.
    pub fn pdf(&mut self) -> Value {
        self.call("Page.printToPDF", &json!({"preferCSSPageSize": true}))["data"].clone()
    }

    /// The steps of the history go back by one.
    pub fn back(&mut self) {
        self.eval("new Promise((done) => { addEventListener('popstate', done, { once: true }); history.back(); }).then(() => 1)");
    }

    /// The page asked nobody for anything, and nothing went wrong in it.
    ///
    /// # Panics
    /// If it did.
    pub fn was_quiet(&mut self) {
        // What happened before this answer has been noted.
        self.eval("1");
        assert!(self.requests.is_empty(), "the page asked for {:?}", self.requests);
        assert!(self.errors.is_empty(), "in the page: {:?}", self.errors);
    }

    fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.sent += 1;
        let mut message = json!({"id": self.sent, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        let mut octets = message.to_string().into_bytes();
        octets.push(0);
        self.to.write_all(&octets).expect("the browser listens");
        let deadline = Instant::now() + ANSWER;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = self
                .from
                .recv_timeout(left)
                .unwrap_or_else(|error| panic!("{method}: the browser does not answer: {error}"));
            if answer["id"] == self.sent {
                assert!(answer.get("error").is_none(), "{method}: {}", answer["error"]);
                return answer["result"].clone();
            }
            self.note(&answer);
        }
    }

    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str() {
            Some("Page.loadEventFired") => self.loaded = true,
            Some("Network.requestWillBeSent") => {
                let url = parameters["request"]["url"].as_str().unwrap_or_default();
                let own = url.split('#').next() == Some(self.page.as_str()) || url == "about:blank";
                if !own {
                    self.requests.push(url.to_owned());
                }
            }
            Some("Runtime.exceptionThrown") => self.errors.push(parameters["exceptionDetails"].to_string()),
            Some("Log.entryAdded") if parameters["entry"]["level"] == "error" => {
                self.errors.push(parameters["entry"]["text"].to_string());
            }
            Some("Page.javascriptDialogOpening") => self.errors.push(format!("a dialog: {parameters}")),
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Its own children may still write into the profile for a moment; what stays is a temporary folder.
        let _ = std::fs::remove_dir_all(self.profile.path());
    }
}
