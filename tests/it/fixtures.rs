//! Each recording of `tests/fixtures/webhooks/`, replayed over real HTTP against a fresh store. The
//! snapshots in `tests/snapshots/fixtures/`, one for each recording, have the response, the records
//! and the metrics. The clock is fixed, so no value in a snapshot varies.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use heardback::domain::click_link::{LinkToken, Links, TOKEN_BYTES};
use heardback::domain::code::CodeKey;
use heardback::domain::message::{Message, Reference, Status};
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::EvidenceTarget;
use heardback::forward::{ForwardConfig, Forwarder};
use heardback::inbound::deferred::Deferred;
use heardback::inbound::keyring::{CurrentKeyRing, KeyRing, Member, NamedKey};
use heardback::inbound::limits::event_budget::EventBudget;
use heardback::inbound::regions::HomeRegions;
use heardback::inbound::send::sends::Sends;
use heardback::inbound::{self, Receiver};
use heardback::recording::Recording;
use heardback::store::sled::{Options, SledStore};
use heardback::store::{Clock, Filter, ListEntry, Store};
use heardback::telemetry::metrics::Metrics;
use heardback::twilio::signature::SigningKey;
use jiff::Timestamp;

use crate::given::policy;

/// The account of the recordings.
pub(crate) const ACCOUNT: &str = "AC11111111111111111111111111111111";
pub(crate) const BASE: &str = "https://hooks.example.com";
pub(crate) const TOKEN: &[u8] = b"0123456789abcdef0123456789abcdef";
const APP_KEY: &[u8] = b"what only the app knows";
/// Three minutes after the creation time in the one recording that has it.
const NOW: &str = "2026-11-23T10:05:00Z";

fn trust() -> KeyRing {
    let named = |name: &str, secret: &[u8]| {
        vec![NamedKey { key: SigningKey::new(secret), name: name.to_owned() }]
    };
    let member = Member {
        account: AccountSid::parse(ACCOUNT).expect("an account"),
        account_keys: named("token 1", TOKEN),
        app_keys: Vec::new(),
        code_keys: vec![CodeKey::new(APP_KEY)],
        region: Some("us1".to_owned()),
    };
    KeyRing::new(member, Vec::new(), named("app key 1", APP_KEY))
}

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests").join(name)
}

/// The names of the files with that extension, without it, sorted.
fn names(folder: &Path, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("readable").map(|entry| entry.expect("readable"));
    let names = entries.map(|entry| entry.file_name().into_string().expect("UTF-8"));
    let mut names: Vec<String> =
        names.filter_map(|name| name.strip_suffix(ending).map(str::to_owned)).collect();
    names.sort();
    names
}

fn recordings() -> Vec<String> {
    names(&folder("fixtures/webhooks"), ".http")
}

/// A client address for each request, so that no failure counts towards the limit of another.
const CLIENT: &str = "X-Client";

/// Blocks the store's writer while it is closed.
#[derive(Default)]
pub(crate) struct Gate {
    is_closed: Mutex<bool>,
    changed: Condvar,
    waiting: AtomicU64,
}

impl Gate {
    pub(crate) fn close(&self) {
        *self.is_closed.lock().expect("not poisoned") = true;
    }

    pub(crate) fn open(&self) {
        *self.is_closed.lock().expect("not poisoned") = false;
        self.changed.notify_all();
    }

    /// Threads that wait at the gate.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    fn pass(&self) {
        let closed = self.is_closed.lock().expect("not poisoned");
        self.waiting.fetch_add(1, Ordering::SeqCst);
        drop(self.changed.wait_while(closed, |is_closed| *is_closed).expect("not poisoned"));
        self.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The receiver on its own port, with its own store.
pub(crate) struct Desk {
    pub(crate) store: Arc<SledStore>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) addr: SocketAddr,
    server: ServerHandle,
    pub(crate) deferred: Arc<Deferred>,
    pub(crate) gate: Arc<Gate>,
    /// The free space in bytes that the store is given.
    pub(crate) room: Arc<AtomicU64>,
    /// Whether the handlers' clock panics.
    breaks: Arc<AtomicBool>,
    // Dropped last: a store ends the process if its folder is removed while it is open.
    _folder: tempfile::TempDir,
}

