//! The table of settings, one row each. The flag, the help, the default, the parser, the value that `check` prints and
//! the list of known names come from the row.
//!
//! A problem shows a value only if it cannot be a secret that was pasted into the wrong setting.

use std::path::PathBuf;

use secrecy::SecretString;

use crate::config::listen::ListenAddr;
use crate::config::parse;
use crate::config::parse::{count, duration, one_of, set, switch};
use crate::config::reader::{Setting, Value};
use crate::config::settings::{LogFormat, StoreUrl};
use crate::config::show::{accounts_file, key_count, of_own_account, or_not_set};
use crate::config::show::{shared_key_ids, written};
use crate::domain::click_link::Links;
use crate::domain::matching::Resend;
use crate::domain::redact::veiled;
use crate::twilio::public_url::PublicUrl;
use crate::twilio::twiml::RedirectUrl;

/// The heading of the settings from which the accounts are built.
pub(super) const TWILIO: &str = "Twilio";
const HTTP: &str = "HTTP";
const MATCHING: &str = "Matching";
pub(super) const STORE: &str = "Store";
const LOGS: &str = "Logs";

/// Names that are used outside their row: by rules across settings, or by a command that reads only some settings.
pub(super) const ACCOUNT_SID: &str = "TWILIO_ACCOUNT_SID";
pub(super) const AUTH_TOKEN: &str = "TWILIO_AUTH_TOKEN";
pub(super) const SHARED_KEYS: &str = "TWILIO_SHARED_KEYS";
pub(super) const API_KEY: &str = "TWILIO_API_KEY";
pub(super) const API_SECRET: &str = "TWILIO_API_SECRET";
pub(super) const ACCOUNTS_FILE: &str = "HEARDBACK_ACCOUNTS_FILE";
pub(super) const EDGE: &str = "TWILIO_EDGE";
pub(super) const REGION: &str = "TWILIO_REGION";
pub(super) const UPSTREAM_URL: &str = "HEARDBACK_UPSTREAM_URL";
pub(super) const APP_KEYS: &str = "HEARDBACK_APP_KEYS";
pub(super) const PUBLIC_URL: &str = "HEARDBACK_PUBLIC_URL";
pub(super) const OPS_LISTEN: &str = "HEARDBACK_OPS_LISTEN";
pub(super) const OPS_TOKEN: &str = "HEARDBACK_OPS_TOKEN";
pub(super) const PENDING_TTL: &str = "HEARDBACK_PENDING_TTL";
pub(super) const REPLY_WINDOW: &str = "HEARDBACK_REPLY_WINDOW";
pub(super) const EVENT_WINDOW: &str = "HEARDBACK_EVENT_WINDOW";
pub(super) const READ_CONFIRMS: &str = "HEARDBACK_READ_CONFIRMS";
pub(super) const RESEND: &str = "HEARDBACK_RESEND";
pub(super) const STORE_URL: &str = "HEARDBACK_STORE";
pub(super) const ALLOW_UNVERIFIED_DATABASE: &str = "HEARDBACK_ALLOW_UNVERIFIED_DATABASE";
pub(super) const PHONE_KEY: &str = "HEARDBACK_PHONE_KEY";
pub(super) const RETENTION: &str = "HEARDBACK_RETENTION";
pub(super) const MAX_MESSAGES: &str = "HEARDBACK_MAX_MESSAGES";
pub(super) const MAX_PARKED: &str = "HEARDBACK_MAX_PARKED";
pub(super) const RECORD_REFUSED: &str = "HEARDBACK_RECORD_REFUSED";

/// The place of auth tokens and API keys.
pub(super) const TOKEN_PLACE: &str = "Twilio Console → Account → API keys & tokens";

/// The defaults of the settings that are also flags of single commands.
pub const STORE_DEFAULT: &str = "sled:heardback-data";
pub const OPS_LISTEN_DEFAULT: &str = "127.0.0.1:9091";

