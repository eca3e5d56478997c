//! Confirms past messages that the operator knows to have arrived. The fields and rules are those of an app's event, with
//! one difference: the SID of the message is required, because a reference or a recipient may match several messages.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::matching::ObserveOutcome;
use crate::domain::sid::AccountSid;
use crate::domain::signal::Malformed;
use crate::store::{Store, StoreError};
use crate::twilio::app;
use crate::twilio::callback::{ParseContext, Relay};
use crate::twilio::fields::{FieldSpelling, Fields, missing};
use crate::twilio::json::Json;

/// The outcome of one line of an import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum PastOutcome {
    /// The message is confirmed, and will be reported.
    Confirmed,
    /// The message was confirmed before.
    AlreadyConfirmed,
    /// The evidence is parked, or confirms nothing.
    NotConfirmed { reason: String },
    /// The line is malformed or contradicts the store.
    Refused {
        /// The malformed field, in Twilio's spelling.
        field: String,
        /// The error, without the value of the field.
        why: String,
    },
}

impl PastOutcome {
    fn refused(malformed: &Malformed) -> Self {
        let field = match malformed {
            Malformed::Field { field, .. }
            | Malformed::Ambiguous { field }
            | Malformed::NotAMessage { field, .. } => field,
            Malformed::OtherAccount => "AccountSid",
            Malformed::Encoding | Malformed::Json(_) => "line",
        };
        Self::Refused { field: field.to_owned(), why: malformed.to_string() }
    }
}

/// Confirms a past message by the fields of an app's event.
pub(super) async fn confirm_past(
    store: &dyn Store,
    account: AccountSid,
    fields: Vec<(String, String)>,
    now: Timestamp,
) -> Result<PastOutcome, StoreError> {
    let members = fields.into_iter().map(|(name, value)| (name, Json::Scalar(value)));
    let fields = Fields::from_members(&members.collect::<Vec<_>>(), FieldSpelling::Any);
    let context = ParseContext {
        account,
        others: &[],
        person_key: store.person_key(),
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        relay: Relay::ViaApp,
        now,
        trace: None,
    };
    let signal = match app::event(&fields, &context) {
        Ok(signal) if signal.message_update.is_some() => signal,
        Ok(_) => return Ok(PastOutcome::refused(&missing("MessageSid"))),
        Err(malformed) => return Ok(PastOutcome::refused(&malformed)),
    };
    Ok(match store.observe(signal).await {
        Ok(ObserveOutcome::Confirmed(sid)) => {
            tracing::info!(
                message_sid = %sid, account_sid = %account, source = "import",
                "confirmed {sid} by import"
            );
            PastOutcome::Confirmed
        }
        Ok(ObserveOutcome::AlreadyConfirmed(_)) => PastOutcome::AlreadyConfirmed,
        Ok(ObserveOutcome::NotConfirmed(reason) | ObserveOutcome::Parked { reason, .. }) => {
            PastOutcome::NotConfirmed { reason: reason.as_str().to_owned() }
        }
        Err(StoreError::Contradiction(wrong)) => {
            PastOutcome::Refused { field: wrong.field.to_owned(), why: wrong.to_string() }
        }
        Err(error @ StoreError::Unavailable { .. }) => return Err(error),
    })
}
