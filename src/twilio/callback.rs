//! Twilio's webhooks about messages: an inbound message, and a status callback, such as a read receipt.
//!
//! Fields vary by channel and are added without notice, so only the needed fields are required.

use jiff::Timestamp;

use crate::domain::address::{Address, Recipient, RecipientHashKey, RecipientNames, Sender};
use crate::domain::code::{CodeKey, Probe};
use crate::domain::matching::{CLOCK_SKEW, Reason};
use crate::domain::message::{Reference, Status};
use crate::domain::sid::{AccountSid, MessageSid, ServiceSid, kind};
use crate::domain::signal::{
    DedupId, Evidence, EvidenceTarget, Malformed, MessageUpdate, SenderHint, Signal, SignalSource,
    TimeSource,
};
use crate::domain::switch;
use crate::domain::trace::TraceParent;
use crate::twilio::direction;
use crate::twilio::fields::{FieldSpelling, Fields, missing};

/// The facts besides its fields that a signal is parsed with.
#[derive(Debug, Clone, Copy)]
pub struct ParseContext<'a> {
    /// The account of a request that names none.
    pub account: AccountSid,
    /// Other accounts that the signing key may act for.
    pub others: &'a [AccountSid],
    /// Hashes the addresses of recipients.
    pub recipient_hash_key: &'a RecipientHashKey,
    /// The app's keys, to compare typed codes with the codes of messages.
    pub code_keys: &'a [CodeKey],
    /// Whether clicks of known crawlers are ignored.
    pub ignores_crawlers: bool,
    /// The tag that contains a message's reference, in Event Streams. A message with this tag is tracked.
    pub reference_tag: Option<&'a str>,
    pub relay: Relay,
    /// The arrival of the request.
    pub now: Timestamp,
    pub trace: Option<TraceParent>,
}

/// The origin of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relay {
    /// Twilio sent the request when its event happened.
    Direct,
    /// The app sent or forwarded the request, after a delay that only the app can state.
    ViaApp,
}

impl ParseContext<'_> {
    /// The time of this request's event, and the clock behind it. Twilio sends a webhook when its event happens. An
    /// event that the app passes on without a time may have happened at any earlier time.
    ///
    /// # Errors
    /// [`Malformed::Field`] if `OccurredAt` or `SentAt` is no real time.
    pub fn when(&self, fields: &Fields) -> Result<When, Malformed> {
        let source = match self.relay {
            Relay::Direct => return Ok(When { at: self.now, source: TimeSource::Exact }),
            Relay::ViaApp => TimeSource::App,
        };
        let (stated, sent) = (fields.timestamp("OccurredAt")?, fields.timestamp("SentAt")?);
        let Some(stated) = stated else {
            return Ok(When { at: self.now, source: TimeSource::Unknown });
        };
        // `SentAt` shows the error of the app's clock. A larger difference may be a delay of the request.
        let ahead = sent.map(|sent| sent.duration_since(self.now));
        let skew = jiff::SignedDuration::try_from(CLOCK_SKEW).unwrap_or_default();
        let (at, source) = match ahead {
            Some(ahead) if ahead.abs() <= skew => {
                (stated.checked_sub(ahead).unwrap_or(stated), TimeSource::Exact)
            }
            Some(_) | None => (stated, source),
        };
        // An event cannot lie in the future. If the stated time does so by more than the allowed skew, such as local time
        // with the offset of UTC, the time of the event is unknown.
        let is_wrong = at.duration_since(self.now) > skew;
        let source = if is_wrong { TimeSource::Unknown } else { source };
        Ok(When { at: at.min(self.now), source })
    }

    /// Whether the signer may act for this account.
    pub fn speaks_for(&self, account: AccountSid) -> bool {
        account == self.account || self.others.contains(&account)
    }

    /// The account that the request names.
    ///
    /// # Errors
    /// [`Malformed::OtherAccount`], or an error of the field.
    pub fn account(&self, fields: &Fields) -> Result<Option<AccountSid>, Malformed> {
        match fields.sid::<kind::AccountKind>("AccountSid", None)? {
            Some(account) if !self.speaks_for(account) => Err(Malformed::OtherAccount),
            known => Ok(known),
        }
    }
}

