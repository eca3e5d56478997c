//! The outcome of a request by its answer alone, without any value of the request. The app's routes report it; Twilio's
//! routes return only a status.

use reqwest::StatusCode;
use serde_json::Value;

use crate::commands::replay::result::ReplayOutcome;
use crate::commands::replay::route::ReplayRoute;
use crate::domain::redact::redacted;

pub(super) fn outcome(route: ReplayRoute, status: StatusCode, body: &[u8]) -> ReplayOutcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(redacted);
    if !status.is_success() {
        let detail = word("detail").unwrap_or_else(|| meaning(status).to_owned());
        return ReplayOutcome::new("refused", detail);
    }
    let state = || word("state").unwrap_or_default();
    let outcome = match route {
        ReplayRoute::Event => {
            let results = ["confirmed", "already", "parked", "none"];
            let result = word("result").unwrap_or_default();
            let known = results.into_iter().find(|known| *known == result);
            ReplayOutcome::new(known.unwrap_or("taken"), word("reason").unwrap_or_default())
        }
        ReplayRoute::Messages if status == StatusCode::CREATED => {
            ReplayOutcome::new("remembered", state())
        }
        ReplayRoute::Messages | ReplayRoute::Message => ReplayOutcome::new("known", state()),
        ReplayRoute::Reply
        | ReplayRoute::Status
        | ReplayRoute::Call
        | ReplayRoute::Click
        | ReplayRoute::Events => ReplayOutcome::new("taken", ""),
    };
    outcome.about(word("message_sid").into_iter().collect())
}

/// The meaning of a rejection without a detail.
fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "validly signed, but a field is missing or wrong: the service's log names it",
        403 => "the service has another key, public URL or account than these settings",
        404 | 405 => "there is no such route there: is it Heardback?",
        408 => "it took too long to arrive",
        413 => "it is too large",
        415 => "the route does not accept its Content-Type or Content-Encoding",
        429 => "too many failed signatures from this machine; try later",
        503 => "the service cannot accept it now; run it again",
        _ => "Heardback gives no such answer: is it Heardback?",
    }
}
