//! Calls: a recipient called back.
//!
//! Two webhooks report one call: the voice webhook when it rings, and the status callback when it is over. Either is
//! enough, and a `CallSid` counts once. A call proves a message as of its *start*: a code that was sent during a call
//! did not cause the call. The start is the end minus the duration, without the ringing time if only the callback came.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::address::Address;
use crate::domain::matching::{Reason, earlier};
use crate::domain::sid::{AccountSid, CallSid, kind};
use crate::domain::signal::{
    DedupId, Evidence, EvidenceTarget, Malformed, SenderHint, Signal, SignalSource, TimeSource,
};
use crate::twilio::callback::{EventMeta, ParseContext, When};
use crate::twilio::fields::{Fields, missing};
use crate::twilio::timestamps;

/// The values of `From` without a number. Some carriers spell them on the keypad (`+266696687` is ANONYMOUS,
/// `+7378742833` RESTRICTED, `+86282452253` UNAVAILABLE; Twilio Support, "Why am I getting calls from these strange
/// numbers?").
const NOBODY: [&str; 7] =
    ["anonymous", "restricted", "unavailable", "unknown", "private", "blocked", "withheld"];

/// The response that the client of a call webhook expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedResponse {
    /// `TwiML`, which says what to do with the call.
    Twiml,
    /// An empty body: the call is over, or this is a status callback.
    Nothing,
}

/// A call webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallSignal {
    pub signal: Signal,
    pub wants: ExpectedResponse,
}

/// The stage of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CallStage {
    Begins,
    Underway,
    /// The call was answered, and ended.
    Completed,
    /// The call ended, and its duration is unknown.
    Over,
}

impl CallStage {
    pub(super) fn of(status: &str) -> Self {
        match status {
            "queued" | "initiated" | "ringing" => Self::Begins,
            "completed" => Self::Completed,
            "busy" | "no-answer" | "canceled" | "failed" => Self::Over,
            _ => Self::Underway,
        }
    }
}

/// Parses a number's voice webhook, or its status callback.
///
/// # Errors
/// [`Malformed`].
pub fn call(fields: &Fields, context: &ParseContext<'_>) -> Result<CallSignal, Malformed> {
    let account = context.account(fields)?;
    let sid = fields.sid::<kind::CallKind>("CallSid", None)?.ok_or_else(|| missing("CallSid"))?;
    let account = account.ok_or_else(|| missing("AccountSid"))?;
    let stage = CallStage::of(fields.get("CallStatus").unwrap_or_default());
    // Only a status callback has these fields.
    let is_told =
        ["CallDuration", "CallbackSource"].iter().any(|field| fields.get(field).is_some());
    let wants = match stage {
        CallStage::Begins | CallStage::Underway if !is_told => ExpectedResponse::Twiml,
        CallStage::Begins | CallStage::Underway | CallStage::Completed | CallStage::Over => {
            ExpectedResponse::Nothing
        }
    };
    let when = match timestamp(fields) {
        Some(at) => When { at: at.min(context.now), source: TimeSource::Exact },
        // If the app passes the form on, `OccurredAt` is the time of the form's stage: the beginning or the end.
        None => context.when(fields)?,
    };
    let when = (when.source != TimeSource::Unknown).then_some(when);
    let signal = called(fields, context, (account, sid), stage, &EventMeta { when, event: None });
    Ok(CallSignal { signal, wants })
}

/// A call to a known account. Without a start, it proves nothing and is not marked as counted, so that another webhook
/// may still report it.
pub(super) fn called(
    fields: &Fields,
    context: &ParseContext<'_>,
    (account, sid): (AccountSid, CallSid),
    stage: CallStage,
    meta: &EventMeta,
) -> Signal {
    let evidence = who(fields, context, account).and_then(|target| {
        let began = start(fields, stage, meta.when).ok_or(Reason::TimeUnknown)?;
        let When { at: occurred_at, source: time_source } = began;
        let (label, source) = ("call".to_owned(), SignalSource::Call);
        Ok(Evidence { account, target, label, occurred_at, time_source, source })
    });
    let once = match evidence {
        Ok(_) => meta.event.iter().cloned().chain([DedupId::Call(sid)]).collect(),
        Err(_) => Vec::new(),
    };
    Signal {
        source: SignalSource::Call,
        dedup_ids: once,
        code: None,
        evidence,
        names: None,
        message_update: None,
        seen_at: context.now,
        trace: context.trace,
    }
}

/// The start of a call, from the time of its webhook.
fn start(fields: &Fields, stage: CallStage, when: Option<When>) -> Option<When> {
    match stage {
        CallStage::Begins => when,
        CallStage::Completed => {
            let seconds = fields.get("CallDuration")?.parse().ok()?;
            let when = when?;
            Some(When { at: earlier(when.at, Duration::from_secs(seconds)), ..when })
        }
        CallStage::Underway | CallStage::Over => None,
    }
}

