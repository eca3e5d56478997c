//! Signals: no parser of a request panics. A parsed signal is about accounts of the key, and not from the future. A
//! form and the equal JSON object give the same result. No error repeats a value.
//!
//! An input is a query, a line break and a body, which is read as a form, as JSON and as single values.

#[path = "words.rs"]
mod words;

use heardback::domain::address::RecipientHashKey;
use heardback::domain::code::CodeKey;
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{Evidence, Malformed, MessageUpdate, Signal};
use heardback::domain::timestamp_serde::to_millisecond;
use heardback::twilio::app::Registration;
use heardback::twilio::call::CallSignal;
use heardback::twilio::callback::{ParseContext, Relay};
use heardback::twilio::event_streams::{Event, Incoming};
use heardback::twilio::fields::{FieldSpelling, Fields, one_account};
use heardback::twilio::form::{self, FormPair, Text};
use heardback::twilio::json::Json;
use heardback::twilio::{app, call, callback, click, event_streams};
use jiff::Timestamp;

/// The values of the recordings in `tests/fixtures/webhooks/`.
const ACCOUNT: &str = "AC11111111111111111111111111111111";
const OTHER: &str = "AC33333333333333333333333333333333";
/// 2026-11-23T10:05:00.123Z, the time of the recordings.
const NOW: i64 = 1_795_428_300_123;
/// Added to each value; it must not appear in an error.
const CANARY: &str = "kanari\u{f8}fugl";

/// Parses `data` with every parser.
pub fn holds(data: &[u8]) {
    let mut halves = data.splitn(2, |byte| *byte == b'\n');
    let (query, body) = (halves.next().unwrap_or_default(), halves.next().unwrap_or_default());
    let (account, other) = (accounts(ACCOUNT), accounts(OTHER));
    let recipient_hash_key = RecipientHashKey::new(b"a key");
    let code_keys = [CodeKey::new(b"the app key")];
    let others = [account, other];
    let context = ParseContext {
        account,
        others: if query.is_empty() { &[] } else { &others },
        recipient_hash_key: &recipient_hash_key,
        code_keys: &code_keys,
        ignores_crawlers: true,
        reference_tag: None,
        relay: Relay::Direct,
        now: Timestamp::from_millisecond(NOW).expect("in range"),
        trace: None,
    };
    let (query, form) = (form::pairs(query), form::pairs(body));
    // One parser per input: a round is twice as fast, and the fuzzer reaches the other.
    let spelling = if body.len() % 2 == 0 { FieldSpelling::Twilio } else { FieldSpelling::Any };
    reads(&query, &form, spelling, &context);
    keeps_quiet(&query, &form, spelling, &context);
    let named = Fields::from_pairs(&form, spelling).and_then(|fields| context.account(&fields));
    if let (Some(one), Ok(account)) = (one_account(&form, spelling), named) {
        assert_eq!(Some(one), account, "one account, for any key");
    }
    if let Ok(fields) = Fields::from_json(body, spelling) {
        let query = Fields::from_pairs(&query, FieldSpelling::Any);
        let _ = by_every_road(&fields, &query.unwrap_or_else(|_| none()), &context);
    }
    batches(body, &context);
    words::hold(body, &recipient_hash_key);
}

fn accounts(text: &str) -> AccountSid {
    AccountSid::parse(text).expect("an account")
}

fn none() -> Fields {
    Fields::from_members(&[], FieldSpelling::Any)
}

/// The result of a request in each format.
type Outcome = (
    Result<Signal, Malformed>,
    Result<MessageUpdate, Malformed>,
    [Result<CallSignal, Malformed>; 2],
    Result<Option<Signal>, Malformed>,
    Result<Registration, Malformed>,
    Result<Signal, Malformed>,
);

fn by_every_road(fields: &Fields, query: &Fields, context: &ParseContext<'_>) -> Outcome {
    let outcome = (
        callback::reply(fields, context),
        callback::status(fields, query, context),
        [Relay::Direct, Relay::ViaApp]
            .map(|relay| call::call(fields, &ParseContext { relay, ..*context })),
        click::click(fields, context),
        app::message(fields, context),
        app::event(fields, context),
    );
    let (reply, status, calls, click, message, event) = &outcome;
    let calls = calls.iter().flatten().map(|call| &call.signal);
    for signal in reply.iter().chain(calls).chain(click.iter().flatten()).chain(event) {
        is_ours(signal, context);
    }
    for sighting in status.iter().chain(message.iter().flat_map(|of| &of.message)) {
        is_seen(sighting, context);
    }
    if let Ok(Registration { account, message, link, .. }) = message {
        assert!(context.speaks_for(*account));
        assert!(message.is_some() || link.is_some(), "a registration of nothing");
    }
    outcome
}

