//! The signer against itself: it verifies what it signs, and nothing else. `tests/it/vectors.rs` compares it with
//! Twilio's libraries.

use proptest::prelude::*;

use super::*;

const BODY: &[u8] = br#"[{"id":"EZ1"}]"#;

fn key() -> SigningKey {
    SigningKey::new(b"12345")
}

fn owned(pairs: &[(String, String)]) -> Vec<FormPair<'_>> {
    pairs.iter().map(|(n, v)| (Text::from(n.as_bytes()), Text::from(v.as_bytes()))).collect()
}

fn form<'a>(pairs: &'a [FormPair<'a>]) -> Content<'a> {
    Content::Form { pairs, body: b"" }
}

fn check(url: &str, content: &Content<'_>, signature: &str) -> Result<Match, SignatureError> {
    verify_url(&[key()], url, content, false, Some(signature.as_bytes()))
}

#[test]
fn twilios_worked_example_is_reproduced() {
    let body = b"Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310\
        &CallSid=CA1234567890ABCDE";
    let pairs = form::pairs(body);
    let url = "https://example.com/myapp.php?foo=1&bar=2";
    assert_eq!(sign(&key(), url, &form(&pairs)), "L/OH5YylLD5NRKLltdqwSvS0BnU=");
}

#[test]
fn each_base_and_each_key_is_tried_and_the_key_is_named() {
    let bases = ["https://old.example.com".to_owned(), "https://new.example.com/hooks".to_owned()];
    let url = "https://new.example.com/hooks/twilio/status?x=1";
    let presented = Presented {
        bases: &bases,
        path_and_query: "/twilio/status?x=1",
        content: Content::Nothing,
        is_get: false,
        settings: None,
    };
    let header = sign(&key(), url, &Content::Nothing);
    let header = Some(header.as_bytes());
    let keys = [SigningKey::new(b"primary"), key()];
    assert_eq!(verify(&keys, &presented, header), Ok(Match { key: 1 }));
    assert_eq!(verify(&keys[..1], &presented, header), Err(SignatureError::Mismatch));
    assert_eq!(verify(&[] as &[SigningKey], &presented, header), Err(SignatureError::Mismatch));
    assert_eq!(verify(&keys, &presented, None), Err(SignatureError::Missing));
    let presented = Presented { bases: &[], ..presented };
    assert_eq!(verify(&keys, &presented, header), Err(SignatureError::Mismatch));
}

#[test]
fn a_stand_in_key_opens_nothing() {
    let header = sign(&SigningKey::new(b""), "https://h/", &Content::Nothing);
    let got = verify_url(
        &[] as &[SigningKey],
        "https://h/",
        &Content::Nothing,
        false,
        Some(header.as_bytes()),
    );
    assert_eq!(got, Err(SignatureError::Mismatch));
}

#[test]
fn only_strict_base64_of_twenty_bytes_is_a_signature() {
    let good = sign(&key(), "https://h/", &Content::Nothing);
    assert!(check("https://h/", &Content::Nothing, &good).is_ok());
    let long = STANDARD.encode([0; 32]);
    let short = STANDARD.encode([0; 19]);
    let bare = good.trim_end_matches('=');
    let spaced = format!(" {bare}");
    for bad in
        ["", "=", bare, &spaced, &short, &long, "ŚŚŚŚŚŚŚŚŚŚŚŚŚŚ", "_-_-_-_-_-_-_-_-_-_-_-_-_-8="]
    {
        assert_eq!(
            check("https://h/", &Content::Nothing, bad),
            Err(SignatureError::Malformed),
            "{bad}"
        );
    }
}

#[test]
fn a_body_that_is_no_form_needs_its_hash_in_the_url() {
    let content = Content::Other(BODY);
    let signed = |url: &str| sign(&key(), url, &content);
    let url = with_body_hash("https://h/e?k=1", BODY);
    assert!(url.starts_with("https://h/e?k=1&bodySHA256="), "{url}");
    assert!(check(&url, &content, &signed(&url)).is_ok());
    let altered = Content::Other(b"[]");
    assert_eq!(check(&url, &altered, &signed(&url)), Err(SignatureError::BodyHashMismatch));

    let bare = "https://h/e?k=1";
    assert_eq!(check(bare, &content, &signed(bare)), Err(SignatureError::BodyHashMissing));
    let upper =
        url.replace(url.rsplit('=').next().unwrap(), &hex(&Sha256::digest(BODY)).to_uppercase());
    assert_eq!(check(&upper, &content, &signed(&upper)), Err(SignatureError::BodyHashMismatch));
    let twice = format!("{url}&bodySHA256=00");
    assert_eq!(check(&twice, &content, &signed(&twice)), Err(SignatureError::BodyHashMismatch));
    assert_eq!(check(&url, &content, &signed(bare)), Err(SignatureError::Mismatch));
}

#[test]
fn a_form_stays_a_form_when_the_url_carries_a_hash_and_the_hash_counts_too() {
    let body = b"a=1&b=2";
    let pairs = form::pairs(body);
    let content = Content::Form { pairs: &pairs, body };
    let url = with_body_hash("https://h/", body);
    let signature = sign(&key(), &url, &content);
    assert!(check(&url, &content, &signature).is_ok());
    let other = Content::Form { pairs: &pairs, body: b"b=2&a=1" };
    assert_eq!(check(&url, &other, &signature), Err(SignatureError::BodyHashMismatch));
    assert_eq!(check(&url, &Content::Other(body), &signature), Err(SignatureError::Mismatch));
}

#[test]
fn a_new_body_hash_takes_the_place_of_an_old_one() {
    let once = with_body_hash("/e?a=1&b", b"x");
    assert_eq!(with_body_hash(&with_body_hash("/e?a=1&b", b"y"), b"x"), once);
    assert!(with_body_hash("/e", b"x").starts_with("/e?bodySHA256="));
    assert!(with_body_hash("/e?", b"x").starts_with("/e?bodySHA256="));
}

#[test]
fn a_key_never_shows_its_secret() {
    assert_eq!(format!("{:?}", key()), "SigningKey");
}

#[test]
fn a_get_may_have_been_escaped_after_it_was_signed() {
    let signature = sign(&key(), "https://h/?from=a@b:c", &Content::Nothing);
    let sent = "https://h/?from=a%40b%3Ac";
    let header = Some(signature.as_bytes());
    assert!(verify_url(&[key()], sent, &Content::Nothing, true, header).is_ok());
    assert!(verify_url(&[key()], sent, &Content::Nothing, false, header).is_err());
}

proptest! {
    #[test]
    fn a_signed_form_verifies_in_any_order_and_not_with_any_one_changed_byte(
        sent in prop::collection::vec((".{1,8}", ".{0,8}"), 1..6),
        shuffle in any::<prop::sample::Index>(),
        position in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let url = "https://user@h.example.com:8443/twilio/status?a=1";
        let signature = sign(&key(), url, &form(&owned(&sent)));
        prop_assert!(check(url, &form(&owned(&sent)), &signature).is_ok());

        let mut turned = sent.clone();
        turned.rotate_left(shuffle.index(sent.len()));
        turned.push(sent[0].clone());
        prop_assert!(check(url, &form(&owned(&turned)), &signature).is_ok());

        // One byte of one name or value; a duplicate would keep the old pair in the set.
        let mut unique = sent.clone();
        unique.sort();
        unique.dedup();
        let at = position.index(unique.len());
        let mut pairs = owned(&unique);
        let in_name = unique[at].1.is_empty() || flip % 2 == 0;
        let mut changed = if in_name { &unique[at].0 } else { &unique[at].1 }.clone().into_bytes();
        let byte = position.index(changed.len());
        changed[byte] ^= flip;
        *(if in_name { &mut pairs[at].0 } else { &mut pairs[at].1 }) = Text::from(changed.as_slice());
        // No delimiters are signed: a change may yield the same string in another way.
        let text = |content: &Content<'_>| -> Vec<u8> {
            signed_parameters(content).pieces().flatten().copied().collect::<Vec<u8>>()
        };
        prop_assume!(text(&form(&pairs)) != text(&form(&owned(&sent))));
        prop_assert_eq!(check(url, &form(&pairs), &signature), Err(SignatureError::Mismatch));
    }

    #[test]
    fn any_one_changed_byte_of_the_url_is_noticed(
        position in any::<prop::sample::Index>(),
        replacement in "[a-z0-9]",
    ) {
        let url = "https://h.example.com/twilio/status?a=1";
        let signature = sign(&key(), url, &Content::Nothing);
        let at = position.index(url.len());
        let mut changed = url.to_owned();
        changed.replace_range(at..=at, &replacement);
        prop_assume!(changed != url);
        prop_assert!(check(&changed, &Content::Nothing, &signature).is_err());
    }
}

