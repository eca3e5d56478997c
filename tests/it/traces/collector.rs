//! A stand-in for an OpenTelemetry collector: accepts OTLP over HTTP, decodes the protobuf, and
//! sends the configured response.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;

use crate::harness::{LONG, eventually};

/// The response to a batch.
#[derive(Debug, Clone)]
pub(super) enum CollectorReply {
    /// With this status.
    Status(u16),
    /// With a redirect to this address.
    Redirect(SocketAddr),
    /// No response; the connection stays open.
    Silent,
}

/// One request as received.
#[derive(Debug, Clone)]
pub(super) struct Batch {
    /// Request line and headers.
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Batch {
    fn read(&self) -> ExportTraceServiceRequest {
        ExportTraceServiceRequest::decode(self.body.as_slice()).expect("OTLP")
    }

    /// The attributes of the service itself.
    pub(super) fn resource(&self, name: &str) -> Option<String> {
        let said = self.read();
        let resource = said.resource_spans.first()?.resource.clone()?;
        attribute(&resource.attributes, name)
    }

    fn spans(&self) -> Vec<Span> {
        let of = self.read().resource_spans.into_iter().flat_map(|of| of.scope_spans);
        of.flat_map(|scope| scope.spans).collect()
    }
}

struct Shared {
    reply: Mutex<CollectorReply>,
    batches: Mutex<Vec<Batch>>,
    stopped: AtomicBool,
}

pub(super) struct Collector {
    pub(super) addr: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    /// Starts the collector, which answers 200.
    pub(super) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let shared = Arc::new(Shared {
            reply: Mutex::new(CollectorReply::Status(200)),
            batches: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || serve(&listener, &serving));
        Self { addr, shared, thread: Some(thread) }
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(super) fn reply_with(&self, reply: CollectorReply) {
        *self.shared.reply.lock().expect("unpoisoned") = reply;
    }

    /// The requests so far.
    pub(super) fn batches(&self) -> Vec<Batch> {
        self.shared.batches.lock().expect("unpoisoned").clone()
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.batches().iter().flat_map(Batch::spans).collect()
    }

    /// Waits for the only span of that kind with that name.
    pub(super) fn span(&self, name: &str) -> Span {
        let found = || self.spans().into_iter().find(|span| span.name == name);
        eventually(&format!("a span {name:?}"), LONG, || found().is_some());
        found().expect("found")
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        // Wakes the thread in `accept`.
        let _ = TcpStream::connect(self.addr);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The value of an attribute as text.
pub(super) fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match found.value.clone() {
        Some(AnyValue { value: Some(Value::StringValue(text)) }) => Some(text),
        Some(AnyValue { value: Some(Value::IntValue(number)) }) => Some(number.to_string()),
        other => unreachable!("{name} holds {other:?}"),
    }
}

fn serve(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut silent = Vec::new();
    for mut stream in listener.incoming().flatten() {
        if shared.stopped.load(Ordering::Acquire) {
            break;
        }
        // A client that disconnects needs no response.
        let Ok(Some(batch)) = asked(&mut stream) else { continue };
        shared.batches.lock().expect("unpoisoned").push(batch);
        let reply = shared.reply.lock().expect("unpoisoned").clone();
        let line = match reply {
            CollectorReply::Status(status) => format!("{status} X\r\n"),
            CollectorReply::Redirect(to) => format!("307 X\r\nLocation: http://{to}/v1/traces\r\n"),
            CollectorReply::Silent => {
                silent.push(stream);
                continue;
            }
        };
        let answer = format!("HTTP/1.1 {line}Content-Length: 0\r\nConnection: close\r\n\r\n");
        let _ = stream.write_all(answer.as_bytes());
    }
}

/// One complete request; `None` if the client disconnects before its end.
fn asked(stream: &mut TcpStream) -> std::io::Result<Option<Batch>> {
    stream.set_read_timeout(Some(LONG))?;
    let mut request = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let end = request.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8_lossy(&request[..end]).into_owned();
            let length = head.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
            });
            if request.len() >= end + 4 + length.unwrap_or(0) {
                return Ok(Some(Batch { head, body: request.split_off(end + 4) }));
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(None),
            count => request.extend_from_slice(&buffer[..count]),
        }
    }
}
