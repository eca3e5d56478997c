//! The stand-in for Twilio's Feedback API: reads a post, decides, and answers, or does not.
//!
//! It decides before it answers, as Twilio does: a 2xx is a fact from then on, even if nobody ever
//! hears of it. What it says for good about a message (404, 400) it says whenever it says anything for
//! good. Each start of the service posts to a listener of its own, so that it is known who posted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::history::{Credential, FOREIGN, History, What};
use crate::identities::{ACCOUNTS, Cast, Fate};
use crate::post::Request;
use crate::random::{Random, mixed};
use crate::requests::now;

/// So often it makes trouble about one message; then it tires of that.
const MAX_TROUBLE: u32 = 3;
/// The Retry-After of a 429, in seconds.
const THROTTLE: u64 = 3;
/// Longer than the service waits for an answer.
const HANG: Duration = Duration::from_secs(12);

/// What is done about a post.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Taken,
    /// A 2xx as another server sends it in Twilio's place.
    Foreign,
    Trickle,
    /// Decided, and then an RST before or within the answer.
    ResetAfter,
    Busy,
    Failed,
    Throttled,
    Hang,
    Missing,
    Never,
    Denied,
}

impl Answer {
    fn word(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Foreign => FOREIGN,
            Self::Trickle => "taken, trickled",
            Self::ResetAfter => "taken, then reset",
            Self::Busy => "503 Retry-After",
            Self::Failed => "500",
            Self::Throttled => "429 Retry-After",
            Self::Hang => "hangs",
            Self::Missing => "404",
            Self::Never => "400",
            Self::Denied => "401",
        }
    }

    fn status(self) -> u16 {
        match self {
            Self::Taken => 201,
            Self::Foreign | Self::Trickle | Self::ResetAfter => 200,
            Self::Busy => 503,
            Self::Failed => 500,
            Self::Throttled => 429,
            Self::Hang => 0,
            Self::Missing => 404,
            Self::Never => 400,
            Self::Denied => 401,
        }
    }
}

/// The stand-in, and its moods.
pub(crate) struct Upstream {
    seed: u64,
    cast: Arc<Cast>,
    history: Arc<History>,
    posts: AtomicU64,
    /// So often there was trouble about a message.
    trouble: Mutex<HashMap<String, u32>>,
    /// Accounts whose running key is answered with 401.
    pub(crate) denied: [AtomicBool; ACCOUNTS],
    /// Accounts whose posts all hang.
    pub(crate) hangs: [AtomicBool; ACCOUNTS],
    /// Besides those, no trouble for a while.
    pub(crate) calm: AtomicBool,
    pub(crate) healed: AtomicBool,
}

impl Upstream {
    pub(crate) fn new(seed: u64, cast: &Arc<Cast>, history: &Arc<History>) -> Arc<Self> {
        Arc::new(Self {
            seed,
            cast: Arc::clone(cast),
            history: Arc::clone(history),
            posts: AtomicU64::new(0),
            trouble: Mutex::default(),
            denied: Default::default(),
            hangs: Default::default(),
            calm: AtomicBool::new(false),
            healed: AtomicBool::new(false),
        })
    }