/// The hashing that one forged request causes.
fn work_of(
    keys: usize,
    bases: usize,
    path_and_query: &str,
    body: &[u8],
    settings: Option<&[u8]>,
) -> Work {
    let keys: Vec<_> = (0..keys).map(|n| SigningKey::new(format!("key {n}").as_bytes())).collect();
    let pairs = form::pairs(body);
    let content =
        if body.is_empty() { Content::Nothing } else { Content::Form { pairs: &pairs, body } };
    let header = sign(&key(), "https://elsewhere.example", &Content::Nothing);
    let claim = ClaimedSignature::new(&content, body.is_empty(), Some(header.as_bytes()), settings);
    let claim = claim.expect("a signature by its shape");
    let bases: Vec<_> = (0..bases).map(|base| format!("https://h{base}.example.com")).collect();
    let bases = bases.iter().map(String::as_str);
    assert_eq!(claim.verify(keys.iter(), &bases, path_and_query), Err(SignatureError::Mismatch));
    claim.work.get()
}

#[test]
fn a_forged_request_of_any_shape_costs_a_bounded_number_of_hashed_bytes() {
    let marks = format!("/twilio/message?{}", "'@:%27%40%3A".repeat(1365));
    let form = "a=".to_owned() + &"%61".repeat(21_000);
    let many = "a=+&".repeat(512);
    for (keys, bases) in [(1, 1), (4, 1), (4, 4), (64, 1), (64, 16), (10_000, 64)] {
        for (target, body) in [
            (marks.as_str(), ""),
            ("/x", form.as_str()),
            (marks.as_str(), form.as_str()),
            ("/x", many.as_str()),
            ("/x", ""),
        ] {
            for settings in [None, Some(&b"key=unknown"[..])] {
                let work = work_of(keys, bases, target, body.as_bytes(), settings);
                assert!(work.bytes <= MAX_HASHED, "{keys} keys, {bases} bases: {work:?}");
                assert!(work.hmacs > 0 && work.hmacs <= MAX_HASHED / OF_AN_HMAC, "{work:?}");
            }
        }
    }
}

