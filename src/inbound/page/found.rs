//! What a search finds: the whole life of one message, or of each that bears a reference.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::domain::life;
use crate::domain::message::{Message, Reference, State};
use crate::domain::sid::MessageSid;
use crate::domain::veil::veiled;
use crate::inbound::page::auth::Visitor;
use crate::inbound::page::tables;
use crate::inbound::page::words;
use crate::store::{Store, StoreError};

/// Messages of one reference that are shown: a login that was tried more often than that is an attack.
const LIMIT: usize = 20;

/// What was looked for, and what there is of it.
pub(super) async fn found(
    store: &dyn Store,
    asked: &str,
    now: Timestamp,
    visitor: &Visitor,
) -> Markup {
    match look(store, asked.trim()).await {
        Ok(messages) if messages.is_empty() => nothing(asked),
        Ok(messages) => html! { @for message in &messages { (life_of(message, now, visitor)) } },
        Err(error) => html! {
            section.health.ill { h1 { "The store does not answer" } p { (veiled(&error.to_string())) } }
        },
    }
}

async fn look(store: &dyn Store, asked: &str) -> Result<Vec<Message>, StoreError> {
    if let Ok(sid) = MessageSid::parse(asked)
        && let Some(message) = store.show(sid).await?
    {
        return Ok(vec![message]);
    }
    match Reference::parse(asked) {
        Some(reference) => store.bearing(reference, LIMIT).await,
        None => Ok(Vec::new()),
    }
}

fn nothing(asked: &str) -> Markup {
    html! {
        section {
            h1 { "Nothing found" }
            p { "No message has this SID, and none bears it as its reference"
                @if MessageSid::parse(asked.trim()).is_ok() {
                    ". Its evidence may wait for it, and be parked until it is heard of"
                } "." }
            p.note { "A search is by the whole MessageSid or the whole reference. Phone numbers are kept nowhere, so "
                "none can be found." }
        }
    }
}

fn life_of(message: &Message, now: Timestamp, visitor: &Visitor) -> Markup {
    let sid = message.sid.as_str();
    html! {
        article aria-labelledby=(format!("h-{sid}")) {
            h1.long id=(format!("h-{sid}")) { code { (sid) } }
            p { span class={ "state " (class(message.state)) } { (message.state.as_str()) } }
            ol.life { @for moment in life::of(message) { li {
                (words::moment(moment.at, now)) " " span { (veiled(&moment.what)) }
            } } }
            @if message.state == State::Refused {
                p { (tables::reason(message)) }
                (tables::requeue(message, visitor))
            }
            (facts(message, now))
        }
    }
}

fn facts(message: &Message, now: Timestamp) -> Markup {
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
    let waits = message.state == State::Confirmed;
    html! {
        dl.facts {
            @for (name, value) in words { @if let Some(value) = value {
                div { dt { (name) } dd { (value) } }
            } }
            @if let Some(due) = message.delivery.due_at.filter(|_| waits) {
                div { dt { "next attempt" } dd { (words::moment(due, now)) } }
            }
            @if message.state == State::Pending {
                div { dt { "waits for evidence until" } dd { (words::moment(message.expires_at, now)) } }
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
