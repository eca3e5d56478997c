//! The parsers of single settings. Each stores its value in the reader, or returns the expected form as an error.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::problems::Problem;
use crate::config::reader::SettingsReader;
use crate::config::settings::ApiKey;
use crate::config::shared_keys::{SharedKey, USUAL_ID};
use crate::domain::click_secret;
use crate::domain::click_secret::ClickSecret;
use crate::domain::hex;
use crate::domain::sid::AccountSid;
use crate::domain::switch;
use crate::twilio::api_url::UpstreamUrl;
use crate::twilio::public_url::PublicUrl;

/// The number of hexadecimal digits of Twilio's auth tokens.
const TOKEN_LEN: usize = 32;
/// Twilio has two at a time. A post may try each of them within one lease.
pub(super) const MAX_TOKENS: usize = 4;
/// 128 bits: a shorter key of a hash can be found by search.
pub(super) const MIN_KEY_BYTES: usize = 16;
/// Before a key of bytes that are no text. A phone key that begins with it is never a text.
pub const HEX: &str = "hex:";
/// How to make a secret.
pub(super) const RANDOM_HEX: &str = "from `openssl rand -hex 32`";
pub(super) const URL_EXPECTED: &str =
    "expected the origin that Twilio calls, e.g. https://hooks.example.com";
/// The longest duration of a setting: longer than any use, and too short to overflow a timestamp.
const MAX_DURATION: Duration = Duration::from_hours(3650 * 24);

pub(super) fn set<T>(field: &mut T, parsed: Result<T, String>) -> Result<(), String> {
    *field = parsed?;
    Ok(())
}

pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let span = text
        .parse::<Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .ok()
        .and_then(|span| Duration::try_from(span).ok())
        .filter(|span| !span.is_zero() && *span <= MAX_DURATION);
    span.ok_or_else(|| {
        "expected a duration such as 90s, 15m, 1h30m, 24h or 7d: above zero, at most 3650d, with its unit"
            .to_owned()
    })
}

pub(super) fn switch(text: &str) -> Result<bool, String> {
    switch::parse(text).ok_or_else(|| "expected true or false".to_owned())
}

pub(super) fn count<T>(text: &str, low: T, high: T) -> Result<T, String>
where
    T: FromStr + PartialOrd + fmt::Display + Copy,
{
    let read = text.parse().ok().filter(|count| (low..=high).contains(count));
    read.ok_or_else(|| format!("expected a whole number from {low} to {high}"))
}

pub(super) fn one_of<T: Copy, const N: usize>(
    text: &str,
    all: [T; N],
    name: fn(T) -> &'static str,
    expected: &str,
) -> Result<T, String> {
    all.into_iter().find(|one| name(*one) == text).ok_or_else(|| expected.to_owned())
}

pub(super) fn is_short(secret: &SecretString) -> bool {
    secret.expose_secret().len() < MIN_KEY_BYTES
}

fn long_enough(secret: &[u8], more: &str) -> Result<(), String> {
    if secret.len() < MIN_KEY_BYTES {
        return Err(format!("expected at least {MIN_KEY_BYTES} bytes, e.g. {RANDOM_HEX}{more}"));
    }
    Ok(())
}

/// `SK` and 32 hexadecimal digits.
pub(super) fn is_api_key_sid(sid: &str) -> bool {
    let digits = sid.strip_prefix("SK").unwrap_or_default();
    digits.len() == TOKEN_LEN && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn account_sid(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let sid = AccountSid::parse(text).map_err(|error| error.to_string())?;
    set(&mut reader.values.own.sid, Ok(Some(sid)))
}

pub(super) fn auth_tokens(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let tokens = reader.list(reader.name, text);
    for (index, token) in (1..).zip(&tokens) {
        let token = token.expose_secret();
        if token.len() != TOKEN_LEN || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            reader.warn(format!(
                "TWILIO_AUTH_TOKEN: token {index} is not {TOKEN_LEN} hexadecimal digits, as Twilio's are"
            ));
        }
    }
    let is_sound = tokens.len() <= MAX_TOKENS;
    reader.values.own.tokens = tokens;
    let expected = || format!("expected at most {MAX_TOKENS}; Twilio has two at a time");
    is_sound.then_some(()).ok_or_else(expected)
}

/// `id:algorithm:secret,…`
pub(super) fn shared_keys(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let mut keys: Vec<SharedKey> = Vec::new();
    for (number, entry) in (1..).zip(reader.list(reader.name, text)) {
        let mut parts = entry.expose_secret().splitn(3, ':');
        let key = match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(algorithm), Some(secret)) => {
                SharedKey::read(id.trim(), algorithm.trim(), &SecretString::from(secret))
            }
            _ => Err("expected id:algorithm:secret"),
        };
        match key {
            Ok(key) if keys.iter().any(|known| known.id == key.id) => {
                reader.withhold(format!("key {number} has the id of another key"));
            }
            Ok(key) => {
                if key.is_unusual() {
                    reader.warn(format!(
                        "TWILIO_SHARED_KEYS: the id of key {number} does not begin with {USUAL_ID}, as Twilio's \
                         do; is it id:algorithm:secret?"
                    ));
                }
                keys.push(key);
            }
            Err(why) => reader.withhold(format!("key {number}: {why}")),
        }
    }
    set(&mut reader.values.own.shared_keys, Ok(keys))
}

