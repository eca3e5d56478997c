//! Forged requests: evidence about bait messages, each with one flaw.

use heardback::recording::Recording;

use crate::identities::{ACCOUNTS, BASE, Identities, UNKNOWN_PREFIX};
use crate::requests::{Request, Signer};
use crate::support::http::form;
use crate::support::random::Random;

/// All flaws.
const FLAWS: [&str; 10] = [
    "unsigned",
    "bit flipped in the body",
    "bit flipped in the signature",
    "another account's key",
    "another URL signed",
    "moved boundary",
    "extra parameter",
    "doubled key",
    "unknown account",
    "another account's message",
];

/// A request with one flaw about this message. Its bytes are sent without another signature.
pub(crate) fn forged(
    identities: &Identities,
    owner: usize,
    sid: &str,
    random: &mut Random,
) -> Request {
    let flaw = random.one_of(&FLAWS).copied().unwrap_or("unsigned");
    let other = (owner + 1) % ACCOUNTS;
    let own = identities.account(owner);
    let by_app = random.chance(5000);
    let signer = if by_app { Signer::App } else { Signer::Account };
    let person = Identities::person(UNKNOWN_PREFIX, random.below(10_000_000));
    let evidence = |account: &str| evidence(by_app, account, sid, &person, other);
    let blank = evidence(&own);
    let mut request = Request {
        kind: flaw,
        owner,
        sid: sid.to_owned(),
        signer,
        registers: false,
        proves: false,
        also: Vec::new(),
        recording: blank.clone(),
    };
    let key = request.key(identities, owner);
    let by_own_key = |recording: &Recording| recording.signed(&key, BASE);
    request.recording = match flaw {
        "unsigned" => blank,
        "bit flipped in the body" => flipped(by_own_key(&blank), random),
        "bit flipped in the signature" => spoilt(by_own_key(&blank)),
        "another account's key" => blank.signed(&request.key(identities, other), BASE),
        "another URL signed" => Recording {
            target: blank.target.clone(),
            ..by_own_key(&Recording { target: format!("{}/x", blank.target), ..blank })
        },
        "moved boundary" => moved(by_own_key(&blank)),
        "extra parameter" => {
            let less = form(&blank.target, &[("AccountSid", &own), ("Type", "x")]);
            added(by_own_key(&less), &format!("&MessageSid={sid}&OriginalRepliedMessageSid={sid}"))
        }
        "doubled key" => {
            // A repeated equal value is signed like one value, in Twilio's libraries too.
            let last = if sid.ends_with('0') { "1" } else { "0" };
            let twin = format!("{}{last}", sid.get(..sid.len() - 1).unwrap_or_default());
            added(by_own_key(&blank), &format!("&MessageSid={sid}&MessageSid={twin}"))
        }
        "unknown account" => by_own_key(&evidence("AC00000000000000000000000000000bad")),
        // A valid signature by another account, about this account's message.
        _ => {
            request.signer = Signer::App;
            let fields = [("AccountSid", own.as_str()), ("MessageSid", sid), ("Type", "x")];
            form("/app/events", &fields).signed(&identities.app_signing_key(other), BASE)
        }
    };
    request
}

fn evidence(by_app: bool, account: &str, sid: &str, person: &str, number: usize) -> Recording {
    if by_app {
        let fields = [("AccountSid", account), ("MessageSid", sid), ("Type", "code_entered")];
        return form("/app/events", &fields);
    }
    let inbound = sid.replace("SM", "MM");
    let sender = Identities::sender(number);
    let fields = [
        ("MessageSid", inbound.as_str()),
        ("AccountSid", account),
        ("From", person),
        ("To", &sender),
        ("OriginalRepliedMessageSid", sid),
    ];
    form("/twilio/message", &fields)
}

/// Flips one bit of the body.
fn flipped(mut recording: Recording, random: &mut Random) -> Recording {
    let at = random.index(recording.body.len());
    if let Some(byte) = recording.body.get_mut(at) {
        *byte ^= 1;
    }
    recording
}

fn spoilt(mut recording: Recording) -> Recording {
    for (name, value) in &mut recording.headers {
        if name == "X-Twilio-Signature" {
            let first = if value.starts_with('A') { "B" } else { "A" };
            value.replace_range(..1, first);
        }
    }
    recording
}

/// The signed text does not change, because no delimiter is signed.
fn moved(mut recording: Recording) -> Recording {
    let body = String::from_utf8_lossy(&recording.body).into_owned();
    recording.body = body.replacen("MessageSid=", "MessageSi=d", 1).into_bytes();
    recording
}

fn added(mut recording: Recording, more: &str) -> Recording {
    recording.body.extend_from_slice(more.as_bytes());
    recording
}
