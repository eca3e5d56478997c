//! One post to Twilio: the request, the credentials and the read of the response.

use std::cell::OnceCell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, Request};
use secrecy::{ExposeSecret, SecretString};

use crate::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use crate::domain::root_cause::root_cause;
use crate::upstream::answer::{UpstreamResponse, printable};

/// The only form that is posted. `unconfirmed` is Twilio's own default.
const FORM: &str = "Outcome=confirmed";
const FORM_TYPE: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
pub(super) const JSON_TYPE: HeaderValue = HeaderValue::from_static("application/json");
/// Twilio's answers have about 400 bytes. The rest of a longer body is not read.
const MAX_ANSWER: usize = 16 * 1024;
/// Shorter than the idle timeouts of common load balancers, so that they rarely close a connection first.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// A user name and secret for Basic auth: an API key's SID and secret, or the account's SID and an auth token.
#[derive(Debug, Clone)]
pub struct Credential {
    pub user: String,
    /// `Debug` prints its type only.
    pub secret: SecretString,
}

#[derive(Debug, Clone)]
pub struct UpstreamConfig {
    /// An origin without a trailing slash, such as `https://api.twilio.com`.
    pub base: String,
    /// In order of preference; if Twilio denies one, the next is tried.
    pub credentials: Vec<Credential>,
    /// 3 s in `serve`.
    pub connect_timeout: Duration,
    /// Up to the last byte of the answer. 10 s in `serve`.
    pub request_timeout: Duration,
    /// Such as `heardback/0.1.0`.
    pub user_agent: String,
}

/// Receives the `Date` of each of Twilio's own answers. Must not block.
pub type OnDate = Arc<dyn Fn(Timestamp) + Send + Sync>;

/// The client cannot be built, because of the settings or the machine.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    #[error("no credentials to post with")]
    NoCredentials,
    /// Most likely there are no CA certificates.
    #[error("the HTTP client could not be built: {0}")]
    Client(#[from] reqwest::Error),
}

/// The client of one account. It keeps its connections.
pub struct Upstream {
    pub(super) config: UpstreamConfig,
    pub(super) client: reqwest::Client,
    /// For each credential, the part of a post that is the same for every message.
    prepared: Vec<Request>,
    /// The credential that worked last. Two posts may race to set it; either value is valid.
    preferred: AtomicUsize,
    on_date: OnDate,
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstream").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Upstream {
    /// Builds the client with its own connections, and opens none yet.
    ///
    /// # Errors
    /// There are no credentials, the base is no URL, or the TLS roots cannot be read.
    pub fn new(config: UpstreamConfig) -> Result<Self, UpstreamError> {
        let client = connect(&config)?;
        Self::with_client(client, config, Arc::new(|_| {}))
    }

    /// Builds the client over shared connections.
    pub(super) fn with_client(
        client: reqwest::Client,
        config: UpstreamConfig,
        on_date: OnDate,
    ) -> Result<Self, UpstreamError> {
        if config.credentials.is_empty() {
            return Err(UpstreamError::NoCredentials);
        }
        let prepare = |credential: &Credential| {
            let secret = credential.secret.expose_secret();
            let request = client.post(&config.base).basic_auth(&credential.user, Some(secret));
            request.header(ACCEPT, JSON_TYPE).header(CONTENT_TYPE, FORM_TYPE).build()
        };
        let prepared = config.credentials.iter().map(prepare).collect::<Result<_, _>>()?;
        Ok(Self { config, client, prepared, preferred: AtomicUsize::new(0), on_date })
    }

    /// The longest time of a [`Self::post`]: each credential may use its whole timeout.
    pub fn longest_post(&self) -> Duration {
        let tries = u32::try_from(self.config.credentials.len()).unwrap_or(u32::MAX);
        self.config.request_timeout.saturating_mul(tries)
    }

