//! Records rejected requests for `heardback doctor`: in the folder of `HEARDBACK_RECORD_REFUSED`, and through memory for a
//! running `doctor --watch`. Off otherwise.
//!
//! - A signature covers the URL and the name and value of every parameter. `doctor` needs the exact values to find out how
//!   it was made. A request with a well-formed signature is therefore recorded with its form and query, phone numbers and
//!   texts included: in files of mode 0600, and only the last twenty.
//! - Data that no signature covers is left out: cookies, credentials, addresses, and all headers but those about proxies and
//!   the media type. Of a JSON body only its SHA-256 is recorded, because Twilio signs that hash.
//! - Without a well-formed signature nothing can be verified. Each value is then replaced by a hash with a random key, which
//!   still shows equal values.
//!
//! Recording never delays a webhook: one thread writes at most one recording a second, and drops the others. A watch ends
//! when its receiver is dropped or another watch begins.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::recording::rotating_dir::{RecordingValue, RotatingDir, WHEN};
use crate::recording::{
    AT_NOTE, BODY_HASH_NOTE, HASHED_NOTE, NEAREST_NOTE, REFUSED_NOTE, Recording,
    SIGNATURE_LENGTH_NOTE,
};
use crate::store::Clock;
use crate::twilio::form;
use crate::twilio::signature::{SignatureError, body_hash};

/// The shortest time between two recordings, so that clients cannot wear out a disk.
const RECORDING_INTERVAL: Duration = Duration::from_secs(1);
/// The most recordings that wait for the writer. Further ones are dropped.
const MAX_QUEUED: usize = 4;
/// The longest target and header that are recorded, in bytes. Twilio's are far below.
const MAX_LENGTH: usize = 16 << 10;

/// The recorded headers: those about the signature, and those that proxies add. Not `X-Forwarded-For`, which holds a client's
/// address.
const RECORDED_HEADERS: [&str; 15] = [
    "Host",
    "Content-Type",
    "Content-Encoding",
    "X-Twilio-Signature",
    "X-Twilio-Webhooks-Signature-Settings",
    "X-Home-Region",
    "X-Forwarded-Host",
    "X-Forwarded-Port",
    "X-Forwarded-Proto",
    "X-Forwarded-Prefix",
    "X-Forwarded-Uri",
    "X-Original-Host",
    "X-Original-URI",
    "X-Original-URL",
    "X-Rewrite-URL",
];
/// The recorded headers of a hashed recording. The others may contain a query.
const RECORDED_WHEN_HASHED: [&str; 4] =
    ["Host", "Content-Type", "X-Forwarded-Host", "X-Forwarded-Proto"];

/// The most recordings that wait for a watch. Further ones are dropped.
const WATCH_QUEUE: usize = 8;

/// The running watch, if there is one.
#[derive(Default)]
struct CurrentWatch(Mutex<Option<mpsc::Sender<Recording>>>);

impl CurrentWatch {
    /// Begins a watch, and ends the one before.
    fn begin(&self) -> mpsc::Receiver<Recording> {
        let (to_watch, recordings) = mpsc::channel(WATCH_QUEUE);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(to_watch);
        recordings
    }

    /// The sender to the running watch.
    fn sender(&self) -> Option<mpsc::Sender<Recording>> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.as_ref().is_some_and(mpsc::Sender::is_closed) {
            *watch = None;
        }
        watch.clone()
    }
}

/// Accepts rejected requests, and records them on a thread of its own.
pub struct RejectedCapture {
    to_writer: SyncSender<CapturedRequest>,
    folder: Option<Arc<RotatingDir>>,
    watch: Arc<CurrentWatch>,
    clock: Clock,
    /// The earliest time of the next recording: of a verifiable and of an unverifiable request.
    next: Mutex<[Option<Instant>; 2]>,
}

impl fmt::Debug for RejectedCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectedCapture").finish_non_exhaustive()
    }
}

