//! A history, put in order: requests, posts and faults, and what is known about each message.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::{Credential, Event, FOREIGN, Role, What};

/// A nanosecond's worth of a second.
pub(crate) const SECOND: u64 = 1_000_000_000;
/// A request and its answer.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) at: u64,
    pub(crate) role: Role,
    pub(crate) kind: String,
    pub(crate) account: String,
    pub(crate) sid: String,
    pub(crate) remembers: bool,
    pub(crate) proves: bool,
    /// When its answer's head was whole, what it said, and to which port; `None` if nobody knows.
    pub(crate) answer: Option<(u64, u16, u16)>,
}

impl Request {
    /// 303: a pressed link.
    pub(crate) fn is_acked(&self) -> bool {
        self.answer.is_some_and(|(_, status, _)| (200..300).contains(&status) || status == 303)
    }

    /// It was taken in, or may have been.
    fn may_count(&self) -> bool {
        self.answer.is_none() || self.is_acked()
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
    /// When its answer ended, and whether it was whole.
    pub(crate) told: Option<(u64, bool)>,
}

impl Post {
    pub(crate) fn is_taken(&self) -> bool {
        (200..300).contains(&self.status) && self.answer != FOREIGN
    }

    /// When the whole answer was out, if it ever was.
    pub(crate) fn whole(&self) -> Option<u64> {
        self.told.filter(|(_, whole)| *whole).map(|(at, _)| at)
    }
}

/// A time in which the nemesis was at work.
#[derive(Debug, Clone)]
pub(crate) struct Fault {
    pub(crate) from: u64,
    pub(crate) to: u64,
    pub(crate) act: String,
}

/// What is known about one message.
#[derive(Debug, Clone, Default)]
pub(crate) struct Message {
    pub(crate) requests: Vec<u64>,
    pub(crate) posts: Vec<u64>,
    /// Asked from, told at, state.
    pub(crate) looks: Vec<(u64, u64, String)>,
    /// Account, state and refusal in the store at the end.
    pub(crate) kept: Option<(String, String, Option<u16>)>,
}

/// One start of the service.
#[derive(Debug, Clone, Default)]
pub(crate) struct Run {
    pub(crate) started: u64,
    pub(crate) listens: Option<u64>,
    pub(crate) ready: Option<u64>,
    /// When and how it ended, if nobody had asked for it.
    pub(crate) fell: Option<(u64, String)>,
    /// When and how it ended.
    pub(crate) ended: Option<(u64, String)>,
}

/// Evidence in the service's memory, because the store could not write it.
#[derive(Debug, Clone)]
pub(crate) struct Deferral {
    pub(crate) at: u64,
    pub(crate) run: u64,
    /// The SID of its message or call.
    pub(crate) about: String,
}

/// All of it.
#[derive(Debug, Default)]
pub(crate) struct Facts<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) seed: u64,
    pub(crate) concurrency: usize,
    pub(crate) drain_seconds: u64,
    pub(crate) requests: BTreeMap<u64, Request>,
    pub(crate) posts: BTreeMap<u64, Post>,
    pub(crate) faults: BTreeMap<u64, Fault>,
    pub(crate) runs: BTreeMap<u64, Run>,
    pub(crate) messages: BTreeMap<String, Message>,
    pub(crate) waiting: BTreeSet<String>,
    pub(crate) leaks: Vec<(String, String)>,
    pub(crate) deferrals: Vec<Deferral>,
    /// When the posts of which account began to hang.
    pub(crate) hangs: Vec<(u64, String)>,
    /// Shape, answer and how many of them, of unauthenticated clients.
    pub(crate) unauthenticated: Vec<(String, String, u64)>,
    /// Evidence that the service logged as lost: run and SID.
    pub(crate) logged_losses: BTreeSet<(u64, String)>,
    /// When and to whom the proxy cut off the rest.
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
            facts.take(event.at, &event.what);
        }
        facts
    }

    fn message(&mut self, sid: &str) -> &mut Message {
        self.messages.entry(sid.to_owned()).or_default()
    }

    fn take(&mut self, at: u64, what: &What) {
        match what {
            What::Plan { seed, concurrency, drain_seconds } => {
                (self.seed, self.concurrency) = (*seed, *concurrency);
                self.drain_seconds = *drain_seconds;
            }
            What::Started { run } => {
                self.runs.insert(*run, Run { started: at, ..Run::default() });
            }
            What::Listens { run } => self.runs.entry(*run).or_default().listens = Some(at),
            What::Ready { run } => self.runs.entry(*run).or_default().ready = Some(at),
            What::Ended { run, how, asked } => {
                self.runs.entry(*run).or_default().ended = Some((at, how.clone()));
                if !asked {
                    self.runs.entry(*run).or_default().fell = Some((at, how.clone()));
                    // Whatever was under way ended with it.
                    let fault = Fault { from: at, to: at, act: "an end of its own".to_owned() };
                    self.faults.insert(u64::MAX - run, fault);
                }
            }
            What::Act { id, act } => {
                self.faults.insert(*id, Fault { from: at, to: u64::MAX, act: act.clone() });
            }
            What::ActEnded { id } => {
                self.faults.entry(*id).and_modify(|fault| fault.to = at);
            }
            What::Looked { sid, from, state } => {
                let look = (*from, at, state.clone());
                self.message(sid).looks.push(look);
            }
            What::Sample { run, rss_kib, fds } => self.samples.push((*run, *rss_kib, *fds)),
            What::Deferred { run, about } => {
                self.deferrals.push(Deferral { at, run: *run, about: about.clone() });
            }
            What::EvidenceLost { run, about } => {
                self.logged_losses.insert((*run, about.clone()));
            }
            What::Leak { place, what } => self.leaks.push((what.clone(), place.clone())),
            What::HalfClosed { port } => self.half_closed.entry(*port).or_default().push(at),
            What::Hangs { account } => self.hangs.push((at, account.clone())),
            What::Unauthenticated { shape, answer, count } => {
                self.unauthenticated.push((shape.clone(), answer.clone(), *count));
            }
            What::Healed => self.healed = Some(at),
            What::Drained { outbox } => self.drained = Some((at, *outbox)),
            What::Kept { sid, account, state, status } => {
                let kept = (account.clone(), state.clone(), *status);
                self.message(sid).kept = Some(kept);
            }
            What::Waiting { named } => {
                self.waiting.insert(named.clone());
            }
            What::Read { messages } => self.read = Some(*messages),
            What::Sent { .. } | What::Answered { .. } | What::Unknown { .. } => {
                self.take_request(at, what);
            }
            What::Posted { .. } | What::Decided { .. } | What::Told { .. } => {
                self.take_post(at, what);
            }
        }
    }

    fn take_request(&mut self, at: u64, what: &What) {
        if let What::Sent { req, role, kind, account, sid, remembers, proves } = what {
            let request = Request {
                at,
                role: *role,
                kind: kind.clone(),
                account: account.clone(),
                sid: sid.clone(),
                remembers: *remembers,
                proves: *proves,
                answer: None,
            };
            self.requests.insert(*req, request);
            self.message(sid).requests.push(*req);
        } else if let What::Answered { req, status, port } = what {
            let answer = Some((at, *status, *port));
            self.requests.entry(*req).and_modify(|request| request.answer = answer);
        }
    }

    fn take_post(&mut self, at: u64, what: &What) {
        if let What::Posted { post, run, account, sid, credential } = what {
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
                told: None,
            };
            self.posts.insert(*post, taken);
            self.message(sid).posts.push(*post);
        } else if let What::Decided { post, answer, status, retry_after } = what {
            self.posts.entry(*post).and_modify(|post| {
                (post.answer, post.status) = (answer.clone(), *status);
                (post.retry_after, post.decided) = (*retry_after, at);
            });
        } else if let What::Told { post, whole } = what {
            self.posts.entry(*post).and_modify(|post| post.told = Some((at, *whole)));
        }
    }

    /// The requests about a message.
    pub(crate) fn requests_of(&self, message: &Message) -> impl Iterator<Item = &Request> {
        message.requests.iter().filter_map(|req| self.requests.get(req))
    }

    /// The posts about a message, in their order.
    pub(crate) fn posts_of(&self, message: &Message) -> impl Iterator<Item = &Post> {
        message.posts.iter().filter_map(|post| self.posts.get(post))
    }

    /// Whether it was acknowledged that the message is known, and when first.
    pub(crate) fn remembered(&self, message: &Message) -> Option<u64> {
        let acked = self.requests_of(message).filter(|it| it.is_genuine() && it.remembers);
        acked.filter(|it| it.is_acked()).filter_map(|it| it.answer).map(|(at, ..)| at).min()
    }

    /// Whether somebody genuine may have had it made known, and proven, before that moment.
    pub(crate) fn may_be_proven(&self, message: &Message, before: u64) -> bool {
        let told = |wanted: fn(&Request) -> bool| {
            let mut all = self.requests_of(message);
            all.any(|it| it.is_genuine() && it.may_count() && it.at < before && wanted(it))
        };
        told(|it| it.remembers) && told(|it| it.proves)
    }

    /// Whether the network kept a request's end from the service, which then says 400 to what it got.
    pub(crate) fn is_truncated(&self, request: &Request) -> bool {
        request.answer.is_some_and(|(at, status, port)| {
            let mut cuts = self.half_closed.get(&port).into_iter().flatten();
            status == 400 && cuts.any(|cut| (request.at..=at).contains(cut))
        })
    }
}
