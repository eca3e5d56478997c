//! Past messages over the control socket: an operator says of one that it arrived, in the fields of the app's
//! event and read and judged as that is. A message has to be named: by a reference or a person alone nothing is
//! confirmed here.

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::matching::Observed;
use crate::domain::sid::AccountSid;
use crate::domain::signal::callback::{Reading, Road};
use crate::domain::signal::fields::{Fields, Spelling, missing};
use crate::domain::signal::json::Json;
use crate::domain::signal::{Malformed, app};
use crate::inbound::control::Question;
use crate::store::{Store, StoreError};

/// Says it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Arrived {
    /// Whose message it is.
    pub account: AccountSid,
    /// The event, by field.
    pub fields: Vec<(String, String)>,
    /// When this is said.
    pub now: Timestamp,
}

/// What it came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CameTo {
    /// The message is confirmed, and will be reported.
    Confirmed,
    /// It was confirmed before.
    Known,
    /// It waits, or proves nothing.
    Nothing {
        /// Why.
        reason: String,
    },
    /// It cannot be used.
    Refused {
        /// What is wrong with it: a field, in Twilio's spelling.
        field: String,
        /// In what way, with nothing of what it says.
        why: String,
    },
}

impl CameTo {
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

#[async_trait]
impl Question for Arrived {
    const ROUTE: &'static str = "/arrived";
    type Answer = CameTo;

    async fn answer(self, store: &dyn Store) -> Result<CameTo, StoreError> {
        let Self { account, fields, now } = self;
        let members = fields.into_iter().map(|(name, value)| (name, Json::Scalar(value)));
        let fields = Fields::from_members(&members.collect::<Vec<_>>(), Spelling::Any);
        let reading = Reading {
            account,
            others: &[],
            person_key: store.person_key(),
            code_keys: &[],
            ignores_crawlers: true,
            reference_tag: None,
            road: Road::App,
            now,
            trace: None,
        };
        let signal = match app::event(&fields, &reading) {
            Ok(signal) if signal.remembers.is_some() => signal,
            Ok(_) => return Ok(CameTo::refused(&missing("MessageSid"))),
            Err(malformed) => return Ok(CameTo::refused(&malformed)),
        };
        Ok(match store.observe(signal).await {
            Ok(Observed::Confirmed(sid)) => {
                tracing::info!(
                    message_sid = %sid, account_sid = %account, source = "import",
                    "confirmed {sid} by import"
                );
                CameTo::Confirmed
            }
            Ok(Observed::Already(_)) => CameTo::Known,
            Ok(Observed::Nothing(reason) | Observed::Parked { reason, .. }) => {
                CameTo::Nothing { reason: reason.as_str().to_owned() }
            }
            Err(StoreError::Contradiction(wrong)) => {
                CameTo::Refused { field: wrong.field.to_owned(), why: wrong.to_string() }
            }
            Err(error @ StoreError::Unavailable { .. }) => return Err(error),
        })
    }
}
