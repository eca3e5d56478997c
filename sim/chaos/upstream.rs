//! The fake Twilio of the chaos run: decides about each post, then replies, or fails on purpose.
//!
//! It decides before it replies, as Twilio does: a 2xx is a fact even if the reply is lost. Its final decision about a
//! message (accepted, 404, 400) never changes. Each start of the service has its own listener, so the history records
//! which process posted.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::park_timeout;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::net::sockopt::set_socket_linger;

use crate::history::{Credential, EventKind, FOREIGN, History};
use crate::identities::{ACCOUNTS, FinalVerdict, Identities};
use crate::requests::now;
use crate::sending::{created, created_sid};
use crate::support::fake_twilio::{ApiReply, ApiRequest, FakeTwilio};
use crate::support::http::Connection;
use crate::support::random::{Random, hash};

/// The most transient failures for one message.
const MAX_FAILURES: u32 = 3;
/// The Retry-After of a 429, in seconds.
const THROTTLE: u64 = 3;
/// Longer than the service waits for a response.
const HANG: Duration = Duration::from_secs(12);

/// The decision about a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Decision {
    Accepted,
    /// A 2xx of another server, such as a captive portal.
    Foreign,
    /// Accepted; the reply arrives a few bytes at a time.
    Trickle,
    /// Accepted; an RST before or within the reply.
    ResetAfter,
    Busy,
    Failed,
    Throttled,
    Hang,
    Missing,
    Invalid,
    Denied,
}

impl Decision {
    /// The name in the history, and the status.
    fn outcome(self) -> (&'static str, u16) {
        match self {
            Self::Accepted => ("taken", 201),
            Self::Foreign => (FOREIGN, 200),
            Self::Trickle => ("taken, trickled", 200),
            Self::ResetAfter => ("taken, then reset", 200),
            Self::Busy => ("503 Retry-After", 503),
            Self::Failed => ("500", 500),
            Self::Throttled => ("429 Retry-After", 429),
            Self::Hang => ("hangs", 0),
            Self::Missing => ("404", 404),
            Self::Invalid => ("400", 400),
            Self::Denied => ("401", 401),
        }
    }
}

/// The state of the fake Twilio, shared by all its listeners.
pub(crate) struct Upstream {
    seed: u64,
    identities: Arc<Identities>,
    history: Arc<History>,
    posts: AtomicU64,
    /// Transient failures so far, by message.
    failures: Mutex<HashMap<String, u32>>,
    /// Accounts whose current key gets a 401.
    pub(crate) denied: [AtomicBool; ACCOUNTS],
    /// Accounts whose posts all hang.
    pub(crate) hangs: [AtomicBool; ACCOUNTS],
    /// No transient failures for a while.
    pub(crate) calm: AtomicBool,
    pub(crate) healed: AtomicBool,
}

impl Upstream {
    pub(crate) fn new(
        seed: u64,
        identities: &Arc<Identities>,
        history: &Arc<History>,
    ) -> Arc<Self> {
        Arc::new(Self {
            seed,
            identities: Arc::clone(identities),
            history: Arc::clone(history),
            posts: AtomicU64::new(0),
            failures: Mutex::default(),
            denied: Default::default(),
            hangs: Default::default(),
            calm: AtomicBool::new(false),
            healed: AtomicBool::new(false),
        })
    }

    /// Starts a listener for one start of the service.
    pub(crate) fn listen(self: &Arc<Self>, run: u64) -> io::Result<FakeTwilio> {
        let own = Arc::clone(self);
        FakeTwilio::start(TcpListener::bind("127.0.0.1:0")?, move |number, connection| {
            let mut random = Random::new(hash(own.seed ^ (run << 32)) ^ hash(number));
            if !own.is_healed() && random.chance(300) {
                // The connection is reset before a byte is read.
                reset_on_close(&connection);
                return;
            }
            // An error ends the connection.
            let _ = own.serve(run, connection, &mut random);
        })
    }

