//! Taking stock for a scrape: the store's counts, its census, accounts on hold, the disk.
//!
//! Reads no record: the census is a copy of what is kept up in memory. No label holds anybody's number or SID: of a
//! sender, which is the company's own, the end is told. A store that does not answer holds up no scrape for
//! longer than `PATIENCE`, and what it would have said is left out.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::web;
use jiff::Timestamp;

use crate::domain::message::State;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{BucketCounts, MessageStats, StatusBucket, WAIT_BOUNDS};
use crate::store::{Clock, Store, StoreError};
use crate::telemetry::store_gauges::{Amounts, Conversion, Disk, StoreFigures, StoreGauges};

/// A scrape has ten seconds by default, and a commit may take as long.
const PATIENCE: Duration = Duration::from_secs(3);
/// What can grow old unseen.
const WATCHED: [(&str, StatusBucket); 5] = [
    ("pending", StatusBucket::Message(State::Pending)),
    ("parked", StatusBucket::Parked),
    ("outbox", StatusBucket::Message(State::Confirmed)),
    ("refused", StatusBucket::Message(State::Refused)),
    ("orphaned", StatusBucket::Orphaned),
];
/// Where nobody said which.
const UNKNOWN: &str = "unknown";
/// Twilio's alphanumeric senders have eleven characters, RCS agents more.
const LONGEST_SENDER: usize = 40;
/// So many digits may be a phone number; a short code has up to six.
const PHONE_DIGITS: usize = 7;
/// Two letters and thirty-two hexadecimal digits.
const SID_LENGTH: usize = 34;
/// So much of a number is told.
const TAIL: usize = 4;

/// Asks how much room the store takes up, and how much is left. May wait for the file system.
pub type ReadDisk = Arc<dyn Fn() -> io::Result<Disk> + Send + Sync>;

/// What there is now.
pub async fn read_gauges(store: &Arc<dyn Store>, clock: &Clock, disk: &ReadDisk) -> StoreGauges {
    let asked = async {
        let census = store.census().await?;
        Ok::<_, StoreError>((census, store.paused().await?, store.evictable().await?))
    };
    let told = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok((census, on_hold, evictable))) => {
            Some(StoreFigures { evictable, ..store_figures(&census, &on_hold, clock()) })
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the store did not answer a scrape");
            None
        }
        Err(_) => {
            tracing::warn!("the store did not answer a scrape within {PATIENCE:?}");
            None
        }
    };
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
    StoreGauges { amounts, clock_jump, told, disk }
}

/// The used part of a share.
#[expect(clippy::cast_precision_loss, reason = "a ratio for a graph")]
fn used(count: u64, share: u64) -> f64 {
    count as f64 / share.max(1) as f64
}

fn store_figures(
    census: &MessageStats,
    on_hold: &BTreeMap<AccountSid, Timestamp>,
    now: Timestamp,
) -> StoreFigures {
    let age = |since: Option<&Timestamp>| {
        since
            .and_then(|since| Duration::try_from(now.duration_since(*since)).ok())
            .unwrap_or_default()
    };
    let oldest = WATCHED.map(|(what, standing)| (what, age(census.oldest(standing).as_ref())));
    // An account is told of before it is on hold, so that it can be seen to come and go.
    let known = census.accounts().map(|account| (account, age(on_hold.get(&account))));
    let held = on_hold.iter().map(|(account, since)| (*account, age(Some(since))));
    let by_account: BTreeMap<_, _> = known.chain(held).collect();
    StoreFigures {
        oldest: oldest.to_vec(),
        on_hold: by_account.into_iter().map(|(who, age)| (who.to_string(), age)).collect(),
        conversion: conversion(census),
        wait_bounds: &WAIT_BOUNDS,
        ..StoreFigures::default()
    }
}

/// Senders that end alike are told together: two rows of one name would be none.
fn conversion(census: &MessageStats) -> Vec<Conversion> {
    let mut by_labels = BTreeMap::<(String, String), BucketCounts>::new();
    for (code, sender, tally) in census.since_start() {
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
    code.map_or_else(|| UNKNOWN.to_owned(), |code| code.to_string())
}

/// A name or a short code as it is; of a number or a SID its channel or kind, and its end.
pub(super) fn sender_label(sender: &str) -> String {
    let (channel, name) = sender.split_once(':').unwrap_or(("", sender));
    let told = |text: &str| {
        let plain =
            |c: char| if c.is_ascii_alphanumeric() || "+-.&()".contains(c) { c } else { '_' };
        text.chars().map(plain).take(LONGEST_SENDER).collect::<String>()
    };
    let colon = if sender.contains(':') { ":" } else { "" };
    let is_sid = name.len() == SID_LENGTH && name.chars().all(|c| c.is_ascii_alphanumeric());
    let digits = name.chars().filter(char::is_ascii_digit).count();
    if !is_sid && digits < PHONE_DIGITS {
        return format!("{}{colon}{}", told(channel), told(name));
    }
    let kind = name.get(..2).filter(|_| is_sid).unwrap_or_default();
    let mut tail: Vec<_> =
        name.chars().rev().filter(char::is_ascii_alphanumeric).take(TAIL).collect();
    tail.reverse();
    format!("{}{colon}{kind}*{}", told(channel), tail.into_iter().collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_told_without_its_number() {
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
