//! Floods of the operator's listener and of the control socket: each has its own connections and
//! descriptors, so that a flood takes none from public requests, probes or commands.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::abuse::many_connections::affordable;
use crate::harness::http_client;
use crate::harness::running::{BINARY, Running, wrapped};
use crate::harness::twilio::Twilio;
use crate::harness::{LONG, eventually, signed, status_callback};
use crate::slow_clients::open_files;

/// Heads that never end, bodies that never come, and a second request that never ends.
const HALF_OPEN: [&str; 4] = [
    "",
    "GET /readyz HTTP/1.1\r\nHost: localhost\r\n",
    "POST /stats HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{",
    "GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\nG",
];
/// The time limit of a request on a busy machine. Without a free connection it would wait for the
/// deadlines of other connections.
const AT_MOST: Duration = Duration::from_secs(4);
const DESCRIPTORS: usize = 256;

#[test]
fn half_open_requests_to_the_operator_and_the_control_socket_delay_no_other_listener() {
    affordable();
    let (twilio, folder) = (Twilio::start(), tempfile::tempdir().expect("a folder"));
    let store = folder.path().join("store");
    let limited = format!("ulimit -n {DESCRIPTORS}; exec {BINARY} serve");
    let mut service = Running::start(wrapped(&["/bin/sh", "-c", &limited], &store, &twilio, &[]));
    let socket = store.join("control.sock");
    let stats = || {
        let mut command = Command::new(BINARY);
        command
            .arg("stats")
            .env_clear()
            .env("HEARDBACK_STORE", format!("sled:{}", store.display()));
        command.output().expect("it ran")
    };
    let mut ops: Vec<TcpStream> = Vec::new();
    let mut control: Vec<UnixStream> = Vec::new();
    for (number, bytes) in (1..=986).zip(HALF_OPEN.iter().cycle()) {
        let mut stream = TcpStream::connect(service.ops).expect("connected");
        // The service may have closed this connection already.
        let _ = stream.write_all(bytes.as_bytes());
        ops.push(stream);
        if number % 3 == 0 {
            let mut stream = UnixStream::connect(&socket).expect("connected");
            let _ = stream.write_all(bytes.as_bytes());
            control.push(stream);
        }
        if number % 120 == 0 {
            let within = |what: &str, began: Instant| {
                assert!(began.elapsed() < AT_MOST, "{what} {number}: {:?}", began.elapsed());
            };
            let began = Instant::now();
            let answer =
                service.exchange(&http_client::bytes(&signed(&status_callback(number, "sent"))));
            assert_eq!(answer.status, 204, "{number}");
            within("a webhook", began);
            let began = Instant::now();
            assert_eq!(service.operator("/readyz").status, 200, "{number}");
            within("a probe", began);
            let began = Instant::now();
            let said = stats();
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
            within("a command", began);
            assert!(open_files(&service) < DESCRIPTORS, "{}", open_files(&service));
        }
    }
    assert!(!service.logs().contains("Too many open files"), "{}", service.logs());
    // The rest is closed after ten seconds without a complete request.
    let (mut last, mut last_control) = (ops.pop().expect("one"), control.pop().expect("one"));
    for stream in [&mut last as &mut dyn std::io::Read, &mut last_control] {
        let mut rest = Vec::new();
        // An end of file or a reset: both mean that the connection is closed.
        let _ = stream.read_to_end(&mut rest);
    }
    drop((ops, control));
    eventually("their descriptors are free", LONG, || open_files(&service) < 64);
    service.signal(rustix::process::Signal::TERM);
    assert!(service.ends_within(LONG).success(), "{}", service.logs());
}

#[test]
fn a_long_command_on_the_control_socket_is_not_closed_for_newer_connections() {
    let harness = crate::harness::Harness::new(&[]);
    let socket = harness.store().join("control.sock");
    let mut watch = UnixStream::connect(&socket).expect("connected");
    watch.set_read_timeout(Some(LONG)).expect("set");
    let body = r#"{"seconds":60,"count":1}"#;
    let head = format!(
        "POST /refused/watch HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    watch.write_all(head.as_bytes()).expect("sent");
    harness.service.says("watch of rejected requests began");
    let idle: Vec<_> = (0..100).map(|_| UnixStream::connect(&socket).expect("connected")).collect();
    let forged = status_callback(7, "sent");
    assert_eq!(harness.service.exchange(&http_client::bytes(&forged)).status, 403);
    let mut said = Vec::new();
    while !String::from_utf8_lossy(&said).contains("recording") {
        let mut buffer = [0; 4096];
        let count = watch.read(&mut buffer).expect("it is still served");
        assert!(count > 0, "closed: {}", String::from_utf8_lossy(&said));
        said.extend_from_slice(&buffer[..count]);
    }
    drop(idle);
}
