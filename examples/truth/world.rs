//! The world as it truly is: lines, brands, messages with when they arrived, and what people did.
//!
//! Nothing here is what Heardback hears; that is made of it in `roads`.

use crate::random::mixed;

/// Milliseconds.
pub const SECOND: i64 = 1_000;
/// Milliseconds.
pub const MINUTE: i64 = 60 * SECOND;
/// Milliseconds.
pub const HOUR: i64 = 60 * MINUTE;
/// Milliseconds.
pub const DAY: i64 = 24 * HOUR;
/// When the world begins: 2026-11-01T00:00:00Z, in milliseconds since 1970.
pub const BEGINNING: i64 = 1_793_491_200_000;
/// How long messages are sent. Longer than a message stays pending, so that some expire.
pub const DAYS: i64 = 9;

/// The accounts that Heardback works for, and last a stranger's.
pub const ACCOUNTS: [&str; 3] = [
    "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "ACffffffffffffffffffffffffffffffff",
];

/// How an app tells Heardback of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registers {
    /// Passes Twilio's answer to "create message" on, sometimes from a queue, and then late.
    Answer,
    /// With a reference, before anything else happens.
    AtOnce,
    /// By the status callback's own URL: `?feedback=1&reference=…`.
    ByCallback,
}

/// How an app tells of a code that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// By the message's SID.
    Sid,
    /// By the login's reference.
    Reference,
    /// By the login's reference, and with the code.
    Code,
    /// By the person alone.
    To,
}

/// Who sends.
pub struct Brand {
    /// Which of [`ACCOUNTS`].
    pub account: usize,
    /// The Messaging Service.
    pub service: Option<&'static str>,
    /// The senders that it sends from.
    pub senders: &'static [&'static str],
    /// Whether a person always hears from the same sender.
    pub sticky: bool,
    /// The sender on WhatsApp; then messages go there first, and fall back to SMS.
    pub whatsapp: Option<&'static str>,
    /// How it registers.
    pub registers: Registers,
    /// How it tells of codes.
    pub names: Names,
    /// Whether a resend repeats the code: how many times in ten thousand.
    pub same_code: u64,
    /// How many milliseconds its server's clock is ahead.
    pub clock_ahead: i64,
    /// Whether human agents write and call from the same number.
    pub agents: bool,
    /// Whether its events come by Event Streams as well, hours late at times.
    pub streams: bool,
}

impl Brand {
    /// Whether it registers what tells a message's code from others.
    pub fn hmacs(&self) -> bool {
        matches!(self.names, Names::Sid | Names::Code)
    }
}

