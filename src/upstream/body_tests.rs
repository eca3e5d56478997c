//! Which bodies are Twilio's answer about a message or an account, and how every other body is named.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue, SERVER};

use super::*;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const MESSAGE: &str = "SM0123456789abcdef0123456789abcdef";

fn feedback() -> Feedback {
    Feedback { account: ACCOUNT.parse().expect("valid"), message: MESSAGE.parse().expect("valid") }
}

fn answer(media: &'static str, body: impl Into<Vec<u8>>) -> UpstreamResponse {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(media));
    let (status, broken) = (StatusCode::OK, None);
    UpstreamResponse { status, headers, body: body.into(), broken, is_oversized: false }
}

fn kind(media: &'static str, body: impl Into<Vec<u8>>) -> Option<String> {
    answer(media, body).unlike_feedback(&feedback())
}

/// Each shape of the API descriptions (2025-06 and now), of the documentation and of the guide.
#[test]
fn every_documented_shape_of_twilios_answer_is_accepted() {
    let uri = format!("/2010-04-01/Accounts/{ACCOUNT}/Messages/{MESSAGE}/Feedback.json");
    let dates = r#""date_created":"Thu, 30 Jul 2015 20:00:00 +0000","date_updated":null"#;
    for body in [
        format!(
            r#"{{"account_sid":"{ACCOUNT}",{dates},"message_sid":"{MESSAGE}","outcome":"confirmed","uri":"{uri}"}}"#
        ),
        format!(
            r#"{{"account_sid":"{ACCOUNT}",{dates},"message_sid":"{MESSAGE}","outcome":"confirmed","uri":"uri"}}"#
        ),
        format!(
            r#"{{"account_sid":null,"message_sid":"{MESSAGE}","outcome":"confirmed","uri":null}}"#
        ),
        format!(r#"{{"message_sid":null,"outcome":"confirmed","uri":"{uri}"}}"#),
        format!(r#"{{"outcome":"confirmed","uri":"https://api.twilio.com{uri}"}}"#),
        format!("\n {{\"message_sid\":\"{MESSAGE}\"}}\n"),
        format!(r#"{{"message_sid":"{MESSAGE}","added_later":{{"a":[1]}}}}"#),
    ] {
        assert_eq!(kind("application/json", body.clone()), None, "{body}");
        assert_eq!(
            kind("text/plain", body.clone()),
            None,
            "the media type decides nothing: {body}"
        );
    }
}

#[test]
fn any_other_body_is_named_by_its_kind() {
    let other = MESSAGE.replace('a', "b");
    let upper = MESSAGE.replace("abcdef", "ABCDEF");
    let account = ACCOUNT.replace('a', "b");
    for (media, body, expected) in [
        ("application/json", String::new(), "200 with an empty body"),
        ("text/html", " \r\n".to_owned(), "200 with an empty body"),
        ("text/html", format!("<html>{MESSAGE}</html>"), "200 with HTML"),
        ("text/html", "hello".to_owned(), "200 with HTML"),
        ("text/plain", "<!DOCTYPE html>\n<p>x".to_owned(), "200 with HTML"),
        (
            "application/json",
            "<HTML><Title lang=\"en\">\n Sign in +15551234567 </TITLE></HTML>".to_owned(),
            "200 with HTML, titled \"Sign in +…\"",
        ),
        ("text/html", "<title>never closed".to_owned(), "200 with HTML"),
        ("text/html", "<title></title>".to_owned(), "200 with HTML"),
        ("application/xml", "<TwilioResponse/>".to_owned(), "200 with XML"),
        ("text/plain", "OK".to_owned(), "200 with plain text"),
        ("application/json", "OK".to_owned(), "200 with JSON that is cut short or malformed"),
        (
            "",
            format!("{{\"message_sid\":\"{MESSAGE}\""),
            "200 with JSON that is cut short or malformed",
        ),
        (
            "",
            format!("{{\"message_sid\":\"{MESSAGE}\"}}{{}}"),
            "200 with JSON that is cut short or malformed",
        ),
        ("", "{}".to_owned(), "200 with JSON that names no message"),
        ("", "null".to_owned(), "200 with JSON that names no message"),
        ("", format!("\"{MESSAGE}\""), "200 with JSON that names no message"),
        ("", format!("[{{\"message_sid\":\"{MESSAGE}\"}}]"), "200 with JSON that names no message"),
        ("", "{\"message_sid\":7}".to_owned(), "200 with JSON that names no message"),
        (
            "",
            "{\"ok\":true,\"outcome\":\"confirmed\"}".to_owned(),
            "200 with JSON that names no message",
        ),
        ("", format!("{{\"message_sid\":\"{other}\"}}"), "200 that names another message"),
        ("", format!("{{\"message_sid\":\"{upper}\"}}"), "200 that names another message"),
        (
            "",
            format!("{{\"uri\":\"/2010-04-01/Accounts/{ACCOUNT}/Messages/{other}\"}}"),
            "200 that names another message",
        ),
        (
            "",
            format!("{{\"message_sid\":\"{MESSAGE}\",\"account_sid\":\"{account}\"}}"),
            "200 that names another account",
        ),
        (
            "",
            format!("{{\"message_sid\":\"{MESSAGE}\",\"outcome\":\"unconfirmed\"}}"),
            "200 that says unconfirmed",
        ),
    ] {
        assert_eq!(kind(media, body.clone()).as_deref(), Some(expected), "{media} {body}");
    }
    assert_eq!(kind("", vec![0xff, 0x00]).as_deref(), Some("200 with binary data"));
}

#[test]
fn the_server_that_answered_is_named_and_a_cut_body_is_no_answer() {
    let mut html = answer("text/html", "<html>");
    html.headers.insert(SERVER, HeaderValue::from_static("nginx/1.25"));
    let named = html.unlike_feedback(&feedback());
    assert_eq!(named.as_deref(), Some("200 with HTML (server: nginx/1.25)"));
    let mut long = answer("application/json", "");
    long.is_oversized = true;
    let named = long.unlike_feedback(&feedback());
    assert_eq!(named.as_deref(), Some("200 with a body that is too long"));
    let mut cut = answer("application/json", format!("{{\"message_sid\":\"{MESSAGE}\"}}"));
    cut.broken = Some("the answer broke off: eof".to_owned());
    let named = cut.unlike_feedback(&feedback());
    assert_eq!(named.as_deref(), Some("200 with a truncated body: the answer broke off: eof"));
}

#[test]
fn an_account_is_believed_only_if_the_answer_names_it() {
    let account = AccountSid::parse(ACCOUNT).expect("valid");
    let about = |body: String| answer("application/json", body).unlike_account(account);
    assert_eq!(about(format!("{{\"sid\":\"{ACCOUNT}\",\"status\":\"active\"}}")), None);
    let other = ACCOUNT.replace('a', "b");
    let named = about(format!("{{\"sid\":\"{other}\"}}"));
    assert_eq!(named.as_deref(), Some("200 that names another account"));
    assert_eq!(about("{}".to_owned()).as_deref(), Some("200 with JSON that names no account"));
}
