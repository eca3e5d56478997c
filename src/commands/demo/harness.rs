//! The parts of the demo: the fake Twilio, the service with its store, and a client that sends recordings.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::{Context, bail};
use futures_util::future::LocalBoxFuture;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::redirect::Policy;
use serde_json::Value;
use sqlx::postgres::PgConnectOptions;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::commands::demo::fake_twilio::FakeTwilio;
use crate::commands::demo::scenario::{ENDINGS, Ending, POSTS, Step, StepSigner};
use crate::commands::store_access::postgres_options;
use crate::config::{PostgresUrl, Settings, SettingsArgs, StoreUrl};
use crate::domain::matching::earlier;
use crate::domain::route;
use crate::recording::Recording;
use crate::store::postgres::PostgresStore;
use crate::twilio::signature::{Content, SigningKey, sign};

/// Starts the service with these settings, on a public and an operator's listener, until the channel stops it. The
/// program passes `serve`, because commands do not import it.
pub type Launch = fn(
    &Settings,
    TcpListener,
    TcpListener,
    oneshot::Receiver<()>,
) -> anyhow::Result<LocalBoxFuture<'static, anyhow::Result<()>>>;

struct DemoReceiver {
    /// The URL of the public listener.
    base: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
}

const ACCOUNT: &str = "AC11111111111111111111111111111111";
/// The auth token of the demo. It is not secret.
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// The limit for all posts. One is retried after a second or less.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The connections of a receiver to a database.
const CONNECTIONS: u32 = 4;
/// The end of the path at which an app creates a message.
const CREATES: &str = "/Messages.json";
/// The start of the path of a click link.
const LINKS: &str = "/c/";
const POLL_INTERVAL: Duration = Duration::from_millis(25);

pub(super) struct DemoOutcome {
    pub(super) ending: &'static Ending,
    pub(super) state: String,
    pub(super) note: String,
}

pub(super) struct Harness {
    pub(super) twilio: FakeTwilio,
    pub(super) operator: String,
    /// The URL of the public listener.
    pub(super) base: String,
    pub(super) key: SigningKey,
    http: reqwest::Client,
    link: Option<String>,
    /// The first gets registrations and queries, the last all other requests: they share one database.
    receivers: Vec<DemoReceiver>,
    folder: TempDir,
}

impl Harness {
    pub(super) fn build(
        launch: Launch,
        database: Option<(&PgConnectOptions, &PostgresUrl)>,
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let twilio = FakeTwilio::start()?;
        let count = if database.is_some() { 2 } else { 1 };
        let listen = || TcpListener::bind("127.0.0.1:0");
        let listeners: Vec<_> =
            (0..count).map(|_| Ok((listen()?, listen()?))).collect::<std::io::Result<_>>()?;
        let urls: Vec<(String, String)> = listeners
            .iter()
            .map(|(public, ops)| Ok((url(public)?, url(ops)?)))
            .collect::<std::io::Result<_>>()?;
        let (base, operator) = urls.first().cloned().context("no receiver")?;
        let mut settings = settings(&folder, &base, &twilio.url())?;
        if let Some((connect, url)) = database {
            settings.store = StoreUrl::Postgres(url.with(connect.clone()));
            settings.phone_key = Some(TOKEN.as_bytes().to_vec().into());
            settings.pool.connections = CONNECTIONS;
            // With a short timeout, the demo would fail on a slow machine.
            settings.pool.acquire_timeout = TIMEOUT;
            PostgresStore::migrate(postgres_options(&settings, &url.with(connect.clone())))?;
        }
        let mut receivers = Vec::with_capacity(count);
        for ((public, ops), (base, _)) in listeners.into_iter().zip(urls) {
            settings.run_dir = folder.path().join(format!("run-{}", receivers.len()));
            let (stop, stopped) = oneshot::channel();
            let running = actix_web::rt::spawn(launch(&settings, public, ops, stopped)?);
            receivers.push(DemoReceiver { base, stop, running });
        }
        Ok(Self {
            twilio,
            operator,
            base,
            key: SigningKey::new(TOKEN.as_bytes()),
            http: reqwest::Client::builder().no_proxy().redirect(Policy::none()).build()?,
            link: None,
            receivers,
            folder,
        })
    }

    /// The URL of the receiver that gets no registrations; with one receiver, its URL.
    pub(super) fn other(&self) -> &str {
        self.receivers.last().map_or(&self.base, |receiver| &receiver.base)
    }

    /// Signs and sends the recording of a step. Returns the request line, and the response in a few words.
    pub(super) async fn play(&mut self, step: &Step) -> anyhow::Result<(String, String)> {
        let mut recording = Recording::parse(step.recording)?;
        recording.body = moved_to_now(&recording.body);
        if let (Some(link), true) = (&self.link, recording.target.starts_with(LINKS)) {
            recording.target.clone_from(link);
        }
        let signed = match step.signer {
            StepSigner::Known => recording.signed(&self.key, &self.base),
            StepSigner::Unsigned => recording.clone(),
            StepSigner::Forger => recording.signed(&SigningKey::new(b"a guess"), &self.base),
        };
        // The first parameter identifies the request.
        let target = match recording.target.split_once('&') {
            Some((start, _)) => format!("{start}…"),
            None if recording.target.ends_with(CREATES) => format!("…{CREATES}"),
            None => recording.target.clone(),
        };
        let line = format!("{} {target}", recording.method);
        let response = read_response(self.send(&signed).await?).await?;
        if let Some(link) = response.link.as_deref().and_then(|link| link.strip_prefix(&self.base))
        {
            self.link = Some(link.to_owned());
        }
        Ok((line, response.text))
    }

