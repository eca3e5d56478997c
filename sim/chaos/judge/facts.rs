//! The history by request, post, fault and message.

use std::collections::{BTreeMap, BTreeSet};

use crate::faults::DATABASE;
use crate::history::{CommitCut, Credential, Event, EventKind, FOREIGN, Role};
use crate::signals::is_forwarded;

/// In nanoseconds.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// The longest time between a fault of the database and the end of a commit that it disturbed.
const COMMITS_FOR: u64 = 10 * SECOND;

/// A request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: u64,
    pub(crate) role: Role,
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) sid: String,
    pub(crate) registers: bool,
    pub(crate) proves: bool,
    /// The digest of its body.
    pub(crate) form: String,
    /// The time, the status and the port of its response; `None`: the outcome is unknown.
    pub(crate) answer: Option<(u64, u16, u16)>,
    /// The answer is the one of the app behind the service.
    pub(crate) is_from_app: bool,
}

impl Request {
    /// A 303 is the response to a pressed link.
    pub(crate) fn is_acked(&self) -> bool {
        self.answer.is_some_and(|(_, status, _)| (200..300).contains(&status) || status == 303)
    }

    pub(crate) fn is_genuine(&self) -> bool {
        self.role != Role::Hostile
    }
}

/// A post and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Post {
    pub(crate) at: u64,
    pub(crate) run: u64,
    pub(crate) account: String,
    pub(crate) sid: String,
    pub(crate) credential: Credential,
    pub(crate) answer: String,
    pub(crate) status: u16,
    pub(crate) retry_after: u64,
    pub(crate) decided: u64,
    /// The end of the reply, and whether it is complete.
    pub(crate) replied: Option<(u64, bool)>,
}

impl Post {
    pub(crate) fn is_accepted(&self) -> bool {
        (200..300).contains(&self.status) && self.answer != FOREIGN
    }

    /// The end of a complete reply.
    pub(crate) fn whole(&self) -> Option<u64> {
        self.replied.filter(|(_, whole)| *whole).map(|(at, _)| at)
    }
}

/// A webhook that the app received.
#[derive(Debug, Clone)]
pub(crate) struct Forward {
    pub(crate) at: u64,
    /// The digest of its body.
    pub(crate) form: String,
    pub(crate) signature: Credential,
    /// When and how the app replied, or ended.
    pub(crate) ended: Option<(u64, String)>,
}

/// The time of a fault.
#[derive(Debug, Clone)]
pub(crate) struct FaultWindow {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) name: String,
}

/// Everything about one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) requests: Vec<u64>,
    pub(crate) posts: Vec<u64>,
    /// The begin and the end of a read, and the state.
    pub(crate) states: Vec<(u64, u64, String)>,
    /// Account, state and refusal in the store after the run.
    pub(crate) stored: Option<(String, String, Option<u16>)>,
}

/// One start of the service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) started: u64,
    pub(crate) listens: Option<u64>,
    pub(crate) ready: Option<u64>,
    /// The time and the kind of an unexpected end.
    pub(crate) unexpected_end: Option<(u64, String)>,
    /// The time and the kind of the end.
    pub(crate) ended: Option<(u64, String)>,
}

/// Evidence in memory, because the store could not write.
#[derive(Debug, Clone)]
pub(crate) struct Deferral {
    pub(crate) at: u64,
    pub(crate) run: u64,
    /// The SID of its message or call.
    pub(crate) about: String,
}

/// The whole history.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) seed: u64,
    pub(crate) concurrency: usize,
    pub(crate) drain_seconds: u64,
    /// Commits may be lost, because the standby is asynchronous.
    pub(crate) may_lose: bool,
    /// The receivers on one store; zero in the history of an older run.
    pub(crate) receivers: usize,
    pub(crate) commit_cuts: BTreeMap<CommitCut, u64>,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) posts: BTreeMap<u64, Post>,
    pub(crate) forwards: BTreeMap<u64, Forward>,
    /// How often the fake Twilio created each message.
    pub(crate) creations: BTreeMap<String, u64>,
    pub(crate) faults: BTreeMap<u64, FaultWindow>,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) parked: BTreeSet<String>,
    pub(crate) leaks: Vec<(String, String)>,
    pub(crate) deferrals: Vec<Deferral>,
    /// When the posts of an account began to hang.
    pub(crate) hangs: Vec<(u64, String)>,
    /// Request, response and count, of unauthenticated clients.
    pub(crate) unauthenticated: Vec<(String, String, u64)>,
    /// Evidence that the service logged as lost: run and SID.
    pub(crate) logged_losses: BTreeSet<(u64, String)>,
    /// The times of half-closes, by client port.
    half_closed: BTreeMap<u16, Vec<u64>>,
    pub(crate) samples: Vec<(u64, u64, u64)>,
    pub(crate) healed: Option<u64>,
    pub(crate) drained: Option<(u64, u64)>,
    pub(crate) read: Option<u64>,
}

