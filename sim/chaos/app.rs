//! The app behind the service: it verifies that each request is signed for its own URL, then answers, or fails on purpose.
//!
//! One listener serves all receivers for the whole run. Absent: any effect on the evidence, which the service takes itself.

use std::io::{self, Read as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::park_timeout;
use std::time::Duration;

use heardback::twilio::form;
use heardback::twilio::signature::{Content, sign};
use rustix::net::sockopt::set_socket_linger;

use crate::history::{Credential, EventKind, History, digest};
use crate::identities::{Identities, TEXT, is};
use crate::support::fake_twilio::{ApiReply, ApiRequest, FakeTwilio};
use crate::support::http::Connection;
use crate::support::random::{Random, hash};

/// Longer than the service waits for the app.
const HANG: Duration = Duration::from_secs(12);
/// More than the service accepts.
const LARGE: usize = 300 << 10;
/// The cookie of every reply of the app. It shows in the head that Twilio gets, even if the body is cut off.
pub(crate) const COOKIE: &str = "answered=by-the-app";
const TWIML: &str = "<Response><!-- the app --></Response>";
const PAGE: &str = "<!doctype html><title>Sign in</title>";

/// The behaviour of the app for one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Behaviour {
    Answer,
    AnswerLate,
    Hang,
    /// An RST before the reply.
    Reset,
    /// An RST within the reply.
    Half,
    Failed,
    Page,
    Large,
}

impl Behaviour {
    /// Random; a text of a conversation waits more often.
    fn draw(random: &mut Random, is_text: bool) -> Self {
        match random.below(100) {
            0..=1 => Self::Hang,
            2..=4 => Self::Reset,
            5..=6 => Self::Half,
            7..=9 => Self::Failed,
            10..=11 => Self::Page,
            12..=13 => Self::Large,
            14..=33 => Self::AnswerLate,
            34..=63 if is_text => Self::Hang,
            _ => Self::Answer,
        }
    }

    /// The name in the history.
    fn name(self) -> &'static str {
        match self {
            Self::Answer => "answered",
            Self::AnswerLate => "answered late",
            Self::Hang => "hung",
            Self::Reset => "reset",
            Self::Half => "half an answer",
            Self::Failed => "500",
            Self::Page => "a page",
            Self::Large => "too large",
        }
    }
}

/// The state of the app.
pub(crate) struct App {
    seed: u64,
    identities: Arc<Identities>,
    history: Arc<History>,
    forwards: AtomicU64,
    address: SocketAddr,
    is_healed: AtomicBool,
}

/// The running app. Drop stops it, once the service has ended.
pub(crate) struct RunningApp {
    app: Arc<App>,
    _server: FakeTwilio,
}

impl RunningApp {
    pub(crate) fn start(
        seed: u64,
        identities: &Arc<Identities>,
        history: &Arc<History>,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let app = Arc::new(App {
            seed,
            identities: Arc::clone(identities),
            history: Arc::clone(history),
            forwards: AtomicU64::new(0),
            address: listener.local_addr()?,
            is_healed: AtomicBool::new(false),
        });
        let own = Arc::clone(&app);
        let server = FakeTwilio::start(listener, move |number, connection| {
            let mut random = Random::new(hash(own.seed ^ 0xa44) ^ hash(number));
            // An error ends the connection.
            let _ = own.serve(connection, &mut random);
        })?;
        Ok(Self { app, _server: server })
    }

    /// The URL of the app for messages, calls or status callbacks. It has a query of its own.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}?of=app", self.app.address)
    }

    /// From now on the app answers every request.
    pub(crate) fn heal(&self) {
        self.app.is_healed.store(true, Ordering::Release);
    }
}

impl App {
    fn serve(&self, mut connection: Connection, random: &mut Random) -> io::Result<()> {
        loop {
            let request = ApiRequest::read(&mut connection)?;
            let forward = self.forwards.fetch_add(1, Ordering::Relaxed);
            let fields: Vec<(String, String)> =
                serde_urlencoded::from_str(&request.body).unwrap_or_default();
            let field = |wanted: &str| {
                let mut found = fields.iter().filter(|(name, _)| name == wanted);
                found.next().map(|(_, value)| value.as_str()).unwrap_or_default()
            };
            let signature = self.signature(&request, field("AccountSid"));
            let form = digest(request.body.as_bytes());
            self.history.note(EventKind::Forwarded { forward, form, signature });
            let behaviour = if self.is_healed.load(Ordering::Acquire) {
                Behaviour::Answer
            } else {
                Behaviour::draw(random, is(field("MessageSid"), TEXT))
            };
            self.reply(&mut connection, forward, behaviour, random)?;
        }
    }

    /// Whether one of the account's tokens signed the request for the app's URL.
    fn signature(&self, request: &ApiRequest, account: &str) -> Credential {
        let Some(of) = self.identities.account_number(account) else { return Credential::Wrong };
        let url = format!("http://{}{}", self.address, request.target());
        let body = request.body.as_bytes();
        let pairs = form::pairs(body);
        let content = Content::Form { pairs: &pairs, body };
        let given = request.header("X-Twilio-Signature");
        let mut keys = self.identities.webhook_keys(of).into_iter();
        let found = keys.find(|(_, key)| given == Some(sign(key, &url, &content).as_str()));
        found.map_or(Credential::Wrong, |(credential, _)| credential)
    }

    /// Replies. `Err`: the connection ends.
    fn reply(
        &self,
        connection: &mut Connection,
        forward: u64,
        behaviour: Behaviour,
        random: &mut Random,
    ) -> io::Result<()> {
        let (status, media, body) = match behaviour {
            Behaviour::Page => (200, "text/html", PAGE.to_owned()),
            Behaviour::Large => (200, "text/xml", "x".repeat(LARGE)),
            Behaviour::Failed => (500, "text/plain", "trace".to_owned()),
            Behaviour::Answer
            | Behaviour::AnswerLate
            | Behaviour::Hang
            | Behaviour::Reset
            | Behaviour::Half => (200, "text/xml", TWIML.to_owned()),
        };
        let headers = format!("Content-Type: {media}\r\nSet-Cookie: {COOKIE}\r\n");
        let bytes = ApiReply { status, headers, body }.to_bytes();
        if behaviour == Behaviour::AnswerLate {
            park_timeout(Duration::from_millis(random.below(300)));
        }
        if behaviour == Behaviour::Hang {
            // Waits until the service closes the connection.
            connection.set_timeout(HANG)?;
            let _ = connection.stream.read(&mut [0; 1]);
        }
        // Before the reply, so that no later request of the service has an earlier time.
        let how = behaviour.name().to_owned();
        self.history.note(EventKind::AppEnded { forward, how });
        let part = match behaviour {
            Behaviour::Hang => return Err(io::ErrorKind::TimedOut.into()),
            Behaviour::Reset => 0,
            Behaviour::Half => random.index(bytes.len()),
            Behaviour::Answer
            | Behaviour::AnswerLate
            | Behaviour::Failed
            | Behaviour::Page
            | Behaviour::Large => return connection.send(&bytes),
        };
        set_socket_linger(&connection.stream, Some(Duration::ZERO))?;
        connection.send(bytes.get(..part).unwrap_or_default())?;
        Err(io::ErrorKind::ConnectionReset.into())
    }
}
