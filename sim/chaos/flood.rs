//! Unauthenticated clients: the most expensive requests that need no key, on both listeners at the same time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::task::{JoinSet, spawn_blocking};

use crate::history::{EventKind, History};
use crate::support::http::Connection;

/// Clients of each request. The half-open clients only hold connections.
const CLIENTS: usize = 4;
const HALF_OPEN: usize = 50;
const TIMEOUT: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);
/// The prefix of the requests to the operator's listener.
pub(crate) const OPERATOR: &str = "operator: ";

type Tally = Arc<Mutex<BTreeMap<(&'static str, String), u64>>>;

/// Sends all requests to both listeners for this time, and records the responses.
pub(crate) async fn flood(
    public: SocketAddr,
    ops: SocketAddr,
    lasting: Duration,
    history: &History,
) {
    let until = Instant::now() + lasting;
    let tally = Tally::default();
    let mut clients = JoinSet::new();
    for (shape, request) in shapes() {
        let to = if shape.starts_with(OPERATOR) { ops } else { public };
        let request = Arc::new(request);
        for _ in 0..CLIENTS {
            let (tally, request) = (Arc::clone(&tally), Arc::clone(&request));
            clients.spawn(async move {
                while Instant::now() < until {
                    let sent = Arc::clone(&request);
                    let status = spawn_blocking(move || status(to, &sent)).await.ok().flatten();
                    let answer = status.map_or("no answer".to_owned(), |status| status.to_string());
                    *lock(&tally).entry((shape, answer)).or_default() += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            });
        }
    }
    for to in [public, ops] {
        for _ in 0..HALF_OPEN {
            clients.spawn(async move {
                let Ok(mut stream) = TcpStream::connect(to).await else { return };
                let half = b"POST /twilio/message HTTP/1.1\r\nHost: x\r\nContent-Le";
                let _ = stream.write_all(half).await;
                tokio::time::sleep(until.saturating_duration_since(Instant::now())).await;
            });
        }
    }
    while clients.join_next().await.is_some() {}
    for ((shape, answer), count) in &*lock(&tally) {
        let (shape, answer) = ((*shape).to_owned(), answer.clone());
        history.note(EventKind::Unauthenticated { shape, answer, count: *count });
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shapes() -> Vec<(&'static str, Vec<u8>)> {
    let form = |target: &str, more: &str, body: &str| {
        let length = body.len();
        format!(
            "POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             {more}Content-Length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    };
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").into_bytes();
    let forged = "X-Twilio-Signature: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n";
    let million = "a&".repeat(1 << 19);
    let long = "a=b&".repeat(15 << 10);
    let small = "AccountSid=AC00000000000000000000000000000bad&MessageSid=SM1&Type=x";
    let mut chunked = b"POST /twilio/message HTTP/1.1\r\nHost: x\r\nContent-Type: \
        application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
        .to_vec();
    chunked.extend_from_slice("1\r\na\r\n".repeat(4000).as_bytes());
    chunked.extend_from_slice(b"0\r\n\r\n");
    vec![
        ("1 MiB of a&", form("/twilio/message", "", &million)),
        ("1 MiB of a& on Event Streams", form("/twilio/events", forged, &million)),
        ("a target of 60 KB", get(&format!("/twilio/message?{long}"))),
        ("one-byte chunks", chunked),
        ("a wrong signature, Twilio's route", form("/twilio/status", forged, small)),
        ("a wrong signature, the app's route", form("/app/events", forged, small)),
        ("operator: 1 MiB of a&", form("/", "", &million)),
        ("operator: a target of 60 KB", get(&format!("/?{long}"))),
    ]
}

/// The status of the response; `None` if the connection ends without one.
fn status(to: SocketAddr, request: &[u8]) -> Option<u16> {
    let mut connection = Connection::open(to, TIMEOUT).ok()?;
    // The service may respond and close the connection before the end of the request.
    let _ = connection.send(request);
    connection.response_head().ok().map(|response| response.status)
}
