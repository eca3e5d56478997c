//! With many senders and countries: a bounded number of series, and no phone number in a label.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use heardback::admin::scrape::{ReadDisk, read_gauges};
use heardback::admin::store_gauges::StoreGauges;
use heardback::store::sled::Usage;
use heardback::store::{PoolFigures, Store};
use heardback::telemetry::metrics::Metrics;

use crate::contract::{Backend as _, backends};
use crate::given::{Hands, account, address, direct, registered, service, shared};
use crate::postgres::Postgres;

/// Recipients in many countries, with calling codes of several lengths.
const PEOPLE: [&str; 24] = [
    "+15551234567",
    "+4915112345678",
    "+447700900123",
    "+33612345678",
    "+34612345678",
    "+393123456789",
    "+351912345678",
    "+353861234567",
    "+358401234567",
    "+380501234567",
    "+420601123456",
    "+48501123456",
    "+5215512345678",
    "+5491123456789",
    "+5511912345678",
    "+61412345678",
    "+6281234567890",
    "+6591234567",
    "+818012345678",
    "+821012345678",
    "+8613812345678",
    "+919812345678",
    "+971501234567",
    "+989121234567",
];

async fn scrape(store: &Arc<dyn Store>, hands: &Hands) -> String {
    let disk: ReadDisk = Arc::new(|| Ok(Usage { used: 1, free: 2 }));
    let gauges = read_gauges(store, &hands.clock(), &disk).await;
    Metrics::new().render_with(Box::new(gauges))
}

/// Every label of a scrape with its value.
fn labels(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let sets = text.lines().filter_map(|line| line.split_once('{')?.1.rsplit_once('}'));
    sets.flat_map(|(set, _)| set.trim_end_matches('"').split("\","))
        .filter_map(|label| label.split_once("=\""))
}

fn samples(text: &str, metric: &str) -> usize {
    text.lines().filter(|line| line.starts_with(&format!("{metric}{{"))).count()
}

/// This many messages from each of this many senders, to different recipients in turn.
async fn sent(messages: u32, by_each: u32) -> String {
    let hands = Hands::default();
    let backends = backends();
    let store = backends[0].usual(&hands);
    let sightings = (0..messages).map(|n| {
        let mut sighting = registered(n, 0);
        sighting.recipient = Some(address(PEOPLE[n as usize % PEOPLE.len()]));
        let sender = n / by_each;
        sighting.from = match sender % 4 {
            0 => Some(format!("+1501712{sender:04}")),
            1 => Some(format!("whatsapp:+4930{sender:07}")),
            2 => Some(format!("Brand {sender}\"\n\\")),
            _ => None,
        };
        sighting.service = sighting.from.is_none().then(|| service(sender));
        sighting
    });
    for known in join_all(sightings.map(|sighting| store.remember(sighting))).await {
        known.expect("remembered");
    }
    for n in 0..50 {
        store.observe(direct(n, 1)).await.expect("observed");
    }
    scrape(&store, &hands).await
}

#[tokio::test]
async fn no_label_holds_a_number_or_a_sid_and_the_series_are_bounded() {
    let countries = u32::try_from(PEOPLE.len()).expect("few");
    // Too many senders, and too many pairs of sender and country. Each country has one series for
    // the rest.
    let most = 500 + PEOPLE.len();
    for (by_each, senders, pairs) in [(1, 101, 100..=200), (countries, 22, 501..=most)] {
        let text = sent(900, by_each).await;
        for (label, value) in labels(&text) {
            let digits = value.chars().filter(char::is_ascii_digit).count();
            let hex = value.chars().filter(char::is_ascii_hexdigit).count();
            // The account is the operator's own, and each configured account has a lane.
            assert!(label == "account" || (digits < 7 && hex < 20), "{label}={value}\n{text}");
            assert!(!value.contains(['"', '\n', '\\']) && value.len() <= 60, "{label}={value}");
        }
        let told = labels(&text).filter(|(label, _)| *label == "sender").map(|(_, value)| value);
        let told: BTreeSet<_> = told.collect();
        assert!(told.len() >= senders - 1 && told.len() <= 102, "{} {told:?}", told.len());
        assert!(told.contains("(other)"), "{told:?}");
        let found = samples(&text, "heardback_conversion_messages_total");
        assert!(pairs.contains(&found), "{found}");
        assert_eq!(samples(&text, "heardback_conversion_confirmed_total"), found);
        let lines = text.lines().count();
        // Three series for each pair, a histogram for each calling code, and the rest.
        assert!(lines < 3 * most + 14 * (PEOPLE.len() + 1) + 200, "{lines}");
        let start = "heardback_conversion_messages_total{";
        let counts = text.lines().filter(|line| line.starts_with(start));
        let counts = counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
        assert_eq!(counts.sum::<u64>(), 900, "those beyond the bounds are counted together");
        assert!(!text.contains("calling_code=\"unknown\""), "each message has its country: {text}");
    }
}

