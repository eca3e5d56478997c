//! The app's requests: a message that it sent, or an act of a recipient.

use jiff::Timestamp;

use crate::domain::address::{Address, Recipient, Sender};
use crate::domain::code::{CodeHmac, Probe};
use crate::domain::message::{Reference, Status};
use crate::domain::sid::{AccountSid, MessageSid, kind};
use crate::domain::signal::{
    Evidence, EvidenceTarget, Malformed, MessageUpdate, SenderHint, Signal, SignalSource,
};
use crate::twilio::callback::{ParseContext, When};
use crate::twilio::direction;
use crate::twilio::fields::{Fields, missing, reject_personal};
use crate::twilio::timestamps;

/// The longest `Type`, in bytes.
const MAX_TYPE: usize = 64;

/// A registration: a message that the app sent, a click link for a message that it will send, or both.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub account: AccountSid,
    /// `None` if only a link is requested.
    pub message: Option<MessageUpdate>,
    /// The field `Link`, unparsed.
    pub link: Option<String>,
    pub reference: Option<Reference>,
}

/// Parses a registration. Twilio's response to "create message" is a valid one. Without a `MessageSid`, there must be
/// a `Link`.
///
/// # Errors
/// [`Malformed`], naming the field.
pub fn message(fields: &Fields, context: &ParseContext<'_>) -> Result<Registration, Malformed> {
    let account = account(fields, context)?;
    fields.reject_placeholders(&NAMES)?;
    direction::outbound(fields)?;
    let sid = message_sid(fields)?;
    let message = sid.map(|sid| message_update(sid, account, fields, context)).transpose()?;
    let link = fields.get("Link").map(str::to_owned);
    if message.is_none() && link.is_none() {
        return Err(missing("MessageSid"));
    }
    Ok(Registration { account, message, link, reference: fields.reference("Reference")? })
}

/// Parses an act of a recipient, such as `code_entered`.
///
/// # Errors
/// [`Malformed`], naming the field.
pub fn event(fields: &Fields, context: &ParseContext<'_>) -> Result<Signal, Malformed> {
    let account = account(fields, context)?;
    fields.reject_placeholders(&NAMES)?;
    direction::neither(fields)?;
    let sid = message_sid(fields)?;
    let recipient = recipient(fields, account, context)?;
    let target = match (sid, fields.reference("Reference")?, recipient) {
        (Some(sid), _, _) => EvidenceTarget::Message(sid),
        (None, Some(reference), _) => EvidenceTarget::Reference(reference),
        (None, None, Some(recipient)) => {
            EvidenceTarget::Person { recipient, sender: sender_hint(fields)? }
        }
        (None, None, None) => {
            let expected = "missing; an event needs a MessageSid, a Reference or a To".to_owned();
            return Err(Malformed::Field { field: "MessageSid", expected });
        }
    };
    let remembers = sid.map(|sid| message_update(sid, account, fields, context)).transpose()?;
    let When { at: occurred_at, source: time_source } = context.when(fields)?;
    let (label, source) = (label(fields)?, SignalSource::App);
    let evidence = Evidence { account, target, label, occurred_at, time_source, source };
    Ok(Signal {
        source: SignalSource::App,
        dedup_ids: Vec::new(),
        code: fields.get("Code").and_then(|code| Probe::entered(code, context.code_keys)),
        evidence: Ok(evidence),
        names: None,
        message_update: remembers,
        seen_at: context.now,
        trace: context.trace,
    })
}

/// The account of the request. With a key of several accounts, the request must name it: a guess could post a message
/// to the wrong account.
fn account(fields: &Fields, context: &ParseContext<'_>) -> Result<AccountSid, Malformed> {
    let is_another = |account: &AccountSid| *account != context.account;
    match context.account(fields)? {
        Some(account) => Ok(account),
        None if context.others.iter().any(is_another) => Err(Malformed::Field {
            field: "AccountSid",
            expected: "missing; this key signs for several accounts: name the message's, or sign \
                       with an app key of that account's own"
                .to_owned(),
        }),
        None => Ok(context.account),
    }
}

fn message_update(
    sid: MessageSid,
    account: AccountSid,
    fields: &Fields,
    context: &ParseContext<'_>,
) -> Result<MessageUpdate, Malformed> {
    let sender = sender_hint(fields)?;
    let to = to(fields)?;
    Ok(MessageUpdate {
        sid,
        account,
        tracked: true,
        strict: true,
        by_twilio: false,
        recipient: to.as_ref().map(|to| context.recipient_hash_key.recipient(account, to)),
        number: to.as_ref().and_then(|to| context.recipient_hash_key.by_number(account, to)),
        names: None,
        from: sender.address,
        service: sender.service,
        reference: fields.reference("Reference")?,
        status: scheduled(fields),
        error_code: None,
        code: code_hmac(fields)?,
        link: None,
        created_at: created_at(fields)?,
        seen_at: context.now,
        trace: context.trace,
    })
}

