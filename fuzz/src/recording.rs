//! Recordings: a file that is read, written and read again is unchanged; a recording that is signed again verifies.

use heardback::recording::Recording;
use heardback::twilio::form;
use heardback::twilio::signature::{Content, Match, SignatureError, SigningKey, verify_url};

const BASE: &str = "https://hooks.example.com/prefix";

/// Reads `data` as a `.http` file.
pub fn holds(data: &[u8]) {
    match Recording::parse(data) {
        Ok(recording) => {
            survives(&recording);
            is_trusted(&recording);
        }
        Err(error) => {
            let lines = data.split(|byte| *byte == b'\n').count();
            assert!((1..=lines + 1).contains(&error.line), "line {} of {lines}", error.line);
        }
    }
}

fn survives(recording: &Recording) {
    let file = recording.to_bytes();
    let again = Recording::parse(&file).expect("a written file is readable");
    // The written length is always correct.
    let mut expected = recording.clone();
    for (name, value) in &mut expected.headers {
        if name.eq_ignore_ascii_case("Content-Length") {
            *value = recording.body.len().to_string();
        }
    }
    assert_eq!(again, expected);
    assert_eq!(again.to_bytes(), file, "and written again it is the same file");
}

fn is_trusted(recording: &Recording) {
    let keys = [SigningKey::new(b"another"), SigningKey::new(b"12345")];
    let signed = recording.signed(&keys[1], BASE);
    let header = signed.header("x-twilio-signature").expect("signed").to_owned();
    let judged = |request: &Recording, body: &[u8]| {
        let pairs = form::pairs(body);
        let content = if request.method == "GET" {
            Content::Nothing
        } else if request.is_form() {
            Content::Form { pairs: &pairs, body }
        } else if body.is_empty() && request.header("Content-Type").is_none() {
            Content::Nothing
        } else {
            Content::Other(body)
        };
        let url = format!("{BASE}{}", request.target);
        let is_get = request.method == "GET";
        verify_url(&keys, &url, &content, is_get, Some(header.as_bytes()))
    };
    let verdict = judged(&signed, &signed.body);
    // The URL of a form may contain a foreign hash, which signing keeps.
    let own_hash = verdict == Err(SignatureError::BodyHashMismatch) && signed.is_form();
    assert!(verdict == Ok(Match { key: 1 }) || own_hash, "{verdict:?}");
    if signed.method != "GET" && !own_hash {
        let changed = [&signed.body, &b"&x"[..]].concat();
        let names_x =
            form::pairs(&signed.body).contains(&(b"x".as_slice().into(), b"".as_slice().into()));
        assert!(judged(&signed, &changed).is_err() || names_x, "another body");
    }
}
