//! The overview: health, traffic, outbox, refused messages and accounts.

use jiff::{SignedDuration, Timestamp};
use maud::{Markup, html};

use crate::admin::page::auth::Session;
use crate::admin::page::charts;
use crate::admin::page::charts::Period;
use crate::admin::page::format;
use crate::admin::page::health::health;
use crate::admin::page::tables;
use crate::admin::snapshot::Snapshot;
use crate::admin::stats::{ConversionRow, by_calling_code, by_sender};
use crate::domain::stats::{BucketCounts, MessageStats, whole_hours};

const HOURS: i64 = 24;
const DAYS: i64 = 14;
/// Today and the six days before.
const WEEK: SignedDuration = SignedDuration::from_hours(6 * 24);
/// The most calling codes and senders in a table.
const MAX_ROWS: usize = 15;
const HOUR_SECS: i64 = 3_600;

pub(super) fn overview(now: &Snapshot, session: &Session) -> Markup {
    let stats = &now.stats;
    let since = whole_hours(now.taken_at, HOURS);
    let since = format!("since {} yesterday (UTC)", since.strftime("%H:%M"));
    let day = periods(stats, now.taken_at, HOURS, HOUR_SECS, "%H:%M");
    let fortnight = periods(stats, now.taken_at, DAYS, HOURS * HOUR_SECS, "%-d %b");
    let today = day.iter().fold(BucketCounts::default(), |all, period| all + period.tally);
    let week = now.taken_at - WEEK;
    html! {
        (health(now))
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
        (tables::refused(now, session))
        div.pair {
            section aria-labelledby="h-waits" {
                h2 #h-waits { "Time to confirm" }
                p.note { "Of messages sent " (since) "." }
                (charts::waits(&today))
            }
            div {
                section aria-labelledby="h-codes" {
                    h2 #h-codes { "By calling code" }
                    p.note { "Today and the six days before. More sends without more confirmations: a broken route, or traffic pumping." }
                    (conversion("Calling code", &by_calling_code(stats, week), &by_calling_code(stats, now.taken_at)))
                }
                section aria-labelledby="h-senders" {
                    h2 #h-senders { "By sender" }
                    p.note { "Today and the six days before." }
                    (conversion("Sender", &by_sender(stats, week), &by_sender(stats, now.taken_at)))
                }
            }
        }
        (tables::accounts(now, session))
    }
}

fn funnel(tally: &BucketCounts) -> Markup {
    let steps = [
        ("sent", tally.sent, tally.sent, "sent"),
        ("confirmed", tally.confirmed, tally.sent, "confirmed"),
        ("reported", tally.reported, tally.confirmed, "reported"),
    ];
    html! {
        ol.funnel { @for (name, count, of, class) in steps { li {
            span.big { (format::count(count)) }
            span { (name) @if name != "sent" { " " b { (format::share(format::part(count, of))) } } }
            (charts::bar(format::part(count, tally.sent), class))
        } } }
        p.note {
            "Messages with feedback requested, by the time of sending. Of these, "
            (format::count(tally.undelivered)) " undelivered and " (format::count(tally.refused)) " refused by Twilio."
        }
    }
}

/// The last `number` spans of `span` seconds, the present one included.
fn periods(
    stats: &MessageStats,
    now: Timestamp,
    number: i64,
    span: i64,
    format: &str,
) -> Vec<Period> {
    let present = now.as_second().div_euclid(span);
    let begin = |period: i64| Timestamp::from_second(period * span).unwrap_or_default();
    let period = |period: i64| Period {
        label: begin(period).strftime(format).to_string(),
        // `created` includes the bucket of its end, so a period ends a second before the next.
        tally: stats.created(begin(period), begin(period + 1) - SignedDuration::from_secs(1)),
    };
    (present - number + 1..=present).map(period).collect()
}

/// The conversion of the week and of today by name, the most sent first.
fn conversion(title: &str, week: &[ConversionRow], today: &[ConversionRow]) -> Markup {
    let today_of = |name: &str| today.iter().find(|row| row.label == name)?.conversion;
    let more = week.len().saturating_sub(MAX_ROWS);
    let (name, id) = (title.to_lowercase(), title.to_lowercase().replace(' ', "-"));
    html! {
        @if week.is_empty() { p.empty { "Nothing was sent." } }
        @else {
            div.scroll id=(format!("by-{id}")) tabindex="0" role="region" aria-label=(format!("By {name}")) {
                table.bars {
                    thead { tr {
                        th scope="col" { (title) } th.n scope="col" { "Sent" }
                        th scope="col" colspan="2" { "Conversion" } th.n scope="col" { "Today" }
                    } }
                    tbody { @for row in week.iter().take(MAX_ROWS) { tr {
                        th scope="row" title=(row.label) { (row.label) }
                        td.n { (format::count(row.counts.sent)) }
                        td.wide { (charts::bar(row.conversion, "confirmed")) }
                        td.n { (format::share(row.conversion)) }
                        td.n { (format::share(today_of(&row.label))) }
                    } } }
                }
            }
            @if more > 0 { p.note { "And " (more) " more." } }
        }
    }
}
