//! The gauges that are read at each scrape: the records of the store and their age, accounts on hold, the disk, and
//! conversion.
//!
//! The reader (`admin/scrape.rs`) bounds the labels and keeps recipients out of them.

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

/// Counts that the store keeps in memory.
#[derive(Debug, Clone, Default)]
pub struct Amounts {
    /// Messages by state.
    pub messages: Vec<(&'static str, u64)>,
    /// Evidence whose message is not known yet.
    pub parked: u64,
    /// The used part of the share of parked evidence, of the account that is closest to its share; 1: all of it.
    pub parked_used: f64,
    /// Evidence whose message never became known.
    pub orphaned: u64,
    /// Confirmations that Twilio has not yet accepted.
    pub outbox: u64,
    pub links: u64,
    /// Commands in the queue of the store's writer.
    pub queued: u64,
}

/// Figures that need a read of the store.
#[derive(Debug, Clone, Default)]
pub struct StoreFigures {
    /// The age of the oldest record of each kind; zero if there is none.
    pub oldest: Vec<(&'static str, Duration)>,
    /// The time since each account is on hold; zero if it is not.
    pub on_hold: Vec<(String, Duration)>,
    /// Messages that could be evicted to make room for new ones.
    pub evictable: u64,
    pub conversion: Vec<Conversion>,
    /// Upper bounds of [`Conversion::waits`], in seconds; the last of those has none.
    pub wait_bounds: &'static [u64],
}

/// The messages from one sender to one country.
#[derive(Debug, Clone, Default)]
pub struct Conversion {
    pub calling_code: String,
    pub sender: String,
    /// Messages with requested feedback.
    pub messages: u64,
    /// Those of `messages` that the carrier reported as not delivered.
    pub undelivered: u64,
    /// Those of `messages` that are confirmed.
    pub confirmed: u64,
    /// How many were confirmed within each bound, and not within the one before.
    pub waits: Vec<u64>,
    /// The sum of these waits.
    pub waited: Duration,
}

/// The disk of the store, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct Disk {
    pub used: u64,
    pub free: u64,
}

/// All gauges of one scrape. A figure that cannot be read is left out.
#[derive(Debug, Clone, Default)]
pub struct StoreGauges {
    pub amounts: Amounts,
    /// How far the wall clock is ahead of the expected time, in seconds; 0 without a jump.
    pub clock_jump: i64,
    /// `None` if the store does not answer.
    pub figures: Option<StoreFigures>,
    /// `None` if the file system does not answer.
    pub disk: Option<Disk>,
}

/// The gauges of the last scrape, rendered with the registry.
#[derive(Debug, Clone, Default)]
pub(super) struct SharedStoreGauges(Arc<Mutex<StoreGauges>>);

impl SharedStoreGauges {
    pub(super) fn put(&self, gauges: StoreGauges) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = gauges;
    }
}

impl Collector for SharedStoreGauges {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let gauges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = GaugeRows(encoder);
        amounts(&mut page, &gauges.amounts)?;
        let help =
            "How far the wall clock jumped ahead, negative: back; 0 once a second source agrees";
        page.level("clock_jump", help, Some(&Unit::Seconds), gauges.clock_jump)?;
        page.level(
            "store_up",
            "1 if the store answered this scrape, else 0",
            None,
            u64::from(gauges.figures.is_some()),
        )?;
        if let Some(disk) = gauges.disk {
            let help = "The size of the store on its disk";
            page.level("store", help, Some(&Unit::Bytes), disk.used)?;
            let help = "Free space on the store's disk; below 128 MiB nothing new is accepted";
            page.level("store_free", help, Some(&Unit::Bytes), disk.free)?;
        }
        let Some(figures) = &gauges.figures else { return Ok(()) };
        let help = "Age of the oldest record of each kind; 0 if there is none";
        let oldest =
            figures.oldest.iter().map(|(what, age)| ([("what", *what)], age.as_secs_f64()));
        page.levels("oldest", help, Some(&Unit::Seconds), oldest)?;
        let help = "Messages that could be evicted to make room for new ones";
        page.level("messages_evictable", help, None, figures.evictable)?;
        let help = "Time since the operator put an account on hold; 0 if it is not";
        let on_hold = figures.on_hold.iter();
        let on_hold = on_hold.map(|(who, age)| ([("account", who.as_str())], age.as_secs_f64()));
        page.levels("lane_on_hold", help, Some(&Unit::Seconds), on_hold)?;
        conversion(&mut page, &figures.conversion)?;
        time_to_confirm(&mut page, figures)
    }
}

fn amounts(page: &mut GaugeRows<'_>, amounts: &Amounts) -> fmt::Result {
    let states = amounts.messages.iter().map(|(state, count)| ([("state", *state)], *count));
    page.levels("messages", "Messages known, by state", None, states)?;
    let help = "Evidence whose message is not known yet";
    page.level("parked", help, None, amounts.parked)?;
    let help = "Parked evidence of the account closest to its share of HEARDBACK_MAX_PARKED, over that share";
    page.level("parked_used_ratio", help, None, amounts.parked_used)?;
    page.level("orphaned", "Evidence whose message never became known", None, amounts.orphaned)?;
    page.level("outbox", "Confirmations that Twilio has not yet accepted", None, amounts.outbox)?;
    page.level("links", "Click links kept", None, amounts.links)?;
    let help = "Commands in the queue of the store's writer; at 1024, further ones get 503";
    page.level("store_queue", help, None, amounts.queued)
}

type Count = fn(&Conversion) -> u64;

