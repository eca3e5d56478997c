//! The gauges that are read at each scrape, as `OpenMetrics`: the records of the store and their age, accounts on hold,
//! the disk, the pool of connections, and conversion.
//!
//! `scrape.rs` reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, MetricEncoder,
    NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

use crate::admin::labels::{code_label, sender_label};
use crate::domain::message::State;
use crate::domain::sid::AccountSid;
use crate::domain::stats::{BucketCounts, MessageStats, StatusBucket, WAIT_BOUNDS};
use crate::store::sled::Usage;
use crate::store::{PoolFigures, RecordCounts};

/// The records whose greatest age is a gauge.
const AGED: [(&str, StatusBucket); 5] = [
    ("pending", StatusBucket::Message(State::Pending)),
    ("parked", StatusBucket::Parked),
    ("outbox", StatusBucket::Message(State::Confirmed)),
    ("refused", StatusBucket::Message(State::Refused)),
    ("orphaned", StatusBucket::Orphaned),
];

/// The figures of one scrape. A figure that cannot be read is left out.
#[derive(Debug, Default)]
pub struct StoreGauges {
    pub counts: RecordCounts,
    /// Commands in the queue of the store's writer.
    pub queued: usize,
    /// How far the wall clock is ahead of the expected time, in seconds; 0 without a jump.
    pub clock_jump: i64,
    /// `None` if the store does not answer.
    pub answer: Option<StoreAnswer>,
    /// `None` if the file system does not answer.
    pub disk: Option<Usage>,
    /// `None`: the store has no database server.
    pub pool: Option<PoolFigures>,
}

/// The answer of the store to the queries of a scrape.
#[derive(Debug)]
pub struct StoreAnswer {
    pub stats: MessageStats,
    /// The beginning of each hold.
    pub on_hold: BTreeMap<AccountSid, Timestamp>,
    pub evictable: u64,
    pub at: Timestamp,
}

impl Collector for StoreGauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut page = GaugeRows(encoder);
        counts(&mut page, &self.counts)?;
        let help = "Commands in the queue of the store's writer; at 1024, further ones get 503";
        page.level("store_queue", help, None, self.queued as u64)?;
        let help =
            "How far the wall clock jumped ahead, negative: back; 0 once a second source agrees";
        page.level("clock_jump", help, Some(&Unit::Seconds), self.clock_jump)?;
        let help = "1 if the store answered this scrape, else 0";
        page.level("store_up", help, None, u64::from(self.answer.is_some()))?;
        if let Some(disk) = self.disk {
            let help = "The size of the store on its disk";
            page.level("store", help, Some(&Unit::Bytes), disk.used)?;
            let help = "Free space on the store's disk; below 128 MiB nothing new is accepted";
            page.level("store_free", help, Some(&Unit::Bytes), disk.free)?;
        }
        if let Some(pool) = &self.pool {
            connections(&mut page, pool)?;
        }
        let Some(answer) = &self.answer else { return Ok(()) };
        ages(&mut page, answer)?;
        let help = "Messages that could be evicted to make room for new ones";
        page.level("messages_evictable", help, None, answer.evictable)?;
        conversion(&mut page, &answer.stats)?;
        time_to_confirm(&mut page, &answer.stats)
    }
}

fn counts(page: &mut GaugeRows<'_>, counts: &RecordCounts) -> fmt::Result {
    let states = State::ALL.map(|state| ([("state", state.as_str())], counts.of(state)));
    page.levels("messages", "Messages known, by state", None, states.into_iter())?;
    let help = "Evidence whose message is not known yet";
    page.level("parked", help, None, counts.parked)?;
    let help = "Parked evidence of the account closest to its share of HEARDBACK_MAX_PARKED, over that share";
    page.level("parked_used_ratio", help, None, used(counts.parked_fullest, counts.parked_share))?;
    page.level("orphaned", "Evidence whose message never became known", None, counts.orphaned)?;
    let help = "Confirmations that Twilio has not yet accepted";
    page.level("outbox", help, None, counts.of(State::Confirmed))?;
    page.level("links", "Click links kept", None, counts.links)
}

