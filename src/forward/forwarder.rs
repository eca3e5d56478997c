//! Forwards one webhook: admits it, waits for its turn in the sender's queue, signs and sends it, and reads the answer.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue, VIA};
use reqwest::{Method, Url};
use secrecy::ExposeSecret as _;
use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::domain::forward::{ForwardFailure, ForwardKind, ForwardScope};
use crate::domain::sid::AccountSid;
use crate::forward::answer;
use crate::forward::answer::{AppAnswer, ReadError};
use crate::forward::client::{Clients, describe};
use crate::forward::headers::{MAX_HEADERS, SIGNATURE};
use crate::forward::order::{PersonKey, PersonQueues, Place};
use crate::twilio::app_url::AppUrl;
use crate::twilio::form;
use crate::twilio::signature::{Content, SigningKey, sign};

/// Marks a forwarded request, so that Heardback recognises its own.
pub const VIA_HEARDBACK: &str = "1.1 heardback";

/// The part of the timeout for which a message may wait for its turn. Later it is not sent, because too little time would be
/// left for the app.
const WAITING_PART: f64 = 0.75;

/// A scope, and the app's URL for it.
pub type ForwardTarget = (ForwardScope, AppUrl);

/// The most webhooks that are under way at a time.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// All webhooks. A scope may hold as many places as are free, so an app that hangs leaves half of the free places to other
    /// apps, and status callbacks leave them to calls. As its webhooks time out, all scopes that hang get equal shares.
    pub total: usize,
    /// Messages of one person.
    pub of_one_person: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { total: 256, of_one_person: 8 }
    }
}

#[derive(Debug, Clone, Copy)]
pub struct ForwardConfig {
    /// From the signature's verification to the last byte of the answer. Twilio waits for 15 s.
    pub timeout: Duration,
    /// Whether the app may be on loopback or a private network, also over plain http.
    pub allows_private: bool,
    pub limits: Limits,
}

impl Default for ForwardConfig {
    fn default() -> Self {
        let timeout = Duration::from_secs(10);
        Self { timeout, allows_private: false, limits: Limits::default() }
    }
}

/// The HTTP client cannot be built: most likely there are no CA certificates.
#[derive(Debug, thiserror::Error)]
#[error("the HTTP client of forwarded webhooks could not be built: {0}")]
pub struct ForwardError(#[from] reqwest::Error);

/// A verified webhook.
pub struct AppRequest {
    pub account: AccountSid,
    pub kind: ForwardKind,
    /// The key that signed it.
    pub key: SigningKey,
    pub is_get: bool,
    pub query: String,
    /// The headers that go along ([`crate::forward::goes_along`]).
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Vec<u8>,
    /// The sender, whose messages keep their order. `None`: no order.
    pub person: Option<PersonKey>,
}

/// The webhook was not sent to the app, or the app's answer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failed {
    pub failure: ForwardFailure,
    /// For an operator. It has no part of a request, of an answer's body, or of a URL.
    pub detail: String,
}

impl Failed {
    fn new(failure: ForwardFailure, detail: impl Into<String>) -> Self {
        Self { failure, detail: detail.into() }
    }
}

/// The app's URLs, and the webhooks under way to them.
pub struct Forwarder {
    config: ForwardConfig,
    /// Built before the first target.
    clients: OnceLock<Clients>,
    targets: RwLock<Arc<BTreeMap<ForwardScope, AppUrl>>>,
    total: Arc<Semaphore>,
    /// The places that each scope holds.
    held: Arc<Mutex<BTreeMap<ForwardScope, usize>>>,
    people: Arc<PersonQueues>,
}

impl fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forwarder").field("config", &self.config).finish_non_exhaustive()
    }
}

/// The places of one webhook under way, released on drop.
struct Admission {
    _place_of_scope: PlaceOfScope,
    _of_total: OwnedSemaphorePermit,
    place: Option<Place>,
}

/// One of the places that a scope holds. Drop gives it up.
struct PlaceOfScope {
    scope: ForwardScope,
    held: Arc<Mutex<BTreeMap<ForwardScope, usize>>>,
}

