//! Apps that validate with Twilio's own libraries, unchanged behind Heardback: Flask and Express.
//!
//! `HEARDBACK_PYTHON` names a Python with `twilio` and `flask`, `NODE_PATH` the folder with node's `twilio` and `express`.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use heardback::config::process_env;
use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;

use crate::forward::{call, content_type, inbound, message_of, register};
use crate::harness::http_client::Answer;
use crate::harness::{ACCOUNT, BASE, Harness, RECIPIENT, SENDER, TOKEN, get, status_callback};
use crate::skip::skipped_unless_ci;

/// An app in a process of its own. Drop ends it.
struct OfficialApp {
    child: Child,
    port: u16,
}

impl OfficialApp {
    /// `None`: it is not installed, and the test is skipped.
    fn start(program: &str, script: &str) -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/forward");
        let spawned = Command::new(program)
            .arg(folder.join(script))
            .env("TWILIO_AUTH_TOKEN", TOKEN)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let Ok(mut child) = spawned else {
            skipped_unless_ci(&format!("there is no `{program}`"));
            return None;
        };
        let mut port = String::new();
        let mut output = BufReader::new(child.stdout.take().expect("piped"));
        output.read_line(&mut port).expect("readable");
        let Ok(port) = port.trim().parse() else {
            let _ = child.wait();
            skipped_unless_ci(&format!("`{program}` lacks the packages of {script}"));
            return None;
        };
        Some(Self { child, port })
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Sends a webhook to the app directly, signed by `key` as Twilio would.
    fn directly(&self, request: &Recording, key: &SigningKey) -> u16 {
        use crate::support::http::{Connection, request_bytes};
        let signed = request.signed(key, &self.url(""));
        let host = format!("Host: 127.0.0.1:{}", self.port);
        let bytes = String::from_utf8(request_bytes(&signed)).expect("ASCII");
        let bytes = bytes.replace("Host: x", &host);
        let addr = ([127, 0, 0, 1], self.port).into();
        let mut line = Connection::open(addr, crate::harness::LONG).expect("connected");
        line.exchange(bytes.as_bytes()).expect("an answer").status
    }
}

impl Drop for OfficialApp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn texted(answer: &Answer, expected: &str) {
    let text = answer.text();
    assert_eq!(answer.status, 200, "{text}");
    assert!(text.contains(&format!("<Message>{expected}</Message>")), "{expected}: {text}");
}

/// The form has what validators stumble over: blanks, signs, empty values, letters beyond ASCII.
const TEXT: &str = "It's 5 + 5 = 10 & more? \u{e9}\u{1f44d} <b>";

fn stays_behind(app: &OfficialApp) {
    let [message_url, call_url, status_url] =
        ["/sms?tenant=7", "/voice", "/status"].map(|path| app.url(path));
    let harness = Harness::new(&[
        ("HEARDBACK_FORWARD_MESSAGE_URL", &message_url),
        ("HEARDBACK_FORWARD_CALL_URL", &call_url),
        ("HEARDBACK_FORWARD_STATUS_URL", &status_url),
        ("HEARDBACK_FORWARD_PRIVATE", "true"),
    ]);
    register(&harness, 1);
    // The app validates.
    let mut direct = message_of(1, RECIPIENT, "x");
    "/sms?tenant=7".clone_into(&mut direct.target);
    let token = SigningKey::new(TOKEN.as_bytes());
    assert_eq!(app.directly(&direct, &token), 200);
    assert_eq!(app.directly(&direct, &SigningKey::new(b"another")), 403);

    let first = harness.send(&message_of(1, RECIPIENT, TEXT));
    let escaped = TEXT.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    texted(&first, &format!("1: {escaped}"));
    harness.reaches(1, "reported");
    // Twilio keeps the app's cookie, and sends it with the next message.
    let cookie = first.header("Set-Cookie").expect("a cookie").to_owned();
    assert!(cookie.ends_with("; Path=/") && !cookie.contains("Domain"), "{cookie}");
    let mut second = message_of(2, RECIPIENT, "again");
    let pair = cookie.split(';').next().expect("a pair").to_owned();
    second.headers.push(("Cookie".to_owned(), pair));
    second.target.push_str("?more=a%20b&x=%2B1");
    texted(&harness.send(&second), "2: again");
    // As GET, with the callback in the query.
    let sid = inbound(3);
    let fields = [
        ("MessageSid", sid.as_str()),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
    ];
    let query = serde_urlencoded::to_string(fields).expect("encodes");
    for (body, text) in [
        ("it%20is%20%2B1", "it is +1"),
        ("a%26b=c", "a&amp;b=c"),
        ("it%27s", "it's"),
        ("caf%C3%A9", "café"),
    ] {
        let query = format!("{query}&Body={body}");
        // Some frameworks hand their validator another text than the requested one: then Twilio fails there, too.
        let is_read = app.directly(&get(&format!("/sms?tenant=7&{query}")), &token) == 200;
        let got = harness.send(&get(&format!("/twilio/message?{query}")));
        if is_read {
            texted(&got, &format!("1: {text}"));
        } else {
            // Flask shows `'` and letters beyond ASCII without their escapes.
            let is_known = body.contains("%27") || body.contains("%C3");
            assert!(is_known && got.status == 403, "{body}: {}", got.status);
        }
    }
    let answered = harness.send(&call(1, "ringing", &[]));
    assert!(answered.text().contains("<Say>Hello CA"), "{}", answered.text());
    assert!(content_type(&answered).contains("xml"));
    assert_eq!(harness.send(&status_callback(7, "delivered")).status, 204);
    assert_eq!(harness.state(7).as_deref(), Some("untracked"));
    // A forged request is refused here, and never reaches the app.
    let forged = message_of(4, RECIPIENT, "x").signed(&SigningKey::new(b"another"), BASE);
    let refused = harness.service.exchange(&crate::harness::http_client::bytes(&forged));
    assert_eq!(refused.status, 403);
}

#[test]
fn a_flask_app_with_twilios_validator_stays_behind_heardback_unchanged() {
    let python = process_env("HEARDBACK_PYTHON").unwrap_or("python3".to_owned());
    let Some(app) = OfficialApp::start(&python, "flask_app.py") else { return };
    stays_behind(&app);
}

#[test]
fn an_express_app_with_twilios_middleware_stays_behind_heardback_unchanged() {
    let Some(app) = OfficialApp::start("node", "express_app.mjs") else { return };
    stays_behind(&app);
}
