//! What the driver sends: honest requests in Twilio's and the app's own shapes, and forgeries.

use heardback::recording::Recording;
use heardback::twilio::signature::SigningKey;
use jiff::Timestamp;
use serde_json::json;

use crate::identities::{BASE, Cast, PERSON, TEXT};
use crate::signals::batch;
use crate::support::http::{form, get, post};
use crate::support::random::Random;

/// Whose key a request is signed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    Account,
    App,
    /// People press links, and sign nothing.
    Nobody,
}

/// One thing that a request says about a message.
#[derive(Debug, Clone)]
pub(crate) struct Claim {
    pub(crate) kind: &'static str,
    pub(crate) sid: String,
    pub(crate) remembers: bool,
    pub(crate) proves: bool,
}

/// A request before it is signed, and what it says.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) kind: &'static str,
    pub(crate) owner: usize,
    pub(crate) sid: String,
    pub(crate) signer: Signer,
    /// Makes the message known.
    pub(crate) remembers: bool,
    /// Proves that it arrived.
    pub(crate) proves: bool,
    /// The claims of a batch, which then says nothing itself.
    pub(crate) also: Vec<Claim>,
    pub(crate) recording: Recording,
}

impl Request {
    /// Its bytes, signed as of now.
    pub(crate) fn signed(&self, cast: &Cast) -> Recording {
        match self.signer {
            Signer::Account | Signer::App => {
                self.recording.signed(&self.key(cast, self.owner), BASE)
            }
            Signer::Nobody => self.recording.clone(),
        }
    }

    /// Everything that it says.
    pub(crate) fn claims(&self) -> Vec<Claim> {
        if !self.also.is_empty() {
            return self.also.clone();
        }
        let Self { kind, remembers, proves, .. } = *self;
        vec![Claim { kind, sid: self.sid.clone(), remembers, proves }]
    }

    pub(crate) fn key(&self, cast: &Cast, of: usize) -> SigningKey {
        match self.signer {
            Signer::Account => cast.account_key(of),
            Signer::App | Signer::Nobody => cast.app_signing_key(of),
        }
    }
}

/// One message and all that is said about it.
pub(crate) struct Story<'a> {
    pub(crate) cast: &'a Cast,
    pub(crate) index: u64,
    pub(crate) sid: String,
    pub(crate) owner: usize,
    /// By which its evidence names it, if not by its SID or person.
    pub(crate) reference: Option<String>,
    /// When it was created, for those who say so: long enough ago that Twilio's 404 is a last word.
    pub(crate) created: String,
}

impl<'a> Story<'a> {
    pub(crate) fn new(cast: &'a Cast, tag: &str, index: u64, random: &mut Random) -> Self {
        let reference = random.chance(3000).then(|| format!("login-{tag}-{index}"));
        let created = now() - jiff::SignedDuration::from_secs(random.between(70, 600));
        let (sid, owner) = (cast.message(tag, index), Cast::owner(index));
        Self { cast, index, sid, owner, reference, created: created.to_string() }
    }

    pub(crate) fn request(
        &self,
        kind: &'static str,
        signer: Signer,
        recording: Recording,
    ) -> Request {
        unclaimed(kind, self.owner, self.sid.clone(), signer, recording)
    }

    /// The message becomes known.
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
            self.request("status sent", Signer::Account, form(&target, &fields))
        };
        Request { remembers: true, ..request }
    }

    /// Twilio's word that it was delivered, which proves nothing.
    pub(crate) fn delivered(&self) -> Request {
        let (account, to, from) = self.parties();
        let fields = [
            ("MessageSid", self.sid.as_str()),
            ("MessageStatus", "delivered"),
            ("AccountSid", &account),
            ("To", &to),
            ("From", &from),
        ];
        self.request("status delivered", Signer::Account, form("/twilio/status", &fields))
    }

    /// Something that only its recipient can have done; the kinds are drawn.
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
                // It says whose message it is, so it makes it known as well.
                Request { remembers: true, ..self.event_by_app(kind, &named) }
            }
            (_, 6) => self.call_ringing(),
            (_, 7) => self.call_completed(),
            // Its claim says what it proves.
            (_, _) => return batch(self.owner, vec![self.proving_event(random)]),
        };
        Request { proves: true, ..request }
    }

    pub(crate) fn parties(&self) -> (String, String, String) {
        let (account, person) = (self.cast.account(self.owner), Cast::person(PERSON, self.index));
        (account, person, Cast::sender(self.owner))
    }

    /// A reply that quotes its message: a plain text within seconds counts as automatic and proves nothing.
    fn reply(&self) -> Request {
        let (account, person, sender) = self.parties();
        let inbound = self.cast.inbound(self.index);
        let mut fields = vec![("MessageSid", inbound.as_str()), ("AccountSid", &account)];
        fields.extend([("From", person.as_str()), ("To", &sender), ("Body", TEXT)]);
        fields.push(("OriginalRepliedMessageSid", &self.sid));
        self.request("reply quoting", Signer::Account, form("/twilio/message", &fields))
    }

    fn click(&self) -> Request {
        let body = json!({
            "account_sid": self.cast.account(self.owner),
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
        let account = self.cast.account(self.owner);
        let of = if kind == "app click" { "link_opened" } else { "code_entered" };
        let mut fields = vec![("AccountSid", account.as_str()), ("Type", of)];
        fields.extend_from_slice(named);
        self.request(kind, Signer::App, form("/app/events", &fields))
    }

    /// Asks what is known of it.
    pub(crate) fn look(&self) -> Request {
        look(self.owner, &self.sid)
    }
}

/// Asks what is known of a message.
pub(crate) fn look(owner: usize, sid: &str) -> Request {
    let recording = get(&format!("/app/messages/{sid}"));
    unclaimed("look", owner, sid.to_owned(), Signer::App, recording)
}

fn unclaimed(
    kind: &'static str,
    owner: usize,
    sid: String,
    signer: Signer,
    recording: Recording,
) -> Request {
    let (remembers, proves, also) = (false, false, Vec::new());
    Request { kind, owner, sid, signer, remembers, proves, also, recording }
}

#[expect(clippy::disallowed_methods, reason = "the service tells the time, too")]
pub(crate) fn now() -> Timestamp {
    Timestamp::now()
}