impl Drop for PlaceOfScope {
    fn drop(&mut self) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.scope) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.scope);
            }
        }
    }
}

impl Forwarder {
    /// # Errors
    /// [`ForwardError`] if the HTTP client cannot be built. Without targets, none is built.
    pub fn new(config: ForwardConfig, targets: Vec<ForwardTarget>) -> Result<Self, ForwardError> {
        let forwarder = Self {
            config,
            clients: OnceLock::new(),
            targets: RwLock::default(),
            total: Arc::new(Semaphore::new(config.limits.total)),
            held: Arc::default(),
            people: Arc::default(),
        };
        if !targets.is_empty() {
            forwarder.prepare()?;
        }
        forwarder.replace(targets);
        Ok(forwarder)
    }

    /// Builds the HTTP clients, which targets need.
    ///
    /// # Errors
    /// [`ForwardError`]; the targets stay as they were.
    pub fn prepare(&self) -> Result<(), ForwardError> {
        if self.clients.get().is_none() {
            // A concurrent call may have set equal clients.
            let _ = self.clients.set(Clients::new(self.config.allows_private)?);
        }
        Ok(())
    }

    /// Replaces the app's URLs, after [`Self::prepare`] if there are any. A webhook under way keeps its own.
    pub fn replace(&self, targets: Vec<ForwardTarget>) {
        let targets = Arc::new(targets.into_iter().collect());
        *self.targets.write().unwrap_or_else(PoisonError::into_inner) = targets;
    }

    /// Whether the app has a URL for these webhooks.
    pub fn has_target(&self, account: AccountSid, kind: ForwardKind) -> bool {
        self.targets().contains_key(&(account, kind))
    }

    /// The number of webhooks under way.
    pub fn in_flight(&self) -> usize {
        self.config.limits.total.saturating_sub(self.total.available_permits())
    }

    /// Waits for the webhooks under way. A webhook that arrives meanwhile fails with [`ForwardFailure::Busy`].
    pub async fn drain(&self) {
        let all = u32::try_from(self.config.limits.total).unwrap_or(u32::MAX);
        // The semaphore is never closed, so this cannot fail.
        let _ = self.total.acquire_many(all).await;
    }

    /// Forwards a webhook, and returns the app's answer.
    ///
    /// # Errors
    /// [`Failed`] if there is no usable answer within [`ForwardConfig::timeout`].
    pub async fn forward(&self, request: AppRequest) -> Result<AppAnswer, Failed> {
        let scope = (request.account, request.kind);
        let admission = self.admit(scope, request.person)?;
        let targets = self.targets();
        let url = targets.get(&scope).ok_or_else(no_url)?;
        let timeout = self.config.timeout;
        let exchange = async {
            let _turn = match &admission.place {
                Some(place) => Some(turn_within(place, timeout.mul_f64(WAITING_PART)).await?),
                None => None,
            };
            self.send(url, request).await
        };
        let answer = tokio::time::timeout(timeout, exchange).await;
        answer.unwrap_or_else(|_| {
            let detail = format!("no complete answer within {timeout:?}");
            Err(Failed::new(ForwardFailure::Timeout, detail))
        })
    }

    fn admit(&self, scope: ForwardScope, person: Option<PersonKey>) -> Result<Admission, Failed> {
        let busy = |most, what| {
            Failed::new(ForwardFailure::Busy, format!("{most} webhooks of {what} are under way"))
        };
        let (place_of_scope, of_total) = self.take_place(scope).map_err(|held| {
            busy(held, "this account and kind, as many as there are free places,")
        })?;
        let most = self.config.limits.of_one_person;
        let place = match person {
            Some(person) => {
                let place = self.people.enter(person, most);
                Some(place.ok_or_else(|| busy(most, "one person"))?)
            }
            None => None,
        };
        Ok(Admission { _place_of_scope: place_of_scope, _of_total: of_total, place })
    }

