//! The traffic: clients that sign their requests, and the facts that the responses acknowledge.
//!
//! Each client owns its messages and persons, so no other client changes an acknowledged fact.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use heardback::recording::Recording;
use serde_json::{Value, json};

use crate::harness::http_client::{self, Answer, Line};
use crate::harness::{ACCOUNT, SENDER, form, get, json as json_post, sid, signed};
use crate::power::recorder::Log;

/// Message numbers of one client.
const SHARE: u32 = 1 << 14;
/// Message numbers of one round.
const ROUND: u32 = 8;

/// A fact that a response acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fact {
    /// The message is in this state or a later one.
    State { number: u32, state: String },
    /// Twilio's delivery receipt is stored.
    Delivered { number: u32 },
    /// The inbound message was counted.
    Counted { inbound: u32, number: u32 },
    /// Evidence is parked under this message's reference, orphaned, or has confirmed the message.
    Waits { number: u32 },
    /// There is a link with this token, in the message of that number if in any.
    Link { token: String, within: Option<u32> },
}

/// Values with their positions in the log.
pub(super) type Placed<T> = Vec<(u64, T)>;

/// The requests and responses, each with its position in the log.
pub(super) struct History {
    log: Log,
    /// The position is read after the response: the writes behind the fact are before it.
    facts: Mutex<Placed<Fact>>,
    /// The position is read before the first request that names the message.
    sent: Mutex<Placed<u32>>,
    answers: AtomicUsize,
}

impl History {
    pub(super) fn new(log: Log) -> Self {
        let (facts, sent) = (Mutex::default(), Mutex::default());
        Self { log, facts, sent, answers: AtomicUsize::new(0) }
    }

    /// The number of complete 2xx responses.
    pub(super) fn answers(&self) -> usize {
        self.answers.load(Ordering::Acquire)
    }

    /// All values with their positions in the log.
    pub(super) fn told(self) -> (Placed<Fact>, Placed<u32>) {
        let (facts, sent) = (self.facts.into_inner(), self.sent.into_inner());
        (facts.expect("unpoisoned"), sent.expect("unpoisoned"))
    }

    fn is_so(&self, fact: Fact) {
        let position = self.log.position();
        self.facts.lock().expect("unpoisoned").push((position, fact));
    }

    fn is_sent(&self, number: u32) {
        let position = self.log.position();
        self.sent.lock().expect("unpoisoned").push((position, number));
    }
}

pub(super) fn person(number: u32) -> String {
    format!("+1555{number:07}")
}

pub(super) fn reference(number: u32) -> String {
    format!("login-{number}")
}

/// The number of a person's inbound message about a message.
pub(super) fn inbound(number: u32) -> u32 {
    0x8000_0000 + number
}

/// One client. It continues after a restart.
pub(super) struct Client {
    next: u32,
    line: Option<Line>,
    /// Confirmed, and not known to be reported yet.
    confirmed: VecDeque<u32>,
    /// A recent time, by the service's own clock.
    lately: Option<String>,
}

impl Client {
    /// A new number for each message of a client.
    pub(super) fn new(client: u32) -> Self {
        Self { next: client * SHARE, line: None, confirmed: VecDeque::new(), lately: None }
    }

    /// Continues until the service no longer answers.
    pub(super) fn run(&mut self, addr: SocketAddr, history: &History) {
        self.line = None;
        while self.round(addr, history).is_some() {}
    }

    fn round(&mut self, addr: SocketAddr, history: &History) -> Option<()> {
        let first = self.next;
        self.next += ROUND;
        self.replied(first, addr, history)?;
        self.entered(first + 1, addr, history)?;
        self.waited(first + 2, addr, history)?;
        self.clicked(first + 3, addr, history)?;
        // A message that stays pending, and evidence without a message.
        self.register(first + 4, &json!({}), addr, history)?;
        self.shared(first + 5, addr, history)?;
        for _ in 0..4 {
            let Some(number) = self.confirmed.pop_front() else { break };
            self.look(number, addr, history)?;
        }
        Some(())
    }

    /// Requests a message. The response is an acknowledged fact too: its records have been synced.
    fn look(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        let answer = self.ask(&get(&format!("/app/messages/{}", sid(number))), addr, history)?;
        if Self::told(number, &answer, history)? == "confirmed" {
            self.confirmed.push_back(number);
        }
        Some(())
    }

