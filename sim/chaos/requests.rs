//! Honest requests of Twilio and the app about one message.

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use jiff::Timestamp;
use serde_json::json;

use crate::identities::{BASE, BODY_MARKER, Identities, RECIPIENT_PREFIX};
use crate::signals::{COMPLETED, DELIVERED, QUOTING, SENT, batch};
use crate::support::http::{form, get, post};
use crate::support::random::Random;

/// The owner of the key that signs a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    Account,
    App,
    /// A recipient who presses a link.
    Unsigned,
}

/// One statement of a request about a message.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) kind: &'static str,
    pub(crate) sid: String,
    pub(crate) registers: bool,
    pub(crate) proves: bool,
}

/// A request before it is signed, and its statement.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: &'static str,
    pub(crate) owner: usize,
    pub(crate) sid: String,
    pub(crate) signer: Signer,
    /// It registers the message.
    pub(crate) registers: bool,
    /// It proves that the message arrived.
    pub(crate) proves: bool,
    /// The claims of a batch, which replace the fields above.
    pub(crate) also: Vec<Claim>,
    pub(crate) recording: Recording,
}

impl Request {
    /// The request with a new signature.
    pub(crate) fn signed(&self, identities: &Identities) -> Recording {
        match self.signer {
            Signer::Account | Signer::App => {
                self.recording.signed(&self.key(identities, self.owner), BASE)
            }
            Signer::Unsigned => self.recording.clone(),
        }
    }

    /// All statements of the request.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        if !self.also.is_empty() {
            return self.also.clone();
        }
        let Self { kind, registers, proves, .. } = *self;
        vec![Claim { kind, sid: self.sid.clone(), registers, proves }]
    }

    /// Whether this evidence states its time. It proves only a message whose registration states the creation time.
    /// Otherwise the message counts as created when the service first hears of it. Then a text within five seconds of that
    /// counts as automatic, and a call that began earlier proves nothing.
    pub(crate) fn is_dated(&self) -> bool {
        self.kind == COMPLETED || !self.also.is_empty()
    }

    pub(crate) fn key(&self, identities: &Identities, of: usize) -> SigningKey {
        match self.signer {
            Signer::Account => identities.account_key(of),
            Signer::App | Signer::Unsigned => identities.app_signing_key(of),
        }
    }
}

/// One message and the requests about it.
pub(crate) struct Scenario<'a> {
    pub(crate) identities: &'a Identities,
    pub(crate) index: u64,
    pub(crate) sid: String,
    pub(crate) owner: usize,
    /// The reference in its evidence; `None`: its SID or its recipient.
    pub(crate) reference: Option<String>,
    /// The creation time for requests that state it: so long ago that a 404 of Twilio is final.
    pub(crate) created: String,
}

impl<'a> Scenario<'a> {
    pub(crate) fn new(
        identities: &'a Identities,
        tag: &str,
        index: u64,
        random: &mut Random,
    ) -> Self {
        let reference = random.chance(3000).then(|| format!("login-{tag}-{index}"));
        let created = now() - jiff::SignedDuration::from_secs(random.between(70, 600));
        let (sid, owner) = (identities.message(tag, index), Identities::owner(index));
        Self { identities, index, sid, owner, reference, created: created.to_string() }
    }

    pub(crate) fn request(
        &self,
        kind: &'static str,
        signer: Signer,
        recording: Recording,
    ) -> Request {
        unclaimed(kind, self.owner, self.sid.clone(), signer, recording)
    }

    /// The registration of the message.
    pub(crate) fn register(&self, by_app: bool) -> Request {
        let (account, to, from) = self.parties();
        let mut fields = vec![("MessageSid", self.sid.as_str()), ("AccountSid", &account)];
        fields.extend([("To", to.as_str()), ("From", &from)]);
        let reference = self.reference.as_deref();
        let request = if by_app {
            fields.push(("CreatedAt", &self.created));
            fields.extend(reference.map(|reference| ("Reference", reference)));
            self.request("message", Signer::App, form("/app/messages", &fields))
        } else {
            fields.push(("MessageStatus", "sent"));
            let reference = reference.map(|text| format!("&reference={text}")).unwrap_or_default();
            let target = format!("/twilio/status?feedback=1{reference}");
            self.request(SENT, Signer::Account, form(&target, &fields))
        };
        Request { registers: true, ..request }
    }