pub(super) fn api_key(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    if !is_api_key_sid(text) {
        return Err("expected the key's SID: SK… and 32 hexadecimal digits".to_owned());
    }
    set(&mut reader.values.own.api_key, Ok(Some(text.to_owned())))
}

/// The expected form of an API key that may send.
pub(super) const SEND_API_KEY_EXPECTED: &str =
    "expected SK…:secret for each key: its SID, a colon and its secret";

/// `SK…:secret`
pub(super) fn send_api_key(text: &SecretString) -> Option<ApiKey> {
    let (sid, secret) = text.expose_secret().split_once(':')?;
    let is_sound = is_api_key_sid(sid) && secret.len() >= MIN_KEY_BYTES;
    is_sound.then(|| ApiKey { sid: sid.to_owned(), secret: SecretString::from(secret) })
}

/// `SK…:secret,…`
pub(super) fn send_api_keys(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let keys = reader.list(reader.name, text);
    let keys: Option<Vec<ApiKey>> = keys.iter().map(send_api_key).collect();
    set(&mut reader.values.own.send_api_keys, keys.ok_or_else(|| SEND_API_KEY_EXPECTED.to_owned()))
}

/// The timeout of a send. A longer one would outlast the drain of the service.
pub(super) fn send_timeout(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(1)..=Duration::from_secs(14);
    let timeout = duration(text).ok().filter(|timeout| bounds.contains(timeout));
    timeout.ok_or_else(|| "expected a duration from 1s to 14s".to_owned())
}

pub(super) fn upstream_url(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let url = UpstreamUrl::parse(text).map_err(|error| error.to_string())?;
    if !url.as_str().ends_with(".twilio.com") {
        reader.warn(format!(
            "HEARDBACK_UPSTREAM_URL is {url}: posts and credentials do not go to Twilio"
        ));
    }
    reader.values.upstream_url = Some(url);
    Ok(())
}

pub(super) fn app_keys(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let keys = reader.list(reader.name, text);
    let is_sound = !keys.iter().any(is_short);
    reader.values.app_keys = keys;
    let expected =
        || format!("expected at least {MIN_KEY_BYTES} bytes for each key, e.g. {RANDOM_HEX}");
    is_sound.then_some(()).ok_or_else(expected)
}

pub(super) fn public_urls(reader: &mut SettingsReader<'_>, text: &str) {
    for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        match PublicUrl::parse(entry) {
            Ok(url) if reader.values.public_urls.contains(&url) => {}
            Ok(url) => reader.values.public_urls.push(url),
            Err(error) => {
                let expected = format!("{error}; {URL_EXPECTED}");
                reader.problem(Problem::shown(reader.name, entry, expected));
            }
        }
    }
}

pub(super) fn ops_token(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    reader.values.ops_token = Some(SecretString::from(text));
    long_enough(text.as_bytes(), "")
}

pub(super) fn client_ip_header(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    if !text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Err("expected a header's name, e.g. Fly-Client-IP".to_owned());
    }
    reader.values.client_ip_header = Some(text.to_owned());
    Ok(())
}

pub(super) fn click_secret(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    reader.values.click_secret = ClickSecret::parse(text);
    reader.values.click_secret.as_ref().map(|_| ()).ok_or_else(|| {
        let min = click_secret::MIN_LEN;
        format!("expected at least {min} letters, digits or - _ . ~, e.g. {RANDOM_HEX}")
    })
}

pub(super) fn phone_key(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    let key = match text.strip_prefix(HEX) {
        Some(digits) => hex::decoded(digits).ok_or_else(|| {
            format!("expected pairs of hexadecimal digits after {HEX}, as `heardback store key` prints them")
        })?,
        None => text.as_bytes().to_vec(),
    };
    let checked = long_enough(&key, "; keep it for as long as the store");
    reader.values.phone_key = Some(key.into());
    checked
}

pub(super) fn record_refused(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    reader.warn(format!(
        "HEARDBACK_RECORD_REFUSED keeps the last refused requests in {text}, with phone numbers and texts; \
         unset it and delete the files when `heardback doctor` has explained them"
    ));
    set(&mut reader.values.record_refused, Ok(Some(PathBuf::from(text))))
}

pub(super) fn log_filter(reader: &mut SettingsReader<'_>, text: &str) -> Result<(), String> {
    // The filter reads a misspelt level as the name of a module, and logs no other module.
    let is_word = |part: &&str| !part.contains(['=', '[']);
    let mut words = text.split(',').filter(is_word);
    let typo = words.any(|part| part.trim().parse::<LevelFilter>().is_err());
    if typo || EnvFilter::try_new(text).is_err() {
        let expected = "expected error, warn, info, debug or trace, or info,heardback=debug";
        return Err(expected.to_owned());
    }
    set(&mut reader.values.log.filter, Ok(text.to_owned()))
}