/// Replies that are about the sender and not about the message: Twilio's default keywords (Messaging, "Advanced
/// Opt-Out"), those of 47 CFR 64.1200(a)(10), Canada's French ones, and the usual words for stop and help in other
/// languages. Only letters and digits count: `Opt-out.` matches. `YES` is left out, because it opts in, but may also be
/// an answer.
const OPT_OUT_WORDS: &str = "STOP STOPALL UNSUBSCRIBE CANCEL END QUIT REVOKE OPTOUT OPTIN START UNSTOP HELP INFO \
     ARRET ARRÊT ARRETER ARRÊTER DESABONNER DÉSABONNER AIDE ALTO PARAR PARE BAJA CANCELAR AYUDA SAIR AJUDA STOPP \
     ABMELDEN HILFE ANNULLA AIUTO AFMELDEN СТОП ОТПИСАТЬСЯ ПОМОЩЬ הסר הסרה עצור إيقاف ايقاف توقف إلغاء الغاء 停止 退订 退訂 \
     取消 配信停止 ヘルプ 수신거부 DUR İPTAL IPTAL BERHENTI HUỶ HỦY";

/// Parses an inbound message.
///
/// # Errors
/// [`Malformed`].
pub fn reply(fields: &Fields, context: &ParseContext<'_>) -> Result<Signal, Malformed> {
    // First, because the answer to another account's request is 403 even if other fields are wrong.
    let account = context.account(fields)?;
    message_sid(fields)?;
    let account = account.ok_or_else(|| missing("AccountSid"))?;
    let when = context.when(fields)?;
    replied(fields, context, account, &EventMeta { when: Some(when), event: None })
}

/// The time of an event, and the clock behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct When {
    pub at: Timestamp,
    pub source: TimeSource,
}

/// The time and the identity of an event. A webhook arrives when its event happens, and has no id.
pub(super) struct EventMeta {
    pub(super) when: Option<When>,
    /// The id of the `CloudEvent`.
    pub(super) event: Option<DedupId>,
}

/// A reply to a known account. Without a time, it proves only the message that it quotes, and is not marked as counted,
/// so that another webhook may still deliver it.
pub(super) fn replied(
    fields: &Fields,
    context: &ParseContext<'_>,
    account: AccountSid,
    meta: &EventMeta,
) -> Result<Signal, Malformed> {
    let inbound = message_sid(fields)?;
    direction::inbound(fields)?;
    let person = address(fields, "From")?.ok_or_else(|| missing("From"))?;
    let sender = address(fields, "To")?.ok_or_else(|| missing("To"))?;
    let names = names(fields, context, account, &person).map(|names| (account, names));
    let person = context.recipient_hash_key.recipient(account, &person);
    let sender = SenderHint { address: Some(sender.to_sender()), service: service(fields)? };
    let probe = fields.get("Body").and_then(|body| Probe::new(body, context.code_keys));
    let evidence = evidence_target(fields, person, sender)?.and_then(|target| {
        let is_direct = matches!(target, EvidenceTarget::Message(_));
        let unknown = When { at: context.now, source: TimeSource::Unknown };
        let when = meta.when.or((is_direct || probe.is_some()).then_some(unknown));
        let When { at: occurred_at, source: time_source } = when.ok_or(Reason::TimeUnknown)?;
        let (label, source) = ("reply".to_owned(), SignalSource::Reply);
        Ok(Evidence { account, target, label, occurred_at, time_source, source })
    });
    let once = if evidence == Err(Reason::TimeUnknown) {
        Vec::new()
    } else {
        meta.event.iter().cloned().chain([DedupId::Message(inbound)]).collect()
    };
    Ok(Signal {
        source: SignalSource::Reply,
        dedup_ids: once,
        code: probe,
        evidence,
        names,
        message_update: None,
        seen_at: context.now,
        trace: context.trace,
    })
}