#[tokio::test]
async fn the_age_of_the_oldest_record_and_of_a_hold_grow_and_end() {
    let hands = Hands::default();
    let backends = backends();
    let store = backends[0].usual(&hands);
    let says = async |line: String| {
        let text = scrape(&store, &hands).await;
        assert!(text.lines().any(|known| known == line), "{line} is not in\n{text}");
    };
    let oldest = |what: &str, seconds: u32| {
        format!("heardback_oldest_seconds{{what=\"{what}\"}} {seconds}.0")
    };
    let on_hold = |seconds: u32| {
        format!("heardback_lane_on_hold_seconds{{account=\"{}\"}} {seconds}.0", account())
    };
    says(oldest("outbox", 0)).await;
    store.remember(registered(1, 0)).await.expect("remembered");
    store.observe(direct(1, 0)).await.expect("observed");
    store.observe(direct(2, 0)).await.expect("observed");
    store.observe(shared("late", 0)).await.expect("parked");
    says(on_hold(0)).await;
    store.hold(account()).await.expect("on hold");
    hands.set(90);
    says(oldest("outbox", 90)).await;
    says(on_hold(90)).await;
    store.resume(account()).await.expect("resumed");
    says(on_hold(0)).await;
    let text = scrape(&store, &hands).await;
    let age = |what: &str| {
        let start = oldest(what, 0).replace("0.0", "");
        text.lines().find_map(|line| line.strip_prefix(&start)?.parse::<f64>().ok()).expect("told")
    };
    assert!((90.0..=150.0).contains(&age("parked")), "to the minute: {}", age("parked"));
    assert!(age("pending") == 0.0 && age("refused") == 0.0 && age("orphaned") == 0.0, "{text}");
}

#[tokio::test]
async fn a_scrape_of_a_closed_store_is_answered_and_reports_it() {
    let hands = Hands::default();
    let backends = backends();
    let store = backends[0].usual(&hands);
    store.remember(registered(1, 0)).await.expect("remembered");
    store.close().await;
    let text = scrape(&store, &hands).await;
    assert!(text.contains("\nheardback_store_up 0\n"), "{text}");
    assert!(text.contains("\nheardback_messages{state=\"pending\"} 1\n"), "{text}");
    assert!(!text.contains("heardback_conversion"), "{text}");
}

/// A scrape of a receiver with a database.
pub(super) fn of_a_database() -> String {
    let pool = Some(PoolFigures { in_use: 1, idle: 2, committed: 1, ..PoolFigures::default() });
    let gauges = StoreGauges { pool, ..StoreGauges::default() };
    Metrics::new().render_with(Box::new(gauges))
}

#[tokio::test]
async fn the_connections_and_transactions_of_a_database_are_counted() {
    let Some(database) = Postgres::new() else { return };
    let hands = Hands::default();
    let store = database.usual(&hands);
    store.remember(registered(1, 0)).await.expect("remembered");
    store.observe(direct(1, 0)).await.expect("observed");
    assert!(store.observe(direct(1, 0)).await.is_ok());
    let text = scrape(&store, &hands).await;
    let value = |series: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
        line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().expect("a number")
    };
    let of = |outcome: &str| {
        value(&format!("heardback_store_transactions_total{{outcome=\"{outcome}\"}}"))
    };
    assert!(of("committed") >= 2.0 && of("failed") == 0.0);
    let runs: f64 = ["committed", "unchanged", "conflict"].map(of).iter().sum();
    assert!((value("heardback_store_pool_acquired_total") - runs).abs() < 0.5, "{text}");
    assert!(value("heardback_store_pool_wait_seconds_total") >= 0.0);
    assert!(value("heardback_store_lock_wait_seconds_total") > 0.0);
    assert!((value("heardback_store_pool_limit") - 4.0).abs() < 0.5);
    let connections = ["in_use", "idle"]
        .map(|state| value(&format!("heardback_store_pool_connections{{state=\"{state}\"}}")));
    assert!((1.0..=4.0).contains(&connections.iter().sum()), "{connections:?}");
    let sled = backends()[0].usual(&hands);
    assert!(!scrape(&sled, &hands).await.contains("heardback_store_pool"), "it has no database");
}
