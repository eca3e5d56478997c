//! What is looked at anew at each scrape, rather than counted as it happens: what the store holds and since when,
//! accounts on hold, the disk, and conversion.
//!
//! Plain words and numbers. Whoever looks has bounded the labels, and put no person into them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, EncodeLabelSet, MetricEncoder, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::Unit;

/// How many there are. Always known.
#[derive(Debug, Clone, Default)]
pub struct Amounts {
    /// Messages by state.
    pub messages: Vec<(&'static str, u64)>,
    /// Evidence that waits for its message.
    pub parked: u64,
    /// The used part of the share of parked evidence, of the account that is closest to its share; 1: all of it.
    pub parked_used: f64,
    /// Evidence whose message never came.
    pub orphaned: u64,
    /// Confirmations that Twilio has not yet accepted.
    pub outbox: u64,
    /// Click links.
    pub links: u64,
    /// Commands that wait for the store's writer.
    pub queued: u64,
}

/// What the store says when it is asked.
#[derive(Debug, Clone, Default)]
pub struct StoreFigures {
    /// How long the longest has stood there; zero if nothing does.
    pub oldest: Vec<(&'static str, Duration)>,
    /// How long an account has been on hold; zero if it is not.
    pub on_hold: Vec<(String, Duration)>,
    /// Messages that could be evicted to make room for new ones.
    pub evictable: u64,
    pub conversion: Vec<Conversion>,
    /// Upper bounds of [`Conversion::waits`], in seconds; the last of those has none.
    pub wait_bounds: &'static [u64],
}

/// What became of the messages to one country from one sender.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    /// The country, as it is dialled.
    pub calling_code: String,
    /// Whom they came from.
    pub sender: String,
    /// Sent with feedback asked for.
    pub messages: u64,
    /// Of those, what the carrier said did not arrive.
    pub undelivered: u64,
    /// Of those, what was proven to have arrived.
    pub confirmed: u64,
    /// How many were proven within each bound, and not within the one before.
    pub waits: Vec<u64>,
    /// All these waits together.
    pub waited: Duration,
}

/// The disk, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    /// What the store takes up.
    pub used: u64,
    /// What is left on it.
    pub free: u64,
}

/// What there is. What could not be learnt is left out, rather than told as it was.
#[derive(Debug, Clone, Default)]
pub struct StoreGauges {
    pub amounts: Amounts,
    /// How far the wall clock is ahead of the expected time, in seconds; 0 without a jump.
    pub clock_jump: i64,
    /// From the store, unless it does not answer.
    pub told: Option<StoreFigures>,
    /// From the file system, unless it does not answer.
    pub disk: Option<Disk>,
}

/// The last stock taken, written down whenever the registry is.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedStoreGauges(Arc<Mutex<StoreGauges>>);

impl SharedStoreGauges {
    pub(super) fn put(&self, stock: StoreGauges) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stock;
    }
}

impl Collector for SharedStoreGauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = GaugeRows(encoder);
        amounts(&mut page, &stock.amounts)?;
        let help =
            "How far the wall clock jumped ahead, negative: back; 0 once a second source agrees";
        page.level("clock_jump", help, Some(&Unit::Seconds), stock.clock_jump)?;
        page.level(
            "store_up",
            "1 if the store answered this scrape, else 0",
            None,
            u64::from(stock.told.is_some()),
        )?;
        if let Some(disk) = stock.disk {
            let help = "What the store takes up on its disk";
            page.level("store", help, Some(&Unit::Bytes), disk.used)?;
            let help = "What is left on the store's disk; below 128 MiB nothing new is taken in";
            page.level("store_free", help, Some(&Unit::Bytes), disk.free)?;
        }
        let Some(told) = &stock.told else { return Ok(()) };
        let help = "How long the oldest has waited, or stood, there; 0 if there is none";
        let oldest = told.oldest.iter().map(|(what, age)| ([("what", *what)], age.as_secs_f64()));
        page.levels("oldest", help, Some(&Unit::Seconds), oldest)?;
        let help = "Messages that could be evicted to make room for new ones";
        page.level("messages_evictable", help, None, told.evictable)?;
        let help = "How long the operator has had an account on hold; 0 if it is not";
        let on_hold = told.on_hold.iter();
        let on_hold = on_hold.map(|(who, age)| ([("account", who.as_str())], age.as_secs_f64()));
        page.levels("lane_on_hold", help, Some(&Unit::Seconds), on_hold)?;
        conversion(&mut page, &told.conversion)?;
        time_to_confirm(&mut page, told)
    }
}

