//! What waits, what was refused and whose it is, with the buttons that go with it.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::page::auth::Visitor;
use crate::admin::page::format;
use crate::admin::page::layout::form_token;
use crate::admin::posting::{NextPost, Posting};
use crate::admin::snapshot::{SHOWN, Snapshot};
use crate::domain::message::{Message, State};
use crate::domain::redact::veiled;
use crate::telemetry::readiness::LaneReadiness;

/// What waits to be reported.
pub(super) fn outbox(now: &Snapshot) -> Markup {
    let all = now.counts.of(State::Confirmed);
    html! {
        section #outbox aria-labelledby="h-outbox" {
            h2 #h-outbox { "Outbox" (many(all)) }
            @if now.outbox.is_empty() { p.empty { "Nothing waits to be reported." } }
            @else { div.scroll #outbox-scroll tabindex="0" role="region" aria-labelledby="h-outbox" { table.stack {
                thead { tr {
                    th scope="col" { "Message" } th scope="col" { "Proven by" }
                    th scope="col" { "Confirmed" } th scope="col" { "Next attempt" }
                    th.n scope="col" { "Attempts" } th scope="col" { "The last one" }
                } }
                @let posting = now.posting();
                tbody { @for message in now.outbox.iter().take(SHOWN) { (waiting(message, &posting, now)) } }
            } } }
            (rest(all, now.outbox.len().min(SHOWN)))
        }
    }
}

fn waiting(message: &Message, posting: &Posting, now: &Snapshot) -> Markup {
    html! { tr {
        th scope="row" { (message_link(message)) }
        td data-label="Proven by" { (proof(message)) }
        td data-label="Confirmed" { @if let Some(proof) = &message.proof { (format::timestamp(proof.confirmed_at, now.at)) } }
        td data-label="Next attempt" { (next_post(message, posting, now.at)) }
        td.n data-label="Attempts" { (message.posts_made()) }
        td.why data-label="The last one" { @match &message.last_attempt {
            Some(attempt) => { (veiled(&attempt.to_string())) " " span.soft { (format::timestamp(attempt.ended_at, now.at)) } }
            None => span.soft { "none yet" },
        } }
    } }
}

/// When a message is posted next, or the reason why it waits.
pub(super) fn next_post(message: &Message, posting: &Posting, now: Timestamp) -> Markup {
    html! { @match posting.next(message) {
        Some(NextPost::At(due)) if due > now => (format::timestamp(due, now)),
        Some(next) => (next.describe()),
        None => "–",
    } }
}

/// What Twilio would not take.
pub(super) fn refused(now: &Snapshot, visitor: &Visitor) -> Markup {
    let all = now.counts.of(State::Refused);
    html! {
        section #refused aria-labelledby="h-refused" {
            h2 #h-refused { "Refused by Twilio" (many(all)) }
            @if now.refused.is_empty() { p.empty { "No confirmation was refused." } }
            @else { div.scroll #refused-scroll tabindex="0" role="region" aria-labelledby="h-refused" { table.stack {
                thead { tr {
                    th scope="col" { "Message" } th scope="col" { "Refused" } th scope="col" { "Why" }
                    th scope="col" { span.unseen { "Try again" } }
                } }
                tbody { @for message in &now.refused { tr {
                    th scope="row" { (message_link(message)) }
                    td data-label="Refused" { (format::timestamp(message.since, now.at)) }
                    td.why data-label="Why" { (reason(message)) }
                    td { (requeue(message, visitor)) }
                } } }
            } } }
            (rest(all, now.refused.len()))
        }
    }
}

/// Twilio's words, and where it explains them.
pub(super) fn reason(message: &Message) -> Markup {
    html! { @if let Some(refusal) = &message.refusal {
        @if let Some(status) = refusal.status { "HTTP " (status) " " }
        @if let Some(code) = refusal.code {
            a href=(format!("https://www.twilio.com/docs/api/errors/{code}")) rel="noreferrer" { "error " (code) } " "
        }
        (veiled(&refusal.message))
    } }
}

/// The button that has a refused message tried again.
pub(super) fn requeue(message: &Message, visitor: &Visitor) -> Markup {
    let sid = message.sid.as_str();
    html! {
        form method="post" action=(format!("/messages/{sid}/requeue")) {
            (form_token(visitor))
            button id=(format!("requeue-{sid}")) type="submit" aria-label=(format!("Requeue {sid}")) { "Requeue" }
        }
    }
}

/// Each account, whether its posts flow, and the button that stops or resumes them.
pub(super) fn accounts(now: &Snapshot, visitor: &Visitor) -> Markup {
    let accounts = now.accounts();
    html! {
        section #accounts aria-labelledby="h-accounts" {
            h2 #h-accounts { "Accounts" }
            p.note { "On hold, nothing of an account is reported; it is still heard, and what waits is kept." }
            @if accounts.is_empty() { p.empty { "No account has any message yet." } }
            @else { div.scroll #accounts-scroll tabindex="0" role="region" aria-labelledby="h-accounts" { table.stack {
                thead { tr {
                    th scope="col" { "Account" } th scope="col" { "Posts" } th scope="col" { span.unseen { "Hold" } }
                } }
                tbody { @for account in &accounts { tr {
                    @let held = now.on_hold.get(account);
                    th scope="row" { (short(account.as_str())) }
                    td data-label="Posts" { (lane(now, account.as_str(), held.is_some())) }
                    td { (hold(account.as_str(), held.is_some(), visitor)) }
                } } }
            } } }
        }
    }
}

fn lane(now: &Snapshot, account: &str, is_held: bool) -> Markup {
    let lane = now.lanes.get(account);
    let (class, words) = match (is_held, lane.map(|lane| lane.state)) {
        (true, _) => ("doubtful", "on hold"),
        (false, None) => ("well", "nothing posted yet"),
        (false, Some(LaneReadiness::Open)) => ("well", "flow"),
        (false, Some(LaneReadiness::Held)) => ("doubtful", "held by Twilio"),
        (false, Some(LaneReadiness::Paused)) => ("ill", "paused"),
    };
    html! { span class={ "state " (class) } { (words) } }
}

fn hold(account: &str, is_held: bool, visitor: &Visitor) -> Markup {
    let (act, word) = if is_held { ("resume", "Resume") } else { ("pause", "Put on hold") };
    html! {
        form method="post" action=(format!("/accounts/{account}/{act}")) {
            (form_token(visitor))
            button.quiet id=(format!("{act}-{account}")) type="submit" aria-label=(format!("{word}: {account}")) { (word) }
        }
    }
}

/// Its SID, which leads to its life, and what it belongs to.
pub(super) fn message_link(message: &Message) -> Markup {
    let sid = message.sid.as_str();
    html! {
        a href=(format!("/messages/{sid}")) { (short(sid)) }
        @if let Some(reference) = &message.reference { span.reference { (reference.as_str()) } }
    }
}

/// The middle gives way where there is no room; whoever copies it has all of it.
fn short(sid: &str) -> Markup {
    html! { code.sid title=(sid) { (sid) } }
}

fn proof(message: &Message) -> Markup {
    html! { @if let Some(proof) = &message.proof {
        (veiled(&proof.label.replace('_', " "))) " " span.soft { (proof.basis.as_str()) }
    } }
}

fn many(count: u64) -> Markup {
    html! { " " span.count { (format::count(count)) } }
}

fn rest(all: u64, shown: usize) -> Markup {
    let more = all.saturating_sub(shown as u64);
    html! { @if more > 0 { p.note { "And " (format::count(more)) " more." } } }
}