impl<'a> Facts<'a> {
    pub(crate) fn of(events: &'a [Event]) -> Self {
        let mut facts = Self { events, ..Self::default() };
        for event in events {
            facts.apply(event.at, &event.kind);
        }
        facts
    }

    fn message(&mut self, sid: &str) -> &mut Message {
        self.messages.entry(sid.to_owned()).or_default()
    }

    fn apply(&mut self, at: u64, event: &EventKind) {
        match event {
            EventKind::Plan { seed, concurrency, drain_seconds, may_lose, receivers } => {
                (self.may_lose, self.receivers) = (*may_lose, *receivers);
                (self.seed, self.concurrency) = (*seed, *concurrency);
                self.drain_seconds = *drain_seconds;
            }
            EventKind::Started { run } => {
                self.runs.insert(*run, Run { started: at, ..Run::default() });
            }
            EventKind::Listening { run } => self.runs.entry(*run).or_default().listens = Some(at),
            EventKind::Ready { run } => self.runs.entry(*run).or_default().ready = Some(at),
            EventKind::Ended { run, how, expected } => {
                self.runs.entry(*run).or_default().ended = Some((at, how.clone()));
                if !expected {
                    self.runs.entry(*run).or_default().unexpected_end = Some((at, how.clone()));
                    // This end interrupts all current work.
                    let fault =
                        FaultWindow { from: at, to: at, name: "an end of its own".to_owned() };
                    self.faults.insert(u64::MAX - run, fault);
                }
            }
            EventKind::FaultBegan { id, name } => {
                self.faults.insert(*id, FaultWindow { from: at, to: u64::MAX, name: name.clone() });
            }
            EventKind::FaultEnded { id } => {
                self.faults.entry(*id).and_modify(|fault| fault.to = at);
            }
            EventKind::StateRead { sid, from, state } => {
                let read = (*from, at, state.clone());
                self.message(sid).states.push(read);
            }
            EventKind::Sample { run, rss_kib, fds } => self.samples.push((*run, *rss_kib, *fds)),
            EventKind::Deferred { run, about } => {
                self.deferrals.push(Deferral { at, run: *run, about: about.clone() });
            }
            EventKind::EvidenceLost { run, about } => {
                self.logged_losses.insert((*run, about.clone()));
            }
            EventKind::Leak { location, kind } => self.leaks.push((kind.clone(), location.clone())),
            EventKind::CommitCut { cut } => *self.commit_cuts.entry(*cut).or_default() += 1,
            EventKind::HalfClosed { port } => self.half_closed.entry(*port).or_default().push(at),
            EventKind::AccountHangs { account } => self.hangs.push((at, account.clone())),
            EventKind::Unauthenticated { shape, answer, count } => {
                self.unauthenticated.push((shape.clone(), answer.clone(), *count));
            }
            EventKind::Healed => self.healed = Some(at),
            EventKind::Drained { outbox } => self.drained = Some((at, *outbox)),
            EventKind::Stored { sid, account, state, status } => {
                let stored = (account.clone(), state.clone(), *status);
                self.message(sid).stored = Some(stored);
            }
            EventKind::ParkedEvidence { named } => {
                self.parked.insert(named.clone());
            }
            EventKind::Created { sid, .. } => {
                *self.creations.entry(sid.clone()).or_default() += 1;
            }
            EventKind::Forwarded { forward, form, signature } => {
                let (form, signature) = (form.clone(), *signature);
                self.forwards.insert(*forward, Forward { at, form, signature, ended: None });
            }
            EventKind::AppEnded { forward, how } => {
                let ended = Some((at, how.clone()));
                self.forwards.entry(*forward).and_modify(|forward| forward.ended = ended);
            }
            EventKind::StoreRead { messages } => self.read = Some(*messages),
            EventKind::Sent { .. } | EventKind::Answered { .. } | EventKind::Unknown { .. } => {
                self.apply_request(at, event);
            }
            EventKind::Posted { .. } | EventKind::Decided { .. } | EventKind::Replied { .. } => {
                self.apply_post(at, event);
            }
        }
    }

