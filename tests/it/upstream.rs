//! The meaning of Twilio's responses, over real HTTP: a test for each row of docs/design.md,
//! "Posting to Twilio". Faults of the connection are in `upstream_wire.rs`.

use std::process::Command;
use std::time::Duration;

use heardback::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use heardback::upstream::{Credential, Upstream, UpstreamConfig, UpstreamError};
use serde_json::json;
use wiremock::matchers::{any, basic_auth, path};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const MESSAGE: &str = "SM0123456789ABCDEF0123456789abcdef";
const PATH: &str = "/2010-04-01/Accounts/AC0123456789abcdef0123456789abcdef/Messages/\
                    SM0123456789ABCDEF0123456789abcdef/Feedback.json";

/// Long enough for a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(20);

/// A client with these secrets.
pub(crate) fn client(base: &str, secrets: &[&str]) -> Upstream {
    patient_client(base, secrets, LONG)
}

/// A client with this timeout.
pub(crate) fn patient_client(base: &str, secrets: &[&str], request_timeout: Duration) -> Upstream {
    Upstream::new(config(base, secrets, request_timeout)).expect("a client")
}

pub(crate) fn config(base: &str, secrets: &[&str], request_timeout: Duration) -> UpstreamConfig {
    let credential = |secret: &&str| Credential {
        user: ACCOUNT.to_owned(),
        secret: (*secret).to_owned().into(),
    };
    UpstreamConfig {
        base: base.to_owned(),
        credentials: secrets.iter().map(credential).collect(),
        connect_timeout: LONG,
        request_timeout,
        user_agent: "heardback/0.1.0".to_owned(),
    }
}

pub(crate) fn feedback() -> Feedback {
    let account = ACCOUNT.parse().expect("valid");
    Feedback { account, message: MESSAGE.parse().expect("valid") }
}

async fn serve(answer: ResponseTemplate) -> MockServer {
    let twilio = MockServer::start().await;
    Mock::given(any()).respond_with(answer).mount(&twilio).await;
    twilio
}

async fn post(answer: ResponseTemplate) -> Verdict {
    client(&serve(answer).await.uri(), &["token"]).post(&feedback()).await
}

fn echo(status: u16) -> ResponseTemplate {
    let body = json!({"message_sid": MESSAGE, "account_sid": ACCOUNT, "outcome": "confirmed"});
    ResponseTemplate::new(status).set_body_json(body)
}

/// Twilio's answer to accepted feedback, for any message.
pub(crate) fn taken(post: &Request) -> ResponseTemplate {
    let path = post.url.path();
    let parts: Vec<&str> = path.split('/').collect();
    let [_, _, _, account, _, message, ..] = parts[..] else { return ResponseTemplate::new(404) };
    ResponseTemplate::new(200).set_body_json(json!({
        "account_sid": account,
        "date_created": "Thu, 30 Jul 2015 20:00:00 +0000",
        "date_updated": "Thu, 30 Jul 2015 20:00:00 +0000",
        "message_sid": message,
        "outcome": "confirmed",
        "uri": path,
    }))
}

fn error(status: u16, code: u32, message: &str) -> ResponseTemplate {
    let body =
        json!({"code": code, "message": message, "status": status, "more_info": "https://…"});
    ResponseTemplate::new(status).set_body_json(body)
}

fn why(status: u16, code: u32, message: &str) -> OutcomeDetail {
    OutcomeDetail { status: Some(status), code: Some(code), message: message.to_owned() }
}

#[tokio::test]
async fn a_confirmation_is_posted_in_this_form() {
    let twilio = serve(echo(200)).await;
    let verdict = client(&twilio.uri(), &["token"]).post(&feedback()).await;
    assert_eq!(verdict, Verdict::Done { status: 200 });
    let requests = twilio.received_requests().await.expect("recorded");
    let [request] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!((request.method.as_str(), request.url.path()), ("POST", PATH));
    assert_eq!(request.url.query(), None);
    assert_eq!(request.body, b"Outcome=confirmed");
    let mut headers: Vec<(&str, &str)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.to_str().expect("text")))
        .collect();
    headers.sort_unstable();
    let host = twilio.address().to_string();
    assert_eq!(
        headers,
        [
            ("accept", "application/json"),
            // printf '%s' "$ACCOUNT:token" | base64
            ("authorization", "Basic QUMwMTIzNDU2Nzg5YWJjZGVmMDEyMzQ1Njc4OWFiY2RlZjp0b2tlbg=="),
            ("content-length", "17"),
            ("content-type", "application/x-www-form-urlencoded"),
            ("host", host.as_str()),
            ("user-agent", "heardback/0.1.0"),
        ]
    );
}

