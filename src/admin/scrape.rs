//! Reads the gauges of a scrape of `/metrics`: counts, ages, conversion, holds, the disk.
//!
//! Only counts in memory are read, no records. No label has a recipient or a whole number or SID. If the store does not
//! answer in time, the scrape omits its gauges.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use jiff::Timestamp;
use tokio::time::timeout;

use crate::domain::message::State;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{BucketCounts, MessageStats, StatusBucket, WAIT_BOUNDS};
use crate::store::{Clock, PoolFigures, Store, StoreError};
use crate::telemetry::store_gauges::{
    Amounts, Conversion, Disk, PoolGauges, StoreFigures, StoreGauges,
};

/// Prometheus waits 10 s for a scrape by default, and a commit may take that long.
pub(super) const STORE_TIMEOUT: Duration = Duration::from_secs(3);
/// The records whose greatest age is a gauge.
const AGED: [(&str, StatusBucket); 5] = [
    ("pending", StatusBucket::Message(State::Pending)),
    ("parked", StatusBucket::Parked),
    ("outbox", StatusBucket::Message(State::Confirmed)),
    ("refused", StatusBucket::Message(State::Refused)),
    ("orphaned", StatusBucket::Orphaned),
];
/// Twilio's alphanumeric senders have eleven characters, RCS agents more.
const LONGEST_SENDER: usize = 40;
/// The fewest digits of a phone number. A short code has at most six.
const PHONE_DIGITS: usize = 7;
/// Two letters and thirty-two hexadecimal digits.
const SID_LENGTH: usize = 34;
/// The last characters of a number or a SID that a label shows.
const SHOWN_CHARS: usize = 4;

/// Reads the size of the store and the free space of its disk. May block on the file system.
pub type ReadDisk = Arc<dyn Fn() -> io::Result<Disk> + Send + Sync>;

/// The present gauges.
pub async fn read_gauges(store: &Arc<dyn Store>, clock: &Clock, disk: &ReadDisk) -> StoreGauges {
    // One after the other, so that a scrape takes one place in the queue of the writer.
    let queries = async {
        let (stats, on_hold) = (store.stats().await?, store.on_hold().await?);
        Ok((stats, on_hold, store.evictable().await?))
    };
    let figures = in_time(queries)
        .await
        .map(|(stats, on_hold, evictable)| store_figures(&stats, &on_hold, evictable, clock()))
        .inspect_err(|error| {
            tracing::warn!(%error, "/metrics: store unavailable: {error}; its gauges are omitted");
        })
        .ok();
    let disk = Arc::clone(disk);
    let disk = web::block(move || disk()).await.ok().and_then(Result::ok);
    let counts = store.counts();
    let amounts = Amounts {
        messages: State::ALL.map(|state| (state.as_str(), counts.of(state))).to_vec(),
        parked: counts.parked,
        parked_used: used(counts.parked_fullest, counts.parked_share),
        orphaned: counts.orphaned,
        outbox: counts.of(State::Confirmed),
        links: counts.links,
        queued: store.queued() as u64,
    };
    let clock_jump = store.clock_guard().jump().map_or(0, |jump| jump.ahead.as_secs());
    let pool = store.pool().map(pool_figures);
    StoreGauges { amounts, clock_jump, figures, disk, pool }
}

fn pool_figures(figures: PoolFigures) -> PoolGauges {
    PoolGauges {
        connections: [("in_use", figures.in_use), ("idle", figures.idle)],
        limit: figures.limit,
        acquired: figures.acquired,
        acquire_wait: figures.acquire_wait,
        lock_wait: figures.lock_wait,
        transactions: vec![
            ("committed", figures.committed),
            ("unchanged", figures.unchanged),
            ("conflict", figures.conflicts),
            ("failed", figures.failed),
        ],
    }
}

/// The result of a query of the store, or an error if the store does not answer in time.
pub(super) async fn in_time<T>(
    query: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, String> {
    match timeout(STORE_TIMEOUT, query).await {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("no answer within {} s", STORE_TIMEOUT.as_secs())),
    }
}

/// The used part of a share.
#[expect(clippy::cast_precision_loss, reason = "a ratio for a graph")]
fn used(count: u64, share: u64) -> f64 {
    count as f64 / share.max(1) as f64
}