/// Whether the last of the keys and the last of the bases are found for a request of that shape.
fn is_found(keys: u32, bases: u32, path_and_query: &str, content: &Content<'_>) -> bool {
    let key = |n: u32| SigningKey::new(format!("key {n}").as_bytes());
    let keys: Vec<_> = (0..keys).map(key).collect();
    let bases: Vec<_> = (0..bases).map(|base| format!("https://h{base}.example.com")).collect();
    let url = format!("{}{path_and_query}", bases.last().expect("a base"));
    let header = sign(keys.last().expect("a key"), &url, content);
    let is_get = matches!(content, Content::Nothing);
    let presented =
        Presented { bases: &bases, path_and_query, content: *content, is_get, settings: None };
    verify(&keys, &presented, Some(header.as_bytes())) == Ok(Match { key: keys.len() - 1 })
}

#[test]
fn a_large_honest_body_is_accepted_for_the_last_public_url_with_the_most_keys() {
    let marks = "/twilio/message?x=it's%27";
    // A form names its account: two auth tokens.
    let body = "a=".to_owned() + &"x".repeat((64 << 10) - 2);
    let pairs = form::pairs(body.as_bytes());
    let content = Content::Form { pairs: &pairs, body: body.as_bytes() };
    for bases in [1, 2] {
        assert!(is_found(2, bases, marks, &content), "{bases}");
    }
    // A shorter form, with more of everything.
    let body = "a=".to_owned() + &"x".repeat(8 << 10);
    let pairs = form::pairs(body.as_bytes());
    let content = Content::Form { pairs: &pairs, body: body.as_bytes() };
    assert!(is_found(4, 8, marks, &content));
    // A batch of Event Streams names no account, so 64 keys are tried.
    let body = vec![b'x'; 1 << 20];
    for (bases, query) in [(1, ""), (2, "&x='"), (10, "&x=it's%27")] {
        let path = with_body_hash(&format!("/twilio/events?k=1{query}"), &body);
        assert!(is_found(64, bases, &path, &Content::Other(&body)), "{bases} {query}");
    }
    // A GET of an inbound message.
    let query = format!("/twilio/message?Body={}%27%40%3A", "%E3%81%82".repeat(1600));
    assert!(is_found(4, 4, &query, &Content::Nothing));
}

#[test]
fn all_spellings_of_the_longest_callback_are_tried_with_every_key_of_an_account() {
    // An inbound message of 1,600 characters of three bytes each, escaped, with two auth tokens.
    let query = format!("/twilio/message?Body={}%27%40%3A", "%E3%81%82".repeat(1600));
    let work = work_of(1, 1, &query, b"", None);
    assert_eq!(work.hmacs, 2 * 4, "{work:?}");
    let body = format!("Body={}", "%E3%81%82".repeat(1600));
    assert_eq!(work_of(4, 2, "/twilio/message?x=%27", body.as_bytes(), None).hmacs, 4 * 2 * 2 * 2);
}

#[test]
fn a_url_is_hashed_once_for_each_key_and_spelling() {
    assert_eq!(
        work_of(3, 1, "/twilio/status", b"a=1", None).hmacs,
        3 * 2,
        "with and without the port"
    );
    assert_eq!(work_of(3, 2, "/twilio/status?a='", b"a=1", None).hmacs, 3 * 2 * 2 * 2);
}