impl Desk {
    fn open() -> Self {
        Self::with(EventBudget::default(), 4)
    }

    /// With a budget for Event Streams, and room for `capacity` deferred signals.
    pub(crate) fn with(event_budget: EventBudget, deferred: usize) -> Self {
        let nowhere = Forwarder::new(ForwardConfig::default(), Vec::new()).expect("no targets");
        Self::build(event_budget, deferred, nowhere, None)
    }

    /// With send through.
    pub(crate) fn sending(sends: Arc<Sends>) -> Self {
        let nowhere = Forwarder::new(ForwardConfig::default(), Vec::new()).expect("no targets");
        Self::build(EventBudget::default(), 4, nowhere, Some(sends))
    }

    /// With an app that webhooks are forwarded to.
    pub(crate) fn forwarding(
        event_budget: EventBudget,
        deferred: usize,
        forwarder: Forwarder,
    ) -> Self {
        Self::build(event_budget, deferred, forwarder, None)
    }

    fn build(
        event_budget: EventBudget,
        deferred: usize,
        forwarder: Forwarder,
        sends: Option<Arc<Sends>>,
    ) -> Self {
        let now: Timestamp = NOW.parse().expect("a time");
        let clock: Clock = Arc::new(move || now);
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::new(&folder.path().join("store"), policy(), Arc::clone(&clock));
        options.recipient_hash_key = Some(b"the same for every run".to_vec());
        let room = Arc::new(AtomicU64::new(1 << 40));
        let gate = Arc::new(Gate::default());
        let (left, held) = (Arc::clone(&room), Arc::clone(&gate));
        options.free_space = Arc::new(move || {
            held.pass();
            Ok(left.load(Ordering::SeqCst))
        });
        // A test that blocks the writer for a long time must not look like a broken disk.
        options.on_fatal = Arc::new(|_| {});
        let store = Arc::new(SledStore::open(options).expect("opened"));
        let metrics = Metrics::new();
        let behind: Arc<dyn Store> = store.clone();
        let deferred = Deferred::with_capacity(behind, Arc::clone(&metrics), deferred);
        let deferred = Arc::new(deferred);
        let breaks = Arc::new(AtomicBool::new(false));
        let broken = Arc::clone(&breaks);
        let clock: Clock = Arc::new(move || {
            assert!(!broken.load(Ordering::SeqCst), "the clock panics at the test's request");
            now
        });
        let refusals = heardback::inbound::rejected_capture::RejectedCapture::open(None, &clock)
            .expect("a thread");
        let receiver = web::Data::new(Receiver {
            store: store.clone(),
            bases: vec![BASE.to_owned()],
            keyring: Arc::new(CurrentKeyRing::new(trust())),
            home_regions: HomeRegions::default(),
            failure_limiter: heardback::inbound::limits::signature_limiter::SignatureLimiter::new(
                Some(CLIENT.to_owned()),
            ),
            ignores_crawlers: true,
            reference_tag: None,
            click_secret: None,
            call_twiml: heardback::twilio::twiml::answer_to_a_call(None),
            links: Links::ConfirmOnPost,
            fresh_token: Arc::new(|| Some(LinkToken::from_random([0x1f; TOKEN_BYTES]))),
            clock,
            deferred: Arc::clone(&deferred),
            forwarder: Arc::new(forwarder),
            has_fallback_url: false,
            forward_failures: Arc::default(),
            event_budget,
            sends,
            metrics: Arc::clone(&metrics),
            traces: None,
            signatures: Arc::default(),
            first_match: heardback::inbound::limits::first_match::FirstMatch::default(),
            near_misses: heardback::inbound::limits::near_miss::NearMisses::default(),
            rejected_capture: Arc::new(refusals),
        });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("bound");
        let server = HttpServer::new(move || {
            let routes =
                if receiver.sends.is_some() { inbound::routes_with_send } else { inbound::routes };
            App::new().app_data(receiver.clone()).configure(routes)
        });
        let server = server.workers(1).disable_signals().listen(listener).expect("listens").run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self { _folder: folder, store, metrics, addr, server: handle, deferred, gate, room, breaks }
    }