/// The status in Twilio's response, if the message is scheduled. No other first status matters.
fn scheduled(fields: &Fields) -> Option<Status> {
    let status = Status::parse(fields.get("Status")?)?;
    (status == Status::Scheduled).then_some(status)
}

fn message_sid(fields: &Fields) -> Result<Option<MessageSid>, Malformed> {
    fields.sid::<kind::MessageKind>("MessageSid", Some("Sid"))
}

fn recipient(
    fields: &Fields,
    account: AccountSid,
    context: &ParseContext<'_>,
) -> Result<Option<Recipient>, Malformed> {
    Ok(to(fields)?.map(|to| context.recipient_hash_key.recipient(account, &to)))
}

fn to(fields: &Fields) -> Result<Option<Address>, Malformed> {
    let address = fields.get("To").map(Address::parse_recipient).transpose();
    address.map_err(|error| Malformed::Field { field: "To", expected: error.to_string() })
}

fn sender_hint(fields: &Fields) -> Result<SenderHint, Malformed> {
    let service = fields.sid("MessagingServiceSid", None)?;
    let sender = fields.get("From").map(Sender::parse).transpose();
    let wrong = |expected: String| Malformed::Field { field: "From", expected };
    match sender.map_err(|error| wrong(error.to_string()))? {
        None => Ok(SenderHint { address: None, service }),
        Some(Sender::Address(from)) => Ok(SenderHint { address: Some(from.to_sender()), service }),
        Some(Sender::Service(of)) if service.is_some_and(|service| service != of) => {
            Err(wrong("names another Messaging Service than MessagingServiceSid".to_owned()))
        }
        Some(Sender::Service(of)) => Ok(SenderHint { address: None, service: Some(of) }),
    }
}

/// Fields that must not contain a placeholder.
const NAMES: [&str; 4] = ["From", "To", "Code", "Link"];

fn code_hmac(fields: &Fields) -> Result<Option<CodeHmac>, Malformed> {
    const FIELD: &str = "CodeHmac";
    let Some(text) = fields.get(FIELD) else { return Ok(None) };
    let expected = "expected HMAC-SHA256 over MessageSid and code, under one of your app keys: 32 \
                    bytes in hexadecimal or base64";
    let hmac = CodeHmac::parse(text);
    hmac.map(Some).ok_or_else(|| Malformed::Field { field: FIELD, expected: expected.to_owned() })
}

fn label(fields: &Fields) -> Result<String, Malformed> {
    let text = fields.get("Type").unwrap_or("event");
    reject_personal("Type", text)?;
    if text.len() > MAX_TYPE || text.chars().any(char::is_control) {
        let expected = format!("expected at most {MAX_TYPE} bytes without control characters");
        return Err(Malformed::Field { field: "Type", expected });
    }
    Ok(text.to_owned())
}

