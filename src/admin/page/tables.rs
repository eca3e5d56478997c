//! The tables of the outbox, the refused messages and the accounts, with the buttons of each row.

use jiff::Timestamp;
use maud::{Markup, html};

use crate::admin::page::auth::Session;
use crate::admin::page::format;
use crate::admin::page::layout::csrf_token_field;
use crate::admin::posting::{NextPost, Posting};
use crate::admin::snapshot::{MAX_SHOWN, Snapshot};
use crate::domain::message::{Message, State};
use crate::domain::redact::redacted;
use crate::telemetry::readiness::LaneReadiness;

/// Confirmed messages that are not reported yet. An outbox column is a `th` here and a `td` in [`outbox_row`].
pub(super) fn outbox(now: &Snapshot) -> Markup {
    let all = now.counts.of(State::Confirmed);
    html! {
        section #outbox aria-labelledby="h-outbox" {
            h2 #h-outbox { "Outbox" (total(all)) }
            @if now.outbox.is_empty() { p.empty { "Nothing waits to be reported." } }
            @else { div.scroll #outbox-scroll tabindex="0" role="region" aria-labelledby="h-outbox" { table.stack {
                thead { tr {
                    th scope="col" { "Message" } th scope="col" { "Proven by" }
                    th scope="col" { "Confirmed" } th scope="col" { "Next attempt" }
                    th.n scope="col" { "Attempts" } th scope="col" { "Last attempt" }
                } }
                tbody { @for message in now.outbox.iter().take(MAX_SHOWN) { (outbox_row(message, now)) } }
            } } }
            (rest(all, now.outbox.len().min(MAX_SHOWN)))
        }
    }
}

fn outbox_row(message: &Message, now: &Snapshot) -> Markup {
    let proof = message.proof.as_ref();
    html! { tr {
        th scope="row" { (message_link(message)) }
        td data-label="Proven by" { @if let Some(proof) = proof {
            (redacted(&proof.label.replace('_', " "))) " " span.soft { (proof.basis.as_str()) }
        } }
        td data-label="Confirmed" { @if let Some(proof) = proof { (format::timestamp(proof.confirmed_at, now.taken_at)) } }
        td data-label="Next attempt" { (next_post(message, &now.posting, now.taken_at)) }
        td.n data-label="Attempts" { (message.posts_made()) }
        td.why data-label="Last attempt" { @match &message.last_attempt {
            Some(attempt) => { (redacted(&attempt.to_string())) " " span.soft { (format::timestamp(attempt.ended_at, now.taken_at)) } }
            None => span.soft { "none yet" },
        } }
    } }
}

/// When a message is posted next, or why it is not posted yet.
pub(super) fn next_post(message: &Message, posting: &Posting, now: Timestamp) -> Markup {
    html! { @match posting.next(message) {
        Some(NextPost::At(due)) if due > now => (format::timestamp(due, now)),
        Some(next) => (next.describe()),
        None => "–",
    } }
}

/// Messages whose feedback Twilio refused.
pub(super) fn refused(now: &Snapshot, session: &Session) -> Markup {
    let all = now.counts.of(State::Refused);
    html! {
        section #refused aria-labelledby="h-refused" {
            h2 #h-refused { "Refused by Twilio" (total(all)) }
            @if now.refused.is_empty() { p.empty { "No confirmation was refused." } }
            @else { div.scroll #refused-scroll tabindex="0" role="region" aria-labelledby="h-refused" { table.stack {
                thead { tr {
                    th scope="col" { "Message" } th scope="col" { "Refused" } th scope="col" { "Why" }
                    th scope="col" { span.unseen { "Try again" } }
                } }
                tbody { @for message in &now.refused { tr {
                    th scope="row" { (message_link(message)) }
                    td data-label="Refused" { (format::timestamp(message.since, now.taken_at)) }
                    td.why data-label="Why" { (refusal(message)) }
                    td { (requeue_button(message, session)) }
                } } }
            } } }
            (rest(all, now.refused.len()))
        }
    }
}