    /// Signs with the key of the route's caller, sends, and formats the response.
    pub(crate) async fn play(&self, recording: &Recording) -> String {
        let key = if recording.target.starts_with("/app/") { APP_KEY } else { TOKEN };
        let signed = recording.signed(&SigningKey::new(key), BASE);
        let method = reqwest::Method::from_bytes(signed.method.as_bytes()).expect("a method");
        let stays = reqwest::redirect::Policy::none();
        let client = reqwest::Client::builder().no_proxy().redirect(stays).build();
        let client = client.expect("a client");
        let mut request = client.request(method, format!("http://{}{}", self.addr, signed.target));
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let answer = request.body(signed.body).send().await.expect("an answer");
        let header = |name: &str| {
            let value = answer.headers().get(name)?;
            Some(value.to_str().expect("ASCII").to_owned())
        };
        let mut text = answer.status().as_u16().to_string();
        for value in ["content-type", "connection", "location"].into_iter().filter_map(header) {
            let _ = write!(text, "  {value}");
        }
        let body = answer.text().await.expect("a body");
        let body = match serde_json::from_str::<serde_json::Value>(&body) {
            Ok(json) => serde_json::to_string_pretty(&json).expect("JSON"),
            Err(_) => body,
        };
        text.push('\n');
        if !body.is_empty() {
            text.push_str(&body);
            text.push('\n');
        }
        text
    }

    /// All records, in the store's order.
    pub(crate) async fn records(&self) -> String {
        let mut text = String::new();
        for filter in [Filter::messages(), Filter::Parked, Filter::Orphaned] {
            let page = self.store.list(filter, None, 100).await.expect("readable");
            assert!(page.next.is_none(), "more than one page");
            for entry in &page.entries {
                text.push_str(&record(entry));
            }
        }
        if text.is_empty() { "nothing\n".to_owned() } else { text }
    }

    /// The metrics without the requests, which the response shows.
    pub(crate) fn counted(&self) -> String {
        let rendered = self.metrics.render();
        let lines = rendered.lines().filter(|line| {
            let counters =
                ["heardback_evidence_", "heardback_events_total", "heardback_refusals_total"];
            counters.iter().any(|name| line.starts_with(name)) && line.contains("_total{")
        });
        let mut lines: Vec<String> = lines.map(|line| format!("{line}\n")).collect();
        lines.sort();
        if lines.is_empty() { "nothing\n".to_owned() } else { lines.concat() }
    }

    pub(crate) async fn close(self) {
        self.server.stop(true).await;
        self.store.close().await;
    }
}

impl Drop for Desk {
    /// Lets the writer end, even after a test that failed while it was blocked.
    fn drop(&mut self) {
        self.gate.open();
    }
}

fn or_none<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn record(entry: &ListEntry) -> String {
    match entry {
        ListEntry::Message(message) => message_lines(message),
        ListEntry::Parked(parked) => {
            let evidence = &parked.evidence;
            let named = match &evidence.target {
                EvidenceTarget::Message(sid) => format!("message {sid}"),
                EvidenceTarget::Reference(reference) => format!("reference {}", reference.as_str()),
                EvidenceTarget::Person { recipient, sender } => format!(
                    "a person in +{}, who turned to {} of service {}",
                    or_none(recipient.calling_code),
                    or_none(sender.address.as_ref()),
                    or_none(sender.service),
                ),
                EvidenceTarget::Caller { recipient, sender, .. } => format!(
                    "a caller from +{}, who called {}",
                    or_none(recipient.calling_code),
                    or_none(sender.address.as_ref()),
                ),
                EvidenceTarget::Link(_) => "a link".to_owned(),
            };
            format!(
                "parked {}: {named}\n  occurred {}, until {}, because {}\n",
                evidence.label,
                evidence.occurred_at,
                parked.until,
                parked.reason.as_str()
            )
        }
    }
}