fn amounts(page: &mut GaugeRows<'_>, amounts: &Amounts) -> fmt::Result {
    let states = amounts.messages.iter().map(|(state, count)| ([("state", *state)], *count));
    page.levels("messages", "Messages known, by state", None, states)?;
    let help = "Evidence that waits for its message to become known";
    page.level("parked", help, None, amounts.parked)?;
    let help = "Parked evidence of the account closest to its share of HEARDBACK_MAX_PARKED, over that share";
    page.level("parked_used_ratio", help, None, amounts.parked_used)?;
    page.level("orphaned", "Evidence whose message never became known", None, amounts.orphaned)?;
    page.level("outbox", "Confirmations that Twilio has not yet accepted", None, amounts.outbox)?;
    page.level("links", "Click links kept", None, amounts.links)?;
    let help = "Commands that wait for the store's writer; at 1024, further ones get 503";
    page.level("store_queue", help, None, amounts.queued)
}

/// Of a pair, how many.
type Count = fn(&Conversion) -> u64;

/// Each pair is in all three, so that a share can be taken of any of them.
fn conversion(page: &mut GaugeRows<'_>, all: &[Conversion]) -> fmt::Result {
    let count: [(_, _, Count); 3] = [
        ("conversion_messages", "Messages sent with feedback asked for", |of| of.messages),
        ("conversion_undelivered", "Of these, what the carrier said did not arrive", |of| {
            of.undelivered
        }),
        ("conversion_confirmed", "Of these, what was proven to have arrived", |of| of.confirmed),
    ];
    for (name, help, of) in count {
        let rows = all.iter().map(|pair| {
            let labels = [("calling_code", &*pair.calling_code), ("sender", &*pair.sender)];
            (labels, of(pair))
        });
        let help = format!("{help}, since the start, by calling code and sender");
        page.rows(name, &help, None, MetricType::Counter, rows, |mut to, count| {
            to.encode_counter(&count, None::<&Exemplar<NoLabelSet, f64>>)
        })?;
    }
    Ok(())
}

/// By calling code alone: with senders it would be a dozen series for each pair.
fn time_to_confirm(page: &mut GaugeRows<'_>, told: &StoreFigures) -> fmt::Result {
    let mut by_code = BTreeMap::<&str, (Vec<u64>, Duration)>::new();
    for pair in &told.conversion {
        let (waits, waited) = by_code.entry(&pair.calling_code).or_default();
        waits.resize(told.wait_bounds.len() + 1, 0);
        waits.iter_mut().zip(&pair.waits).for_each(|(to, more)| *to = to.saturating_add(*more));
        *waited = waited.saturating_add(pair.waited);
    }
    let bounds = told.wait_bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
    let bounds: Vec<_> = bounds.collect();
    let rows = by_code.into_iter().map(|(code, wait)| ([("calling_code", code)], wait));
    let help = "From a message's creation to what proves that it arrived, by calling code";
    let kind = MetricType::Histogram;
    page.rows(
        "time_to_confirm",
        help,
        Some(&Unit::Seconds),
        kind,
        rows,
        |mut to, (waits, waited)| {
            let count = waits.iter().sum();
            let buckets: Vec<_> = bounds.iter().copied().zip(waits).collect();
            to.encode_histogram::<NoLabelSet>(waited.as_secs_f64(), count, &buckets, None)
        },
    )
}

fn seconds(whole: u64) -> f64 {
    Duration::from_secs(whole).as_secs_f64()
}

/// Where it is written down. A family without a row is left out.
struct GaugeRows<'a>(DescriptorEncoder<'a>);

impl GaugeRows<'_> {
    fn level<V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: V,
    ) -> fmt::Result {
        // The registry ends its own help with a full stop, too.
        let help = format!("{help}.");
        self.0.encode_descriptor(name, &help, unit, MetricType::Gauge)?.encode_gauge(&value)
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
