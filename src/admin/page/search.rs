//! The results of a search: the history and the facts of one message, or of each message with a reference.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::page::auth::Session;
use crate::admin::page::format;
use crate::admin::page::tables;
use crate::admin::posting::Posting;
use crate::admin::show::{ShownRecords, show};
use crate::admin::snapshot::Sources;
use crate::domain::matching::Parked;
use crate::domain::message::{Message, Reference, State};
use crate::domain::redact::redacted;
use crate::domain::timeline;
use crate::store::{Store, StoreError};
use crate::telemetry::readiness::Readiness;

/// The most messages of one reference on a page.
const MAX_MESSAGES: usize = 20;

pub(super) async fn results(sources: &Sources, query: &str, session: &Session) -> Markup {
    let records = find(&*sources.store, Some(&sources.readiness), query).await;
    let now = (sources.clock)();
    let ShownRecords { messages, waiting, posting } = match records {
        Ok(records) => records,
        Err(error) => {
            return html! {
                section.health.critical { h1 { "The store is unavailable" } p { (redacted(&error.to_string())) } }
            };
        }
    };
    html! {
        @if messages.is_empty() && waiting.is_empty() {
            section {
                h1 { "Nothing found" }
                p { "No message has this SID or reference, and no evidence names it." }
                p.note { "A search needs the whole MessageSid or the whole reference. Phone numbers are not stored, so \
                    they cannot be found." }
            }
        }
        @if messages.len() > MAX_MESSAGES {
            p.note { "The newest " (MAX_MESSAGES) " messages of this reference. " code { "heardback show" } " has more." }
        }
        @for message in messages.iter().take(MAX_MESSAGES) {
            (message_article(message, &posting, now, session))
        }
        @if !waiting.is_empty() { (evidence_article(&waiting, now)) }
    }
}

pub(super) async fn has_results(store: &dyn Store, query: &str) -> bool {
    let records = find(store, None, query).await;
    records.is_ok_and(|records| !records.messages.is_empty() || !records.waiting.is_empty())
}

async fn find(
    store: &dyn Store,
    service: Option<&Readiness>,
    query: &str,
) -> Result<ShownRecords, StoreError> {
    match Reference::parse(query.trim()) {
        Some(name) => show(store, service, &name).await,
        None => Ok(ShownRecords::default()),
    }
}

/// The answer to a search for a phone number.
pub(super) fn no_phone_numbers() -> Markup {
    html! {
        section {
            h1 { "Phone numbers cannot be searched" }
            p { "Recipients' numbers are not stored, so no record can be found by a number." }
            p.note { "A search needs the whole MessageSid or the whole reference. To erase the records of a number, run "
                code { "heardback forget" } "." }
        }
    }
}

fn evidence_article(waiting: &[Parked], now: Timestamp) -> Markup {
    html! {
        article aria-labelledby="h-waiting" {
            h1 #h-waiting { "Evidence without its message" }
            ol.timeline { @for parked in waiting { li {
                (format::timestamp(parked.evidence.occurred_at, now)) " "
                span {
                    (redacted(&parked.evidence.label.replace('_', " ")))
                    @if parked.orphaned { ": its message is unknown; orphaned " }
                    @else { ": its message is not known yet; parked until " }
                    (format::timestamp(parked.until, now)) " (" (parked.reason.as_str()) ")"
                }
            } } }
        }
    }
}

fn message_article(
    message: &Message,
    posting: &Posting,
    now: Timestamp,
    session: &Session,
) -> Markup {
    let sid = message.sid.as_str();
    html! {
        article aria-labelledby=(format!("h-{sid}")) {
            h1.long id=(format!("h-{sid}")) { code { (sid) } }
            p { span class={ "state " (class(message.state)) } { (message.state.as_str()) } }
            ol.timeline { @for moment in timeline::of(message) { li {
                (format::timestamp(moment.at, now)) " " span { (redacted(&moment.what)) }
            } } }
            @if message.state == State::Refused {
                p { (tables::refusal(message)) }
                (tables::requeue_button(message, session))
            }
            (facts(message, posting, now))
        }
    }
}

fn facts(message: &Message, posting: &Posting, now: Timestamp) -> Markup {
    let to = message.recipient.and_then(|recipient| recipient.calling_code);
    let facts = [
        ("reference", message.reference.as_ref().map(|reference| reference.as_str().to_owned())),
        ("account", Some(message.account.to_string())),
        ("sender", message.from.clone()),
        ("Messaging Service", message.service.map(|service| service.to_string())),
        ("sent to", to.map(|code| format!("+{code} …"))),
        ("Twilio's status", message.status.map(|status| status.as_str().to_owned())),
        ("Twilio's error", message.error_code.map(|code| code.to_string())),
        ("trace", message.trace.map(|trace| trace.to_string())),
    ];
    html! {
        dl.facts {
            @for (name, value) in facts { @if let Some(value) = value {
                div { dt { (name) } dd { (value) } }
            } }
            @if message.state == State::Confirmed {
                div { dt { "next attempt" } dd { (tables::next_post(message, posting, now)) } }
            }
            @if message.state == State::Pending {
                div { dt { "accepts evidence until" } dd { (format::timestamp(message.expires_at, now)) } }
            }
        }
    }
}

fn class(state: State) -> &'static str {
    match state {
        State::Reported => "ok",
        State::Untracked | State::Pending | State::Expired => "soft",
        State::Confirmed => "warning",
        State::Undelivered | State::Refused => "critical",
    }
}
