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
    /// By the SID of the newest message, whichever the code was read off.
    NewestSid,
}

/// Whether an app receives the replies itself and passes them on, often late.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassesOn {
    /// Twilio calls Heardback.
    Nothing,
    /// The app says when each reply came (`OccurredAt`).
    WithTime,
    /// It does not.
    WithoutTime,
}

/// Who sends.
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
    /// Whether its reference is the user's id, the same for every login.
    pub(crate) reference_is_person: bool,
    /// What it does with replies.
    pub(crate) passes_on: PassesOn,
    /// Whether what comes in goes to Event Streams as well, from where it comes hours late at times.
    pub(crate) streams: bool,
}

impl Brand {
    /// Whether it registers what tells a message's code from others.
    pub(crate) fn hmacs(&self) -> bool {
        matches!(self.names, Names::Sid | Names::Code)
    }
}

/// The brands. Each stands for one way to use Twilio.
pub(crate) const BRANDS: [Brand; 12] = [
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
        streams: false,
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
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
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
        streams: false,
    },
    Brand {
        // Only the user id is at hand (an auth hook), and registrations come from a queue.
        account: 0,
        service: None,
        senders: &["+15017170001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::Answer,
        names: Names::Reference,
        same_code: 3_000,
        clock_ahead: 0,
        agents: false,
        reference_is_person: true,
        passes_on: PassesOn::Nothing,
        streams: false,
    },
    Brand {
        // Two accounts send from one shared short code.
        account: 0,
        service: Some("MGa2222222222222222222222222222222"),
        senders: &["27512"],
        sticky: true,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::To,
        same_code: 2_000,
        clock_ahead: 0,
        agents: true,
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
        streams: false,
    },
    Brand {
        // The other one, whose people answer to the same short code.
        account: 1,
        service: Some("MGb3333333333333333333333333333333"),
        senders: &["27512"],
        sticky: true,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::To,
        same_code: 2_000,
        clock_ahead: -5 * SECOND,
        agents: false,
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
        streams: false,
    },
    Brand {
        // It keeps the newest SID, and a resend repeats the code.
        account: 1,
        service: None,
        senders: &["+15017180001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::NewestSid,
        same_code: 6_000,
        clock_ahead: 0,
        agents: false,
        reference_is_person: false,
        passes_on: PassesOn::Nothing,
        streams: false,
    },
    Brand {
        // Its numbers have webhooks of its own.
        account: 0,
        service: None,
        senders: &["+15017190001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::Code,
        same_code: 2_000,
        clock_ahead: 3 * SECOND,
        agents: true,
        reference_is_person: false,
        passes_on: PassesOn::WithTime,
        streams: false,
    },
    Brand {
        // The same, before anyone has read the docs.
        account: 1,
        service: None,
        senders: &["+15017200001"],
        sticky: true,
        whatsapp: None,
        registers: Registers::AtOnce,
        names: Names::Code,
        same_code: 2_000,
        clock_ahead: 0,
        agents: true,
        reference_is_person: false,
        passes_on: PassesOn::WithoutTime,
        streams: false,
    },
];
