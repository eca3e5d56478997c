//! The plan for a recording: its route, account and key, and the signed request; or the reason not to send it.

use reqwest::Url;

use crate::commands::replay::route::{self, ReplayRoute, path};
use crate::commands::replay::signer::{ReplayKey, account_key, app_key, proven_account};
use crate::commands::replay::staleness::counts_as_of_now;
use crate::config::{AccountSettings, Settings};
use crate::domain::sid::{AccountSid, MessageSid};
use crate::recording::{BODY_HASH_NOTE, HASHED_NOTE, Recording};
use crate::twilio::callback::Relay;
use crate::twilio::fields::{FieldSpelling, Fields};
use crate::twilio::form;

/// The headers that are sent. The others describe the way of the recorded request.
const SENT: [&str; 5] = [
    "Content-Type",
    "Content-Encoding",
    "User-Agent",
    "I-Twilio-Idempotency-Token",
    "X-Home-Region",
];
const AS_OF_NOW: &str =
    "it does not contain the time of its event, so it would count as of now: see --as-of-now";
const RESPELLED: &str = "its path changes when it is sent: dot segments, backslashes or the like";

#[derive(Debug)]
pub(super) struct ReplayPlan {
    pub(super) route: ReplayRoute,
    pub(super) request: Recording,
    /// The message of a status callback.
    pub(super) about: Option<MessageSid>,
    /// The key's place in the settings.
    pub(super) key: String,
    /// The public URL that it is signed for.
    pub(super) base: String,
}

pub(super) struct PlanOptions<'a> {
    pub(super) settings: &'a Settings,
    /// The service's address, without a slash at its end.
    pub(super) service: &'a str,
    /// Whether requests without a time may count as of now.
    pub(super) as_of_now: bool,
    /// Whether the operator answers for requests that no known key signed.
    pub(super) unproven: bool,
}

/// Plans a request.
///
/// # Errors
/// The reason not to send it.
pub(super) fn plan(recording: &Recording, to: &PlanOptions<'_>) -> Result<ReplayPlan, String> {
    let (name, route) = route::find(recording, to.settings);
    let route = route.map_err(str::to_owned)?;
    if recording.note(HASHED_NOTE).is_some() {
        return Err("it was recorded without its values".into());
    }
    if recording.note(BODY_HASH_NOTE).is_some() {
        return Err("it was recorded without its body, as JSON is".into());
    }
    let arrived = route::target(recording, to.settings);
    let target = spelled(to.service, arrived)?;
    if path(&target) != path(arrived) || recording.target.contains('#') {
        return Err(RESPELLED.into());
    }
    let arrived = Recording { target: arrived.to_owned(), ..recording.clone() };
    let relay = if name.starts_with("/app/") { Relay::ViaApp } else { Relay::Direct };
    let fields = fields(recording, route);
    let named = named_account(recording, route, fields.as_ref(), to.settings)?;
    let account = proven_account(&arrived, named, to.settings, to.unproven)?;
    let signer = account.unwrap_or(to.settings.accounts.first());
    let query = query(recording, FieldSpelling::Twilio);
    let is_stale = fields.as_ref().zip(query).is_some_and(|(fields, query)| {
        counts_as_of_now(route, fields, &query, (signer.sid, relay))
    });
    if is_stale && !to.as_of_now {
        return Err(AS_OF_NOW.into());
    }
    let about = fields.as_ref().filter(|_| route == ReplayRoute::Status);
    let about = about.and_then(|fields| fields.sid("MessageSid", None).ok().flatten());
    let ReplayKey { key, name, selects } = match relay {
        Relay::ViaApp => app_key(to.settings, account)?,
        Relay::Direct => account_key(signer)?,
    };
    let base = to.settings.public_urls.first().map(ToString::to_string).unwrap_or_default();
    let is_sent = |name: &str| SENT.iter().any(|sent| sent.eq_ignore_ascii_case(name));
    let headers = recording.headers.iter().filter(|(name, _)| is_sent(name));
    let headers = headers.cloned().chain(selects).collect();
    let request = Recording { target, headers, notes: Vec::new(), ..arrived };
    Ok(ReplayPlan { route, request: request.signed(&key, &base), about, key: name, base })
}

/// `None`: they cannot be read. The service will report that.
fn fields(recording: &Recording, route: ReplayRoute) -> Option<Fields> {
    let is_webhook = matches!(
        route,
        ReplayRoute::Reply | ReplayRoute::Status | ReplayRoute::Call | ReplayRoute::Events
    );
    let spelling = if is_webhook { FieldSpelling::Twilio } else { FieldSpelling::Any };
    if recording.method == "GET" {
        query(recording, spelling)
    } else if recording.is_form() {
        Fields::from_pairs(&form::pairs(&recording.body), spelling).ok()
    } else {
        Fields::from_json(&recording.body, spelling).ok()
    }
}

fn query(recording: &Recording, spelling: FieldSpelling) -> Option<Fields> {
    let query = recording.target.split_once('?').map_or("", |(_, query)| query);
    Fields::from_pairs(&form::pairs(query.as_bytes()), spelling).ok()
}

/// The configured account that the request names. `None`: the request names none.
fn named_account<'a>(
    recording: &Recording,
    route: ReplayRoute,
    fields: Option<&Fields>,
    settings: &'a Settings,
) -> Result<Option<&'a AccountSettings>, String> {
    let mut ours = settings.accounts.iter();
    if route == ReplayRoute::Events {
        // A batch names it in each event, or only in the events' sources.
        let holds =
            |sid: &str| recording.body.windows(sid.len()).any(|text| text == sid.as_bytes());
        return Ok(ours.find(|account| holds(account.sid.as_str())));
    }
    let named = fields.and_then(|fields| fields.sid("AccountSid", None).ok().flatten());
    let Some(named): Option<AccountSid> = named else { return Ok(None) };
    let found = ours.find(|account| account.sid == named);
    found.map(Some).ok_or_else(|| {
        format!("it names the account {named}, and the settings have no key of that account")
    })
}

/// Path and query in the HTTP client's spelling, which is what the signature has to cover.
fn spelled(service: &str, target: &str) -> Result<String, String> {
    let parse = |url: &str| Url::parse(url).map_err(|error| error.to_string());
    let (url, origin) = (parse(&format!("{service}{target}"))?, parse(service)?);
    let query = url.query().map_or_else(String::new, |query| format!("?{query}"));
    let whole = format!("{}{query}", url.path());
    let prefix = origin.path().trim_end_matches('/');
    Ok(whole.strip_prefix(prefix).unwrap_or(&whole).to_owned())
}