fn message_lines(message: &Message) -> String {
    let to = message.recipient.map(|recipient| match recipient.calling_code {
        Some(code) => format!("a person in +{code}"),
        None => "a person".to_owned(),
    });
    let proof = message.proof.as_ref();
    let proof = proof.map(|proof| format!("{} ({})", proof.label, proof.basis.as_str()));
    format!(
        "message {}: {}\n  to {}, from {}, service {}, reference {}\n  status {}, error {}\n  \
         created {}{}, expires {}\n  proof {}, due {}\n",
        message.sid,
        message.state.as_str(),
        or_none(to),
        or_none(message.from.as_ref()),
        or_none(message.service),
        or_none(message.reference.as_ref().map(Reference::as_str)),
        or_none(message.status.map(Status::as_str)),
        or_none(message.error_code),
        message.created_at,
        if message.created_at_known { "" } else { " at the latest" },
        message.expires_at,
        or_none(proof),
        or_none(message.delivery.due_at),
    )
}

/// The only unsigned ones: people open links.
fn is_a_link(recording: &Recording) -> bool {
    recording.target.starts_with("/c/")
}

pub(crate) fn read(name: &str) -> (Recording, String) {
    let path = folder("fixtures/webhooks").join(format!("{name}.http"));
    let file = fs::read(&path).expect("readable");
    let recording = Recording::parse(&file).unwrap_or_else(|error| panic!("{name}: {error}"));
    (recording, String::from_utf8(file).expect("UTF-8"))
}

#[test]
fn each_recording_is_answered_and_stored_as_its_snapshot_says() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots/fixtures");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let _bound = settings.bind_to_scope();
    actix_web::rt::System::new().block_on(async {
        for name in recordings() {
            let (recording, _) = read(&name);
            let desk = Desk::open();
            if is_a_link(&recording) {
                desk.play(&read("app-message-link").0).await;
            }
            let answer = desk.play(&recording).await;
            let (records, counted) = (desk.records().await, desk.counted());
            let again = desk.play(&recording).await;
            let unchanged = desk.records().await == records;
            desk.close().await;
            let path = recording.target.split('?').next().unwrap_or_default();
            let story = format!(
                "{} {path}\n{answer}\n== the store holds\n{records}\n== counted\n{counted}\n\
                 == sent again\n{}the store {}\n",
                recording.method,
                again.lines().next().map_or_else(String::new, |line| format!("{line}\n")),
                if unchanged { "holds the same" } else { "HOLDS SOMETHING ELSE" },
            );
            insta::assert_snapshot!(name.as_str(), story);
        }
    });
}