/// The used part of a share.
#[expect(clippy::cast_precision_loss, reason = "a ratio for a graph")]
fn used(count: u64, share: u64) -> f64 {
    count as f64 / share.max(1) as f64
}

/// The figures of this receiver, not of the whole store.
fn connections(page: &mut GaugeRows<'_>, pool: &PoolFigures) -> fmt::Result {
    let states = [("in_use", pool.in_use), ("idle", pool.idle)];
    let states = states.into_iter().map(|(state, count)| ([("state", state)], count));
    page.levels("store_pool_connections", "Connections to the database, by state", None, states)?;
    let help = "The most connections to the database (HEARDBACK_STORE_CONNECTIONS)";
    page.level("store_pool_limit", help, None, pool.limit)?;
    let help = "Connections taken from the pool, one for each run of a transaction";
    page.counter("store_pool_acquired", help, None, pool.acquired)?;
    let help = "Time that transactions waited for a connection";
    let wait = pool.acquire_wait.as_secs_f64();
    page.counter("store_pool_wait", help, Some(&Unit::Seconds), wait)?;
    let help = "Time that transactions took to get their locks";
    let wait = pool.lock_wait.as_secs_f64();
    page.counter("store_lock_wait", help, Some(&Unit::Seconds), wait)?;
    let help = "Runs of transactions, by their end; a conflict is run again";
    let ends = [
        ("committed", pool.committed),
        ("unchanged", pool.unchanged),
        ("conflict", pool.conflicts),
        ("failed", pool.failed),
    ];
    let ends = ends.into_iter().map(|(end, count)| ([("outcome", end)], count));
    page.counters("store_transactions", help, ends)
}

fn ages(page: &mut GaugeRows<'_>, answer: &StoreAnswer) -> fmt::Result {
    let StoreAnswer { stats, on_hold, at, .. } = answer;
    let age = |since: Option<Timestamp>| {
        let age = since.and_then(|since| Duration::try_from(at.duration_since(since)).ok());
        age.unwrap_or_default().as_secs_f64()
    };
    let help = "Age of the oldest record of each kind; 0 if there is none";
    let oldest = AGED.map(|(what, bucket)| ([("what", what)], age(stats.oldest(bucket))));
    page.levels("oldest", help, Some(&Unit::Seconds), oldest.into_iter())?;
    // Accounts that are not on hold have the value 0, so that a hold is visible as a change.
    let accounts: BTreeSet<_> = stats.accounts().chain(on_hold.keys().copied()).collect();
    let help = "Time since the operator put an account on hold; 0 if it is not";
    let rows = accounts
        .iter()
        .map(|account| ([("account", account.as_str())], age(on_hold.get(account).copied())));
    page.levels("lane_on_hold", help, Some(&Unit::Seconds), rows)
}

type Count = fn(&BucketCounts) -> u64;

/// Each pair of labels is in all three metrics, so that a share can be computed of any of them. Senders with equal labels
/// are added up, because a series occurs once.
fn conversion(page: &mut GaugeRows<'_>, stats: &MessageStats) -> fmt::Result {
    let mut by_labels = BTreeMap::<(String, String), BucketCounts>::new();
    for (code, sender, counts) in stats.since_start() {
        *by_labels.entry((code_label(code), sender_label(sender))).or_default() += *counts;
    }
    let metrics: [(_, _, Count); 3] = [
        ("conversion_messages", "Messages sent with requested feedback", |counts| counts.sent),
        (
            "conversion_undelivered",
            "Messages with requested feedback that the carrier reported as not delivered",
            |counts| counts.undelivered,
        ),
        ("conversion_confirmed", "Messages with requested feedback that are confirmed", |counts| {
            counts.confirmed
        }),
    ];
    for (name, help, of) in metrics {
        let rows = by_labels.iter().map(|((code, sender), counts)| {
            ([("calling_code", code.as_str()), ("sender", sender.as_str())], of(counts))
        });
        page.counters(name, &format!("{help}, since the start, by calling code and sender"), rows)?;
    }
    Ok(())
}

