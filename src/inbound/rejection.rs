//! Everything that is not a good answer, in one place: the only `ResponseError` of the house.
//!
//! The outside sees a fixed word; the log sees the reason, once. Every refusal closes the
//! connection: only who holds a secret ever gets to keep one (docs/design.md, "HTTP").

use std::fmt;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use serde_json::json;

use crate::domain::matching::Contradiction;
use crate::domain::signal::Malformed;
use crate::inbound::keyring::KeyMismatch;
use crate::inbound::{Receiver, decision_log};
use crate::store::StoreError;
use crate::twilio::signature::Mistrust;

/// When to come back after a 503, in seconds.
const COME_BACK_AFTER: &str = "5";

/// Why a request is refused.
#[derive(Debug)]
pub(super) enum Rejection {
    /// No such route.
    NotFound,
    /// There is no such message.
    UnknownMessage,
    /// The route takes other methods.
    WrongMethod { allowed: &'static str },
    /// The body is larger than the cap, in bytes.
    TooLarge { cap: usize },
    /// The target is longer than this, in bytes.
    TargetTooLong { most: usize },
    /// The form or the query has more parameters than this.
    TooManyParameters { most: usize },
    /// The body came in too many small pieces. Its connection is shut, so the answer is for the metric and the log.
    Fragmented,
    /// The body took longer than this.
    TooSlow { deadline: Duration },
    /// The body broke off, or its framing is wrong.
    Interrupted,
    /// It came behind one whose answer said that the connection ends.
    AfterTheEnd,
    /// Unsigned or forged.
    Mistrusted(Mistrust),
    /// Unsigned or forged, and one too many from there.
    Limited,
    /// Signed, but another account's. Answered like a forgery.
    OtherAccount,
    /// A content type, or an encoding, that the route does not take.
    Unsupported { expected: &'static str },
    /// Signed, but it cannot be understood.
    Malformed(Malformed),
    /// It contradicts what is known.
    Contradiction(Contradiction),
    /// The store cannot take it now.
    Unavailable { reason: String, label: &'static str },
    /// A fault of ours.
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
    fn from(distrust: KeyMismatch) -> Self {
        match distrust {
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
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound | Self::UnknownMessage => StatusCode::NOT_FOUND,
            Self::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooLarge { .. } | Self::TooManyParameters { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TargetTooLong { .. } => StatusCode::URI_TOO_LONG,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::Interrupted | Self::Fragmented | Self::AfterTheEnd | Self::Malformed(_) => {
                StatusCode::BAD_REQUEST
            }
            // Never 401: Twilio would send it again, with credentials.
            Self::Mistrusted(_) | Self::OtherAccount => StatusCode::FORBIDDEN,
            Self::Limited => StatusCode::TOO_MANY_REQUESTS,
            Self::Unsupported { .. } => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Contradiction(_) => StatusCode::CONFLICT,
            Self::Unavailable { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// One word, for the metric.
    pub(super) fn as_label(&self) -> &'static str {
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

    /// Whether it came with no signature that is good for it.
    fn is_forgery(&self) -> bool {
        matches!(self, Self::Mistrusted(_) | Self::OtherAccount | Self::Limited)
    }

    /// What the app's developer is told. A refusal that a stranger can provoke gives no hint.
    pub(super) fn detail(&self) -> String {
        match self {
            Self::NotFound => "there is no such route".to_owned(),
            Self::UnknownMessage => "this message was never registered, or is forgotten".to_owned(),
            Self::WrongMethod { allowed } => format!("this route takes {allowed}"),
            Self::TooLarge { cap } => format!("the body may have {cap} bytes"),
            Self::TargetTooLong { most } => format!("path and query may have {most} bytes"),
            Self::TooManyParameters { most } => {
                format!("a form and a query may have {most} parameters each")
            }
            Self::Fragmented => "the body came in too many pieces".to_owned(),
            Self::TooSlow { deadline } => {
                format!("the body must arrive within {} s", deadline.as_secs())
            }
            Self::Interrupted => "the body broke off".to_owned(),
            Self::AfterTheEnd => "the connection had ended with the answer before".to_owned(),
            Self::Mistrusted(_) | Self::OtherAccount => "forbidden".to_owned(),
            Self::Limited => "too many failed signatures from your network".to_owned(),
            Self::Unsupported { expected } => {
                format!("expected {expected}, without a Content-Encoding")
            }
            Self::Malformed(malformed) => malformed.to_string(),
            Self::Contradiction(contradiction) => contradiction.to_string(),
            Self::Unavailable { .. } => "nothing was stored; send it again".to_owned(),
            Self::Panicked => "a fault of Heardback's; send it again".to_owned(),
        }
    }

    fn field(&self) -> Option<&'static str> {
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

/// A rejection, with whose language it is to be told in.
#[derive(Debug)]
pub(super) struct LocalizedRejection {
    why: Rejection,
    to_app: bool,
}

impl LocalizedRejection {
    pub(super) fn of(request: &HttpRequest, why: impl Into<Rejection>) -> Self {
        let why = why.into();
        // The route's own spelling, where there is one: `/%61pp/events` is the app's, too.
        let pattern = request.match_pattern();
        let route = pattern.as_deref().unwrap_or(request.path());
        let to_app = route.starts_with("/app/");
        if let Some(receiver) = request.app_data::<actix_web::web::Data<Receiver>>() {
            receiver.metrics.refusals(why.as_label());
            if why.is_forgery() {
                receiver.metrics.signature_failures(why.as_label(), route);
            }
        }
        decision_log::refused(request, &why);
        Self { why, to_app }
    }

    /// Of a request whose handler panicked: it is gone, only its route is known.
    pub(super) fn panicked(receiver: Option<&Receiver>, route: &str) -> Self {
        let why = Rejection::Panicked;
        if let Some(receiver) = receiver {
            receiver.metrics.refusals(why.as_label());
        }
        tracing::error!(route, "a handler panicked; answered 500");
        Self { why, to_app: route.starts_with("/app/") }
    }
}

impl fmt::Display for LocalizedRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.why.as_label())
    }
}

impl ResponseError for LocalizedRejection {
    fn status_code(&self) -> StatusCode {
        self.why.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.why.status();
        let mut answer = HttpResponse::build(status);
        answer.force_close();
        if let Rejection::WrongMethod { allowed } = &self.why {
            answer.insert_header((ALLOW, *allowed));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, COME_BACK_AFTER));
        }
        if !self.to_app {
            return answer.finish();
        }
        // RFC 9457.
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.why.detail(),
        });
        if let (Some(field), Some(members)) = (self.why.field(), problem.as_object_mut()) {
            members.insert("field".to_owned(), field.into());
        }
        answer.insert_header((CONTENT_TYPE, "application/problem+json"));
        answer.body(problem.to_string())
    }
}

impl Responder for LocalizedRejection {
    type Body = actix_web::body::BoxBody;
    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