    fn apply_request(&mut self, at: u64, event: &EventKind) {
        if let EventKind::Sent { req, role, kind, account, sid, registers, proves, form } = event {
            let request = Request {
                at,
                role: *role,
                kind: kind.clone(),
                account: account.clone(),
                sid: sid.clone(),
                registers: *registers,
                proves: *proves,
                form: form.clone(),
                answer: None,
                is_from_app: false,
            };
            self.requests.insert(*req, request);
            self.message(sid).requests.push(*req);
        } else if let EventKind::Answered { req, status, port, is_from_app } = event {
            let answer = Some((at, *status, *port));
            self.requests.entry(*req).and_modify(|request| {
                (request.answer, request.is_from_app) = (answer, *is_from_app);
            });
        }
    }

    fn apply_post(&mut self, at: u64, event: &EventKind) {
        if let EventKind::Posted { post, run, account, sid, credential } = event {
            let taken = Post {
                at,
                run: *run,
                account: account.clone(),
                sid: sid.clone(),
                credential: *credential,
                answer: String::new(),
                status: 0,
                retry_after: 0,
                decided: at,
                replied: None,
            };
            self.posts.insert(*post, taken);
            self.message(sid).posts.push(*post);
        } else if let EventKind::Decided { post, answer, status, retry_after } = event {
            self.posts.entry(*post).and_modify(|post| {
                (post.answer, post.status) = (answer.clone(), *status);
                (post.retry_after, post.decided) = (*retry_after, at);
            });
        } else if let EventKind::Replied { post, whole } = event {
            self.posts.entry(*post).and_modify(|post| post.replied = Some((at, *whole)));
        }
    }

    /// Whether the receivers share a database, which fails as well.
    pub(crate) fn has_database(&self) -> bool {
        self.faults.values().any(|fault| fault.name.starts_with(DATABASE))
    }

    /// The requests about a message.
    pub(crate) fn requests_of(&self, message: &Message) -> impl Iterator<Item = &Request> {
        message.requests.iter().filter_map(|req| self.requests.get(req))
    }

    /// The posts about a message, in their order.
    pub(crate) fn posts_of(&self, message: &Message) -> impl Iterator<Item = &Post> {
        message.posts.iter().filter_map(|post| self.posts.get(post))
    }

    /// The time of the first acknowledged registration.
    pub(crate) fn registered(&self, message: &Message) -> Option<u64> {
        let acked = self.requests_of(message).filter(|it| it.is_genuine() && it.registers);
        acked.filter(|it| it.is_acked()).filter_map(|it| it.answer).map(|(at, ..)| at).min()
    }

    /// Whether honest requests may have registered and proved the message before this time.
    pub(crate) fn may_be_proven(&self, message: &Message, before: u64) -> bool {
        let replied = |wanted: fn(&Request) -> bool| {
            let mut all = self.requests_of(message);
            all.any(|it| it.is_genuine() && self.may_count(it) && it.at < before && wanted(it))
        };
        replied(|it| it.registers) && replied(|it| it.proves)
    }

    /// Whether the service accepted the request, or may have: a 503 is the answer to a COMMIT with an unknown outcome, too, and
    /// an app that fails prevents no write.
    fn may_count(&self, request: &Request) -> bool {
        let Some((at, status, _)) = request.answer else { return true };
        let mut faults = self.faults.values().filter(|fault| fault.name.starts_with(DATABASE));
        request.is_acked()
            || status >= 500 && is_forwarded(&request.kind)
            || status == 503
                && faults.any(|fault| {
                    fault.from <= at && request.at <= fault.to.saturating_add(COMMITS_FOR)
                })
    }

    /// Whether the network cut off the request, so that a 400 is correct.
    pub(crate) fn is_truncated(&self, request: &Request) -> bool {
        request.answer.is_some_and(|(at, status, port)| {
            let mut cuts = self.half_closed.get(&port).into_iter().flatten();
            status == 400 && cuts.any(|cut| (request.at..=at).contains(cut))
        })
    }
}
