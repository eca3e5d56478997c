//! The operator's page in a real browser: live updates during input, the login, and the layout. The
//! first use with the demo is in `newcomer.rs`. With `HEARDBACK_SCREENSHOTS=DIR` the tests save
//! screenshots there.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heardback::config::process_env;
use serde_json::json;

use crate::harness::browser::Browser;
use crate::harness::running::{Running, command};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{ACCOUNT, RECIPIENT, SENDER, form, json as json_post, sid};
use crate::harness::{http_client, signed};
use crate::page::TOKEN;
use crate::page::filled::{fill, message};

/// A phone, a tablet, a desktop.
const WIDTHS: [u32; 3] = [390, 820, 1280];
const THEMES: [&str; 2] = ["light", "dark"];

struct Desk {
    service: Running,
    browser: Browser,
}

impl Desk {
    fn send(&self, request: &heardback::recording::Recording) {
        let answer = self.service.exchange(&http_client::bytes(&signed(request)));
        assert!((200..300).contains(&answer.status), "{}", answer.text());
    }

    /// Sends a message and reports its code as entered.
    fn confirm(&self, sid: &str) {
        let reference = format!("login-5{}", &sid[30..]);
        let body = json!({ "MessageSid": sid, "To": RECIPIENT, "From": SENDER,
            "Reference": reference });
        self.send(&json_post("/app/messages", &body));
        self.send(&form("/app/events", &[("MessageSid", sid), ("Type", "code_entered")]));
    }

    fn open(&mut self, path: &str) {
        self.browser.open(&format!("http://{}{path}", self.service.ops));
        self.shows("document.readyState", "complete");
    }

    fn shows(&mut self, what: &str, words: &str) {
        self.browser.shows(what, words);
    }

    fn health(&mut self, words: &str) {
        self.shows("document.querySelector('.health').innerText", words);
    }

    fn outbox(&mut self, words: &str) {
        self.shows("document.querySelector('#outbox').innerText", words);
    }
}

fn sit_down(store: &Path, twilio: &Twilio, more: &[(&str, &str)]) -> Option<Desk> {
    let mut browser = Browser::start(&[])?;
    browser.call("Log.enable", &json!({}));
    Some(Desk { service: Running::start(command(store, twilio, more)), browser })
}

#[test]
fn a_live_update_does_not_disturb_input_on_the_page() {
    let folder = tempfile::tempdir().expect("a folder");
    let twilio = Twilio::start();
    twilio.reply_with(TwilioReply::Status(400));
    let Some(mut desk) = sit_down(&folder.path().join("store"), &twilio, &[]) else { return };
    desk.confirm(&sid(1));
    desk.open("/");
    desk.shows("document.querySelector('#refused').innerText", "HTTP 400");
    let requeue = format!("requeue-{}", sid(1));
    desk.browser.evaluate(&format!(
        "document.getElementById('hours-table').open = true; \
        document.getElementById('{requeue}').focus()"
    ));
    desk.confirm(&sid(2));
    desk.shows("document.querySelector('#refused').innerText", &sid(2));
    let same = "document.activeElement.id + document.getElementById('hours-table').open";
    assert_eq!(desk.browser.evaluate(same), format!("{requeue}true"));
    // A hidden page sends no request; a visible one is live again.
    let hide = |hidden: bool| {
        format!(
            "Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }}); \
            document.dispatchEvent(new Event('visibilitychange'))"
        )
    };
    desk.browser.evaluate(
        "window.ended = 0; const close = EventSource.prototype.close; \
        EventSource.prototype.close = function () { window.ended += 1; close.call(this); }",
    );
    desk.browser.evaluate(&hide(true));
    assert_eq!(desk.browser.evaluate("window.ended"), 1);
    desk.confirm(&sid(3));
    desk.browser.evaluate(&hide(false));
    desk.shows("document.querySelector('#refused').innerText", &sid(3));
    // A key that is held down is released on the same button.
    let key = |kind: &str| format!("document.dispatchEvent(new KeyboardEvent('{kind}'))");
    desk.browser.evaluate("window.same = document.activeElement");
    desk.browser.evaluate(&key("keydown"));
    desk.browser.evaluate("document.querySelector('#pulse').textContent = ''");
    desk.confirm(&sid(4));
    desk.shows("document.querySelector('#pulse').textContent", "live");
    assert_eq!(desk.browser.evaluate("window.same.isConnected"), true);
    desk.browser.evaluate(&key("keyup"));
    desk.shows("document.querySelector('#refused').innerText", &sid(4));
    // The button works from the keyboard.
    twilio.reply_with(TwilioReply::Status(200));
    desk.browser.press_enter();
    desk.shows("document.querySelector('.done')?.innerText", "Requeued");
    desk.shows("document.querySelector('.timeline').innerText", "reported, HTTP 200");
}

