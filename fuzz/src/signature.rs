//! Signatures: the verification agrees with a second, simpler one.
//!
//! The second one shares no code with Heardback: HMAC by its definition (RFC 2104), base64 compared as text, every
//! spelling of a URL written out. An input is five lines and a body:
//!
//! ```text
//! POST form           method; `form`, `json` or `none`
//! https://h.example   public origin
//! /twilio/status?x=1  path and query
//! key=k1              X-Twilio-Webhooks-Signature-Settings, or `-` for none
//! ~3 2                X-Twilio-Signature: `-` for none; `~3 2`: by key 3 for the second spelling;
//! MessageSid=SM1      otherwise literal
//! ```

use std::collections::BTreeSet;

use heardback::twilio::form::{FormPair, pairs};
use heardback::twilio::signature::{
    Algorithm, Content, KeyId, Match, Presented, SignatureError, SigningKey, sign, verify,
    verify_url, with_body_hash,
};
use sha1::Sha1;
use sha2::{Digest, Sha256};

const SECRETS: [&[u8]; 5] = [b"12345", b"", b"k1's secret", b"k1's secret", &[b'x'; 100]];

/// Two tokens, one of them empty, and three `SharedKeys`, of which two share an id and a secret.
fn keys() -> [SigningKey; 5] {
    let [token, empty, k1, k1_too, long] = SECRETS;
    let shared = |id: &str, algorithm, secret| {
        SigningKey::shared(KeyId::parse(id).expect("an id"), algorithm, secret)
    };
    [
        SigningKey::new(token),
        SigningKey::new(empty),
        shared("k1", Algorithm::HmacSha256, k1),
        shared("k1", Algorithm::HmacSha1, k1_too),
        shared("long", Algorithm::HmacSha256, long),
    ]
}

const IDS: [Option<(&str, &str)>; 5] = [
    None,
    None,
    Some(("k1", "HMAC_SHA256")),
    Some(("k1", "HMAC_SHA1")),
    Some(("long", "HMAC_SHA256")),
];

/// Verifies the request in `data` twice.
pub fn holds(data: &[u8]) {
    let Some(request) = Request::read(data) else { return };
    let keys = keys();
    let of_form = pairs(&request.body);
    let content = match request.kind {
        "form" => Content::Form { pairs: &of_form, body: &request.body },
        "json" => Content::Other(&request.body),
        _ => Content::Nothing,
    };
    let url = format!("{}{}", request.base, request.target);
    let spellings = spellings(&url, request.is_get);
    let header = request.signature(&spellings, &of_form);
    let expected = judged(&request, &spellings, &of_form, header.as_deref());

    let bases = ["https://another.example".to_owned(), request.base.clone()];
    let presented = Presented {
        bases: &bases,
        path_and_query: &request.target,
        content,
        is_get: request.is_get,
        settings: request.settings.as_deref(),
    };
    // Settings and HTTP exclude these inputs.
    let is_public = request.base.contains("://") && !request.base.contains(['?', '#']);
    if is_public && request.target.starts_with('/') {
        assert_eq!(verify(&keys, &presented, header.as_deref()), expected, "{url}");
    }
    if request.settings.is_none() {
        let whole = verify_url(&keys, &url, &content, request.is_get, header.as_deref());
        assert_eq!(whole, expected, "{url}, whole");
    }
    // Without a key nothing verifies.
    assert!(verify(&[], &presented, header.as_deref()).is_err());

    signs_what_verifies(&request, &keys, &content, &of_form);
}

/// A signature of Heardback verifies in both. With one bit changed, both give the same verdict.
fn signs_what_verifies(
    request: &Request<'_>,
    keys: &[SigningKey],
    content: &Content<'_>,
    of_form: &[FormPair<'_>],
) {
    let mut url = format!("{}{}", request.base, request.target);
    if let Content::Other(body) = content {
        url = with_body_hash(&url, body);
        assert_eq!(with_body_hash(&url, body), url, "it is there once");
    }
    for (at, (key, secret)) in keys.iter().zip(SECRETS).enumerate() {
        let signature = sign(key, &url, content);
        let text = signed_text(&url, request.kind, of_form);
        assert_eq!(signature, mac(key.algorithm(), secret, &text));
        let settings = IDS[at].map(|(id, algorithm)| format!("algorithm={algorithm},key={id}"));
        let (base, target) = url.split_at(url.find('?').unwrap_or(url.len()));
        let bases = [base.to_owned()];
        let presented = Presented {
            bases: &bases,
            path_and_query: target,
            content: *content,
            is_get: request.is_get,
            settings: settings.as_deref().map(str::as_bytes),
        };
        let verdict = verify(&keys[at..=at], &presented, Some(signature.as_bytes()));
        // The URL of a form may contain a bodySHA256, which must then match as well.
        let own_hash = verdict == Err(SignatureError::BodyHashMismatch) && request.kind == "form";
        assert!(verdict == Ok(Match { key: 0 }) || own_hash, "{verdict:?}: {url}");
        let mut other = signature.into_bytes();
        if let Some(byte) = other.get_mut(at) {
            *byte = if *byte == b'A' { b'B' } else { b'A' };
        }
        assert_eq!(verify(&keys[at..=at], &presented, Some(&other)), Err(SignatureError::Mismatch));
    }
}

struct Request<'a> {
    is_get: bool,
    kind: &'a str,
    base: String,
    target: String,
    settings: Option<Vec<u8>>,
    header: &'a [u8],
    body: Vec<u8>,
}

