//! Heardback's click links in a real browser. The target is an https URL without a server: the test
//! answers the browser's request for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::{Harness, json as json_post, sid};

const TARGET: &str = "https://app.example.com/welcome?invite=1";
const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/140.0.0.0 Mobile Safari/537.36";
/// Without this flag, Chromium reports `navigator.webdriver`, as under an automated scanner.
const AS_A_PERSON: &str = "--disable-blink-features=AutomationControlled";

impl Browser {
    fn follow(&mut self, harness: &Harness, link: &str) {
        let url = format!("http://{}{link}", harness.service.public);
        self.open(&url);
    }

    /// Waits for the request to the target, and answers it with a page. Returns the request.
    fn arrives(&mut self) -> Value {
        let paused = self.wait("Fetch.requestPaused");
        let page = STANDARD.encode("<!doctype html><title>welcome</title><p>Welcome");
        let html = json!([{ "name": "Content-Type", "value": "text/html" }]);
        let id = &paused["requestId"];
        let answer =
            json!({ "requestId": id, "responseCode": 200, "responseHeaders": html, "body": page });
        self.call("Fetch.fulfillRequest", &answer);
        while self.wait("Page.frameNavigated")["frame"]["url"] != TARGET {}
        paused["request"].clone()
    }
}

/// Registers a message with a link and returns the link's path.
fn linked(harness: &Harness) -> String {
    let body = json!({ "MessageSid": sid(1), "Link": TARGET });
    let answer = harness.send(&json_post("/app/messages", &body)).json();
    let link = answer["link"].as_str().expect("a link");
    link.strip_prefix(crate::harness::BASE).expect("ours").to_owned()
}

fn presses(harness: &Harness) -> u64 {
    let name = "heardback_http_requests_total{route=\"/c/{token}\",status=\"303\"}";
    harness.service.metric(name)
}

/// One press confirmed the message, and the request to the target contains nothing of the link.
fn is_confirmed_without_a_trace(harness: &Harness, asked: &Value) {
    assert_eq!((&asked["url"], &asked["method"]), (&json!(TARGET), &json!("GET")));
    let headers = asked["headers"].as_object().expect("headers");
    assert!(!headers.keys().any(|name| name.eq_ignore_ascii_case("referer")), "{headers:?}");
    harness.reaches(1, "reported");
    assert_eq!(presses(harness), 1);
}

#[test]
fn a_visitor_arrives_at_the_target_without_a_press() {
    let harness = Harness::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    let link = linked(&harness);
    browser.follow(&harness, &link);
    let asked = browser.arrives();
    is_confirmed_without_a_trace(&harness, &asked);
    // The back button shows the link's page, which does not redirect again.
    let history = browser.call("Page.getNavigationHistory", &json!({}));
    let entries = history["entries"].as_array().expect("a list").iter();
    let addresses: Vec<&str> = entries.filter_map(|entry| entry["url"].as_str()).collect();
    assert_eq!(addresses, ["about:blank", TARGET]);
}

#[test]
fn a_hidden_page_waits_until_it_is_visible() {
    let harness = Harness::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    let hidden = "Object.defineProperty(document, 'visibilityState', \
                  { get: () => window.isSeen ? 'visible' : 'hidden' })";
    browser.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": hidden }));
    let link = linked(&harness);
    browser.follow(&harness, &link);
    browser.wait("Page.loadEventFired");
    assert_eq!(browser.evaluate("document.visibilityState"), "hidden");
    assert_eq!((presses(&harness), harness.state(1).as_deref()), (0, Some("pending")));
    browser.evaluate("isSeen = true; document.dispatchEvent(new Event('visibilitychange'))");
    let asked = browser.arrives();
    is_confirmed_without_a_trace(&harness, &asked);
}

#[test]
fn without_javascript_only_the_button_leads_on() {
    let harness = Harness::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    browser.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    let link = linked(&harness);
    browser.follow(&harness, &link);
    browser.wait("Page.loadEventFired");
    assert!(browser.address().ends_with(&link));
    assert_eq!((presses(&harness), harness.state(1).as_deref()), (0, Some("pending")));
    browser.press();
    let asked = browser.arrives();
    is_confirmed_without_a_trace(&harness, &asked);
}

#[test]
fn an_automated_browser_is_not_redirected() {
    let harness = Harness::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent]) else { return };
    let link = linked(&harness);
    browser.follow(&harness, &link);
    browser.wait("Page.loadEventFired");
    assert_eq!(browser.evaluate("navigator.webdriver"), true, "the browser reports automation");
    assert!(browser.address().ends_with(&link));
    assert_eq!((presses(&harness), harness.state(1).as_deref()), (0, Some("pending")));
    // The same page, and a key press.
    browser.press_by_keyboard();
    let asked = browser.arrives();
    is_confirmed_without_a_trace(&harness, &asked);
}
