//! Malformed and unusual requests, with a valid signature if the shape allows one: a malformed
//! request is refused even with a valid signature.

use crate::abuse::base::{Base, REFUSED};
use crate::abuse::honest_is_answered_within_a_second;
use crate::harness::http_client::{self, Line};
use crate::harness::{Harness, LONG, get, signed};

/// The message in accepted requests.
const TAKEN: u32 = 8;

/// The bytes to send, and the expected result: the statuses, and whether the connection is closed
/// or kept.
type Row = (&'static str, String, &'static str);

fn framing(bad: &Base, good: &Base) -> Vec<Row> {
    let length = bad.length();
    let both = "Transfer-Encoding: chunked\r\nContent-Length: 5";
    vec![
        (
            "Content-Length and Transfer-Encoding",
            bad.with("Transfer-Encoding: chunked"),
            "400 closed",
        ),
        (
            "the same, a whole request behind it",
            bad.head(both) + "0\r\n\r\n" + &bad.whole,
            "400 closed",
        ),
        ("two Content-Lengths, equal", bad.with(&length), "400 closed"),
        ("two Content-Lengths that differ", bad.with("Content-Length: 5"), "400 closed"),
        ("Content-Length as a list", bad.framed("Content-Length: 5, 5"), "400 closed"),
        ("Content-Length with a plus", bad.framed("Content-Length: +5"), "400 closed"),
        ("Content-Length below zero", bad.framed("Content-Length: -1"), "400 closed"),
        ("Content-Length in hexadecimal", bad.framed("Content-Length: 0x10"), "400 closed"),
        ("Content-Length empty", bad.framed("Content-Length: "), "400 closed"),
        (
            "Content-Length of 20 digits",
            bad.framed(&format!("Content-Length: {}", "9".repeat(20))),
            "400 closed",
        ),
        (
            "Content-Length of 2^64-1",
            bad.framed("Content-Length: 18446744073709551615"),
            "413 closed",
        ),
        ("a body without a length", bad.framed("X: y"), "403 400 closed"),
        ("a body longer than its length", good.whole.clone() + "&x=1\r\n\r\n", "204 400 closed"),
        ("Transfer-Encoding: gzip, chunked", bad.encoded("gzip, chunked"), "400 closed"),
        ("Transfer-Encoding: chunked, identity", bad.encoded("chunked, identity"), "400 closed"),
        ("Transfer-Encoding: identity", bad.encoded("identity"), "400 closed"),
        ("Transfer-Encoding: xchunked", bad.encoded("xchunked"), "400 closed"),
        ("Transfer-Encoding: [VT]chunked", bad.encoded("\u{b}chunked"), "400 closed"),
        (
            "Transfer-Encoding twice",
            bad.encoded("chunked\r\nTransfer-Encoding: chunked"),
            "400 closed",
        ),
        ("Transfer-Encoding: Chunked", good.encoded("Chunked"), "204 kept"),
        (
            "Transfer-Encoding in HTTP/1.0",
            bad.encoded("chunked").replacen("HTTP/1.1", "HTTP/1.0", 1),
            "400 closed",
        ),
        ("a chunk of 17 digits", bad.chunks("FFFFFFFFFFFFFFFFF\r\nabc"), "400 closed"),
        ("a chunk below zero", bad.chunks("-1\r\nabc"), "400 closed"),
        ("a chunk of 0x10", bad.chunks("0x10\r\nabc"), "400 closed"),
        ("a chunk of 1_0", bad.chunks("1_0\r\nabc"), "400 closed"),
        ("a space before a chunk's size", bad.chunks(" 5\r\nabcde\r\n"), "400 closed"),
        ("a chunk without a size", bad.chunks("\r\n"), "400 closed"),
        ("a chunk longer than its size", bad.chunks("5\r\nabcdefgh\r\n0\r\n\r\n"), "400 closed"),
        ("chunks with bare LF", bad.chunks(&bad.chunk().replace("\r\n", "\n")), "400 closed"),
        (
            "a bare LF in a chunk's extension",
            bad.chunks(&bad.chunk().replacen("\r\n", ";a\nb\r\n", 1)),
            "400 closed",
        ),
        (
            "a thousand zeros before a chunk's size",
            good.chunks(&("0".repeat(1000) + &good.chunk())),
            "204 kept",
        ),
        (
            "a chunk's extension of 1 MiB",
            good.chunks(&good.chunk().replacen(
                "\r\n",
                &format!(";{}\r\n", "a".repeat(1 << 20)),
                1,
            )),
            "204 kept",
        ),
        (
            "a trailer that names another signature",
            good.chunks(&good.chunk().replacen(
                "0\r\n\r\n",
                "0\r\nX-Twilio-Signature: a\r\n\r\n",
                1,
            )),
            "204 kept",
        ),
    ]
}

