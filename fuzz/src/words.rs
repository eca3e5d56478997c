//! Single values: SIDs, addresses, links, references, codes, origins.

use heardback::domain::address::{Address, RecipientHashKey};
use heardback::domain::click_link::request::{self, LinkRequest};
use heardback::domain::click_link::{LinkTarget, LinkToken};
use heardback::domain::click_secret::ClickSecret;
use heardback::domain::code::CodeHmac;
use heardback::domain::message::{Reference, Status};
use heardback::domain::sid::{AccountSid, Sid, SidKind, kind};
use heardback::twilio::api_url::UpstreamUrl;
use heardback::twilio::crawlers;
use heardback::twilio::public_url::PublicUrl;
use heardback::twilio::signature::{Algorithm, KeyId};

/// The most values of a body that are tried.
const MOST: usize = 32;

/// Tries the whole body and each of its values with every parser.
pub(super) fn hold(body: &[u8], key: &RecipientHashKey) {
    let ends = |byte: &u8| matches!(byte, b'&' | b'=' | b'"' | b'\n');
    for word in std::iter::once(body).chain(body.split(ends).take(MOST)) {
        let Ok(word) = std::str::from_utf8(word) else { continue };
        sid::<kind::MessageKind>(word);
        sid::<kind::AccountKind>(word);
        sid::<kind::ServiceKind>(word);
        sid::<kind::CallKind>(word);
        address(word, key);
        link(word);
        origins(word);
        small(word);
    }
}

/// A SID keeps its text, and no other text has its packed form.
fn sid<K: SidKind>(word: &str) {
    let has_shape = word.len() == 34
        && K::PREFIXES.iter().any(|known| word.starts_with(known))
        && word.bytes().skip(2).all(|byte| byte.is_ascii_hexdigit());
    let parsed = Sid::<K>::parse(word);
    assert_eq!(parsed.is_ok(), has_shape);
    match parsed {
        Ok(sid) => {
            assert_eq!(sid.as_str(), word);
            let mut packed = Vec::new();
            sid.pack_into(&mut packed);
            assert_eq!(Sid::<K>::packed_len(&packed), Some(packed.len()));
            assert_eq!(Sid::unpack(&packed), Some(sid));
            assert_eq!(Sid::<K>::unpack(&packed[1..]), None);
        }
        // An error may repeat the two letters of the kind, but not the digits.
        Err(error) => {
            let digits = word.get(2..).filter(|digits| digits.len() >= 32);
            assert!(digits.is_none_or(|digits| !error.to_string().contains(digits)), "{error}");
        }
    }
    let _ = Sid::<K>::unpack(word.as_bytes());
}

/// An address keeps its value in Twilio's notation, and its `Debug` hides it.
fn address(word: &str, key: &RecipientHashKey) {
    let parsed = Address::parse(word);
    let Ok(address) = &parsed else {
        assert!(Address::parse_recipient(word).is_err(), "a recipient is an address");
        return;
    };
    let written = address.to_sender();
    assert_eq!(Address::parse(&written), parsed, "{written}");
    assert_eq!(format!("{address:?}"), "Address(…)");
    let account = AccountSid::parse("AC11111111111111111111111111111111").expect("an account");
    let recipient = key.recipient(account, address);
    assert_eq!(recipient.calling_code, address.calling_code());
    if let Some(number) = address.to_number() {
        assert!(number.calling_code().is_some(), "a number has a country");
        assert_eq!(number.to_number().as_ref(), Some(&number));
        let (caller, whatsapp) = key.caller(account, address).expect("a number calls");
        assert_eq!(caller, key.recipient(account, &number));
        let known = if address.is_whatsapp() { whatsapp } else { caller.person };
        assert_eq!(recipient.person, known);
        assert_eq!(key.by_number(account, address).is_some(), address.is_whatsapp());
    }
    if let Ok(recipient) = Address::parse_recipient(word) {
        assert_eq!(recipient, *address);
    }
}

const OWN: &str = "https://hooks.example.com/hb";
const HOST: &str = "hooks.example.com";
const HOST_AND_PORT: &str = "hooks.example.com:443";

/// The target of a link is a plain https address outside Heardback.
fn link(word: &str) {
    if let Some(token) = LinkToken::parse(word) {
        assert_eq!(token.as_str(), word);
        let own = request::address(OWN, &token);
        assert_eq!(LinkRequest::read(&own, &[OWN.to_owned()]), Ok(LinkRequest::Made(token)));
    }
    match LinkRequest::read(word, &[OWN.to_owned()]) {
        Ok(LinkRequest::To(target)) => {
            assert_eq!(LinkTarget::parse(word).as_ref(), Some(&target));
            assert_eq!(target.as_str(), word);
            let lower = word.to_ascii_lowercase();
            let rest = lower.strip_prefix("https://").expect("https");
            assert!(rest.starts_with(&target.host().to_ascii_lowercase()));
            assert!(!target.host().is_empty() && !target.host().contains(['@', '\\', '/']));
            assert!(word.bytes().all(|byte| byte.is_ascii_graphic()), "no header is split");
            // Scheme and host are case-insensitive, the path is not.
            let path = rest.len().saturating_sub(target.host().len());
            let path = &word[word.len() - path..];
            let own = matches!(target.host().to_ascii_lowercase().as_str(), HOST | HOST_AND_PORT);
            assert!(!own || !path.starts_with("/hb/"), "a link to a link: {word}");
        }
        Ok(LinkRequest::Made(token)) => assert!(word.contains(token.as_str())),
        Err(_) => assert!(LinkToken::parse(word).is_none()),
    }
}

/// An origin keeps its text, without trailing slashes.
fn origins(word: &str) {
    if let Ok(url) = PublicUrl::parse(word) {
        let kept = word.trim_end_matches('/');
        assert_eq!(url.as_str(), kept);
        assert!(kept.ends_with(url.prefix()));
        assert_eq!(PublicUrl::parse(url.as_str()).as_ref(), Ok(&url));
        assert!(!kept.contains(['?', '#', '\\', ' ']));
        assert!(!kept.split('/').nth(2).is_some_and(|authority| authority.contains('@')));
        assert!(
            kept.starts_with("https://") || url.why_unreachable() == Some("it is this machine")
        );
    }
    if let Ok(url) = UpstreamUrl::parse(word) {
        assert_eq!(PublicUrl::parse(word).map(|of| of.prefix().to_owned()), Ok(String::new()));
        assert_eq!(url.as_str(), word.trim_end_matches('/'));
    }
}

fn small(word: &str) {
    let reference = Reference::parse(word);
    assert_eq!(reference.is_some(), (1..=128).contains(&word.len()));
    if let Some(status) = Status::parse(word) {
        assert_eq!(Status::parse(status.as_str()), Some(status));
    }
    if let Some(code) = CodeHmac::parse(word) {
        assert_eq!(CodeHmac::parse(&code.to_base64()), Some(code));
        assert_eq!(format!("{code:?}"), "CodeHmac(…)");
    }
    if let Some(id) = KeyId::parse(word) {
        assert_eq!(id.as_str(), word);
        assert!(!word.contains([',', '=', ' ']));
    }
    if let Some(algorithm) = Algorithm::parse(word) {
        assert!(algorithm.as_str().eq_ignore_ascii_case(word));
    }
    if let Some(secret) = ClickSecret::parse(word) {
        assert!(secret.is(word) && !secret.is(&word[1..]));
    }
    let _ = crawlers::is_known(word);
}
