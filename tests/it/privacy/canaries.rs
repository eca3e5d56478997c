//! The canaries: made-up private values, each in every form in which it could leave the program,
//! and the search for them in arbitrary bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use sha2::Digest as _;

/// A person in honest requests, and one only in hostile requests.
pub(super) const PEOPLE: [&str; 2] = ["+4915770192837", "+4915770374651"];
const COUNTRY: &str = "+49";
/// A WhatsApp user id.
pub(super) const USER_ID: &str = "DE.48151623420815162342";
/// The text of their replies and of the messages to them.
pub(super) const TEXT: &str = "a canary sang brinjalvortex, to you & me";
pub(super) const CODE: &str = "73914628";
pub(super) const NAME: &str = "Zebulon Quasterfield";
pub(super) const CITY: &str = "QUIMPERLEVILLE";
pub(super) const ZIP: &str = "97Q4Z-PLUM";
pub(super) const MEDIA: &str = "https://media.example.com/thumbnail-of-wharfinger";
pub(super) const AGENT: &str = "Wanderlust-Browser/7.3";
/// The path and query of unauthenticated requests: `/PATH?q=QUERY`.
pub(super) const PATH: &str = "plover-passage-xyzzy";
pub(super) const QUERY: &str = "rucksack-fumarole";
pub(super) const HEADER: &str = "session-cookie-of-gallimaufry";

pub(super) const TOKEN: &str = "f00dbabe98765432100123456789cafe";
pub(super) const OLD_TOKEN: &str = "0ddba11c0ffee5ca1ab1e0b5e55ed123";
pub(super) const APP_KEY: &str = "app-key-3141592653589793-quux";
pub(super) const PHONE_KEY: &str = "phone-key-2718281828459045-corge";
pub(super) const API_SECRET: &str = "ApiSecret0Grault1Garply2Waldo3Xy";
pub(super) const SHARED_SECRET: &str = "shared-secret-1618033988-fred";
pub(super) const CLICK_SECRET: &str = "click-path-1414213562-plugh";

/// The store has it, and a click redirects to it; it may occur nowhere else.
pub(super) const TARGET: &str = "https://app.example.com/welcome-to-zanzibar-kumquat";
pub(super) const TARGET_IS: &str = "the link's target";
pub(super) const TOKEN_IS: &str = "a link's token";
pub(super) const LONGEST: usize = 4 << 10;

/// The needles by their first bytes, each with its name and the rest.
pub(super) struct Canaries {
    needles: HashMap<[u8; 4], Vec<(Vec<u8>, String)>>,
    known: BTreeSet<Vec<u8>>,
}

impl Canaries {
    pub(super) fn new() -> Self {
        let mut all = Self { needles: HashMap::new(), known: BTreeSet::new() };
        for number in PEOPLE {
            all.number(number);
        }
        for (what, text) in [
            ("a user id", "48151623420815162342"),
            ("a text", TEXT),
            ("a word of a text", "brinjalvortex"),
            ("a code", CODE),
            ("a name", NAME),
            ("a surname", "Quasterfield"),
            ("a city", CITY),
            ("a postal code", ZIP),
            ("a picture", "wharfinger"),
            ("a user agent", AGENT),
            ("a stranger's path", PATH),
            ("a stranger's query", QUERY),
            ("a cookie", HEADER),
            ("the auth token", TOKEN),
            ("the other auth token", OLD_TOKEN),
            ("the app key", APP_KEY),
            ("the phone key", PHONE_KEY),
            ("the API secret", API_SECRET),
            ("a SharedKey's secret", SHARED_SECRET),
            ("the click path's secret", CLICK_SECRET),
            (TARGET_IS, TARGET),
            ("credentials", "Authorization: Basic"),
        ] {
            all.bytes(what, text.as_bytes());
        }
        all
    }

    /// A person's number in every notation, and the values that can be computed from it.
    fn number(&mut self, number: &str) {
        let digits = number.trim_start_matches('+');
        let national = number.trim_start_matches(COUNTRY);
        self.bytes("a phone number", national.as_bytes());
        let value: u64 = digits.parse().expect("digits");
        let value = value.to_be_bytes();
        let short = &value[2..];
        self.needle("a phone number in binary", short);
        self.needle("a phone number in binary", &short.iter().rev().copied().collect::<Vec<_>>());
        let whatsapp = format!("whatsapp:{number}");
        for written in [number, digits, national, &format!("0{national}"), &whatsapp] {
            for hash in [
                sha2::Sha256::digest(written).to_vec(),
                sha1::Sha1::digest(written).to_vec(),
                sha2::Sha512::digest(written).to_vec(),
            ] {
                // Hashes may be truncated to this length; a longer one begins with it.
                self.bytes("an unkeyed hash of a phone number", &hash[..16]);
            }
        }
    }

    /// A signature of a sent request.
    pub(super) fn signature(&mut self, header: &str) {
        let what = "a signature";
        // An invalid header value is another canary, or harmless.
        if let Ok(raw) = STANDARD.decode(header)
            && [20, 32].contains(&raw.len())
        {
            self.bytes(what, header.trim_end_matches('=').as_bytes());
            self.bytes(what, &raw);
        }
    }

    /// The token of a created click link.
    pub(super) fn link_token(&mut self, token: &str) {
        self.bytes(TOKEN_IS, token.as_bytes());
        if let Ok(raw) = URL_SAFE_NO_PAD.decode(token) {
            self.bytes(TOKEN_IS, &raw);
        }
    }

