//! Forms: the decoder agrees with `serde_urlencoded`, and loses nothing.
//!
//! `serde_urlencoded` replaces bytes that are not UTF-8; Heardback keeps them.

use heardback::twilio::form::{Text, pairs};

/// Reads `data` as a form, and as the pairs of a new form.
pub fn holds(data: &[u8]) {
    reads_as_others_do(data);
    comes_back(data);
}

fn reads_as_others_do(body: &[u8]) {
    let ours = decoded(body);
    let theirs: Vec<(String, String)> =
        serde_urlencoded::from_bytes(body).expect("it never refuses pairs of text");
    assert_eq!(ours.len(), theirs.len(), "as many pairs");
    for ((name, value), (their_name, their_value)) in ours.iter().zip(&theirs) {
        assert_eq!(String::from_utf8_lossy(name), *their_name);
        assert_eq!(String::from_utf8_lossy(value), *their_value);
    }
    // Escaping every byte of the pairs, and decoding it, changes nothing.
    let hex = |byte: &u8| format!("%{byte:02x}");
    let escaped = |bytes: &[u8]| bytes.iter().map(hex).collect::<Vec<_>>().concat();
    let again = ours.iter().map(|(name, value)| format!("{}={}", escaped(name), escaped(value)));
    let again = again.collect::<Vec<_>>().join("&");
    assert_eq!(decoded(again.as_bytes()), ours);
    assert!(pairs(again.as_bytes()) == pairs(body), "equal pairs have equal forms");
    // A form that is cut between pairs has the same pairs.
    if let Some(at) = body.iter().position(|byte| *byte == b'&') {
        let (head, tail) = body.split_at(at);
        let apart: Vec<_> = decoded(head).into_iter().chain(decoded(tail)).collect();
        assert_eq!(apart, ours);
    }
}

fn decoded(body: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let decoded = |text: Text<'_>| text.decoded().into_owned();
    pairs(body).into_iter().map(|(name, value)| (decoded(name), decoded(value))).collect()
}

/// Any text is encoded and decoded without loss.
fn comes_back(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let words: Vec<&str> = text.split('\n').collect();
    let sent: Vec<(&str, &str)> =
        words.chunks(2).map(|of| (of[0], of.get(1).copied().unwrap_or_default())).collect();
    let body = serde_urlencoded::to_string(&sent).expect("pairs of text");
    let read = decoded(body.as_bytes());
    let read: Vec<(&str, &str)> =
        read.iter().map(|(name, value)| (utf8(name), utf8(value))).collect();
    assert_eq!(read, sent);
}

fn utf8(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the input is text")
}
