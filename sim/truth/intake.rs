//! The intake: each request is parsed by the functions that parse it in the service. Signatures are left out.
//!
//! Two parts of `inbound` are imitated here: the page of a click link (only a POST is evidence), and the creation of a
//! link.

use heardback::domain::address::RecipientHashKey;
use heardback::domain::click_link::{Link, LinkId, LinkTarget, LinkToken, TOKEN_BYTES};
use heardback::domain::code::CodeKey;
use heardback::domain::message::Reference;
use heardback::domain::sid::AccountSid;
use heardback::domain::signal::{
    Evidence, EvidenceTarget, Malformed, MessageUpdate, Signal, SignalSource, TimeSource,
};
use heardback::twilio::callback;
use heardback::twilio::callback::ParseContext;
use heardback::twilio::event_streams::Incoming;
use heardback::twilio::fields::{FieldSpelling, Fields};
use heardback::twilio::form;
use heardback::twilio::{app, call, click, event_streams};

use crate::brands::BRANDS;
use crate::requests::{owner, timestamp};
use crate::support::random::hash;
use crate::world::{Act, Cause, Event, EvidenceKind, Message, World};

/// A parsed request.
pub(crate) enum ParsedRequest {
    /// An update of a message.
    Update(Box<MessageUpdate>),
    /// A signal of a recipient.
    Signal(Box<Signal>),
    /// A new click link.
    Link(LinkId, Link),
    /// A request without effect.
    Ignored,
}

impl From<MessageUpdate> for ParsedRequest {
    fn from(update: MessageUpdate) -> Self {
        Self::Update(Box::new(update))
    }
}

impl From<Signal> for ParsedRequest {
    fn from(signal: Signal) -> Self {
        Self::Signal(Box::new(signal))
    }
}

/// Reads requests as the service does.
pub(crate) struct RequestParser<'a> {
    /// The source of the requests.
    pub(crate) world: &'a World,
    /// The store's key.
    pub(crate) recipient_hash_key: &'a RecipientHashKey,
    /// The apps' key.
    pub(crate) code_keys: &'a [CodeKey; 1],
    /// Whether clicks of known crawlers are no evidence.
    pub(crate) ignores_crawlers: bool,
    /// Whether a GET of a click link is evidence.
    pub(crate) confirms_on_get: bool,
}

