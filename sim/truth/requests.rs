//! Requests: what Twilio and the apps would send, as they would send it.

use std::fmt::Write as _;

use heardback::domain::code::CodeKey;
use heardback::domain::sid::MessageSid;
use jiff::Timestamp;

use crate::brands::{ACCOUNTS, BRANDS, Registers};
use crate::carriers::CARRIERS;
use crate::support::random::hash;
use crate::world::{Act, BEGINNING, Cause, Message, Road, SECOND, World};

/// A browser on a telephone.
const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
/// Machines that say so.
const CRAWLERS: [&str; 3] = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0 A",
    "Mozilla/5.0 (compatible; Google-PageRenderer; +https://developers.google.com/+/web/snippet/)",
];

/// A moment of the world, as the service knows it.
pub(crate) fn moment(at: i64) -> Timestamp {
    Timestamp::from_millisecond(BEGINNING + at).unwrap_or(Timestamp::MAX)
}

/// As RFC 2822 writes it, cut to the second.
fn date(at: i64) -> String {
    let zoned = moment(at).to_zoned(jiff::tz::TimeZone::UTC);
    zoned.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn escaped(text: &str) -> String {
    text.replace('+', "%2B").replace(':', "%3A").replace(' ', "+")
}

/// The account that a message is of.
pub(crate) fn owner(message: &Message) -> &'static str {
    ACCOUNTS.get(message.brand().account).copied().unwrap_or_default()
}

impl Act {
    fn own(&self) -> usize {
        BRANDS.get(self.brand).map_or(0, |brand| brand.account)
    }

    /// The account that the request names.
    fn account(&self) -> &'static str {
        let account = match self.cause {
            Cause::Stranger => 2,
            Cause::Sibling => 1 - self.own(),
            Cause::Message(_)
            | Cause::Unrelated
            | Cause::Carrier(_)
            | Cause::OptOut
            | Cause::Scanner
            | Cause::Replay => self.own(),
        };
        ACCOUNTS.get(account).copied().unwrap_or_default()
    }

    /// The account whose key the signature was found to be good with. A stranger's never is; their
    /// requests are read as if it had been ours, so that it is the account in them that is held up.
    pub(crate) fn signed_by(&self) -> &'static str {
        if self.cause == Cause::Stranger {
            return ACCOUNTS.get(self.own()).copied().unwrap_or_default();
        }
        self.account()
    }

    fn sender(&self) -> &'static str {
        let Some(brand) = BRANDS.get(self.brand) else { return "" };
        let sender = brand.senders.get(self.sender).copied().unwrap_or_default();
        if self.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }

    /// Twilio's word on whether it was a preview, where it gives one.
    fn event_type(&self) -> &'static str {
        if self.cause == Cause::Scanner && self.once.is_multiple_of(2) {
            "preview"
        } else {
            "click"
        }
    }

    /// What opened the link. A preview that Twilio tells from a click may be made by a browser; where
    /// it does not tell, only the crawler's own word does.
    fn user_agent(&self, told: bool) -> &'static str {
        if self.cause != Cause::Scanner || (told && self.event_type() == "preview") {
            return BROWSER;
        }
        let at = usize::try_from(self.once % CRAWLERS.len() as u64).unwrap_or_default();
        CRAWLERS.get(at).copied().unwrap_or_default()
    }
}

impl World {
    fn number_of(&self, line: usize) -> String {
        let carrier = self.lines.get(line).map_or(0, |line| line.carrier);
        let code = CARRIERS.get(carrier).map_or("1", |carrier| carrier.code);
        format!("+{code}55{line:08}")
    }

    fn address(&self, line: usize, whatsapp: bool) -> String {
        let channel = if whatsapp { "whatsapp:" } else { "" };
        format!("{channel}{}", self.number_of(line))
    }

