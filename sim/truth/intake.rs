//! Roads: how word comes to Heardback. Each request is read by the very functions that read it in the
//! service; past the signature, which the world's senders have.
//!
//! Two things are done here in the service's stead, for they are no readers: a click link's page (a GET
//! proves nothing, a POST does: `inbound`), and the making of a link.

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
use crate::requests::{moment, owner};
use crate::support::random::hash;
use crate::world::{Act, Cause, Message, Road, Word, World};

/// What a request turned out to be.
pub(crate) enum Heard {
    /// A message was seen.
    Sighting(Box<MessageUpdate>),
    /// Somebody did something.
    Signal(Box<Signal>),
    /// A click link is to be kept.
    Link(LinkId, Link),
    /// It concerns nobody.
    Nothing,
}

impl From<MessageUpdate> for Heard {
    fn from(sighting: MessageUpdate) -> Self {
        Self::Sighting(Box::new(sighting))
    }
}

impl From<Signal> for Heard {
    fn from(signal: Signal) -> Self {
        Self::Signal(Box::new(signal))
    }
}

/// Reads requests as the service does.
pub(crate) struct Roads<'a> {
    /// The world that they come from.
    pub(crate) world: &'a World,
    /// The store's.
    pub(crate) person_key: &'a RecipientHashKey,
    /// The apps'.
    pub(crate) code_keys: &'a [CodeKey; 1],
    /// Whether known crawlers' clicks are no evidence.
    pub(crate) ignores_crawlers: bool,
    /// Whether a mere GET of a click link is evidence.
    pub(crate) confirms_on_get: bool,
}

impl Roads<'_> {
    /// Reads what comes in at that moment.
    ///
    /// # Errors
    /// [`Malformed`], as the service would find it.
    pub(crate) fn read(&self, word: Word, at: i64) -> Result<Heard, Malformed> {
        let World { messages, acts, .. } = self.world;
        let heard = match word {
            Word::Register(number) => messages.get(number).map(|it| self.register(number, it, at)),
            Word::Status(number, status) => {
                messages.get(number).map(|it| self.status(number, it, status, at))
            }
            Word::Act(number) => acts.get(number).map(|act| self.act(act, at)),
            Word::Streamed(number) => acts.get(number).map(|act| self.streamed(act, at)),
            Word::Link(number) => messages.get(number).map(|it| self.made(number, it, at)),
            Word::Restart | Word::Sweep => None,
        };
        heard.unwrap_or(Ok(Heard::Nothing))
    }

    fn register(&self, number: usize, message: &Message, at: i64) -> Result<Heard, Malformed> {
        let [key] = self.code_keys;
        let json = self.world.registration(number, message, key);
        let fields = Fields::from_json(json.as_bytes(), FieldSpelling::Any)?;
        let registration = app::message(&fields, &self.by_app(owner(message), at))?;
        let Some(mut sighting) = registration.message else { return Ok(Heard::Nothing) };
        sighting.link = message.has_own_link().then(|| self.token(number).id());
        Ok(sighting.into())
    }

    fn status(&self, number: usize, of: &Message, word: &str, at: i64) -> Result<Heard, Malformed> {
        let (form, query) = self.world.status(number, of, word);
        let (fields, query) = (form_fields(&form)?, form_fields(&query)?);
        callback::status(&fields, &query, &self.reading(owner(of), at)).map(Heard::from)
    }

    fn act(&self, act: &Act, at: i64) -> Result<Heard, Malformed> {
        let (world, reading) = (self.world, self.reading(act.signed_by(), at));
        let json = |text: String| Fields::from_json(text.as_bytes(), FieldSpelling::Any);
        Ok(match act.road {
            Road::CodeBySid
            | Road::CodeByReference
            | Road::CodeWithCode
            | Road::CodeByTo
            | Road::CodeWithCodeByTo => {
                app::event(&json(world.event(act))?, &self.by_app(act.signed_by(), at))?.into()
            }
            Road::Reply | Road::ReplyQuoted | Road::ReplyWithCode | Road::ReplyByHandset => {
                let passes_on = BRANDS.get(act.brand).is_some_and(|brand| brand.passes_on);
                let road = if passes_on { callback::Relay::App } else { callback::Relay::Twilio };
                let reading = ParseContext { road, ..reading };
                callback::reply(&form_fields(&world.reply(act))?, &reading)?.into()
            }
            Road::Call => {
                let fields = form_fields(&world.call(act))?;
                call::call(&fields, &reading)?.signal.into()
            }
            Road::Click => {
                let signal = click::click(&json(world.click(act))?, &reading)?;
                signal.map_or(Heard::Nothing, Heard::from)
            }
            Road::Link => self.visit(act, at),
        })
    }

    /// A batch of Event Streams; the world's have one event each.
    fn streamed(&self, act: &Act, at: i64) -> Result<Heard, Malformed> {
        let Some(batch) = self.world.cloud_event(act) else { return Ok(Heard::Nothing) };
        let batch = event_streams::batch(batch.as_bytes(), &self.reading(act.signed_by(), at))?;
        let first = batch.into_iter().next().map(|event| event.incoming);
        match first {
            Some(Incoming::Signal(signal)) => Ok(Heard::Signal(signal)),
            Some(Incoming::Status(sighting)) => Ok(Heard::Sighting(sighting)),
            Some(Incoming::Malformed(malformed)) => Err(malformed),
            Some(Incoming::OtherAccount) => Err(Malformed::OtherAccount),
            Some(Incoming::Ignored) | None => Ok(Heard::Nothing),
        }
    }

    /// Somebody opens a click link: a scanner fetches the page, a person goes on from there.
    fn visit(&self, act: &Act, at: i64) -> Heard {
        let Some(number) = act.names else { return Heard::Nothing };
        if act.cause == Cause::Scanner && !self.confirms_on_get {
            return Heard::Nothing;
        }
        let reading = self.reading(act.signed_by(), at);
        let evidence = Evidence {
            account: reading.account,
            named: EvidenceTarget::Link(self.token(number).id()),
            label: "link_opened".to_owned(),
            occurred_at: reading.now,
            time_source: TimeSource::Exact,
            source: SignalSource::Link,
        };
        Heard::from(Signal {
            source: SignalSource::Link,
            dedup_ids: Vec::new(),
            code: None,
            evidence: Ok(evidence),
            names: None,
            message_update: None,
            seen_at: reading.now,
            trace: None,
        })
    }

    fn made(&self, number: usize, message: &Message, at: i64) -> Result<Heard, Malformed> {
        let reading = self.reading(owner(message), at);
        let target = LinkTarget::parse("https://example.com/").ok_or(Malformed::Encoding)?;
        let account = reading.account;
        let reference = World::reference(number, message);
        let reference = reference.as_deref().and_then(Reference::parse);
        let link = Link { account, target, message: None, reference, created_at: reading.now };
        Ok(Heard::Link(self.token(number).id(), link))
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
        ParseContext { road: callback::Relay::App, ..self.reading(account, at) }
    }

    fn reading(&self, account: &str, at: i64) -> ParseContext<'_> {
        ParseContext {
            account: AccountSid::parse(account).expect("the world's accounts are accounts' SIDs"),
            others: &[],
            person_key: self.person_key,
            code_keys: self.code_keys,
            ignores_crawlers: self.ignores_crawlers,
            reference_tag: None,
            road: callback::Relay::Twilio,
            now: moment(at),
            trace: None,
        }
    }
}

fn form_fields(text: &str) -> Result<Fields, Malformed> {
    Fields::from_pairs(&form::pairs(text.as_bytes()), FieldSpelling::Twilio)
}