    fn is_healed(&self) -> bool {
        self.healed.load(Ordering::Acquire)
    }

    fn serve(&self, run: u64, mut connection: Connection, random: &mut Random) -> io::Result<()> {
        loop {
            let request = ApiRequest::read(&mut connection)?;
            if request.message().is_none() && request.head.starts_with("GET ") {
                // The service reads the time in the `Date` of this reply (`src/worker/clock.rs`).
                reply(&mut connection, &request, Decision::Accepted, 0, random)?;
                continue;
            }
            if request.target().ends_with("/Messages.json") {
                self.create(run, &mut connection, &request, random)?;
                continue;
            }
            let post = self.posts.fetch_add(1, Ordering::Relaxed);
            let credential = self.credential(&request);
            let account = request.account().to_owned();
            // Any other request is about no SID of ours, so the judge reports it.
            let sid = match request.message() {
                Some(sid) if request.is_feedback() => sid.to_owned(),
                _ => format!("not a feedback: {}", request.target()),
            };
            self.history.note(EventKind::Posted {
                post,
                run,
                account,
                sid: sid.clone(),
                credential,
            });
            let decision = self.decide(&request, &sid, credential, random);
            let retry_after = if decision == Decision::Busy {
                1 + random.below(2)
            } else if decision == Decision::Throttled {
                THROTTLE
            } else {
                0
            };
            let (name, status) = decision.outcome();
            let answer = name.to_owned();
            self.history.note(EventKind::Decided { post, answer, status, retry_after });
            let replied = reply(&mut connection, &request, decision, retry_after, random);
            self.history.note(EventKind::Replied { post, whole: replied.is_ok() });
            replied?;
        }
    }

    /// Creates a message, or fails on purpose, before or after.
    fn create(
        &self,
        run: u64,
        connection: &mut Connection,
        request: &ApiRequest,
        random: &mut Random,
    ) -> io::Result<()> {
        let is_calm = self.is_healed() || self.calm.load(Ordering::Acquire);
        let decision = match random.below(100) {
            _ if self.credential(request) != Credential::Right => Decision::Denied,
            0..=2 if !is_calm => Decision::Failed,
            3..=4 if !is_calm => Decision::Throttled,
            5..=9 if !is_calm => Decision::ResetAfter,
            10..=11 if !is_calm => Decision::Hang,
            12..=14 if !is_calm => Decision::Trickle,
            _ => Decision::Accepted,
        };
        let (_, status) = decision.outcome();
        if matches!(decision, Decision::Denied | Decision::Failed | Decision::Throttled) {
            let reply = ApiReply::error(status, 20000 + u32::from(status), "no");
            return deliver(connection, &reply.to_bytes(), decision, random);
        }
        let Some(sid) = created_sid(&self.identities, request) else {
            return Err(io::Error::other("a send without a reference"));
        };
        let account = request.account().to_owned();
        self.history.note(EventKind::Created { run, account, sid: sid.clone() });
        self.identities.note_created(&sid);
        deliver(connection, &created(request, &sid)?.to_bytes(), decision, random)
    }

    fn credential(&self, request: &ApiRequest) -> Credential {
        let Some(of) = self.identities.account_number(request.account()) else {
            return Credential::Wrong;
        };
        let (valid, former) = self.identities.credentials(of);
        let is_presented = |(user, secret): &(String, String)| {
            let expected = format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")));
            request.header("Authorization") == Some(expected.as_str())
        };
        if valid.iter().any(is_presented) {
            Credential::Right
        } else if former.iter().any(is_presented) {
            Credential::Former
        } else {
            Credential::Wrong
        }
    }

