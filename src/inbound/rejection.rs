//! Every reason to reject a public request: its status, its metric label, and its text for the app.
//!
//! `rejection_response.rs` turns it into an answer.

use std::borrow::Cow;
use std::time::Duration;

use actix_web::http::StatusCode;

use crate::domain::matching::Contradiction;
use crate::domain::route;
use crate::domain::signal::Malformed;
use crate::inbound::keyring::VerifyError;
use crate::store::StoreError;
use crate::twilio::form::MAX_PAIRS;
use crate::twilio::signature::SignatureError;

/// The reason to reject a request.
#[derive(Debug)]
pub(crate) enum Rejection {
    /// No route has this path.
    NotFound,
    /// A path of Twilio's API that send through does not serve.
    OtherApiPath,
    /// No message with this SID is known.
    UnknownMessage,
    /// The route allows other methods.
    WrongMethod { allowed: &'static str },
    /// The body is larger than the cap in bytes.
    TooLarge { cap: usize },
    /// The target is longer than `max` bytes.
    TargetTooLong { max: usize },
    /// The form or the query has more than [`MAX_PAIRS`] parameters.
    TooManyParameters,
    /// The body has too many small pieces. Its connection is shut, so the answer serves the metric and the log only.
    Fragmented,
    /// The body did not arrive within this time.
    TooSlow { deadline: Duration },
    /// The body is incomplete, or badly framed.
    Interrupted,
    /// An earlier answer on this connection closed it.
    AfterTheEnd,
    /// The signature is missing or invalid.
    BadSignature(SignatureError),
    /// The credential of a send is missing or invalid, or may not send for the account of the path.
    Unauthenticated,
    /// As many sends as the settings allow are under way.
    TooManySends,
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
            Malformed::Missing { .. }
            | Malformed::Field { .. }
            | Malformed::Ambiguous { .. }
            | Malformed::NotAMessage { .. }
            | Malformed::Encoding
            | Malformed::Json(_) => Self::Malformed(malformed),
        }
    }
}

impl From<VerifyError> for Rejection {
    fn from(error: VerifyError) -> Self {
        match error {
            VerifyError::Signature(signature_error) => Self::BadSignature(signature_error),
            VerifyError::OtherAccount => Self::OtherAccount,
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
        self.row().0
    }

    /// The value of the label `reason` in metrics.
    pub(crate) fn as_label(&self) -> &'static str {
        self.row().1
    }

    /// The text for the app's developer. It gives no hint if an unauthenticated client can cause it.
    pub(crate) fn detail(&self) -> Cow<'static, str> {
        match self {
            Self::NotFound => "there is no such route".into(),
            Self::OtherApiPath => format!(
                "Heardback serves no path of Twilio's API but POST {}; use api.twilio.com for the rest",
                route::SEND
            )
            .into(),
            Self::UnknownMessage => {
                "no message with this SID is stored: it was never registered, or it was removed"
                    .into()
            }
            Self::WrongMethod { allowed } => format!("this route allows {allowed}").into(),
            Self::TooLarge { cap } => format!("the body may have {cap} bytes").into(),
            Self::TargetTooLong { max } => format!("path and query may have {max} bytes").into(),
            Self::TooManyParameters => {
                format!("a form and a query may have {MAX_PAIRS} parameters each").into()
            }
            Self::Fragmented => "the body has too many pieces".into(),
            Self::TooSlow { deadline } => {
                format!("the body must arrive within {} s", deadline.as_secs()).into()
            }
            Self::Interrupted => "the body is incomplete".into(),
            Self::AfterTheEnd => "an earlier answer closed the connection".into(),
            Self::BadSignature(_) | Self::OtherAccount => "forbidden".into(),
            // Twilio's own word.
            Self::Unauthenticated => "Authenticate".into(),
            Self::TooManySends => {
                "too many sends are under way; the message was not sent, so send it again".into()
            }
            Self::Limited => "too many failed signatures from your network".into(),
            Self::Unsupported { expected } => {
                format!("expected {expected}, without a Content-Encoding").into()
            }
            Self::Malformed(malformed) => malformed.to_string().into(),
            Self::Contradiction(contradiction) => contradiction.to_string().into(),
            Self::Unavailable { .. } => "not known to be stored; send the request again".into(),
            Self::Panicked => "internal error; send the request again".into(),
        }
    }

    /// Status and label of each rejection.
    fn row(&self) -> (StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NotFound | Self::OtherApiPath => (S::NOT_FOUND, "not_found"),
            Self::UnknownMessage => (S::NOT_FOUND, "unknown_message"),
            Self::WrongMethod { .. } => (S::METHOD_NOT_ALLOWED, "method"),
            Self::TooLarge { .. } => (S::PAYLOAD_TOO_LARGE, "too_large"),
            Self::TargetTooLong { .. } => (S::URI_TOO_LONG, "target_too_long"),
            Self::TooManyParameters => (S::PAYLOAD_TOO_LARGE, "too_many_parameters"),
            Self::Fragmented => (S::BAD_REQUEST, "fragmented"),
            Self::TooSlow { .. } => (S::REQUEST_TIMEOUT, "too_slow"),
            Self::Interrupted => (S::BAD_REQUEST, "interrupted"),
            Self::AfterTheEnd => (S::BAD_REQUEST, "after_the_end"),
            // Not 401: Twilio would repeat the request with credentials.
            Self::BadSignature(signature_error) => {
                (S::FORBIDDEN, signature_label(*signature_error))
            }
            Self::OtherAccount => (S::FORBIDDEN, "other_account"),
            Self::Unauthenticated => (S::UNAUTHORIZED, "credentials"),
            Self::TooManySends => (S::SERVICE_UNAVAILABLE, "sends_busy"),
            Self::Limited => (S::TOO_MANY_REQUESTS, "limited"),
            Self::Unsupported { .. } => (S::UNSUPPORTED_MEDIA_TYPE, "unsupported"),
            Self::Malformed(Malformed::NotAMessage { .. }) => (S::BAD_REQUEST, "not_a_message"),
            Self::Malformed(_) => (S::BAD_REQUEST, "malformed"),
            Self::Contradiction(_) => (S::CONFLICT, "contradiction"),
            Self::Unavailable { label, .. } => (S::SERVICE_UNAVAILABLE, label),
            Self::Panicked => (S::INTERNAL_SERVER_ERROR, "panicked"),
        }
    }

    /// Whether the signature is missing or invalid, or does not cover the account that the request names.
    pub(crate) fn is_forgery(&self) -> bool {
        matches!(self, Self::BadSignature(_) | Self::OtherAccount | Self::Limited)
    }

    /// The field that is at fault, if there is one.
    pub(crate) fn field(&self) -> Option<&'static str> {
        if let Self::Contradiction(Contradiction { field, .. }) = self {
            return Some(field);
        }
        let Self::Malformed(malformed) = self else { return None };
        malformed.field()
    }
}

fn signature_label(signature_error: SignatureError) -> &'static str {
    match signature_error {
        SignatureError::Missing => "signature_missing",
        SignatureError::Malformed => "signature_malformed",
        SignatureError::Mismatch => "signature_mismatch",
        SignatureError::BodyHashMissing => "body_hash_missing",
        SignatureError::BodyHashMismatch => "body_hash_mismatch",
    }
}
