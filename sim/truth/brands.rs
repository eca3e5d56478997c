//! Brands: who sends, and how their apps use Twilio and Heardback.

use crate::world::SECOND;

/// The accounts that Heardback works for, and last a stranger's.
pub(crate) const ACCOUNTS: [&str; 3] = [
    "ACaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ACbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb",
    "ACffffffffffffffffffffffffffffffff",
];

/// How an app tells Heardback of its messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Registers {
    /// Passes Twilio's answer to "create message" on, sometimes from a queue, and then late.
    Answer,
    /// With a reference, before anything else happens.
    AtOnce,
    /// By the status callback's own URL: `?feedback=1&reference=…`.
    ByCallback,
}

/// How an app tells of a code that was entered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Names {
    /// By the message's SID.
    Sid,
    /// By the login's reference.
    Reference,
    /// By the login's reference, and with the code.
    Code,
    /// By the person alone.
    To,
    /// The recipient and the code.
    CodeTo,
}

/// Who sends.
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(crate) struct Brand {
    /// Which of [`ACCOUNTS`].
    pub(crate) account: usize,
    /// The Messaging Service.
    pub(crate) service: Option<&'static str>,
    /// The senders that it sends from.
    pub(crate) senders: &'static [&'static str],
    /// Whether a person always hears from the same sender.
    pub(crate) sticky: bool,
    /// The sender on WhatsApp; then messages go there first, and fall back to SMS.
    pub(crate) whatsapp: Option<&'static str>,
    /// How it registers.
    pub(crate) registers: Registers,
    /// How it tells of codes.
    pub(crate) names: Names,
    /// Whether a resend repeats the code: how many times in ten thousand.
    pub(crate) same_code: u64,
    /// How many milliseconds its server's clock is ahead.
    pub(crate) clock_ahead: i64,
    /// Whether human agents write and call from the same number.
    pub(crate) agents: bool,
    /// Whether what comes in goes to Event Streams as well, from where it comes hours late at times.
    pub(crate) streams: bool,
    /// Whether the app receives replies and passes them on, at times minutes late.
    pub(crate) passes_on: bool,
    /// Whether its references are the ids of its users: the same for all logins of a user.
    pub(crate) by_user: bool,
}

impl Brand {
    /// Whether it registers what tells a message's code from others.
    pub(crate) fn hmacs(&self) -> bool {
        matches!(self.names, Names::Sid | Names::Code | Names::CodeTo)
    }
}

/// The brands. Each stands for one way to use Twilio.
pub(crate) const BRANDS: [Brand; 9] = [
    Brand {
        account: 0,
        service: Some("MGa0000000000000000000000000000000"),
        senders: &["+15017120001", "+15017120002", "+15017120003", "+15017120004"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::Sid,
        // The app keeps only the newest SID, and reports it even if an older message was read.
        same_code: 600,
        clock_ahead: 0,
        agents: false,
        streams: true,
        passes_on: false,
        by_user: false,
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
        passes_on: false,
        by_user: false,
    },
    Brand {
        account: 0,
        service: None,
        senders: &["+15017140001"],
        sticky: true,
        whatsapp: None,
        // Until all that bear one code are known, a code seems to be that of one message.
        registers: Registers::AtOnce,
        names: Names::Code,
        same_code: 3_000,
        clock_ahead: 2 * SECOND,
        agents: true,
        streams: false,
        passes_on: false,
        by_user: false,
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
        passes_on: false,
        by_user: false,
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
        passes_on: false,
        by_user: false,
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
        passes_on: false,
        by_user: false,
    },
    // Two accounts that share a short code.
    Brand {
        account: 0,
        service: Some("MGa2222222222222222222222222222222"),
        senders: &["28777"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::CodeTo,
        same_code: 2_000,
        clock_ahead: -90 * SECOND,
        agents: true,
        streams: false,
        passes_on: true,
        by_user: false,
    },
    Brand {
        account: 1,
        service: Some("MGb2222222222222222222222222222222"),
        senders: &["28777"],
        sticky: true,
        whatsapp: None,
        registers: Registers::ByCallback,
        names: Names::To,
        same_code: 2_000,
        clock_ahead: 0,
        agents: false,
        streams: false,
        passes_on: true,
        by_user: false,
    },
    Brand {
        account: 0,
        service: None,
        senders: &["+15017180001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::Reference,
        same_code: 4_000,
        clock_ahead: 5 * SECOND,
        agents: false,
        streams: false,
        passes_on: false,
        by_user: true,
    },
];
