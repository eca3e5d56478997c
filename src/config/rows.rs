//! The settings that need more than one word: each row of the help, read and judged.
//!
//! What is wrong becomes a problem, what is doubtful a warning. Values are shown only where no
//! secret could have been pasted by mistake.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::cli::settings::SettingsArgs;
use crate::config::accounts::MAX_TOKENS;
use crate::config::listen::ListenAddr;
use crate::config::problems::Problem;
use crate::config::reader::{Reader, text};
use crate::config::{ApiKey, LogFormat, LogSettings, StoreUrl};
use crate::domain::link;
use crate::domain::link::Links;
use crate::domain::matching::Resend;
use crate::domain::path_secret;
use crate::domain::path_secret::PathSecret;
use crate::domain::public_url::PublicUrl;
use crate::domain::sid::AccountSid;
use crate::domain::twiml::RedirectUrl;
use crate::domain::upstream_url::{UpstreamUrl, UpstreamUrlError};
use crate::domain::veil::veiled;

/// Twilio's auth tokens have this many hexadecimal digits.
const TOKEN_LEN: usize = 32;
/// A keyed hash with less than 128 bits of key could be searched through.
pub(super) const MIN_KEY_BYTES: usize = 16;
/// How to make a secret.
pub(super) const RANDOM_HEX: &str = "from `openssl rand -hex 32`";
/// More would take the account's API concurrency away from sending.
const MAX_CONCURRENCY: usize = 64;

/// What follows the public URL in a click link: `/c/` and a token.
const LINK_PATH_LEN: usize = 3 + link::TOKEN_LEN;
/// More than this much of an SMS is worth a word.
const LONG_LINK: usize = 64;

const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080);
const OPS_LISTEN: &str = "HEARDBACK_OPS_LISTEN";
const DEFAULT_OPS_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9091);

pub(super) const TOKEN_PLACE: &str = "Twilio Console → Account → API keys & tokens";
const URL_EXPECTED: &str = "expected the origin that Twilio calls, e.g. https://hooks.example.com";

pub(super) fn account(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<AccountSid> {
    const NAME: &str = "TWILIO_ACCOUNT_SID";
    let Some(sid) = text(args.account_sid.as_ref()) else {
        reader.problem(Problem::missing(NAME, "Twilio Console → Account → Account info (AC…)"));
        return None;
    };
    // Not shown: people paste the token here.
    AccountSid::parse(sid)
        .map_err(|error| reader.problem(Problem::withheld(NAME, error.to_string())))
        .ok()
}

/// Whether a secret of our own can be guessed.
pub(super) fn is_short(secret: &SecretString) -> bool {
    secret.expose_secret().len() < MIN_KEY_BYTES
}

/// `None` where there are none, or a problem.
pub(super) fn tokens(reader: &mut Reader<'_>) -> Option<Vec<SecretString>> {
    const NAME: &str = "TWILIO_AUTH_TOKEN";
    let tokens = reader.secrets(NAME)?;
    if tokens.len() > MAX_TOKENS {
        let expected = format!("expected at most {MAX_TOKENS}; Twilio has two at a time");
        reader.problem(Problem::withheld(NAME, expected));
    }
    for (index, token) in tokens.iter().enumerate() {
        let token = token.expose_secret();
        if token.len() != TOKEN_LEN || !token.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let number = index + 1;
            reader.warn(format!(
                "{NAME}: token {number} is not {TOKEN_LEN} hexadecimal digits, as Twilio's are"
            ));
        }
    }
    Some(tokens)
}

