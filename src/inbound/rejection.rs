//! Every reason to reject a public request: its status, its metric label, and its text for the app.
//!
//! `rejection_response.rs` turns it into an answer.

use std::time::Duration;

use actix_web::http::StatusCode;

use crate::domain::matching::Contradiction;
use crate::domain::signal::Malformed;
use crate::inbound::keyring::KeyMismatch;
use crate::store::StoreError;
use crate::twilio::signature::Mistrust;

/// The reason to reject a request.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// No route has this path.
    NotFound,
    /// No message with this SID is known.
    UnknownMessage,
    /// The route allows other methods.
    WrongMethod { allowed: &'static str },
    /// The body is larger than the cap in bytes.
    TooLarge { cap: usize },
    /// The target is longer than this, in bytes.
    TargetTooLong { most: usize },
    /// The form or the query has more parameters than this.
    TooManyParameters { most: usize },
    /// The body has too many small pieces. Its connection is shut, so the answer serves the metric and the log only.
    Fragmented,
    /// The body took longer than this.
    TooSlow { deadline: Duration },
    /// The body is incomplete, or badly framed.
    Interrupted,
    /// An earlier answer on this connection closed it.
    AfterTheEnd,
    /// The signature is missing or invalid.
    Mistrusted(Mistrust),
    /// The signature is missing or invalid, and its network is over the limit.
    Limited,
    /// The signature is valid, but the account is not the signer's. The answer is that to an invalid signature.
    OtherAccount,
    /// The route does not accept the content type or the encoding.
    Unsupported { expected: &'static str },
    /// The signature is valid, but a field is not.
    Malformed(Malformed),
    /// The request contradicts a stored record.
    Contradiction(Contradiction),
    /// The store cannot write now.
    Unavailable { reason: String, label: &'static str },
    /// The handler panicked.
    Panicked,
}

impl From<Malformed> for Rejection {
    fn from(malformed: Malformed) -> Self {
        match malformed {
            Malformed::OtherAccount => Self::OtherAccount,
            Malformed::Field { .. }
            | Malformed::Ambiguous { .. }
            | Malformed::NotAMessage { .. }
            | Malformed::Encoding
            | Malformed::Json(_) => Self::Malformed(malformed),
        }
    }
}

impl From<KeyMismatch> for Rejection {
    fn from(mismatch: KeyMismatch) -> Self {
        match mismatch {
            KeyMismatch::Mistrust(mistrust) => Self::Mistrusted(mistrust),
            KeyMismatch::OtherAccount => Self::OtherAccount,
        }
    }
}

impl From<StoreError> for Rejection {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Unavailable { reason, label } => Self::Unavailable { reason, label },
            StoreError::Contradiction(contradiction) => Self::Contradiction(contradiction),
        }
    }
}

impl Rejection {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownMessage => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } | Self::TooManyParameters { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Interrupted | Self::Fragmented | Self::AfterTheEnd | Self::Malformed(_) => {
                StatusCode::BAD_REQUEST
            }
            // Not 401: Twilio would repeat the request with credentials.
            Self::Mistrusted(_) | Self::OtherAccount => StatusCode::FORBIDDEN,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsupported { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Contradiction(_) => StatusCode::CONFLICT,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The value of the label `reason` in metrics.
    pub(crate) fn as_label(&self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::UnknownMessage => "unknown_message",
            Self::WrongMethod { .. } => "method",
            Self::TooLarge { .. } => "too_large",
            Self::TargetTooLong { .. } => "target_too_long",
            Self::TooManyParameters { .. } => "too_many_parameters",
            Self::Fragmented => "fragmented",
            Self::TooSlow { .. } => "too_slow",
            Self::Interrupted => "interrupted",
            Self::AfterTheEnd => "after_the_end",
            Self::Mistrusted(Mistrust::Missing) => "signature_missing",
            Self::Mistrusted(Mistrust::Malformed) => "signature_malformed",
            Self::Mistrusted(Mistrust::Mismatch) => "signature_mismatch",
            Self::Mistrusted(Mistrust::BodyHashMissing) => "body_hash_missing",
            Self::Mistrusted(Mistrust::BodyHashMismatch) => "body_hash_mismatch",
            Self::Limited => "limited",
            Self::OtherAccount => "other_account",
            Self::Unsupported { .. } => "unsupported",
            Self::Malformed(Malformed::NotAMessage { .. }) => "not_a_message",
            Self::Malformed(_) => "malformed",
            Self::Contradiction(_) => "contradiction",
            Self::Unavailable { label, .. } => label,
            Self::Panicked => "panicked",
        }
    }

    /// Whether the request had no valid signature for what it says.
    pub(crate) fn is_forgery(&self) -> bool {
        matches!(self, Self::Mistrusted(_) | Self::OtherAccount | Self::Limited)
    }

    /// The text for the app's developer. It gives no hint if an unauthenticated client can cause it.
    pub(crate) fn detail(&self) -> String {
        match self {
            Self::NotFound => "there is no such route".to_owned(),
            Self::UnknownMessage => {
                "no message with this SID is stored: it was never registered, or it was removed"
                    .to_owned()
            }
            Self::WrongMethod { allowed } => format!("this route allows {allowed}"),
            Self::TooLarge { cap } => format!("the body may have {cap} bytes"),
            Self::TargetTooLong { most } => format!("path and query may have {most} bytes"),
            Self::TooManyParameters { most } => {
                format!("a form and a query may have {most} parameters each")
            }
            Self::Fragmented => "the body has too many pieces".to_owned(),
            Self::TooSlow { deadline } => {
                format!("the body must arrive within {} s", deadline.as_secs())
            }
            Self::Interrupted => "the body is incomplete".to_owned(),
            Self::AfterTheEnd => "an earlier answer closed the connection".to_owned(),
            Self::Mistrusted(_) | Self::OtherAccount => "forbidden".to_owned(),
            Self::Limited => "too many failed signatures from your network".to_owned(),
            Self::Unsupported { expected } => {
                format!("expected {expected}, without a Content-Encoding")
            }
            Self::Malformed(malformed) => malformed.to_string(),
            Self::Contradiction(contradiction) => contradiction.to_string(),
            Self::Unavailable { .. } => "nothing was stored; send the request again".to_owned(),
            Self::Panicked => "internal error; send the request again".to_owned(),
        }
    }

    /// The field that is at fault, if there is one.
    pub(crate) fn field(&self) -> Option<&'static str> {
        if let Self::Contradiction(Contradiction { field, .. }) = self {
            return Some(field);
        }
        let Self::Malformed(malformed) = self else { return None };
        match malformed {
            Malformed::Field { field, .. }
            | Malformed::Ambiguous { field }
            | Malformed::NotAMessage { field, .. } => Some(field),
            Malformed::Encoding | Malformed::Json(_) | Malformed::OtherAccount => None,
        }
    }
}