    /// Reports one confirmation. If Twilio denies a credential (401, 403), the others are tried too. The credential that
    /// works is used first from then on.
    pub async fn post(&self, feedback: &Feedback) -> Verdict {
        let first = self.preferred.load(Ordering::Relaxed);
        let all = self.prepared.iter().enumerate();
        let mut denial: Option<Verdict> = None;
        for (at, prepared) in all.clone().skip(first).chain(all.take(first)) {
            let verdict = self.post_as(prepared, feedback).await;
            if !is_denial(&verdict) {
                if proves_credential(&verdict) {
                    self.preferred.store(at, Ordering::Relaxed);
                }
                return verdict;
            }
            // Of several denials the first 403 says most: Twilio knew the user.
            let is_clearer =
                |earlier: &Verdict| earlier.status() != Some(403) && verdict.status() == Some(403);
            if denial.as_ref().is_none_or(is_clearer) {
                denial = Some(verdict);
            }
        }
        denial.unwrap_or_else(|| broken("there are no credentials"))
    }

    async fn post_as(&self, prepared: &Request, feedback: &Feedback) -> Verdict {
        let Feedback { account, message } = feedback;
        let path = format!("/2010-04-01/Accounts/{account}/Messages/{message}/Feedback.json");
        let mut request = Request::new(Method::POST, prepared.url().clone());
        request.url_mut().set_path(&path);
        request.headers_mut().clone_from(prepared.headers());
        *request.body_mut() = Some(FORM.into());
        match self.client.execute(request).await {
            Ok(response) => {
                let answer = self.read(response).await;
                self.note_date(&answer, message.as_str());
                answer.verdict(feedback)
            }
            Err(error) => broken(&self.describe_error(error)),
        }
    }

    /// Passes on the `Date` of Twilio's own answer about this message or account. Returns whether there was one.
    pub(super) fn note_date(&self, answer: &UpstreamResponse, sid: &str) -> bool {
        let date = answer.twilios_date(sid);
        date.inspect(|date| (self.on_date)(*date)).is_some()
    }

    pub(super) async fn read(&self, mut response: reqwest::Response) -> UpstreamResponse {
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        let mut body = Vec::new();
        let (broken, is_oversized) = loop {
            match response.chunk().await {
                Ok(None) => break (None, false),
                Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => {
                    body.extend_from_slice(&chunk);
                }
                // The status of an error counts; the body does not.
                Ok(Some(_)) => {
                    body.clear();
                    break (None, true);
                }
                Err(error) => break (Some(self.describe_error(error)), false),
            }
        };
        UpstreamResponse { status, headers, body, json: OnceCell::new(), broken, is_oversized }
    }

    /// The stage and the root cause of an I/O error, for an operator.
    pub(super) fn describe_error(&self, error: reqwest::Error) -> String {
        let UpstreamConfig { connect_timeout, request_timeout, .. } = self.config;
        describe(error, Timeouts { connect: connect_timeout, request: request_timeout })
    }
}

/// The timeouts of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) request: Duration,
}

/// The stage and the root cause of an I/O error, for an operator.
pub(super) fn describe(error: reqwest::Error, timeouts: Timeouts) -> String {
    let error = error.without_url();
    if error.is_timeout() && error.is_connect() {
        return format!("no connection within {:?}", timeouts.connect);
    }
    if error.is_timeout() {
        return format!("no complete answer within {:?}", timeouts.request);
    }
    let stage = if error.is_connect() {
        "cannot connect"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off"
    } else {
        "the connection broke"
    };
    printable(&format!("{stage}: {}", root_cause(&error)))
}

pub(super) fn connect(config: &UpstreamConfig) -> Result<reqwest::Client, UpstreamError> {
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

/// Whether another credential might be accepted. A redirect pauses too, but for another reason.
fn is_denial(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Pause { .. }) && matches!(verdict.status(), Some(401 | 403))
}

/// Whether the answer proves that the credential was accepted.
fn proves_credential(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Done { .. } | Verdict::Missing { .. } | Verdict::Never { .. })
}
