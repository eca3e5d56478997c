//! Slow clients: callers that send slowly, or never end. Each is closed after about ten seconds,
//! and honest callers are not delayed meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::http_client::{self, Line};
use crate::harness::running::{BINARY, Running, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{Harness, LONG, eventually, signed, status_callback};

/// The watchdog's ten seconds, its interval of a second, and tolerance for a busy machine.
const CUT_OFF: Duration = Duration::from_secs(14);
/// The five seconds of a body or a head, two seconds for a last response, and tolerance.
const DEADLINE: Duration = Duration::from_secs(10);
/// The pause between two bytes of a slow client.
const PACE: Duration = Duration::from_millis(300);
/// The time limit for an honest caller, and the limit in nearly all cases.
const AT_MOST: Duration = Duration::from_secs(4);
const USUALLY: Duration = Duration::from_secs(1);

/// A form with a wrong length: it declares more bytes than it has.
fn endless() -> Vec<u8> {
    let request = signed(&status_callback(7, "sent"));
    let mut bytes = http_client::head(&request, request.body.len() + 1000);
    bytes.extend_from_slice(&request.body);
    bytes
}

fn endless_chunks() -> Vec<u8> {
    let mut bytes = http_client::chunked(&signed(&status_callback(7, "sent")), 20);
    bytes.truncate(bytes.len() - 5);
    bytes
}

fn good() -> Vec<u8> {
    http_client::bytes(&signed(&status_callback(8, "sent")))
}

/// A connection on which one request was answered already.
pub(crate) fn kept(harness: &Harness) -> Line {
    let mut line = harness.service.line();
    line.send(&good());
    assert_eq!(line.answer().expect("an answer").status, 204);
    line
}

/// Sends these bytes, then one byte after another without end; a response, if there is one, is 408.
fn trickle(mut line: Line, start: &[u8], byte: u8) {
    let began = Instant::now();
    line.send(start);
    while line.send(&[byte]) {
        assert!(began.elapsed() < CUT_OFF, "still open after {CUT_OFF:?}");
        thread::park_timeout(PACE);
    }
}

/// Sends these bytes and then none: a 408 comes within the deadline, and the connection ends.
fn starts_and_stops(mut line: Line, start: &[u8]) {
    let began = Instant::now();
    line.send(start);
    let answer = line.answer().expect("an answer");
    assert_eq!(answer.status, 408);
    assert!(answer.closes() && answer.body.is_empty(), "{}", answer.head);
    let start = String::from_utf8_lossy(start);
    assert!(line.is_closed_within(DEADLINE), "{start}\n{}", answer.head);
    assert!(began.elapsed() < DEADLINE, "{:?}", began.elapsed());
}

/// Sends these bytes and then none: the connection ends without a response.
fn is_cut_off(mut line: Line, start: &[u8]) {
    line.send(start);
    assert!(line.is_closed_within(CUT_OFF), "still open after {CUT_OFF:?}");
}

/// Sends honest requests until the end. Returns the duration of each.
fn honest(harness: &Harness, over: &AtomicBool) -> Vec<Duration> {
    let mut took = Vec::new();
    while !over.load(Ordering::Acquire) {
        let began = Instant::now();
        assert_eq!(harness.send(&status_callback(9, "sent")).status, 204);
        took.push(began.elapsed());
        thread::park_timeout(Duration::from_millis(50));
    }
    took
}

fn noticed_nothing(mut took: Vec<Duration>) {
    took.sort_unstable();
    let slow = took.iter().filter(|took| **took > USUALLY).count();
    assert!(took.len() > 20, "{}", took.len());
    assert!(slow * 20 <= took.len(), "{slow} of {} took longer than {USUALLY:?}", took.len());
    assert!(took.last().is_some_and(|longest| *longest < AT_MOST), "{:?}", took.last());
}

#[test]
fn a_request_that_never_ends_is_cut_off_and_honest_callers_are_not_delayed() {
    let harness = Harness::new(&[]);
    let harness = &harness;
    let over = &AtomicBool::new(false);
    let unsigned = b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\na";
    let over_cap = b"POST /twilio/status HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\na";
    thread::scope(|scope| {
        let calling = scope.spawn(move || honest(harness, over));
        let troublemakers = [
            // A body that never ends, signed or not, declared or in chunks, first or second.
            scope.spawn(|| starts_and_stops(harness.service.line(), &endless())),
            scope.spawn(|| starts_and_stops(harness.service.line(), &endless_chunks())),
            scope.spawn(|| starts_and_stops(harness.service.line(), unsigned)),
            scope.spawn(|| starts_and_stops(kept(harness), &endless())),
            scope.spawn(|| trickle(harness.service.line(), &endless(), b'&')),
            scope.spawn(|| trickle(kept(harness), &endless(), b'&')),
            // One over the cap.
            scope.spawn(|| {
                let mut line = harness.service.line();
                line.send(over_cap);
                assert_eq!(line.answer().expect("an answer").status, 413);
                assert!(line.is_closed_within(DEADLINE));
            }),
            // A head that never ends: actix has a timeout for the first, the watchdog for every
            // other.
            scope.spawn(|| starts_and_stops(harness.service.line(), b"P")),
            scope.spawn(|| trickle(harness.service.line(), b"GET / HTTP/1.1\r\nX: ", b'x')),
            scope.spawn(|| is_cut_off(kept(harness), b"P")),
            scope.spawn(|| is_cut_off(kept(harness), b"\r\n")),
            scope.spawn(|| trickle(kept(harness), b"POST /twilio/status HTTP/1.1\r\nX: ", b'x')),
            // No byte at all.
            scope.spawn(|| is_cut_off(kept(harness), b"")),
            scope.spawn(|| {
                let mut line = harness.service.line();
                // actix sends 408 before it closes, or the watchdog closes without a response.
                if let Some(answer) = line.answer() {
                    assert_eq!(answer.status, 408);
                }
                assert!(line.is_closed_within(CUT_OFF));
            }),
        ];
        let ends: Vec<_> = troublemakers.map(thread::ScopedJoinHandle::join).into_iter().collect();
        over.store(true, Ordering::Release);
        let took = calling.join().expect("honest callers are served");
        assert!(ends.iter().all(Result::is_ok), "see above");
        noticed_nothing(took);
    });
    assert!(harness.message(7).is_none(), "nothing of an unfinished request is stored");
    assert!(harness.service.metric("heardback_refusals_total{reason=\"too_slow\"}") >= 4);
}

#[test]
fn two_hundred_stuck_second_requests_delay_no_other_request() {
    let harness = Harness::new(&[]);
    let over = AtomicBool::new(false);
    let mut stuck: Vec<Line> = (0..200).map(|_| kept(&harness)).collect();
    for line in &mut stuck {
        line.send(b"P");
    }
    thread::scope(|scope| {
        let calling = scope.spawn(|| honest(&harness, &over));
        let cut_off = stuck.iter_mut().all(|line| line.is_closed_within(CUT_OFF));
        over.store(true, Ordering::Release);
        assert!(cut_off, "still open after {CUT_OFF:?}");
        noticed_nothing(calling.join().expect("honest callers are served"));
    });
}

pub(crate) fn open_files(service: &Running) -> usize {
    let folder = format!("/proc/{}/fd", service.pid().as_raw_nonzero());
    std::fs::read_dir(folder).expect("ours").count()
}

/// In kB.
fn resident(service: &Running) -> u64 {
    kilobytes(service, "VmRSS:")
}

/// A value of its `/proc` status, in kB.
pub(crate) fn kilobytes(service: &Running, name: &str) -> u64 {
    let path = format!("/proc/{}/status", service.pid().as_raw_nonzero());
    let status = std::fs::read_to_string(path).expect("ours");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).expect("a number")
}

