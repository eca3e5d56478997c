//! Upstream: one feedback goes out to Twilio, one [`Verdict`] comes back.
//!
//! Promises exactly the request of docs/design.md, "Posting to Twilio", and that nothing but a whole 2xx is ever `Done`.
//! Deliberately absent: retries, waits and rate limits (the worker's and the store's business),
//! redirects and proxies from the environment (credentials go to one place only), HTTP/2.

mod accounts;
mod answer;
mod body;
mod probe;
mod retry_after;

pub use crate::upstream::accounts::Upstreams;
pub use crate::upstream::probe::Probed;

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use crate::upstream::answer::{UpstreamResponse, printable};

/// The whole of what is ever said to Twilio. `unconfirmed` is Twilio's own default, never ours.
const FORM: &str = "Outcome=confirmed";
const FORM_TYPE: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");
/// Twilio's answers have some 400 bytes. A longer body is not read further, and is not Twilio's.
const ANSWER_CAP: usize = 16 * 1024;
/// Shorter than the idle timeouts of common load balancers, so that they rarely hang up on us first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A user name and its secret for Basic auth: an API key's SID and secret, or the account's SID and
/// one of its auth tokens.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The user name. Not secret.
    pub user: String,
    /// The secret. `Debug` prints its type only.
    pub secret: SecretString,
}

/// Where Twilio is, and who we are.
#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// An origin without a trailing slash, such as `https://api.twilio.com`.
    pub base: String,
    /// In order of preference; the others are tried when one is turned away.
    pub credentials: Vec<Credential>,
    /// How long a connection may take to come about. 3 s in `serve`.
    pub connect_timeout: Duration,
    /// How long a request may take, its answer's last byte included. 10 s in `serve`.
    pub request_timeout: Duration,
    /// The `User-Agent`, such as `heardback/0.1.0`.
    pub user_agent: String,
}

/// Called with the `Date` of each answer of Twilio's own. Must not block.
pub type OnDate = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// Why there is no client. A matter of settings or of the machine; found at start.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// Nothing to authenticate with.
    #[error("no credentials to post with")]
    NoCredentials,
    /// The HTTP client could not be built; no CA certificates, most likely.
    #[error("the HTTP client could not be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// The client. Keeps its connections; share one.
pub struct Upstream {
    config: UpstreamConfig,
    client: reqwest::Client,
    /// Which credential worked last. A hint: two posts may race for it, and either is right.
    preferred: AtomicUsize,
    on_date: OnDate,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Builds the client; connects to nothing yet.
    ///
    /// # Errors
    /// [`UpstreamError`] without credentials, or where the TLS roots cannot be read.
    pub fn new(config: UpstreamConfig) -> Result<Self, UpstreamError> {
        let client = connect(&config)?;
        Self::over(client, config, Arc::new(|_| {}))
    }

    /// The same over connections that are shared.
    fn over(
        client: reqwest::Client,
        config: UpstreamConfig,
        on_date: OnDate,
    ) -> Result<Self, UpstreamError> {
        if config.credentials.is_empty() {
            return Err(UpstreamError::NoCredentials);
        }
        Ok(Self { config, client, preferred: AtomicUsize::new(0), on_date })
    }

    /// The longest that a [`Self::post`] can take: every credential may use its whole time.
    #[must_use]
    pub fn longest_post(&self) -> Duration {
        let tries = u32::try_from(self.config.credentials.len()).unwrap_or(u32::MAX);
        self.config.request_timeout.saturating_mul(tries)
    }

    /// Reports one confirmation. Where one credential is turned away (401, 403), the others are
    /// tried before that is the verdict; the one that works is used first from then on.
    pub async fn post(&self, feedback: &Feedback) -> Verdict {
        let first = self.preferred.load(Ordering::Relaxed);
        let credentials = self.config.credentials.iter().enumerate();
        let (before, from): (Vec<_>, Vec<_>) = credentials.partition(|(at, _)| *at < first);
        let mut denial: Option<Verdict> = None;
        for (at, credential) in from.into_iter().chain(before) {
            let verdict = self.post_as(credential, feedback).await;
            if !is_denial(&verdict) {
                if proves_credential(&verdict) {
                    self.preferred.store(at, Ordering::Relaxed);
                }
                return verdict;
            }
            denial = Some(denial.map_or(verdict.clone(), |earlier| graver(earlier, verdict)));
        }
        denial.unwrap_or_else(|| broken("there are no credentials"))
    }

