//! The driver: Twilio and the app on 64 connections. A sender repeats a request that was not acknowledged, as Twilio
//! does.
//!
//! Of a hundred scenarios, 66 register a message and prove it. Ten do so twice or in reverse order, ten replay old bytes,
//! nine are hostile, and four are conversations, which prove nothing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::app::COOKIE;
use crate::client::{Answer, exchange};
use crate::forgeries::forged;
use crate::history::{EventKind, History, Role, digest};
use crate::identities::{self, FinalVerdict, Identities};
use crate::leaks::scan;
use crate::requests::{Request, Scenario, state_request};
use crate::sending;
use crate::signals::link_path;
use crate::support::http::{Connection, Response, request_bytes};
use crate::support::random::{Random, hash};

/// Concurrent connections.
pub(crate) const CONNECTIONS: u64 = 64;
/// Attempts of an honest sender; a restart takes less than this many pauses.
const TRIES: u32 = 8;
/// Old requests that each sender keeps for replay.
const MAX_REPLAYS: usize = 64;

/// The state that all senders share.
pub(crate) struct Driver {
    pub(crate) seed: u64,
    pub(crate) identities: Arc<Identities>,
    pub(crate) history: Arc<History>,
    pub(crate) proxy: SocketAddr,
    /// Scenarios per second, of all senders together.
    pub(crate) rate: u64,
    pub(crate) requests: AtomicU64,
}

impl Driver {
    /// Starts every sender. They end soon after `stop` becomes true.
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

    /// Sends a request. Records its claims and its response in the history.
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
            self.history.note(EventKind::Sent {
                req,
                role,
                kind: claim.kind.to_owned(),
                account: self.identities.account(request.owner),
                sid: claim.sid,
                registers: claim.registers,
                proves: claim.proves,
                form: digest(&request.recording.body),
            });
        }
        let answer = exchange(connection, self.proxy, bytes.to_vec()).await;
        for req in numbers {
            self.history.note(match &answer {
                Ok(Answer { response, port }) => EventKind::Answered {
                    req,
                    status: response.status,
                    port: *port,
                    is_from_app: is_from_app(response),
                },
                Err(error) => EventKind::Unknown { req, why: error.to_string() },
            });
        }
        answer.ok().map(|answer| answer.response).inspect(|response| self.scan(response))
    }

    /// A response must contain none of the markers.
    fn scan(&self, response: &Response) {
        scan(&self.history, "an answer's head", response.head.as_bytes());
        scan(&self.history, "an answer's body", &response.body);
    }
}

/// Whether a response has the app's cookie.
fn is_from_app(response: &Response) -> bool {
    response.header("Set-Cookie").is_some_and(|cookie| cookie.starts_with(COOKIE))
}

/// The sender of one connection.
struct Sender {
    driver: Arc<Driver>,
    random: Random,
    connection: Option<Connection>,
    /// The number of the next message; no other sender uses it.
    next: u64,
    sent: Vec<(Request, Vec<u8>)>,
    /// Messages whose registration was acknowledged.
    known: Vec<(usize, String)>,
    baits: Vec<(usize, String)>,
    stop: watch::Receiver<bool>,
}

impl Sender {
    async fn run(mut self) {
        // The average pause that gives the configured rate.
        let mean = 1000 * CONNECTIONS / self.driver.rate.max(1);
        while !*self.stop.borrow() {
            let index = self.next;
            self.next += CONNECTIONS;
            match self.random.below(100) {
                0..=65 => self.pair(index, false).await,
                66..=69 => self.converse(index).await,
                70..=79 => self.pair(index, true).await,
                80..=89 => self.replay().await,
                90 => self.bait(index).await,
                _ => self.attack(index).await,
            }
            if self.random.chance(3000) {
                self.read_known_state().await;
            }
            self.pause(2 * mean).await;
        }
    }

    async fn pause(&mut self, up_to: u64) {
        let wait = Duration::from_millis(self.random.below(up_to.max(1)));
        let stopped = self.stop.wait_for(|stop| *stop);
        let _ = tokio::time::timeout(wait, stopped).await;
    }

    /// A message and its evidence. `odd`: each request twice, or the evidence first.
    async fn pair(&mut self, index: u64, odd: bool) {
        let identities = Arc::clone(&self.driver.identities);
        let scenario = Scenario::new(&identities, identities::HONEST, index, &mut self.random);
        match self.random.below(10) {
            0 => return self.pair_by_link(&scenario, odd).await,
            1 | 2 => return self.pair_by_stream(&scenario, odd).await,
            3 if identities.final_verdict(&scenario.sid) != FinalVerdict::Missing => {
                return self.pair_by_send(scenario).await;
            }
            _ => {}
        }
        let evidence = scenario.evidence(&mut self.random);
        let reordered = odd && self.random.chance(5000);
        // Early evidence counts only if its message has a creation time. A 404 is final only for an old
        // message.
        let is_missing = identities.final_verdict(&scenario.sid) == FinalVerdict::Missing;
        let says_when = reordered || is_missing || evidence.is_dated();
        let register = scenario.register(says_when || self.random.chance(6000));
        let mut requests = vec![register, evidence];
        if self.random.chance(2000) {
            requests.insert(1, scenario.delivered());
        }
        if odd {
            requests.extend(requests.clone());
        }
        if reordered {
            requests.reverse();
        }
        let mut known = false;
        for request in requests {
            let proves = request.claims().iter().any(|claim| claim.proves);
            if proves && !known && !reordered {
                // No recipient acts on a message that was never sent.
                return;
            }
            let good = self.send_until_acknowledged(Role::Honest, &request).await.is_some();
            if good && request.registers && !known {
                known = true;
                self.known.push((scenario.owner, scenario.sid.clone()));
            }
            if self.random.chance(3000) {
                self.pause(400).await;
            }
        }
        if self.random.chance(1000) {
            self.read_state(&scenario.state_request()).await;
        }
    }

