//! Verification of a signature over a Twilio form allocates nothing on the heap.
//!
//! A separate test binary, because its global allocator counts allocations.

use heardback::twilio::form;
use heardback::twilio::form::{MAX_PAIRS, Pairs};
use heardback::twilio::signature::{
    Content, Match, Presented, SignatureError, SigningKey, sign, verify,
};

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
    for (header, expected) in
        [(good, Ok(Match { key: 1 })), (forged, Err(SignatureError::Mismatch))]
    {
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

/// The largest form and target that are read before a signature is verified.
const LARGEST: (usize, usize) = (64 << 10, 16 << 10);
/// The limit of heap memory for one unsigned request, without its body.
const AT_MOST: u64 = 128 << 10;

#[test]
fn the_verification_of_a_forged_request_takes_at_most_128_kib_of_the_heap() {
    let keys = (0..64).map(|n| SigningKey::new(format!("key {n}").as_bytes())).collect::<Vec<_>>();
    let forged = sign(&SigningKey::new(b"a guess"), BASE, &Content::Nothing);
    let bases = [BASE.to_owned(), "https://old.example.com:8443".to_owned()];
    let (form_len, target_len) = LARGEST;
    let mut worst = 0;
    for piece in ["a&", "&", "a=b&", "%61=+&", "+", "%", "%27", "'", "@:'", "a", "=", "é", "AC"] {
        let target = format!("{PATH}?{}", piece.repeat(target_len / piece.len()));
        for filling in ["", piece] {
            // As many parameters as the parser accepts, in as many bytes.
            let long = filling.repeat(form_len / MAX_PAIRS / piece.len());
            let body = format!("{long}&").repeat(MAX_PAIRS - 1) + &long;
            for body in [body, piece.repeat(form_len / piece.len())] {
                let read = form::is_within_limit(body.as_bytes());
                let heap = allocation_counter::measure(|| {
                    let within = form::is_within_limit(body.as_bytes());
                    let pairs = if within { form::pairs(body.as_bytes()) } else { Pairs::new() };
                    let presented = Presented {
                        bases: &bases,
                        path_and_query: &target,
                        content: Content::Form { pairs: &pairs, body: body.as_bytes() },
                        is_get: true,
                        settings: None,
                    };
                    let verdict = verify(&keys, &presented, Some(forged.as_bytes()));
                    assert_eq!(verdict, Err(SignatureError::Mismatch));
                });
                assert!(heap.bytes_max <= AT_MOST, "{piece:?} {filling:?} {read}: {heap:?}");
                worst = worst.max(heap.bytes_max);
            }
        }
    }
    println!("{worst} bytes at most");
    assert!(worst > 64 << 10, "the longest form is decoded once");
}

#[test]
fn the_counter_counts() {
    let heap = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u8])));
    assert_eq!(heap.count_total, 1);
}