    /// Takes a place if the scope holds fewer than are free. `Err`: the number that it holds.
    fn take_place(
        &self,
        scope: ForwardScope,
    ) -> Result<(PlaceOfScope, OwnedSemaphorePermit), usize> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.get(&scope).copied().unwrap_or_default();
        if count >= self.total.available_permits() {
            return Err(count);
        }
        let of_total = Arc::clone(&self.total).try_acquire_owned().map_err(|_| count)?;
        held.insert(scope, count + 1);
        Ok((PlaceOfScope { scope, held: Arc::clone(&self.held) }, of_total))
    }

    async fn send(&self, url: &AppUrl, request: AppRequest) -> Result<AppAnswer, Failed> {
        let clients = self.clients.get().ok_or_else(no_url)?;
        let client = clients.of(url).ok_or_else(|| {
            Failed::new(
                ForwardFailure::Address,
                "the app's URL has a scheme or an address that HEARDBACK_FORWARD_PRIVATE does not allow",
            )
        })?;
        let kind = request.kind;
        let (target, headers) = sign_request(url, &request)?;
        let method = if request.is_get { Method::GET } else { Method::POST };
        let mut builder = client.request(method, target).headers(headers);
        if !request.is_get || !request.body.is_empty() {
            builder = builder.body(request.body);
        }
        let response = builder.send().await.map_err(failed)?;
        answer::read(response, url, kind).await.map_err(|error| match error {
            ReadError::Unusable(failure, detail) => Failed::new(failure, detail),
            ReadError::Connection(error) => failed(error),
        })
    }

    fn targets(&self) -> Arc<BTreeMap<ForwardScope, AppUrl>> {
        Arc::clone(&self.targets.read().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn turn_within(place: &Place, longest: Duration) -> Result<OwnedMutexGuard<()>, Failed> {
    tokio::time::timeout(longest, place.turn()).await.map_err(|_| {
        let detail = format!(
            "waited {longest:?} for earlier messages of the same sender; this one was not sent"
        );
        Failed::new(ForwardFailure::Waited, detail)
    })
}

fn no_url() -> Failed {
    Failed::new(ForwardFailure::Connect, "a reload has removed the app's URL")
}

fn failed(error: reqwest::Error) -> Failed {
    let (failure, detail) = describe(error);
    Failed { failure, detail }
}

/// The URL of the request, and its headers with the new signature.
fn sign_request(url: &AppUrl, request: &AppRequest) -> Result<(Url, HeaderMap), Failed> {
    let refused = |detail: &str| Failed::new(ForwardFailure::Headers, detail);
    let target = Url::parse(&url.with_query(&request.query));
    let target = target.map_err(|_| refused("the query cannot be part of a URL"))?;
    // `Url` may escape characters of the query. The app verifies the escaped text.
    let mut signed_url = url.signed_origin(request.kind) + target.path();
    if let Some(query) = target.query() {
        signed_url.push('?');
        signed_url.push_str(query);
    }
    let pairs = form::pairs(&request.body);
    let content = Content::Form { pairs: &pairs, body: &request.body };
    let signature = sign(&request.key, &signed_url, &content);
    let mut headers = HeaderMap::new();
    let mut length = 0;
    for (name, value) in &request.headers {
        length += name.len() + value.len();
        let name = HeaderName::from_bytes(name.as_bytes());
        let value = HeaderValue::from_bytes(value);
        let (Ok(name), Ok(value)) = (name, value) else {
            return Err(refused("a header of the request is malformed"));
        };
        headers.append(name, value);
    }
    if length > MAX_HEADERS {
        return Err(refused("the headers of the request exceed the limit"));
    }
    let text = |text: &str| {
        HeaderValue::from_str(text).map_err(|_| refused("the app's URL is no header value"))
    };
    headers.insert(HeaderName::from_static(SIGNATURE), text(&signature)?);
    headers.insert(HOST, text(url.authority())?);
    headers.insert(VIA, HeaderValue::from_static(VIA_HEARDBACK));
    if let Some(basic) = url.basic() {
        let mut basic = text(basic.expose_secret())?;
        basic.set_sensitive(true);
        headers.insert(AUTHORIZATION, basic);
    }
    Ok((target, headers))
}