impl<'a> Request<'a> {
    fn read(data: &'a [u8]) -> Option<Self> {
        let mut lines = data.splitn(6, |byte| *byte == b'\n');
        let (method, kind) = std::str::from_utf8(lines.next()?).ok()?.split_once(' ')?;
        let mut text = || Some(String::from_utf8_lossy(lines.next()?).into_owned());
        let (base, target) = (text()?, text()?);
        let settings = lines.next()?;
        let header = lines.next()?;
        let body = lines.next().unwrap_or_default().to_vec();
        let settings = (settings != b"-").then(|| settings.to_vec());
        Some(Self { is_get: method == "GET", kind, base, target, settings, header, body })
    }

    /// The header: none, literal, or made by one of the keys for one of the spellings.
    fn signature(&self, spellings: &[String], of_form: &[FormPair<'_>]) -> Option<Vec<u8>> {
        let wanted = std::str::from_utf8(self.header).ok().and_then(|text| {
            let (key, spelling) = text.strip_prefix('~')?.split_once(' ')?;
            Some((key.parse::<usize>().ok()?, spelling.parse::<usize>().ok()?))
        });
        let Some((key, spelling)) = wanted else {
            return (self.header != b"-").then(|| self.header.to_vec());
        };
        let key = key % SECRETS.len();
        let url = &spellings[spelling % spellings.len()];
        Some(mac(algorithm(key), SECRETS[key], &signed_text(url, self.kind, of_form)).into_bytes())
    }
}

fn algorithm(key: usize) -> Algorithm {
    let name = IDS[key].map_or("HMAC_SHA1", |(_, name)| name);
    Algorithm::parse(name).expect("known")
}

/// The second verification.
fn judged(
    request: &Request<'_>,
    spellings: &[String],
    of_form: &[FormPair<'_>],
    header: Option<&[u8]>,
) -> Result<Match, SignatureError> {
    let header = header.ok_or(SignatureError::Missing)?;
    let chosen = chosen(request.settings.as_deref());
    let length = if is_base64(header, 28) {
        28
    } else if is_base64(header, 44) {
        44
    } else {
        return Err(SignatureError::Malformed);
    };
    let claimed = match &chosen {
        Chosen::Tokens => 28,
        Chosen::Shared(_, algorithm) if algorithm == "HMAC_SHA1" => 28,
        Chosen::Shared(..) => 44,
        Chosen::None => length,
    };
    if length != claimed {
        return Err(SignatureError::Malformed);
    }
    let url = &spellings[0];
    let query = url.split_once('?').map_or("", |(_, query)| query);
    let query = pairs(query.as_bytes());
    let query = query.iter().map(|(name, value)| (name.decoded(), value.decoded()));
    let hashes: Vec<_> =
        query.filter(|(name, _)| **name == *b"bodySHA256").map(|(_, of)| of).collect();
    if request.kind == "json" && hashes.is_empty() {
        return Err(SignatureError::BodyHashMissing);
    }
    let is_chosen = |key: &usize| match (&chosen, IDS[*key]) {
        (Chosen::Tokens, None) => true,
        (Chosen::Shared(id, named), Some(known)) => (id.as_str(), named.as_str()) == known,
        (Chosen::Tokens, Some(_)) | (Chosen::Shared(..), None) | (Chosen::None, _) => false,
    };
    let made = |key: &usize| {
        spellings.iter().any(|url| {
            let text = signed_text(url, request.kind, of_form);
            mac(algorithm(*key), SECRETS[*key], &text).as_bytes() == header
        })
    };
    let key = (0..SECRETS.len()).filter(is_chosen).find(made).ok_or(SignatureError::Mismatch)?;
    let digest = Sha256::digest(&request.body);
    let hash = digest.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
    let vouched = matches!(request.kind, "form" | "json");
    if vouched && hashes.iter().any(|claimed| **claimed != *hash.as_bytes()) {
        return Err(SignatureError::BodyHashMismatch);
    }
    Ok(Match { key })
}

enum Chosen {
    Tokens,
    Shared(String, String),
    None,
}

/// The algorithm that the header of a `SharedKey` names.
fn chosen(settings: Option<&[u8]>) -> Chosen {
    let Some(settings) = settings else { return Chosen::Tokens };
    let Ok(text) = std::str::from_utf8(settings) else { return Chosen::None };
    let pairs: Vec<(&str, &str)> = text.split(',').filter_map(|it| it.split_once('=')).collect();
    let first = |wanted: &str| {
        let values = pairs.iter().filter(|(name, _)| name.trim() == wanted);
        values.map(|(_, value)| value.trim()).find(|value| !value.is_empty())
    };
    let algorithm = first("algorithm").unwrap_or("HMAC_SHA1").to_ascii_uppercase();
    match (first("key"), algorithm.as_str()) {
        (None, "HMAC_SHA1") => Chosen::Tokens,
        (Some(id), "HMAC_SHA1" | "HMAC_SHA256") => Chosen::Shared(id.to_owned(), algorithm),
        _ => Chosen::None,
    }
}

/// Whether this is the only base64 of 20 bytes (28 characters) or of 32 bytes (44).
fn is_base64(text: &[u8], length: usize) -> bool {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let Some((b'=', digits)) = text.split_last() else { return false };
    let value = |digit: &u8| ALPHABET.iter().position(|known| known == digit);
    text.len() == length
        && digits.iter().all(|digit| value(digit).is_some())
        // Two bytes fill sixteen of the eighteen bits of the last three digits.
        && digits.last().and_then(value).is_some_and(|last| last.is_multiple_of(4))
}

/// Every URL that may have been signed for this one; the URL itself is the first.
fn spellings(url: &str, is_get: bool) -> Vec<String> {
    let scheme = url.split_once("://").filter(|(scheme, _)| !scheme.contains(['/', '?', '#', ':']));
    let Some((scheme, rest)) = scheme else { return vec![url.to_owned()] };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    let bare = host.trim_end_matches(|c: char| c.is_ascii_digit());
    let (host, ports) = match bare.strip_suffix(':') {
        Some(bare) => (bare, [host[bare.len()..].to_owned(), String::new()]),
        None if scheme.eq_ignore_ascii_case("https") => (host, [String::new(), ":443".to_owned()]),
        None => (host, [String::new(), ":80".to_owned()]),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (format!("{path}?"), query),
        None => (rest.to_owned(), ""),
    };
    let apostrophes = [query.to_owned(), query.replace("%27", "'"), query.replace('\'', "%27")];
    let mut queries = Vec::new();
    for query in apostrophes {
        queries.push(query.clone());
        if is_get {
            let plain = query.replace("%40", "@").replace("%3A", ":").replace("%3a", ":");
            queries.extend([plain, query.replace('@', "%40").replace(':', "%3A")]);
        }
    }
    let with =
        |query: &String, port: &String| format!("{scheme}://{user}{host}{port}{path}{query}");
    queries.iter().flat_map(|query| ports.iter().map(|port| with(query, port))).collect()
}

fn signed_text(url: &str, kind: &str, of_form: &[FormPair<'_>]) -> Vec<u8> {
    let mut text = url.as_bytes().to_vec();
    if kind == "form" {
        let decoded = of_form.iter().map(|(name, value)| (name.decoded(), value.decoded()));
        for (name, value) in decoded.collect::<BTreeSet<_>>() {
            text.extend_from_slice(&name);
            text.extend_from_slice(&value);
        }
    }
    text
}

/// RFC 2104: `H(K ^ opad, H(K ^ ipad, text))`, in base64. Both hashes have blocks of 64 bytes.
fn mac(algorithm: Algorithm, secret: &[u8], text: &[u8]) -> String {
    let digest = |parts: [&[u8]; 2]| -> Vec<u8> {
        match algorithm {
            Algorithm::HmacSha1 => Sha1::digest(parts.concat()).to_vec(),
            Algorithm::HmacSha256 => Sha256::digest(parts.concat()).to_vec(),
        }
    };
    let mut block = if secret.len() > 64 { digest([secret, b""]) } else { secret.to_vec() };
    block.resize(64, 0);
    let padded = |with: u8| -> Vec<u8> { block.iter().map(|byte| byte ^ with).collect() };
    let inner = digest([&padded(0x36), text]);
    base64(&digest([&padded(0x5c), &inner]))
}

/// RFC 4648, §4.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for place in 0..4 {
            let digit = char::from(ALPHABET[bits >> (18 - 6 * place) & 63]);
            out.push(if place > three.len() { '=' } else { digit });
        }
    }
    out
}