/// Each pair is in all three metrics, so that a share can be computed of any of them.
fn conversion(page: &mut GaugeRows<'_>, all: &[Conversion]) -> fmt::Result {
    let count: [(_, _, Count); 3] = [
        ("conversion_messages", "Messages sent with requested feedback", |of| of.messages),
        (
            "conversion_undelivered",
            "Messages with requested feedback that the carrier reported as not delivered",
            |of| of.undelivered,
        ),
        ("conversion_confirmed", "Messages with requested feedback that are confirmed", |of| {
            of.confirmed
        }),
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

/// By calling code only: with senders there would be a dozen series for each pair.
fn time_to_confirm(page: &mut GaugeRows<'_>, figures: &StoreFigures) -> fmt::Result {
    let mut by_code = BTreeMap::<&str, (Vec<u64>, Duration)>::new();
    for pair in &figures.conversion {
        let (waits, waited) = by_code.entry(&pair.calling_code).or_default();
        waits.resize(figures.wait_bounds.len() + 1, 0);
        waits.iter_mut().zip(&pair.waits).for_each(|(to, more)| *to = to.saturating_add(*more));
        *waited = waited.saturating_add(pair.waited);
    }
    let bounds = figures.wait_bounds.iter().map(|bound| seconds(*bound)).chain([f64::INFINITY]);
    let bounds: Vec<_> = bounds.collect();
    let rows = by_code.into_iter().map(|(code, wait)| ([("calling_code", code)], wait));
    let help = "Time from a message's creation to its confirmation, by calling code";
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
    use crate::telemetry::metrics::Metrics;

    fn gauges() -> StoreGauges {
        let pair = |calling_code: &str, sender: &str, waits: [u64; 3]| Conversion {
            calling_code: calling_code.to_owned(),
            sender: sender.to_owned(),
            messages: 9,
            undelivered: 1,
            confirmed: waits.iter().sum(),
            waits: waits.to_vec(),
            waited: Duration::from_millis(1_500),
        };
        let figures = StoreFigures {
            oldest: vec![("outbox", Duration::from_secs(90)), ("parked", Duration::ZERO)],
            on_hold: vec![("AC1".to_owned(), Duration::from_mins(1))],
            conversion: vec![
                pair("49", "*2661", [1, 2, 0]),
                pair("49", "ACME", [0, 1, 1]),
                pair("1", "*2661", [0, 0, 0]),
            ],
            evictable: 8,
            wait_bounds: &[5, 60],
        };
        let amounts = Amounts {
            messages: vec![("pending", 1), ("reported", 2)],
            parked: 4,
            parked_used: 0.5,
            orphaned: 7,
            outbox: 5,
            links: 6,
            queued: 3,
        };
        let disk = Some(Disk { used: 1_024, free: 4_096 });
        StoreGauges { amounts, clock_jump: -7, figures: Some(figures), disk }
    }

    #[test]
    fn each_figure_of_the_store_is_exposed_under_its_name_with_one_suffix() {
        let metrics = Metrics::new();
        metrics.set_store_gauges(StoreGauges::default());
        metrics.set_store_gauges(gauges());
        let text = metrics.render();
        for line in [
            "heardback_messages{state=\"pending\"} 1",
            "heardback_messages{state=\"reported\"} 2",
            "heardback_parked 4",
            "heardback_orphaned 7",
            "heardback_parked_used_ratio 0.5",
            "heardback_messages_evictable 8",
            "heardback_clock_jump_seconds -7",
            "heardback_outbox 5",
            "heardback_links 6",
            "heardback_oldest_seconds{what=\"outbox\"} 90.0",
            "heardback_oldest_seconds{what=\"parked\"} 0.0",
            "heardback_lane_on_hold_seconds{account=\"AC1\"} 60.0",
            "heardback_store_up 1",
            "heardback_store_bytes 1024",
            "heardback_store_free_bytes 4096",
            "heardback_conversion_messages_total{calling_code=\"49\",sender=\"ACME\"} 9",
            "heardback_conversion_undelivered_total{calling_code=\"49\",sender=\"ACME\"} 1",
            "heardback_conversion_confirmed_total{calling_code=\"49\",sender=\"*2661\"} 3",
            "heardback_conversion_confirmed_total{calling_code=\"1\",sender=\"*2661\"} 0",
            "heardback_time_to_confirm_seconds_bucket{le=\"5.0\",calling_code=\"49\"} 1",
            "heardback_time_to_confirm_seconds_bucket{le=\"60.0\",calling_code=\"49\"} 4",
            "heardback_time_to_confirm_seconds_bucket{le=\"+Inf\",calling_code=\"49\"} 5",
            "heardback_time_to_confirm_seconds_count{calling_code=\"49\"} 5",
            "heardback_time_to_confirm_seconds_sum{calling_code=\"49\"} 3.0",
        ] {
            assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
        }
        assert!(!text.contains("_total_total") && !text.contains("_seconds_seconds"), "{text}");
        assert!(!text.contains("_bytes_bytes"), "{text}");
    }

    #[test]
    fn without_an_answer_of_the_store_no_old_figures_are_exposed() {
        let metrics = Metrics::new();
        metrics.set_store_gauges(gauges());
        metrics.set_store_gauges(StoreGauges { figures: None, disk: None, ..gauges() });
        let text = metrics.render();
        assert!(text.contains("\nheardback_store_up 0\n"), "{text}");
        assert!(text.contains("\nheardback_outbox 5\n"), "counts are in memory\n{text}");
        for gone in ["oldest", "lane_on_hold", "conversion", "time_to_confirm", "store_bytes"] {
            assert!(!text.contains(&format!("heardback_{gone}")), "{gone}\n{text}");
        }
    }
}
