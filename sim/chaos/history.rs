//! The history: every request, response, post, decision and fault, one JSON line each, in the order of one monotonic
//! clock. The judge reads it after the run.
//!
//! Absent: bodies, secrets and signatures. A history may be published.

use std::fs::File;
use std::hash::{DefaultHasher, Hasher as _};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The name of a 2xx that another server sends. It confirms nothing at Twilio.
pub(crate) const FOREIGN: &str = "200, not Twilio's";

/// The sender of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Twilio or the app: a first attempt or a retry.
    Honest,
    /// The bytes of an earlier request.
    Replay,
    /// The registration of a message for which no honest evidence ever arrives.
    Bait,
    /// A sender without a valid key for the message.
    Hostile,
}

/// The secret of a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// The account's own, valid now.
    Right,
    /// The account's own, revoked or not valid yet.
    Former,
    /// Another account's, or an unknown one.
    Wrong,
}

/// How a connection to the database lost the answer to a COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CommitCut {
    /// The server did not get it.
    Before,
    /// The server got it.
    AtOnce,
    /// The server answered.
    Answered,
    /// The server answered, and the connection ended seconds later.
    Stalled,
}

/// One event of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub(crate) enum EventKind {
    /// The parameters of the run.
    Plan {
        seed: u64,
        concurrency: usize,
        drain_seconds: u64,
        /// The standby of the database is asynchronous: a promotion loses commits.
        #[serde(default)]
        may_lose: bool,
        /// The receivers on one store. The histories of older runs do not name it.
        #[serde(default)]
        receivers: usize,
    },
    /// The service was started for the `run`th time.
    Started { run: u64 },
    /// The service listens.
    Listening { run: u64 },
    /// The service reported that it is ready.
    Ready { run: u64 },
    /// The service ended. `expected`: by a fault of the nemesis, or by request.
    Ended { run: u64, how: String, expected: bool },
    /// A request was sent.
    Sent {
        req: u64,
        role: Role,
        kind: String,
        account: String,
        sid: String,
        registers: bool,
        proves: bool,
        /// The [`digest`] of its body.
        #[serde(default)]
        form: String,
    },
    /// The complete head of the response arrived at this local port.
    Answered {
        req: u64,
        status: u16,
        port: u16,
        /// It is the answer of the app behind the service.
        #[serde(default)]
        is_from_app: bool,
    },
    /// The proxy closed the sending half of this client port in the middle of its bytes.
    HalfClosed { port: u16 },
    /// A receiver got no answer to its COMMIT.
    CommitCut { cut: CommitCut },
    /// No response arrived: the outcome of the request is unknown.
    Unknown { req: u64, why: String },
    /// A read of the state that began at `from`; the state is `none` for an unknown message.
    StateRead { sid: String, from: u64, state: String },
    /// The fake Twilio created a message that the app sent through. From now on it exists, even if the reply is lost.
    Created { run: u64, account: String, sid: String },
    /// The fake Twilio read a post.
    Posted { post: u64, run: u64, account: String, sid: String, credential: Credential },
    /// The decision of the fake Twilio. From now on a 2xx is a fact, even if the reply is lost, unless the reply is
    /// [`FOREIGN`].
    Decided { post: u64, answer: String, status: u16, retry_after: u64 },
    /// The end of the reply. `whole`: it was written to its last byte.
    Replied { post: u64, whole: bool },
    /// The app received a forwarded webhook with this [`digest`].
    Forwarded { forward: u64, form: String, signature: Credential },
    /// The app begins its reply, or ends without one.
    AppEnded { forward: u64, how: String },
    /// The nemesis began a fault.
    FaultBegan { id: u64, name: String },
    /// The fault is over.
    FaultEnded { id: u64 },
    /// Logged: the evidence about this message or call is in memory, because the store cannot write.
    Deferred { run: u64, about: String },
    /// Logged: this evidence is lost.
    EvidenceLost { run: u64, about: String },
    /// Memory and open files of the process.
    Sample { run: u64, rss_kib: u64, fds: u64 },
    /// A marker was found in this location.
    Leak { location: String, kind: String },
    /// From now on each post of this account hangs, until the fault is over.
    AccountHangs { account: String },
    /// Unauthenticated clients received this response `count` times.
    Unauthenticated { shape: String, answer: String, count: u64 },
    /// The nemesis injects no more faults.
    Healed,
    /// The outbox when it was empty, or when the time was over.
    Drained { outbox: u64 },
    /// A message in the store after the run.
    Stored { sid: String, account: String, state: String, status: Option<u16> },
    /// Parked evidence in the store after the run.
    ParkedEvidence { named: String },
    /// The store was read to its end.
    StoreRead { messages: u64 },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Nanoseconds since the history began.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) kind: EventKind,
}

/// Writes a history.
pub(crate) struct History {
    began: Instant,
    file: Mutex<BufWriter<File>>,
}

impl History {
    pub(crate) fn create(path: &Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { began: Instant::now(), file: Mutex::new(BufWriter::new(file)) })
    }

    /// The time since the history began, in nanoseconds.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Records an event. The time is taken under the lock, so that the lines are in its order.
    pub(crate) fn note(&self, kind: EventKind) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { at: self.now(), kind };
        let line = serde_json::to_string(&event).unwrap_or_else(|error| format!("{error}"));
        // A lost line shows when the history is judged, because a history needs its end.
        let _ = writeln!(file, "{line}");
    }

    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

/// Identifies a body in the history, which has no bodies.
pub(crate) fn digest(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("{:016x}", hasher.finish())
}

/// Reads a whole history.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut events = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let event = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
        events.push(event);
    }
    Ok(events)
}
