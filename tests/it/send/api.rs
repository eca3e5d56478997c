//! The stand-in for Twilio's API: it records each request to create a message, and replies as the test says.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use heardback::twilio::form;
use serde_json::json;

use crate::harness::{LONG, eventually};
use crate::support::fake_twilio::{ApiReply, ApiRequest, FakeTwilio};
use crate::support::http::Connection;

/// The reply to a request to create a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Reply {
    /// 201 with the message, as Twilio's.
    Created,
    /// These bytes.
    Bytes(Vec<u8>),
    /// These bytes, and then the end of the connection.
    BytesAndClose(Vec<u8>),
    /// These bytes, and then nothing before the reply changes.
    BytesAndHold(Vec<u8>),
    /// The end of the connection.
    Close,
    /// No reply before the reply changes.
    Hold,
}

struct Shared {
    reply: Mutex<Reply>,
    changed: Condvar,
    requests: Mutex<Vec<Arc<ApiRequest>>>,
    connections: Mutex<u64>,
}

pub(crate) struct Api {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    // The last field: its end waits for the connections, which end with the service.
    _server: FakeTwilio,
}

impl Api {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let shared = Arc::new(Shared {
            reply: Mutex::new(Reply::Created),
            changed: Condvar::new(),
            requests: Mutex::default(),
            connections: Mutex::default(),
        });
        let serving = Arc::clone(&shared);
        let server = FakeTwilio::start(listener, move |_, mut connection| {
            *serving.connections.lock().expect("unpoisoned") += 1;
            // A client keeps its connection for a time, and the end of the test must not wait for that.
            let _ = connection.set_timeout(Duration::from_secs(40));
            while serve(&mut connection, &serving).unwrap_or(false) {}
        });
        let server = server.expect("started");
        Self { addr: server.addr, shared, _server: server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn reply_with(&self, reply: Reply) {
        *self.shared.reply.lock().expect("unpoisoned") = reply;
        self.shared.changed.notify_all();
    }

    /// The requests to create a message so far.
    pub(crate) fn requests(&self) -> Vec<Arc<ApiRequest>> {
        self.shared.requests.lock().expect("unpoisoned").clone()
    }

    pub(super) fn connections(&self) -> u64 {
        *self.shared.connections.lock().expect("unpoisoned")
    }

    /// Waits until so many requests have come.
    pub(super) fn waits_for(&self, count: usize) {
        eventually("the requests reach the API", LONG, || self.requests().len() >= count);
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.reply_with(Reply::Close);
    }
}

/// Serves one request. Returns whether the connection stays.
fn serve(connection: &mut Connection, shared: &Shared) -> io::Result<bool> {
    let request = Arc::new(ApiRequest::read(connection)?);
    if !request.target().ends_with("/Messages.json") {
        connection.send(&ApiReply::accepted(200, &request).to_bytes())?;
        return Ok(true);
    }
    let number = {
        let mut requests = shared.requests.lock().expect("unpoisoned");
        requests.push(Arc::clone(&request));
        requests.len()
    };
    let held = |reply: &mut Reply| *reply == Reply::Hold;
    let reply = shared.reply.lock().expect("unpoisoned");
    let reply = shared.changed.wait_while(reply, held).expect("unpoisoned").clone();
    match reply {
        Reply::Created => {
            let body = created(request.account(), number, &request.body);
            let headers = format!(
                "Content-Type: application/json\r\nTwilio-Request-Id: RQ{number}\r\nX-Internal: 1\r\n"
            );
            connection.send(&ApiReply { status: 201, headers, body }.to_bytes())?;
            Ok(true)
        }
        Reply::Bytes(bytes) => connection.send(&bytes).map(|()| true),
        Reply::BytesAndClose(bytes) => connection.send(&bytes).map(|()| false),
        Reply::BytesAndHold(bytes) => {
            connection.send(&bytes)?;
            let same = |now: &mut Reply| *now == Reply::BytesAndHold(bytes.clone());
            let now = shared.reply.lock().expect("unpoisoned");
            drop(shared.changed.wait_while(now, same).expect("unpoisoned"));
            Ok(false)
        }
        Reply::Close | Reply::Hold => Ok(false),
    }
}

/// Twilio's answer to a form.
pub(super) fn created(account: &str, number: usize, body: &str) -> String {
    let pairs = form::pairs(body.as_bytes());
    let field = |wanted: &str| {
        let mut named =
            pairs.iter().filter(|(name, _)| name.decoded().as_ref() == wanted.as_bytes());
        named.next().map(|(_, value)| String::from_utf8_lossy(&value.decoded()).into_owned())
    };
    let sid = format!("SM{number:032x}");
    let status = if field("ScheduleType").is_some() { "scheduled" } else { "queued" };
    json!({
        "account_sid": account, "api_version": "2010-04-01", "body": field("Body"),
        "date_created": null, "direction": "outbound-api", "error_code": null,
        "from": field("From"), "messaging_service_sid": field("MessagingServiceSid"),
        "num_media": "0", "num_segments": "1", "sid": sid, "status": status, "to": field("To"),
        "uri": format!("/2010-04-01/Accounts/{account}/Messages/{sid}.json"),
        "subresource_uris": { "media": format!("/2010-04-01/Accounts/{account}/Messages/{sid}/Media.json") },
    })
    .to_string()
}

pub(super) fn basic(user: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
}