/// The caller and the called sender. The caller is `From`, also for forwarded calls.
fn who(
    fields: &Fields,
    context: &ParseContext<'_>,
    account: AccountSid,
) -> Result<EvidenceTarget, Reason> {
    if fields.get("Direction") != Some("inbound") {
        return Err(Reason::Outbound);
    }
    // `Caller` and `Called` are older names of `From` and `To`.
    let from = fields.get("From").or_else(|| fields.get("Caller")).ok_or(Reason::Anonymous)?;
    if is_nobody(from) {
        return Err(Reason::Anonymous);
    }
    let from = Address::parse(from).map_err(|_| Reason::Anonymous)?;
    // A text cannot go to a `client:` or a `sip:` address.
    let (recipient, whatsapp) =
        context.recipient_hash_key.caller(account, &from).ok_or(Reason::Anonymous)?;
    let to = fields.get("To").or_else(|| fields.get("Called"));
    let to = to.and_then(|to| Address::parse(to).ok()).ok_or(Reason::SenderUnknown)?;
    let number = to.to_number().unwrap_or(to);
    let sender = SenderHint { address: Some(number.to_sender()), service: None };
    Ok(EvidenceTarget::Caller { recipient, whatsapp, sender })
}

fn is_nobody(from: &str) -> bool {
    let from = from.trim();
    let digits = from.trim_start_matches('+');
    NOBODY
        .iter()
        .any(|word| word.eq_ignore_ascii_case(from) || word.chars().map(key).eq(digits.chars()))
}

/// The key that a small letter is on (ITU-T E.161).
fn key(letter: char) -> char {
    match letter {
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        'w'..='z' => '9',
        other => other,
    }
}