fn store_figures(
    stats: &MessageStats,
    on_hold: &BTreeMap<AccountSid, Timestamp>,
    evictable: u64,
    now: Timestamp,
) -> StoreFigures {
    let age = |since: Option<&Timestamp>| {
        since
            .and_then(|since| Duration::try_from(now.duration_since(*since)).ok())
            .unwrap_or_default()
    };
    let oldest = AGED.map(|(name, bucket)| (name, age(stats.oldest(bucket).as_ref())));
    // Accounts that are not on hold have the value 0, so that a hold is visible as a change.
    let known = stats.accounts().map(|account| (account, age(on_hold.get(&account))));
    let held = on_hold.iter().map(|(account, since)| (*account, age(Some(since))));
    let by_account: BTreeMap<_, _> = known.chain(held).collect();
    StoreFigures {
        oldest: oldest.to_vec(),
        on_hold: by_account.into_iter().map(|(account, age)| (account.to_string(), age)).collect(),
        conversion: conversion(stats),
        wait_bounds: &WAIT_BOUNDS,
        evictable,
    }
}

/// Conversion by labels. Senders with equal labels are added up, because a series occurs once.
fn conversion(stats: &MessageStats) -> Vec<Conversion> {
    let mut by_labels = BTreeMap::<(String, String), BucketCounts>::new();
    for (code, sender, tally) in stats.since_start() {
        *by_labels.entry((code_label(code), sender_label(sender))).or_default() += *tally;
    }
    let rows = by_labels.into_iter().map(|((calling_code, sender), tally)| Conversion {
        calling_code,
        sender,
        messages: tally.sent,
        undelivered: tally.undelivered,
        confirmed: tally.confirmed,
        waits: tally.waits.to_vec(),
        waited: Duration::from_millis(tally.waited_ms),
    });
    rows.collect()
}

/// A calling code as a label.
pub(super) fn code_label(code: Option<u16>) -> String {
    code.map_or_else(|| "unknown".to_owned(), |code| code.to_string())
}

/// The label of a sender: a name or a short code in full; of a number or a SID only the kind and the end.
pub(super) fn sender_label(sender: &str) -> String {
    let (channel, name) = sender.split_once(':').unwrap_or(("", sender));
    let escaped = |text: &str| {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "+-.&()".contains(c) { c } else { '_' };
        text.chars().map(plain).take(LONGEST_SENDER).collect::<String>()
    };
    let colon = if sender.contains(':') { ":" } else { "" };
    let is_sid = name.len() == SID_LENGTH && name.chars().all(|c| c.is_ascii_alphanumeric());
    let digits = name.chars().filter(char::is_ascii_digit).count();
    if !is_sid && digits < PHONE_DIGITS {
        return format!("{}{colon}{}", escaped(channel), escaped(name));
    }
    let kind = name.get(..2).filter(|_| is_sid).unwrap_or_default();
    let mut tail: Vec<_> =
        name.chars().rev().filter(char::is_ascii_alphanumeric).take(SHOWN_CHARS).collect();
    tail.reverse();
    format!("{}{colon}{kind}*{}", escaped(channel), tail.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_of_a_sender_has_at_most_the_end_of_a_number() {
        for (sender, label) in [
            ("+15017122661", "*2661"),
            ("whatsapp:+15017122661", "whatsapp:*2661"),
            ("+1 (501) 712-2661", "*2661"),
            ("messenger:1234567890", "messenger:*7890"),
            ("MG0123456789abcdef0123456789abcdef", "MG*cdef"),
            ("MGabcdefabcdefabcdefabcdefabcdefab", "MG*efab"),
            ("ACME", "ACME"),
            ("Acme & Co", "Acme_&_Co"),
            ("12345", "12345"),
            ("rcs:acme_agent", "rcs:acme_agent"),
            ("a\"b\nc\\d", "a_b_c_d"),
            ("(unknown)", "(unknown)"),
            ("(other)", "(other)"),
            ("", ""),
        ] {
            assert_eq!(sender_label(sender), label, "{sender}");
        }
        assert!(sender_label(&"x".repeat(999)).len() <= LONGEST_SENDER);
    }
}
