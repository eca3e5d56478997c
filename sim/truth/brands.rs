//! Brands: the senders, and how their apps use Twilio and Heardback.

use crate::world::SECOND;

/// The accounts of the service; the last one is unknown to it.
pub(crate) const ACCOUNTS: [&str; 3] = [
    "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "ACffffffffffffffffffffffffffffffff",
];

/// How an app registers its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registration {
    /// The app passes on Twilio's response to "create message", sometimes late from a queue.
    Answer,
    /// With a reference, before any evidence.
    AtOnce,
    /// By the URL of the status callback: `?feedback=1&reference=…`.
    ByCallback,
}

/// How an app names the message whose code was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeTarget {
    /// By the message's SID.
    Sid,
    /// By the login's reference.
    Reference,
    /// By the login's reference, and with the code.
    Code,
    /// By the recipient only.
    To,
    /// By the recipient and the code.
    CodeTo,
}

/// A sender and the habits of its app.
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Brand {
    /// Which of [`ACCOUNTS`].
    pub(crate) account: usize,
    /// The Messaging Service.
    pub(crate) service: Option<&'static str>,
    /// The addresses from which it sends.
    pub(crate) senders: &'static [&'static str],
    /// Whether a recipient always gets the same sender.
    pub(crate) sticky: bool,
    /// The sender on WhatsApp, which is used first; the fallback is SMS.
    pub(crate) whatsapp: Option<&'static str>,
    pub(crate) registers: Registration,
    pub(crate) names: CodeTarget,
    /// How often a resend repeats the code, in ten-thousandths.
    pub(crate) same_code: u64,
    /// The error of the app's clock, in milliseconds.
    pub(crate) clock_ahead: i64,
    /// Whether human agents write and call from the same number.
    pub(crate) agents: bool,
    /// Whether inbound messages also go to Event Streams, sometimes hours late.
    pub(crate) streams: bool,
    /// Whether the app receives replies and passes them on, sometimes minutes late.
    pub(crate) passes_on: bool,
    /// Whether its references are user ids, which all logins of a user share.
    pub(crate) by_user: bool,
}

impl Brand {
    /// Whether it registers an HMAC of each code.
    pub(crate) fn sends_code_hmac(&self) -> bool {
        matches!(self.names, CodeTarget::Sid | CodeTarget::Code | CodeTarget::CodeTo)
    }
}

/// The habits of most brands.
const BASE: Brand = Brand {
    account: 0,
    service: None,
    senders: &[],
    sticky: true,
    whatsapp: None,
    registers: Registration::Answer,
    names: CodeTarget::To,
    same_code: 2_000,
    clock_ahead: 0,
    agents: false,
    streams: false,
    passes_on: false,
    by_user: false,
};

/// The brands. Each stands for one way to use Twilio.
pub(crate) const BRANDS: [Brand; 9] = [
    Brand {
        service: Some("MGa0000000000000000000000000000000"),
        senders: &["+15017120001", "+15017120002", "+15017120003", "+15017120004"],
        names: CodeTarget::Sid,
        // The app keeps only the newest SID, and reports it even if an older message was read.
        same_code: 600,
        streams: true,
        ..BASE
    },
    Brand {
        service: Some("MGa1111111111111111111111111111111"),
        senders: &["+15017130001", "+15017130002", "+15017130003", "+15017130004", "+15017130005"],
        sticky: false,
        registers: Registration::AtOnce,
        names: CodeTarget::Reference,
        same_code: 4_000,
        clock_ahead: -20 * SECOND,
        ..BASE
    },
    Brand {
        senders: &["+15017140001"],
        // Until every message with a code is registered, the code seems to belong to one message.
        registers: Registration::AtOnce,
        names: CodeTarget::Code,
        same_code: 3_000,
        clock_ahead: 2 * SECOND,
        agents: true,
        ..BASE
    },
    Brand { senders: &["COURIER"], ..BASE },
    Brand {
        account: 1,
        senders: &["+15017150001"],
        whatsapp: Some("whatsapp:+15017150001"),
        registers: Registration::AtOnce,
        names: CodeTarget::Reference,
        same_code: 5_000,
        ..BASE
    },
    Brand {
        account: 1,
        senders: &["+15017160001"],
        registers: Registration::ByCallback,
        clock_ahead: 40 * SECOND,
        agents: true,
        ..BASE
    },
    // Two accounts that share a short code.
    Brand {
        service: Some("MGa2222222222222222222222222222222"),
        senders: &["28777"],
        names: CodeTarget::CodeTo,
        clock_ahead: -90 * SECOND,
        agents: true,
        passes_on: true,
        ..BASE
    },
    Brand {
        account: 1,
        service: Some("MGb2222222222222222222222222222222"),
        senders: &["28777"],
        registers: Registration::ByCallback,
        passes_on: true,
        ..BASE
    },
    Brand {
        senders: &["+15017180001"],
        names: CodeTarget::Reference,
        same_code: 4_000,
        clock_ahead: 5 * SECOND,
        by_user: true,
        ..BASE
    },
];
