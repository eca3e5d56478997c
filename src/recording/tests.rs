//! Recordings are read and written without loss, and a signed recording verifies.

use proptest::prelude::*;

use super::*;
use crate::twilio::signature::{Match, SignatureError, verify_url};

const STATUS: &str = "# a status callback\n#  indented\n#\n\
    POST /twilio/status?x=1 HTTP/1.1\n\
    content-type: application/x-www-form-urlencoded; charset=UTF-8\n\
    X-Twilio-Signature:old\n\
    \n\
    MessageSid=SM1&To=%2B1555\n";
const BASE: &str = "https://hooks.example.com/prefix";

fn parsed(file: &str) -> Recording {
    Recording::parse(file.as_bytes()).expect("a recording")
}

fn key() -> SigningKey {
    SigningKey::new(b"12345")
}

fn judged(recording: &Recording, content: &Content<'_>) -> Result<Match, SignatureError> {
    let header = recording.header("x-twilio-signature").map(str::as_bytes);
    let url = format!("{BASE}{}", recording.target);
    verify_url(&[key()], &url, content, recording.method == "GET", header)
}

#[test]
fn a_file_is_read_with_either_line_ending() {
    for file in [STATUS.to_owned(), STATUS.replace('\n', "\r\n")] {
        let recording = parsed(&file);
        assert_eq!(recording.notes, ["a status callback", " indented", ""]);
        assert_eq!(recording.method, "POST");
        assert_eq!(recording.target, "/twilio/status?x=1");
        assert_eq!(recording.header("X-TWILIO-SIGNATURE"), Some("old"));
        assert_eq!(recording.header("Host"), None);
        assert!(recording.is_form());
        assert_eq!(recording.body, b"MessageSid=SM1&To=%2B1555");
    }
}

#[test]
fn a_note_keeps_the_blanks_at_its_end() {
    let file = b"#\n# \n#  \n# a  \nPOST / HTTP/1.1\n";
    let recording = Recording::parse(file).expect("a recording");
    assert_eq!(recording.notes, ["", "", " ", "a  "]);
    assert_eq!(Recording::parse(&recording.to_bytes()), Ok(recording));
}

#[test]
fn only_one_final_line_break_is_the_files_own() {
    let body = |file: &str| parsed(&format!("POST / HTTP/1.1\n{file}")).body;
    assert_eq!(body("\na\n\n"), b"a\n");
    assert_eq!(body("\na\r\n"), b"a\r");
    assert_eq!(body("\na"), b"a");
    assert_eq!(body("\n"), b"");
    assert_eq!(body(""), b"");
    assert_eq!(body("Content-Length: 2\n\na\n"), b"a\n");
    assert_eq!(body("Content-Length: 2\n\na\n\n"), b"a\n");
}

#[test]
fn a_broken_file_is_rejected_with_its_line_and_the_expected_text() {
    let request_line = "expected a request line such as `POST /path HTTP/1.1`";
    let header = "expected a header such as `Name: value`, or a blank line";
    let length = "line 4: expected a body of 3 bytes, as Content-Length says";
    let cases = [
        ("", format!("line 1: {request_line}")),
        ("# only a note\n", format!("line 2: {request_line}")),
        ("# a\nPOST https://h/ HTTP/1.1\n\n", format!("line 2: {request_line}")),
        ("POST /a b HTTP/1.1\n\n", format!("line 1: {request_line}")),
        ("POST /a\n\n", format!("line 1: {request_line}")),
        ("POST / HTTP/1.1\nA: b\na=b&c=d\n", format!("line 3: {header}")),
        ("POST / HTTP/1.1\nA : b\n\n", format!("line 2: {header}")),
        (
            "POST / HTTP/1.1\nContent-Length: x\n\n",
            "line 2: expected a Content-Length in digits".to_owned(),
        ),
        ("POST / HTTP/1.1\nContent-Length: 3\n\nab", length.to_owned()),
        ("POST / HTTP/1.1\nContent-Length: 3\n\nabcd\n", length.to_owned()),
    ];
    for (file, message) in cases {
        let error = Recording::parse(file.as_bytes()).expect_err("refused");
        assert_eq!(error.to_string(), message, "{file}");
    }
    for file in ["# a\r\r\nPOST / HTTP/1.1\n", "# a\nPOST / HTTP/1.1\nA: b\rc\n\n"] {
        let error = Recording::parse(file.as_bytes()).expect_err("refused").to_string();
        assert!(error.ends_with("expected no carriage return but before a line feed"), "{error}");
    }
    let error = Recording::parse(b"POST / HTTP/1.1\nA: \xff\n\n").expect_err("refused");
    assert_eq!(error.to_string(), "line 2: expected UTF-8 text");
}

/// The target with the hash of the body `[]`.
const SIGNED_EVENTS: &str = "/twilio/events?k=1&bodySHA256=\
    4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945";

#[test]
fn a_form_is_signed_by_its_parameters_other_bodies_by_their_hash_and_a_get_by_its_url() {
    let form = parsed(STATUS);
    let pairs = form::pairs(&form.body);
    let of_form = Content::Form { pairs: &pairs, body: &form.body };
    assert_eq!(judged(&form, &of_form), Err(SignatureError::Malformed));
    let json = "POST /twilio/events?k=1&bodySHA256=old HTTP/1.1\n\
        Content-Type: application/json\n\n[]\n";
    for (recording, target, content) in [
        (form.clone(), "/twilio/status?x=1", of_form),
        (parsed(json), SIGNED_EVENTS, Content::Other(b"[]")),
        (parsed("GET /twilio/call?a=1 HTTP/1.1\n"), "/twilio/call?a=1", Content::Nothing),
        (parsed("POST /twilio/call?a=1 HTTP/1.1\n"), "/twilio/call?a=1", Content::Nothing),
    ] {
        let signed = recording.signed(&key(), BASE);
        assert_eq!(signed.target, target);
        assert_eq!(signed.headers_named(SIGNATURE).count(), 1);
        assert_eq!(judged(&signed, &content), Ok(Match { key: 0 }));
        assert_eq!(signed.signed(&key(), BASE), signed);
    }
}

#[test]
fn a_content_length_is_written_as_it_is() {
    let mut recording = parsed("POST / HTTP/1.1\nContent-Length: 2\n\nab\n");
    recording.body = b"abc\n".to_vec();
    let again = Recording::parse(&recording.to_bytes()).expect("a recording");
    assert_eq!(again.header("Content-Length"), Some("4"));
    assert_eq!(again.body, b"abc\n");
}

proptest! {
    #[test]
    fn a_written_recording_is_read_without_loss(
        notes in prop::collection::vec(r"\PC*", 0..3),
        method in "[A-Z]{1,8}",
        target in r"/[!-~ż]{0,20}",
        headers in prop::collection::vec(("X-[A-Za-z0-9-]{1,8}", r"([!-~ł]([ -~]{0,8}[!-~])?)?"), 0..4),
        body in prop::collection::vec(any::<u8>(), 0..40),
    ) {
        let recording = Recording { notes, method, target, headers, body };
        let again = Recording::parse(&recording.to_bytes());
        prop_assert_eq!(again, Ok(recording));
    }

    #[test]
    fn no_bytes_make_the_reader_panic(file in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Recording::parse(&file);
    }
}
