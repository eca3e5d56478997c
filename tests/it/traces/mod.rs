//! Traces from end to end: a signed request has an app's `traceparent`, the real binary exports
//! over OTLP, and the spans link the post to the app's request.

mod collector;

use std::path::Path;
use std::time::Duration;

use heardback::recording::Recording;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::http_client::{self, Answer};
use crate::harness::running::{Running, command};
use crate::harness::twilio::{Twilio, TwilioReply};
use crate::harness::{
    ACCOUNT, BASE, LONG, RECIPIENT, SENDER, TOKEN, code_entered, eventually, form, json, sid,
    signed, status_callback,
};
use crate::traces::collector::{Collector, CollectorReply, attribute};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";
const EVENTS: &str = "POST /app/events";
const POST: &str = "POST /2010-04-01/Accounts/{AccountSid}/Messages/{MessageSid}/Feedback.json";
/// A drain and the last flush.
const DRAINED: Duration = Duration::from_secs(28);

/// A service that exports to a collector, the Twilio it posts to, and a store that survives the
/// service.
struct Stage {
    service: Running,
    collector: Collector,
    twilio: Twilio,
    folder: tempfile::TempDir,
}

impl Stage {
    /// Spans are exported with the shortest delay.
    fn new(more: &[(&str, &str)]) -> Self {
        let (collector, twilio) = (Collector::start(), Twilio::start());
        let folder = tempfile::tempdir().expect("a folder");
        let service = start(folder.path(), &twilio, &collector.url(), more);
        Self { service, collector, twilio, folder }
    }

    /// Signed, with that `traceparent`, which is not part of the signature.
    fn send(&self, request: &Recording, traceparent: &str) -> Answer {
        let mut request = signed(request);
        request.headers.push(("traceparent".to_owned(), traceparent.to_owned()));
        self.service.exchange(&http_client::bytes(&request))
    }

    fn ends(&mut self) {
        self.service.signal(Signal::TERM);
        let end = self.service.ends_within(DRAINED);
        assert_eq!(end.code(), Some(0), "{}", self.service.logs());
    }

    fn restarts(&mut self, url: &str) {
        self.service = start(self.folder.path(), &self.twilio, url, &[]);
    }

    /// The log lines with that text.
    fn lines(&self, words: &str) -> Vec<Value> {
        let logs = self.service.logs();
        let lines = logs.lines().filter(|line| line.contains(words));
        lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
    }
}

fn start(folder: &Path, twilio: &Twilio, url: &str, more: &[(&str, &str)]) -> Running {
    let export = [("OTEL_EXPORTER_OTLP_ENDPOINT", url), ("OTEL_BSP_SCHEDULE_DELAY", "20")];
    let mut settings = export.to_vec();
    settings.extend(more);
    Running::start(command(&folder.join("store"), twilio, &settings))
}

