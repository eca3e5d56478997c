//! Confirms messages that an operator imports, because they are known to have arrived. The fields and rules are those of an app's event, with
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
pub enum LineOutcome {
    /// The message is confirmed, and will be reported.
    Confirmed,
    AlreadyConfirmed,
    /// The evidence is parked, or confirms nothing.
    NotConfirmed {
        reason: String,
    },
    /// The line is malformed or contradicts the store.
    Rejected {
        /// The rejected field in Twilio's spelling, or `line` if the error is not about one field.
        field: String,
        /// The error, without the value of the field.
        why: String,
    },
}

impl LineOutcome {
    fn rejected(malformed: &Malformed) -> Self {
        let of_all = if *malformed == Malformed::OtherAccount { "AccountSid" } else { "line" };
        let field = malformed.field().unwrap_or(of_all);
        Self::Rejected { field: field.to_owned(), why: malformed.to_string() }
    }
}

/// Confirms a message by the fields of an app's event.
pub(super) async fn confirm_imported(
    store: &dyn Store,
    account: AccountSid,
    fields: Vec<(String, String)>,
    imported_at: Timestamp,
) -> Result<LineOutcome, StoreError> {
    let members = fields.into_iter().map(|(name, value)| (name, Json::Scalar(value)));
    let fields = Fields::from_members(&members.collect::<Vec<_>>(), FieldSpelling::Any);
    let context = ParseContext {
        account,
        others: &[],
        recipient_hash_key: store.recipient_hash_key(),
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        relay: Relay::ViaApp,
        now: imported_at,
        trace: None,
    };
    let signal = match app::event(&fields, &context) {
        Ok(signal) if signal.message_update.is_some() => signal,
        Ok(_) => return Ok(LineOutcome::rejected(&missing("MessageSid"))),
        Err(malformed) => return Ok(LineOutcome::rejected(&malformed)),
    };
    Ok(match store.observe(signal).await {
        Ok(ObserveOutcome::Confirmed(sid)) => {
            tracing::info!(
                message_sid = %sid, account_sid = %account, source = "import",
                "confirmed {sid} by import"
            );
            LineOutcome::Confirmed
        }
        Ok(ObserveOutcome::AlreadyConfirmed(_)) => LineOutcome::AlreadyConfirmed,
        Ok(ObserveOutcome::NotConfirmed(reason) | ObserveOutcome::Parked { reason, .. }) => {
            LineOutcome::NotConfirmed { reason: reason.as_str().to_owned() }
        }
        Err(StoreError::Contradiction(wrong)) => {
            LineOutcome::Rejected { field: wrong.field.to_owned(), why: wrong.to_string() }
        }
        Err(error @ StoreError::Unavailable { .. }) => return Err(error),
    })
}
