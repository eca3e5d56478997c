//! Requests that only a timeout can end, all at once, in addition to those of `slow_clients.rs`; and
//! half-closed connections.

use std::thread;
use std::time::{Duration, Instant};

use crate::abuse::base::{Base, REFUSED};
use crate::abuse::honest_is_answered_within_a_second;
use crate::harness::{Harness, LONG};

/// The five seconds of a body, with tolerance for a busy machine.
const AT_MOST: Duration = Duration::from_secs(10);

#[test]
fn a_body_that_is_announced_and_never_comes_is_408_after_five_seconds() {
    let harness = &Harness::new(&[]);
    let base = Base::of(REFUSED);
    let rows = [
        ("a chunk of 2^64-1 bytes", base.chunks("FFFFFFFFFFFFFFFF\r\nabc")),
        ("a chunk of 1 GiB", base.chunks("40000000\r\nabc")),
        ("an extension that never ends", base.chunks("5;aaaaaaaa")),
        ("trailers that never end", base.chunks("0\r\nX: y\r\n")),
        (
            "Upgrade: websocket, with a length",
            base.with("Connection: Upgrade\r\nUpgrade: websocket"),
        ),
        ("Upgrade: websocket", base.framed("Connection: Upgrade\r\nUpgrade: websocket")),
    ];
    thread::scope(|scope| {
        let ends = rows.map(|(name, bytes)| {
            let wait = move || {
                let mut line = harness.service.line();
                let began = Instant::now();
                line.send(bytes.as_bytes());
                let answer = line.answer();
                let answer = answer.unwrap_or_else(|| unreachable!("no answer: {name}"));
                assert_eq!(answer.status, 408, "{name}");
                assert!(began.elapsed() < AT_MOST, "{name}: {:?}", began.elapsed());
                assert!(line.is_closed_within(AT_MOST), "{name}: still open");
                println!("| {name} | 408 closed | {:?} |", began.elapsed());
            };
            scope.spawn(wait)
        });
        while ends.iter().any(|end| !end.is_finished()) {
            honest_is_answered_within_a_second(harness, "bodies that never come");
            thread::park_timeout(Duration::from_millis(20));
        }
        assert!(ends.map(thread::ScopedJoinHandle::join).iter().all(Result::is_ok), "see above");
    });
    assert!(harness.message(REFUSED).is_none());
}

#[test]
fn half_a_request_and_half_a_connection_is_400_or_closed_at_once() {
    let harness = Harness::new(&[]);
    let base = Base::of(REFUSED);
    let cut = |from_end: usize| base.whole[..base.whole.len() - from_end].to_owned();
    for (name, bytes, expected) in [
        ("nothing", String::new(), None),
        ("half a head", base.whole[..30].to_owned(), None),
        ("all but one byte of the body", cut(1), Some(400)),
        ("half a chunk", base.chunks("ff\r\nabc"), Some(400)),
        ("chunks without the last", base.chunks("3\r\nabc\r\n"), Some(400)),
    ] {
        let mut line = harness.service.line();
        line.send(bytes.as_bytes());
        line.end();
        honest_is_answered_within_a_second(&harness, name);
        assert_eq!(line.answer().map(|answer| answer.status), expected, "{name}");
        assert!(line.is_closed_within(LONG), "{name}");
    }
    assert!(harness.message(REFUSED).is_none());
}
