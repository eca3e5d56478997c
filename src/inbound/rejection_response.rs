//! Answers rejected requests. The only `ResponseError` of the public routes.
//!
//! Twilio and unauthenticated clients get the status alone; the app also gets a problem document (RFC 9457), and on the paths
//! of Twilio's API an error in Twilio's form. Every rejection closes its connection, so that only an authenticated client
//! keeps one (docs/design.md, "HTTP").

use std::fmt;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError, web};
use serde_json::json;

use crate::domain::route as routes;
use crate::inbound::decision_log;
use crate::inbound::receiver::Receiver;
use crate::inbound::rejection::Rejection;

/// `Retry-After` of a 503, in seconds.
pub(super) const RETRY_AFTER_SECONDS: &str = "5";

/// The form of an error that a client expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ErrorForm {
    /// The status alone.
    Bare,
    /// A problem document.
    Problem,
    /// The JSON of Twilio's API.
    Twilio,
}

impl ErrorForm {
    fn of(route: &str, rejection: &Rejection) -> Self {
        match route {
            _ if matches!(rejection, Rejection::OtherApiPath) => Self::Twilio,
            routes::SEND => Self::Twilio,
            _ if route.starts_with("/app/") => Self::Problem,
            _ => Self::Bare,
        }
    }
}

/// A rejection that is counted and logged, in the form that its route answers with.
#[derive(Debug)]
pub(super) struct RejectionResponse {
    rejection: Rejection,
    form: ErrorForm,
}

impl RejectionResponse {
    /// Counts and logs a rejection.
    pub(super) fn of(request: &HttpRequest, rejection: impl Into<Rejection>) -> Self {
        let rejection = rejection.into();
        // The route's own spelling, because the path may be percent-encoded: `/%61pp/events`.
        let pattern = request.match_pattern();
        let route = pattern.as_deref().unwrap_or(request.path());
        if let Some(receiver) = request.app_data::<web::Data<Receiver>>() {
            receiver.metrics.refusals(rejection.as_label());
            if rejection.is_forgery() {
                receiver.metrics.signature_failures(rejection.as_label(), route);
            }
        }
        decision_log::rejected(request, route, &rejection);
        let form = ErrorForm::of(route, &rejection);
        Self { rejection, form }
    }

    /// Counts and logs a panic. The request is gone, so only its route is known.
    pub(super) fn panicked(receiver: Option<&Receiver>, route: &str) -> Self {
        let rejection = Rejection::Panicked;
        if let Some(receiver) = receiver {
            receiver.metrics.refusals(rejection.as_label());
        }
        tracing::error!(
            route,
            "handler of {route} panicked: answered 500, and the request is lost unless its sender repeats it; this is a bug \
             in Heardback: report it with the lines before this one"
        );
        let form = ErrorForm::of(route, &rejection);
        Self { rejection, form }
    }
}

/// An error in the form of Twilio's API. Twilio's codes of general errors are its statuses and 20000, with two exceptions.
pub(super) fn twilio_error(status: StatusCode, message: &str) -> String {
    let code = match status {
        StatusCode::UNAUTHORIZED => 20_003,
        StatusCode::METHOD_NOT_ALLOWED => 20_004,
        _ => 20_000 + u32::from(status.as_u16()),
    };
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    json!({ "code": code, "message": message, "more_info": more_info, "status": status.as_u16() })
        .to_string()
}

impl fmt::Display for RejectionResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rejection.as_label())
    }
}

impl ResponseError for RejectionResponse {
    fn status_code(&self) -> StatusCode {
        self.rejection.status()
    }

    fn error_response(&self) -> HttpResponse {
        let status = self.rejection.status();
        let mut answer = HttpResponse::build(status);
        answer.force_close();
        if let Rejection::WrongMethod { allowed } = &self.rejection {
            answer.insert_header((ALLOW, *allowed));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            answer.insert_header((RETRY_AFTER, RETRY_AFTER_SECONDS));
        }
        match self.form {
            ErrorForm::Bare => return answer.finish(),
            ErrorForm::Twilio => {
                if status == StatusCode::UNAUTHORIZED {
                    answer.insert_header((WWW_AUTHENTICATE, "Basic realm=\"Twilio API\""));
                }
                answer.insert_header((CONTENT_TYPE, "application/json"));
                return answer.body(twilio_error(status, &self.rejection.detail()));
            }
            ErrorForm::Problem => {}
        }
        let mut problem = json!({
            "type": "about:blank",
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.rejection.detail(),
        });
        if let (Some(field), Some(members)) = (self.rejection.field(), problem.as_object_mut()) {
            members.insert("field".to_owned(), field.into());
        }
        answer.insert_header((CONTENT_TYPE, "application/problem+json"));
        answer.body(problem.to_string())
    }
}

impl Responder for RejectionResponse {
    type Body = actix_web::body::BoxBody;
    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.error_response()
    }
}