    /// Overlapping texts of one person.
    async fn converse(&mut self, index: u64) {
        let identities = Arc::clone(&self.driver.identities);
        let scenario = Scenario::new(&identities, identities::HONEST, index, &mut self.random);
        self.driver.converse(&scenario).await;
    }

    /// A message and its click link, which is the evidence.
    async fn pair_by_link(&mut self, scenario: &Scenario<'_>, odd: bool) {
        let Some(body) =
            self.send_until_acknowledged(Role::Honest, &scenario.register_with_link()).await
        else {
            return;
        };
        self.known.push((scenario.owner, scenario.sid.clone()));
        // The body of the response may be cut off.
        let Some(path) = link_path(&body) else { return };
        let visits: &[bool] = if odd { &[false, true, false, true] } else { &[false, true] };
        for presses in visits {
            self.send_until_acknowledged(Role::Honest, &scenario.visit(&path, *presses)).await;
        }
    }

    /// A message that the app sends through, its status callback if Twilio created it, and its evidence. Dated evidence
    /// follows a registration by the app.
    async fn pair_by_send(&mut self, mut scenario: Scenario<'_>) {
        scenario.reference = Some(sending::reference(scenario.index));
        let driver = Arc::clone(&self.driver);
        let is_heard = driver.send_through(&mut self.connection, &scenario).await;
        if !driver.identities.is_created(&scenario.sid) {
            return;
        }
        let callback = scenario.register(false);
        let is_known = self.send_until_acknowledged(Role::Honest, &callback).await.is_some();
        if !is_heard && !is_known {
            return;
        }
        self.known.push((scenario.owner, scenario.sid.clone()));
        let evidence = scenario.evidence(&mut self.random);
        // Neither the fake Twilio's answer nor the callback states the creation time, so the app does.
        let is_old_enough = !evidence.is_dated() || {
            let registration = scenario.register(true);
            self.send_until_acknowledged(Role::Honest, &registration).await.is_some()
        };
        if is_old_enough {
            self.send_until_acknowledged(Role::Honest, &evidence).await;
        }
    }

    /// A message and its evidence in one batch of Event Streams.
    async fn pair_by_stream(&mut self, scenario: &Scenario<'_>, odd: bool) {
        let batch = scenario.streamed(&mut self.random);
        for _ in 0..=u8::from(odd) {
            if self.send_until_acknowledged(Role::Honest, &batch).await.is_some() {
                self.known.push((scenario.owner, scenario.sid.clone()));
            }
        }
    }

    /// A message for which only forged evidence arrives.
    async fn bait(&mut self, index: u64) {
        let identities = Arc::clone(&self.driver.identities);
        let scenario = Scenario::new(&identities, identities::BAIT, index, &mut self.random);
        if self.send_until_acknowledged(Role::Bait, &scenario.register(true)).await.is_some() {
            self.baits.push((scenario.owner, scenario.sid));
        }
    }

    async fn attack(&mut self, index: u64) {
        let identities = Arc::clone(&self.driver.identities);
        let bait = self.random.one_of(&self.baits).cloned();
        let (owner, sid) = match bait {
            Some(bait) if self.random.chance(6000) => bait,
            _ => (Identities::owner(index), identities.message(identities::HOSTILE, index)),
        };
        let request = forged(&identities, owner, &sid, &mut self.random);
        // The service knows the owner of a message only after its registration.
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

    /// Repeats the request until it is acknowledged, or to the last attempt. The body may be cut off.
    async fn send_until_acknowledged(&mut self, role: Role, request: &Request) -> Option<Vec<u8>> {
        for _ in 0..TRIES {
            let bytes = request_bytes(&request.signed(&self.driver.identities));
            let answer = self.send(role, request, &bytes).await;
            if self.sent.len() < MAX_REPLAYS {
                self.sent.push((request.clone(), bytes));
            } else {
                let at = self.random.index(MAX_REPLAYS);
                if let Some(slot) = self.sent.get_mut(at) {
                    *slot = (request.clone(), bytes.clone());
                }
            }
            match answer.as_ref().map(|answer| answer.status) {
                // 303: a pressed link.
                Some(200..=299 | 303) => return answer.map(|answer| answer.body),
                // 400: the network cut off the end of the request.
                Some(400 | 408 | 500..=599) | None => {
                    // Another receiver may accept it.
                    self.connection = None;
                    self.pause(500).await;
                }
                Some(_) => return None,
            }
        }
        None
    }

    async fn send(&mut self, role: Role, request: &Request, bytes: &[u8]) -> Option<Response> {
        let driver = Arc::clone(&self.driver);
        driver.send(&mut self.connection, role, request, bytes).await
    }

    /// Reads the state of a message that was registered before.
    async fn read_known_state(&mut self) {
        if let Some((owner, sid)) = self.random.one_of(&self.known).cloned() {
            self.read_state(&state_request(owner, &sid)).await;
        }
    }

    async fn read_state(&mut self, request: &Request) {
        let from = self.driver.history.now();
        let bytes = request_bytes(&request.signed(&self.driver.identities));
        let answer = exchange(&mut self.connection, self.driver.proxy, bytes).await;
        let Ok(Answer { response, .. }) = answer else { return };
        self.driver.scan(&response);
        let state = match response.status {
            200 => response.json().get("state").and_then(Value::as_str).map(str::to_owned),
            404 => Some("none".to_owned()),
            _ => None,
        };
        if let Some(state) = state {
            let sid = request.sid.clone();
            self.driver.history.note(EventKind::StateRead { sid, from, state });
        }
    }
}
