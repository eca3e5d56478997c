//! Generated requests: drawn from a seed, signed as Twilio would sign them, some with one fault.

use std::collections::BTreeSet;

use heardback::twilio::form;
use heardback::twilio::signature::{
    Algorithm, Content, KeyId, SigningKey, body_hash, sign, with_body_hash,
};
use serde_json::json;

use crate::official::drawn::{
    Dice, HOSTS, PATHS, PORTS, SCHEMES, TOKENS, VALUES, form_body, query,
};

/// The signed content besides the URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Form,
    Json,
    /// A GET.
    Nothing,
}

/// How Twilio wrote the signed URL, compared with the requested one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spelled {
    AsPresented,
    WithoutPort,
    WithDefaultPort,
    Apostrophe,
    GetEscapes,
    /// As a WHATWG URL parser writes it: no signer does that.
    Normalised,
}

/// The fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    Nothing,
    OtherToken,
    OtherPort,
    OtherPath,
    OtherQuery,
    OtherScheme,
    Dropped,
    Added,
    Changed,
    ChangedLetter,
    Bit,
    CutOff,
    UrlSafe,
    Unpadded,
    Spaced,
    Missing,
    NoHash,
    OtherHash,
    TwoHashes,
    UpperHash,
}

const BREAKS: [Broken; 19] = [
    Broken::OtherToken,
    Broken::OtherPort,
    Broken::OtherPath,
    Broken::OtherQuery,
    Broken::OtherScheme,
    Broken::Dropped,
    Broken::Added,
    Broken::Changed,
    Broken::ChangedLetter,
    Broken::Bit,
    Broken::CutOff,
    Broken::UrlSafe,
    Broken::Unpadded,
    Broken::Spaced,
    Broken::Missing,
    Broken::NoHash,
    Broken::OtherHash,
    Broken::TwoHashes,
    Broken::UpperHash,
];

/// Spellings of the header that both libraries interpret alike.
const SETTINGS: [&str; 6] = [
    "key=k1,algorithm=HMAC_SHA256",
    "key=k1,algorithm=hmac_sha256",
    " algorithm = Hmac_Sha256 , key = k1 ",
    "v2,key=k1,algorithm=HMAC_SHA256",
    "key=k1,algorithm=,algorithm=HMAC_SHA256",
    "key=k1,algorithm=HMAC_SHA256,algorithm=HMAC_SHA1",
];

const HASH_BREAKS: [Broken; 4] =
    [Broken::NoHash, Broken::OtherHash, Broken::TwoHashes, Broken::UpperHash];

/// A request as every validator gets it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) token: String,
    /// The header that marks the token as a `SharedKey` with HMAC-SHA256, if it is one.
    pub(super) settings: Option<&'static str>,
    pub(super) base: String,
    pub(super) target: String,
    pub(super) kind: Kind,
    pub(super) body: String,
    pub(super) signature: String,
    pub(super) spelled: Spelled,
    pub(super) broken: Broken,
    /// Whether the fault had an effect: a parameter that occurs twice may be dropped.
    pub(super) harmed: bool,
}