/// Twilio's reason, with a link to its page about the error.
pub(super) fn refusal(message: &Message) -> Markup {
    html! { @if let Some(refusal) = &message.refusal {
        @if let Some(status) = refusal.status { "HTTP " (status) " " }
        @if let Some(code) = refusal.code {
            a href=(format!("https://www.twilio.com/docs/api/errors/{code}")) rel="noreferrer" { "error " (code) } " "
        }
        (redacted(&refusal.message))
    } }
}

pub(super) fn requeue_button(message: &Message, session: &Session) -> Markup {
    let sid = message.sid.as_str();
    html! {
        form method="post" action=(format!("/messages/{sid}/requeue")) {
            (csrf_token_field(session))
            button id=(format!("requeue-{sid}")) type="submit" aria-label=(format!("Requeue {sid}")) { "Requeue" }
        }
    }
}

/// Accounts, the state of their posts, and a button that puts each on hold or resumes it.
pub(super) fn accounts(now: &Snapshot, session: &Session) -> Markup {
    let accounts = now.accounts();
    html! {
        section #accounts aria-labelledby="h-accounts" {
            h2 #h-accounts { "Accounts" }
            p.note { "While an account is on hold, its messages are confirmed and kept, but not reported." }
            @if accounts.is_empty() { p.empty { "No account has any message yet." } }
            @else { div.scroll #accounts-scroll tabindex="0" role="region" aria-labelledby="h-accounts" { table.stack {
                thead { tr {
                    th scope="col" { "Account" } th scope="col" { "Posts" } th scope="col" { span.unseen { "Hold" } }
                } }
                tbody { @for account in &accounts { tr {
                    @let is_held = now.posting.on_hold.contains_key(account);
                    th scope="row" { (short_sid(account.as_str())) }
                    td data-label="Posts" { (posts_state(now, account.as_str(), is_held)) }
                    td { (hold_button(account.as_str(), is_held, session)) }
                } } }
            } } }
        }
    }
}

fn posts_state(now: &Snapshot, account: &str, is_held: bool) -> Markup {
    let lane = now.lanes.get(account);
    let (class, text) = match (is_held, lane.map(|lane| lane.state)) {
        (true, _) => ("warning", "on hold"),
        (false, None) => ("ok", "nothing posted yet"),
        (false, Some(LaneReadiness::Posting)) => ("ok", "flow"),
        (false, Some(LaneReadiness::Throttled)) => ("warning", "throttled"),
        (false, Some(LaneReadiness::Paused)) => ("critical", "paused"),
    };
    html! { span class={ "state " (class) } { (text) } }
}

fn hold_button(account: &str, is_held: bool, session: &Session) -> Markup {
    let (action, label) = if is_held { ("resume", "Resume") } else { ("hold", "Put on hold") };
    html! {
        form method="post" action=(format!("/accounts/{account}/{action}")) {
            (csrf_token_field(session))
            button.quiet id=(format!("{action}-{account}")) type="submit" aria-label=(format!("{label}: {account}")) { (label) }
        }
    }
}

/// A message's SID as a link to its page, and its reference.
fn message_link(message: &Message) -> Markup {
    let sid = message.sid.as_str();
    html! {
        a href=(format!("/messages/{sid}")) { (short_sid(sid)) }
        @if let Some(reference) = &message.reference { span.reference { (reference.as_str()) } }
    }
}

/// A SID that a narrow screen truncates, but a copy contains in full.
fn short_sid(sid: &str) -> Markup {
    html! { code.sid title=(sid) { (sid) } }
}

fn total(count: u64) -> Markup {
    html! { " " span.count { (format::count(count)) } }
}

fn rest(all: u64, shown: usize) -> Markup {
    let more = all.saturating_sub(shown as u64);
    html! { @if more > 0 { p.note { "And " (format::count(more)) " more." } } }
}