/// The time of a status callback: RFC 2822 with whole seconds by the documentation, RFC 3339 in Event Streams. `None`
/// if it is no real time.
pub(super) fn timestamp(fields: &Fields) -> Option<Timestamp> {
    timestamps::parse(fields.get("Timestamp")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::RecipientHashKey;
    use crate::twilio::callback::Relay;
    use crate::twilio::fields::FieldSpelling;
    use crate::twilio::form;

    const CALL: &str = "CA0123456789abcdef0123456789abcdef";
    const BASE: &str = "CallSid=CA0123456789abcdef0123456789abcdef&AccountSid=AC0123456789abcdef0123456789abcdef&To=%2B15017122661&Direction=inbound&";

    fn read(form: &str) -> Result<CallSignal, Malformed> {
        read_by(Relay::Direct, form)
    }

    fn read_by(relay: Relay, form: &str) -> Result<CallSignal, Malformed> {
        let fields = Fields::from_pairs(&form::pairs(form.as_bytes()), FieldSpelling::Twilio);
        let key = RecipientHashKey::new(b"key");
        let context = ParseContext::example(&key, "2026-11-23T10:05:00Z");
        call(&fields.expect("UTF-8"), &ParseContext { relay, ..context })
    }

    fn parsed(end: &str) -> CallSignal {
        read(&format!("{BASE}{end}")).expect(end)
    }

    #[test]
    fn a_call_counts_as_of_its_start() {
        use ExpectedResponse::{Nothing, Twiml};
        const FROM: &str = "From=%2B15558675310&";
        const SENT_AT: &str = "Timestamp=Mon%2C+23+Nov+2026+10%3A0";
        const UNKNOWN: Result<&str, Reason> = Err(Reason::TimeUnknown);
        let completed = |more: &str| format!("CallStatus=completed&CallDuration=90&{more}");
        let progress = "CallStatus=ringing&CallbackSource=call-progress-events&";
        for (end, wants, start) in [
            ("CallStatus=ringing", Twiml, Ok("2026-11-23T10:05:00Z")),
            ("CallStatus=queued", Twiml, Ok("2026-11-23T10:05:00Z")),
            ("CallStatus=in-progress", Twiml, UNKNOWN),
            ("CallStatus=something-new", Twiml, UNKNOWN),
            ("", Twiml, UNKNOWN),
            ("CallStatus=completed&CallDuration=90", Nothing, Ok("2026-11-23T10:03:30Z")),
            (&completed(&format!("{SENT_AT}4%3A30+%2B0000")), Nothing, Ok("2026-11-23T10:03:00Z")),
            (&format!("{progress}{SENT_AT}4%3A30+%2B0000"), Nothing, Ok("2026-11-23T10:04:30Z")),
            // A clock that is ahead, and no date at all: the call ended now.
            (&completed(&format!("{SENT_AT}5%3A30+%2B0000")), Nothing, Ok("2026-11-23T10:03:30Z")),
            (&completed("Timestamp=yesterday"), Nothing, Ok("2026-11-23T10:03:30Z")),
            ("CallStatus=completed", Nothing, UNKNOWN),
            ("CallStatus=completed&CallDuration=long", Nothing, UNKNOWN),
            ("CallStatus=completed&CallDuration=-5", Nothing, UNKNOWN),
            ("CallStatus=busy&CallDuration=0", Nothing, UNKNOWN),
            ("CallStatus=no-answer", Nothing, UNKNOWN),
            ("CallStatus=canceled&CallDuration=12", Nothing, UNKNOWN),
            ("CallStatus=failed", Nothing, UNKNOWN),
        ] {
            let call = parsed(&format!("{FROM}{end}"));
            let began = call.signal.evidence.map(|evidence| evidence.occurred_at);
            assert_eq!(call.wants, wants, "{end}");
            assert_eq!(began, start.map(|at| at.parse().expect("valid")), "{end}");
            let once = usize::from(began.is_ok());
            assert_eq!(call.signal.dedup_ids.len(), once, "{end}");
        }
    }

    #[test]
    fn an_unknown_caller_is_no_evidence_and_no_error() {
        let callers = "|anonymous|Anonymous|unknown|restricted|%2B266696687|266696687|%2B7378742833|\
                       %2B86282452253|%2B8656696|client%3Atommy|sip%3Aalice%40example.com|12345|%0A";
        for from in callers.split('|').map(|from| format!("From={from}")).chain([String::new()]) {
            let call = parsed(&format!("CallStatus=ringing&{from}"));
            assert_eq!(call.signal.evidence, Err(Reason::Anonymous), "{from}");
            assert_eq!(call.wants, ExpectedResponse::Twiml);
        }
        let forwarded =
            parsed("CallStatus=ringing&From=%2B15558675310&ForwardedFrom=%2B15558675311");
        let plain = parsed("CallStatus=ringing&Caller=%2B1+555+867+5310");
        assert_eq!(forwarded.signal, plain.signal);
        assert!(plain.signal.evidence.is_ok());
    }

    #[test]
    fn a_call_that_is_passed_on_without_its_time_proves_nothing() {
        let passed_on = |more: &str| {
            let form = format!("{BASE}From=%2B15558675310&{more}");
            read_by(Relay::ViaApp, &form).expect(more).signal
        };
        let ended = "CallStatus=completed&CallDuration=90";
        let ringing = "CallStatus=ringing";
        for more in [ended, &format!("{ended}&Timestamp=yesterday"), ringing] {
            let signal = passed_on(more);
            assert_eq!((signal.evidence, signal.dedup_ids), (Err(Reason::TimeUnknown), Vec::new()));
        }
        let timed = "&Timestamp=Mon%2C+23+Nov+2026+10%3A04%3A30+%2B0000";
        for (more, start) in [
            (format!("{ended}{timed}"), "2026-11-23T10:03:00Z"),
            (format!("{ringing}&OccurredAt=2026-11-23T10%3A04%3A00Z"), "2026-11-23T10:04:00Z"),
            (format!("{ended}&OccurredAt=2026-11-23T10%3A04%3A30Z"), "2026-11-23T10:03:00Z"),
        ] {
            let began = passed_on(&more).evidence.map(|evidence| evidence.occurred_at);
            assert_eq!(began, Ok(start.parse().expect("valid")), "{more}");
        }
    }

    #[test]
    fn only_an_inbound_call_is_evidence() {
        for direction in ["outbound-api", "outbound-dial", "trunking-originating", ""] {
            let form = BASE.replace("inbound", direction);
            let call = read(&format!("{form}CallStatus=ringing&From=%2B15558675310"));
            assert_eq!(call.expect("read").signal.evidence, Err(Reason::Outbound), "{direction}");
        }
    }

    #[test]
    fn the_called_number_is_the_sender_on_any_channel() {
        let with = |to: &str| {
            let form = BASE.replace("%2B15017122661", to);
            read(&format!("{form}CallStatus=ringing&From=%2B15558675310"))
                .expect(to)
                .signal
                .evidence
        };
        assert_eq!(with("%2B15017122661"), with("whatsapp%3A%2B1+501+712+2661"));
        assert_ne!(with("%2B15017122661"), with("sip%3Aa%40b.example"));
        assert_eq!(with(""), Err(Reason::SenderUnknown));
    }

    #[test]
    fn a_call_without_its_names_is_malformed() {
        for (form, wrong) in [
            (BASE.replace(CALL, ""), "CallSid"),
            (BASE.replace(CALL, "CA123"), "CallSid"),
            (BASE.replace("AC0123456789abcdef0123456789abcdef", ""), "AccountSid"),
        ] {
            let error = read(&form).expect_err(wrong);
            assert_eq!(error.field(), Some(wrong), "{error}");
        }
        let other = BASE.replace("AC0", "AC1");
        assert_eq!(read(&other).expect_err("another's"), Malformed::OtherAccount);
    }
}