/// The reason to record a request.
#[derive(Debug, Clone, Copy)]
enum CaptureReason {
    /// Its signature is missing or invalid.
    Signature(SignatureError),
    /// Its path is no route. The value is the nearest route.
    NoRoute(&'static str),
}

impl CaptureReason {
    fn value(self) -> RecordingValue {
        match self {
            Self::Signature(
                SignatureError::Mismatch
                | SignatureError::BodyHashMissing
                | SignatureError::BodyHashMismatch,
            ) => RecordingValue::Verifiable,
            Self::Signature(SignatureError::Missing | SignatureError::Malformed)
            | Self::NoRoute(_) => RecordingValue::Unverifiable,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Signature(signature_error) => signature_error.as_label(),
            Self::NoRoute(_) => "no_route",
        }
    }
}

/// A rejected request for the writer, with the recorded headers only.
struct CapturedRequest {
    at: Timestamp,
    reason: CaptureReason,
    route: String,
    recording: Recording,
    body: Vec<u8>,
}

impl RejectedCapture {
    /// Opens the folder, if one is configured, and starts the writer's thread.
    ///
    /// # Errors
    /// If the folder cannot be used, which the error names, or if the system grants no thread.
    pub fn open(path: Option<&Path>, clock: &Clock) -> io::Result<Self> {
        let open = |path: &Path| {
            let with_path = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            RotatingDir::open(path).map(Arc::new).map_err(with_path)
        };
        let folder = path.map(open).transpose()?;
        let (to_writer, requests) = sync_channel(MAX_QUEUED);
        let watch = Arc::new(CurrentWatch::default());
        let writer = (folder.clone(), Arc::clone(&watch));
        let thread = std::thread::Builder::new().name("heardback-refused".to_owned());
        thread.spawn(move || write(writer.0.as_deref(), &writer.1, &requests))?;
        let (clock, next) = (Arc::clone(clock), Mutex::new([None; 2]));
        Ok(Self { to_writer, folder, watch, clock, next })
    }

    /// Removes all recordings from the folder, and returns the number of removed files.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> io::Result<u64> {
        self.folder.as_ref().map_or(Ok(0), |folder| folder.clear())
    }

    /// Begins a watch: sends new recordings until the receiver is dropped or another watch begins.
    pub fn watch(&self) -> mpsc::Receiver<Recording> {
        self.watch.begin()
    }

    /// Whether recording is on.
    fn is_on(&self) -> bool {
        self.folder.is_some() || self.watch.sender().is_some()
    }

    /// Records a request with a missing or invalid signature, if a recording is due. Never waits for the disk.
    pub(super) fn record(
        &self,
        request: &HttpRequest,
        body: &[u8],
        signature_error: SignatureError,
    ) {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let reason = CaptureReason::Signature(signature_error);
        if target.len() <= MAX_LENGTH && self.is_on() && self.is_due(reason.value()) {
            self.send(request, target.to_owned(), body, reason);
        }
    }

    /// Records a request whose path is no route, with the redacted path.
    pub(super) fn record_missed_route(
        &self,
        request: &HttpRequest,
        path: String,
        nearest: &'static str,
    ) {
        let reason = CaptureReason::NoRoute(nearest);
        if self.is_on() && self.is_due(reason.value()) {
            self.send(request, path, &[], reason);
        }
    }

    fn send(&self, request: &HttpRequest, target: String, body: &[u8], reason: CaptureReason) {
        let method = request.method().as_str().to_owned();
        let mut recording = Recording { method, target, ..Recording::default() };
        for name in RECORDED_HEADERS {
            let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
            let values = values.filter(|value| value.len() <= MAX_LENGTH).take(2);
            recording.headers.extend(values.map(|value| (name.to_owned(), value.to_owned())));
        }
        let route = request.match_pattern().unwrap_or_default();
        let at = (self.clock)();
        let body = body.to_vec();
        // With a full queue or without its writer, the request is not recorded.
        let _ = self.to_writer.try_send(CapturedRequest { at, reason, route, recording, body });
    }

    /// Unverifiable requests have an interval of their own, so that they do not displace verifiable ones.
    fn is_due(&self, value: RecordingValue) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let [verifiable, unverifiable] = &mut *next;
        let next = match value {
            RecordingValue::Verifiable => verifiable,
            RecordingValue::Unverifiable => unverifiable,
        };
        let now = crate::telemetry::clock::monotonic();
        let is_due = next.is_none_or(|next| next <= now);
        if is_due {
            *next = now.checked_add(RECORDING_INTERVAL);
        }
        is_due
    }
}