    async fn post_as(&self, credential: &Credential, feedback: &Feedback) -> Verdict {
        let Feedback { account, message } = feedback;
        let base = &self.config.base;
        let url = format!("{base}/2010-04-01/Accounts/{account}/Messages/{message}/Feedback.json");
        let request = self
            .client
            .post(url)
            .basic_auth(&credential.user, Some(credential.secret.expose_secret()))
            .header(ACCEPT, JSON_TYPE)
            .header(CONTENT_TYPE, FORM_TYPE)
            .body(FORM);
        match request.send().await {
            Ok(response) => {
                let answer = self.read(response).await;
                self.note_date(&answer, message.as_str());
                answer.verdict(feedback)
            }
            Err(error) => broken(&self.describe_error(error)),
        }
    }

    /// Passes on the `Date` of Twilio's own answer about that message or account. Returns whether
    /// there was one.
    fn note_date(&self, answer: &UpstreamResponse, sid: &str) -> bool {
        let date = answer.twilios_date(sid);
        date.inspect(|date| (self.on_date)(*date)).is_some()
    }

    async fn read(&self, mut response: reqwest::Response) -> UpstreamResponse {
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let (broken, is_oversized) = loop {
            match response.chunk().await {
                Ok(None) => break (None, false),
                Ok(Some(chunk)) if body.len() + chunk.len() <= ANSWER_CAP => {
                    body.extend_from_slice(&chunk);
                }
                // The status of an error still counts; the body does not.
                Ok(Some(_)) => {
                    body.clear();
                    break (None, true);
                }
                Err(error) => break (Some(self.describe_error(error)), false),
            }
        };
        UpstreamResponse { status, headers, body, broken, is_oversized }
    }

    /// What went wrong on the wire, in words for an operator: the stage and the root of it. Without
    /// the URL, which a log line has no use for.
    fn describe_error(&self, error: reqwest::Error) -> String {
        let error = error.without_url();
        if error.is_timeout() && error.is_connect() {
            return format!("no connection within {:?}", self.config.connect_timeout);
        }
        if error.is_timeout() {
            return format!("no complete answer within {:?}", self.config.request_timeout);
        }
        let stage = if error.is_connect() {
            "cannot connect"
        } else if error.is_body() || error.is_decode() {
            "the answer broke off"
        } else {
            "the connection broke"
        };
        let mut root: &dyn Error = &error;
        while let Some(source) = root.source() {
            root = source;
        }
        printable(&format!("{stage}: {root}"))
    }
}

fn connect(config: &UpstreamConfig) -> Result<reqwest::Client, UpstreamError> {
    let client = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .timeout(config.request_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .user_agent(&config.user_agent)
        .build()?;
    Ok(client)
}

fn broken(message: &str) -> Verdict {
    let why = OutcomeDetail { status: None, code: None, message: message.to_owned() };
    Verdict::Retry { why, after: None }
}

/// Whether another credential might fare better. A redirect pauses too, but not for that reason.
fn is_denial(verdict: &Verdict) -> bool {
    denied_with(verdict).is_some_and(|status| status == 401 || status == 403)
}

fn denied_with(verdict: &Verdict) -> Option<u16> {
    match verdict {
        Verdict::Pause { why } => why.status,
        Verdict::Done { .. }
        | Verdict::Uncertain { .. }
        | Verdict::Retry { .. }
        | Verdict::Throttle { .. }
        | Verdict::Missing { .. }
        | Verdict::Never { .. } => None,
    }
}

/// Of two denials, the one that says more: a 403 knew who was asking.
fn graver(earlier: Verdict, later: Verdict) -> Verdict {
    if denied_with(&earlier) != Some(403) && denied_with(&later) == Some(403) {
        later
    } else {
        earlier
    }
}

/// Whether the answer shows that the credential was accepted.
fn proves_credential(verdict: &Verdict) -> bool {
    match verdict {
        Verdict::Done { .. } | Verdict::Missing { .. } | Verdict::Never { .. } => true,
        Verdict::Uncertain { .. }
        | Verdict::Retry { .. }
        | Verdict::Throttle { .. }
        | Verdict::Pause { .. } => false,
    }
}
