//! The history: everything that was sent, answered, posted, decided and done to the service, one JSON
//! line each, in the order of one monotonic clock. Written as it happens, judged afterwards.
//!
//! Deliberately absent: bodies, secrets and signatures. A history may be kept and shown.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// The answer's name if another server sends a 2xx in Twilio's place: it confirms nothing at "Twilio".
pub(crate) const FOREIGN: &str = "200, not Twilio's";

/// Who sent a request, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// Twilio or the app, for the first time or again after no good answer.
    Honest,
    /// Bytes that were sent before.
    Replay,
    /// Registers a message for which no honest evidence ever comes.
    Bait,
    /// Somebody who must not be believed.
    Hostile,
}

/// With whose secret a post came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Credential {
    /// The account's own, valid now.
    Right,
    /// The account's own, not valid (any more).
    Former,
    /// Another's, or nobody's.
    Wrong,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "e", rename_all = "snake_case")]
pub(crate) enum What {
    /// With what the run began.
    Plan { seed: u64, concurrency: usize, drain_seconds: u64 },
    /// The process was started for the `run`th time.
    Started { run: u64 },
    /// It listens.
    Listens { run: u64 },
    /// It said that it can take an event.
    Ready { run: u64 },
    /// It is gone. `asked`: by an act of the nemesis, or because it was told to.
    Ended { run: u64, how: String, asked: bool },
    /// A request went out.
    Sent {
        req: u64,
        role: Role,
        kind: String,
        account: String,
        sid: String,
        remembers: bool,
        proves: bool,
    },
    /// Its answer's whole head came, to this port of the driver's.
    Answered { req: u64, status: u16, port: u16 },
    /// The proxy told the service in the middle of what comes from that port that no more would come.
    HalfClosed { port: u16 },
    /// It did not: nobody knows what became of the request.
    Unknown { req: u64, why: String },
    /// A message was asked about (from `from` on) and that was its state; `none` if unknown.
    Looked { sid: String, from: u64, state: String },
    /// The stand-in for Twilio read a post.
    Posted { post: u64, run: u64, account: String, sid: String, credential: Credential },
    /// The decision of the stand-in. From here on a 2xx is a fact at "Twilio", even if the answer is lost, unless
    /// the answer is [`FOREIGN`].
    Decided { post: u64, answer: String, status: u16, retry_after: u64 },
    /// The answer was written to its last byte, or was not.
    Told { post: u64, whole: bool },
    /// The nemesis began something.
    Act { id: u64, act: String },
    /// And it is over.
    ActEnded { id: u64 },
    /// Logged: the evidence about that message or call is in memory, because the store cannot write.
    Deferred { run: u64, about: String },
    /// Logged: that evidence is lost for good.
    EvidenceLost { run: u64, about: String },
    /// What the process held.
    Sample { run: u64, rss_kib: u64, fds: u64 },
    /// A canary was found where none may be.
    Leak { place: String, what: String },
    /// From here on, each post of that account hangs, until the act is over.
    Hangs { account: String },
    /// Unauthenticated clients got that answer so many times.
    Unauthenticated { shape: String, answer: String, count: u64 },
    /// No more harm is done from here on.
    Healed,
    /// The outbox when the patience was over, or when it was empty.
    Drained { outbox: u64 },
    /// A message in the store at the end.
    Kept { sid: String, account: String, state: String, status: Option<u16> },
    /// Evidence without its message in the store at the end.
    Waiting { named: String },
    /// The store was read to its end.
    Read { messages: u64 },
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Event {
    /// Nanoseconds since the history began.
    pub(crate) at: u64,
    #[serde(flatten)]
    pub(crate) what: What,
}

/// Writes it.
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

    /// Now, as the history counts it.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Writes it down. The time is taken under the lock, so that lines are in its order.
    pub(crate) fn note(&self, what: What) {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let event = Event { at: self.now(), what };
        let line = serde_json::to_string(&event).unwrap_or_else(|error| format!("{error}"));
        // What cannot be written is missed when it is read: a history without its end is no history.
        let _ = writeln!(file, "{line}");
    }

    pub(crate) fn flush(&self) -> anyhow::Result<()> {
        Ok(self.file.lock().unwrap_or_else(PoisonError::into_inner).flush()?)
    }
}

/// Reads a whole one.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<Event>> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut events = Vec::new();
    for (number, line) in (1..).zip(BufReader::new(file).lines()) {
        let event = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
        events.push(event);
    }
    Ok(events)
}