/// The target of a reply. A reply that quotes an unknown text proves nothing: the person did not mean the newest
/// message.
fn evidence_target(
    fields: &Fields,
    recipient: Recipient,
    sender: SenderHint,
) -> Result<Result<EvidenceTarget, Reason>, Malformed> {
    const QUOTED: &str = "OriginalRepliedMessageSid";
    const QUOTED_SENDER: &str = "OriginalRepliedMessageSender";
    if is_opt_out(fields) {
        return Ok(Err(Reason::OptOut));
    }
    match optional(fields.sid::<kind::MessageKind>(QUOTED, None))? {
        Some(sid) => Ok(Ok(EvidenceTarget::Message(sid))),
        // Twilio names the message only if it is not too old.
        None if [QUOTED, QUOTED_SENDER].iter().any(|field| fields.get(field).is_some()) => {
            Ok(Err(Reason::QuoteUnknown))
        }
        None => Ok(Ok(EvidenceTarget::Person { recipient, sender })),
    }
}

fn service(fields: &Fields) -> Result<Option<ServiceSid>, Malformed> {
    optional(fields.sid("MessagingServiceSid", None))
}

/// A flaw in an optional field does not reject the request. The exception is a SID with two values: it is unknown which
/// of them was signed.
fn optional<T>(read: Result<Option<T>, Malformed>) -> Result<Option<T>, Malformed> {
    match read {
        Err(
            Malformed::Missing { .. } | Malformed::Field { .. } | Malformed::NotAMessage { .. },
        ) => Ok(None),
        read => read,
    }
}

fn is_opt_out(fields: &Fields) -> bool {
    if fields.get("OptOutType").is_some() {
        return true;
    }
    let letters = fields.get("Body").unwrap_or_default().chars().filter(|c| c.is_alphanumeric());
    let word: String = letters.flat_map(char::to_uppercase).collect();
    OPT_OUT_WORDS.split(' ').any(|known| known == word)
}

/// Parses a status callback. `query` is the query of the callback URL, in which the sender of the message may request
/// feedback and name a reference.
///
/// # Errors
/// [`Malformed`].
pub fn status(
    fields: &Fields,
    query: &Fields,
    context: &ParseContext<'_>,
) -> Result<MessageUpdate, Malformed> {
    let account = context.account(fields)?;
    let sid = message_sid(fields)?;
    let account = account.ok_or_else(|| missing("AccountSid"))?;
    let word = fields.get("MessageStatus").or_else(|| fields.get("SmsStatus"));
    let word = word.ok_or_else(|| missing("MessageStatus"))?;
    registered(message_update(fields, context, account, sid, word)?, query)
}

/// A message with the `feedback` and the `reference` of its status callback URL.
pub(super) fn registered(
    update: MessageUpdate,
    query: &Fields,
) -> Result<MessageUpdate, Malformed> {
    let tracked = feedback_words(query).any(|word| switch::parse(word) == Some(true));
    Ok(MessageUpdate { tracked, reference: reference_in_url(query)?, ..update })
}

/// The reference in a status callback URL, whose name people type in any case.
fn reference_in_url(query: &Fields) -> Result<Option<Reference>, Malformed> {
    const FIELD: &str = "reference";
    let text = query.values_ignoring_case(FIELD).find(|text| !text.is_empty());
    let Some(text) = text else { return Ok(None) };
    Fields::single(FIELD, text, FieldSpelling::Twilio).reference(FIELD)
}

/// The first value of `feedback` in a status callback URL that is neither true nor false: its message is not tracked.
pub fn unreadable_feedback(query: &Fields) -> Option<&str> {
    feedback_words(query).find(|word| switch::parse(word).is_none())
}

