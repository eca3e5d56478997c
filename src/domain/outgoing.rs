//! A request to create a message at Twilio, and its answer, as they pass through this service.
//!
//! They hold numbers, texts and credentials, so no `Debug` shows more than lengths.

use std::fmt;
use std::time::Duration;

use crate::domain::sid::AccountSid;

/// A header: its name in lower case, and its value.
pub type ForwardedHeader = (String, Vec<u8>);

/// A request to create a message.
#[derive(Clone)]
pub struct OutgoingSend {
    pub account: AccountSid,
    /// The headers that go on to Twilio, with the caller's own credentials.
    pub headers: Vec<ForwardedHeader>,
    /// The form, encoded.
    pub form: Vec<u8>,
    /// The longest time up to the last byte of the answer.
    pub timeout: Duration,
}

impl fmt::Debug for OutgoingSend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = self.form.len();
        let mut shown = f.debug_struct("OutgoingSend");
        shown.field("account", &self.account).field("form", &form).finish_non_exhaustive()
    }
}

/// Twilio's complete answer.
#[derive(Clone)]
pub struct SendAnswer {
    pub status: u16,
    /// The headers that matter to the caller.
    pub headers: Vec<ForwardedHeader>,
    pub body: Vec<u8>,
}

impl SendAnswer {
    /// Whether Twilio created the message.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

impl fmt::Debug for SendAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body.len();
        let mut shown = f.debug_struct("SendAnswer");
        shown.field("status", &self.status).field("body", &body).finish_non_exhaustive()
    }
}

/// Whether Twilio may have created the message although there is no complete answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// No byte of the request left this service, or Twilio's API was not the one that answered.
    No,
    /// The request left, and no complete answer came back.
    Maybe,
    /// Twilio's status says that the message was created, and the rest of its answer was lost.
    Yes,
}

impl Sent {
    /// The value of the header `Heardback-Sent`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::No => "no",
            Self::Maybe => "maybe",
            Self::Yes => "yes",
        }
    }
}

/// There is no complete answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendFailure {
    pub sent: Sent,
    /// Whether the time was over.
    pub is_timeout: bool,
    /// The cause, without a number, a text or a secret.
    pub why: String,
}
