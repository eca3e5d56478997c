//! A real browser: headless Chromium, controlled through its debugging pipe.
//!
//! A test is skipped if there is no Chromium, and fails then with `HEARDBACK_CI=1`.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::{Value, json};

use crate::skip::skipped_unless_ci;

/// Longer than any step of a browser on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);
const POLL_INTERVAL: Duration = Duration::from_millis(20);

pub(crate) struct Browser {
    // Dropped before its folder.
    child: Child,
    commands: File,
    messages: Receiver<Value>,
    page: String,
    last: u64,
    /// Events that no call consumed yet.
    pub(crate) events: Vec<Value>,
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Starts a browser with an empty page, which waits for `Fetch` commands. `None`: there is no Chromium, and the
    /// test is skipped.
    pub(crate) fn start(more: &[&str]) -> Option<Self> {
        if Command::new("chromium").arg("--version").output().is_err() {
            skipped_unless_ci("there is no `chromium`");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let pipe = |name: &str| {
            let path = folder.path().join(name);
            mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
            path
        };
        let (commands, answers) = (pipe("commands"), pipe("answers"));
        let child = spawn(folder.path(), &commands, &answers, more);
        // The order in which the shell opens them.
        let commands = File::create(commands).expect("opened");
        let answers = BufReader::new(File::open(answers).expect("opened"));
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            for answer in answers.split(0).map_while(Result::ok) {
                let _ = sender.send(serde_json::from_slice(&answer).unwrap_or_default());
            }
        });
        let (page, events) = (String::new(), Vec::new());
        let mut browser =
            Self { child, commands, messages, page, last: 0, events, _folder: folder };
        let target = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": target["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        session["sessionId"].as_str().expect("a session").clone_into(&mut browser.page);
        browser.call("Page.enable", &json!({}));
        let pattern = json!({ "patterns": [{ "urlPattern": "https://*" }] });
        browser.call("Fetch.enable", &pattern);
        Some(browser)
    }

    /// Repeats the call while the browser replaces the page. A script whose page is replaced meanwhile has no result: it may
    /// have begun the replacement, so it is not repeated.
    pub(crate) fn call(&mut self, method: &str, params: &Value) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let message = self.ask(method, params);
            let Some(error) = message.get("error") else { return message["result"].clone() };
            if error["message"] == "Inspected target navigated or closed"
                && method == "Runtime.evaluate"
            {
                return Value::Null;
            }
            let between = error["message"] == "Not attached to an active page";
            assert!(between && Instant::now() < deadline, "{method}: {message}");
            std::thread::park_timeout(POLL_INTERVAL);
        }
    }

    pub(crate) fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let mut command = json!({ "id": self.last, "method": method, "params": params });
        if !self.page.is_empty() {
            command["sessionId"] = Value::String(self.page.clone());
        }
        let mut bytes = command.to_string().into_bytes();
        bytes.push(0);
        self.commands.write_all(&bytes).expect("the browser reads");
        loop {
            let message = self.messages.recv_timeout(PATIENCE).expect("the browser answers");
            if message["id"] == self.last {
                return message;
            }
            self.events.push(message);
        }
    }

    /// Waits for an event, and returns its parameters.
    pub(crate) fn wait(&mut self, event: &str) -> Value {
        loop {
            let known = self.events.iter().position(|message| message["method"] == event);
            if let Some(at) = known {
                return self.events.remove(at)["params"].clone();
            }
            let message = self.messages.recv_timeout(PATIENCE);
            self.events.push(message.unwrap_or_else(|_| unreachable!("{event} does not happen")));
        }
    }

    pub(crate) fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", &json!({ "url": url }));
        assert!(opened.get("errorText").is_none(), "{opened}");
    }

    pub(crate) fn address(&mut self) -> String {
        let history = self.call("Page.getNavigationHistory", &json!({}));
        let at = history["currentIndex"].as_u64().expect("a number");
        let entry = &history["entries"][usize::try_from(at).expect("small")];
        entry["url"].as_str().expect("a text").to_owned()
    }

    /// Clicks the middle of the button.
    pub(crate) fn press(&mut self) {
        let document = self.call("DOM.getDocument", &json!({}));
        let root = &document["root"]["nodeId"];
        let button =
            self.call("DOM.querySelector", &json!({ "nodeId": root, "selector": "button" }));
        let shape = self.call("DOM.getBoxModel", &json!({ "nodeId": button["nodeId"] }));
        let corner = |at: usize| shape["model"]["content"][at].as_f64().expect("a number");
        let (x, y) = (f64::midpoint(corner(0), corner(4)), f64::midpoint(corner(1), corner(5)));
        for kind in ["mousePressed", "mouseReleased"] {
            let event = json!({ "type": kind, "x": x, "y": y, "button": "left", "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", &event);
        }
    }

    /// Focuses the button with the Tab key, and presses Enter.
    pub(crate) fn press_by_keyboard(&mut self) {
        self.keys(&[("Tab", 9, ""), ("Enter", 13, "\r")]);
    }

    pub(crate) fn press_enter(&mut self) {
        self.keys(&[("Enter", 13, "\r")]);
    }

    fn keys(&mut self, keys: &[(&str, u32, &str)]) {
        for (key, code, text) in keys {
            for kind in ["keyDown", "keyUp"] {
                let text = if kind == "keyDown" { *text } else { "" };
                let event = json!({
                    "type": kind, "key": key, "code": key, "windowsVirtualKeyCode": code, "text": text
                });
                self.call("Input.dispatchKeyEvent", &event);
            }
        }
    }

    /// Waits until the result of this expression contains these words.
    pub(crate) fn shows(&mut self, expression: &str, words: &str) {
        let mut last = Value::Null;
        let wanted = format!("{expression} shows {words:?}");
        let shown = patiently(|| {
            last = self.evaluate(expression);
            last.as_str().is_some_and(|text| text.contains(words))
        });
        assert!(shown, "not in time: {wanted}, but {last}");
    }

    /// The entries of the browser's log. It needs `Log.enable`.
    pub(crate) fn complaints(&mut self) -> Vec<String> {
        self.evaluate("0");
        let message = self.events.iter().filter(|message| message["method"] == "Log.entryAdded");
        message.map(|message| message["params"]["entry"]["text"].to_string()).collect()
    }

    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        self.call("Runtime.evaluate", &json!({ "expression": script }))["result"]["value"].clone()
    }
}

fn patiently(mut is_so: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::park_timeout(POLL_INTERVAL);
    }
    true
}

impl Drop for Browser {
    fn drop(&mut self) {
        // All processes of the browser are in one group.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Starts Chromium with its debugging pipe on these two files.
fn spawn(folder: &Path, commands: &Path, answers: &Path, more: &[&str]) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec chromium \"$@\" 3<\"$COMMANDS\" 4>\"$ANSWERS\"", "chromium"]);
    shell.args([
        "--headless",
        "--remote-debugging-pipe",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--no-proxy-server",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]);
    shell.arg(format!("--user-data-dir={}", folder.join("profile").display()));
    shell.args(more).env("HOME", folder).env("COMMANDS", commands).env("ANSWERS", answers);
    shell.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    shell.process_group(0).spawn().expect("a shell")
}