    /// Registers a message, reports it delivered, and sends its recipient's reply.
    fn replied(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        self.register(number, &json!({}), addr, history)?;
        let (message, to) = (sid(number), person(number));
        let fields = [
            ("MessageSid", message.as_str()),
            ("MessageStatus", "delivered"),
            ("AccountSid", ACCOUNT),
            ("To", &to),
            ("From", SENDER),
        ];
        self.ask(&form("/twilio/status", &fields), addr, history)?;
        history.is_so(Fact::Delivered { number });
        let reply = sid(inbound(number));
        let fields = [
            ("MessageSid", reply.as_str()),
            ("AccountSid", ACCOUNT),
            ("From", &to),
            ("To", SENDER),
            ("Body", "thanks"),
        ];
        self.ask(&form("/twilio/message", &fields), addr, history)?;
        history.is_so(Fact::Counted { inbound: inbound(number), number });
        self.look(number, addr, history)
    }

    /// Its code was entered; the event also registers it.
    fn entered(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        history.is_sent(number);
        let message = sid(number);
        let fields = [("MessageSid", message.as_str()), ("Type", "code_entered")];
        self.ask(&form("/app/events", &fields), addr, history)?;
        self.is_confirmed(number, history);
        Some(())
    }

    /// The evidence arrives before the message.
    fn waited(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        self.shared(number, addr, history)?;
        let more = json!({ "Reference": reference(number), "CreatedAt": self.lately });
        self.register(number, &more, addr, history)
    }

    /// Creates a link, registers a message with it, and opens it.
    fn clicked(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        let asked = json_post("/app/messages", &json!({ "Link": "https://app.example.com/hello" }));
        let answer = self.ask(&asked, addr, history)?.json();
        let link = answer.get("link").and_then(Value::as_str).expect("a link").to_owned();
        let token = link.rsplit('/').next().expect("a path").to_owned();
        history.is_so(Fact::Link { token: token.clone(), within: None });
        self.register(number, &json!({ "Link": link }), addr, history)?;
        history.is_so(Fact::Link { token: token.clone(), within: Some(number) });
        let headers = [("User-Agent", "Mozilla/5.0 (iPhone) Safari/604.1")];
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        let (method, target) = ("POST".to_owned(), format!("/c/{token}"));
        let visit = Recording { method, target, headers, ..Recording::default() };
        self.line = None;
        let answer = self.exchange(&visit, addr)?;
        assert_eq!(answer.status, 303, "{}", answer.head);
        self.is_confirmed(number, history);
        Some(())
    }

    /// An event about a reference that no message has yet.
    fn shared(&mut self, number: u32, addr: SocketAddr, history: &History) -> Option<()> {
        let fields = [("Reference", reference(number)), ("Type", "code_entered".to_owned())];
        let fields = fields.each_ref().map(|(name, value)| (*name, value.as_str()));
        let answer = self.ask(&form("/app/events", &fields), addr, history)?;
        assert_eq!(answer.status, 202, "{}", answer.text());
        history.is_so(Fact::Waits { number });
        Some(())
    }

    fn register(
        &mut self,
        number: u32,
        more: &Value,
        addr: SocketAddr,
        history: &History,
    ) -> Option<()> {
        history.is_sent(number);
        let mut message =
            json!({ "MessageSid": sid(number), "To": person(number), "From": SENDER });
        let fields = message.as_object_mut().expect("an object");
        fields.extend(more.as_object().expect("an object").clone());
        let answer = self.ask(&json_post("/app/messages", &message), addr, history)?;
        if Self::told(number, &answer, history)? == "confirmed" {
            self.confirmed.push_back(number);
        }
        let json = answer.json();
        self.lately = json.get("remembered_at").and_then(Value::as_str).map(str::to_owned);
        Some(())
    }

    fn is_confirmed(&mut self, number: u32, history: &History) {
        history.is_so(Fact::State { number, state: "confirmed".to_owned() });
        self.confirmed.push_back(number);
    }

    /// The state in a response.
    fn told(number: u32, answer: &Answer, history: &History) -> Option<String> {
        let state = answer.json().get("state").and_then(Value::as_str)?.to_owned();
        history.is_so(Fact::State { number, state: state.clone() });
        Some(state)
    }

    /// The response, if it is a complete 2xx.
    fn ask(&mut self, of: &Recording, addr: SocketAddr, history: &History) -> Option<Answer> {
        let answer = self.exchange(&signed(of), addr)?;
        // Only a service that is shutting down refuses these requests.
        assert!((200..300).contains(&answer.status) || answer.status == 503, "{}", answer.head);
        let good = answer.status != 503;
        history.answers.fetch_add(usize::from(good), Ordering::AcqRel);
        good.then_some(answer)
    }

    fn exchange(&mut self, request: &Recording, addr: SocketAddr) -> Option<Answer> {
        let mut line = match self.line.take() {
            Some(line) => line,
            None => Line::try_open(addr)?,
        };
        line.send(&http_client::bytes(request));
        let answer = line.answer()?;
        self.line = (!answer.closes()).then_some(line);
        Some(answer)
    }
}
