//! The driver: Twilio and the app on 64 connections, most of them honest. Whoever gets no good answer
//! asks again, as Twilio does where it is told to.
//!
//! Seven in ten are proper pairs (a message becomes known, then somebody proves that it arrived), one
//! is a pair told twice or in the wrong order, one replays old bytes, one is hostile.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::client::{Answer, exchange};
use crate::forgeries::forged;
use crate::history::{History, Role, What};
use crate::identities::{self, Cast, Fate};
use crate::leaks::listen;
use crate::requests::{Request, Story, look};
use crate::signals::{COMPLETED, link_path};
use crate::support::http::{Connection, Response, request_bytes};
use crate::support::random::{Random, hash};

/// How many connections there are at a time.
pub(crate) const CONNECTIONS: u64 = 64;
/// So often an honest sender tries; a restart takes less than this many pauses.
const TRIES: u32 = 8;
/// So many old requests each sender remembers.
const REMEMBERED: usize = 64;

/// What the senders share.
pub(crate) struct Driver {
    pub(crate) seed: u64,
    pub(crate) cast: Arc<Cast>,
    pub(crate) history: Arc<History>,
    pub(crate) proxy: SocketAddr,
    /// Pairs a second, all senders together.
    pub(crate) rate: u64,
    pub(crate) requests: AtomicU64,
}

impl Driver {
    /// Starts every sender. They come to their end soon after `stop` says so.
    pub(crate) fn start(self: &Arc<Self>, stop: &watch::Receiver<bool>) -> JoinSet<()> {
        let mut senders = JoinSet::new();
        for number in 0..CONNECTIONS {
            let sender = Sender {
                driver: Arc::clone(self),
                random: Random::new(hash(self.seed ^ hash(number))),
                connection: None,
                next: number,
                sent: Vec::new(),
                known: Vec::new(),
                baits: Vec::new(),
                stop: stop.clone(),
            };
            senders.spawn(sender.run());
        }
        senders
    }

    /// Sends a request and writes its claims and its answer into the history.
    pub(crate) async fn send(
        &self,
        connection: &mut Option<Connection>,
        role: Role,
        request: &Request,
        bytes: &[u8],
    ) -> Option<Response> {
        let claims = request.claims();
        let first = self.requests.fetch_add(claims.len() as u64, Ordering::Relaxed);
        let numbers = first..first + claims.len() as u64;
        for (req, claim) in numbers.clone().zip(claims) {
            self.history.note(What::Sent {
                req,
                role,
                kind: claim.kind.to_owned(),
                account: self.cast.account(request.owner),
                sid: claim.sid,
                remembers: claim.remembers,
                proves: claim.proves,
            });
        }
        let answer = exchange(connection, self.proxy, bytes.to_vec()).await;
        for req in numbers {
            self.history.note(match &answer {
                Ok(Answer { response, port }) => {
                    What::Answered { req, status: response.status, port: *port }
                }
                Err(error) => What::Unknown { req, why: error.to_string() },
            });
        }
        answer.ok().map(|answer| answer.response).inspect(|response| self.listen(response))
    }

    /// Nothing that was sent comes back.
    fn listen(&self, response: &Response) {
        listen(&self.history, "an answer's head", response.head.as_bytes());
        listen(&self.history, "an answer's body", &response.body);
    }
}

/// One connection's worth of senders.
struct Sender {
    driver: Arc<Driver>,
    random: Random,
    connection: Option<Connection>,
    /// The number of the next message, no other sender's.
    next: u64,
    sent: Vec<(Request, Vec<u8>)>,
    /// Messages of which somebody was told that they are known.
    known: Vec<(usize, String)>,
    baits: Vec<(usize, String)>,
    stop: watch::Receiver<bool>,
}

impl Sender {
    async fn run(mut self) {
        // Together they make so many rounds a second.
        let mean = 1000 * CONNECTIONS / self.driver.rate.max(1);
        while !*self.stop.borrow() {
            let index = self.next;
            self.next += CONNECTIONS;
            match self.random.below(100) {
                0..=69 => self.pair(index, false).await,
                70..=79 => self.pair(index, true).await,
                80..=89 => self.replay().await,
                90 => self.bait(index).await,
                _ => self.attack(index).await,
            }
            if self.random.chance(3000) {
                self.look_again().await;
            }
            self.pause(2 * mean).await;
        }
    }

    async fn pause(&mut self, up_to: u64) {
        let wait = Duration::from_millis(self.random.below(up_to.max(1)));
        let stopped = self.stop.wait_for(|stop| *stop);
        let _ = tokio::time::timeout(wait, stopped).await;
    }

