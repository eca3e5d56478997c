//! Requests that are no plain form about one message: calls, batches of Event Streams, and click links.

use serde_json::{Value, json};

use crate::conversation::TEXTING;
use crate::identities::{BASE, BODY_MARKER, HONEST, INBOUND};
use crate::requests::{Claim, Request, Scenario, Signer, now};
use crate::support::http::{form, post};
use crate::support::random::Random;

const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X)";
/// A ringing call, a pressed link or a forwarded message is answered even if the store cannot write
/// (`src/inbound/deferred.rs`).
pub(crate) const DEFERRABLE: [&str; 3] = [RINGING, PRESSED, QUOTING];
const RINGING: &str = "call ringing";
const PRESSED: &str = "link pressed";
pub(crate) const QUOTING: &str = "reply quoting";
pub(crate) const SENT: &str = "status sent";
pub(crate) const DELIVERED: &str = "status delivered";
pub(crate) const COMPLETED: &str = "call completed";

/// Evidence that names its message, so its time does not matter.
const DIRECT: [&str; 6] = [QUOTING, "click", "code entered", "app click", "stream click", PRESSED];

/// Whether the time of this evidence decides which message it proves.
pub(crate) fn is_timed(kind: &str) -> bool {
    !DIRECT.contains(&kind)
}

/// Whether the service forwards requests of this kind to the app.
pub(crate) fn is_forwarded(kind: &str) -> bool {
    [RINGING, COMPLETED, QUOTING, TEXTING, SENT, DELIVERED].contains(&kind)
}

/// The SID of the call about this message.
pub(crate) fn call_sid(message: &str) -> String {
    message.replacen("SM", "CA", 1)
}

/// The SID of the reply to this message.
pub(crate) fn reply_sid(message: &str) -> String {
    message.replacen(HONEST, INBOUND, 1)
}

/// One event of Event Streams, and its claim about a message.
pub(crate) struct StreamEvent {
    pub(crate) event: Value,
    pub(crate) claim: Option<Claim>,
}

/// A batch of one account.
pub(crate) fn batch(owner: usize, events: Vec<StreamEvent>) -> Request {
    let mut array = Vec::new();
    let mut claims = Vec::new();
    for StreamEvent { event, claim } in events {
        array.push(event);
        claims.extend(claim);
    }
    let first = claims.first().map(|claim| claim.sid.clone()).unwrap_or_default();
    let body = Value::Array(array).to_string();
    Request {
        kind: "event streams batch",
        owner,
        sid: first,
        signer: Signer::Account,
        registers: false,
        proves: false,
        also: claims,
        recording: post("/twilio/events", "application/json", body.as_bytes()),
    }
}

/// A status of a message that is never registered. It fills a batch.
pub(crate) fn filler(account: &str, number: u64) -> Value {
    let sid = format!("SMe5{number:030x}");
    let at = now().to_string();
    json!({
        "specversion": "1.0",
        "type": "com.twilio.messaging.message.delivered",
        "id": format!("EZ{sid}{:x}", now().as_millisecond()),
        "time": at,
        "data": {
            "messageSid": sid, "accountSid": account, "timestamp": at, "messageStatus": "DELIVERED",
        },
    })
}