/// Every setting, in the order of the help.
pub static SETTINGS: &[Setting] = &[
    Setting {
        name: ACCOUNT_SID,
        heading: TWILIO,
        value: Value::Private("AC…"),
        help: "The account that sends the messages; required without an accounts file",
        read: parse::account_sid,
        show: |settings| of_own_account(settings, |account| account.sid.to_string()),
    },
    Setting {
        name: AUTH_TOKEN,
        heading: TWILIO,
        value: Value::Secret,
        help: "Verifies signatures, and posts if there is no API key. Required. Separate a primary and a \
               secondary token by a comma",
        read: parse::auth_tokens,
        show: |settings| of_own_account(settings, |account| key_count(account.tokens.len())),
    },
    Setting {
        name: SHARED_KEYS,
        heading: TWILIO,
        value: Value::Secret,
        help: "Verify signatures, too: SharedKeys of Twilio's Webhooks API, separated by commas, each \
               id:algorithm:secret. The algorithm is HMAC_SHA1 or HMAC_SHA256",
        read: parse::shared_keys,
        show: |settings| of_own_account(settings, shared_key_ids),
    },
    Setting {
        name: ACCOUNTS_FILE,
        heading: TWILIO,
        value: Value::Text("PATH", ""),
        help: "A TOML file with several accounts, each with its own secrets. SIGHUP reloads it. With it, the \
               settings of one account are optional",
        read: |reader, text| set(&mut reader.values.accounts_file, Ok(Some(PathBuf::from(text)))),
        show: accounts_file,
    },
    Setting {
        name: API_KEY,
        heading: TWILIO,
        value: Value::Private("SK…"),
        help: "The API key that posts, in place of the auth token; requires `TWILIO_API_SECRET`",
        read: parse::api_key,
        show: |settings| {
            of_own_account(settings, |account| match &account.api_key {
                Some(key) => key.sid.clone(),
                None => "not set: the auth token posts".to_owned(),
            })
        },
    },
    Setting {
        name: API_SECRET,
        heading: TWILIO,
        value: Value::Secret,
        help: "The secret of TWILIO_API_KEY",
        read: |reader, text| {
            set(&mut reader.values.own.api_secret, Ok(Some(SecretString::from(text))))
        },
        show: |settings| {
            of_own_account(settings, |account| {
                if account.api_key.is_some() { "set" } else { "not set" }.to_owned()
            })
        },
    },
    Setting {
        name: EDGE,
        heading: TWILIO,
        value: Value::Text("NAME", ""),
        help: "Twilio's edge for posts, e.g. dublin; without a region it implies us1",
        read: |reader, text| set(&mut reader.values.edge, Ok(Some(text.to_owned()))),
        // A secret may have been pasted here.
        show: |settings| or_not_set(settings.edge.as_ref().map(|_| "set".to_owned())),
    },
    Setting {
        name: REGION,
        heading: TWILIO,
        value: Value::Text("NAME", ""),
        help: "Twilio's region of the messages, e.g. ie1; requires an edge",
        read: |reader, text| set(&mut reader.values.region, Ok(Some(text.to_owned()))),
        show: |settings| or_not_set(settings.region.as_ref().map(|_| "set".to_owned())),
    },
    Setting {
        name: UPSTREAM_URL,
        heading: TWILIO,
        value: Value::Text("URL", ""),
        help: "The origin of the API, in place of edge and region; plain http to loopback only [default: \
               api.twilio.com over https]",
        read: parse::upstream_url,
        show: |settings| settings.accounts.first().upstream.to_string(),
    },
    Setting {
        name: "HEARDBACK_UPSTREAM_CONCURRENCY",
        heading: TWILIO,
        value: Value::Text("1..64", "4"),
        help: "Concurrent posts, plus one for each account without a post in flight (64 at most). They share the \
               account's API concurrency with the messages that you send",
        read: |reader, text| set(&mut reader.values.upstream_concurrency, count(text, 1, 64)),
        show: |settings| settings.upstream_concurrency.to_string(),
    },
    Setting {
        name: APP_KEYS,
        heading: HTTP,
        value: Value::Secret,
        help: "Keys that your app signs with, separated by commas, each 16 bytes or more [default: the auth \
               token]",
        read: parse::app_keys,
        show: |settings| match settings.app_keys.len() {
            0 => "the auth token".to_owned(),
            count => key_count(count),
        },
    },
    Setting {
        name: PUBLIC_URL,
        heading: HTTP,
        value: Value::Text("URL,…", ""),
        help: "The origin that Twilio and your app sign, e.g. `https://hooks.example.com`. Required. Separate \
               several by commas",
        read: |reader, text| {
            parse::public_urls(reader, text);
            Ok(())
        },
        show: |settings| {
            let urls: Vec<&str> = settings.public_urls.iter().map(PublicUrl::as_str).collect();
            urls.join(", ")
        },
    },
    Setting {
        name: "HEARDBACK_LISTEN",
        heading: HTTP,
        value: Value::Text("HOST:PORT", "0.0.0.0:8080"),
        help: "The listener for webhooks and your app: an address or a host name, and a port; `[::]` is IPv6 \
               and IPv4",
        read: |reader, text| set(&mut reader.values.listen, ListenAddr::read(text, "0.0.0.0:8080")),
        show: |settings| settings.listen.to_string(),
    },
    Setting {
        name: OPS_LISTEN,
        heading: HTTP,
        value: Value::Text("HOST:PORT", OPS_LISTEN_DEFAULT),
        help: "The listener for the operator's page, and for /livez, /readyz and /metrics, which need no \
               password. Open it to other machines only with `HEARDBACK_OPS_TOKEN`",
        read: |reader, text| {
            set(&mut reader.values.ops_listen, ListenAddr::read(text, OPS_LISTEN_DEFAULT))
        },
        show: |settings| settings.ops_listen.to_string(),
    },
    Setting {
        name: OPS_TOKEN,
        heading: HTTP,
        value: Value::Secret,
        help: "The password of the operator's page, 16 bytes or more; required if HEARDBACK_OPS_LISTEN is not \
               loopback [default: none]",
        read: parse::ops_token,
        show: |settings| match settings.ops_token {
            Some(_) => "set".to_owned(),
            None => "not set: all users of this machine see the page".to_owned(),
        },
    },
    Setting {
        name: "HEARDBACK_CLIENT_IP_HEADER",
        heading: HTTP,
        value: Value::Text("NAME", ""),
        help: "The header in which your proxy names the client's address, e.g. Fly-Client-IP. It is only used \
               to count failed signatures by network [default: none, the peer's address]",
        read: parse::client_ip_header,
        show: |settings| {
            settings.client_ip_header.clone().unwrap_or_else(|| "not set: the peer".to_owned())
        },
    },
    Setting {
        name: "HEARDBACK_CLICK_PATH_SECRET",
        heading: HTTP,
        value: Value::Secret,
        help: "Opens /twilio/click/SECRET for click callbacks without a signature: 16 or more letters, digits \
               or - _ . ~ [default: none, every click must be signed]",
        read: parse::click_secret,
        show: |settings| match settings.click_secret {
            Some(_) => "set: any client that has it can report clicks".to_owned(),
            None => "not set: every click must be signed".to_owned(),
        },
    },
    Setting {
        name: "HEARDBACK_CALL_REDIRECT_URL",
        heading: HTTP,
        value: Value::Text("URL", ""),
        help: "The URL of your own `TwiML` for calls to a number that uses /twilio/call [default: the call is \
               rejected]",
        read: |reader, text| {
            let url = RedirectUrl::parse(text)
                .map_err(|error| format!("{error}; expected the URL of your app's TwiML"))?;
            reader.values.call_redirect = Some(url);
            Ok(())
        },
        show: |settings| match &settings.call_redirect {
            Some(url) => url.to_string(),
            None => "not set: calls are rejected".to_owned(),
        },
    },
    Setting {
        name: PENDING_TTL,
        heading: MATCHING,
        value: Value::Text("DURATION", "7d"),
        help: "How long a message may stay pending without evidence",
        read: |reader, text| set(&mut reader.values.pending_ttl, duration(text)),
        show: |settings| written(settings.pending_ttl),
    },
    Setting {
        name: REPLY_WINDOW,
        heading: MATCHING,
        value: Value::Text("DURATION", "1h"),
        help: "The age up to which a reply or a call confirms a message",
        read: |reader, text| set(&mut reader.values.reply_window, duration(text)),
        show: |settings| written(settings.reply_window),
    },
    Setting {
        name: EVENT_WINDOW,
        heading: MATCHING,
        value: Value::Text("DURATION", "15m"),
        help: "The age up to which an app's event with only a `To` confirms a message",
        read: |reader, text| set(&mut reader.values.event_window, duration(text)),
        show: |settings| written(settings.event_window),
    },
    Setting {
        name: READ_CONFIRMS,
        heading: MATCHING,
        value: Value::Switch("false"),
        help: "Count the status `read` as evidence",
        read: |reader, text| set(&mut reader.values.read_confirms, switch(text)),
        show: |settings| settings.read_confirms.to_string(),
    },
    Setting {
        name: RESEND,
        heading: MATCHING,
        value: Value::Text("POLICY", "newest"),
        help: "The message that evidence confirms if it names only a reference of several messages: newest, \
               only-deliverable, all or code",
        read: |reader, text| {
            let expected = "expected newest, only-deliverable, all or code";
            set(&mut reader.values.resend, one_of(text, Resend::ALL, Resend::as_str, expected))
        },
        show: |settings| settings.resend.as_str().to_owned(),
    },
    Setting {
        name: "HEARDBACK_REFERENCE_TAG",
        heading: MATCHING,
        value: Value::Text("NAME", ""),
        help: "The tag that holds a message's reference: Event Streams register every message with this tag",
        read: |reader, text| set(&mut reader.values.reference_tag, Ok(Some(text.to_owned()))),
        show: |settings| or_not_set(settings.reference_tag.clone()),
    },
    Setting {
        name: "HEARDBACK_IGNORE_CRAWLERS",
        heading: MATCHING,
        value: Value::Switch("true"),
        help: "Ignore the clicks of known crawlers",
        read: |reader, text| set(&mut reader.values.ignore_crawlers, switch(text)),
        show: |settings| settings.ignore_crawlers.to_string(),
    },
    Setting {
        name: "HEARDBACK_LINKS",
        heading: MATCHING,
        value: Value::Text("WHEN", "confirm-on-post"),
        help: "The effect of opening a click link of Heardback: off, confirm-on-post (a page with a button, \
               which a script presses), confirm-on-press (only a person's press counts) or confirm-on-get \
               (a scanner's fetch counts, too)",
        read: |reader, text| {
            let expected = "expected off, confirm-on-post, confirm-on-press or confirm-on-get";
            set(&mut reader.values.links, one_of(text, Links::ALL, Links::as_str, expected))
        },
        show: |settings| settings.links.as_str().to_owned(),
    },
    Setting {
        name: "HEARDBACK_GIVE_UP_AFTER",
        heading: MATCHING,
        value: Value::Text("DURATION", "24h"),
        help: "How long to retry a post, counted from the first attempt",
        read: |reader, text| set(&mut reader.values.give_up_after, duration(text)),
        show: |settings| written(settings.give_up_after),
    },
    Setting {
        name: "HEARDBACK_DRY_RUN",
        heading: MATCHING,
        value: Value::Switch("false"),
        help: "Decide and record, but post nothing. Confirmed messages are posted once this is off",
        read: |reader, text| set(&mut reader.values.dry_run, switch(text)),
        show: |settings| {
            if settings.dry_run { "true: nothing is posted" } else { "false" }.to_owned()
        },
    },
    Setting {
        name: STORE_URL,
        heading: STORE,
        value: Value::Place("sled:PATH|postgres://…", STORE_DEFAULT),
        help: "The store: a folder on this machine, or a PostgreSQL database for several receivers. A URL with a \
               password belongs in the variable, or in a file that HEARDBACK_STORE_FILE names. DATABASE_URL \
               counts if neither is set",
        read: |reader, text| set(&mut reader.values.store, StoreUrl::parse(text)),
        show: |settings| settings.store.to_string(),
    },
    Setting {
        name: "HEARDBACK_STORE_CONNECTIONS",
        heading: STORE,
        value: Value::Text("COUNT", "8"),
        help: "With PostgreSQL: the most connections of this receiver",
        read: |reader, text| set(&mut reader.values.pool.connections, count(text, 3, 1000)),
        show: |settings| settings.pool.connections.to_string(),
    },
    Setting {
        name: "HEARDBACK_STORE_ACQUIRE_TIMEOUT",
        heading: STORE,
        value: Value::Text("DURATION", "2s"),
        help: "With PostgreSQL: the longest wait for a free connection; then the client gets 503",
        read: |reader, text| set(&mut reader.values.pool.acquire_timeout, duration(text)),
        show: |settings| written(settings.pool.acquire_timeout),
    },
    Setting {
        name: "HEARDBACK_STORE_CONNECTION_LIFETIME",
        heading: STORE,
        value: Value::Text("DURATION", "10m"),
        help: "With PostgreSQL: the age at which a connection is replaced. Fly Managed Postgres closes older ones",
        read: |reader, text| set(&mut reader.values.pool.lifetime, duration(text)),
        show: |settings| written(settings.pool.lifetime),
    },
    Setting {
        name: "HEARDBACK_STORE_IDLE_TIMEOUT",
        heading: STORE,
        value: Value::Text("DURATION", "5m"),
        help: "With PostgreSQL: the time after which an unused connection is closed",
        read: |reader, text| set(&mut reader.values.pool.idle_timeout, duration(text)),
        show: |settings| written(settings.pool.idle_timeout),
    },
    Setting {
        name: "HEARDBACK_STORE_POOLER",
        heading: STORE,
        value: Value::Switch("false"),
        help: "With PostgreSQL: whether a pooler without prepared statements is in front, as PgBouncer before 1.21",
        read: |reader, text| set(&mut reader.values.pool.is_behind_pooler, switch(text)),
        show: |settings| settings.pool.is_behind_pooler.to_string(),
    },
    Setting {
        name: ALLOW_UNVERIFIED_DATABASE,
        heading: STORE,
        value: Value::Switch("false"),
        help: "Allow an sslmode weaker than verify-full for a database on another machine",
        read: |reader, text| set(&mut reader.values.allow_unverified_database, switch(text)),
        show: |settings| settings.allow_unverified_database.to_string(),
    },
    Setting {
        name: "HEARDBACK_RUN_DIR",
        heading: STORE,
        value: Value::Text("DIR", "heardback-run"),
        help: "With PostgreSQL: the folder of the control socket, for `doctor --watch` and `replay`",
        read: |reader, text| set(&mut reader.values.run_dir, Ok(PathBuf::from(text))),
        show: |settings| settings.run_dir.display().to_string(),
    },
    Setting {
        name: "HEARDBACK_ALLOW_UNSAFE_STORE",
        heading: STORE,
        value: Value::Switch("false"),
        help: "Allow a store on tmpfs, overlayfs, a network file system or FUSE, which can lose acknowledged \
               records",
        read: |reader, text| set(&mut reader.values.allow_unsafe_store, switch(text)),
        show: |settings| settings.allow_unsafe_store.to_string(),
    },
    Setting {
        name: PHONE_KEY,
        heading: STORE,
        value: Value::Secret,
        help: "The key of the hash of recipients' addresses: a text of 16 bytes or more, or hex: and the digits \
               of `heardback store key` [default: random, kept in the store]",
        read: parse::phone_key,
        show: |settings| match settings.phone_key {
            Some(_) => "set".to_owned(),
            None => "not set: the store keeps a random one".to_owned(),
        },
    },
    Setting {
        name: RETENTION,
        heading: STORE,
        value: Value::Text("DURATION", "30d"),
        help: "How long finished records are kept",
        read: |reader, text| set(&mut reader.values.retention, duration(text)),
        show: |settings| written(settings.retention),
    },
    Setting {
        name: MAX_MESSAGES,
        heading: STORE,
        value: Value::Text("COUNT", "1000000"),
        help: "The most messages. At the limit, a new message evicts the oldest finished one, or gets 503 if \
               there is none. The limit on click links is the same; above it, new links get 503",
        read: |reader, text| set(&mut reader.values.max_messages, count(text, 1, u64::MAX)),
        show: |settings| settings.max_messages.to_string(),
    },
    Setting {
        name: MAX_PARKED,
        heading: STORE,
        value: Value::Text("COUNT", "200000"),
        help: "The most evidence that is parked for messages not yet registered. One account may use at most as \
               much as is free; more gets 503",
        read: |reader, text| set(&mut reader.values.max_parked, count(text, 1, u64::MAX)),
        show: |settings| settings.max_parked.to_string(),
    },
    Setting {
        name: RECORD_REFUSED,
        heading: LOGS,
        value: Value::Text("DIR", ""),
        help: "A folder for the last 20 requests refused for their signature, for doctor. They may contain \
               phone numbers and texts [default: none are kept]",
        read: parse::record_refused,
        show: |settings| {
            or_not_set(settings.record_refused.as_ref().map(|path| path.display().to_string()))
        },
    },
    Setting {
        name: "HEARDBACK_LOG",
        heading: LOGS,
        value: Value::Text("FILTER", "info"),
        help: "The log filter, e.g. debug or info,heardback=debug",
        read: parse::log_filter,
        show: |settings| veiled(&settings.log.filter),
    },
    Setting {
        name: "HEARDBACK_LOG_FORMAT",
        heading: LOGS,
        value: Value::Text("FORMAT", ""),
        help: "pretty or json [default: pretty on a terminal, json otherwise]",
        read: |reader, text| {
            let expected = "expected pretty, json or auto";
            let format = one_of(text, LogFormat::ALL, LogFormat::as_str, expected);
            set(&mut reader.values.log.format, format)
        },
        show: |settings| match settings.log.format {
            LogFormat::Auto => "pretty on a terminal, json otherwise".to_owned(),
            format @ (LogFormat::Pretty | LogFormat::Json) => format.as_str().to_owned(),
        },
    },
];