    /// Listens for one start of the service, until the handle is aborted.
    pub(crate) async fn listen(
        self: &Arc<Self>,
        run: u64,
    ) -> std::io::Result<(SocketAddr, JoinHandle<()>)> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let own = Arc::clone(self);
        let task = tokio::spawn(async move {
            for number in 0_u64.. {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let mut random = Random::new(mixed(own.seed ^ (run << 32)) ^ mixed(number));
                if !own.healed.load(Ordering::Acquire) && random.chance(300) {
                    // Reset before anything is read.
                    let _ = stream.set_zero_linger();
                    continue;
                }
                tokio::spawn(Arc::clone(&own).serve(run, stream, random));
            }
        });
        Ok((address, task))
    }

    async fn serve(self: Arc<Self>, run: u64, mut stream: TcpStream, mut random: Random) {
        let mut unread = Vec::new();
        while let Some(request) = Request::read(&mut stream, &mut unread).await {
            if request.requests_time {
                if !tell(&mut stream, &request, Answer::Taken, 0, &mut random).await {
                    return;
                }
                continue;
            }
            let post = self.posts.fetch_add(1, Ordering::Relaxed);
            let credential = self.credential(&request);
            let (account, sid) = (request.account.clone(), request.sid.clone());
            self.history.note(What::Posted { post, run, account, sid, credential });
            let answer = self.decide(&request, credential, &mut random);
            let retry_after = if answer == Answer::Busy {
                1 + random.below(2)
            } else if answer == Answer::Throttled {
                THROTTLE
            } else {
                0
            };
            let (word, status) = (answer.word().to_owned(), answer.status());
            self.history.note(What::Decided { post, answer: word, status, retry_after });
            let whole = tell(&mut stream, &request, answer, retry_after, &mut random).await;
            self.history.note(What::Told { post, whole });
            if !whole {
                return;
            }
        }
    }

    fn credential(&self, request: &Request) -> Credential {
        let Some(of) = self.cast.account_number(&request.account) else { return Credential::Wrong };
        let (valid, former) = self.cast.credentials(of);
        let same = |(user, secret): &(String, String)| {
            *request.authorization
                == format!("Basic {}", STANDARD.encode(format!("{user}:{secret}")))
        };
        if valid.iter().any(same) {
            Credential::Right
        } else if former.iter().any(same) {
            Credential::Former
        } else {
            Credential::Wrong
        }
    }

    fn decide(&self, request: &Request, credential: Credential, random: &mut Random) -> Answer {
        let of = self.cast.account_number(&request.account);
        let denied = of.and_then(|of| self.denied.get(of));
        if credential != Credential::Right || denied.is_some_and(|d| d.load(Ordering::Acquire)) {
            return Answer::Denied;
        }
        let hangs = of.and_then(|of| self.hangs.get(of));
        if hangs.is_some_and(|hangs| hangs.load(Ordering::Acquire)) {
            return Answer::Hang;
        }
        let taken = Answer::Taken;
        let last_word = match self.cast.fate(&request.sid) {
            Fate::Taken => taken,
            Fate::Missing => Answer::Missing,
            Fate::Never => Answer::Never,
        };
        if self.healed.load(Ordering::Acquire) || self.calm.load(Ordering::Acquire) {
            return last_word;
        }
        let drawn = match random.below(1000) {
            0..=39 => Answer::Failed,
            40..=64 => Answer::Busy,
            65..=66 => Answer::Throttled,
            67..=69 => Answer::Hang,
            70..=109 if last_word == taken => Answer::ResetAfter,
            110..=139 if last_word == taken => Answer::Trickle,
            140..=189 => Answer::Foreign,
            _ => last_word,
        };
        if drawn == last_word || drawn == Answer::Trickle {
            return drawn;
        }
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let times = trouble.entry(request.sid.clone()).or_default();
        *times += 1;
        if *times > MAX_TROUBLE { last_word } else { drawn }
    }
}

/// A captive portal's page, no body, another message's answer, or a part of the right one.
fn foreign(taken: &str, sid: &str, random: &mut Random) -> (&'static str, String) {
    match random.below(4) {
        0 => ("text/html", "<html><title>Sign in</title></html>".to_owned()),
        1 => ("text/plain", String::new()),
        2 => ("application/json", taken.replace(sid, "SM00000000000000000000000000000000")),
        _ => ("application/json", taken.chars().take(taken.len() / 2).collect()),
    }
}

/// Answers; says whether the answer was written to its last byte.
async fn tell(
    stream: &mut TcpStream,
    request: &Request,
    answer: Answer,
    retry_after: u64,
    random: &mut Random,
) -> bool {
    let (status, sid) = (answer.status(), &request.sid);
    let taken = format!(
        r#"{{"account_sid":"{}","message_sid":"{sid}","outcome":"confirmed"}}"#,
        request.account
    );
    let (media, body) = if answer == Answer::Foreign {
        foreign(&taken, sid, random)
    } else if (200..300).contains(&status) {
        ("application/json", taken)
    } else {
        let body = format!(r#"{{"code":20{status},"message":"no","status":{status}}}"#);
        ("application/json", body)
    };
    let hint =
        if retry_after > 0 { format!("Retry-After: {retry_after}\r\n") } else { String::new() };
    // By this date the service notices that its own clock is wrong.
    let date = now().strftime("%a, %d %b %Y %H:%M:%S GMT");
    let text = format!(
        "HTTP/1.1 {status} X\r\nDate: {date}\r\nContent-Type: {media}\r\n{hint}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    match answer {
        Answer::Hang => {
            // Whoever hangs up first ends it.
            let _ = tokio::time::timeout(HANG, stream.read(&mut [0; 1])).await;
            false
        }
        Answer::ResetAfter => {
            let before = usize::try_from(random.below(text.len() as u64)).unwrap_or_default();
            let _ = stream.set_zero_linger();
            let _ = stream.write_all(text.as_bytes().get(..before).unwrap_or_default()).await;
            false
        }
        Answer::Trickle => {
            for piece in text.as_bytes().chunks(9) {
                tokio::time::sleep(Duration::from_millis(random.below(20))).await;
                if stream.write_all(piece).await.is_err() {
                    return false;
                }
            }
            true
        }
        Answer::Taken
        | Answer::Foreign
        | Answer::Busy
        | Answer::Failed
        | Answer::Throttled
        | Answer::Missing
        | Answer::Never
        | Answer::Denied => stream.write_all(text.as_bytes()).await.is_ok(),
    }
}
