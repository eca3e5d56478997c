//! Requests as Twilio and the apps send them.

use std::fmt::Write as _;

use heardback::domain::code::CodeKey;
use heardback::domain::sid::MessageSid;
use jiff::Timestamp;

use crate::brands::{ACCOUNTS, BRANDS, Registration};
use crate::carriers::CARRIERS;
use crate::support::random::hash;
use crate::world::{Act, Cause, EPOCH_MS, EvidenceKind, Message, SECOND, World};

/// A browser on a phone.
const BROWSER: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";
/// Crawlers that name themselves.
const CRAWLERS: [&str; 3] = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0 A",
    "Mozilla/5.0 (compatible; Google-PageRenderer; +https://developers.google.com/+/web/snippet/)",
];

/// The wall-clock time of an event.
pub(crate) fn timestamp(at: i64) -> Timestamp {
    Timestamp::from_millisecond(EPOCH_MS + at).unwrap_or(Timestamp::MAX)
}

/// In RFC 2822 format, cut to the second.
fn date(at: i64) -> String {
    let zoned = timestamp(at).to_zoned(jiff::tz::TimeZone::UTC);
    zoned.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

fn escaped(text: &str) -> String {
    text.replace('+', "%2B").replace(':', "%3A").replace(' ', "+")
}

/// The account of a message.
pub(crate) fn owner(message: &Message) -> &'static str {
    ACCOUNTS.get(message.brand().account).copied().unwrap_or_default()
}

impl Act {
    fn own(&self) -> usize {
        BRANDS.get(self.brand).map_or(0, |brand| brand.account)
    }

