//! Roads: what Heardback is told. Each word becomes the request that would be sent, and is read by the
//! very functions that read requests in the service; past the signature, which the world's senders have.

use heardback::domain::address::PersonKey;
use heardback::domain::code::CodeKey;
use heardback::domain::form;
use heardback::domain::sid::{AccountSid, MessageSid};
use heardback::domain::signal::callback::Reading;
use heardback::domain::signal::fields::{Fields, Spelling};
use heardback::domain::signal::{Malformed, Sighting, Signal, app, callback};
use jiff::Timestamp;

use crate::carriers::CARRIERS;
use crate::world::{
    ACCOUNTS, Act, BEGINNING, BRANDS, Cause, Message, Registers, Road, Word, World,
};

/// What a request turned out to be.
pub enum Heard {
    /// A message was seen.
    Sighting(Sighting),
    /// Somebody did something.
    Signal(Signal),
    /// It concerns nobody.
    Nothing,
}

/// Reads requests as the service does.
pub struct Roads<'a> {
    /// The world that they come from.
    pub world: &'a World,
    /// The store's.
    pub person_key: &'a PersonKey,
    /// The apps'.
    pub code_keys: &'a [CodeKey],
    /// Whether known crawlers' clicks are no evidence.
    pub ignores_crawlers: bool,
}

/// A moment of the world, as the service knows it.
pub fn moment(at: i64) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING + at).unwrap_or(Timestamp::MAX)
}

