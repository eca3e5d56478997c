//! The cost of parsing a verified request: a status callback, an app's event as a form and as JSON, a batch of Event
//! Streams. `cargo bench --bench parsing`
//!
//! `signature.rs` measures an inbound message, with its signature.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use heardback::domain::address::RecipientHashKey;
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{Malformed, MessageUpdate, Signal};
use heardback::twilio::callback::{self, ParseContext, Relay};
use heardback::twilio::fields::{FieldSpelling, Fields};
use heardback::twilio::form;
use heardback::twilio::{app, event_streams};
use jiff::Timestamp;

const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const STATUS: &[u8] = b"ApiVersion=2010-04-01&MessageStatus=sent&SmsSid=SM0123456789abcdef0123456789abcdef&SmsStatus=\
sent&To=%2B15558675310&From=%2B14155550123&MessageSid=SM0123456789abcdef0123456789abcdef&AccountSid=\
AC0123456789abcdef0123456789abcdef";
const EVENT_FORM: &[u8] =
    b"MessageSid=SM0123456789abcdef0123456789abcdef&Type=code_entered&To=%2B15558675310";
const EVENT_JSON: &[u8] =
    br#"{"MessageSid":"SM0123456789abcdef0123456789abcdef","Type":"code_entered","To":"+15558675310"}"#;
const BATCH: usize = 100;

fn reading(recipient_hash_key: &RecipientHashKey) -> ParseContext<'_> {
    ParseContext {
        account: AccountSid::parse(ACCOUNT).expect("an account"),
        others: &[],
        recipient_hash_key,
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        relay: Relay::Direct,
        now: Timestamp::UNIX_EPOCH,
        trace: None,
    }
}

fn status(reading: &ParseContext<'_>) -> Result<MessageUpdate, Malformed> {
    let query = Fields::from_pairs(&form::pairs(b"feedback=1"), FieldSpelling::Twilio)?;
    let fields = Fields::from_pairs(&form::pairs(black_box(STATUS)), FieldSpelling::Twilio)?;
    callback::status(&fields, &query, reading)
}

fn event_of_a_form(reading: &ParseContext<'_>) -> Result<Signal, Malformed> {
    let pairs = form::pairs(black_box(EVENT_FORM));
    app::event(&Fields::from_pairs(&pairs, FieldSpelling::Twilio)?, reading)
}

fn event_of_json(reading: &ParseContext<'_>) -> Result<Signal, Malformed> {
    app::event(&Fields::from_json(black_box(EVENT_JSON), FieldSpelling::Twilio)?, reading)
}

/// Delivered messages, as a sink posts them.
fn batch() -> String {
    let event = |number: usize| {
        format!(
            r#"{{"specversion":"1.0","type":"com.twilio.messaging.message.delivered","source":"/2010-04-01/Accounts","id":"EZ{number:032x}","dataschema":"https://events-schemas.twilio.com/Messaging.MessageStatus/5","datacontenttype":"application/json","time":"2026-11-23T10:04:00Z","data":{{"messageSid":"SM{number:032x}","accountSid":"{ACCOUNT}","from":"+14155550123","to":"+15558675310"}}}}"#
        )
    };
    format!("[{}]", (0..BATCH).map(event).collect::<Vec<_>>().join(","))
}

fn parsing(criterion: &mut Criterion) {
    let key = RecipientHashKey::new(b"a key");
    let reading = reading(&key);
    let mut group = criterion.benchmark_group("parsing");
    group.bench_function("a status callback", |bench| {
        bench.iter(|| status(&reading).expect("a status"));
    });
    group.bench_function("an app's event, form", |bench| {
        bench.iter(|| event_of_a_form(&reading).expect("an event"));
    });
    group.bench_function("an app's event, JSON", |bench| {
        bench.iter(|| event_of_json(&reading).expect("an event"));
    });
    let batch = batch();
    assert_eq!(event_streams::batch(batch.as_bytes(), &reading).expect("a batch").len(), BATCH);
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function("a batch of 100 events", |bench| {
        bench
            .iter(|| event_streams::batch(black_box(batch.as_bytes()), &reading).expect("a batch"));
    });
    group.finish();
}

criterion_group!(benches, parsing);
criterion_main!(benches);