#[test]
fn the_login_the_page_and_the_logout_work_in_a_browser() {
    let folder = tempfile::tempdir().expect("a folder");
    let twilio = Twilio::start();
    let more = [("HEARDBACK_OPS_TOKEN", TOKEN)];
    let Some(mut desk) = sit_down(&folder.path().join("store"), &twilio, &more) else { return };
    desk.confirm(&sid(1));
    desk.open("/");
    desk.shows("location.pathname", "/login");
    desk.shows("document.activeElement.id", "token");
    desk.browser.call("Input.insertText", &json!({ "text": "a wrong one" }));
    desk.browser.press_enter();
    desk.shows("document.querySelector('.error')?.innerText", "Wrong token.");
    // The page was loaded again: its field must have the focus.
    desk.shows("document.activeElement.id", "token");
    desk.browser.call("Input.insertText", &json!({ "text": TOKEN }));
    desk.browser.press_enter();
    desk.shows("document.querySelector('#accounts')?.innerText", "flow");
    desk.shows("document.querySelector('#pulse').innerText", "live");
    assert_eq!(desk.browser.evaluate("document.cookie"), "", "no script can read the cookie");
    desk.browser.evaluate(&format!("document.getElementById('hold-{ACCOUNT}').click()"));
    desk.shows("document.querySelector('.done')?.innerText", "On hold");
    desk.health("is on hold.");
    desk.browser.evaluate("document.querySelector('[action=\"/logout\"] button').click()");
    desk.shows("location.pathname", "/login");
    desk.open("/");
    desk.shows("location.pathname", "/login");
}

#[test]
fn the_page_fits_a_phone_and_a_desktop_in_both_themes_full_empty_and_failing() {
    let folder = tempfile::tempdir().expect("a folder");
    let twilio = Twilio::start();
    let Some(mut empty) = sit_down(&folder.path().join("empty"), &twilio, &[]) else { return };
    empty.open("/");
    fits(&mut empty, "empty");
    drop(empty);

    let store = folder.path().join("full");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(fill(&store));
    twilio.reply_with(TwilioReply::Status(503));
    let Some(mut full) = sit_down(&store, &twilio, &[]) else { return };
    for n in 0..3 {
        full.confirm(message(5_000 + n).as_str());
    }
    full.open("/");
    full.outbox("HTTP 503");
    fits(&mut full, "full");
    full.open(&format!("/messages/{}", message(7)));
    full.shows("document.querySelector('.timeline').innerText", "sent");
    fits(&mut full, "message");
    twilio.reply_with(TwilioReply::Status(401));
    full.confirm(message(5_003).as_str());
    full.open("/");
    full.health("which are paused");
    fits(&mut full, "failing");
}

/// No page is wider than the window in any theme, and the browser reports no problem.
fn fits(desk: &mut Desk, name: &str) {
    for width in WIDTHS {
        let size =
            json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500 });
        desk.browser.call("Emulation.setDeviceMetricsOverride", &size);
        for theme in THEMES {
            let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": theme }] });
            desk.browser.call("Emulation.setEmulatedMedia", &media);
            let overflow =
                "document.documentElement.scrollWidth - document.documentElement.clientWidth";
            assert_eq!(desk.browser.evaluate(overflow), 0, "{name} at {width}, {theme}");
            if let Some(folder) = process_env("HEARDBACK_SCREENSHOTS") {
                let file = format!("{name}-{width}-{theme}");
                picture(desk, &Path::new(&folder).join(format!("{file}.png")), f64::MAX);
                if file == "full-1280-light" {
                    // The README's screenshots.
                    picture(desk, &Path::new(&folder).join("page.png"), 1_520.0);
                }
            }
        }
    }
    assert_eq!(desk.browser.complaints(), Vec::<String>::new(), "{name}");
}

/// Of the whole page, or of this much of it from the top.
fn picture(desk: &mut Desk, path: &Path, most: f64) {
    let shape = desk.browser.call("Page.getLayoutMetrics", &json!({}));
    let width = &shape["cssContentSize"]["width"];
    let height = shape["cssContentSize"]["height"].as_f64().expect("a number").min(most);
    let clip = json!({ "x": 0, "y": 0, "width": width, "height": height, "scale": 1 });
    let whole = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
    let shot = desk.browser.call("Page.captureScreenshot", &whole);
    let bytes = STANDARD.decode(shot["data"].as_str().expect("a picture")).expect("Base64");
    std::fs::write(path, bytes).expect("written");
}