/// By calling code only: with senders there would be a dozen series for each pair.
fn time_to_confirm(page: &mut GaugeRows<'_>, stats: &MessageStats) -> fmt::Result {
    let mut by_code = BTreeMap::<String, BucketCounts>::new();
    for (code, _, counts) in stats.since_start() {
        *by_code.entry(code_label(code)).or_default() += *counts;
    }
    let bounds = WAIT_BOUNDS.map(|bound| Duration::from_secs(bound).as_secs_f64());
    let rows = by_code.iter().map(|(code, counts)| ([("calling_code", code.as_str())], counts));
    let (name, unit) = ("time_to_confirm", Some(&Unit::Seconds));
    let help = "Time from a message's creation to its confirmation, by calling code";
    page.rows(name, help, unit, MetricType::Histogram, rows, |mut to, counts| {
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        let buckets: Vec<_> = bounds.zip(counts.waits).collect();
        let waited = Duration::from_millis(counts.waited_ms).as_secs_f64();
        to.encode_histogram::<NoLabelSet>(waited, counts.waits.iter().sum(), &buckets, None)
    })
}

/// Renders rows. A family without a row is left out.
struct GaugeRows<'a>(DescriptorEncoder<'a>);

impl GaugeRows<'_> {
    fn level<V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: V,
    ) -> fmt::Result {
        // The registry ends the help of its own metrics with a full stop.
        let help = format!("{help}.");
        self.0.encode_descriptor(name, &help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn counter<V: EncodeCounterValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: V,
    ) -> fmt::Result {
        let help = format!("{help}.");
        let mut family = self.0.encode_descriptor(name, &help, unit, MetricType::Counter)?;
        family.encode_counter(&value, None::<&Exemplar<NoLabelSet, f64>>)
    }

    fn counters<L: EncodeLabelSet>(
        &mut self,
        name: &str,
        help: &str,
        rows: impl Iterator<Item = (L, u64)>,
    ) -> fmt::Result {
        self.rows(name, help, None, MetricType::Counter, rows, |mut to, count| {
            to.encode_counter(&count, None::<&Exemplar<NoLabelSet, f64>>)
        })
    }

    fn levels<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        rows: impl Iterator<Item = (L, V)>,
    ) -> fmt::Result {
        self.rows(name, help, unit, MetricType::Gauge, rows, |mut to, value| {
            to.encode_gauge(&value)
        })
    }

    fn rows<L: EncodeLabelSet, V>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        rows: impl Iterator<Item = (L, V)>,
        write: impl Fn(MetricEncoder<'_>, V) -> fmt::Result,
    ) -> fmt::Result {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return Ok(());
        }
        let help = format!("{help}.");
        let mut family = self.0.encode_descriptor(name, &help, unit, kind)?;
        for (labels, value) in rows {
            write(family.encode_family(&labels)?, value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::{Address, RecipientHashKey};
    use crate::domain::message::{Basis, Message, Proof};
    use crate::domain::stats::CountedRecord;
    use crate::telemetry::metrics::Metrics;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    /// A message that was created at 0, and is proven after these seconds or undelivered.
    fn record(to: &str, from: &str, proven_after: Option<i64>) -> CountedRecord {
        let state = if proven_after.is_some() { State::Confirmed } else { State::Undelivered };
        let mut message = Message::example(state, at(0));
        let to = Address::parse_recipient(to).expect("an address");
        message.recipient = Some(RecipientHashKey::new(b"a key").recipient(message.account, &to));
        message.from = Some(from.to_owned());
        message.proof = proven_after.map(|wait| Proof {
            label: "reply".to_owned(),
            basis: Basis::Direct,
            occurred_at: at(wait),
            confirmed_at: at(0),
        });
        CountedRecord::of_message(&message)
    }

    fn gauges() -> StoreGauges {
        let mut stats = MessageStats::default();
        for (to, from, proven_after) in [
            ("+4915112345678", "+15017122661", Some(1)),
            ("+4915112345678", "+4930122661", Some(6)),
            ("+4915112345678", "ACME", Some(30_000)),
            ("+4915112345678", "ACME", None),
            ("+15551234567", "+15017122661", None),
        ] {
            stats.update(None, Some(&record(to, from, proven_after)));
        }
        let mut counts = RecordCounts {
            parked: 4,
            orphaned: 7,
            links: 6,
            parked_fullest: 2,
            parked_share: 4,
            ..RecordCounts::default()
        };
        for state in [State::Pending, State::Confirmed, State::Confirmed] {
            counts.move_message(None, Some(state));
        }
        let on_hold = stats.accounts().map(|account| (account, at(30))).collect();
        let answer = Some(StoreAnswer { stats, on_hold, evictable: 8, at: at(90) });
        let disk = Some(Usage { used: 1_024, free: 4_096 });
        StoreGauges { counts, queued: 3, clock_jump: -7, answer, disk, pool: None }
    }

    #[test]
    fn each_figure_of_the_store_is_exposed_under_its_name_with_one_suffix() {
        let text = Metrics::new().render_with(Box::new(gauges()));
        for line in [
            "heardback_messages{state=\"pending\"} 1",
            "heardback_messages{state=\"confirmed\"} 2",
            "heardback_parked 4",
            "heardback_orphaned 7",
            "heardback_parked_used_ratio 0.5",
            "heardback_messages_evictable 8",
            "heardback_store_queue 3",
            "heardback_clock_jump_seconds -7",
            "heardback_outbox 2",
            "heardback_links 6",
            "heardback_oldest_seconds{what=\"outbox\"} 90.0",
            "heardback_oldest_seconds{what=\"parked\"} 0.0",
            "heardback_lane_on_hold_seconds{account=\"AC0123456789abcdef0123456789abcdef\"} 60.0",
            "heardback_store_up 1",
            "heardback_store_bytes 1024",
            "heardback_store_free_bytes 4096",
            "heardback_conversion_messages_total{calling_code=\"49\",sender=\"ACME\"} 2",
            "heardback_conversion_undelivered_total{calling_code=\"49\",sender=\"ACME\"} 1",
            "heardback_conversion_confirmed_total{calling_code=\"49\",sender=\"*2661\"} 2",
            "heardback_conversion_confirmed_total{calling_code=\"1\",sender=\"*2661\"} 0",
            "heardback_time_to_confirm_seconds_bucket{le=\"5.0\",calling_code=\"49\"} 1",
            "heardback_time_to_confirm_seconds_bucket{le=\"60.0\",calling_code=\"49\"} 2",
            "heardback_time_to_confirm_seconds_bucket{le=\"+Inf\",calling_code=\"49\"} 3",
            "heardback_time_to_confirm_seconds_count{calling_code=\"49\"} 3",
            "heardback_time_to_confirm_seconds_sum{calling_code=\"49\"} 30007.0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds"), "{text}");
        assert!(!text.contains("_bytes_bytes"), "{text}");
    }

    #[test]
    fn without_an_answer_of_the_store_and_the_disk_their_figures_are_left_out() {
        let gauges = StoreGauges { answer: None, disk: None, ..gauges() };
        let text = Metrics::new().render_with(Box::new(gauges));
        assert!(text.contains("\nheardback_store_up 0\n"), "{text}");
        assert!(text.contains("\nheardback_outbox 2\n"), "counts are in memory\n{text}");
        for gone in ["oldest", "lane_on_hold", "conversion", "time_to_confirm", "store_bytes"] {
            assert!(!text.contains(&format!("heardback_{gone}")), "{gone}\n{text}");
        }
    }
}