fn heads(bad: &Base, good: &Base) -> Vec<Row> {
    let long = |length: usize| format!("X: {}", "a".repeat(length));
    let signature = "X-Twilio-Signature: ";
    vec![
        ("a folded header", bad.with("X: a\r\n b"), "400 closed"),
        ("a folded signature", bad.swap(signature, "X-Twilio-Signature:\r\n "), "400 closed"),
        ("no Host", bad.swap("Host: x\r\n", ""), "400 closed"),
        ("two Hosts", bad.with("Host: y"), "400 closed"),
        ("another Host", good.swap("Host: x", "Host: evil.example"), "204 kept"),
        ("bare LF as line ends", good.whole.replace("\r\n", "\n"), "204 kept"),
        ("a bare CR in a header", bad.with("X: a\rb"), "400 closed"),
        ("a space before the colon", bad.with("X : a"), "400 closed"),
        (
            "Content-Length, a space before its colon",
            bad.framed("Content-Length : 5"),
            "400 closed",
        ),
        ("NUL in a header's value", bad.with("X: a\0b"), "400 closed"),
        ("NUL in a header's name", bad.with("X\0: a"), "400 closed"),
        ("a header without a name", bad.with(": a"), "400 closed"),
        ("a header without a colon", bad.with("abc"), "400 closed"),
        ("a space before the first header", bad.swap("Host: x", " Host: x"), "400 closed"),
        ("a space before the request", format!(" {}", bad.whole), "400 closed"),
        ("empty lines before the request", format!("\r\n\r\n{}", good.whole), "204 kept"),
        ("96 headers", good.headers(96), "204 kept"),
        ("97 headers", bad.headers(97), "431 closed"),
        ("500 headers", bad.headers(500), "431 closed"),
        ("a header of 100 KiB", good.with(&long(100 << 10)), "204 kept"),
        ("a header of 200 KiB", bad.with(&long(200 << 10)), "431 closed"),
        (
            "a signature of 100 KiB",
            bad.swap(signature, &format!("{signature}{}", "a".repeat(100 << 10))),
            "403 closed",
        ),
        (
            "two signatures, the wrong one first",
            bad.swap(signature, &format!("{signature}AAAA\r\n{signature}")),
            "403 closed",
        ),
        ("HTTP/1.0", good.version("HTTP/1.0"), "204 closed"),
        ("HTTP/1.0, unsigned", bad.unsigned.replacen("HTTP/1.1", "HTTP/1.0", 1), "403 closed"),
        ("HTTP/0.9", "GET /twilio/status\r\n\r\n".to_owned(), "400 closed"),
        ("HTTP/1.2", bad.version("HTTP/1.2"), "400 closed"),
        ("HTTP/2.0", bad.version("HTTP/2.0"), "400 closed"),
        ("http/1.1", bad.version("http/1.1"), "400 closed"),
        ("the preface of HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), "400 closed"),
        ("a TLS hello", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\r\n\r\n".to_owned(), "400 closed"),
        ("TRACE", bad.method("TRACE"), "405 closed"),
        ("CONNECT to a path", bad.method("CONNECT"), "405 closed"),
        ("PROPFIND", bad.method("PROPFIND"), "405 closed"),
        ("post", bad.method("post"), "405 closed"),
        ("a method of 5,000 letters", bad.method(&"A".repeat(5000)), "405 closed"),
        ("a method that is no token", bad.method("PO(ST"), "400 closed"),
        ("X-HTTP-Method-Override: DELETE", good.with("X-HTTP-Method-Override: DELETE"), "204 kept"),
        (
            "Expect: 100-continue, unsigned",
            bad.unsigned.replacen("Host: x", "Host: x\r\nExpect: 100-continue", 1),
            "100 403 closed",
        ),
        (
            "Expect: 100-continue, over the cap",
            bad.head("Expect: 100-continue\r\nContent-Length: 99999"),
            "100 413 closed",
        ),
        ("Expect: something else", good.with("Expect: 200-ok"), "204 kept"),
        (
            "Upgrade: h2c",
            good.with(
                "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk",
            ),
            "204 closed",
        ),
    ]
}

fn targets(bad: &Base, good: &Base) -> Vec<Row> {
    let long = |length: usize| bad.target(&format!("/twilio/status?{}", "a".repeat(length)));
    vec![
        (
            "absolute-form, another host",
            good.target("http://evil.example/twilio/status"),
            "204 kept",
        ),
        (
            "absolute-form, unsigned",
            bad.unsigned.replacen("/twilio", "https://hooks.example.com/twilio", 1),
            "403 closed",
        ),
        ("authority-form", bad.target("evil.example:443"), "404 closed"),
        (
            "CONNECT to a host",
            bad.method("CONNECT").replacen("/twilio/status", "evil.example:443", 1),
            "404 closed",
        ),
        ("asterisk-form", bad.target("*"), "404 closed"),
        ("/%74wilio/status", bad.target("/%74wilio/status"), "403 closed"),
        ("/twilio%2fstatus", bad.target("/twilio%2fstatus"), "404 closed"),
        ("/twilio/status%00", bad.target("/twilio/status%00"), "404 closed"),
        ("/twilio/status%", bad.target("/twilio/status%"), "404 closed"),
        ("//twilio/status", bad.target("//twilio/status"), "403 closed"),
        ("/./twilio/status", bad.target("/./twilio/status"), "404 closed"),
        ("/twilio/../twilio/status", bad.target("/twilio/../twilio/status"), "404 closed"),
        ("/twilio/status;a=1", bad.target("/twilio/status;a=1"), "404 closed"),
        ("/twilio;a=1/status", bad.target("/twilio;a=1/status"), "404 closed"),
        ("/twilio/status/", bad.target("/twilio/status/"), "403 closed"),
        ("/twilio\\status", bad.target("/twilio\\status"), "404 closed"),
        ("/twilio/STATUS", bad.target("/twilio/STATUS"), "404 closed"),
        ("/twilio/status? (nothing behind it)", bad.target("/twilio/status?"), "403 closed"),
        ("/twilio/status#fragment", good.target("/twilio/status#fragment"), "204 kept"),
        ("/twilio/status?a#fragment", bad.target("/twilio/status?a#fragment"), "403 closed"),
        ("a target in UTF-8", bad.target("/twilio/statüs"), "400 closed"),
        ("a target with a space", bad.target("/twilio/status x"), "400 closed"),
        ("a target with NUL", bad.target("/twilio/status\0"), "400 closed"),
        ("a target without a slash", bad.target("twilio/status"), "400 closed"),
        ("no target", bad.target(""), "400 closed"),
        ("a target of 15 KiB", long(15 << 10), "403 closed"),
        ("a target of 60 KiB", long(60 << 10), "414 closed"),
        ("a target of 70 KiB", long(70 << 10), "400 closed"),
        ("a target of 200 KiB", long(200 << 10), "431 closed"),
    ]
}

fn several(bad: &Base, good: &Base) -> Vec<Row> {
    let smuggling = bad.with("Transfer-Encoding: chunked");
    let with_a_body = http_client::bytes(&signed(&get("/twilio/status")));
    let with_a_body = String::from_utf8(with_a_body).expect("ASCII");
    let with_a_body = with_a_body.replacen("\r\n\r\n", "\r\nContent-Length: 3\r\n\r\nabc", 1);
    vec![
        (
            "honest, then forged, then honest, in one go",
            format!("{}{}{}", good.whole, bad.unsigned, bad.whole),
            "204 403 400 closed",
        ),
        (
            "forged, then honest, in one go",
            format!("{}{}", bad.unsigned, bad.whole),
            "403 400 closed",
        ),
        (
            "honest, then both lengths, then honest",
            format!("{}{smuggling}{}", good.whole, bad.whole),
            "204 400 closed",
        ),
        ("honest, then no HTTP", format!("{}garbage\r\n\r\n", good.whole), "204 400 closed"),
        (
            "no route, then honest",
            format!("{}{}", bad.target("/nowhere"), bad.whole),
            "404 400 closed",
        ),
        ("GET with a body", with_a_body, "403 closed"),
    ]
}

/// The response on a connection, as far as the row describes it.
fn comes_back(line: &mut Line, expected: &str) -> String {
    let mut words = Vec::new();
    for word in expected.split(' ') {
        words.push(match word {
            "closed" if line.is_closed_within(LONG) => "closed".to_owned(),
            "kept" => {
                line.send(Base::of(TAKEN).whole.as_bytes());
                let kept = line.answer().is_some_and(|answer| answer.status == 204);
                if kept { "kept" } else { "lost" }.to_owned()
            }
            "closed" => "open".to_owned(),
            _ => line.answer().map_or("nothing".to_owned(), |answer| answer.status.to_string()),
        });
    }
    words.join(" ")
}

fn check(rows: impl IntoIterator<Item = Row>) {
    let harness = Harness::new(&[]);
    let mut wrong = Vec::new();
    for (name, bytes, expected) in rows {
        let mut line = harness.service.line();
        // The service may have refused the request before all of it was sent.
        line.send(bytes.as_bytes());
        let took = honest_is_answered_within_a_second(&harness, name);
        let found = comes_back(&mut line, expected);
        println!("| {name} | {found} | {} ms |", took.as_millis());
        if found != expected {
            wrong.push(format!("{name}: {found}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "\n  {}", wrong.join("\n  "));
    assert!(harness.message(REFUSED).is_none(), "the store has the message of a refused request");
    assert!(harness.message(TAKEN).is_some());
    let known = "heardback_messages{state=\"untracked\"}";
    assert_eq!(
        harness.service.metric(known),
        2,
        "the honest caller's message, and the accepted one"
    );
    assert!(!harness.service.logs().contains("ERROR"), "{}", harness.service.logs());
}

#[test]
fn a_body_framed_in_two_ways_or_in_none_is_refused_with_the_requests_behind_it() {
    check(framing(&Base::of(REFUSED), &Base::of(TAKEN)));
}

#[test]
fn a_head_that_two_parsers_could_read_differently_is_refused() {
    check(heads(&Base::of(REFUSED), &Base::of(TAKEN)));
}

#[test]
fn a_target_is_accepted_as_it_was_signed_or_not_at_all() {
    check(targets(&Base::of(REFUSED), &Base::of(TAKEN)));
}

#[test]
fn a_request_pipelined_behind_a_refused_one_has_no_effect() {
    check(several(&Base::of(REFUSED), &Base::of(TAKEN)));
}
