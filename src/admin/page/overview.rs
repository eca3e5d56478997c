//! The first page: is all well, how much came how far, what waits, what was refused.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::admin::page::auth::Visitor;
use crate::admin::page::charts;
use crate::admin::page::charts::Slot;
use crate::admin::page::format;
use crate::admin::page::health;
use crate::admin::page::tables;
use crate::admin::snapshot::Snapshot;
use crate::domain::stats::{BucketCounts, MessageStats, whole_hours};

const HOURS: i64 = 24;
const DAYS: i64 = 14;
/// Today and the six days before.
const WEEK: SignedDuration = SignedDuration::from_hours(6 * 24);
/// Calling codes and senders that are shown.
const ROWS: usize = 15;
const HOUR_SECS: i64 = 3_600;

pub(super) fn overview(now: &Snapshot, visitor: &Visitor) -> Markup {
    let census = &now.census;
    let since = whole_hours(now.at, HOURS);
    let since = format!("since {} yesterday (UTC)", since.strftime("%H:%M"));
    let day = slots(census, now.at, HOURS, HOUR_SECS, "%H:%M");
    let fortnight = slots(census, now.at, DAYS, HOURS * HOUR_SECS, "%-d %b");
    let today = day.iter().fold(BucketCounts::default(), |all, slot| all + slot.tally);
    html! {
        (health::health(now))
        section aria-labelledby="h-funnel" {
            h2 #h-funnel { "Sent " (since) }
            (funnel(&today))
        }
        div.pair {
            section aria-labelledby="h-hours" {
                h2 #h-hours { "Conversion by hour" }
                (charts::over_time("hours", &format!("Conversion, by hour of sending, {since}"), &day))
            }
            section aria-labelledby="h-days" {
                h2 #h-days { "Conversion by day" }
                (charts::over_time("days", "Conversion, by day of sending, in the last 14 days", &fortnight))
            }
        }
        (tables::outbox(now))
        (tables::refused(now, visitor))
        div.pair {
            section aria-labelledby="h-waits" {
                h2 #h-waits { "Time to confirm" }
                p.note { "Of messages sent " (since) "." }
                (charts::waits(&today))
            }
            div {
                section aria-labelledby="h-codes" {
                    h2 #h-codes { "By calling code" }
                    p.note { "Today and the six days before. Sends up and confirmations flat: a route that died, or pumping." }
                    (by_calling_code(census, now.at))
                }
                section aria-labelledby="h-senders" {
                    h2 #h-senders { "By sender" }
                    p.note { "Today and the six days before." }
                    (by_sender(census, now.at))
                }
            }
        }
        (tables::accounts(now, visitor))
    }
}

fn funnel(tally: &BucketCounts) -> Markup {
    let steps = [
        ("remembered", tally.sent, tally.sent, "sent"),
        ("confirmed", tally.confirmed, tally.sent, "confirmed"),
        ("reported", tally.reported, tally.confirmed, "reported"),
    ];
    html! {
        ol.funnel { @for (name, count, of, class) in steps { li {
            span.big { (format::count(count)) }
            span { (name) @if name != "remembered" { " " b { (format::share(format::part(count, of))) } } }
            (charts::bar(format::part(count, tally.sent), class))
        } } }
        p.note {
            "Counted by when a message was sent, with feedback asked for. Of these, "
            (format::count(tally.undelivered)) " undelivered and " (format::count(tally.refused)) " refused by Twilio."
        }
    }
}

/// The last so many spans, this one included.
fn slots(census: &MessageStats, now: Timestamp, many: i64, span: i64, format: &str) -> Vec<Slot> {
    let this = now.as_second().div_euclid(span);
    let begins = |slot: i64| Timestamp::from_second(slot * span).unwrap_or_default();
    let slot = |slot: i64| Slot {
        label: begins(slot).strftime(format).to_string(),
        // To the second before the next one begins: an hour that begins in it is in it.
        tally: census.created(begins(slot), begins(slot + 1) - SignedDuration::from_secs(1)),
    };
    (this - many + 1..=this).map(slot).collect()
}

fn by_calling_code(census: &MessageStats, now: Timestamp) -> Markup {
    let today = census.by_calling_code(now);
    let week = census.by_calling_code(now - WEEK);
    let rows = week.into_iter().map(|(code, tally)| {
        let name = code.map_or_else(|| "unknown".to_owned(), |code| format!("+{code}"));
        (name, tally, today.get(&code).copied().unwrap_or_default())
    });
    compared("Calling code", rows.collect())
}

fn by_sender(census: &MessageStats, now: Timestamp) -> Markup {
    let today = census.by_sender(now);
    let week = census.by_sender(now - WEEK);
    let rows = week.into_iter().map(|(sender, tally)| {
        (sender.to_owned(), tally, today.get(sender).copied().unwrap_or_default())
    });
    compared("Sender", rows.collect())
}

/// Each with the week's conversion, and today's beside it; the busiest first.
fn compared(what: &str, mut rows: Vec<(String, BucketCounts, BucketCounts)>) -> Markup {
    rows.sort_by_key(|(_, week, _)| std::cmp::Reverse(week.sent));
    let more = rows.len().saturating_sub(ROWS);
    html! {
        @if rows.is_empty() { p.empty { "Nothing was sent." } }
        @else {
            div.scroll id=(format!("by-{}", what.to_lowercase().replace(' ', "-"))) tabindex="0" role="region"
                aria-label=(format!("By {}", what.to_lowercase())) {
                table.bars {
                    thead { tr {
                        th scope="col" { (what) } th.n scope="col" { "Sent" }
                        th scope="col" colspan="2" { "Conversion" } th.n scope="col" { "Today" }
                    } }
                    tbody { @for (name, week, today) in rows.iter().take(ROWS) { tr {
                        th scope="row" title=(name) { (name) }
                        td.n { (format::count(week.sent)) }
                        td.wide { (charts::bar(week.conversion(), "confirmed")) }
                        td.n { (format::share(week.conversion())) }
                        td.n { (format::share(today.conversion())) }
                    } } }
                }
            }
            @if more > 0 { p.note { "And " (more) " more." } }
        }
    }
}