/// The brands. Each stands for one way to use Twilio.
pub const BRANDS: [Brand; 6] = [
    Brand {
        account: 0,
        service: Some("MGa0000000000000000000000000000000"),
        senders: &["+15017120001", "+15017120002", "+15017120003", "+15017120004"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::Sid,
        // One code for several messages, and it could not tell which one was entered.
        same_code: 0,
        clock_ahead: 0,
        agents: false,
        streams: true,
    },
    Brand {
        account: 0,
        service: Some("MGa1111111111111111111111111111111"),
        senders: &["+15017130001", "+15017130002", "+15017130003", "+15017130004", "+15017130005"],
        sticky: false,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::Reference,
        same_code: 4_000,
        clock_ahead: -20 * SECOND,
        agents: false,
        streams: false,
    },
    Brand {
        account: 0,
        service: None,
        senders: &["+15017140001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::Code,
        same_code: 3_000,
        clock_ahead: 2 * SECOND,
        agents: true,
        streams: false,
    },
    Brand {
        account: 0,
        service: None,
        senders: &["COURIER"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::To,
        same_code: 2_000,
        clock_ahead: 0,
        agents: false,
        streams: false,
    },
    Brand {
        account: 1,
        service: None,
        senders: &["+15017150001"],
        sticky: true,
        whatsapp: Some("whatsapp:+15017150001"),
        registers: Registers::AtOnce,
        names: Names::Reference,
        same_code: 5_000,
        clock_ahead: 0,
        agents: false,
        streams: false,
    },
    Brand {
        account: 1,
        service: None,
        senders: &["+15017160001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::ByCallback,
        names: Names::To,
        same_code: 2_000,
        clock_ahead: 40 * SECOND,
        agents: true,
        streams: false,
    },
];

/// A phone number, and what answers there.
#[derive(Debug, Clone, Copy)]
pub struct Line {
    /// Which carrier carries it.
    pub carrier: usize,
    /// How many people share it.
    pub family: u8,
    /// A number at which nothing can be read, and something answers for it.
    pub landline: bool,
}

/// What a message was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
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
pub struct Message {
    /// Which of [`BRANDS`].
    pub brand: usize,
    /// Which of the brand's senders.
    pub sender: usize,
    /// To whom: which of the lines.
    pub line: usize,
    /// What for.
    pub purpose: Purpose,
    /// Whether it went by WhatsApp.
    pub whatsapp: bool,
    /// The login that it belongs to.
    pub login: u32,
    /// The code in it, or zero.
    pub code: u32,
    /// When it was created.
    pub created: i64,
    /// When it arrived at the recipient's handset, if it ever did.
    pub arrived: Option<i64>,
}

impl Message {
    /// Who sent it.
    pub fn brand(&self) -> &'static Brand {
        let [first, ..] = &BRANDS;
        BRANDS.get(self.brand).unwrap_or(first)
    }

    /// From which number.
    pub fn from(&self) -> &'static str {
        let brand = self.brand();
        let sender = brand.senders.get(self.sender).copied().unwrap_or_default();
        if self.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }

    /// Whether it was there for somebody to act upon.
    pub fn had_arrived(&self, by: i64) -> bool {
        self.arrived.is_some_and(|arrived| arrived <= by)
    }

    /// Whether feedback was asked for.
    pub fn is_tracked(&self) -> bool {
        self.purpose != Purpose::Agent
    }
}

/// How word of an act comes to Heardback; each is a kind of evidence in the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "each says what it is, and `word` says it again")]
pub enum Road {
    CodeBySid,
    CodeByReference,
    CodeWithCode,
    CodeByTo,
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
pub enum Cause {
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
pub struct Act {
    /// How word of it comes in.
    pub road: Road,
    /// What was behind it.
    pub cause: Cause,
    /// By whom.
    pub line: usize,
    /// Whose sender they turned to.
    pub brand: usize,
    /// Which of its senders.
    pub sender: usize,
    /// Whether they did so on WhatsApp.
    pub whatsapp: bool,
    /// The message that it names, quotes or has the code of.
    pub names: Option<usize>,
    /// When they acted.
    pub did: i64,
    /// When word of it comes in.
    pub heard: i64,
    /// What the app's clock said, if the app says when.
    pub stated: Option<i64>,
    /// Names the inbound message, call or event; the same for the same request sent twice.
    pub once: u64,
}

/// Word of something, on its way to Heardback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// The app registers a message.
    Register(usize),
    /// A status callback of a message, with Twilio's word.
    Status(usize, &'static str),
    /// Somebody did something.
    Act(usize),
    /// The process is stopped and started again.
    Restart,
    /// The sweep goes over the store.
    Sweep,
}

/// The whole world.
#[derive(Default)]
pub struct World {
    /// What it was drawn from.
    pub seed: u64,
    /// The phone numbers.
    pub lines: Vec<Line>,
    /// Everything sent.
    pub messages: Vec<Message>,
    /// Everything done.
    pub acts: Vec<Act>,
    /// What comes in, and when, in order.
    pub timeline: Vec<(i64, Word)>,
}

impl World {
    /// A message's SID: its number in the world, and what makes it look like one.
    pub fn sid(&self, message: usize) -> String {
        let noise = mixed(self.seed ^ message as u64);
        format!("SM{noise:016x}{:08x}{message:08x}", noise >> 40)
    }

    /// The message that a SID names.
    pub fn number(sid: &str) -> Option<usize> {
        usize::from_str_radix(sid.get(26..)?, 16).ok()
    }
}