    /// The status `delivered`, which proves nothing.
    pub(crate) fn delivered(&self) -> Request {
        let (account, to, from) = self.parties();
        let fields = [
            ("MessageSid", self.sid.as_str()),
            ("MessageStatus", "delivered"),
            ("AccountSid", &account),
            ("To", &to),
            ("From", &from),
        ];
        self.request(DELIVERED, Signer::Account, form("/twilio/status", &fields))
    }

    /// Random evidence that only the recipient can cause.
    pub(crate) fn evidence(&self, random: &mut Random) -> Request {
        let request = match (&self.reference, random.below(9)) {
            (Some(reference), 0..=3) => {
                self.event_by_app("event by reference", &[("Reference", reference)])
            }
            (_, 0 | 1) => self.reply(),
            (_, 2) => self.click(),
            (_, 3) => self.by_person(),
            (_, known @ (4 | 5)) => {
                let kind = if known == 4 { "code entered" } else { "app click" };
                let named = [("MessageSid", self.sid.as_str()), ("CreatedAt", &self.created)];
                // This event contains the recipient and the time, so it registers the message as well.
                Request { registers: true, ..self.event_by_app(kind, &named) }
            }
            (_, 6) => self.call_ringing(),
            (_, 7) => self.call_completed(),
            // The claim of the event says what it proves.
            (_, _) => return batch(self.owner, vec![self.proving_event(random)]),
        };
        Request { proves: true, ..request }
    }

    pub(crate) fn parties(&self) -> (String, String, String) {
        let (account, person) =
            (self.identities.account(self.owner), Identities::person(RECIPIENT_PREFIX, self.index));
        (account, person, Identities::sender(self.owner))
    }

    /// A reply that quotes its message. A plain text within seconds counts as automatic and proves nothing.
    fn reply(&self) -> Request {
        let (account, person, sender) = self.parties();
        let inbound = self.identities.inbound(self.index);
        let mut fields = vec![("MessageSid", inbound.as_str()), ("AccountSid", &account)];
        fields.extend([("From", person.as_str()), ("To", &sender), ("Body", BODY_MARKER)]);
        fields.push(("OriginalRepliedMessageSid", &self.sid));
        self.request(QUOTING, Signer::Account, form("/twilio/message", &fields))
    }

    fn click(&self) -> Request {
        let body = json!({
            "account_sid": self.identities.account(self.owner),
            "sms_sid": self.sid,
            "event_type": "click",
            "user_agent": "Mozilla/5.0 (iPhone)",
        });
        let recording = post("/twilio/click", "application/json", body.to_string().as_bytes());
        self.request("click", Signer::Account, recording)
    }

    fn by_person(&self) -> Request {
        let (_, person, sender) = self.parties();
        self.event_by_app("event by person", &[("To", &person), ("From", &sender)])
    }

    fn event_by_app(&self, kind: &'static str, named: &[(&str, &str)]) -> Request {
        let account = self.identities.account(self.owner);
        let of = if kind == "app click" { "link_opened" } else { "code_entered" };
        let mut fields = vec![("AccountSid", account.as_str()), ("Type", of)];
        fields.extend_from_slice(named);
        self.request(kind, Signer::App, form("/app/events", &fields))
    }

    /// A read of the message's state.
    pub(crate) fn state_request(&self) -> Request {
        state_request(self.owner, &self.sid)
    }
}

/// A read of a message's state.
pub(crate) fn state_request(owner: usize, sid: &str) -> Request {
    let recording = get(&format!("/app/messages/{sid}"));
    unclaimed("state_request", owner, sid.to_owned(), Signer::App, recording)
}

fn unclaimed(
    kind: &'static str,
    owner: usize,
    sid: String,
    signer: Signer,
    recording: Recording,
) -> Request {
    let (registers, proves, also) = (false, false, Vec::new());
    Request { kind, owner, sid, signer, registers, proves, also, recording }
}

pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