fn sent(trace: &str) -> String {
    format!("00-{trace}-{CALLER}-01")
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The links of a post's span, as trace and span.
fn link(span: &Span) -> (String, String) {
    assert_eq!(span.links.len(), 1, "{span:?}");
    (hex(&span.links[0].trace_id), hex(&span.links[0].span_id))
}

fn said(span: &Span, name: &str) -> String {
    attribute(&span.attributes, name).unwrap_or_default()
}

#[test]
fn the_app_finds_its_request_and_the_resulting_post_in_its_own_trace() {
    // With an hour between batches, every received span was flushed at the end.
    let mut stage = Stage::new(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=blue"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging"),
        // The report of a first attempt is at debug.
        ("HEARDBACK_LOG", "info,heardback=debug"),
    ]);
    let event = [("MessageSid", &*sid(1)), ("Type", "code_entered"), ("To", RECIPIENT)];
    assert_eq!(stage.send(&form("/app/events", &event), &sent(TRACE)).status, 200);
    stage.service.says("reported");
    assert_eq!(stage.collector.batches().len(), 0);
    stage.ends();

    let request = stage.collector.span(EVENTS);
    assert_eq!(request.kind(), SpanKind::Server);
    assert_eq!(
        (hex(&request.trace_id), hex(&request.parent_span_id)),
        (TRACE.into(), CALLER.into())
    );
    assert_eq!(said(&request, "http.route"), "/app/events");
    assert_eq!(said(&request, "http.request.method"), "POST");
    assert_eq!(said(&request, "http.response.status_code"), "200");
    let post = stage.collector.span(POST);
    assert_eq!(post.kind(), SpanKind::Client);
    assert_eq!(link(&post), (TRACE.into(), hex(&request.span_id)));
    assert_ne!(hex(&post.trace_id), TRACE, "linked, and no part of it");
    assert_eq!(said(&post, "http.response.status_code"), "200");
    assert_eq!(said(&post, "heardback.message_sid"), sid(1));
    assert_eq!(said(&post, "heardback.account_sid"), ACCOUNT);
    assert_eq!(said(&post, "heardback.verdict"), "done");
    assert_eq!(said(&post, "heardback.attempt"), "1");
    assert!(post.start_time_unix_nano >= request.start_time_unix_nano);
    assert!(post.end_time_unix_nano >= post.start_time_unix_nano);
    assert_eq!(stage.collector.spans().len(), 2);

    let batch = stage.collector.batches().remove(0);
    assert!(batch.head.starts_with("POST /v1/traces HTTP/1.1"), "{}", batch.head);
    assert!(batch.head.contains("application/x-protobuf"), "{}", batch.head);
    assert!(batch.head.contains("x-tenant: blue"), "{}", batch.head);
    assert_eq!(batch.resource("service.name").as_deref(), Some("heardback"));
    assert_eq!(batch.resource("deployment.environment.name").as_deref(), Some("staging"));
    let text = String::from_utf8_lossy(&batch.body);
    for hidden in [RECIPIENT.trim_start_matches('+'), TOKEN] {
        assert!(!text.contains(hidden), "{hidden}");
    }
    for words in ["confirmed SM", "reported"] {
        let lines = stage.lines(words);
        assert_eq!(lines.len(), 1, "{words}: {lines:?}");
        assert_eq!(lines[0]["trace_id"], TRACE, "{words}");
        assert_eq!(lines[0]["message_sid"], sid(1), "{words}");
        assert_eq!(lines[0]["account_sid"], ACCOUNT, "{words}");
    }
}

#[test]
fn a_post_is_linked_to_the_parked_evidence_that_confirmed_it() {
    let stage = Stage::new(&[("HEARDBACK_LOG", "info,heardback=debug")]);
    let event = form("/app/events", &[("Reference", "login-7"), ("Type", "code_entered")]);
    assert_eq!(stage.send(&event, &sent(TRACE)).status, 202);
    let waited = stage.collector.span(EVENTS);
    let other = "0af7651916cd43dd8448eb211c80319c";
    let number = sid(1);
    let message =
        [("MessageSid", &*number), ("Reference", "login-7"), ("To", RECIPIENT), ("From", SENDER)];
    assert_eq!(stage.send(&form("/app/messages", &message), &sent(other)).status, 201);
    let post = stage.collector.span(POST);
    assert_eq!(link(&post), (TRACE.into(), hex(&waited.span_id)));
    assert_eq!(hex(&stage.collector.span("POST /app/messages").trace_id), other);
    for words in ["evidence parked", "confirmed SM", "reported"] {
        let traces: Vec<Value> =
            stage.lines(words).into_iter().map(|line| line["trace_id"].clone()).collect();
        assert_eq!(traces, [Value::from(TRACE)], "{words}");
    }
}

#[test]
fn the_link_survives_a_restart_between_the_confirmation_and_the_post() {
    let mut stage = Stage::new(&[]);
    stage.twilio.reply_with(TwilioReply::Status(503));
    assert_eq!(stage.send(&code_entered(1), &sent(TRACE)).status, 200);
    let request = stage.collector.span(EVENTS);
    let failed = stage.collector.span(POST);
    assert_eq!(link(&failed), (TRACE.into(), hex(&request.span_id)));
    assert_eq!(said(&failed, "error.type"), "503");
    stage.ends();
    let before = stage.collector.spans().len();

    stage.twilio.reply_with(TwilioReply::Status(200));
    let url = stage.collector.url();
    stage.restarts(&url);
    let later = || stage.collector.spans().into_iter().skip(before).find(|span| span.name == POST);
    eventually("the confirmation is posted", LONG, || later().is_some());
    let post = later().expect("posted");
    assert_eq!(link(&post), (TRACE.into(), hex(&request.span_id)));
    assert_ne!(said(&post, "heardback.attempt"), "1");
    stage.service.says("reported at attempt 2");
}