/// Runs the test above again in a process whose environment names a proxy that is not there.
#[test]
fn a_proxy_in_the_environment_is_ignored() {
    let mut again = Command::new(std::env::current_exe().expect("this binary"));
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]
    {
        again.env(name, "http://127.0.0.1:1");
    }
    again.env_remove("NO_PROXY").env_remove("no_proxy").env_remove("REQUEST_METHOD");
    again.args(["--exact", "upstream::a_confirmation_is_posted_in_this_form"]);
    let output = again.output().expect("ran");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

fn uncertain(status: u16, message: &str) -> Verdict {
    let why = OutcomeDetail { status: Some(status), code: None, message: message.to_owned() };
    Verdict::Uncertain { why }
}

#[tokio::test]
async fn any_2xx_that_names_the_message_is_done() {
    for status in [200, 201, 202] {
        assert_eq!(post(echo(status)).await, Verdict::Done { status });
    }
}

#[tokio::test]
async fn a_2xx_that_does_not_name_our_message_is_uncertain_and_its_kind_is_named() {
    let template = ResponseTemplate::new;
    let other = MESSAGE.to_lowercase().replacen("sm", "SM", 1);
    let html = "<html><head><title>Sign in</title></head></html>";
    for (answer, kind) in [
        (template(204), "204 with an empty body"),
        (template(200), "200 with an empty body"),
        (template(200).set_body_raw(html, "text/html"), "200 with HTML, titled \"Sign in\""),
        (template(202).set_body_string("accepted"), "202 with plain text"),
        (template(200).set_body_json(json!({"ok": true})), "200 with JSON that names no message"),
        (
            template(200).set_body_json(json!({"message_sid": other})),
            "200 that names another message",
        ),
        (
            template(200).insert_header("server", "squid/6").set_body_string("x"),
            "200 with plain text (server: squid/6)",
        ),
    ] {
        assert_eq!(post(answer).await, uncertain(kind[..3].parse().expect("a status"), kind));
    }
}

#[tokio::test]
async fn a_200_that_is_too_long_is_uncertain_and_is_not_read_to_its_end() {
    let long = json!({"message_sid": MESSAGE, "filler": "x".repeat(4_000_000)});
    let long = ResponseTemplate::new(200).set_body_json(long);
    assert_eq!(post(long).await, uncertain(200, "200 with a body that is too long"));
}

#[tokio::test]
async fn a_429_throttles_for_its_retry_after() {
    let message = "Too Many Requests";
    for (retry_after, expected) in [
        (None, None),
        (Some("17"), Some(17)),
        (Some("Fri, 06 Nov 2026 08:50:37 GMT"), Some(60)),
        (Some("Fri, 06 Nov 2026 08:00:00 GMT"), Some(0)),
        (Some("soon"), None),
    ] {
        let mut answer =
            error(429, 20429, message).insert_header("date", "Fri, 06 Nov 2026 08:49:37 GMT");
        if let Some(value) = retry_after {
            answer = answer.insert_header("retry-after", value);
        }
        let (why, after) = (why(429, 20429, message), expected.map(Duration::from_secs));
        assert_eq!(post(answer).await, Verdict::Throttle { why, after }, "{retry_after:?}");
    }
}

#[tokio::test]
async fn a_transient_failure_is_to_be_retried() {
    for status in [408, 425, 500, 502, 503, 504, 521] {
        let expected = Verdict::Retry { why: why(status, 20500, "Oops"), after: None };
        assert_eq!(post(error(status, 20500, "Oops")).await, expected);
    }
    let busy = error(503, 20503, "Busy").insert_header("retry-after", "5");
    let after = Some(Duration::from_secs(5));
    assert_eq!(post(busy).await, Verdict::Retry { why: why(503, 20503, "Busy"), after });
}

#[tokio::test]
async fn a_5xx_without_twilios_json_is_named_by_its_status() {
    let html = ResponseTemplate::new(502).set_body_raw("<html>nginx</html>", "text/html");
    let message = "Bad Gateway (the answer was not Twilio's JSON)".to_owned();
    let why = OutcomeDetail { status: Some(502), code: None, message };
    assert_eq!(post(html).await, Verdict::Retry { why, after: None });
}

#[tokio::test]
async fn a_404_is_missing() {
    let expected = Verdict::Missing { why: why(404, 20404, "not found") };
    assert_eq!(post(error(404, 20404, "not found")).await, expected);
}