/// `SK` and 32 hexadecimal digits.
pub(super) fn is_api_key_sid(sid: &str) -> bool {
    let digits = sid.strip_prefix("SK").unwrap_or_default();
    digits.len() == TOKEN_LEN && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

pub(super) fn api_key(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<ApiKey> {
    const KEY: &str = "TWILIO_API_KEY";
    const SECRET: &str = "TWILIO_API_SECRET";
    let known = reader.problems.iter().count();
    let secret = reader.secret(SECRET);
    let secret_is_broken = reader.problems.iter().count() > known;
    let sid = text(args.api_key.as_ref());
    if sid.is_some_and(|sid| !is_api_key_sid(sid)) {
        // Not shown: people paste the secret here.
        let expected = "expected the key's SID: SK… and 32 hexadecimal digits";
        reader.problem(Problem::withheld(KEY, expected));
    }
    match (sid, secret) {
        (Some(sid), Some(secret)) => Some(ApiKey { sid: sid.to_owned(), secret }),
        (Some(_), None) if !secret_is_broken => {
            let place = format!("{KEY} needs it; Twilio showed it once, when the key was made");
            reader.problem(Problem::missing(SECRET, place));
            None
        }
        (None, Some(_)) => {
            let place = format!("{SECRET} is set, so its SK… is needed: {TOKEN_PLACE}");
            reader.problem(Problem::missing(KEY, place));
            None
        }
        (Some(_) | None, None) => None,
    }
}

pub(super) fn upstream(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<UpstreamUrl> {
    const NAME: &str = "HEARDBACK_UPSTREAM_URL";
    let edge = text(args.edge.as_ref());
    let region = text(args.region.as_ref());
    let Some(url) = text(args.upstream_url.as_ref()) else {
        return UpstreamUrl::from_region(edge, region)
            .map_err(|error| {
                let (name, found) = match error {
                    UpstreamUrlError::Edge => ("TWILIO_EDGE", edge),
                    UpstreamUrlError::Region
                    | UpstreamUrlError::RegionAlone { .. }
                    | UpstreamUrlError::Origin(_)
                    | UpstreamUrlError::Path => ("TWILIO_REGION", region),
                };
                let found = found.unwrap_or_default();
                reader.problem(Problem::shown(name, found, error.to_string()));
            })
            .ok();
    };
    if edge.or(region).is_some() {
        reader.warn(format!("{NAME} is set, so TWILIO_EDGE and TWILIO_REGION are ignored"));
    }
    match UpstreamUrl::parse(url) {
        Ok(url) => {
            if !url.as_str().ends_with(".twilio.com") {
                reader.warn(format!("{NAME} is {url}: posts and credentials do not go to Twilio"));
            }
            Some(url)
        }
        Err(error) => {
            reader.problem(Problem::shown(NAME, url, error.to_string()));
            None
        }
    }
}

pub(super) fn public_urls(reader: &mut Reader<'_>, args: &SettingsArgs) -> Vec<PublicUrl> {
    const NAME: &str = "HEARDBACK_PUBLIC_URL";
    let list = text(args.public_url.as_ref()).unwrap_or_default();
    let mut urls = Vec::new();
    let mut seen = 0_usize;
    for entry in list.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
        seen += 1;
        match PublicUrl::parse(entry) {
            Ok(url) if urls.contains(&url) => {}
            Ok(url) => urls.push(url),
            Err(error) => {
                let expected = format!("{error}; {URL_EXPECTED}");
                reader.problem(Problem::shown(NAME, entry, expected));
            }
        }
    }
    if seen == 0 {
        reader.problem(Problem::missing(NAME, URL_EXPECTED));
    }
    for url in &urls {
        if let Some(why) = url.why_unreachable() {
            reader.warn(format!("{NAME} {url}: Twilio cannot reach it: {why}"));
        }
        if url.prefix().contains("/twilio/") || url.prefix().contains("/app/") {
            reader.warn(format!(
                "{NAME} {url} looks like a route: give the part before /twilio/… and /app/…"
            ));
        }
    }
    urls
}

pub(super) fn listeners(reader: &mut Reader<'_>, args: &SettingsArgs) -> (ListenAddr, ListenAddr) {
    let listen = reader.address("HEARDBACK_LISTEN", args.listen.as_ref(), DEFAULT_LISTEN);
    let ops = ops_listen(reader, args.ops_listen.as_ref());
    if listen.collides_with(&ops) {
        let expected = "HEARDBACK_LISTEN has the same port; expected another one";
        reader.problem(Problem::shown(OPS_LISTEN, &ops.to_string(), expected));
    }
    if !ops.is_loopback() {
        reader.warn(format!(
            "{OPS_LISTEN} {ops} is open to other machines, /metrics without a password"
        ));
    }
    (listen, ops)
}

pub(super) fn ops_listen(reader: &mut Reader<'_>, given: Option<&String>) -> ListenAddr {
    reader.address(OPS_LISTEN, given, DEFAULT_OPS_LISTEN)
}

/// The password of the operator's page. It is optional only if the listener is certainly loopback: a host name may
/// resolve to any address.
pub(super) fn ops_token(reader: &mut Reader<'_>, listen: &ListenAddr) -> Option<SecretString> {
    const NAME: &str = "HEARDBACK_OPS_TOKEN";
    if !reader.is_set(NAME) && !listen.is_loopback() {
        let way_out = format!(
            "{OPS_LISTEN} {listen} is open to other machines, so the operator's page needs a password: set it, \
             e.g. {RANDOM_HEX}, or listen on 127.0.0.1"
        );
        reader.problem(Problem::missing(NAME, way_out));
    }
    let token = reader.secret(NAME)?;
    if is_short(&token) {
        let expected = format!("expected at least {MIN_KEY_BYTES} bytes, e.g. {RANDOM_HEX}");
        reader.problem(Problem::withheld(NAME, expected));
    }
    Some(token)
}

pub(super) fn client_ip_header(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<String> {
    const NAME: &str = "HEARDBACK_CLIENT_IP_HEADER";
    let found = text(args.client_ip_header.as_ref())?;
    if found.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Some(found.to_owned());
    }
    let expected = "expected a header's name, e.g. Fly-Client-IP";
    reader.problem(Problem::shown(NAME, found, expected));
    None
}

pub(super) fn app_keys(reader: &mut Reader<'_>) -> Option<Vec<SecretString>> {
    const NAME: &str = "HEARDBACK_APP_KEYS";
    let keys = reader.secrets(NAME)?;
    if keys.iter().any(is_short) {
        let expected =
            format!("expected at least {MIN_KEY_BYTES} bytes for each key, e.g. {RANDOM_HEX}");
        reader.problem(Problem::withheld(NAME, expected));
    }
    Some(keys)
}

pub(super) fn phone_key(reader: &mut Reader<'_>) -> Option<SecretString> {
    const NAME: &str = "HEARDBACK_PHONE_KEY";
    let key = reader.secret(NAME)?;
    if is_short(&key) {
        let expected = format!(
            "expected at least {MIN_KEY_BYTES} bytes, e.g. {RANDOM_HEX}; keep it for as long as the store"
        );
        reader.problem(Problem::withheld(NAME, expected));
    }
    Some(key)
}

pub(super) fn click_secret(reader: &mut Reader<'_>) -> Option<PathSecret> {
    const NAME: &str = "HEARDBACK_CLICK_PATH_SECRET";
    let text = reader.secret(NAME)?;
    let secret = PathSecret::parse(text.expose_secret());
    if secret.is_none() {
        let expected = format!(
            "expected at least {} letters, digits or - _ . ~, e.g. {RANDOM_HEX}",
            path_secret::MIN_LEN
        );
        reader.problem(Problem::withheld(NAME, expected));
    }
    secret
}

pub(super) fn call_redirect(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<RedirectUrl> {
    const NAME: &str = "HEARDBACK_CALL_REDIRECT_URL";
    let found = text(args.call_redirect_url.as_ref())?;
    RedirectUrl::parse(found)
        .map_err(|error| {
            let expected = format!("{error}; expected the URL of your app's own TwiML");
            reader.problem(Problem::shown(NAME, found, expected));
        })
        .ok()
}

pub(super) fn store(reader: &mut Reader<'_>, given: Option<&String>) -> Option<StoreUrl> {
    const NAME: &str = "HEARDBACK_STORE";
    let url = text(given).unwrap_or("sled:heardback-data");
    if let Some(path) = url.strip_prefix("sled:").filter(|path| !path.is_empty()) {
        if !path.starts_with("//") {
            return Some(StoreUrl::Sled(PathBuf::from(path)));
        }
        let expected = "write sled:PATH without `//` in front of the path, e.g. sled:/var/lib/x";
        reader.problem(Problem::shown(NAME, url, expected));
    } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
        let expected = "PostgreSQL comes with a later release; expected sled:PATH";
        reader.problem(Problem::withheld(NAME, expected));
    } else if url.contains(':') {
        reader.problem(Problem::shown(NAME, url, "expected sled:PATH"));
    } else {
        reader.problem(Problem::shown(NAME, url, format!("write sled:{}", veiled(url))));
    }
    None
}

pub(super) fn record_refused(reader: &mut Reader<'_>, args: &SettingsArgs) -> Option<PathBuf> {
    const NAME: &str = "HEARDBACK_RECORD_REFUSED";
    let folder = text(args.record_refused.as_ref())?;
    reader.warn(format!(
        "{NAME} keeps the last refused requests in {folder}, phone numbers and texts included; unset \
         it and delete them when `heardback doctor` has told what was wrong"
    ));
    Some(PathBuf::from(folder))
}

pub(super) fn log(reader: &mut Reader<'_>, args: &SettingsArgs) -> LogSettings {
    const FORMAT: &str = "HEARDBACK_LOG_FORMAT";
    let filter = text(args.log.as_ref()).unwrap_or("info").to_owned();
    // A lone word that is no level would name a module and silence everything else.
    let typo = filter
        .split(',')
        .any(|part| !part.contains(['=', '[']) && part.trim().parse::<LevelFilter>().is_err());
    if typo || EnvFilter::try_new(&filter).is_err() {
        let expected = "expected error, warn, info, debug or trace, or info,heardback=debug";
        reader.problem(Problem::shown("HEARDBACK_LOG", &filter, expected));
    }
    let format = match text(args.log_format.as_ref()) {
        None | Some("auto") => LogFormat::Auto,
        Some("pretty") => LogFormat::Pretty,
        Some("json") => LogFormat::Json,
        Some(other) => {
            reader.problem(Problem::shown(FORMAT, other, "expected pretty, json or auto"));
            LogFormat::Auto
        }
    };
    LogSettings { filter, format }
}

pub(super) fn upstream_concurrency(reader: &mut Reader<'_>, args: &SettingsArgs) -> usize {
    const NAME: &str = "HEARDBACK_UPSTREAM_CONCURRENCY";
    reader.count(NAME, args.upstream_concurrency.as_ref(), 1, MAX_CONCURRENCY).unwrap_or(4)
}

pub(super) fn resend(reader: &mut Reader<'_>, args: &SettingsArgs) -> Resend {
    let Some(found) = text(args.resend.as_ref()) else { return Resend::default() };
    let known = Resend::ALL.into_iter().find(|policy| policy.as_str() == found);
    known.unwrap_or_else(|| {
        let expected = "expected newest, only-deliverable, all or code";
        reader.problem(Problem::shown("HEARDBACK_RESEND", found, expected));
        Resend::default()
    })
}

pub(super) fn links(
    reader: &mut Reader<'_>,
    args: &SettingsArgs,
    public_urls: &[PublicUrl],
) -> Links {
    const NAME: &str = "HEARDBACK_LINKS";
    let given = text(args.links.as_ref());
    let found = given.unwrap_or(Links::default().as_str());
    let Some(links) = Links::ALL.into_iter().find(|links| links.as_str() == found) else {
        let expected = "expected off, confirm-on-post, confirm-on-press or confirm-on-get";
        reader.problem(Problem::shown(NAME, found, expected));
        return Links::default();
    };
    let length = public_urls.first().map_or(0, |base| base.as_str().len() + LINK_PATH_LEN);
    if links != Links::Off && length > LONG_LINK {
        reader.warn(format!(
            "a click link takes {length} of the 160 characters of an SMS: a shorter host as the first \
             HEARDBACK_PUBLIC_URL costs less (or HEARDBACK_LINKS=off, if you use none)"
        ));
    }
    links
}