    fn decide(
        &self,
        request: &ApiRequest,
        sid: &str,
        credential: Credential,
        random: &mut Random,
    ) -> Decision {
        let of = self.identities.account_number(request.account());
        let is_set = |flags: &[AtomicBool; ACCOUNTS]| {
            of.and_then(|of| flags.get(of)).is_some_and(|flag| flag.load(Ordering::Acquire))
        };
        if credential != Credential::Right || is_set(&self.denied) {
            return Decision::Denied;
        }
        if is_set(&self.hangs) {
            return Decision::Hang;
        }
        let last_word = match self.identities.final_verdict(sid) {
            FinalVerdict::Accepted => Decision::Accepted,
            FinalVerdict::Missing => Decision::Missing,
            FinalVerdict::Invalid => Decision::Invalid,
        };
        if self.is_healed() || self.calm.load(Ordering::Acquire) {
            return last_word;
        }
        let is_accepted = last_word == Decision::Accepted;
        let drawn = match random.below(1000) {
            0..=39 => Decision::Failed,
            40..=64 => Decision::Busy,
            65..=66 => Decision::Throttled,
            67..=69 => Decision::Hang,
            70..=109 if is_accepted => Decision::ResetAfter,
            110..=139 if is_accepted => Decision::Trickle,
            140..=189 => Decision::Foreign,
            _ => last_word,
        };
        if drawn == last_word || drawn == Decision::Trickle {
            return drawn;
        }
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(sid.to_owned()).or_default();
        *count += 1;
        if *count > MAX_FAILURES { last_word } else { drawn }
    }
}

fn reset_on_close(connection: &Connection) {
    // Without the option, the close is a FIN.
    let _ = set_socket_linger(&connection.stream, Some(Duration::ZERO));
}

/// A 2xx of another server: a web page, no body, the reply to another message, or a part of the right reply.
fn foreign(accepted: &str, sid: &str, random: &mut Random) -> (&'static str, String) {
    match random.below(4) {
        0 => ("text/html", "<html><title>Sign in</title></html>".to_owned()),
        1 => ("text/plain", String::new()),
        2 => ("application/json", accepted.replace(sid, "SM00000000000000000000000000000000")),
        _ => ("application/json", accepted.chars().take(accepted.len() / 2).collect()),
    }
}

/// Replies. `Err`: the reply was not written to its last byte.
fn reply(
    connection: &mut Connection,
    request: &ApiRequest,
    decision: Decision,
    retry_after: u64,
    random: &mut Random,
) -> io::Result<()> {
    let (_, status) = decision.outcome();
    let mut reply = if (200..300).contains(&status) {
        ApiReply::accepted(status, request)
    } else {
        ApiReply::error(status, 20000 + u32::from(status), "no")
    };
    if decision == Decision::Foreign {
        let (media, body) = foreign(&reply.body, request.message().unwrap_or_default(), random);
        (reply.headers, reply.body) = (format!("Content-Type: {media}\r\n"), body);
    }
    if retry_after > 0 {
        reply.add_header("Retry-After", &retry_after.to_string());
    }
    // From this date, the service notices that its own clock is wrong.
    reply.add_header("Date", &now().strftime("%a, %d %b %Y %H:%M:%S GMT").to_string());
    deliver(connection, &reply.to_bytes(), decision, random)
}

/// Sends a reply, or a part of it, or nothing, as the decision says. `Err`: it was not written to its last byte.
fn deliver(
    connection: &mut Connection,
    bytes: &[u8],
    decision: Decision,
    random: &mut Random,
) -> io::Result<()> {
    if decision == Decision::Hang {
        // Waits until the service closes the connection.
        connection.set_timeout(HANG)?;
        let _ = connection.stream.read(&mut [0; 1]);
        return Err(io::ErrorKind::TimedOut.into());
    }
    if decision == Decision::ResetAfter {
        let part = bytes.get(..random.index(bytes.len())).unwrap_or_default();
        reset_on_close(connection);
        connection.send(part)?;
        return Err(io::ErrorKind::ConnectionReset.into());
    }
    if decision == Decision::Trickle {
        return bytes.chunks(9).try_for_each(|piece| {
            park_timeout(Duration::from_millis(random.below(20)));
            connection.send(piece)
        });
    }
    connection.send(bytes)
}