impl Request {
    pub(super) fn draw(dice: &mut Dice) -> Self {
        let kind = dice.one_of(&[Kind::Form, Kind::Form, Kind::Form, Kind::Json, Kind::Nothing]);
        let broken = match kind {
            _ if dice.once_in(2) => Broken::Nothing,
            Kind::Json if dice.once_in(2) => dice.one_of(&HASH_BREAKS),
            Kind::Form | Kind::Json | Kind::Nothing => dice.one_of(&BREAKS),
        };
        let (scheme, host) = (dice.one_of(&SCHEMES), dice.one_of(&HOSTS));
        let mut request = Self {
            token: dice.one_of(&TOKENS).to_owned(),
            settings: dice.once_in(8).then(|| dice.one_of(&SETTINGS)),
            base: format!("{scheme}://{host}{}", dice.one_of(&PORTS)),
            target: format!("{}{}", dice.one_of(&PATHS), query(dice)),
            kind,
            body: String::new(),
            signature: String::new(),
            spelled: Spelled::AsPresented,
            broken,
            harmed: false,
        };
        match kind {
            Kind::Form => request.body = form_body(dice),
            Kind::Json => {
                let text = serde_json::to_string(dice.one_of(&VALUES)).expect("JSON");
                request.body = dice.one_of(&["", "{}", "[]", text.as_str()]).to_owned();
            }
            Kind::Nothing => {}
        }
        request.hash();
        let signed = request.spell(dice);
        request.signature = request.signed_for(&signed);
        let whole = request.clone();
        request.break_it(dice);
        request.harmed = request.essence() != whole.essence();
        request
    }

    /// The signed URL and its form, except for the port, which may be present or not.
    fn essence(&self) -> impl PartialEq + use<> {
        let body = self.body.as_bytes();
        let said = match self.kind {
            Kind::Form => {
                // Signed text has no separators, so a pair with an empty name and value adds
                // nothing.
                let pairs = form::pairs(body).into_iter();
                let once: BTreeSet<_> =
                    pairs.map(|(name, value)| (name.decoded(), value.decoded())).collect();
                once.into_iter().flat_map(|(name, value)| [name, value].concat()).collect()
            }
            Kind::Json => body.to_vec(),
            Kind::Nothing => Vec::new(),
        };
        let origin = without_port(&self.base).unwrap_or(&self.base).to_owned();
        (self.token.clone(), origin, self.target.clone(), said, self.signature.clone())
    }

    pub(super) fn url(&self) -> String {
        format!("{}{}", self.base, self.target)
    }

    pub(super) fn key(&self) -> SigningKey {
        if self.settings.is_some() {
            let id = KeyId::parse("k1").expect("an id");
            SigningKey::shared(id, Algorithm::HmacSha256, self.token.as_bytes())
        } else {
            SigningKey::new(self.token.as_bytes())
        }
    }

    /// The line for a validator.
    pub(super) fn as_asked(&self) -> String {
        let kind = match self.kind {
            Kind::Form => "form",
            Kind::Json => "json",
            Kind::Nothing => "none",
        };
        json!({
            "token": self.token,
            "url": self.url(),
            "kind": kind,
            "body": self.body,
            "signature": self.signature,
            "settings": self.settings,
        })
        .to_string()
    }

    /// The hash of the body in the URL: always for JSON, unless that is the fault.
    fn hash(&mut self) {
        let of_body = format!("bodySHA256={}", body_hash(self.body.as_bytes()));
        let of_other = format!("bodySHA256={}", body_hash(b"another body"));
        let upper = format!("bodySHA256={}", body_hash(self.body.as_bytes()).to_uppercase());
        let mark = if self.target.contains('?') { '&' } else { '?' };
        let end = match (self.broken, self.kind) {
            (_, Kind::Nothing) | (Broken::NoHash, _) => return,
            (Broken::OtherHash, _) => of_other,
            (Broken::TwoHashes, _) => format!("{of_body}&{of_other}"),
            (Broken::UpperHash, _) => upper,
            (_, Kind::Json) => {
                self.target = with_body_hash(&self.target, self.body.as_bytes());
                return;
            }
            (_, Kind::Form) => return,
        };
        self.target.push(mark);
        self.target.push_str(&end);
    }

