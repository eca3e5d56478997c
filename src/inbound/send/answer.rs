//! The answer to a caller: Twilio's own, unchanged, or an error of this service in Twilio's form.

use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{CONTENT_TYPE, HeaderName, HeaderValue};

use crate::domain::outgoing::{SendAnswer, SendFailure, Sent};
use crate::inbound::rejection_response::twilio_error;

/// Whether the message was registered before this answer: `true` or `false`.
const REGISTERED: HeaderName = HeaderName::from_static("heardback-registered");
/// Whether the message may have gone out although this answer does not say so: `no`, `maybe` or `yes`.
const SENT: HeaderName = HeaderName::from_static("heardback-sent");

/// The result of a send.
#[derive(Debug)]
pub(super) enum SendOutcome {
    /// Twilio's answer. `registered` is `None` if there was no message to track.
    Answered { answer: SendAnswer, registered: Option<bool> },
    /// There is no answer of Twilio's.
    Failed(SendFailure),
}

impl SendOutcome {
    pub(super) fn into_response(self) -> HttpResponse {
        match self {
            Self::Answered { answer, registered } => passed_on(answer, registered),
            Self::Failed(failure) => failed(&failure),
        }
    }
}

fn passed_on(answer: SendAnswer, registered: Option<bool>) -> HttpResponse {
    let status = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut response = HttpResponse::build(status);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(&value))
        {
            response.append_header((name, value));
        }
    }
    // Such an answer may come from a proxy of Twilio's, after Twilio has accepted the message.
    if status.is_server_error() || status == StatusCode::REQUEST_TIMEOUT {
        response.insert_header((SENT, HeaderValue::from_static(Sent::Maybe.as_str())));
    }
    if let Some(registered) = registered {
        let word = if registered { "true" } else { "false" };
        response.insert_header((REGISTERED, HeaderValue::from_static(word)));
    }
    response.body(answer.body)
}

fn failed(failure: &SendFailure) -> HttpResponse {
    let status =
        if failure.is_timeout { StatusCode::GATEWAY_TIMEOUT } else { StatusCode::BAD_GATEWAY };
    let advice = match failure.sent {
        Sent::No => "The message was not sent. You can send it again.",
        Sent::Maybe => {
            "The message may have been sent: send it again only if a second copy does no harm."
        }
        Sent::Yes => "The message was sent. Do not send it again.",
    };
    let text = format!("Heardback: no complete answer of Twilio's: {}. {advice}", failure.why);
    let mut response = HttpResponse::build(status);
    response.insert_header((SENT, HeaderValue::from_static(failure.sent.as_str())));
    response.insert_header((CONTENT_TYPE, HeaderValue::from_static("application/json")));
    response.body(twilio_error(status, &text))
}
