//! What costs no heap: taking one of Twilio's forms apart and checking its signature.
//!
//! A test binary of its own, because its allocator counts.

use heardback::domain::form;
use heardback::domain::signature::{Content, Match, Mistrust, Presented, SigningKey, sign, verify};

const BASE: &str = "https://hooks.example.com";
const PATH: &str = "/twilio/message";

/// An inbound SMS as Twilio sends it: twenty parameters in 510 bytes.
const SMS: &[u8] = include_bytes!("fixtures/sms.form");

#[test]
fn a_form_of_twenty_parameters_is_verified_and_refused_without_the_heap() {
    let keys = [SigningKey::new(b"another"), SigningKey::new(b"12345")];
    let bases = ["https://old.example.com".to_owned(), BASE.to_owned()];
    let pairs = form::pairs(SMS);
    assert_eq!(pairs.len(), 20);
    let content = Content::Form { pairs: &pairs, body: SMS };
    let good = sign(&keys[1], &format!("{BASE}{PATH}"), &content);
    let forged = sign(&SigningKey::new(b"a stranger's"), &format!("{BASE}{PATH}"), &content);
    for (header, expected) in [(good, Ok(Match { key: 1 })), (forged, Err(Mistrust::Mismatch))] {
        let mut verdict = None;
        let heap = allocation_counter::measure(|| {
            let pairs = form::pairs(SMS);
            let presented = Presented {
                bases: &bases,
                path_and_query: PATH,
                content: Content::Form { pairs: &pairs, body: SMS },
                is_get: false,
                settings: None,
            };
            verdict = Some(verify(&keys, &presented, Some(header.as_bytes())));
        });
        assert_eq!(verdict, Some(expected));
        assert_eq!(heap.count_total, 0, "{heap:?}");
    }
}

#[test]
fn the_counter_counts() {
    let heap = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(heap.count_total, 1);
}
