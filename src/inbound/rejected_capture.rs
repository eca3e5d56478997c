//! Records requests that were refused for their signature or missed a route, for `heardback doctor`: into the folder that
//! `HEARDBACK_RECORD_REFUSED` names, and through memory alone to a running `doctor --watch`. Off otherwise.
//!
//! What is kept, and why. A signature covers the URL and every parameter's name and value; whoever is
//! to find out afterwards how it was made needs all of them as they came. Nothing less works: values
//! that were hashed or encrypted with a key thrown away verify nothing, and searching at the moment of
//! refusal would let a stranger spend our processor. So for a request that carries a signature of the
//! right shape the form and the query are kept as they came, phone numbers and texts included, in
//! files for us alone (0600), off by default, and only the last twenty. Everything that no signature
//! covers is left away: of the headers only those that tell of the way (host, proxies, media type);
//! no cookies, no credentials, no client's address; of a JSON body only its SHA-256, for that is all
//! that was signed. A form that was sent as multipart is kept like a form. And where there is no signature of the right shape nothing could be verified
//! anyway: then each value is replaced by a keyed hash (the key is random, and gone with the process),
//! enough to see which values were equal.
//!
//! A watch ends when its receiver is dropped or another watch begins. Recordings that it does not take in time are dropped.
//!
//! Nobody waits for it: a webhook hands over what it has and goes on; one thread writes; what it cannot
//! take at once, or within a second of the last, is not recorded at all.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use actix_web::HttpRequest;
use actix_web::web::Bytes;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::recording::rotating_dir::{RecordingValue, RotatingDir, WHEN};
use crate::recording::{
    AT_NOTE, BODY_HASH_NOTE, HASHED_NOTE, NEAREST_NOTE, REFUSED_NOTE, Recording,
    SIGNATURE_LENGTH_NOTE,
};
use crate::store::Clock;
use crate::twilio::form;
use crate::twilio::signature::{Mistrust, body_hash};

/// One recording a second: enough to see what is wrong, too little to wear a disk out.
const EVERY: Duration = Duration::from_secs(1);
/// What waits to be written; more is not recorded.
const WAITING: usize = 4;
/// A longer target or header is not recorded. Twilio's are far below.
const LONGEST: usize = 16 << 10;

/// Headers that are kept: what was signed with, and what proxies say of the way. Not
/// `X-Forwarded-For`: that is somebody's address.
const KEPT_HEADERS: [&str; 15] = [
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
/// Of those, what is kept where values are hashed: the others may carry a query.
const KEPT_WHEN_HASHED: [&str; 4] =
    ["Host", "Content-Type", "X-Forwarded-Host", "X-Forwarded-Proto"];

/// Recordings that a watch has not taken yet; more are dropped.
const UNWATCHED: usize = 8;

/// The running watch, if there is one.
#[derive(Default)]
struct Watched(Mutex<Option<mpsc::Sender<Recording>>>);

impl Watched {
    /// Begins a watch, and ends the one before.
    fn begin(&self) -> mpsc::Receiver<Recording> {
        let (to_watch, recordings) = mpsc::channel(UNWATCHED);
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(to_watch);
        recordings
    }

    /// The sender to the running watch.
    fn watch(&self) -> Option<mpsc::Sender<Recording>> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if watch.as_ref().is_some_and(mpsc::Sender::is_closed) {
            *watch = None;
        }
        watch.clone()
    }
}

/// Takes refused requests, and has them recorded.
pub struct RejectedCapture {
    to_writer: SyncSender<CapturedRequest>,
    ring: Option<Arc<RotatingDir>>,
    watched: Arc<Watched>,
    clock: Clock,
    /// When the next may be recorded: one that can be verified, and one that cannot.
    next: Mutex<[Option<Instant>; 2]>,
}

