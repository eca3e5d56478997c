//! The traffic: unique signed requests. Of ten, seven describe a new message, two prove a message (half by a reply,
//! half by the app), and one is a repeat. A proof follows its message at a fixed distance, so that every connection has
//! delivered its share. A larger distance would give slow sides only new messages.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use heardback::twilio::signature::SigningKey;

use crate::support::http::post;

/// The kit's token, so that its servers verify the same requests.
pub(crate) const TOKEN: &str = "12345678901234567890123456789012";
pub(crate) const BASE: &str = "https://hooks.example.com";
pub(crate) const ACCOUNT: &str = "AC9e3779b97f4a7c159e3779b97f4a7c15";
const SENDER: &str = "+14155550123";
/// The prefix of a forged signature.
pub(crate) const FORGED: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAA";
/// Messages for each connection between the newest and the one that is proven.
const BEHIND: u32 = 5;

/// The routes of the requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Routes {
    Heardback,
    /// `/twilio/sms` and `/twilio/status`, as in the load kit.
    Kit,
}

/// The validity of the signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    Valid,
    Forged,
}

/// A message and its recipient, which the number of the phase makes unique.
#[derive(Clone, Copy)]
struct MessageId {
    phase: u32,
    number: u32,
}

impl MessageId {
    fn sid(self, kind: &str, salt: u64) -> String {
        let mixed = (u64::from(self.phase) << 32 | u64::from(self.number)).wrapping_add(salt);
        let mixed = mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        format!("{kind}{mixed:016x}{:016x}", mixed.rotate_left(29) ^ salt)
    }

    fn person(self) -> String {
        format!("+1{:03}{:07}", 200 + self.phase % 700, self.number % 10_000_000)
    }
}

/// Writes `count` requests, one per line: path, signature, body. Returns the number of new messages.
pub(crate) fn write(
    to: &Path,
    phase: u32,
    count: u32,
    (routes, signed): (Routes, Signed),
    connections: u32,
) -> anyhow::Result<u32> {
    let distance = BEHIND * connections;
    let key = SigningKey::new(TOKEN.as_bytes());
    let mut file = BufWriter::new(File::create(to)?);
    let mut new = 0;
    for at in 0..count {
        let proven = new > distance;
        let behind = MessageId { phase, number: new.saturating_sub(distance) };
        let (path, body) = match at % 10 {
            3 if proven => ("/twilio/message", reply(behind)),
            7 if proven => ("/app/events", event(behind)),
            9 if proven => ("/twilio/status?feedback=1", status(behind)),
            _ => {
                new += 1;
                ("/twilio/status?feedback=1", status(MessageId { phase, number: new }))
            }
        };
        let path = match (routes, path) {
            (Routes::Heardback, path) => path,
            (Routes::Kit, "/twilio/status?feedback=1") => "/twilio/status",
            (Routes::Kit, _) => "/twilio/sms",
        };
        let body = serde_urlencoded::to_string(body)?;
        let request = post(path, "application/x-www-form-urlencoded", body.as_bytes());
        let request = request.signed(&key, BASE);
        let signature = request.header("X-Twilio-Signature").unwrap_or_default();
        let signature = match signed {
            Signed::Valid => signature.to_owned(),
            Signed::Forged => format!("{FORGED}{}", &signature[FORGED.len()..]),
        };
        writeln!(file, "{path}\t{signature}\t{body}")?;
    }
    file.flush()?;
    Ok(new)
}

fn status(id: MessageId) -> Vec<(&'static str, String)> {
    let sid = id.sid("SM", 1);
    vec![
        ("ApiVersion", "2010-04-01".to_owned()),
        ("MessageStatus", "sent".to_owned()),
        ("SmsSid", sid.clone()),
        ("SmsStatus", "sent".to_owned()),
        ("To", id.person()),
        ("From", SENDER.to_owned()),
        ("MessageSid", sid),
        ("AccountSid", ACCOUNT.to_owned()),
    ]
}

/// Twenty parameters, as in Twilio's webhook for an inbound message.
fn reply(id: MessageId) -> Vec<(&'static str, String)> {
    let sid = id.sid("SM", 2);
    let mut fields = vec![
        ("ToCountry", "US"),
        ("ToState", "CA"),
        ("NumMedia", "0"),
        ("ToCity", "SAN FRANCISCO"),
        ("FromZip", "94105"),
        ("FromState", "NY"),
        ("SmsStatus", "received"),
        ("FromCity", "NEW YORK"),
        ("Body", "Yes, that was me: it's done, thanks! Café at 10:30?"),
        ("FromCountry", "US"),
        ("To", SENDER),
        ("MessagingServiceSid", "MG9e3779b97f4a7c159e3779b97f4a7c15"),
        ("ToZip", "94105"),
        ("NumSegments", "1"),
        ("AccountSid", ACCOUNT),
        ("ApiVersion", "2010-04-01"),
    ];
    fields.retain(|(name, _)| *name != "MessagingServiceSid" || id.number.is_multiple_of(2));
    let fields = fields.into_iter().map(|(name, value)| (name, value.to_owned()));
    let own = [("SmsMessageSid", sid.clone()), ("SmsSid", sid.clone()), ("MessageSid", sid)];
    fields.chain(own).chain([("From", id.person())]).collect()
}

fn event(id: MessageId) -> Vec<(&'static str, String)> {
    vec![("MessageSid", id.sid("SM", 1)), ("Type", "code_entered".to_owned())]
}