impl Scenario<'_> {
    fn claim(&self, kind: &'static str, registers: bool, proves: bool) -> Claim {
        Claim { kind, sid: self.sid.clone(), registers, proves }
    }

    fn event(&self, of: &str, at: &str, data: &Value) -> Value {
        json!({
            "specversion": "1.0",
            "type": format!("com.twilio.{of}"),
            "source": format!("/2010-04-01/Accounts/{}", self.identities.account(self.owner)),
            "id": format!("EZ{}.{of}", self.sid),
            "datacontenttype": "application/json",
            "time": at,
            "data": data,
        })
    }

    fn status_event(&self, status: &str) -> Value {
        let (account, to, from) = self.parties();
        let reference =
            self.reference.as_ref().map(|text| format!("&reference={text}")).unwrap_or_default();
        let data = json!({
            "messageSid": self.sid, "accountSid": account, "timestamp": self.created, "from": from, "to": to,
            "messageStatus": status.to_uppercase(), "numberOfSegments": 1, "tags": {},
            "statusCallbackUrl": format!("{BASE}/twilio/status?feedback=1{reference}"),
        });
        self.event(&format!("messaging.message.{status}"), &self.created, &data)
    }

    /// The events that register the message.
    pub(crate) fn registering_events(&self) -> Vec<StreamEvent> {
        let event = |status| StreamEvent {
            event: self.status_event(status),
            claim: Some(self.claim("stream status", true, false)),
        };
        vec![event("sent"), event("delivered")]
    }

    /// A click that Twilio's link shortening reports.
    pub(crate) fn clicked_event(&self) -> StreamEvent {
        let (account, to, from) = self.parties();
        let at = now().to_string();
        let data = json!({
            "message_sid": self.sid, "account_sid": account, "to": to, "from": from, "click_time": at,
            "link": "https://app.example.com/login", "user_agent": BROWSER,
        });
        StreamEvent {
            event: self.event("daptbt.link-shortening.link-clicked", &at, &data),
            claim: Some(self.claim("stream click", false, true)),
        }
    }

    /// A random event that only the recipient can cause.
    pub(crate) fn proving_event(&self, random: &mut Random) -> StreamEvent {
        let (account, to, from) = self.parties();
        let at = now().to_string();
        match random.below(3) {
            0 => {
                let data = json!({
                    "messageSid": self.identities.inbound(self.index), "accountSid": account, "timestamp": at,
                    "from": to, "to": from, "body": BODY_MARKER, "numMedia": 0, "recipients": [],
                });
                StreamEvent {
                    event: self.event("messaging.inbound-message.received", &at, &data),
                    claim: Some(self.claim("stream reply", false, true)),
                }
            }
            1 => {
                let data = json!({
                    "sid": call_sid(&self.sid), "timestamp": at,
                    "request": { "method": "POST", "parameters": {
                        "CallSid": call_sid(&self.sid), "AccountSid": account, "From": to, "To": from,
                        "Direction": "inbound", "CallStatus": "completed", "CallDuration": "7",
                    }},
                });
                StreamEvent {
                    event: self.event("voice.status-callback.call.completed", &at, &data),
                    claim: Some(self.claim("stream call", false, true)),
                }
            }
            _ => self.clicked_event(),
        }
    }

    /// A message and its evidence in one batch, in random order, sometimes with an event without meaning.
    pub(crate) fn streamed(&self, random: &mut Random) -> Request {
        let mut events = self.registering_events();
        events.push(self.proving_event(random));
        if random.chance(2000) {
            let event = self.event("eventstreams.test-event", &self.created, &json!({}));
            events.push(StreamEvent { event, claim: None });
        }
        random.shuffle(&mut events);
        batch(self.owner, events)
    }

    /// A ringing call of the recipient to the sender's number.
    pub(crate) fn call_ringing(&self) -> Request {
        self.call(RINGING, &[("CallStatus", "ringing")])
    }

    /// The end of this call.
    pub(crate) fn call_completed(&self) -> Request {
        let at = now().strftime("%a, %d %b %Y %H:%M:%S +0000").to_string();
        let end = [
            ("CallStatus", "completed"),
            ("CallDuration", "7"),
            ("Timestamp", &at),
            ("CallbackSource", "call-progress-events"),
        ];
        self.call(COMPLETED, &end)
    }

    fn call(&self, kind: &'static str, more: &[(&str, &str)]) -> Request {
        let (account, person, number) = self.parties();
        let call = call_sid(&self.sid);
        let mut fields = vec![("CallSid", call.as_str()), ("AccountSid", &account)];
        fields.extend([("From", person.as_str()), ("To", &number), ("Direction", "inbound")]);
        fields.extend_from_slice(more);
        self.request(kind, Signer::Account, form("/twilio/call", &fields))
    }

    /// The registration of the message with a click link.
    pub(crate) fn register_with_link(&self) -> Request {
        let (account, to, from) = self.parties();
        let mut fields = vec![("MessageSid", self.sid.as_str()), ("AccountSid", &account)];
        fields.extend([("To", to.as_str()), ("From", &from), ("CreatedAt", &self.created)]);
        fields.push(("Link", "https://app.example.com/welcome"));
        let request = self.request("link", Signer::App, form("/app/messages", &fields));
        Request { registers: true, ..request }
    }

    /// A fetch of the click link, which proves nothing, or a press of its button.
    pub(crate) fn visit(&self, path: &str, presses: bool) -> Request {
        let (kind, method) = if presses { (PRESSED, "POST") } else { ("link fetched", "GET") };
        let mut recording = post(path, "application/x-www-form-urlencoded", b"");
        method.clone_into(&mut recording.method);
        recording.headers.push(("User-Agent".to_owned(), BROWSER.to_owned()));
        Request { proves: presses, ..self.request(kind, Signer::Unsigned, recording) }
    }
}

/// The path of the click link in a response.
pub(crate) fn link_path(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("link")?.as_str()?.strip_prefix(BASE).map(str::to_owned)
}