    /// A message and its evidence; `odd`: told twice, or the other way round.
    async fn pair(&mut self, index: u64, odd: bool) {
        let cast = Arc::clone(&self.driver.cast);
        let story = Story::new(&cast, identities::HONEST, index, &mut self.random);
        match self.random.below(10) {
            0 => return self.pair_by_link(&story, odd).await,
            1 | 2 => return self.pair_by_stream(&story, odd).await,
            _ => {}
        }
        let evidence = story.evidence(&mut self.random);
        let reordered = odd && self.random.chance(5000);
        // What came before its message counts for it only if somebody says how old the message is; and
        // only of an old one is a 404 Twilio's last word.
        let is_missing = cast.fate(&story.sid) == Fate::Missing;
        // The time of such evidence is not its arrival: it was drawn before its message is sent.
        let has_time = evidence.kind == COMPLETED || !evidence.also.is_empty();
        let says_when = reordered || is_missing || has_time;
        let register = story.register(says_when || self.random.chance(6000));
        let mut told = vec![register, evidence];
        if self.random.chance(2000) {
            told.insert(1, story.delivered());
        }
        if odd {
            told.extend(told.clone());
        }
        if reordered {
            told.reverse();
        }
        let mut known = false;
        for request in told {
            let proves = request.claims().iter().any(|claim| claim.proves);
            if proves && !known && !reordered {
                // Nobody answers what was never sent.
                return;
            }
            let good = self.insist(Role::Honest, &request).await.is_some();
            if good && request.remembers && !known {
                known = true;
                self.known.push((story.owner, story.sid.clone()));
            }
            if self.random.chance(3000) {
                self.pause(400).await;
            }
        }
        if self.random.chance(1000) {
            self.see(&story.look()).await;
        }
    }

    /// The same, with a click link as evidence.
    async fn pair_by_link(&mut self, story: &Story<'_>, odd: bool) {
        let Some(body) = self.insist(Role::Honest, &story.register_with_link()).await else {
            return;
        };
        self.known.push((story.owner, story.sid.clone()));
        // The answer's body may be cut off.
        let Some(path) = link_path(&body) else { return };
        let visits: &[bool] = if odd { &[false, true, false, true] } else { &[false, true] };
        for presses in visits {
            self.insist(Role::Honest, &story.visit(&path, *presses)).await;
        }
    }

    /// The same in a batch of Event Streams.
    async fn pair_by_stream(&mut self, story: &Story<'_>, odd: bool) {
        let batch = story.streamed(&mut self.random);
        for _ in 0..=u8::from(odd) {
            if self.insist(Role::Honest, &batch).await.is_some() {
                self.known.push((story.owner, story.sid.clone()));
            }
        }
    }

    /// A message that nobody honest ever vouches for.
    async fn bait(&mut self, index: u64) {
        let cast = Arc::clone(&self.driver.cast);
        let story = Story::new(&cast, identities::BAIT, index, &mut self.random);
        if self.insist(Role::Bait, &story.register(true)).await.is_some() {
            self.baits.push((story.owner, story.sid));
        }
    }

    async fn attack(&mut self, index: u64) {
        let cast = Arc::clone(&self.driver.cast);
        let bait = self.random.one_of(&self.baits).cloned();
        let (owner, sid) = match bait {
            Some(bait) if self.random.chance(6000) => bait,
            _ => (Cast::owner(index), cast.message(identities::HOSTILE, index)),
        };
        let request = forged(&cast, owner, &sid, &mut self.random);
        // Another account's message can be told from one of its own only once it is known.
        if request.kind == "another account's message" && !identities::is(&sid, identities::BAIT) {
            return;
        }
        let bytes = request_bytes(&request.recording);
        self.send(Role::Hostile, &request, &bytes).await;
    }

    async fn replay(&mut self) {
        let old = self.random.one_of(&self.sent).cloned();
        if let Some((request, bytes)) = old {
            self.send(Role::Replay, &request, &bytes).await;
        }
    }

    /// Until there is a good answer, or the patience is over. Returns the good answer's body, which may be cut off.
    async fn insist(&mut self, role: Role, request: &Request) -> Option<Vec<u8>> {
        for _ in 0..TRIES {
            let bytes = request_bytes(&request.signed(&self.driver.cast));
            let answer = self.send(role, request, &bytes).await;
            if self.sent.len() < REMEMBERED {
                self.sent.push((request.clone(), bytes));
            } else {
                let at = self.random.index(REMEMBERED);
                if let Some(slot) = self.sent.get_mut(at) {
                    *slot = (request.clone(), bytes.clone());
                }
            }
            match answer.as_ref().map(|answer| answer.status) {
                // 303: a pressed link.
                Some(200..=299 | 303) => return answer.map(|answer| answer.body),
                // 400: the network swallowed its end.
                Some(400 | 408 | 500..=599) | None => self.pause(500).await,
                Some(_) => return None,
            }
        }
        None
    }

    async fn send(&mut self, role: Role, request: &Request, bytes: &[u8]) -> Option<Response> {
        let driver = Arc::clone(&self.driver);
        driver.send(&mut self.connection, role, request, bytes).await
    }

    /// Asks about a message that was told of before.
    async fn look_again(&mut self) {
        if let Some((owner, sid)) = self.random.one_of(&self.known).cloned() {
            self.see(&look(owner, &sid)).await;
        }
    }

    async fn see(&mut self, request: &Request) {
        let from = self.driver.history.now();
        let bytes = request_bytes(&request.signed(&self.driver.cast));
        let answer = exchange(&mut self.connection, self.driver.proxy, bytes).await;
        let Ok(Answer { response, .. }) = answer else { return };
        self.driver.listen(&response);
        let state = match response.status {
            200 => response.json().get("state").and_then(Value::as_str).map(str::to_owned),
            404 => Some("none".to_owned()),
            _ => None,
        };
        if let Some(state) = state {
            let sid = request.sid.clone();
            self.driver.history.note(What::Looked { sid, from, state });
        }
    }
}
