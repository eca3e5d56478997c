//! A store with two weeks of messages, as at a company that sends codes all day: more by day than
//! by night, four countries of which one converts badly, three senders. It is the same in each run,
//! except for the date.

use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use heardback::domain::feedback::Settlement;
use heardback::domain::message::{LastAttempt, Refusal};
use heardback::domain::sid::MessageSid;
use heardback::domain::signal::{Evidence, EvidenceTarget, MessageUpdate, Signal};
use heardback::store::{Quotas, Store};

use crate::given::{
    HOUR, Hands, MINUTE, address, at, evidence, reference, registered, signal, sled,
};

const LEASE: Duration = Duration::from_secs(30);
/// Messages of the busiest hour.
const BUSIEST: u32 = 12;
const COUNTRIES: [(&str, u32); 4] = [("+1555", 88), ("+49151", 93), ("+33612", 90), ("+62812", 31)];
const SENDERS: [&str; 3] = ["+15017122661", "+15017122662", "MyCompany"];
const LABELS: [&str; 4] = ["code_entered", "code_entered", "reply", "link_opened"];
/// Twilio's reasons for the few refused messages.
const REFUSALS: [(u32, &str); 3] = [
    (20404, "The requested resource was not found"),
    (30039, "Message feedback is not enabled for this message"),
    (20001, "Unknown parameters"),
];

/// Seconds since the epoch of the tests, now.
pub(crate) fn now() -> i64 {
    let now = jiff::Timestamp::now();
    now.as_second() - at(0).as_second()
}

/// Fills the store and closes it.
pub(crate) async fn fill(folder: &Path) {
    let hands = Hands::default();
    let store = sled(folder, hands.clock());
    let now = now();
    let mut next = 0;
    for hour in (0..14 * 24).rev() {
        let began = now - i64::from(hour) * HOUR - 50 * MINUTE;
        hands.set(began + 49 * MINUTE);
        let many = busy(u32::try_from(hour).expect("small"));
        join_all((next..next + many).map(|n| lives(&*store, n, began))).await;
        next += many;
        settle(&*store, hour, next).await;
    }
    store.close().await;
}

/// More by day than by night.
fn busy(hours_ago: u32) -> u32 {
    let of_day = (24 - hours_ago % 24 + 6) % 24;
    let from_noon = of_day.abs_diff(12);
    1 + (BUSIEST - 1) * (12 - from_noon.min(12)) / 12
}

/// A number below a hundred, the same in each run.
fn drawn(n: u32, of: u32) -> u32 {
    (n.wrapping_mul(2_654_435_761) ^ of.wrapping_mul(40_503)).wrapping_mul(2_246_822_519) >> 8
        & 0xffff
}

fn pick<T>(from: &[T], n: u32, of: u32) -> &T {
    &from[drawn(n, of) as usize % from.len()]
}

/// A `MessageSid` that looks as random as Twilio's.
pub(crate) fn message(n: u32) -> MessageSid {
    let words = [11, 12, 13, 14].map(|of| drawn(n, of) << 16 | drawn(n, of + 9));
    let digits: Vec<String> = words.iter().map(|word| format!("{word:08x}")).collect();
    MessageSid::parse(&format!("SM{}", digits.concat())).expect("valid")
}

async fn lives(store: &dyn Store, n: u32, began: i64) {
    let sent = began + i64::from(drawn(n, 1) % 2_400);
    let (prefix, chance) = pick(&COUNTRIES, n, 2);
    let mut sighting = MessageUpdate { sid: message(n), ..registered(n, sent) };
    sighting.recipient = Some(address(&format!("{prefix}{n:07}")));
    sighting.from = Some((*pick(&SENDERS, n, 3)).to_owned());
    sighting.reference = Some(reference(&format!("login-{}", 48_000 + n)));
    store.remember(sighting).await.expect("remembered");
    if drawn(n, 4) % 100 >= *chance {
        return;
    }
    let quick = i64::from(drawn(n, 5) % 40);
    let wait = if n.is_multiple_of(7) { quick * 20 } else { 4 + quick };
    let label = (*pick(&LABELS, n, 6)).to_owned();
    let named = EvidenceTarget::Message(message(n));
    let act = Evidence { label, ..evidence(named.clone(), (sent + wait).min(began + 49 * MINUTE)) };
    let signal = Signal { evidence: Ok(act), ..signal(named, sent) };
    store.observe(signal).await.expect("observed");
}

/// Nearly all messages are reported; a few were refused, two of them today.
async fn settle(store: &dyn Store, hours_ago: i32, next: u32) {
    for claim in store.claim(100, LEASE, &Quotas::default()).await.expect("claimed") {
        let refusal = (hours_ago % 61 == 3 && claim.lease.message == message(next - 1))
            .then(|| pick(&REFUSALS, next, 7));
        let (status, code, message) = match refusal {
            Some((code, words)) => (400, Some(*code), (*words).to_owned()),
            None => (200, None, String::new()),
        };
        let settlement = match code {
            Some(_) => Settlement::Refused(Refusal {
                status: Some(status),
                code,
                message: message.clone(),
            }),
            None => Settlement::Reported,
        };
        let ended_at = at(now() - i64::from(hours_ago) * HOUR);
        let attempt =
            LastAttempt { number: 1, ended_at, took_ms: 143, status: Some(status), code, message };
        store.settle(claim.lease, settlement, Some(attempt)).await.expect("settled");
    }
}