    fn bytes(&mut self, what: &str, bytes: &[u8]) {
        for (form, needle) in forms(bytes) {
            self.needle(&format!("{what} {form}"), &needle);
        }
    }

    fn needle(&mut self, what: &str, needle: &[u8]) {
        assert!((5..LONGEST).contains(&needle.len()), "{what} would be found anywhere");
        if self.known.insert(needle.to_vec()) {
            let (first, rest) = needle.split_first_chunk().expect("long enough");
            self.needles.entry(*first).or_default().push((rest.to_vec(), what.to_owned()));
        }
    }

    /// The canaries in these bytes, each once, with the surrounding bytes.
    pub(super) fn found_in(&self, bytes: &[u8]) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        for at in 0..bytes.len().saturating_sub(4) {
            let Some((first, rest)) = bytes[at..].split_first_chunk::<4>() else { break };
            for (needle, what) in self.needles.get(first).into_iter().flatten() {
                if rest.starts_with(needle) && !found.contains_key(what) {
                    let from = at.saturating_sub(60);
                    let to = bytes.len().min(at + needle.len() + 20);
                    let around = bytes[from..to].escape_ascii().to_string();
                    found.insert(what.clone(), around);
                }
            }
        }
        found
    }
}

/// The value in every encoding.
pub(super) fn forms(bytes: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let hex = |upper: bool| {
        bytes.iter().fold(String::new(), |mut hex, byte| {
            let _ = if upper { write!(hex, "{byte:02X}") } else { write!(hex, "{byte:02x}") };
            hex
        })
    };
    let list = bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let mut all = vec![
        ("as it is", bytes.to_vec()),
        ("in hex", hex(false).into_bytes()),
        ("in HEX", hex(true).into_bytes()),
        ("as a list of bytes", list.into_bytes()),
    ];
    if let Ok(text) = std::str::from_utf8(bytes) {
        let form: String = serde_urlencoded::to_string([("", text)]).expect("encodes");
        let form = form.trim_start_matches('=').to_owned();
        all.push(("percent-encoded", form.replace('+', "%20").into_bytes()));
        all.push(("in a form", form.into_bytes()));
        all.push(("in JSON", serde_json::to_vec(text).expect("a string")));
        all.push(("escaped", format!("{text:?}").trim_matches('"').as_bytes().to_vec()));
    }
    // In the middle of a longer base64 text, at each offset.
    for before in 0..3 {
        let padded = [&vec![b':'; before], bytes].concat();
        let text = STANDARD_NO_PAD.encode(&padded);
        let inner = text.get((before * 8).div_ceil(6)..padded.len() * 8 / 6).expect("ASCII");
        all.push(("in Base64", inner.as_bytes().to_vec()));
        all.push(("in Base64", inner.replace('+', "-").replace('/', "_").into_bytes()));
    }
    all.retain(|(_, form)| form.len() >= 5);
    all
}

#[test]
fn every_canary_is_found_in_every_form() {
    let mut canaries = Canaries::new();
    let signature = "ETeZxWx+KRQF1LOTxtueQM8wl3Y=";
    canaries.signature(signature);
    canaries.link_token("yv0zcoMTg8tfyCnx");
    let raw = STANDARD.decode(signature).expect("Base64");
    let mut planted = vec![
        ("a signature", raw),
        ("a signature", signature.as_bytes().to_vec()),
        (TOKEN_IS, b"yv0zcoMTg8tfyCnx".to_vec()),
        (TARGET_IS, TARGET.as_bytes().to_vec()),
        ("a user agent", AGENT.as_bytes().to_vec()),
        ("the auth token", TOKEN.as_bytes().to_vec()),
        ("the phone key", PHONE_KEY.as_bytes().to_vec()),
        ("a text", TEXT.as_bytes().to_vec()),
        ("a code", CODE.as_bytes().to_vec()),
    ];
    for number in PEOPLE {
        planted.push(("a phone number", number.as_bytes().to_vec()));
        planted.push(("a phone number", format!("0{}", &number[3..]).into_bytes()));
        let hash = sha2::Sha256::digest(number);
        planted.push(("an unkeyed hash", hash.to_vec()));
        planted.push(("an unkeyed hash", hash[..20].to_vec()));
        planted.push(("an unkeyed hash", sha1::Sha1::digest(&number[1..]).to_vec()));
        let value: u64 = number[1..].parse().expect("digits");
        planted.push(("a phone number in binary", value.to_le_bytes().to_vec()));
    }
    for (what, bytes) in planted {
        for (form, needle) in forms(&bytes) {
            if form != "as it is" && what.ends_with("binary") {
                continue;
            }
            let around = [b"\0junk \xff".as_slice(), &needle, b" more"].concat();
            let found = canaries.found_in(&around);
            assert!(found.keys().any(|it| it.starts_with(what)), "{what} {form}: {found:?}");
        }
    }
}

#[test]
fn a_harmless_value_is_not_reported_as_a_canary() {
    let canaries = Canaries::new();
    let harmless = "SM00000000000000000000000000000001 +15017122661 reported, 403 Forbidden";
    assert!(canaries.found_in(harmless.as_bytes()).is_empty());
    let noise: Vec<u8> = (0..200_000_u32).flat_map(|n| (n ^ (n << 7)).to_le_bytes()).collect();
    assert!(canaries.found_in(&noise).is_empty());
}
