//! Event Streams: batches of `CloudEvents`, each with the content of a webhook.
//!
//! Events are delivered at least once, in any order, up to four hours late, so the event's own time and `id` count.
//! Each product of Twilio spells fields differently; `data` is an object or the text of one; `datacontenttype` is not
//! read, because Twilio's examples have a timestamp in it. A malformed event does not reject its batch.

use std::borrow::Cow;
use std::time::Duration;

use jiff::Timestamp;

use crate::domain::address::Address;
use crate::domain::matching::{Reason, earlier};
use crate::domain::route;
use crate::domain::sid::{AccountSid, kind};
use crate::domain::signal::{
    DedupId, Evidence, EvidenceTarget, Malformed, MessageUpdate, Signal, TimeSource,
};
use crate::twilio::call::{CallStage, called, timestamp};
use crate::twilio::callback::{
    EventMeta, ParseContext, When, message_sid, message_update, registered, replied,
};
use crate::twilio::click::clicked;
use crate::twilio::fields::{FieldSpelling, Fields, missing};
use crate::twilio::form;
use crate::twilio::json::{Json, Members, member};
use crate::twilio::timestamps;

/// The longest `id` for deduplication, in bytes. Twilio's have 34.
const MAX_ID: usize = 128;

/// The longest delay of a status whose time is used: Twilio retries for four hours ("Event delivery and
/// duplication").
const MAX_STATUS_DELAY: Duration = Duration::from_hours(24);

/// The kind of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventKind {
    /// `com.twilio.messaging.message.*`
    Message,
    /// `com.twilio.messaging.inbound-message.received`
    InboundMessage,
    /// `com.twilio.daptbt.link-shortening.link-clicked`
    LinkClicked,
    /// `com.twilio.voice.status-callback.call.*`
    Call,
    /// `com.twilio.eventstreams.test-event`, from the sink's `Test`.
    Test,
    /// Any other subscribed type.
    Unknown,
}

impl EventKind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Message => "message",
            Self::InboundMessage => "inbound_message",
            Self::LinkClicked => "link_clicked",
            Self::Call => "call",
            Self::Test => "test",
            Self::Unknown => "unknown",
        }
    }

    fn of(name: &str) -> Self {
        let is_of = |family: &str| {
            name.rsplit_once('.').is_some_and(|(known, last)| known == family && !last.is_empty())
        };
        match name {
            "com.twilio.messaging.inbound-message.received" => Self::InboundMessage,
            "com.twilio.daptbt.link-shortening.link-clicked" => Self::LinkClicked,
            "com.twilio.eventstreams.test-event" => Self::Test,
            _ if is_of("com.twilio.messaging.message") => Self::Message,
            // The second is the name until 2024, which may still be subscribed to.
            _ if is_of("com.twilio.voice.status-callback.call")
                || is_of("com.twilio.voice.webhook.status-callback.call") =>
            {
                Self::Call
            }
            _ => Self::Unknown,
        }
    }
}

/// The content of an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// Facts about a message.
    Status(Box<MessageUpdate>),
    /// Facts about a message without its reference, which the error is about. Without the facts, the message would not count
    /// as the newest to its recipient.
    WithoutReference(Box<MessageUpdate>, Malformed),
    /// An act of a recipient.
    Signal(Box<Signal>),
    /// A type that is not used.
    Ignored,
    OtherAccount,
    Malformed(Malformed),
}

/// One event of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub kind: EventKind,
    pub incoming: Incoming,
}

/// Parses a batch: an array of events, or one event.
///
/// # Errors
/// [`Malformed::Json`] if it is neither; [`Malformed::OtherAccount`] if all events belong to other accounts.
pub fn batch(body: &[u8], context: &ParseContext<'_>) -> Result<Vec<Event>, Malformed> {
    let elements = match Json::parse(body)? {
        Json::Array(elements) => elements,
        one @ Json::Object(_) => vec![one],
        Json::Null | Json::Scalar(_) => {
            return Err(Malformed::Json("expected an array of CloudEvents".to_owned()));
        }
    };
    let events: Vec<Event> = elements.iter().map(|element| event(element, context)).collect();
    let is_others = |event: &Event| event.incoming == Incoming::OtherAccount;
    if !events.is_empty() && events.iter().all(is_others) {
        return Err(Malformed::OtherAccount);
    }
    Ok(events)
}