#[tokio::test]
async fn a_4xx_that_is_not_twilios_is_uncertain() {
    for status in [400, 404, 407, 413, 451] {
        let page =
            ResponseTemplate::new(status).set_body_string("<html><title>Proxy</title></html>");
        let verdict = post(page).await;
        let Verdict::Uncertain { why } = &verdict else { panic!("{status}: {verdict:?}") };
        assert_eq!(why.message, format!("{status} with HTML, titled \"Proxy\""));
        assert_eq!(why.status, Some(status));
    }
}

#[tokio::test]
async fn any_other_4xx_is_final_and_twilios_code_is_kept() {
    for status in [400, 405, 410, 415, 422] {
        let expected = Verdict::Never { why: why(status, 21609, "Invalid Outcome") };
        assert_eq!(post(error(status, 21609, "Invalid Outcome")).await, expected);
    }
}

#[tokio::test]
async fn a_401_and_a_403_pause() {
    for (status, code) in [(401, 20003), (403, 70051)] {
        let expected = Verdict::Pause { why: why(status, code, "Authenticate") };
        assert_eq!(post(error(status, code, "Authenticate")).await, expected);
    }
}

#[tokio::test]
async fn a_redirect_pauses_and_is_not_followed() {
    let elsewhere = serve(echo(200)).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("{}/secret-path", elsewhere.uri());
        let answer = ResponseTemplate::new(status).insert_header("location", location.as_str());
        let message = "redirected to 127.0.0.1, which is not followed".to_owned();
        let why = OutcomeDetail { status: Some(status), code: None, message };
        assert_eq!(post(answer).await, Verdict::Pause { why });
    }
    let relative = ResponseTemplate::new(302).insert_header("location", "/login");
    assert_eq!(post(relative).await.as_str(), "pause");
    assert!(elsewhere.received_requests().await.expect("recorded").is_empty());
}

/// A Twilio that answers each token differently, and a client with both.
async fn two_tokens(first: ResponseTemplate, second: ResponseTemplate) -> (MockServer, Upstream) {
    let twilio = MockServer::start().await;
    for (token, answer) in [("first", first), ("second", second)] {
        let given = Mock::given(path(PATH)).and(basic_auth(ACCOUNT, token));
        given.respond_with(answer).mount(&twilio).await;
    }
    let client = client(&twilio.uri(), &["first", "second"]);
    (twilio, client)
}

async fn count(twilio: &MockServer) -> usize {
    twilio.received_requests().await.expect("recorded").len()
}

#[tokio::test]
async fn the_other_token_is_tried_first_and_remembered_if_it_works() {
    for status in [401, 403] {
        let (twilio, client) = two_tokens(error(status, 20003, "Authenticate"), echo(200)).await;
        assert_eq!(client.post(&feedback()).await, Verdict::Done { status: 200 });
        assert_eq!(count(&twilio).await, 2);
        assert_eq!(client.post(&feedback()).await, Verdict::Done { status: 200 });
        assert_eq!(count(&twilio).await, 3);
    }
}

#[tokio::test]
async fn the_other_token_is_not_tried_without_a_failure() {
    for answer in [echo(200), error(404, 20404, "no"), error(429, 20429, "no"), error(500, 0, "no")]
    {
        let (twilio, client) = two_tokens(answer, echo(200)).await;
        client.post(&feedback()).await;
        assert_eq!(count(&twilio).await, 1);
    }
    let redirect = ResponseTemplate::new(307).insert_header("location", "/");
    let (twilio, client) = two_tokens(redirect, echo(200)).await;
    assert_eq!(client.post(&feedback()).await.as_str(), "pause");
    assert_eq!(count(&twilio).await, 1);
}

#[tokio::test]
async fn two_rejected_tokens_pause_with_the_more_informative_answer() {
    for (first, second, expected) in [(401, 401, 401), (403, 401, 403), (401, 403, 403)] {
        let (_twilio, client) = two_tokens(error(first, 1, "no"), error(second, 1, "no")).await;
        let expected = Verdict::Pause { why: why(expected, 1, "no") };
        assert_eq!(client.post(&feedback()).await, expected);
    }
}

#[test]
fn no_secret_shows_in_debug() {
    let client = client("http://127.0.0.1:1", &["hunter2"]);
    assert!(!format!("{client:?}").contains("hunter2"));
    assert_eq!(client.longest_post(), LONG);
}

#[test]
fn a_client_needs_credentials() {
    let config = UpstreamConfig {
        base: "http://127.0.0.1:1".to_owned(),
        credentials: Vec::new(),
        connect_timeout: Duration::from_secs(1),
        request_timeout: Duration::from_secs(1),
        user_agent: "heardback/0.1.0".to_owned(),
    };
    assert!(matches!(Upstream::new(config), Err(UpstreamError::NoCredentials)));
}