/// The creation time: the app's `CreatedAt`, otherwise the `DateCreated` of Twilio's response.
fn created_at(fields: &Fields) -> Result<Option<Timestamp>, Malformed> {
    match fields.timestamp("CreatedAt")? {
        Some(created_at) => Ok(Some(created_at)),
        None => fields.read("DateCreated", timestamps::parse_created),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::address::RecipientHashKey;
    use crate::domain::signal::TimeSource;
    use crate::twilio::callback::Relay;
    use crate::twilio::fields::FieldSpelling;

    const SID: &str = "SM0123456789abcdef0123456789abcdef";
    const ACCOUNT: &str = "AC0123456789abcdef0123456789abcdef";

    fn read<T>(
        json: &str,
        parse: impl Fn(&Fields, &ParseContext<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        read_of(&[], json, parse)
    }

    fn read_of<T>(
        others: &[AccountSid],
        json: &str,
        parse: impl Fn(&Fields, &ParseContext<'_>) -> Result<T, Malformed>,
    ) -> Result<T, Malformed> {
        let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any)?;
        let key = RecipientHashKey::new(b"key");
        let context = ParseContext::example(&key, "2026-11-23T10:00:00Z");
        parse(&fields, &ParseContext { others, relay: Relay::ViaApp, ..context })
    }

    #[test]
    fn twilios_answer_is_understood_as_it_stands() {
        let answer = format!(
            r#"{{"sid":"{SID}","account_sid":"AC0123456789abcdef0123456789abcdef","to":"+15551234567",
            "from":null,"messaging_service_sid":"MG0123456789abcdef0123456789abcdef","body":"123456",
            "date_created":"Mon, 23 Nov 2026 09:59:58 +0000","subresource_uris":{{"media":"x"}},
            "error_code":null,"num_segments":"1","price":null}}"#
        );
        let update = read(&answer, message).expect("read").message.expect("named");
        assert_eq!(update.created_at, "2026-11-23T09:59:58.999Z".parse().ok());
        assert!(update.recipient.is_some() && update.service.is_some());
        assert_eq!(update.from, None);
    }

    #[test]
    fn each_field_that_is_wrong_is_named() {
        let with = |more: &str| read(&format!(r#"{{"MessageSid":"{SID}",{more}}}"#), event);
        for (more, wrong) in [
            (r#""To":"5551234567""#, "To"),
            (r#""Reference":"x""#, ""),
            (r#""CreatedAt":"yesterday""#, "CreatedAt"),
            (r#""OccurredAt":"2026-11-23 10:00""#, "OccurredAt"),
            (r#""MessagingServiceSid":"MG1""#, "MessagingServiceSid"),
            (r#""Type":"a\nb""#, "Type"),
            (r#""From":"PN0123456789abcdef0123456789abcdef""#, "From"),
            (r#""From":"5017122661""#, "From"),
            (r#""Reference":"+15551234567""#, "Reference"),
            (r#""Type":"whatsapp:+15551234567""#, "Type"),
            (r#""To":"+1555867531O""#, "To"),
            (r#""MessageStatus":"delivered""#, "MessageStatus"),
            (r#""direction":"inbound""#, "Direction"),
        ] {
            match (with(more), wrong) {
                (Ok(_), "") => {}
                (Err(error), wrong) if !wrong.is_empty() => assert_eq!(error.field(), Some(wrong)),
                (other, wrong) => panic!("{wrong}: {other:?}"),
            }
        }
        assert!(read(r#"{"Type":"code_entered"}"#, event).is_err(), "names nothing");
        assert!(read(r"{}", message).is_err());
        assert!(
            read(r#"{"Link":"https://example.com/"}"#, message)
                .is_ok_and(|it| it.message.is_none())
        );
    }

    #[test]
    fn the_sender_may_be_a_messaging_service_by_its_sid() {
        const MG: &str = "MG0123456789abcdef0123456789abcdef";
        let with = |more: &str| read(&format!(r#"{{"MessageSid":"{SID}",{more}}}"#), message);
        let of = |more: &str| {
            let update = with(more).expect(more).message.expect("named");
            (update.from, update.service.map(|sid| sid.to_string()))
        };
        let service = Some(MG.to_owned());
        assert_eq!(of(&format!(r#""From":"{MG}""#)), (None, service.clone()));
        assert_eq!(of(&format!(r#""From":"{MG}","MessagingServiceSid":"{MG}""#)), (None, service));
        assert_eq!(of(r#""From":"15017122661""#), (Some("+15017122661".to_owned()), None));
        let other = MG.replace("MG0", "MG1");
        let both = with(&format!(r#""From":"{MG}","MessagingServiceSid":"{other}""#));
        assert!(matches!(both, Err(Malformed::Field { field: "From", .. })), "{both:?}");
    }

    #[test]
    fn a_key_of_several_accounts_must_name_the_account() {
        let own = AccountSid::parse(ACCOUNT).expect("valid");
        let other = AccountSid::parse(&ACCOUNT.replace("AC0", "AC1")).expect("valid");
        let message_json = format!(r#"{{"MessageSid":"{SID}"}}"#);
        let link_json = r#"{"Link":"https://example.com/"}"#;
        let event_json = r#"{"To":"+15551234567"}"#;
        let all = |others: &[AccountSid], more: &str| {
            let with = |json: &str| json.replacen('{', &format!("{{{more}"), 1);
            [
                read_of(others, &with(&message_json), message).map(|it| it.account),
                read_of(others, &with(link_json), message).map(|it| it.account),
                read_of(others, &with(event_json), event)
                    .map(|it| it.evidence.expect("evidence").account),
            ]
        };
        for unnamed in all(&[own, other], "") {
            let error = unnamed.expect_err("whose?");
            assert!(matches!(error, Malformed::Field { field: "AccountSid", .. }), "{error}");
        }
        let named = format!(r#""account_sid":"{other}","#);
        assert_eq!(all(&[own, other], &named), [Ok(other), Ok(other), Ok(other)]);
        for one in [&[][..], &[own]] {
            assert_eq!(all(one, ""), [Ok(own), Ok(own), Ok(own)]);
        }
    }

    #[test]
    fn a_time_in_the_future_is_now_and_far_in_the_future_it_is_no_time() {
        for (stated, source) in [
            ("2026-11-23T10:04:59Z", TimeSource::App),
            ("2026-11-23T10:05:01Z", TimeSource::Unknown),
            ("2036-01-01T00:00:00Z", TimeSource::Unknown),
        ] {
            let signal =
                read(&format!(r#"{{"To":"+15551234567","OccurredAt":"{stated}"}}"#), event);
            let evidence = signal.expect("read").evidence.expect("evidence");
            assert_eq!(evidence.occurred_at, "2026-11-23T10:00:00Z".parse().expect("valid"));
            assert_eq!(evidence.time_source, source, "{stated}");
        }
    }
}