fn event(element: &Json, context: &ParseContext<'_>) -> Event {
    let Some(members) = element.members() else {
        let expected = Malformed::Json("expected an object".to_owned());
        return Event { kind: EventKind::Unknown, incoming: Incoming::Malformed(expected) };
    };
    let envelope = Fields::from_members(members, FieldSpelling::Any);
    let kind = EventKind::of(envelope.get("Type").unwrap_or_default());
    let incoming =
        match ParsedEvent::new(members, &envelope, kind, context).and_then(|told| told.read()) {
            Ok(incoming) => incoming,
            Err(Malformed::OtherAccount) => Incoming::OtherAccount,
            Err(malformed) => Incoming::Malformed(malformed),
        };
    Event { kind, incoming }
}

/// The parts of an event.
struct ParsedEvent<'a> {
    kind: EventKind,
    /// The last word of its type: `delivered`, `completed`.
    last: &'a str,
    data: Fields,
    /// The parameters of a call's webhook, if the event contains them, otherwise the data.
    parameters: Fields,
    /// The tags that the app gave to its message.
    tags: Fields,
    account: AccountSid,
    meta: EventMeta,
    context: &'a ParseContext<'a>,
}

impl<'a> ParsedEvent<'a> {
    fn new(
        members: &[(String, Json)],
        envelope: &'a Fields,
        kind: EventKind,
        context: &'a ParseContext<'a>,
    ) -> Result<Self, Malformed> {
        let name = envelope.get("Type").ok_or_else(|| missing("type"))?;
        let members = data(members)?;
        let data = Fields::from_members(&members, FieldSpelling::Any);
        let parameters = match parameters(&members) {
            Some(parameters) => Fields::from_members(parameters, FieldSpelling::Any),
            None => data.clone(),
        };
        let tags = Fields::from_members(&tags(&members), FieldSpelling::Twilio);
        let account = account(&parameters, &data, envelope, context)?;
        let at = timestamp(&data)
            .or_else(|| timestamp(&parameters))
            .or_else(|| timestamps::parse(envelope.get("Time")?).ok());
        let id = envelope.get("Id").filter(|id| id.len() <= MAX_ID);
        let meta = EventMeta {
            when: at.map(|at| When { at: at.min(context.now), source: TimeSource::Exact }),
            event: id.map(|id| DedupId::Event(id.to_owned())),
        };
        let last = name.rsplit('.').next().unwrap_or_default();
        Ok(Self { kind, last, data, parameters, tags, account, meta, context })
    }

    fn read(&self) -> Result<Incoming, Malformed> {
        let (data, context, account, meta) = (&self.data, self.context, self.account, &self.meta);
        let signal = match self.kind {
            EventKind::Message => return self.status(),
            EventKind::InboundMessage => Some(self.reply()?),
            EventKind::LinkClicked => clicked(data, context, account, meta)?,
            EventKind::Call => Some(self.call()?),
            EventKind::Test | EventKind::Unknown => None,
        };
        Ok(signal.map_or(Incoming::Ignored, |signal| Incoming::Signal(Box::new(signal))))
    }

    /// On WhatsApp people quote the message that they answer, and only the webhook contains the quote. The newest message
    /// could be the wrong one, so a reply without a quote proves nothing here. It is not marked as counted, so that the
    /// webhook's still counts.
    fn reply(&self) -> Result<Signal, Malformed> {
        let mut signal = replied(&self.data, self.context, self.account, &self.meta)?;
        let from = self.data.get("From").and_then(|from| Address::parse(from).ok());
        let is_guess =
            matches!(&signal.evidence, Ok(Evidence { target: EvidenceTarget::Person { .. }, .. }));
        if is_guess && from.is_some_and(|from| from.is_whatsapp()) {
            signal.evidence = Err(Reason::QuoteUnknown);
            signal.dedup_ids.clear();
        }
        Ok(signal)
    }

    fn status(&self) -> Result<Incoming, Malformed> {
        let sid = message_sid(&self.data)?;
        let word = self.data.get("MessageStatus").unwrap_or(self.last);
        let update = message_update(&self.data, self.context, self.account, sid, word)?;
        // The message existed at the time of the status, even if the event arrives later.
        let late = earlier(self.context.now, MAX_STATUS_DELAY);
        let seen_at = self.meta.when.map(|when| when.at).filter(|at: &Timestamp| *at >= late);
        let update = MessageUpdate { seen_at: seen_at.unwrap_or(self.context.now), ..update };
        Ok(match self.registered(update.clone()) {
            Ok(update) => Incoming::Status(Box::new(update)),
            Err(malformed) => Incoming::WithoutReference(Box::new(update), malformed),
        })
    }

