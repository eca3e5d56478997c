//! The truth: lines, brands, messages with their arrival, and acts of recipients.
//!
//! Heardback does not see this; `intake` derives its requests.

use crate::brands::{BRANDS, Brand};
use crate::support::random::hash;

/// Milliseconds.
pub(crate) const SECOND: i64 = 1_000;
/// Milliseconds.
pub(crate) const MINUTE: i64 = 60 * SECOND;
/// Milliseconds.
pub(crate) const HOUR: i64 = 60 * MINUTE;
/// Milliseconds.
pub(crate) const DAY: i64 = 24 * HOUR;
/// 2026-11-01T00:00:00Z, in milliseconds since 1970.
pub(crate) const EPOCH_MS: i64 = 1_793_491_200_000;

/// A phone number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Its carrier.
    pub(crate) carrier: usize,
    /// The number of people who share it.
    pub(crate) family: u8,
    /// A landline: its owner cannot read messages, and the carrier may reply.
    pub(crate) landline: bool,
}

/// The purpose of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A code for a login.
    Code,
    /// A question or reminder, which is answered by message or call.
    Question,
    /// A link to open.
    Link,
    /// A human agent's message, without feedback.
    Agent,
}

/// An outbound message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    /// The index in [`BRANDS`].
    pub(crate) brand: usize,
    /// The index in the brand's senders.
    pub(crate) sender: usize,
    /// The index of the recipient's line.
    pub(crate) line: usize,
    pub(crate) purpose: Purpose,
    /// Whether it was sent by WhatsApp.
    pub(crate) whatsapp: bool,
    /// The number of its login.
    pub(crate) login: u32,
    /// Its code, or zero.
    pub(crate) code: u32,
    pub(crate) created: i64,
    /// The arrival at the recipient's handset; `None`: lost.
    pub(crate) arrived: Option<i64>,
}

impl Message {
    pub(crate) fn brand(&self) -> &'static Brand {
        let [first, ..] = &BRANDS;
        BRANDS.get(self.brand).unwrap_or(first)
    }

    /// The sender's address.
    pub(crate) fn from(&self) -> &'static str {
        let brand = self.brand();
        let sender = brand.senders.get(self.sender).copied().unwrap_or_default();
        if self.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }

    /// Whether a recipient could act on it at this time.
    pub(crate) fn had_arrived(&self, by: i64) -> bool {
        self.arrived.is_some_and(|arrived| arrived <= by)
    }

    /// Whether it contains a click link of Heardback. Other links are shortened by Twilio.
    pub(crate) fn has_own_link(&self) -> bool {
        self.purpose == Purpose::Link && self.brand().service.is_none()
    }

    /// Whether feedback was requested.
    pub(crate) fn is_tracked(&self) -> bool {
        self.purpose != Purpose::Agent
    }
}

/// The kind of evidence, which is a row in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum EvidenceKind {
    CodeBySid,
    CodeByReference,
    CodeWithCode,
    CodeByTo,
    CodeWithCodeByTo,
    Reply,
    ReplyQuoted,
    ReplyWithCode,
    ReplyByHandset,
    Call,
    Click,
    Link,
}

/// The true cause of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A person or a handset acted on this message.
    Message(usize),
    /// A person acted for another reason.
    Unrelated,
    /// A carrier replied for a landline.
    Carrier(usize),
    OptOut,
    /// A scanner, a preview or a crawler opened the link first.
    Scanner,
    /// A captured request was sent again.
    Replay,
    /// An account that the service does not know.
    UnknownAccount,
    /// An account of ours names a message of another account.
    OtherAccount,
}

/// An act that a request reports.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    pub(crate) evidence: EvidenceKind,
    pub(crate) cause: Cause,
    pub(crate) line: usize,
    pub(crate) brand: usize,
    /// The index of the addressed sender.
    pub(crate) sender: usize,
    /// Whether it was on WhatsApp.
    pub(crate) whatsapp: bool,
    /// The message that it names, quotes, or whose code it contains.
    pub(crate) names: Option<usize>,
    /// The true time of the act.
    pub(crate) acted_at: i64,
    /// The time at which the request arrives.
    pub(crate) received: i64,
    /// The time of the act by the app's clock, if the app states it.
    pub(crate) stated_at: Option<i64>,
    /// The time of the request by the app's clock (`SentAt`), if the app states it.
    pub(crate) sent: Option<i64>,
    /// Whether the app names a wrong message.
    pub(crate) is_wrong: bool,
    /// The number of the inbound message, call or event; equal in repeated requests.
    pub(crate) dedup_number: u64,
}

/// An event of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// The app registers a message.
    Register(usize),
    /// A status callback of a message.
    Status(usize, &'static str),
    /// A request that reports an act.
    Act(usize),
    /// The same act in Event Streams.
    Streamed(usize),
    /// The app creates a click link for a message that it is about to send.
    Link(usize),
    /// The store is closed and opened again.
    Restart,
    /// The store's maintenance runs.
    Sweep,
}

/// The whole world.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) seed: u64,
    pub(crate) lines: Vec<Line>,
    pub(crate) messages: Vec<Message>,
    pub(crate) acts: Vec<Act>,
    /// All events by time.
    pub(crate) timeline: Vec<(i64, Event)>,
}

impl World {
    /// The reference of a message, if it has one.
    pub(crate) fn reference(number: usize, message: &Message) -> Option<String> {
        match message.login {
            0 if message.has_own_link() => Some(format!("link-{number}")),
            0 => None,
            _ if message.brand().by_user => Some(format!("user-{}", message.line)),
            login => Some(format!("login-{login}")),
        }
    }

    /// A message's SID, which contains its number.
    pub(crate) fn sid(&self, message: usize) -> String {
        let noise = hash(self.seed ^ message as u64);
        format!("SM{noise:016x}{:08x}{message:08x}", noise >> 40)
    }

    /// The number of the message with this SID.
    pub(crate) fn number(sid: &str) -> Option<usize> {
        usize::from_str_radix(sid.get(26..)?, 16).ok()
    }
}