fn feedback_words(query: &Fields) -> impl Iterator<Item = &str> {
    query.values_ignoring_case("feedback").chain(query.values_ignoring_case("ProvideFeedback"))
}

/// The facts of a status that Twilio reports.
pub(super) fn message_update(
    fields: &Fields,
    context: &ParseContext<'_>,
    account: AccountSid,
    sid: MessageSid,
    word: &str,
) -> Result<MessageUpdate, Malformed> {
    direction::outbound(fields)?;
    let recipient = optional(address(fields, "To"))?;
    // A sender is stored unencrypted, so a text that is no sender is dropped.
    let (from, of_service) = match fields.get("From").map(Sender::parse) {
        Some(Ok(Sender::Address(from))) => (Some(from.to_sender()), None),
        Some(Ok(Sender::Service(of))) => (None, Some(of)),
        Some(Err(_)) | None => (None, None),
    };
    Ok(MessageUpdate {
        sid,
        account,
        tracked: false,
        strict: false,
        by_twilio: context.relay == Relay::Direct,
        number: recipient.as_ref().and_then(|to| context.recipient_hash_key.by_number(account, to)),
        names: recipient.as_ref().and_then(|to| names(fields, context, account, to)),
        recipient: recipient.map(|to| context.recipient_hash_key.recipient(account, &to)),
        from,
        service: service(fields)?.or(of_service),
        reference: None,
        // A status that Twilio adds later does not reject the other facts.
        status: Status::parse(word),
        error_code: fields.get("ErrorCode").and_then(|code| code.parse().ok()),
        code: None,
        link: None,
        created_at: None,
        seen_at: context.now,
        trace: context.trace,
    })
}

pub(super) fn message_sid(fields: &Fields) -> Result<MessageSid, Malformed> {
    fields.sid("MessageSid", None)?.ok_or_else(|| missing("MessageSid"))
}

/// All names that Twilio gives to the person at this address, if there are several. Only Twilio's own requests tie
/// names: an app could tie two persons.
fn names(
    fields: &Fields,
    context: &ParseContext<'_>,
    account: AccountSid,
    address: &Address,
) -> Option<RecipientNames> {
    if context.relay != Relay::Direct || !address.is_whatsapp() {
        return None;
    }
    let ids = ["ExternalUserId", "ParentExternalUserId"].into_iter();
    let ids = ids.filter_map(|field| Address::parse_user_id(fields.get(field)?));
    let mut addresses: Vec<Address> = std::iter::once(address.clone()).chain(ids).collect();
    // `WaId` is the number without its plus. It is absent if the user hides the number.
    if address.is_whatsapp_id()
        && let Some(digits) = fields.get("WaId")
        && let Ok(number) =
            Address::parse_recipient(&format!("whatsapp:+{}", digits.trim_start_matches('+')))
    {
        addresses.push(number);
    }
    RecipientNames::of(context.recipient_hash_key, account, &addresses)
}

fn address(fields: &Fields, field: &'static str) -> Result<Option<Address>, Malformed> {
    let Some(text) = fields.get(field) else { return Ok(None) };
    let parsed = Address::parse(text);
    parsed.map(Some).map_err(|error| Malformed::Field { field, expected: error.to_string() })
}

#[cfg(test)]
impl<'a> ParseContext<'a> {
    /// The context of a request that Twilio sent at `now` for the account of all examples.
    pub(crate) fn example(recipient_hash_key: &'a RecipientHashKey, now: &str) -> Self {
        Self {
            account: AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid"),
            others: &[],
            recipient_hash_key,
            code_keys: &[],
            ignores_crawlers: true,
            reference_tag: None,
            relay: Relay::Direct,
            now: now.parse().expect("a time"),
            trace: None,
        }
    }
}

#[cfg(test)]
#[path = "callback_tests.rs"]
mod tests;
