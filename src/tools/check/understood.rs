//! What was understood of each setting, in words. Of a secret no more than that it is there.

use crate::config::{Account, LogFormat, Settings, StoreUrl};
use crate::domain::public_url::PublicUrl;
use crate::domain::veil::veiled;
use crate::tools::check::human;

/// Each setting by its environment variable, in words. Secrets only as "set".
pub(super) fn understood(settings: &Settings) -> Vec<(&'static str, String)> {
    let urls: Vec<&str> = settings.public_urls.iter().map(PublicUrl::as_str).collect();
    let own = settings.accounts.iter().find(|account| account.number.is_none());
    let own = |of: &dyn Fn(&Account) -> String| own.map_or_else(|| "not set".to_owned(), of);
    let api_key = |account: &Account| match &account.api_key {
        Some(key) => key.sid.clone(),
        None => "not set: the auth token posts".to_owned(),
    };
    let has_secret = |account: &Account| match account.api_key {
        Some(_) => "set".to_owned(),
        None => "not set".to_owned(),
    };
    let StoreUrl::Sled(path) = &settings.store;
    let format = match settings.log.format {
        LogFormat::Auto => "pretty on a terminal, else json",
        LogFormat::Pretty => "pretty",
        LogFormat::Json => "json",
    };
    let dry_run = if settings.dry_run { "true: nothing is posted" } else { "false" };
    let phone_key = match &settings.phone_key {
        Some(_) => "set",
        None => "not set: the store keeps a random one",
    };
    let ops_token = match &settings.ops_token {
        Some(_) => "set",
        None => "not set: whoever is on this machine sees the page",
    };
    let refused = settings.record_refused.as_ref().map(|path| path.display().to_string());
    let click_secret = match &settings.click_secret {
        Some(_) => "set: whoever has it may tell of clicks",
        None => "not set: every click must be signed",
    };
    let rejected = || "not set: calls are rejected".to_owned();
    let call_redirect = settings.call_redirect.as_ref().map_or_else(rejected, ToString::to_string);
    vec![
        ("HEARDBACK_PUBLIC_URL", urls.join(", ")),
        ("TWILIO_ACCOUNT_SID", own(&|account| account.sid.to_string())),
        ("TWILIO_AUTH_TOKEN", own(&|account| keys(account.tokens.len()))),
        ("TWILIO_SHARED_KEYS", own(&shared_keys)),
        ("TWILIO_API_KEY", own(&api_key)),
        ("TWILIO_API_SECRET", own(&has_secret)),
        ("HEARDBACK_ACCOUNTS_FILE", accounts_file(settings)),
        ("HEARDBACK_APP_KEYS", app_keys(settings)),
        ("HEARDBACK_CLICK_PATH_SECRET", click_secret.to_owned()),
        ("HEARDBACK_CALL_REDIRECT_URL", call_redirect),
        ("HEARDBACK_UPSTREAM_URL", settings.accounts.first().upstream.to_string()),
        ("HEARDBACK_UPSTREAM_CONCURRENCY", settings.upstream_concurrency.to_string()),
        ("HEARDBACK_STORE", format!("sled:{}", path.display())),
        ("HEARDBACK_ALLOW_UNSAFE_STORE", settings.allow_unsafe_store.to_string()),
        ("HEARDBACK_PHONE_KEY", phone_key.to_owned()),
        ("HEARDBACK_LISTEN", settings.listen.to_string()),
        (
            "HEARDBACK_CLIENT_IP_HEADER",
            settings.client_ip_header.clone().unwrap_or_else(|| "not set: the peer".to_owned()),
        ),
        ("HEARDBACK_OPS_LISTEN", settings.ops_listen.to_string()),
        ("HEARDBACK_OPS_TOKEN", ops_token.to_owned()),
        ("HEARDBACK_GIVE_UP_AFTER", human(settings.give_up_after)),
        ("HEARDBACK_PENDING_TTL", human(settings.pending_ttl)),
        ("HEARDBACK_REPLY_WINDOW", human(settings.reply_window)),
        ("HEARDBACK_EVENT_WINDOW", human(settings.event_window)),
        ("HEARDBACK_RETENTION", human(settings.retention)),
        ("HEARDBACK_MAX_MESSAGES", settings.max_messages.to_string()),
        ("HEARDBACK_MAX_PARKED", settings.max_parked.to_string()),
        ("HEARDBACK_READ_CONFIRMS", settings.read_confirms.to_string()),
        ("HEARDBACK_RESEND", settings.resend.as_str().to_owned()),
        (
            "HEARDBACK_REFERENCE_TAG",
            settings.reference_tag.clone().unwrap_or_else(|| "not set".to_owned()),
        ),
        ("HEARDBACK_IGNORE_CRAWLERS", settings.ignore_crawlers.to_string()),
        ("HEARDBACK_LINKS", settings.links.as_str().to_owned()),
        ("HEARDBACK_DRY_RUN", dry_run.to_owned()),
        ("HEARDBACK_RECORD_REFUSED", refused.unwrap_or_else(|| "not set".to_owned())),
        ("HEARDBACK_LOG", veiled(&settings.log.filter)),
        ("HEARDBACK_LOG_FORMAT", format.to_owned()),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", traces(settings)),
    ]
}

/// Where spans go, by whichever of OpenTelemetry's variables. Headers are the SDK's affair, and secret.
fn traces(settings: &Settings) -> String {
    match &settings.traces {
        Some(traces) => format!("{}: spans are exported there", traces.collector),
        None => "not set, or switched off: no spans are exported".to_owned(),
    }
}

/// The file, and what was understood of each account in it.
fn accounts_file(settings: &Settings) -> String {
    let Some(path) = &settings.accounts_file else { return "not set".to_owned() };
    let one = |account: &Account| {
        let tokens = keys(account.tokens.len());
        let shared = shared_keys(account);
        let posts = account.api_key.as_ref().map_or("the auth token", |key| key.sid.as_str());
        let sid = account.sid;
        let upstream = &account.upstream;
        format!("{sid}: tokens {tokens}, SharedKeys {shared}, posts with {posts} to {upstream}")
    };
    let accounts = settings.accounts.iter().filter(|account| account.number.is_some());
    let accounts: Vec<String> = accounts.map(one).collect();
    format!("{}; {}", path.display(), accounts.join("; "))
}

/// By default the app signs with the auth token; that is worth knowing.
fn app_keys(settings: &Settings) -> String {
    match settings.app_keys.len() {
        0 => "the auth token".to_owned(),
        count => keys(count),
    }
}

/// Which key is bound to which algorithm: neither is secret.
fn shared_keys(account: &Account) -> String {
    let keys = account.shared_keys.iter();
    let keys = keys.map(|key| format!("{} ({})", key.id.as_str(), key.algorithm.as_str()));
    let keys: Vec<String> = keys.collect();
    if keys.is_empty() { "not set".to_owned() } else { keys.join(", ") }
}

fn keys(count: usize) -> String {
    format!("set ({count} {})", if count == 1 { "key" } else { "keys" })
}