impl Roads<'_> {
    /// Reads what comes in at that moment.
    ///
    /// # Errors
    /// [`Malformed`], as the service would find it.
    pub fn read(&self, word: Word, at: i64) -> Result<Heard, Malformed> {
        match word {
            Word::Register(number) => self.register(number, at),
            Word::Status(number, status) => self.status(number, status, at),
            Word::Act(number) => match self.world.acts.get(number) {
                Some(act) => self.act(act, at),
                None => Ok(Heard::Nothing),
            },
            Word::Restart | Word::Sweep => Ok(Heard::Nothing),
        }
    }

    fn register(&self, number: usize, at: i64) -> Result<Heard, Malformed> {
        let Some(message) = self.world.messages.get(number) else { return Ok(Heard::Nothing) };
        let (brand, account) = (message.brand(), account(message));
        let mut json = format!(
            r#"{{"sid":"{}","account_sid":"{account}","to":"{}","body":"…","status":"queued""#,
            self.world.sid(number),
            self.address(message.line, message.whatsapp),
        );
        match brand.service {
            // With a service, the answer does not say yet which sender it will be.
            Some(service) => {
                json += &format!(r#","messaging_service_sid":"{service}","from":null"#)
            }
            None => json += &format!(r#","from":"{}""#, message.from()),
        }
        if brand.registers == Registers::Answer {
            let created = moment(message.created).to_zoned(jiff::tz::TimeZone::UTC);
            let date = created.strftime("%a, %d %b %Y %H:%M:%S +0000");
            json += &format!(r#","date_created":"{date}""#);
        } else if message.login % 2 == 0 {
            json += &format!(r#","CreatedAt":"{}""#, moment(message.created + brand.clock_ahead));
        }
        if message.login > 0 {
            json += &format!(r#","Reference":"login-{}""#, message.login);
        }
        if message.code > 0 && brand.hmacs() {
            json += &self.code_hmac(number, message.code);
        }
        json.push('}');
        let fields = Fields::from_json(json.as_bytes(), Spelling::Any)?;
        let registration = app::message(&fields, &self.reading(account, at))?;
        Ok(registration.message.map_or(Heard::Nothing, Heard::Sighting))
    }

    fn code_hmac(&self, number: usize, code: u32) -> String {
        let sid = MessageSid::parse(&self.world.sid(number)).ok();
        let hmac = self.code_keys.first().zip(sid);
        let hmac = hmac.map(|(key, sid)| key.hmac(sid, &code.to_string()).to_base64());
        format!(r#","CodeHmac":"{}""#, hmac.unwrap_or_default())
    }

    fn status(&self, number: usize, status: &str, at: i64) -> Result<Heard, Malformed> {
        let Some(message) = self.world.messages.get(number) else { return Ok(Heard::Nothing) };
        let (brand, account) = (message.brand(), account(message));
        let mut body = format!(
            "SmsStatus={status}&MessageStatus={status}&MessageSid={}&AccountSid={account}&To={}&From={}&ApiVersion=2010-04-01",
            self.world.sid(number),
            escaped(&self.address(message.line, message.whatsapp)),
            escaped(message.from()),
        );
        if let Some(service) = brand.service {
            body += &format!("&MessagingServiceSid={service}");
        }
        let mut query = String::new();
        if brand.registers == Registers::ByCallback && message.is_tracked() {
            query = format!("feedback=1&reference=login-{}", message.login);
        }
        let query = form_fields(&query)?;
        let sighting = callback::status(&form_fields(&body)?, &query, &self.reading(account, at))?;
        Ok(Heard::Sighting(sighting))
    }

    fn act(&self, act: &Act, at: i64) -> Result<Heard, Malformed> {
        match act.road {
            Road::CodeBySid | Road::CodeByReference | Road::CodeWithCode | Road::CodeByTo => {
                self.event(act, at).map(Heard::Signal)
            }
            Road::Reply | Road::ReplyQuoted | Road::ReplyWithCode | Road::ReplyByHandset => {
                self.reply(act, at).map(Heard::Signal)
            }
            Road::Call | Road::Click | Road::Link => Ok(Heard::Nothing),
        }
    }

    fn event(&self, act: &Act, at: i64) -> Result<Signal, Malformed> {
        let account = signed_by(act);
        let message = act.names.and_then(|number| self.world.messages.get(number));
        let login = message.map_or(0, |message| message.login);
        let mut json = format!(r#"{{"AccountSid":"{}","Type":"code_entered""#, named(act));
        json += &match act.road {
            Road::CodeBySid => {
                format!(r#","MessageSid":"{}""#, self.world.sid(act.names.unwrap_or_default()))
            }
            Road::CodeByReference => format!(r#","Reference":"login-{login}""#),
            Road::CodeWithCode => {
                let code = message.map_or(0, |message| message.code);
                format!(r#","Reference":"login-{login}","Code":"{code}""#)
            }
            _ => format!(
                r#","To":"{}","From":"{}""#,
                self.address(act.line, act.whatsapp),
                self.sender(act)
            ),
        };
        if let Some(stated) = act.stated {
            json += &format!(r#","OccurredAt":"{}""#, moment(stated));
        }
        json.push('}');
        let fields = Fields::from_json(json.as_bytes(), Spelling::Any)?;
        app::event(&fields, &self.reading(account, at))
    }

    fn reply(&self, act: &Act, at: i64) -> Result<Signal, Malformed> {
        let message = act.names.and_then(|number| self.world.messages.get(number));
        let text = match (act.cause, act.road) {
            (Cause::OptOut, _) => "Stop.".to_owned(),
            (Cause::Carrier(_), _) => "This number does not accept messages".to_owned(),
            (_, Road::ReplyByHandset) => "I am driving and will call you back".to_owned(),
            (_, Road::ReplyWithCode) => {
                format!("it is {}", message.map_or(0, |message| message.code))
            }
            _ => "Thanks a lot".to_owned(),
        };
        let mut body = format!(
            "MessageSid=MM{:032x}&AccountSid={}&From={}&To={}&Body={}&NumMedia=0&ApiVersion=2010-04-01",
            u128::from(act.once) | (0xee << 120),
            named(act),
            escaped(&self.address(act.line, act.whatsapp)),
            escaped(self.sender(act)),
            escaped(&text),
        );
        // Most inbound messages of a service's number name the service.
        if let Some(service) = BRANDS.get(act.brand).and_then(|brand| brand.service)
            && act.once % 4 > 0
        {
            body += &format!("&MessagingServiceSid={service}");
        }
        if let (Road::ReplyQuoted, Some(number)) = (act.road, act.names) {
            body += &format!("&OriginalRepliedMessageSid={}", self.world.sid(number));
        }
        callback::reply(&form_fields(&body)?, &self.reading(signed_by(act), at))
    }

    fn reading(&self, account: &str, at: i64) -> Reading<'_> {
        // The constants are accounts' SIDs; `truth` does not start with others.
        let account = AccountSid::parse(account).expect("an account's SID");
        Reading {
            account,
            person_key: self.person_key,
            code_keys: self.code_keys,
            ignores_crawlers: self.ignores_crawlers,
            now: moment(at),
        }
    }

    fn address(&self, line: usize, whatsapp: bool) -> String {
        let carrier = self.world.lines.get(line).map_or(0, |line| line.carrier);
        let code = CARRIERS.get(carrier).map_or("1", |carrier| carrier.code);
        let channel = if whatsapp { "whatsapp:" } else { "" };
        format!("{channel}+{code}55{line:08}")
    }

    fn sender(&self, act: &Act) -> &'static str {
        let Some(brand) = BRANDS.get(act.brand) else { return "" };
        let sender = brand.senders.get(act.sender).copied().unwrap_or_default();
        if act.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }
}

fn account(message: &Message) -> &'static str {
    ACCOUNTS.get(message.brand().account).copied().unwrap_or_default()
}

/// The account that a request names.
fn named(act: &Act) -> &'static str {
    let own = BRANDS.get(act.brand).map_or(0, |brand| brand.account);
    let account = match act.cause {
        Cause::Stranger => 2,
        Cause::Sibling => 1 - own,
        _ => own,
    };
    ACCOUNTS.get(account).copied().unwrap_or_default()
}

/// The account by whose key a request was found to be signed. A stranger's was captured on its way to
/// somebody else who has the same key, or the check would not have let it in so far.
fn signed_by(act: &Act) -> &'static str {
    let own = BRANDS.get(act.brand).map_or(0, |brand| brand.account);
    match act.cause {
        Cause::Stranger => ACCOUNTS.get(own).copied().unwrap_or_default(),
        _ => named(act),
    }
}

fn form_fields(text: &str) -> Result<Fields, Malformed> {
    Fields::from_pairs(&form::pairs(text.as_bytes()), Spelling::Twilio)
}

fn escaped(text: &str) -> String {
    text.replace('+', "%2B").replace(':', "%3A").replace(' ', "+")
}