    /// The account in the request.
    fn account(&self) -> &'static str {
        let account = match self.cause {
            Cause::UnknownAccount => 2,
            Cause::OtherAccount => 1 - self.own(),
            Cause::Message(_)
            | Cause::Unrelated
            | Cause::Carrier(_)
            | Cause::OptOut
            | Cause::Scanner
            | Cause::Replay => self.own(),
        };
        ACCOUNTS.get(account).copied().unwrap_or_default()
    }

    /// The account whose key signed the request. Requests of an unknown account are parsed as if ours had signed: only
    /// the account in the fields gives them away.
    pub(crate) fn signed_by(&self) -> &'static str {
        if self.cause == Cause::UnknownAccount {
            return ACCOUNTS.get(self.own()).copied().unwrap_or_default();
        }
        self.account()
    }

    fn sender(&self) -> &'static str {
        let Some(brand) = BRANDS.get(self.brand) else { return "" };
        let sender = brand.senders.get(self.sender).copied().unwrap_or_default();
        if self.whatsapp { brand.whatsapp.unwrap_or(sender) } else { sender }
    }

    /// The event type of a click callback.
    fn event_type(&self) -> &'static str {
        if self.cause == Cause::Scanner && self.dedup_number.is_multiple_of(2) {
            "preview"
        } else {
            "click"
        }
    }

    /// The user agent that opened the link. Twilio reports some previews, which may come from a browser. Without
    /// that report, only the user agent identifies a crawler.
    fn user_agent(&self, reports_previews: bool) -> &'static str {
        if self.cause != Cause::Scanner || (reports_previews && self.event_type() == "preview") {
            return BROWSER;
        }
        let at = usize::try_from(self.dedup_number % CRAWLERS.len() as u64).unwrap_or_default();
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

    /// The registration of a message: Twilio's response to its creation.
    pub(crate) fn registration(&self, number: usize, message: &Message, key: &CodeKey) -> String {
        let brand = message.brand();
        let sid = self.sid(number);
        let mut json = format!(
            r#"{{"sid":"{sid}","account_sid":"{}","to":"{}","body":"…","status":"queued""#,
            owner(message),
            self.address(message.line, message.whatsapp),
        );
        // The response to a message of a Messaging Service does not have its sender yet.
        let _ = match brand.service {
            Some(service) => write!(json, r#","messaging_service_sid":"{service}","from":null"#),
            None => write!(json, r#","from":"{}""#, message.from()),
        };
        if brand.registers == Registration::Answer {
            let _ = write!(json, r#","date_created":"{}""#, date(message.created));
        } else if message.login.is_multiple_of(2) {
            let _ = write!(
                json,
                r#","CreatedAt":"{}""#,
                timestamp(message.created + brand.clock_ahead)
            );
        }
        if let Some(reference) = Self::reference(number, message) {
            let _ = write!(json, r#","Reference":"{reference}""#);
        }
        if message.code > 0
            && brand.sends_code_hmac()
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
        let by_callback = brand.registers == Registration::ByCallback && message.is_tracked();
        let reference = Self::reference(number, message);
        let reference = reference.map(|name| format!("&reference={name}")).unwrap_or_default();
        let query = if by_callback { format!("feedback=1{reference}") } else { String::new() };

        (form, query)
    }

    /// The app's event that a code was entered.
    pub(crate) fn event(&self, act: &Act) -> String {
        let message = act.names.and_then(|number| self.messages.get(number));
        let code = message.map_or(0, |message| message.code);
        let login = message.zip(act.names).and_then(|(of, number)| Self::reference(number, of));
        let login = login.unwrap_or_default();
        let mut json = format!(r#"{{"AccountSid":"{}","Type":"code_entered""#, act.account());
        let _ = match (act.evidence, act.names) {
            (EvidenceKind::CodeBySid, Some(number)) => {
                write!(json, r#","MessageSid":"{}""#, self.sid(number))
            }
            (EvidenceKind::CodeByReference, _) => write!(json, r#","Reference":"{login}""#),
            (EvidenceKind::CodeWithCode, _) => {
                write!(json, r#","Reference":"{login}","Code":"{code}""#)
            }
            _ => {
                let to = self.address(act.line, act.whatsapp);
                write!(json, r#","To":"{to}","From":"{}""#, act.sender())
            }
        };
        if act.evidence == EvidenceKind::CodeWithCodeByTo {
            let _ = write!(json, r#","Code":"{code}""#);
        }
        if let Some(stated_at) = act.stated_at {
            let _ = write!(json, r#","OccurredAt":"{}""#, timestamp(stated_at));
        }
        if let Some(sent) = act.sent {
            let _ = write!(json, r#","SentAt":"{}""#, timestamp(sent));
        }
        json.push('}');
        json
    }

    fn text(&self, act: &Act) -> String {
        let message = act.names.and_then(|number| self.messages.get(number));
        match (act.cause, act.evidence) {
            (Cause::OptOut, _) => "Stop.".to_owned(),
            (Cause::Carrier(_), _) => "This number does not accept messages".to_owned(),
            (_, EvidenceKind::ReplyByHandset) => "I am driving and will call you back".to_owned(),
            (_, EvidenceKind::ReplyWithCode) => {
                let code = message.map_or(0, |message| message.code).to_string();
                let (left, right) = code.split_at(code.len() / 2);
                match act.dedup_number % 5 {
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
        format!("MM{:032x}", u128::from(act.dedup_number) | (0xee << 120))
    }

    /// The webhook of an inbound message.
    pub(crate) fn reply(&self, act: &Act) -> String {
        let mut form = format!(
            "MessageSid={}&AccountSid={}&From={}&To={}&Body={}&NumMedia=0&ApiVersion=2010-04-01",
            Self::inbound_sid(act),
            act.account(),
            escaped(&self.address(act.line, act.whatsapp)),
            escaped(act.sender()),
            escaped(&self.text(act)),
        );
        // Most inbound messages to a Messaging Service name it.
        if let Some(service) = BRANDS.get(act.brand).and_then(|brand| brand.service)
            && !act.dedup_number.is_multiple_of(4)
        {
            let _ = write!(form, "&MessagingServiceSid={service}");
        }
        if BRANDS.get(act.brand).is_some_and(|brand| brand.passes_on) {
            for (field, at) in [("OccurredAt", act.stated_at), ("SentAt", act.sent)] {
                if let (Some(at), true) = (at, act.stated_at.is_some()) {
                    let _ = write!(form, "&{field}={}", escaped(&timestamp(at).to_string()));
                }
            }
        }
        if let (EvidenceKind::ReplyQuoted, Some(number)) = (act.evidence, act.names) {
            let _ = write!(form, "&OriginalRepliedMessageSid={}", self.sid(number));
        }
        form
    }

    /// The webhook of a ringing call, or its status callback, depending on the delay.
    pub(crate) fn call(&self, act: &Act) -> String {
        let mut form = format!(
            "CallSid=CA{:032x}&AccountSid={}&From={}&To={}&Direction=inbound&ApiVersion=2010-04-01",
            act.dedup_number,
            act.account(),
            escaped(&self.number_of(act.line)),
            escaped(act.sender()),
        );
        if act.received - act.acted_at < 2 * SECOND {
            form += "&CallStatus=ringing";
            return form;
        }
        // Twilio counts from the answer.
        let rang = i64::try_from(2 + act.dedup_number % 15).unwrap_or_default() * SECOND;
        let ended = act.received - SECOND / 5;
        let seconds = ((ended - act.acted_at - rang) / SECOND).max(1);
        let _ = write!(
            form,
            "&CallStatus=completed&CallDuration={seconds}&Timestamp={}",
            escaped(&date(ended))
        );
        form
    }

    /// The callback of Link Shortening.
    pub(crate) fn click(&self, act: &Act) -> String {
        let sid = self.sid(act.names.unwrap_or_default());
        format!(
            r#"{{"event_type":"{}","sms_sid":"{sid}","account_sid":"{}","to":"{}","from":"{}","link":"https://example.com/x","click_time":"{}","user_agent":"{}"}}"#,
            act.event_type(),
            act.account(),
            self.number_of(act.line),
            act.sender(),
            timestamp(act.acted_at),
            act.user_agent(true),
        )
    }

    /// The event in Event Streams. `None`: this kind has no event.
    pub(crate) fn cloud_event(&self, act: &Act) -> Option<String> {
        let (number, sender, account) = (self.number_of(act.line), act.sender(), act.account());
        let (kind, data) = match act.evidence {
            EvidenceKind::Reply | EvidenceKind::ReplyByHandset | EvidenceKind::ReplyWithCode => (
                "com.twilio.messaging.inbound-message.received",
                format!(
                    r#"{{"messageSid":"{}","accountSid":"{account}","from":"{number}","to":"{sender}","body":"{}","numMedia":0}}"#,
                    Self::inbound_sid(act),
                    self.text(act),
                ),
            ),
            EvidenceKind::Click => (
                "com.twilio.daptbt.link-shortening.link-clicked",
                format!(
                    r#"{{"message_sid":"{}","account_sid":"{account}","to":"{number}","from":"{sender}","click_time":"{}","user_agent":"{}"}}"#,
                    self.sid(act.names.unwrap_or_default()),
                    timestamp(act.acted_at),
                    act.user_agent(false),
                ),
            ),
            EvidenceKind::CodeBySid
            | EvidenceKind::CodeByReference
            | EvidenceKind::CodeWithCode
            | EvidenceKind::CodeByTo
            | EvidenceKind::CodeWithCodeByTo
            | EvidenceKind::ReplyQuoted
            | EvidenceKind::Call
            | EvidenceKind::Link => return None,
        };
        Some(format!(
            r#"[{{"specversion":"1.0","type":"{kind}","source":"/x","id":"EV{:032x}","time":"{}","data":{data}}}]"#,
            hash(act.dedup_number),
            timestamp(act.acted_at),
        ))
    }
}
