//! The contents of the page and the effects of its buttons, without JavaScript.

use serde_json::json;

use crate::harness::http_client::Line;
use crate::harness::twilio::TwilioReply;
use crate::harness::{
    Harness, LONG, RECIPIENT, SENDER, code_entered, eventually, json as json_post, sid,
};
use crate::page::{ask, csrf_token, get};

/// A message to another recipient, with a reference.
fn registered(harness: &Harness, number: u32, reference: &str) {
    let body = json!({ "MessageSid": sid(number), "To": RECIPIENT, "From": SENDER,
        "Reference": reference });
    assert_eq!(harness.send(&json_post("/app/messages", &body)).status, 201);
}

fn text(harness: &Harness, path: &str) -> String {
    let answer = get(harness.service.ops, path, &[]);
    assert_eq!(answer.status, 200, "{path}");
    answer.text()
}

#[test]
fn a_service_without_a_verified_request_reports_it_and_is_healthy_once_one_has_verified() {
    let harness = Harness::new(&[]);
    let answer = get(harness.service.ops, "/", &[]);
    let page = answer.text();
    assert!(page.contains("Nothing waits to be reported."));
    assert!(
        page.contains("No request has verified since the start") && page.contains("Worth a look")
    );
    assert!(!page.contains("All is well"), "no request has shown that the service works");
    registered(&harness, 1, "login-1");
    let well = || text(&harness, "/");
    eventually("the page has a new snapshot", LONG, || well().contains("All is well"));
    assert!(well().contains("Last verified signature: <time"), "{}", well());
    let policy = answer.header("Content-Security-Policy").expect("a policy");
    for rule in
        ["default-src 'none'", "style-src 'self'", "script-src 'self'", "form-action 'self'"]
    {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(answer.header("Cache-Control"), Some("no-store"));
    // No inline script or style, and nothing from another host.
    for word in ["style=", "<style", "onclick", "<script>", "src=\"http", "src=\"//"] {
        assert!(!page.contains(word), "{word}");
    }
    for path in ["/style.css", "/live.js", "/icon.svg"] {
        assert!(page.contains(&format!("\"{path}\"")), "{path} is not requested");
        let file = text(&harness, path);
        assert!(!file.contains("url(") && !file.contains("@import"), "{path}");
    }
    // A chart has its numbers as text too.
    assert!(page.contains("0 sent, 0 confirmed") && page.contains("As a table"));
    assert_eq!(get(harness.service.ops, "/nowhere", &[]).status, 404);
}

#[test]
fn a_refused_message_is_shown_with_twilios_reason_and_its_button_requeues_it() {
    let harness = Harness::new(&[]);
    registered(&harness, 1, "login-1");
    harness.twilio.reply_with(TwilioReply::Status(400));
    harness.send(&code_entered(1));
    harness.reaches(1, "refused");
    let page = text(&harness, "/");
    assert!(page.contains("Twilio refused 1 confirmation in the last 24 hours"), "{page}");
    assert!(page.contains("Of these, 0 undelivered and 1 refused by Twilio."), "{page}");
    assert!(page.contains(&format!("href=\"/messages/{}\"", sid(1))) && page.contains("HTTP 400"));

    harness.twilio.reply_with(TwilioReply::Status(200));
    let body = format!("csrf_token={}", csrf_token(&page));
    let target = format!("/messages/{}/requeue", sid(1));
    let answer = ask(harness.service.ops, "POST", &target, &[], &body);
    let there = answer.header("Location").expect("a place").to_owned();
    assert_eq!((answer.status, &*there), (303, &*format!("/messages/{}", sid(1))));
    let cookie = answer.header("Set-Cookie").expect("what was done").to_owned();
    let cookie = format!("Cookie: {}", cookie.split(';').next().expect("a pair"));
    let told = get(harness.service.ops, &there, &[&cookie]);
    assert!(told.text().contains("Requeued: the message will be posted again."), "{}", told.text());
    assert_eq!(told.header("Set-Cookie").map(|it| it.contains("Max-Age=0")), Some(true), "once");
    // A link repeats no message about an earlier action.
    let linked = text(&harness, "/?done=on_hold");
    assert!(!linked.contains("On hold: nothing"), "{linked}");
    harness.reaches(1, "reported");
    let again = ask(harness.service.ops, "POST", &target, &[], &body);
    assert!(again.header("Set-Cookie").is_some_and(|it| it.contains("=not_refused;")));
    let unknown = format!("/messages/{}/requeue", sid(9));
    let answer = ask(harness.service.ops, "POST", &unknown, &[], &body);
    assert!(answer.header("Set-Cookie").is_some_and(|it| it.contains("=unknown;")));
    assert_eq!(harness.twilio.posts().len(), 2);
}

#[test]
fn an_account_on_hold_keeps_its_confirmations_until_it_is_resumed() {
    let harness = Harness::new(&[]);
    registered(&harness, 1, "login-1");
    let page = text(&harness, "/");
    let body = format!("csrf_token={}", csrf_token(&page));
    let (_, rest) = page.split_once("action=\"/accounts/").expect("a button");
    let hold = format!("/accounts/{}", rest.split('"').next().expect("an end"));
    assert!(hold.ends_with("/hold"));
    assert_eq!(ask(harness.service.ops, "POST", &hold, &[], &body).status, 303);
    harness.send(&code_entered(1));
    let page = text(&harness, "/");
    assert!(
        page.contains("Worth a look")
            && page.contains(" is on hold.")
            && page.contains(", just now."),
        "{page}"
    );
    let resume = hold.replace("hold", "resume");
    assert_eq!(harness.twilio.posts().len(), 0);
    assert_eq!(ask(harness.service.ops, "POST", &resume, &[], &body).status, 303);
    harness.reaches(1, "reported");
}

#[test]
fn a_search_finds_a_message_by_its_sid_and_by_its_reference_and_shows_its_timeline() {
    let harness = Harness::new(&[]);
    registered(&harness, 1, "login 7&8");
    registered(&harness, 2, "login 7&8");
    harness.send(&code_entered(1));
    harness.reaches(1, "reported");
    let found = text(&harness, &format!("/messages?q=%20{}%20", sid(1)));
    for word in ["confirmed by code entered (direct)", "reported, HTTP 200 in ", "+1 …", SENDER] {
        assert!(found.contains(word), "{word} is not in {found}");
    }
    assert!(!found.contains(&sid(2)) && !found.contains(RECIPIENT), "{found}");
    let found = text(&harness, "/messages?q=login+7%268");
    assert!(found.contains(&sid(1)) && found.contains(&sid(2)));
    for nobody in [&sid(3), "login 7", "SM"] {
        let page = text(&harness, &format!("/messages?q={}", nobody.replace(' ', "+")));
        assert!(page.contains("Nothing found"), "{nobody}");
        assert!(!page.contains(RECIPIENT), "{nobody}");
    }
    for number in ["%2B15551234567", "5551234567", "whatsapp:%2B15551234567", "+1+(555)+123-4567"] {
        let answer = get(harness.service.ops, &format!("/messages?q={number}"), &[]);
        assert_eq!((answer.status, answer.header("Location")), (303, Some("/numbers")), "{number}");
        assert!(answer.body.is_empty(), "{number}");
    }
    let page = text(&harness, "/numbers");
    assert!(page.contains("Phone numbers cannot be searched") && !page.contains("data-live"));
    let twice = get(harness.service.ops, "/messages?q=a&q=b", &[]);
    assert_eq!(twice.status, 400);
    assert!(twice.text().contains("Bad request"), "{}", twice.text());
    let answer = get(harness.service.ops, "/messages?q=", &[]);
    assert_eq!((answer.status, answer.header("Location")), (303, Some("/")));
}

#[test]
fn parked_evidence_is_found_by_the_name_in_it() {
    let harness = Harness::new(&[]);
    // A name that looks like a number is still searched.
    for name in ["parkedref", "48213000"] {
        let body = json!({ "Reference": name, "Type": "code_entered" });
        assert_eq!(harness.send(&json_post("/app/events", &body)).status, 202);
        let page = text(&harness, &format!("/messages?q={name}"));
        assert!(!page.contains("Nothing found"), "{page}");
        for words in ["Evidence without its message", "code entered", "no_message"] {
            assert!(page.contains(words), "{words} is not in {page}");
        }
    }
}

#[test]
fn of_many_messages_of_a_reference_the_page_says_that_there_are_more() {
    let harness = Harness::new(&[]);
    (1..=20).for_each(|number| registered(&harness, number, "often"));
    let articles = |page: &str| page.matches("<article").count();
    let page = text(&harness, "/messages?q=often");
    assert_eq!((articles(&page), page.contains("The newest 20")), (20, false));
    registered(&harness, 21, "often");
    let page = text(&harness, "/messages?q=often");
    assert_eq!((articles(&page), page.contains("The newest 20")), (20, true));
    assert!(page.contains("heardback show"));
}

#[test]
fn a_type_cannot_reverse_the_text_of_a_line_or_show_a_number() {
    let harness = Harness::new(&[]);
    registered(&harness, 1, "a\u{202e}b");
    harness.twilio.reply_with(TwilioReply::Hold);
    let event = json!({ "MessageSid": sid(1), "Type": "+15551234567" });
    harness.send(&json_post("/app/events", &event));
    harness.confirm(1);
    for path in ["/", &format!("/messages/{}", sid(1))] {
        let page = text(&harness, path);
        assert!(page.contains("a\u{fffd}b") && !page.contains('\u{202e}'), "{path}: {page}");
        assert_eq!(page.matches('\u{fffd}').count(), 1, "{path}: no other character is replaced");
        assert!(!page.contains("15551234567"), "{path}: {page}");
    }
}

#[test]
fn text_from_clients_is_escaped_on_the_page() {
    let harness = Harness::new(&[]);
    let hostile = "\"><script>alert(1)</script>";
    registered(&harness, 1, hostile);
    harness.twilio.reply_with(TwilioReply::Status(503));
    let label = json!({ "MessageSid": sid(1), "Type": "<img src=x onerror=alert(1)>" });
    harness.send(&json_post("/app/events", &label));
    harness.send(&code_entered(1));
    harness.reaches(1, "confirmed");
    let asked = serde_urlencoded::to_string([("q", hostile)]).expect("encodes");
    for path in ["/", &format!("/messages?{asked}"), &format!("/messages/{}", sid(1))] {
        let page = text(&harness, path);
        assert!(page.contains("&lt;script&gt;alert(1)"), "{path}: {page}");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{path}: {page}");
    }
}

#[test]
fn a_change_is_sent_as_an_event_with_the_same_page() {
    let harness = Harness::new(&[]);
    let mut line = Line::open(harness.service.ops);
    line.send(format!("GET /live HTTP/1.1\r\nHost: {}\r\n\r\n", harness.service.ops).as_bytes());
    let head = line.answer().expect("an answer");
    assert_eq!((head.status, head.header("Content-Type")), (200, Some("text/event-stream")));
    line.reads_until("Nothing waits to be reported.");
    harness.twilio.reply_with(TwilioReply::Hold);
    harness.confirm(1);
    line.reads_until(&sid(1));
    harness.twilio.reply_with(TwilioReply::Status(200));
    line.reads_until("Nothing waits to be reported.");
}