#[test]
fn closed_connections_leave_no_file_descriptor_open() {
    let harness = Harness::new(&[]);
    drop(kept(&harness));
    let few = open_files(&harness.service) + 8;
    for number in 0..2000 {
        match number % 4 {
            0 => drop(harness.service.line()),
            1 => drop(kept(&harness)),
            2 => drop(harness.service.exchange(b"GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")),
            _ => drop(harness.service.line().send(&endless())),
        }
    }
    eventually("the descriptors are closed", LONG, || open_files(&harness.service) <= few);
    let resident = resident(&harness.service);
    assert!(resident < 200_000, "{resident} kB");
}

#[test]
fn a_client_that_uses_every_connection_does_not_stop_the_service() {
    let twilio = Twilio::start();
    let folder = tempfile::tempdir().expect("a folder");
    let limited = format!("ulimit -n 256; exec {BINARY} serve");
    let store = folder.path().join("store");
    let mut service = Running::start(wrapped(&["/bin/sh", "-c", &limited], &store, &twilio, &[]));
    let mut line = service.line();
    let mut number = 0;
    let mut tell = |line: &mut Line| {
        number += 1;
        line.send(&http_client::bytes(&signed(&status_callback(number, "sent"))));
        let status = line.answer().map(|answer| answer.status);
        assert_eq!(status, Some(204), "number {number}\n{}", service.logs());
    };
    tell(&mut line);
    // An unauthenticated connection is closed in favour of a newer one; these clients have signed, and stay.
    let mut insider = || {
        let mut line = service.line();
        tell(&mut line);
        line
    };
    let insiders: Vec<Line> = (0..40).map(|_| insider()).collect();
    let strangers: Vec<Line> = (0..200).map(|_| service.line()).collect();
    eventually("every connection is taken", LONG, || open_files(&service) >= 180);
    (0..500).for_each(|_| tell(&mut line));
    assert_eq!(service.operator("/readyz").status, 200, "the operator's descriptors are set aside");
    // A later client is served as soon as unauthenticated connections are closed.
    tell(&mut service.line());
    assert!(open_files(&service) < 256);
    drop((insiders, strangers));
    service.signal(rustix::process::Signal::TERM);
    assert!(service.ends_within(LONG).success(), "{}", service.logs());
}