#[test]
fn a_request_from_a_time_without_export_is_linked_to_its_caller() {
    let mut stage = Stage::new(&[("OTEL_SDK_DISABLED", "true")]);
    stage.twilio.reply_with(TwilioReply::Status(503));
    assert_eq!(stage.send(&code_entered(1), &sent(TRACE)).status, 200);
    stage.service.says("not reported");
    stage.ends();
    assert_eq!(stage.collector.batches().len(), 0, "the export is switched off");
    stage.twilio.reply_with(TwilioReply::Status(200));
    let url = stage.collector.url();
    stage.restarts(&url);
    assert_eq!(link(&stage.collector.span(POST)), (TRACE.into(), CALLER.into()));
}

#[test]
fn without_a_traceparent_a_post_is_linked_to_its_requests_own_span() {
    let stage = Stage::new(&[("OTEL_SERVICE_NAME", "hooks")]);
    assert_eq!(stage.service.exchange(&http_client::bytes(&signed(&code_entered(1)))).status, 200);
    let (request, post) = (stage.collector.span(EVENTS), stage.collector.span(POST));
    assert!(request.parent_span_id.is_empty());
    assert_eq!(link(&post), (hex(&request.trace_id), hex(&request.span_id)));
    let name = stage.collector.batches().remove(0).resource("service.name");
    assert_eq!(name.as_deref(), Some("hooks"));
}

#[test]
fn a_request_whose_caller_does_not_record_is_not_recorded() {
    let stage = Stage::new(&[]);
    let unrecorded = format!("00-{TRACE}-{CALLER}-00");
    assert_eq!(stage.send(&status_callback(1, "sent"), &unrecorded).status, 204);
    assert_eq!(stage.send(&status_callback(2, "sent"), &sent(TRACE)).status, 204);
    stage.collector.span("POST /twilio/status");
    assert_eq!(stage.collector.spans().len(), 1);
}

#[test]
fn unauthenticated_requests_create_no_span() {
    let stage = Stage::new(&[]);
    let mut forged = signed(&code_entered(1));
    forged.headers.push(("traceparent".to_owned(), sent(TRACE)));
    forged.body.push(b'x');
    assert_eq!(stage.service.exchange(&http_client::bytes(&forged)).status, 403);
    assert_eq!(stage.send(&status_callback(2, "sent"), &sent(TRACE)).status, 204);
    stage.collector.span("POST /twilio/status");
    assert_eq!(stage.collector.spans().len(), 1);
}

#[test]
fn a_failing_collector_is_logged_once_and_spans_go_nowhere_else() {
    let elsewhere = Collector::start();
    let proxy = elsewhere.url();
    let stage =
        Stage::new(&[("http_proxy", &proxy), ("HTTP_PROXY", &proxy), ("ALL_PROXY", &proxy)]);
    stage.collector.reply_with(CollectorReply::Redirect(elsewhere.addr));
    let mut number = 0;
    let mut call = || {
        number += 1;
        assert_eq!(stage.send(&status_callback(number, "sent"), &sent(TRACE)).status, 204);
    };
    for failures in 1..=4 {
        call();
        let failed = || stage.collector.batches().len() >= failures;
        eventually("another batch", LONG, failed);
    }
    stage.service.says("spans not accepted by the collector");
    stage.collector.reply_with(CollectorReply::Status(200));
    call();
    stage.service.says("accepted by the collector again");
    assert_eq!(
        stage.lines("spans not accepted by the collector").len(),
        1,
        "{}",
        stage.service.logs()
    );
    assert!(!stage.service.logs().contains("opentelemetry"), "{}", stage.service.logs());
    assert_eq!(elsewhere.batches().len(), 0, "neither by redirect nor by proxy");
}

