//! The world as it truly is: lines, brands, messages with when they arrived, and what people did.
//!
//! Nothing here is what Heardback hears; that is made of it in `roads`.

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
/// When the world begins: 2026-11-01T00:00:00Z, in milliseconds since 1970.
pub(crate) const BEGINNING: i64 = 1_793_491_200_000;

/// A phone number, and what answers there.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line {
    /// Which carrier carries it.
    pub(crate) carrier: usize,
    /// How many people share it.
    pub(crate) family: u8,
    /// A number at which nothing can be read, and something answers for it.
    pub(crate) landline: bool,
}

/// What a message was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// A code to log in with.
    Code,
    /// A question or reminder, to be answered by message or by call.
    Question,
    /// A link to open.
    Link,
    /// A human agent's word in a conversation; nobody asked feedback for it.
    Agent,
}

/// An outbound message, as it truly went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message {
    /// Which of [`BRANDS`].
    pub(crate) brand: usize,
    /// Which of the brand's senders.
    pub(crate) sender: usize,
    /// To whom: which of the lines.
    pub(crate) line: usize,
    /// What for.
    pub(crate) purpose: Purpose,
    /// Whether it went by WhatsApp.
    pub(crate) whatsapp: bool,
    /// The login that it belongs to.
    pub(crate) login: u32,
    /// The code in it, or zero.
    pub(crate) code: u32,
    /// When it was created.
    pub(crate) created: i64,
    /// When it arrived at the recipient's handset, if it ever did.
    pub(crate) arrived: Option<i64>,
}

impl Message {
    /// Who sent it.
    pub(crate) fn brand(&self) -> &'static Brand {
        let [first, ..] = &BRANDS;
        BRANDS.get(self.brand).unwrap_or(first)
    }

    /// From which number.
    pub(crate) fn from(&self) -> &'static str {
        let brand = self.brand();
        let sender = brand.senders.get(self.sender).copied().unwrap_or_default();
        if self.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }

    /// Whether it was there for somebody to act upon.
    pub(crate) fn had_arrived(&self, by: i64) -> bool {
        self.arrived.is_some_and(|arrived| arrived <= by)
    }

    /// Whether it holds a click link of Heardback's own; one that Twilio shortened it has otherwise.
    pub(crate) fn has_own_link(&self) -> bool {
        self.purpose == Purpose::Link && self.brand().service.is_none()
    }

    /// Whether feedback was asked for.
    pub(crate) fn is_tracked(&self) -> bool {
        self.purpose != Purpose::Agent
    }
}

/// How word of an act comes to Heardback; each is a kind of evidence in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Road {
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

/// What was truly behind a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// A person, or a handset, acted upon this message.
    Message(usize),
    /// A person went about something else.
    Unrelated,
    /// A carrier answered for a number that takes no messages.
    Carrier(usize),
    /// A person opted out.
    OptOut,
    /// A scanner, a preview or a crawler opened the link before anybody could read it.
    Scanner,
    /// The request was captured and sent again.
    Replay,
    /// An account that Heardback does not work for.
    Stranger,
    /// An account of ours that names another account's message.
    Sibling,
}

/// Something that a request tells of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Act {
    /// How word of it comes in.
    pub(crate) road: Road,
    /// What was behind it.
    pub(crate) cause: Cause,
    /// By whom.
    pub(crate) line: usize,
    /// Whose sender they turned to.
    pub(crate) brand: usize,
    /// Which of its senders.
    pub(crate) sender: usize,
    /// Whether they did so on WhatsApp.
    pub(crate) whatsapp: bool,
    /// The message that it names, quotes or has the code of.
    pub(crate) names: Option<usize>,
    /// When they acted.
    pub(crate) did: i64,
    /// When word of it comes in.
    pub(crate) heard: i64,
    /// What the app's clock said, if the app says when.
    pub(crate) stated: Option<i64>,
    /// The app's clock when the app sent the request (`SentAt`), if the app gives it.
    pub(crate) sent: Option<i64>,
    /// Whether the app itself makes a wrong statement.
    pub(crate) errs: bool,
    /// Names the inbound message, call or event; the same for the same request sent twice.
    pub(crate) once: u64,
}

/// Word of something, on its way to Heardback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    /// The app registers a message.
    Register(usize),
    /// A status callback of a message, with Twilio's word.
    Status(usize, &'static str),
    /// Somebody did something.
    Act(usize),
    /// The same by Event Streams.
    Streamed(usize),
    /// The app has a click link made for a message that it is about to send.
    Link(usize),
    /// The process is stopped and started again.
    Restart,
    /// The sweep goes over the store.
    Sweep,
}

/// The whole world.
#[derive(Default)]
pub(crate) struct World {
    /// What it was drawn from.
    pub(crate) seed: u64,
    /// The phone numbers.
    pub(crate) lines: Vec<Line>,
    /// Everything sent.
    pub(crate) messages: Vec<Message>,
    /// Everything done.
    pub(crate) acts: Vec<Act>,
    /// What comes in, and when, in order.
    pub(crate) timeline: Vec<(i64, Word)>,
}

impl World {
    /// What a message says that it belongs to, where it says so.
    pub(crate) fn reference(number: usize, message: &Message) -> Option<String> {
        match message.login {
            0 if message.has_own_link() => Some(format!("link-{number}")),
            0 => None,
            _ if message.brand().by_user => Some(format!("user-{}", message.line)),
            login => Some(format!("login-{login}")),
        }
    }

    /// A message's SID: its number in the world, and what makes it look like one.
    pub(crate) fn sid(&self, message: usize) -> String {
        let noise = hash(self.seed ^ message as u64);
        format!("SM{noise:016x}{:08x}{message:08x}", noise >> 40)
    }

    /// The message that a SID names.
    pub(crate) fn number(sid: &str) -> Option<usize> {
        usize::from_str_radix(sid.get(26..)?, 16).ok()
    }
}