fn write(folder: Option<&RotatingDir>, watch: &CurrentWatch, requests: &Receiver<CapturedRequest>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the key of the hashes in a recording, known to this process alone"
    )]
    let hasher = RandomState::new();
    while let Ok(request) = requests.recv() {
        let when = request.at.strftime(WHEN).to_string();
        let route = request.route.trim_matches('/').replace('/', "-").replace(['{', '}'], "");
        let name = format!("{route}-{}", request.reason.label().replace('_', "-"));
        let value = request.reason.value();
        let recording = match value {
            RecordingValue::Verifiable => verifiable(request),
            RecordingValue::Unverifiable => hashed(request, &hasher),
        };
        let kept = folder.map(|folder| folder.keep(&when, &name, value, &recording));
        if let Some(Err(error)) = kept {
            tracing::warn!(
                %error,
                "rejected request not recorded: {error}; check the folder of HEARDBACK_RECORD_REFUSED"
            );
        }
        if let Some(watch) = watch.sender() {
            // A watch that is full or has just ended misses this recording.
            let _ = watch.try_send(recording);
        }
    }
}

/// The recording of a request with a well-formed signature: the exact values that the signature may cover.
fn verifiable(request: CapturedRequest) -> Recording {
    let CapturedRequest { at, reason, mut recording, body, .. } = request;
    recording.notes = vec![
        format!("{REFUSED_NOTE}: {}", reason.label()),
        format!("{AT_NOTE}: {at}"),
        "values are exact, because the signature covers them: delete this file after use"
            .to_owned(),
    ];
    let has_media = recording.header("Content-Type").is_some();
    if recording.is_form() || is_multipart(&recording) || (!has_media && is_like_a_form(&body)) {
        recording.body = body;
    } else if !body.is_empty() {
        let (hash, length) = (body_hash(&body), body.len());
        recording.notes.push(format!("{BODY_HASH_NOTE}: {hash}, {length} bytes"));
    }
    with_length(recording)
}

/// Whether the body is a form of Twilio's that lost its media type on the way.
fn is_like_a_form(body: &[u8]) -> bool {
    form::is_within_limit(body)
        && form::pairs(body).iter().any(|(name, _)| *name == b"AccountSid".as_slice().into())
}

/// Whether the body is a multipart form, whose fields may be the signed ones.
fn is_multipart(recording: &Recording) -> bool {
    let media = recording.header("Content-Type").unwrap_or_default().trim_start();
    media.get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

/// The recording of a request that cannot be verified: every value is hashed.
fn hashed(request: CapturedRequest, hasher: &RandomState) -> Recording {
    let CapturedRequest { at, reason, mut recording, body, .. } = request;
    recording.notes = vec![
        format!("{REFUSED_NOTE}: {}", reason.label()),
        format!("{AT_NOTE}: {at}"),
        format!("{HASHED_NOTE}: without a well-formed signature nothing can be verified with them"),
    ];
    if let CaptureReason::NoRoute(nearest) = reason {
        recording.notes.push(format!("{NEAREST_NOTE}: {nearest}"));
    }
    if let Some(signature) = recording.header("X-Twilio-Signature").filter(|text| !text.is_empty())
    {
        // Not the header itself: a malformed one may contain a secret.
        let note = format!("{SIGNATURE_LENGTH_NOTE}: {} characters, not recorded", signature.len());
        recording.notes.push(note);
    }
    recording.headers.retain(|(name, _)| RECORDED_WHEN_HASHED.contains(&name.as_str()));
    if recording.is_form() && form::is_within_limit(&body) {
        recording.body = hashed_pairs(&body, hasher).into_bytes();
    } else if !body.is_empty() {
        recording.notes.push(format!("body not recorded: {} bytes", body.len()));
    }
    if let Some((path, query)) = recording.target.split_once('?') {
        recording.target = format!("{path}?{}", hashed_pairs(query.as_bytes(), hasher));
    }
    with_length(recording)
}

fn hashed_pairs(text: &[u8], hasher: &RandomState) -> String {
    let hash = |bytes: &[u8]| format!("hashed-{:016x}", hasher.hash_one(bytes));
    let pairs = form::pairs(text).into_iter().map(|(name, value)| {
        let (name, value) = (name.decoded(), value.decoded());
        let is_plain = |byte: &u8| byte.is_ascii_alphabetic() || b"_.-".contains(byte);
        let is_name = (1..=48).contains(&name.len()) && name.iter().all(is_plain);
        let name = if is_name { String::from_utf8_lossy(&name).into_owned() } else { hash(&name) };
        format!("{name}={}", hash(&value))
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Adds a `Content-Length`, whose value `to_bytes` computes. Without it the end of a body is ambiguous.
fn with_length(mut recording: Recording) -> Recording {
    recording.headers.push(("Content-Length".to_owned(), String::new()));
    recording
}
