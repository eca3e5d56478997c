//! Faults of the connection: a TCP stand-in for Twilio that stops at a given point. Each fault is
//! to be retried, with a reason for the operator.

use std::time::Duration;

use heardback::domain::feedback::{OutcomeDetail, Verdict};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::upstream::{LONG, client, feedback, patient_client};

/// Shorter than each of the slow acts.
const SHORT: Duration = Duration::from_millis(700);

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 50\r\n\r\n";

/// The behaviour on each connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Act {
    ResetUnread,
    ResetAfterRequest,
    CloseAfterRequest,
    /// Sends these bytes, then closes.
    Say(&'static str),
    /// Sends these bytes, then resets.
    SayAndReset(&'static str),
    /// Never answers.
    Hang,
    /// Sends these bytes, then never another one.
    SayAndHang(&'static str),
    /// Sends a complete, correct response byte by byte, for longer than a request may take.
    Trickle,
}

async fn stand_in(act: Act) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(play(act, stream));
        }
    });
    base
}

async fn play(act: Act, mut stream: TcpStream) {
    if act == Act::ResetUnread {
        return stream.set_zero_linger().expect("set");
    }
    let mut request = Vec::new();
    while !request.ends_with(b"Outcome=confirmed") {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return;
        }
    }
    // The client may disconnect in the middle of any of these.
    match act {
        Act::ResetUnread | Act::CloseAfterRequest => {}
        Act::ResetAfterRequest => stream.set_zero_linger().expect("set"),
        Act::Say(text) => drop(stream.write_all(text.as_bytes()).await),
        Act::SayAndReset(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            // Until the client has read them; otherwise the reset would overtake them.
            tokio::time::sleep(Duration::from_millis(100)).await;
            stream.set_zero_linger().expect("set");
        }
        Act::Hang => std::future::pending().await,
        Act::SayAndHang(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            std::future::pending::<()>().await;
        }
        Act::Trickle => {
            for byte in OK.bytes().chain([b' '; 50]) {
                if stream.write_all(&[byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn post(act: Act) -> OutcomeDetail {
    let base = stand_in(act).await;
    let patience = match act {
        Act::Hang | Act::SayAndHang(_) | Act::Trickle => SHORT,
        Act::ResetUnread
        | Act::ResetAfterRequest
        | Act::CloseAfterRequest
        | Act::Say(_)
        | Act::SayAndReset(_) => LONG,
    };
    let verdict = patient_client(&base, &["hunter2"], patience).post(&feedback()).await;
    let is_retried =
        matches!(verdict, Verdict::Retry { after: None, .. } | Verdict::Uncertain { .. });
    assert!(is_retried, "{act:?}: {verdict:?}");
    let why = verdict.detail().cloned().expect("a reason");
    for secret in ["hunter2", "Basic", base.as_str(), "\n"] {
        assert!(!why.message.contains(secret), "{act:?}: {}", why.message);
    }
    why
}

#[tokio::test]
async fn a_refused_connection_is_reported_as_such() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("bound"));
    drop(listener);
    let verdict = client(&base, &["token"]).post(&feedback()).await;
    let message = &verdict.detail().expect("a reason").message;
    assert_eq!(verdict.as_str(), "retry");
    assert!(message.starts_with("cannot connect: Connection refused"), "{message}");
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_reported_as_such() {
    let verdict = client("http://twilio.invalid", &["token"]).post(&feedback()).await;
    let message = &verdict.detail().expect("a reason").message;
    assert_eq!(verdict.as_str(), "retry");
    assert!(
        message.starts_with("cannot connect: ") || message.starts_with("no connection"),
        "{message}"
    );
}

#[tokio::test]
async fn a_connection_that_is_closed_before_a_response_is_to_be_retried() {
    for act in [
        Act::ResetUnread,
        Act::ResetAfterRequest,
        Act::CloseAfterRequest,
        Act::Say("HTTP/1.1 200 OK\r\ncontent-ty"),
        Act::SayAndReset("HTTP/1.1 200 OK\r\ncontent-ty"),
        Act::Say("SSH-2.0-OpenSSH_9.2\r\n\r\n"),
    ] {
        let why = post(act).await;
        assert_eq!(why.status, None, "{act:?}");
        assert!(why.message.starts_with("the connection broke: "), "{act:?}: {}", why.message);
    }
}

#[tokio::test]
async fn a_200_that_ends_in_the_middle_of_its_body_is_uncertain() {
    let short = "HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"message_sid\":";
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\n{\"mes";
    for act in [Act::Say(OK), Act::Say(short), Act::Say(chunked), Act::SayAndReset(short)] {
        let why = post(act).await;
        assert_eq!(why.status, Some(200), "{act:?}");
        let expected = "200 with a truncated body: the answer broke off: ";
        assert!(why.message.starts_with(expected), "{act:?}: {}", why.message);
    }
}

#[tokio::test]
async fn a_refusal_that_ends_in_the_middle_is_not_final() {
    for head in [
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 50\r\n\r\n{\"code\":",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 50\r\n\r\n{\"code\":",
        "HTTP/1.1 404 Not Found\r\ncontent-length: 50\r\n\r\n{\"code\":20404}",
        "HTTP/1.1 400 Bad Request\r\ncontent-length: 50\r\n\r\n{\"code\":20001}",
    ] {
        post(Act::Say(head)).await;
    }
}

#[tokio::test]
async fn a_twilio_that_answers_too_late_is_to_be_retried() {
    for act in
        [Act::Hang, Act::SayAndHang("HTTP/1.1 200 OK\r\n"), Act::SayAndHang(OK), Act::Trickle]
    {
        let why = post(act).await;
        assert!(why.message.ends_with("no complete answer within 700ms"), "{act:?}: {why:?}");
    }
}

#[tokio::test]
async fn a_200_that_ends_with_the_connection_is_complete() {
    let whole = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n\
                 {\"message_sid\":\"SM0123456789ABCDEF0123456789abcdef\"}";
    let base = stand_in(Act::Say(whole)).await;
    let verdict = client(&base, &["token"]).post(&feedback()).await;
    assert_eq!(verdict, Verdict::Done { status: 200 });
    let cut = stand_in(Act::Say(whole.trim_end_matches(['"', '}']))).await;
    let why = client(&cut, &["token"]).post(&feedback()).await;
    let why = why.detail().expect("a reason");
    assert_eq!(why.message, "200 with JSON that is cut short or malformed");
}
