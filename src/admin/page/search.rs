//! What a search finds: the whole life of one message, or of each that bears a reference.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::page::auth::Visitor;
use crate::admin::page::format;
use crate::admin::page::tables;
use crate::admin::posting::Posting;
use crate::admin::show::{ShownRecords, show};
use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference, State};
use crate::domain::redact::veiled;
use crate::domain::timeline;
use crate::store::{Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// Messages of one reference that are shown: a login that was tried more often than that is an attack.
const LIMIT: usize = 20;

/// What was looked for, and what there is of it.
pub(super) async fn found(
    store: &dyn Store,
    readiness: &Readiness,
    asked: &str,
    now: Timestamp,
    visitor: &Visitor,
) -> Markup {
    let records = find(store, Some(readiness), asked).await;
    let ShownRecords { messages, waiting, posting } = match records {
        Ok(records) => records,
        Err(error) => {
            return html! {
                section.health.ill { h1 { "The store does not answer" } p { (veiled(&error.to_string())) } }
            };
        }
    };
    if messages.is_empty() && waiting.is_empty() {
        return nothing();
    }
    html! {
        @if messages.len() > LIMIT {
            p.note { "The newest " (LIMIT) " messages of this reference. " code { "heardback show" } " has more." }
        }
        @for message in messages.iter().take(LIMIT) {
            (life_of(message, &posting, now, visitor))
        }
        @if !waiting.is_empty() { (without_message(&waiting, now)) }
    }
}

/// Whether there is anything of it.
pub(super) async fn is_known(store: &dyn Store, asked: &str) -> bool {
    let known = find(store, None, asked).await;
    known.is_ok_and(|known| !known.messages.is_empty() || !known.waiting.is_empty())
}

/// As `heardback show` looks.
async fn find(
    store: &dyn Store,
    service: Option<&Readiness>,
    asked: &str,
) -> Result<ShownRecords, StoreError> {
    match Reference::parse(asked.trim()) {
        Some(name) => show(store, service, &name).await,
        None => Ok(ShownRecords::default()),
    }
}

fn nothing() -> Markup {
    html! {
        section {
            h1 { "Nothing found" }
            p { "No message has this SID, none bears it as its reference, and no evidence waits for it." }
            p.note { "A search is by the whole MessageSid or the whole reference. Phone numbers are kept nowhere, so "
                "none can be found." }
        }
    }
}

/// Why nobody's number is looked for.
pub(super) fn no_numbers() -> Markup {
    html! {
        section {
            h1 { "Phone numbers cannot be searched" }
            p { "No recipient's number is kept here, so there is nothing to find it by." }
            p.note { "A search is by the whole MessageSid or the whole reference. What concerns a number is erased by "
                code { "heardback forget" } "." }
        }
    }
}

/// Evidence that came, of which the message did not come yet, or never.
fn without_message(waiting: &[Parked], now: Timestamp) -> Markup {
    html! {
        article aria-labelledby="h-waiting" {
            h1 #h-waiting { "Evidence without its message" }
            ol.life { @for parked in waiting { li {
                (format::timestamp(parked.evidence.occurred_at, now)) " "
                span {
                    (veiled(&parked.evidence.label.replace('_', " ")))
                    @if parked.orphaned { ": its message never came; given up " }
                    @else { ": its message is not known yet; it waits until " }
                    (format::timestamp(parked.until, now)) " (" (parked.reason.as_str()) ")"
                }
            } } }
        }
    }
}

fn life_of(message: &Message, posting: &Posting, now: Timestamp, visitor: &Visitor) -> Markup {
    let sid = message.sid.as_str();
    html! {
        article aria-labelledby=(format!("h-{sid}")) {
            h1.long id=(format!("h-{sid}")) { code { (sid) } }
            p { span class={ "state " (class(message.state)) } { (message.state.as_str()) } }
            ol.life { @for moment in timeline::of(message) { li {
                (format::timestamp(moment.at, now)) " " span { (veiled(&moment.what)) }
            } } }
            @if message.state == State::Refused {
                p { (tables::reason(message)) }
                (tables::requeue(message, visitor))
            }
            (facts(message, posting, now))
        }
    }
}

fn facts(message: &Message, posting: &Posting, now: Timestamp) -> Markup {
    let service = message.service.map(|service| service.to_string());
    let to = message.recipient.and_then(|recipient| recipient.calling_code);
    let words = [
        ("reference", message.reference.as_ref().map(|it| it.as_str().to_owned())),
        ("account", Some(message.account.to_string())),
        ("sender", message.from.clone()),
        ("Messaging Service", service),
        ("sent to", to.map(|code| format!("+{code} …"))),
        ("Twilio's status", message.status.map(|status| status.as_str().to_owned())),
        ("Twilio's error", message.error_code.map(|code| code.to_string())),
        ("trace", message.trace.map(|trace| trace.to_string())),
    ];
    html! {
        dl.facts {
            @for (name, value) in words { @if let Some(value) = value {
                div { dt { (name) } dd { (value) } }
            } }
            @if message.state == State::Confirmed {
                div { dt { "next attempt" } dd { (tables::next_post(message, posting, now)) } }
            }
            @if message.state == State::Pending {
                div { dt { "waits for evidence until" } dd { (format::timestamp(message.expires_at, now)) } }
            }
        }
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Reported => "well",
        State::Untracked | State::Pending | State::Expired => "soft",
        State::Confirmed => "doubtful",
        State::Undelivered | State::Refused => "ill",
    }
}