    /// The app registers a message: Twilio's answer to it, as it came.
    pub(crate) fn registration(&self, number: usize, message: &Message, key: &CodeKey) -> String {
        let brand = message.brand();
        let sid = self.sid(number);
        let mut json = format!(
            r#"{{"sid":"{sid}","account_sid":"{}","to":"{}","body":"…","status":"queued""#,
            owner(message),
            self.address(message.line, message.whatsapp),
        );
        // With a service, the answer does not say yet which sender it will be.
        let _ = match brand.service {
            Some(service) => write!(json, r#","messaging_service_sid":"{service}","from":null"#),
            None => write!(json, r#","from":"{}""#, message.from()),
        };
        if brand.registers == Registers::Answer {
            let _ = write!(json, r#","date_created":"{}""#, date(message.created));
        } else if message.login.is_multiple_of(2) {
            let _ =
                write!(json, r#","CreatedAt":"{}""#, moment(message.created + brand.clock_ahead));
        }
        if let Some(reference) = Self::reference(number, message) {
            let _ = write!(json, r#","Reference":"{reference}""#);
        }
        if message.code > 0
            && brand.hmacs()
            && let Ok(sid) = MessageSid::parse(&sid)
        {
            let hmac = key.hmac(sid, &message.code.to_string());
            let _ = write!(json, r#","CodeHmac":"{}""#, hmac.to_base64());
        }
        json.push('}');
        json
    }

    /// A status callback, and the query of its URL.
    pub(crate) fn status(
        &self,
        number: usize,
        message: &Message,
        status: &str,
    ) -> (String, String) {
        let brand = message.brand();
        let mut form = format!(
            "SmsStatus={status}&MessageStatus={status}&MessageSid={}&AccountSid={}&To={}&From={}&ApiVersion=2010-04-01",
            self.sid(number),
            owner(message),
            escaped(&self.address(message.line, message.whatsapp)),
            escaped(message.from()),
        );
        if let Some(service) = brand.service {
            let _ = write!(form, "&MessagingServiceSid={service}");
        }
        let by_callback = brand.registers == Registers::ByCallback && message.is_tracked();
        let reference = Self::reference(number, message);
        let reference = reference.map(|name| format!("&reference={name}")).unwrap_or_default();
        let query = if by_callback { format!("feedback=1{reference}") } else { String::new() };

        (form, query)
    }

    /// The app says that a code was entered.
    pub(crate) fn event(&self, act: &Act) -> String {
        let message = act.names.and_then(|number| self.messages.get(number));
        let code = message.map_or(0, |message| message.code);
        let login = message.zip(act.names).and_then(|(of, number)| Self::reference(number, of));
        let login = login.unwrap_or_default();
        let mut json = format!(r#"{{"AccountSid":"{}","Type":"code_entered""#, act.account());
        let _ = match (act.road, act.names) {
            (Road::CodeBySid, Some(number)) => {
                write!(json, r#","MessageSid":"{}""#, self.sid(number))
            }
            (Road::CodeByReference, _) => write!(json, r#","Reference":"{login}""#),
            (Road::CodeWithCode, _) => {
                write!(json, r#","Reference":"{login}","Code":"{code}""#)
            }
            _ => {
                let to = self.address(act.line, act.whatsapp);
                write!(json, r#","To":"{to}","From":"{}""#, act.sender())
            }
        };
        if act.road == Road::CodeWithCodeByTo {
            let _ = write!(json, r#","Code":"{code}""#);
        }
        if let Some(stated) = act.stated {
            let _ = write!(json, r#","OccurredAt":"{}""#, moment(stated));
        }
        if let Some(sent) = act.sent {
            let _ = write!(json, r#","SentAt":"{}""#, moment(sent));
        }
        json.push('}');
        json
    }

    fn text(&self, act: &Act) -> String {
        let message = act.names.and_then(|number| self.messages.get(number));
        match (act.cause, act.road) {
            (Cause::OptOut, _) => "Stop.".to_owned(),
            (Cause::Carrier(_), _) => "This number does not accept messages".to_owned(),
            (_, Road::ReplyByHandset) => "I am driving and will call you back".to_owned(),
            (_, Road::ReplyWithCode) => {
                let code = message.map_or(0, |message| message.code).to_string();
                let (left, right) = code.split_at(code.len() / 2);
                match act.once % 5 {
                    0 => format!("it is {code}"),
                    1 => format!("my code is {left} {right}"),
                    2 => format!("{left}-{right}, thanks"),
                    // In Persian digits, which begin at U+06F0.
                    3 => code
                        .chars()
                        .filter_map(|c| char::from_u32(0x6f0 + c.to_digit(10)?))
                        .collect(),
                    _ => format!(
                        "Liked “Here is the code that you asked for, please keep it to yourself: {code}”"
                    ),
                }
            }
            _ => "Thanks a lot".to_owned(),
        }
    }

    fn inbound_sid(act: &Act) -> String {
        format!("MM{:032x}", u128::from(act.once) | (0xee << 120))
    }

    /// An inbound message's webhook.
    pub(crate) fn reply(&self, act: &Act) -> String {
        let mut form = format!(
            "MessageSid={}&AccountSid={}&From={}&To={}&Body={}&NumMedia=0&ApiVersion=2010-04-01",
            Self::inbound_sid(act),
            act.account(),
            escaped(&self.address(act.line, act.whatsapp)),
            escaped(act.sender()),
            escaped(&self.text(act)),
        );
        // Most inbound messages of a service's number name the service.
        if let Some(service) = BRANDS.get(act.brand).and_then(|brand| brand.service)
            && !act.once.is_multiple_of(4)
        {
            let _ = write!(form, "&MessagingServiceSid={service}");
        }
        if BRANDS.get(act.brand).is_some_and(|brand| brand.passes_on) {
            for (field, at) in [("OccurredAt", act.stated), ("SentAt", act.sent)] {
                if let (Some(at), true) = (at, act.stated.is_some()) {
                    let _ = write!(form, "&{field}={}", escaped(&moment(at).to_string()));
                }
            }
        }
        if let (Road::ReplyQuoted, Some(number)) = (act.road, act.names) {
            let _ = write!(form, "&OriginalRepliedMessageSid={}", self.sid(number));
        }
        form
    }

    /// A call's webhook as it rings; if word of it comes later, the status callback at its end.
    pub(crate) fn call(&self, act: &Act) -> String {
        let mut form = format!(
            "CallSid=CA{:032x}&AccountSid={}&From={}&To={}&Direction=inbound&ApiVersion=2010-04-01",
            act.once,
            act.account(),
            escaped(&self.number_of(act.line)),
            escaped(act.sender()),
        );
        if act.heard - act.did < 2 * SECOND {
            form += "&CallStatus=ringing";
            return form;
        }
        // Twilio counts from the answer.
        let rang = i64::try_from(2 + act.once % 15).unwrap_or_default() * SECOND;
        let ended = act.heard - SECOND / 5;
        let seconds = ((ended - act.did - rang) / SECOND).max(1);
        let _ = write!(
            form,
            "&CallStatus=completed&CallDuration={seconds}&Timestamp={}",
            escaped(&date(ended))
        );
        form
    }

    /// Link Shortening's callback.
    pub(crate) fn click(&self, act: &Act) -> String {
        let sid = self.sid(act.names.unwrap_or_default());
        format!(
            r#"{{"event_type":"{}","sms_sid":"{sid}","account_sid":"{}","to":"{}","from":"{}","link":"https://example.com/x","click_time":"{}","user_agent":"{}"}}"#,
            act.event_type(),
            act.account(),
            self.number_of(act.line),
            act.sender(),
            moment(act.did),
            act.user_agent(true),
        )
    }

    /// The same by Event Streams. `None` where nobody subscribed to such.
    pub(crate) fn cloud_event(&self, act: &Act) -> Option<String> {
        let (number, sender, account) = (self.number_of(act.line), act.sender(), act.account());
        let (kind, data) = match act.road {
            Road::Reply | Road::ReplyByHandset | Road::ReplyWithCode => (
                "com.twilio.messaging.inbound-message.received",
                format!(
                    r#"{{"messageSid":"{}","accountSid":"{account}","from":"{number}","to":"{sender}","body":"{}","numMedia":0}}"#,
                    Self::inbound_sid(act),
                    self.text(act),
                ),
            ),
            Road::Click => (
                "com.twilio.daptbt.link-shortening.link-clicked",
                format!(
                    r#"{{"message_sid":"{}","account_sid":"{account}","to":"{number}","from":"{sender}","click_time":"{}","user_agent":"{}"}}"#,
                    self.sid(act.names.unwrap_or_default()),
                    moment(act.did),
                    act.user_agent(false),
                ),
            ),
            Road::CodeBySid
            | Road::CodeByReference
            | Road::CodeWithCode
            | Road::CodeByTo
            | Road::CodeWithCodeByTo
            | Road::ReplyQuoted
            | Road::Call
            | Road::Link => return None,
        };
        Some(format!(
            r#"[{{"specversion":"1.0","type":"{kind}","source":"/x","id":"EV{:032x}","time":"{}","data":{data}}}]"#,
            hash(act.once),
            moment(act.did),
        ))
    }
}