#[test]
fn neither_a_dead_nor_a_silent_collector_delays_a_request() {
    let silent = Collector::start();
    silent.reply_with(CollectorReply::Silent);
    let dead = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = format!("http://{}", dead.local_addr().expect("bound"));
    drop(dead);
    for url in [silent.url(), nobody] {
        // Room for two spans: the queue is full at once.
        let mut stage = Stage::new(&[
            ("OTEL_EXPORTER_OTLP_ENDPOINT", &url),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "2"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1"),
        ]);
        for number in 1..=20 {
            assert_eq!(stage.send(&code_entered(number), &sent(TRACE)).status, 200);
        }
        let posted = || stage.twilio.posts().len() >= 20;
        eventually("all confirmations are posted", LONG, posted);
        stage.ends();
        let lost = stage.lines("spans");
        assert!(lost.len() <= 2, "the export fails, and the last spans are lost: {lost:?}");
        assert!(!lost.is_empty(), "{}", stage.service.logs());
    }
}

#[test]
fn without_a_collector_no_exporter_is_started() {
    let threads = |service: &Running| -> Vec<String> {
        let tasks = format!("/proc/{}/task", service.pid().as_raw_nonzero());
        let tasks = std::fs::read_dir(tasks).expect("ours").flatten();
        let name = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("comm")).ok();
        tasks.filter_map(name).filter(|name| name.starts_with("OpenTelemetry")).collect()
    };
    let stage = Stage::new(&[]);
    assert_eq!(threads(&stage.service).len(), 1, "the exporter has its own thread");
    for off in [("OTEL_EXPORTER_OTLP_ENDPOINT", ""), ("OTEL_TRACES_EXPORTER", "none")] {
        assert!(threads(&Stage::new(&[off]).service).is_empty(), "{off:?}");
    }
}

#[test]
fn secret_paths_are_in_no_span() {
    const SECRET: &str = "plugh-1414213562-xyzzy";
    let stage = Stage::new(&[("HEARDBACK_CLICK_PATH_SECRET", SECRET)]);
    let link = json(
        "/app/messages",
        &json!({ "MessageSid": sid(1), "Link": "https://app.example.com/x" }),
    );
    let made = stage.send(&link, &sent(TRACE)).json();
    let address = made["Link"].as_str().or_else(|| made["link"].as_str()).expect("a link");
    let path = address.strip_prefix(BASE).expect("ours");
    let token = path.strip_prefix("/c/").expect("a link of ours");
    let opened = format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(stage.service.exchange(opened.as_bytes()).status, 303);
    assert_eq!(status_of(&stage, "POST /c/{token}"), "303");
    let click = json!({ "EventType": "click", "MessageSid": sid(2), "AccountSid": ACCOUNT });
    let click = json(&format!("/twilio/click/{SECRET}"), &click);
    assert_eq!(stage.service.exchange(&http_client::bytes(&click)).status, 204);
    assert_eq!(status_of(&stage, "POST /twilio/click/{secret}"), "204");
    for batch in stage.collector.batches() {
        let text = String::from_utf8_lossy(&batch.body).into_owned();
        assert!(!text.contains(token) && !text.contains(SECRET), "{text}");
    }
}

/// A visitor of a link is unauthenticated: the `traceparent` is not used as a parent, and no
/// evidence is linked to it.
#[test]
fn a_visitor_of_a_link_gets_into_no_other_trace() {
    let stage = Stage::new(&[]);
    let asked = json(
        "/app/messages",
        &json!({ "MessageSid": sid(1), "Link": "https://app.example.com/x" }),
    );
    let made = stage.send(&asked, &sent(TRACE)).json();
    let path = made["link"].as_str().and_then(|link| link.strip_prefix(BASE)).expect("ours");
    let visitor = format!("00-{}-{CALLER}-01", "5".repeat(32));
    let opened = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\ntraceparent: {visitor}\r\nContent-Length: 0\r\n\r\n"
    );
    assert_eq!(stage.service.exchange(opened.as_bytes()).status, 303);
    let visit = stage.collector.span("POST /c/{token}");
    assert_ne!(hex(&visit.trace_id), "5".repeat(32));
    assert_eq!(hex(&visit.parent_span_id), "");
    let post = stage.collector.span(POST);
    assert_eq!(link(&post).0, hex(&visit.trace_id));
}

/// The response status in a request's span.
fn status_of(stage: &Stage, name: &str) -> String {
    said(&stage.collector.span(name), "http.response.status_code")
}
