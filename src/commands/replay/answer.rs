//! What an answer means, in words that hold nothing of the request. The app's routes say it themselves; to
//! Twilio's only a status is said.

use reqwest::StatusCode;
use serde_json::Value;

use crate::commands::replay::plan::ReplayRoute;
use crate::commands::replay::result::ReplayOutcome;
use crate::domain::redact::veiled;

/// By the answer alone.
pub(super) fn outcome_of(route: ReplayRoute, status: StatusCode, body: &[u8]) -> ReplayOutcome {
    let body: Value = serde_json::from_slice(body).unwrap_or_default();
    let word = |name: &str| body.get(name).and_then(Value::as_str).map(veiled);
    if !status.is_success() {
        let detail = word("detail").unwrap_or_else(|| meaning(status).to_owned());
        return ReplayOutcome::new("refused", detail);
    }
    let outcome = match route {
        ReplayRoute::Event => {
            let says = word("reason").unwrap_or_default();
            ReplayOutcome::new(result(word("result").as_deref()), says)
        }
        ReplayRoute::Messages if status == StatusCode::CREATED => {
            ReplayOutcome::new("remembered", state(&body))
        }
        ReplayRoute::Messages | ReplayRoute::Message => ReplayOutcome::new("known", state(&body)),
        ReplayRoute::Reply
        | ReplayRoute::Status
        | ReplayRoute::Call
        | ReplayRoute::Click
        | ReplayRoute::Events => ReplayOutcome::new("taken", String::new()),
    };
    outcome.about(word("message_sid").into_iter().collect())
}

/// The service's own words for what an event came to.
fn result(word: Option<&str>) -> &'static str {
    match word {
        Some("confirmed") => "confirmed",
        Some("already") => "already",
        Some("parked") => "parked",
        Some("none") => "none",
        Some(_) | None => "taken",
    }
}

fn state(body: &Value) -> String {
    body.get("state").and_then(Value::as_str).map(veiled).unwrap_or_default()
}

/// What to make of a refusal that says no more.
fn meaning(status: StatusCode) -> &'static str {
    match status.as_u16() {
        400 => "well signed, but a field is missing or wrong: the service's log says which",
        403 => "the service has another key, public URL or account than these settings",
        404 | 405 => "there is no such route there: is it Heardback?",
        408 => "it took too long to arrive",
        413 => "it is too large",
        415 => "the route does not take its Content-Type or Content-Encoding",
        429 => "too many failed signatures from this machine; try later",
        503 => "the service cannot take it now; run it again",
        _ => "Heardback gives no such answer: is it Heardback?",
    }
}
