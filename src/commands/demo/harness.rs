//! The stage: the stand-in, the receiver with a store in a temporary folder, and who plays on it.

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use reqwest::redirect::Policy;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::commands::demo::Launch;
use crate::commands::demo::fake_twilio::{FakeTwilio, FakeTwilioPost};
use crate::commands::demo::scenario::{ENDINGS, POSTS, Step, StepSigner};
use crate::config::Settings;
use crate::config::SettingsArgs;
use crate::domain::matching::earlier;
use crate::domain::route;
use crate::recording::Recording;
use crate::twilio::signature::{Content, SigningKey, sign};

/// The account of the recordings.
const ACCOUNT: &str = "AC11111111111111111111111111111111";
/// The demo's secret, which is none: it is good on this stage only.
pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";
/// How long the posts may take: one is tried again after a second at the most.
const PATIENCE: Duration = Duration::from_secs(20);
/// What the paths of click links begin with.
const LINKS: &str = "/c/";
const LOOK_EVERY: Duration = Duration::from_millis(25);

/// What became of a message.
pub(super) struct DemoOutcome {
    pub(super) sid: &'static str,
    pub(super) story: &'static str,
    pub(super) expected: &'static str,
    pub(super) state: String,
    pub(super) note: String,
}

pub(super) struct Harness {
    pub(super) twilio: FakeTwilio,
    receiver: SocketAddr,
    operator: SocketAddr,
    pub(super) base: String,
    pub(super) key: SigningKey,
    http: reqwest::Client,
    /// The path of the click link that was made last.
    link: Option<String>,
    stop: oneshot::Sender<()>,
    running: JoinHandle<anyhow::Result<()>>,
    folder: TempDir,
}

impl Harness {
    pub(super) fn build<R>(launch: impl Launch<R>) -> anyhow::Result<Self>
    where
        R: Future<Output = anyhow::Result<()>> + 'static,
    {
        let folder = tempfile::tempdir().context("cannot make a temporary folder")?;
        let twilio = FakeTwilio::start()?;
        let public = TcpListener::bind("127.0.0.1:0")?;
        let ops = TcpListener::bind("127.0.0.1:0")?;
        let (receiver, operator) = (public.local_addr()?, ops.local_addr()?);
        let base = format!("http://{receiver}");
        let settings = settings(&folder, &base, twilio.addr)?;
        let (stop, stopped) = oneshot::channel();
        let running = actix_web::rt::spawn(launch(&settings, public, ops, stopped)?);
        Ok(Self {
            twilio,
            receiver,
            operator,
            base,
            key: SigningKey::new(TOKEN.as_bytes()),
            http: reqwest::Client::builder().no_proxy().redirect(Policy::none()).build()?,
            link: None,
            stop,
            running,
            folder,
        })
    }

    pub(super) fn receiver_url(&self) -> String {
        format!("http://{}", self.receiver)
    }

    pub(super) fn operator_url(&self) -> String {
        format!("http://{}", self.operator)
    }

    pub(super) fn twilio_url(&self) -> String {
        format!("http://{}", self.twilio.addr)
    }

    pub(super) fn attempts(&self) -> Vec<FakeTwilioPost> {
        self.twilio.attempts()
    }

    /// Signs a recording freshly, sends it, and tells the answer in a few words. The first word of
    /// the pair is the request line.
    pub(super) async fn play(&mut self, step: &Step) -> anyhow::Result<(String, String)> {
        let mut recording = Recording::parse(step.recording)?;
        recording.body = at_present(&recording.body);
        if let (Some(link), true) = (&self.link, recording.target.starts_with(LINKS)) {
            recording.target.clone_from(link);
        }
        let signed = match step.signer {
            StepSigner::Known => recording.signed(&self.key, &self.base),
            StepSigner::Nobody => recording.clone(),
            StepSigner::Stranger => recording.signed(&SigningKey::new(b"a guess"), &self.base),
        };
        // The first parameter is enough to tell what it is.
        let target = match recording.target.split_once('&') {
            Some((start, _)) => format!("{start}…"),
            None => recording.target.clone(),
        };
        let line = format!("{} {target}", recording.method);
        let told = read_response(self.send(&signed).await?).await?;
        if let Some(link) = told.link.as_deref().and_then(|link| link.strip_prefix(&self.base)) {
            self.link = Some(link.to_owned());
        }
        Ok((line, told.words))
    }

    pub(super) async fn send(&self, signed: &Recording) -> anyhow::Result<reqwest::Response> {
        let url = format!("{}{}", self.receiver_url(), signed.target);
        let method = reqwest::Method::from_bytes(signed.method.as_bytes())?;
        let mut request = self.http.request(method, url).body(signed.body.clone());
        for (name, value) in &signed.headers {
            if !name.eq_ignore_ascii_case("host") && !name.eq_ignore_ascii_case("content-length") {
                request = request.header(name, value);
            }
        }
        Ok(request.send().await?)
    }

