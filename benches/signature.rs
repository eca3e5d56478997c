//! The cost of a request before the store: parsing its form, verifying its signature, reading its fields.
//! `cargo bench --bench signature`
//!
//! The form is an inbound SMS of Twilio: twenty parameters in about 510 bytes.

use std::hint::black_box;
use std::sync::LazyLock;

use criterion::{Criterion, criterion_group, criterion_main};
use heardback::domain::address::RecipientHashKey;
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{Malformed, Signal};
use heardback::twilio::callback::{self, ParseContext, Relay};
use heardback::twilio::fields::{FieldSpelling, Fields};
use heardback::twilio::form::{self, FormPair};
use heardback::twilio::signature::{
    Content, Match, Presented, SignatureError, SigningKey, sign, verify,
};
use jiff::Timestamp;

const BASE: &str = "https://hooks.example.com";
const PATH: &str = "/twilio/message";
const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";
const SMS: &[u8] = include_bytes!("../tests/fixtures/sms.form");

fn form_of_twenty(criterion: &mut Criterion) {
    let key = SigningKey::new(b"12345678901234567890123456789012");
    let url = format!("{BASE}{PATH}");
    let pairs = form::pairs(SMS);
    assert_eq!(pairs.len(), 20);
    let good = sign(&key, &url, &Content::Form { pairs: &pairs, body: SMS });
    let recipient_hash_key = RecipientHashKey::new(b"a key");

    let mut group = criterion.benchmark_group("sms");
    group.bench_function("taken apart", |bench| bench.iter(|| form::pairs(black_box(SMS))));
    group.bench_function("verified", |bench| {
        bench.iter(|| checked(&key, &pairs, &good).expect("good"));
    });
    group.bench_function("taken apart and verified", |bench| {
        bench.iter(|| checked(&key, &form::pairs(black_box(SMS)), &good).expect("good"));
    });
    let forged = sign(&key, &url, &Content::Nothing);
    group.bench_function("taken apart and refused", |bench| {
        bench.iter(|| checked(&key, &form::pairs(black_box(SMS)), &forged).expect_err("forged"));
    });
    group.bench_function("read into a signal", |bench| {
        bench.iter(|| signal(black_box(&pairs), &recipient_hash_key).expect("a reply"));
    });
    group.bench_function("taken apart, verified and read into a signal", |bench| {
        bench.iter(|| {
            let pairs = form::pairs(black_box(SMS));
            checked(&key, &pairs, &good).expect("good");
            signal(&pairs, &recipient_hash_key).expect("a reply")
        });
    });
    group.finish();
}

fn checked(
    key: &SigningKey,
    pairs: &[FormPair<'_>],
    header: &str,
) -> Result<Match, SignatureError> {
    static BASES: LazyLock<[String; 1]> = LazyLock::new(|| [BASE.to_owned()]);
    let presented = Presented {
        bases: &*BASES,
        path_and_query: PATH,
        content: Content::Form { pairs, body: SMS },
        is_get: false,
        settings: None,
    };
    verify([key], &presented, Some(header.as_bytes()))
}

fn signal(
    pairs: &[FormPair<'_>],
    recipient_hash_key: &RecipientHashKey,
) -> Result<Signal, Malformed> {
    let reading = ParseContext {
        account: AccountSid::parse(ACCOUNT).expect("an account"),
        others: &[],
        recipient_hash_key,
        code_keys: &[],
        ignores_crawlers: true,
        reference_tag: None,
        relay: Relay::Direct,
        now: Timestamp::UNIX_EPOCH,
        trace: None,
    };
    callback::reply(&Fields::from_pairs(pairs, FieldSpelling::Twilio)?, &reading)
}

criterion_group!(benches, form_of_twenty);
criterion_main!(benches);