#[test]
fn a_panic_in_a_handler_is_a_500_and_affects_no_other_request() {
    actix_web::rt::System::new().block_on(async {
        let desk = Desk::open();
        let (of_twilio, of_the_app) = (read("reply-sms").0, read("app-message").0);
        desk.breaks.store(true, Ordering::SeqCst);
        let answer = desk.play(&of_twilio).await;
        assert!(answer.starts_with("500") && answer.contains("close"), "{answer}");
        let answer = desk.play(&of_the_app).await;
        assert!(answer.starts_with("500  application/problem+json"), "{answer}");
        let counted = desk.counted();
        assert!(counted.contains(r#"heardback_refusals_total{reason="panicked"} 2"#), "{counted}");
        assert_eq!(desk.records().await, "nothing\n");
        desk.breaks.store(false, Ordering::SeqCst);
        let answer = desk.play(&of_the_app).await;
        assert!(answer.starts_with("201"), "{answer}");
        desk.close().await;
    });
}

/// The recordings that belong together, in order.
#[test]
fn the_recordings_that_belong_together_end_in_the_documented_state() {
    let stories: [(&[&str], &str); 9] = [
        (
            &[
                "app-message",
                "status-delivered",
                "status-late-sent-after-delivered",
                "app-event-code-entered",
            ],
            "SM5f0c8e21b7d94a63a2e17c40d98b36a1: confirmed\n  to a person in +1, from +15017122661, \
             service –, reference login-4093\n  status delivered, error –\n",
        ),
        (&["app-message-reply", "reply-sms"], "SMf552cc5023d8319aea1181f76f3adcbd: confirmed\n"),
        (
            &["app-event-reference", "app-message-late"],
            "SMc189941acf780de956fe5d1483d7a598: confirmed\n",
        ),
        (
            &["app-message-link", "link-opened", "link-pressed"],
            "SM91c0f7de5a2b48e3b60d1f4c8a7e2935: confirmed\n",
        ),
        (
            &["app-message-twilio-answer", "app-event-password-used"],
            "SM7f5679fff02eba571e7b3ec5decc1db9: confirmed\n",
        ),
        (
            &["app-message-called", "call-ringing", "call-completed", "events-call-completed"],
            "SM13ed0d0208996be9f292c93fe6a0c91f: confirmed\n",
        ),
        (
            &["app-message-called", "events-call-completed"],
            "SM13ed0d0208996be9f292c93fe6a0c91f: confirmed\n",
        ),
        (
            &["app-message-clicked", "click-preview", "click-crawler", "click"],
            "SM76c1dd37ad9c424dab4167d303746b76: confirmed\n",
        ),
        (
            &["app-message-streamed", "events-inbound-message"],
            "SM86aa79cad61f092fa8e1d11aaa4f0cf1: confirmed\n",
        ),
    ];
    actix_web::rt::System::new().block_on(async {
        for (names, expected) in stories {
            let desk = Desk::open();
            for name in names {
                let answer = desk.play(&read(name).0).await;
                assert!(answer.starts_with(['2', '3']), "{name}: {answer}");
            }
            let records = desk.records().await;
            assert!(records.starts_with(&format!("message {expected}")), "{names:?}: {records}");
            assert!(!records.contains("parked"), "{names:?}: {records}");
            desk.close().await;
        }
    });
}

/// Without a signature, and with one by an unknown key, every recording gets the same response.
#[test]
fn every_recording_is_refused_unsigned_or_forged() {
    actix_web::rt::System::new().block_on(async {
        let desk = Desk::open();
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        for (number, name) in (0_u8..).zip(recordings()) {
            let (recording, _) = read(&name);
            if is_a_link(&recording) {
                continue;
            }
            let forged = recording.signed(&SigningKey::new(b"a guess"), BASE);
            for request in [&recording, &forged] {
                let method = request.method.parse().expect("a method");
                let url = format!("http://{}{}", desk.addr, request.target);
                let mut call =
                    client.request(method, url).header(CLIENT, format!("198.51.{number}.1"));
                for (header, value) in &request.headers {
                    call = call.header(header, value);
                }
                let answer = call.body(request.body.clone()).send().await.expect("an answer");
                assert_eq!(answer.status().as_u16(), 403, "{name}");
                assert_eq!(answer.headers()["connection"], "close", "{name}");
            }
        }
        assert_eq!(desk.records().await, "nothing\n");
        desk.close().await;
    });
}

#[test]
fn there_are_enough_recordings_and_each_is_described_and_has_its_snapshot() {
    let recordings = recordings();
    assert!(recordings.len() >= 20, "only {} recordings", recordings.len());
    let readme = fs::read_to_string(folder("fixtures/webhooks/README.md")).expect("there");
    let rows = readme.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let described: Vec<String> = rows.map(|(name, _)| name.to_owned()).collect();
    assert_eq!(described, recordings, "the README's table and the folder, in the same order");
    assert_eq!(names(&folder("snapshots/fixtures"), ".snap"), recordings, "the snapshots");
}

/// A recording has no secret and no real person, and states its origin.
#[test]
fn a_recording_is_scrubbed_and_states_its_origin() {
    for name in recordings() {
        let (recording, text) = read(&name);
        assert!(recording.notes.len() >= 2, "{name} does not state its origin");
        assert_eq!(recording.header("Host"), Some("hooks.example.com"), "{name}");
        for header in ["X-Twilio-Signature", "Content-Length", "Authorization", "Cookie"] {
            assert_eq!(recording.header(header), None, "{name} has {header}");
        }
        let numbers = text.split("%2B").skip(1).chain(text.split("\"+").skip(1));
        let numbers: BTreeSet<&str> = numbers
            .map(|rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default())
            .filter(|digits| digits.len() > 6)
            .collect();
        for number in numbers {
            let made_up =
                number.starts_with("1555867") || ["15017122661", "14155238886"].contains(&number);
            assert!(made_up, "{name}: +{number} may be a real number");
        }
    }
}