    /// The URL as Twilio signs it.
    fn spell(&mut self, dice: &mut Dice) -> String {
        let url = self.url();
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        let (path, query) = (path.to_owned(), query.to_owned());
        let bare = without_port(&self.base);
        let respelled = match dice.below(8) {
            0 | 1 => bare.map(|bare| (Spelled::WithoutPort, format!("{bare}{}", self.target))),
            2 if bare.is_none() => {
                let default = if self.base.starts_with("http:") { 80 } else { 443 };
                Some((Spelled::WithDefaultPort, format!("{}:{default}{}", self.base, self.target)))
            }
            3 if query.contains('\'') => {
                let query = query.replace('\'', "%27");
                Some((Spelled::Apostrophe, format!("{}{path}?{query}", self.base)))
            }
            3 if query.contains("%27") => {
                let query = query.replace("%27", "'");
                Some((Spelled::Apostrophe, format!("{}{path}?{query}", self.base)))
            }
            4 if self.kind == Kind::Nothing && query.contains(['@', ':']) => {
                let query = query.replace("%40", "@").replace("%3A", ":");
                let query = query.replace('@', "%40").replace(':', "%3A");
                Some((Spelled::GetEscapes, format!("{}{path}?{query}", self.base)))
            }
            5 if url.contains("Hooks.Example") || url.contains("/a/../b/./c") => {
                let url = url.replace("Hooks.Example", "hooks.example");
                Some((Spelled::Normalised, url.replace("/a/../b/./c", "/b/c")))
            }
            _ => None,
        };
        let (spelled, signed) = respelled.unwrap_or((Spelled::AsPresented, url));
        self.spelled = spelled;
        signed
    }

    fn signed_for(&self, url: &str) -> String {
        let pairs = form::pairs(self.body.as_bytes());
        let content = match self.kind {
            Kind::Form => Content::Form { pairs: &pairs, body: self.body.as_bytes() },
            Kind::Json | Kind::Nothing => Content::Nothing,
        };
        sign(&self.key(), url, &content)
    }

    fn break_it(&mut self, dice: &mut Dice) {
        let is_form = self.kind == Kind::Form;
        match self.broken {
            // The hashes were wrong before the request was signed.
            Broken::Nothing
            | Broken::NoHash
            | Broken::OtherHash
            | Broken::TwoHashes
            | Broken::UpperHash => {}
            Broken::OtherToken => self.token.push('!'),
            Broken::OtherPort => {
                if let Some(bare) = without_port(&self.base) {
                    self.base = bare.to_owned();
                } else if self.spelled == Spelled::AsPresented {
                    // A request signed without a port is still signed that way, so this is no
                    // fault.
                    self.spelled = Spelled::WithoutPort;
                }
                self.base.push_str(":8444");
            }
            Broken::OtherPath => self.target.insert(1, 'x'),
            Broken::OtherQuery => {
                self.target.push_str(if self.target.contains('?') { "&z=1" } else { "?z=1" });
            }
            Broken::OtherScheme => {
                let (scheme, rest) = self.base.split_once("://").expect("a scheme");
                let other = if scheme == "http" { "https" } else { "http" };
                self.base = format!("{other}://{rest}");
            }
            Broken::Dropped if is_form => {
                self.body = self.body.split_once('&').map_or("", |(_, rest)| rest).to_owned();
            }
            Broken::Added if is_form => self.body.push_str("&Extra=1"),
            Broken::Changed | Broken::Dropped | Broken::Added => self.body.push('1'),
            Broken::ChangedLetter => self.body = self.body.replacen('a', "A", 1),
            Broken::Bit => {
                let at = dice.below(self.signature.len() - 1);
                let other = if self.signature.as_bytes()[at] == b'A' { "B" } else { "A" };
                self.signature.replace_range(at..=at, other);
            }
            Broken::CutOff => self.signature.truncate(self.signature.len() / 2),
            Broken::UrlSafe => self.signature = self.signature.replace('+', "-").replace('/', "_"),
            Broken::Unpadded => self.signature = self.signature.replace('=', ""),
            Broken::Spaced => self.signature.push(' '),
            Broken::Missing => self.signature.clear(),
        }
    }
}

/// The origin without its port, if it has one.
fn without_port(base: &str) -> Option<&str> {
    let (front, port) = base.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    is_port.then_some(front)
}