    /// What became of each message, once Twilio has answered for all that were confirmed.
    pub(super) async fn results(&self) -> anyhow::Result<Vec<DemoOutcome>> {
        let settled = async {
            loop {
                let outcomes = self.outcomes().await?;
                let as_expected = |outcome: &DemoOutcome| outcome.state == outcome.expected;
                if outcomes.iter().all(as_expected) && self.attempts().len() >= POSTS {
                    return anyhow::Ok(outcomes);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        match tokio::time::timeout(PATIENCE, settled).await {
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
                note = format!("{note}, Twilio said {status}");
            }
            outcomes.push(DemoOutcome {
                sid: ending.sid,
                story: ending.story,
                expected: ending.expected,
                state: text("/state"),
                note,
            });
        }
        Ok(outcomes)
    }

    async fn show(&self, sid: &str) -> anyhow::Result<Value> {
        let target = format!("{}/{sid}", route::REGISTER);
        let signature = sign(&self.key, &format!("{}{target}", self.base), &Content::Nothing);
        let url = format!("{}{target}", self.receiver_url());
        let answer = self.http.get(url).header("X-Twilio-Signature", signature).send().await?;
        Ok(answer.json().await?)
    }

    pub(super) async fn close(mut self) -> anyhow::Result<()> {
        if self.stop.send(()).is_err() {
            bail!("the receiver ended by itself: {:?}", self.running.await);
        }
        self.running.await??;
        self.twilio.stop().await;
        Ok(self.folder.close()?)
    }
}

fn settings(folder: &TempDir, base: &str, twilio: SocketAddr) -> anyhow::Result<Settings> {
    let args = SettingsArgs::of([
        ("HEARDBACK_PUBLIC_URL", base),
        ("TWILIO_ACCOUNT_SID", ACCOUNT),
        ("HEARDBACK_STORE", &format!("sled:{}", folder.path().join("store").display())),
        ("HEARDBACK_ALLOW_UNSAFE_STORE", "true"),
        ("HEARDBACK_UPSTREAM_URL", &format!("http://{twilio}")),
    ]);
    let secrets = |name: &str| (name == "TWILIO_AUTH_TOKEN").then(|| TOKEN.to_owned());
    Ok(Settings::gather(&args, &secrets, &|path| std::fs::read_to_string(path))?)
}

/// The recordings lie in the past, and nobody answers what is hours old: their moments become this one.
fn at_present(body: &[u8]) -> Vec<u8> {
    const DAY: &str = "2026-11-23T";
    let text = String::from_utf8_lossy(body);
    let mut parts = text.split(DAY);
    let mut moved = parts.next().unwrap_or_default().to_owned();
    #[expect(clippy::disallowed_methods, reason = "the demo plays at the present moment")]
    let now = Timestamp::now();
    // A reply at the moment of its message's creation would count as automatic.
    let sent = earlier(now, std::time::Duration::from_mins(1));
    for part in parts {
        let moment = if moved.ends_with("CreatedAt=") { sent } else { now };
        moved.push_str(&moment.to_string());
        moved.push_str(part.split_once('Z').map_or("", |(_, rest)| rest));
    }
    // The one that is written as Twilio's API writes them.
    let theirs = jiff::fmt::rfc2822::to_string(&now.to_zoned(TimeZone::UTC)).unwrap_or_default();
    moved.replace("Mon, 23 Nov 2026 10:02:31 +0000", &theirs).into_bytes()
}

/// Where a redirect leads.
fn host(location: &str) -> &str {
    let rest = location.split_once("://").map_or(location, |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}

/// What `TwiML` says to do, without its wrapping.
fn verb(twiml: &str) -> &str {
    let inner = twiml.strip_prefix("<Response>").and_then(|rest| rest.strip_suffix("</Response>"));
    inner.unwrap_or(twiml)
}

/// An answer, as the demo tells it.
pub(super) struct DemoResponse {
    /// The status, and the word of the body that matters.
    pub(super) words: String,
    /// The click link in it.
    link: Option<String>,
}

pub(super) async fn read_response(answer: reqwest::Response) -> anyhow::Result<DemoResponse> {
    let status = answer.status().as_u16();
    let header = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok());
    let location = header("location").map(str::to_owned);
    let is_page = header("content-type").is_some_and(|media| media.starts_with("text/html"));
    let body = answer.text().await?;
    let json = serde_json::from_str::<Value>(&body).ok();
    let field = |name: &str| json.as_ref()?.get(name)?.as_str().map(str::to_owned);
    let word = match (&json, location) {
        (_, Some(location)) => host(&location).to_owned(),
        (Some(_), None) => field("state").or_else(|| field("result")).unwrap_or_default(),
        (None, None) if is_page => "a page".to_owned(),
        (None, None) => verb(&body).to_owned(),
    };
    Ok(DemoResponse {
        words: format!("{status} {word}").trim_end().to_owned(),
        link: field("link"),
    })
}