impl RequestParser<'_> {
    /// Parses the request of an event at this time.
    ///
    /// # Errors
    /// [`Malformed`], as in the service.
    pub(crate) fn read(&self, word: Event, at: i64) -> Result<ParsedRequest, Malformed> {
        let World { messages, acts, .. } = self.world;
        let parsed = match word {
            Event::Register(number) => messages.get(number).map(|it| self.register(number, it, at)),
            Event::Status(number, status) => {
                messages.get(number).map(|it| self.status(number, it, status, at))
            }
            Event::Act(number) => acts.get(number).map(|act| self.act(act, at)),
            Event::Streamed(number) => acts.get(number).map(|act| self.streamed(act, at)),
            Event::Link(number) => messages.get(number).map(|it| self.made(number, it, at)),
            Event::Restart | Event::Sweep => None,
        };
        parsed.unwrap_or(Ok(ParsedRequest::Ignored))
    }

    fn register(
        &self,
        number: usize,
        message: &Message,
        at: i64,
    ) -> Result<ParsedRequest, Malformed> {
        let [key] = self.code_keys;
        let json = self.world.registration(number, message, key);
        let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any)?;
        let registration = app::message(&fields, &self.by_app(owner(message), at))?;
        let Some(mut update) = registration.message else { return Ok(ParsedRequest::Ignored) };
        update.link = message.has_own_link().then(|| self.token(number).id());
        Ok(update.into())
    }

    fn status(
        &self,
        number: usize,
        of: &Message,
        word: &str,
        at: i64,
    ) -> Result<ParsedRequest, Malformed> {
        let (form, query) = self.world.status(number, of, word);
        let (fields, query) = (form_fields(&form)?, form_fields(&query)?);
        callback::status(&fields, &query, &self.context(owner(of), at)).map(ParsedRequest::from)
    }

    fn act(&self, act: &Act, at: i64) -> Result<ParsedRequest, Malformed> {
        let (world, context) = (self.world, self.context(act.signed_by(), at));
        let json = |text: String| Fields::from_json(text.as_bytes(), FieldSpelling::Any);
        Ok(match act.evidence {
            EvidenceKind::CodeBySid
            | EvidenceKind::CodeByReference
            | EvidenceKind::CodeWithCode
            | EvidenceKind::CodeByTo
            | EvidenceKind::CodeWithCodeByTo => {
                app::event(&json(world.event(act))?, &self.by_app(act.signed_by(), at))?.into()
            }
            EvidenceKind::Reply
            | EvidenceKind::ReplyQuoted
            | EvidenceKind::ReplyWithCode
            | EvidenceKind::ReplyByHandset => {
                let passes_on = BRANDS.get(act.brand).is_some_and(|brand| brand.passes_on);
                let relay =
                    if passes_on { callback::Relay::ViaApp } else { callback::Relay::Direct };
                let context = ParseContext { relay, ..context };
                callback::reply(&form_fields(&world.reply(act))?, &context)?.into()
            }
            EvidenceKind::Call => {
                let fields = form_fields(&world.call(act))?;
                call::call(&fields, &context)?.signal.into()
            }
            EvidenceKind::Click => {
                let signal = click::click(&json(world.click(act))?, &context)?;
                signal.map_or(ParsedRequest::Ignored, ParsedRequest::from)
            }
            EvidenceKind::Link => self.visit(act, at),
        })
    }

    /// A batch of Event Streams, which has one event here.
    fn streamed(&self, act: &Act, at: i64) -> Result<ParsedRequest, Malformed> {
        let Some(batch) = self.world.cloud_event(act) else { return Ok(ParsedRequest::Ignored) };
        let batch = event_streams::batch(batch.as_bytes(), &self.context(act.signed_by(), at))?;
        let first = batch.into_iter().next().map(|event| event.incoming);
        match first {
            Some(Incoming::Signal(signal)) => Ok(ParsedRequest::Signal(signal)),
            Some(Incoming::Status(update) | Incoming::WithoutReference(update, _)) => {
                Ok(ParsedRequest::Update(update))
            }
            Some(Incoming::Malformed(malformed)) => Err(malformed),
            Some(Incoming::OtherAccount) => Err(Malformed::OtherAccount),
            Some(Incoming::Ignored) | None => Ok(ParsedRequest::Ignored),
        }
    }

    /// A visit of a click link: a scanner fetches the page, a person presses its button.
    fn visit(&self, act: &Act, at: i64) -> ParsedRequest {
        let Some(number) = act.names else { return ParsedRequest::Ignored };
        if act.cause == Cause::Scanner && !self.confirms_on_get {
            return ParsedRequest::Ignored;
        }
        let context = self.context(act.signed_by(), at);
        let evidence = Evidence {
            account: context.account,
            target: EvidenceTarget::Link(self.token(number).id()),
            label: "link_opened".to_owned(),
            occurred_at: context.now,
            time_source: TimeSource::Exact,
            source: SignalSource::Link,
        };
        ParsedRequest::from(Signal {
            source: SignalSource::Link,
            dedup_ids: Vec::new(),
            code: None,
            evidence: Ok(evidence),
            names: None,
            message_update: None,
            seen_at: context.now,
            trace: None,
        })
    }

    fn made(&self, number: usize, message: &Message, at: i64) -> Result<ParsedRequest, Malformed> {
        let context = self.context(owner(message), at);
        let target = LinkTarget::parse("https://example.com/").ok_or(Malformed::Encoding)?;
        let account = context.account;
        let reference = World::reference(number, message);
        let reference = reference.as_deref().and_then(Reference::parse);
        let link = Link { account, target, message: None, reference, created_at: context.now };
        Ok(ParsedRequest::Link(self.token(number).id(), link))
    }

    fn token(&self, number: usize) -> LinkToken {
        let noise = hash(self.world.seed ^ hash(number as u64)).to_be_bytes();
        let mut bytes = [0; TOKEN_BYTES];
        for (to, from) in bytes.iter_mut().zip(noise.into_iter().chain(noise)) {
            *to = from;
        }
        LinkToken::from_random(bytes)
    }

    /// The parse context of a request that the app signs.
    fn by_app(&self, account: &str, at: i64) -> ParseContext<'_> {
        ParseContext { relay: callback::Relay::ViaApp, ..self.context(account, at) }
    }

    fn context(&self, account: &str, at: i64) -> ParseContext<'_> {
        ParseContext {
            account: AccountSid::parse(account).expect("the world's accounts are accounts' SIDs"),
            others: &[],
            recipient_hash_key: self.recipient_hash_key,
            code_keys: self.code_keys,
            ignores_crawlers: self.ignores_crawlers,
            reference_tag: None,
            relay: callback::Relay::Direct,
            now: timestamp(at),
            trace: None,
        }
    }
}

fn form_fields(text: &str) -> Result<Fields, Malformed> {
    Fields::from_pairs(&form::pairs(text.as_bytes()), FieldSpelling::Twilio)
}
