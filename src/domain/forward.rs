//! Forwarding: Twilio's webhooks that Heardback passes on to the app's own URL, and the results.

use serde::Serialize;

use crate::domain::sid::AccountSid;

/// The account and the kind of a forwarded webhook.
pub type ForwardScope = (AccountSid, ForwardKind);

/// The kind of a forwarded webhook. Each kind has its own URL of the app.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ForwardKind {
    Message,
    Call,
    Status,
}

impl ForwardKind {
    pub const ALL: [Self; 3] = [Self::Message, Self::Call, Self::Status];

    /// The word in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::Call => "call",
            Self::Status => "status",
        }
    }
}

/// Why a forward failed, before or after the app answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ForwardFailure {
    /// 4xx. Twilio gets this answer unchanged.
    ClientError,
    /// 5xx.
    ServerError,
    /// 3xx. A redirect is not followed.
    Redirect,
    /// No complete answer within the timeout.
    Timeout,
    /// Earlier messages of the same sender took most of the timeout. The message was not sent to the app.
    Waited,
    /// No connection, no valid certificate, or no URL, because a reload removed it.
    Connect,
    /// The name of the host has no address that is allowed.
    Address,
    /// The connection broke before the end of the answer.
    Broken,
    /// The answer exceeds the limit.
    TooLarge,
    /// The answer is an HTML page, where Twilio expects `TwiML`.
    Html,
    /// The answer has a `Content-Encoding`, which the request did not accept.
    Encoded,
    /// The headers or the query of the request are too long or malformed. Nothing was sent to the app.
    Headers,
    /// Too many webhooks are under way. Nothing was sent to the app.
    Busy,
}

impl ForwardFailure {
    pub const ALL: [Self; 13] = [
        Self::ClientError,
        Self::ServerError,
        Self::Redirect,
        Self::Timeout,
        Self::Waited,
        Self::Connect,
        Self::Address,
        Self::Broken,
        Self::TooLarge,
        Self::Html,
        Self::Encoded,
        Self::Headers,
        Self::Busy,
    ];

    /// The label in metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Redirect => "redirect",
            Self::Timeout => "timeout",
            Self::Waited => "waited",
            Self::Connect => "connect",
            Self::Address => "address",
            Self::Broken => "broken",
            Self::TooLarge => "too_large",
            Self::Html => "html",
            Self::Encoded => "encoded",
            Self::Headers => "headers",
            Self::Busy => "busy",
        }
    }
}
