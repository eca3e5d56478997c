//! The log lines about sends. They contain no form, no body of an answer and no reference of a message.

use crate::domain::outgoing::{SendFailure, Sent};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::domain::trace::TraceParent;

/// The account of a send, and its trace.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendLog {
    pub(super) account: AccountSid,
    pub(super) trace: Option<TraceParent>,
}

impl SendLog {
    fn trace_id(&self) -> Option<String> {
        self.trace.map(|trace| trace.trace_id_hex())
    }

    /// Logs a send without a complete answer.
    pub(super) fn failed(&self, failure: &SendFailure) {
        let (error, sent) = (failure.why.as_str(), failure.sent.as_str());
        match failure.sent {
            Sent::No => tracing::warn!(
                account_sid = %self.account, error, sent, trace_id = self.trace_id(),
                "message not sent: the request did not reach Twilio's API; the app got an error"
            ),
            Sent::Maybe => tracing::error!(
                account_sid = %self.account, error, sent, trace_id = self.trace_id(),
                "Twilio's answer to a send was lost: the message may have been sent; a status callback to Heardback registers it"
            ),
            Sent::Yes => tracing::error!(
                account_sid = %self.account, error, sent, trace_id = self.trace_id(),
                "Twilio's answer to a send was lost: the message was sent; a status callback to Heardback registers it"
            ),
        }
    }

    /// Logs a message that was sent and could not be registered.
    pub(super) fn unregistered(&self, sid: Option<MessageSid>, error: &str) {
        tracing::error!(
            message_sid = sid.map(tracing::field::display),
            account_sid = %self.account,
            error,
            trace_id = self.trace_id(),
            "a message was sent, but not registered: register it with POST /app/messages, unless its status callback comes to Heardback"
        );
    }

    /// Logs the registration of a message after its answer was given.
    pub(super) fn late(&self, sid: MessageSid) {
        tracing::info!(
            message_sid = %sid, account_sid = %self.account, trace_id = self.trace_id(),
            "{sid} registered after the answer to the app"
        );
    }
}

/// Logs the status callback of a send whose answer was lost.
pub(super) fn found(sid: MessageSid, account: AccountSid) {
    tracing::info!(
        message_sid = %sid, account_sid = %account,
        "{sid} is the message of a send whose answer was lost: its status callback names the same reference"
    );
}