/// A form, and the JSON object with the same fields in the same order.
fn reads(
    query: &[FormPair<'_>],
    form: &[FormPair<'_>],
    spelling: FieldSpelling,
    context: &ParseContext<'_>,
) {
    let utf8 = |pairs: &[FormPair<'_>]| {
        let is_utf8 = |text: &Text<'_>| std::str::from_utf8(&text.decoded()).is_ok();
        pairs.iter().all(|(name, value)| is_utf8(name) && is_utf8(value))
    };
    let (asked, fields) = (Fields::from_pairs(query, spelling), Fields::from_pairs(form, spelling));
    assert_eq!(fields.is_ok(), utf8(form));
    let (Ok(asked), Ok(fields)) = (asked, fields) else { return };
    let outcome = by_every_road(&fields, &asked, context);
    let text = |text: &Text<'_>| String::from_utf8_lossy(&text.decoded()).into_owned();
    let members: Vec<(String, Json)> =
        form.iter().map(|(name, value)| (text(name), Json::Scalar(text(value)))).collect();
    let json = Fields::from_members(&members, spelling);
    assert!(outcome == by_every_road(&json, &asked, context), "JSON is read otherwise");
    let written = members.iter().map(|(name, value)| {
        let Json::Scalar(value) = value else { unreachable!("text") };
        format!("{}:{}", quoted(name), quoted(value))
    });
    let written = format!("{{{}}}", written.collect::<Vec<_>>().join(","));
    let json = Fields::from_json(written.as_bytes(), spelling).expect("an object");
    assert!(outcome == by_every_road(&json, &asked, context), "written JSON is read otherwise");
}

fn quoted(text: &str) -> String {
    let escape = |c: char| match c {
        '"' | '\\' => format!("\\{c}"),
        c if c.is_control() && u32::from(c) < 0x10000 => format!("\\u{:04x}", u32::from(c)),
        c => c.to_string(),
    };
    format!("\"{}\"", text.chars().map(escape).collect::<String>())
}

/// The request with the marker in each value, which no error may repeat.
fn keeps_quiet(
    query: &[FormPair<'_>],
    form: &[FormPair<'_>],
    spelling: FieldSpelling,
    context: &ParseContext<'_>,
) {
    let with = |pairs: &[FormPair<'_>]| -> Vec<(Vec<u8>, Vec<u8>)> {
        let sung = |value: &[u8]| [value, CANARY.as_bytes()].concat();
        let each = pairs.iter().map(|(name, value)| (name.decoded(), value.decoded()));
        each.map(|(name, value)| (name.into_owned(), sung(&value))).collect()
    };
    let (query, form) = (with(query), with(form));
    let fields = |pairs: &[(Vec<u8>, Vec<u8>)]| {
        let borrowed = pairs.iter().map(|(n, v)| (n.as_slice().into(), v.as_slice().into()));
        Fields::from_pairs(&borrowed.collect::<Vec<FormPair<'_>>>(), spelling)
    };
    let (Ok(query), Ok(form)) = (fields(&query), fields(&form)) else { return };
    let (reply, status, calls, click, message, event) = by_every_road(&form, &query, context);
    let [by_twilio, by_app] = calls;
    let errors = [
        reply.err(),
        status.err(),
        by_twilio.err(),
        by_app.err(),
        click.err(),
        message.err(),
        event.err(),
    ];
    for error in errors.into_iter().flatten() {
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

fn is_ours(signal: &Signal, context: &ParseContext<'_>) {
    assert_eq!(signal.seen_at, context.now);
    assert!(signal.dedup_ids.len() <= 2);
    if let Ok(Evidence { account, label, occurred_at, .. }) = &signal.evidence {
        assert!(context.speaks_for(*account), "another's evidence");
        assert!(*occurred_at <= context.now, "evidence from the future");
        assert_eq!(*occurred_at, to_millisecond(*occurred_at), "finer than the store");
        assert!((1..=64).contains(&label.len()) && !label.chars().any(char::is_control));
    }
    if let Some(sighting) = &signal.message_update {
        is_seen(sighting, context);
    }
}

fn is_seen(sighting: &MessageUpdate, context: &ParseContext<'_>) {
    assert!(context.speaks_for(sighting.account), "another's message");
    // An event states its time; the other formats have the time of arrival.
    assert!(sighting.seen_at <= context.now, "a message from the future");
    assert_eq!(sighting.seen_at, to_millisecond(sighting.seen_at), "finer than the store");
    assert_eq!(sighting.link, None, "no link by a field");
    if let Some(at) = sighting.created_at {
        assert_eq!(at, to_millisecond(at), "finer than the store");
    }
    // A recipient with a phone number has a hash of that number.
    assert!(sighting.number.is_none() || sighting.recipient.is_some());
}

/// A batch of events; each gives the same result as alone.
fn batches(body: &[u8], context: &ParseContext<'_>) {
    let Ok(alone) = event_streams::batch(body, context) else { return };
    for Event { incoming, .. } in &alone {
        match incoming {
            Incoming::Status(sighting) => is_seen(sighting, context),
            Incoming::WithoutReference(sighting, why) => {
                is_seen(sighting, context);
                assert!(sighting.reference.is_none() && !sighting.tracked, "{why}");
            }
            Incoming::Signal(signal) => is_ours(signal, context),
            Incoming::Malformed(why) => assert_ne!(*why, Malformed::OtherAccount),
            Incoming::Ignored | Incoming::OtherAccount => {}
        }
    }
    if let [one] = alone.as_slice()
        && body.trim_ascii_start().starts_with(b"{")
    {
        let neighbour = r#"{"type":"com.twilio.eventstreams.test-event"}"#;
        let company = [b"[", neighbour.as_bytes(), b",", body, b",7]"].concat();
        let company = event_streams::batch(&company, context).expect("one of them is understood");
        assert_eq!(company.get(1), Some(one), "a neighbour changes it");
        assert_eq!(company.len(), 3);
    }
}