    pub(super) async fn send(&self, signed: &Recording) -> anyhow::Result<reqwest::Response> {
        let is_registration = signed.method == "POST"
            && (signed.target.starts_with(route::REGISTER) || signed.target.ends_with(CREATES));
        let base = if is_registration { &self.base } else { self.other() };
        let url = format!("{base}{}", signed.target);
        let method = reqwest::Method::from_bytes(signed.method.as_bytes())?;
        let mut request = self.http.request(method, url).body(signed.body.clone());
        for (name, value) in &signed.headers {
            if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        Ok(request.send().await?)
    }

    /// Waits until every message has its expected state and all posts were attempted. After [`TIMEOUT`] the outcomes are
    /// returned as they are.
    pub(super) async fn results(&self) -> anyhow::Result<Vec<DemoOutcome>> {
        let settled = async {
            loop {
                let outcomes = self.outcomes().await?;
                let as_expected = |outcome: &DemoOutcome| outcome.state == outcome.ending.expected;
                if outcomes.iter().all(as_expected) && self.twilio.attempts().len() >= POSTS {
                    return anyhow::Ok(outcomes);
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        match tokio::time::timeout(TIMEOUT, settled).await {
            Ok(outcomes) => outcomes,
            Err(_) => self.outcomes().await,
        }
    }

    async fn outcomes(&self) -> anyhow::Result<Vec<DemoOutcome>> {
        let mut outcomes = Vec::with_capacity(ENDINGS.len());
        for ending in &ENDINGS {
            let message = self.show(ending.sid).await?;
            let at = |pointer: &str| message.pointer(pointer);
            let text = |pointer| at(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let mut note = text("/evidence");
            if let Some(attempts) = at("/attempts").and_then(Value::as_u64).filter(|n| *n > 1) {
                note = format!("{note}, {attempts} attempts");
            }
            if let Some(status) = at("/refusal/status").and_then(Value::as_u64) {
                note = format!("{note}, Twilio responded {status}");
            }
            outcomes.push(DemoOutcome { ending, state: text("/state"), note });
        }
        Ok(outcomes)
    }

    async fn show(&self, sid: &str) -> anyhow::Result<Value> {
        let target = format!("{}/{sid}", route::REGISTER);
        let url = format!("{}{target}", self.base);
        let signature = sign(&self.key, &url, &Content::Nothing);
        let response = self.http.get(url).header("X-Twilio-Signature", signature).send().await?;
        Ok(response.json().await?)
    }

    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        for receiver in self.receivers {
            if receiver.stop.send(()).is_err() {
                bail!("the receiver ended early: {:?}", receiver.running.await);
            }
            receiver.running.await??;
        }
        self.twilio.stop().await;
        Ok(self.folder.close()?)
    }
}

fn url(listener: &TcpListener) -> std::io::Result<String> {
    Ok(format!("http://{}", listener.local_addr()?))
}

fn settings(folder: &TempDir, base: &str, twilio: &str) -> anyhow::Result<Settings> {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", base),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("HEARDBACK_STORE", &format!("sled:{}", folder.path().join("store").display())),
        ("HEARDBACK_ALLOW_UNSAFE_STORE", "true"),
        ("HEARDBACK_UPSTREAM_URL", twilio),
        ("HEARDBACK_SEND", "on"),
    ]);
    let secrets = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| TOKEN.to_owned());
    Ok(Settings::load(&args, &secrets, &|path| std::fs::read_to_string(path))?)
}

/// Moves the times of a recording to the present, because a reply to an old message proves nothing.
fn moved_to_now(body: &[u8]) -> Vec<u8> {
    const DAY: &str = "2026-11-23T";
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split(DAY);
    let mut moved = parts.next().unwrap_or_default().to_owned();
    #[expect(clippy::disallowed_methods, reason = "the demo runs at the present time")]
    let now = Timestamp::now();
    // A reply at the time of its message's creation would count as automatic.
    let sent = earlier(now, std::time::Duration::from_mins(1));
    for part in parts {
        let time = if moved.ends_with("CreatedAt=") { sent } else { now };
        moved.push_str(&time.to_string());
        moved.push_str(part.split_once('Z').map_or("", |(_, rest)| rest));
    }
    // One recording has a time in the format of Twilio's API.
    let rfc2822 = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    moved.replace("Mon, 23 Nov 2026 10:02:31 +0000", &rfc2822).into_bytes()
}

fn host(location: &str) -> &str {
    let rest = location.split_once("://").map_or(location, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

pub(super) struct DemoResponse {
    /// The status, and a word of the body.
    pub(super) text: String,
    link: Option<String>,
}

pub(super) async fn read_response(response: reqwest::Response) -> anyhow::Result<DemoResponse> {
    let status = response.status().as_u16();
    let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
    let location = header("location").map(str::to_owned);
    let is_page = header("content-type").is_some_and(|media| media.starts_with("text/html"));
    let body = response.text().await?;
    let json = serde_json::from_str::<Value>(&body).ok();
    let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let word = match (&json, location) {
        (_, Some(location)) => host(&location).to_owned(),
        (Some(_), None) => field("state")
            .or_else(|| field("result"))
            .or_else(|| field("status"))
            .unwrap_or_default(),
        (None, None) if is_page => "a page".to_owned(),
        // The verb of a `TwiML` response.
        (None, None) => body.replace("<Response>", "").replace("</Response>", ""),
    };
    Ok(DemoResponse { text: format!("{status} {word}").trim_end().to_owned(), link: field("link") })
}