impl fmt::Debug for RejectedCapture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusals").finish_non_exhaustive()
    }
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy)]
enum CaptureReason {
    /// For its signature.
    Mistrust(Mistrust),
    /// Its path is no route; this is the nearest.
    NoRoute(&'static str),
}

impl CaptureReason {
    fn worth(self) -> RecordingValue {
        match self {
            Self::Mistrust(
                Mistrust::Mismatch | Mistrust::BodyHashMissing | Mistrust::BodyHashMismatch,
            ) => RecordingValue::Verifiable,
            Self::Mistrust(Mistrust::Missing | Mistrust::Malformed) | Self::NoRoute(_) => {
                RecordingValue::Unverifiable
            }
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Mistrust(why) => why.as_label(),
            Self::NoRoute(_) => "no_route",
        }
    }
}

/// A request as it came, with what nobody needs left away already.
struct CapturedRequest {
    at: Timestamp,
    why: CaptureReason,
    route: String,
    recording: Recording,
    body: Bytes,
}

impl RejectedCapture {
    /// Opens the folder, if one is set, and starts the thread that writes.
    ///
    /// # Errors
    /// Where the folder cannot be used, or the system grants no thread. Names the folder.
    pub fn open(path: Option<&Path>, clock: &Clock) -> io::Result<Self> {
        let open = |path: &Path| {
            let named = |error: io::Error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            };
            RotatingDir::open(path).map(Arc::new).map_err(named)
        };
        let ring = path.map(open).transpose()?;
        let (to_writer, from_webhooks) = sync_channel(WAITING);
        let watched = Arc::new(Watched::default());
        let thread = std::thread::Builder::new().name("heardback-refused".to_owned());
        let (writers_ring, writers_watched) = (ring.clone(), Arc::clone(&watched));
        thread.spawn(move || write(writers_ring.as_deref(), &writers_watched, &from_webhooks))?;
        let (clock, next) = (Arc::clone(clock), Mutex::new([None; 2]));
        Ok(Self { to_writer, ring, watched, clock, next })
    }

    /// Removes all recordings from the folder, and returns the number of removed files.
    ///
    /// # Errors
    /// A file cannot be removed.
    pub fn clear(&self) -> io::Result<u64> {
        self.ring.as_ref().map_or(Ok(0), |ring| ring.clear())
    }

    /// Begins a watch: sends new recordings until the receiver is dropped or another watch begins.
    pub fn watch(&self) -> mpsc::Receiver<Recording> {
        self.watched.begin()
    }

    /// Whether anything is recorded.
    fn is_on(&self) -> bool {
        self.ring.is_some() || self.watched.watch().is_some()
    }

    /// Hands a refused request over, if there is room and it is time. Never waits for the disk.
    pub(super) fn note(&self, request: &HttpRequest, body: &Bytes, why: Mistrust) {
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let why = CaptureReason::Mistrust(why);
        if target.len() <= LONGEST && self.is_on() && self.is_time(why.worth()) {
            self.hand_over(request, target.to_owned(), body, why);
        }
    }

    /// The same for a request whose path is no route. Only the part of the path that may be shown is recorded.
    pub(super) fn note_missed(&self, request: &HttpRequest, path: String, nearest: &'static str) {
        let why = CaptureReason::NoRoute(nearest);
        if self.is_on() && self.is_time(why.worth()) {
            self.hand_over(request, path, &Bytes::new(), why);
        }
    }

    fn hand_over(&self, request: &HttpRequest, target: String, body: &Bytes, why: CaptureReason) {
        let method = request.method().as_str().to_owned();
        let mut recording = Recording { method, target, ..Recording::default() };
        for name in KEPT_HEADERS {
            let values = request.headers().get_all(name).filter_map(|value| value.to_str().ok());
            let values = values.filter(|value| value.len() <= LONGEST).take(2);
            recording.headers.extend(values.map(|value| (name.to_owned(), value.to_owned())));
        }
        let route = request.match_pattern().unwrap_or_default();
        let at = (self.clock)();
        // A full queue or a writer that is gone: then this one is not recorded.
        let _ = self.to_writer.try_send(CapturedRequest {
            at,
            why,
            route,
            recording,
            body: body.clone(),
        });
    }

    /// Noise has a time of its own, so that it does not take that of what is looked for.
    fn is_time(&self, worth: RecordingValue) -> bool {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let [verifiable, unverifiable] = &mut *next;
        let next = match worth {
            RecordingValue::Verifiable => verifiable,
            RecordingValue::Unverifiable => unverifiable,
        };
        let now = crate::telemetry::clock::monotonic();
        let is_time = next.is_none_or(|next| next <= now);
        if is_time {
            *next = now.checked_add(EVERY);
        }
        is_time
    }
}

