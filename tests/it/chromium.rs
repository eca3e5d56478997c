//! Our click links in a real browser. The target is https and nobody's server: the browser asks the test
//! before it fetches it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::harness::browser::Browser;
use crate::harness::{Scene, json as json_post, sid};

const TARGET: &str = "https://app.example.com/welcome?invite=1";
const PHONE: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                     Chrome/140.0.0.0 Mobile Safari/537.36";
/// Without this it says that it is automated, which it does when a scanner drives it.
const AS_A_PERSON: &str = "--disable-blink-features=AutomationControlled";

impl Browser {
    fn follow(&mut self, scene: &Scene, link: &str) {
        let url = format!("http://{}{link}", scene.service.public);
        self.open(&url);
    }

    /// Waits until it asks for the target, and lets it have a page. What it asked.
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

/// A message with a link in it; the link's path.
fn linked(scene: &Scene) -> String {
    let body = json!({ "MessageSid": sid(1), "Link": TARGET });
    let answer = scene.send(&json_post("/app/messages", &body)).json();
    let link = answer["link"].as_str().expect("a link");
    link.strip_prefix(crate::harness::BASE).expect("ours").to_owned()
}

fn presses(scene: &Scene) -> u64 {
    let name = "heardback_http_requests_total{route=\"/c/{token}\",status=\"303\"}";
    scene.service.metric(name)
}

/// The message is confirmed by the one press, and the target was told nothing of the link.
fn was_worth_it(scene: &Scene, asked: &Value) {
    assert_eq!((&asked["url"], &asked["method"]), (&json!(TARGET), &json!("GET")));
    let headers = asked["headers"].as_object().expect("headers");
    assert!(!headers.keys().any(|name| name.eq_ignore_ascii_case("referer")), "{headers:?}");
    scene.reaches(1, "reported");
    assert_eq!(presses(scene), 1);
}

#[test]
fn a_person_arrives_at_the_target_without_doing_anything() {
    let scene = Scene::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    let link = linked(&scene);
    browser.follow(&scene, &link);
    let asked = browser.arrives();
    was_worth_it(&scene, &asked);
    // Whoever goes back is back where they were, and not sent on again.
    let history = browser.call("Page.getNavigationHistory", &json!({}));
    let entries = history["entries"].as_array().expect("a list").iter();
    let addresses: Vec<&str> = entries.filter_map(|entry| entry["url"].as_str()).collect();
    assert_eq!(addresses, ["about:blank", TARGET]);
}

#[test]
fn a_page_that_nobody_sees_waits_until_somebody_does() {
    let scene = Scene::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    let hidden = "Object.defineProperty(document, 'visibilityState', \
                  { get: () => window.isSeen ? 'visible' : 'hidden' })";
    browser.call("Page.addScriptToEvaluateOnNewDocument", &json!({ "source": hidden }));
    let link = linked(&scene);
    browser.follow(&scene, &link);
    browser.wait("Page.loadEventFired");
    assert_eq!(browser.evaluate("document.visibilityState"), "hidden");
    assert_eq!((presses(&scene), scene.state(1).as_deref()), (0, Some("pending")));
    browser.evaluate("isSeen = true; document.dispatchEvent(new Event('visibilitychange'))");
    let asked = browser.arrives();
    was_worth_it(&scene, &asked);
}

#[test]
fn without_javascript_the_button_leads_on_and_nothing_else_does() {
    let scene = Scene::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent, AS_A_PERSON]) else { return };
    browser.call("Emulation.setScriptExecutionDisabled", &json!({ "value": true }));
    let link = linked(&scene);
    browser.follow(&scene, &link);
    browser.wait("Page.loadEventFired");
    assert!(browser.address().ends_with(&link));
    assert_eq!((presses(&scene), scene.state(1).as_deref()), (0, Some("pending")));
    browser.press();
    let asked = browser.arrives();
    was_worth_it(&scene, &asked);
}

#[test]
fn a_browser_that_a_machine_drives_stays_where_it_is() {
    let scene = Scene::new(&[]);
    let agent = format!("--user-agent={PHONE}");
    let Some(mut browser) = Browser::start(&[&agent]) else { return };
    let link = linked(&scene);
    browser.follow(&scene, &link);
    browser.wait("Page.loadEventFired");
    assert_eq!(browser.evaluate("navigator.webdriver"), true, "it says so");
    assert!(browser.address().ends_with(&link));
    assert_eq!((presses(&scene), scene.state(1).as_deref()), (0, Some("pending")));
    // The same page, and somebody at its keyboard.
    browser.press_by_keyboard();
    let asked = browser.arrives();
    was_worth_it(&scene, &asked);
}