    /// Adds the facts of the status callback URL (schema 8), read as `/twilio/status` reads it, and of the tag. So a
    /// message is tracked without a request of the app.
    fn registered(&self, update: MessageUpdate) -> Result<MessageUpdate, Malformed> {
        let spellings = ["StatusCallBackUrl", "StatusCallbackUrl"];
        let url = spellings.into_iter().find_map(|name| self.data.get(name));
        let query = url.and_then(status_query).unwrap_or_default();
        let query = Fields::from_pairs(&form::pairs(query.as_bytes()), FieldSpelling::Twilio)?;
        let update = registered(update, &query)?;
        let tag = self.context.reference_tag.filter(|tag| self.tags.get(tag).is_some());
        let Some(tag) = tag else { return Ok(update) };
        let tagged = self.tags.reference_of(tag, "tags")?;
        Ok(MessageUpdate { tracked: true, reference: update.reference.or(tagged), ..update })
    }

    fn call(&self) -> Result<Signal, Malformed> {
        // The SID of the event's resource is the call's, too.
        let named = self.parameters.sid::<kind::CallKind>("CallSid", None)?;
        let about = || self.data.sid("CallSid", Some("sid"));
        let sid = named.map_or_else(about, |sid| Ok(Some(sid)))?;
        let sid = sid.ok_or_else(|| missing("CallSid"))?;
        // The event's type is the stage of the call; only the webhook distinguishes the ends.
        let stage = match (self.last, self.parameters.get("CallStatus")) {
            ("completed", Some(status)) => CallStage::of(status),
            ("completed" | "initiated" | "ringing", _) => CallStage::of(self.last),
            _ => CallStage::Underway,
        };
        Ok(called(&self.parameters, self.context, (self.account, sid), stage, &self.meta))
    }
}

/// The query of a status callback URL that leads to our route. In the URL of another service, `feedback` has another
/// meaning.
fn status_query(url: &str) -> Option<&str> {
    let url = url.split('#').next().unwrap_or_default();
    let (path, query) = url.split_once('?')?;
    path.trim_end_matches('/').ends_with(route::STATUS).then_some(query)
}

/// The message's tags: an object, or the text of one.
fn tags(data: &[(String, Json)]) -> Members {
    match member(data, "tags") {
        Some(Json::Object(tags)) => tags.clone(),
        Some(Json::Scalar(text)) => match Json::parse(text.as_bytes()) {
            Ok(Json::Object(tags)) => tags,
            Ok(Json::Null | Json::Scalar(_) | Json::Array(_)) | Err(_) => Members::new(),
        },
        Some(Json::Null | Json::Array(_)) | None => Members::new(),
    }
}

/// The event's data: an object, or the text of one.
fn data(members: &[(String, Json)]) -> Result<Cow<'_, [(String, Json)]>, Malformed> {
    let expected = || Malformed::Field {
        field: "data",
        expected: "expected an object, or the text of one".to_owned(),
    };
    match member(members, "data") {
        None => Ok(Cow::Owned(Members::new())),
        Some(Json::Object(data)) => Ok(Cow::Borrowed(data)),
        Some(Json::Scalar(text)) => match Json::parse(text.as_bytes()) {
            Ok(Json::Object(data)) => Ok(Cow::Owned(data)),
            Ok(Json::Null | Json::Scalar(_) | Json::Array(_)) | Err(_) => Err(expected()),
        },
        Some(Json::Null | Json::Array(_)) => Err(expected()),
    }
}

/// The parameters of a webhook: `request.parameters` (`Voice.WebhookEvent`).
fn parameters(data: &[(String, Json)]) -> Option<&[(String, Json)]> {
    let request = member(data, "request").and_then(Json::members).unwrap_or(data);
    member(request, "parameters")?.members().filter(|parameters| !parameters.is_empty())
}

/// The account of an event: from its data, otherwise from the `source`, which is the path of a resource
/// (`/2010-04-01/Accounts/AC…/Messages/SM….json`), otherwise the account of the key.
fn account(
    parameters: &Fields,
    data: &Fields,
    envelope: &Fields,
    context: &ParseContext<'_>,
) -> Result<AccountSid, Malformed> {
    let source = envelope.get("Source").unwrap_or_default().split('/');
    let named: Vec<(String, Json)> = source
        .filter(|part| AccountSid::parse(part).is_ok())
        .map(|part| ("AccountSid".to_owned(), Json::Scalar(part.to_owned())))
        .collect();
    let source = Fields::from_members(&named, FieldSpelling::Twilio);
    for fields in [parameters, data, &source] {
        if let Some(account) = context.account(fields)? {
            return Ok(account);
        }
    }
    Ok(context.account)
}

#[cfg(test)]
#[path = "event_streams_tests.rs"]
mod tests;