fn write(ring: Option<&RotatingDir>, watched: &Watched, from_webhooks: &Receiver<CapturedRequest>) {
    #[expect(
        clippy::disallowed_methods,
        reason = "the key of the hashes in a recording, known to this process alone"
    )]
    let hasher = RandomState::new();
    while let Ok(refusal) = from_webhooks.recv() {
        let when = refusal.at.strftime(WHEN).to_string();
        let route = refusal.route.trim_matches('/').replace('/', "-").replace(['{', '}'], "");
        let what = format!("{route}-{}", refusal.why.label().replace('_', "-"));
        let worth = refusal.why.worth();
        let recording = match worth {
            RecordingValue::Verifiable => covered(refusal),
            RecordingValue::Unverifiable => hashed(refusal, &hasher),
        };
        if let Some(Err(error)) = ring.map(|ring| ring.keep(&when, &what, worth, &recording)) {
            tracing::warn!(%error, "a refused request could not be recorded");
        }
        if let Some(watch) = watched.watch() {
            // A watch that is full or has just ended misses this recording.
            let _ = watch.try_send(recording);
        }
    }
}

/// What a signature of the right shape may cover.
fn covered(refusal: CapturedRequest) -> Recording {
    let CapturedRequest { at, why, mut recording, body, .. } = refusal;
    recording.notes = vec![
        format!("{REFUSED_NOTE}: {}", why.label()),
        format!("{AT_NOTE}: {at}"),
        "values as they came, for the signature covers them: delete this file when you are done"
            .to_owned(),
    ];
    let has_media = recording.header("Content-Type").is_some();
    if recording.is_form() || is_multipart(&recording) || (!has_media && is_like_a_form(&body)) {
        recording.body = body.to_vec();
    } else if !body.is_empty() {
        let (hash, length) = (body_hash(&body), body.len());
        recording.notes.push(format!("{BODY_HASH_NOTE}: {hash}, {length} bytes"));
    }
    with_length(recording)
}

/// One of Twilio's forms that lost its media type on the way.
fn is_like_a_form(body: &[u8]) -> bool {
    form::is_within_limit(body)
        && form::pairs(body).iter().any(|(name, _)| *name == b"AccountSid".as_slice().into())
}

/// A form that was sent as multipart: its fields may be what was signed.
fn is_multipart(recording: &Recording) -> bool {
    let media = recording.header("Content-Type").unwrap_or_default().trim_start();
    media.get(..19).is_some_and(|start| start.eq_ignore_ascii_case("multipart/form-data"))
}

/// Nothing can be verified, so nobody needs the values.
fn hashed(refusal: CapturedRequest, hasher: &RandomState) -> Recording {
    let CapturedRequest { at, why, mut recording, body, .. } = refusal;
    recording.notes = vec![
        format!("{REFUSED_NOTE}: {}", why.label()),
        format!("{AT_NOTE}: {at}"),
        format!("{HASHED_NOTE}: without a whole signature nothing can be verified with them"),
    ];
    if let CaptureReason::NoRoute(nearest) = why {
        recording.notes.push(format!("{NEAREST_NOTE}: {nearest}"));
    }
    if let Some(signature) = recording.header("X-Twilio-Signature").filter(|text| !text.is_empty())
    {
        // Not the header itself: whoever sends nonsense there may send a secret.
        let note = format!("{SIGNATURE_LENGTH_NOTE}: {} characters, left away", signature.len());
        recording.notes.push(note);
    }
    recording.headers.retain(|(name, _)| KEPT_WHEN_HASHED.contains(&name.as_str()));
    if recording.is_form() && form::is_within_limit(&body) {
        recording.body = pairs_hashed(&body, hasher).into_bytes();
    } else if !body.is_empty() {
        recording.notes.push(format!("a body of {} bytes is left away", body.len()));
    }
    if let Some((path, query)) = recording.target.split_once('?') {
        recording.target = format!("{path}?{}", pairs_hashed(query.as_bytes(), hasher));
    }
    with_length(recording)
}

fn pairs_hashed(text: &[u8], hasher: &RandomState) -> String {
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

/// A body may hold anything, so its length has to be told; `to_bytes` sets it right.
fn with_length(mut recording: Recording) -> Recording {
    recording.headers.push(("Content-Length".to_owned(), String::new()));
    recording
}
