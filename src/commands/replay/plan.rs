//! What a recording is, and how it would be signed now: its route, whom it concerns, with which key. Or why it
//! is not sent at all.

use reqwest::Url;

use crate::commands::replay::authenticity;
use crate::commands::replay::key::{ReplayKey, account_key, app_key};
use crate::commands::replay::staleness::counts_as_of_now;
use crate::config::{AccountSettings, Settings};
use crate::domain::route;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::recording::{BODY_HASH_NOTE, HASHED_NOTE, Recording};
use crate::twilio::callback::Relay;
use crate::twilio::fields::{FieldSpelling, Fields};
use crate::twilio::form;
use crate::twilio::public_url::PublicUrl;

/// What is sent along besides the body. What was added on the way says nothing of this way.
const SENT: [&str; 5] = [
    "Content-Type",
    "Content-Encoding",
    "User-Agent",
    "I-Twilio-Idempotency-Token",
    "X-Home-Region",
];
const AS_OF_NOW: &str = "it does not say when it was, so it would count as of now: see --as-of-now";
const RESPELLED: &str =
    "its path would be another one when it is sent: dot segments, backslashes or the like";

/// A route, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplayRoute {
    Reply,
    Status,
    Call,
    Click,
    Events,
    Messages,
    Message,
    Event,
}

/// A request that can be sent.
#[derive(Debug)]
pub(super) struct ReplayPlan {
    pub(super) route: ReplayRoute,
    /// Signed.
    pub(super) request: Recording,
    /// The message that a status callback is about.
    pub(super) about: Option<MessageSid>,
    /// What it is signed with, in words.
    pub(super) key: String,
    /// The public URL that it is signed for.
    pub(super) base: String,
}

/// Where it goes, and how it counts.
pub(super) struct To<'a> {
    pub(super) settings: &'a Settings,
    /// The service's address, without a slash at its end.
    pub(super) service: &'a str,
    /// Whether what bears no time of its own may count as of now.
    pub(super) as_of_now: bool,
    /// Whether the operator answers for what nobody known has signed.
    pub(super) unproven: bool,
}

/// A request's line without what may be personal: the query, and tokens in the path.
pub(super) fn shown(recording: &Recording, settings: &Settings) -> String {
    let (name, _) = place(recording, settings);
    format!("{} {name}", recording.method)
}

/// Makes it ready to be sent.
///
/// # Errors
/// Why it is not sent.
pub(super) fn take(recording: &Recording, to: &To<'_>) -> Result<ReplayPlan, String> {
    let (name, route) = place(recording, to.settings);
    let route = route.map_err(str::to_owned)?;
    if recording.note(HASHED_NOTE).is_some() {
        return Err("it was recorded without its values".into());
    }
    if recording.note(BODY_HASH_NOTE).is_some() {
        return Err("it was recorded without its body, as JSON is".into());
    }
    let target = spelled(to.service, bare(recording, to.settings))?;
    if path(&target) != path(bare(recording, to.settings)) || recording.target.contains('#') {
        return Err(RESPELLED.into());
    }
    let is_apps = name.starts_with("/app/");
    let fields = fields(recording, route);
    let account = account(recording, route, fields.as_ref(), to.settings)?;
    let arrived = bare(recording, to.settings).to_owned();
    let arrived = Recording { target: arrived, ..recording.clone() };
    let owner = authenticity::speaks_for(&arrived, to.settings, to.unproven)?;
    let account = authenticity::account(account, owner, to.settings)?;
    let signer = account.unwrap_or(to.settings.accounts.first());
    let road = if is_apps { Relay::App } else { Relay::Twilio };
    let query = query(recording, FieldSpelling::Twilio);
    let is_late = fields
        .as_ref()
        .zip(query)
        .is_some_and(|(fields, query)| counts_as_of_now(route, fields, &query, (signer.sid, road)));
    if is_late && !to.as_of_now {
        return Err(AS_OF_NOW.into());
    }
    let about = fields.as_ref().filter(|_| route == ReplayRoute::Status);
    let about = about.and_then(|fields| fields.sid("MessageSid", None).ok().flatten());
    let ReplayKey { key, name, selects } =
        if is_apps { app_key(to.settings, account)? } else { account_key(signer)? };
    let base = to.settings.public_urls.first().map(ToString::to_string).unwrap_or_default();
    let headers = recording.headers.iter().filter(|(name, _)| is_sent(name));
    let headers = headers.cloned().chain(selects).collect();
    let request = Recording { target, headers, notes: Vec::new(), ..recording.clone() };
    let request = request.signed(&key, &base);
    Ok(ReplayPlan { route, request, about, key: name, base })
}

fn is_sent(name: &str) -> bool {
    SENT.iter().any(|sent| sent.eq_ignore_ascii_case(name))
}

/// What to call its path, and which route that is; or why it is not sent there.
fn place(
    recording: &Recording,
    settings: &Settings,
) -> (&'static str, Result<ReplayRoute, &'static str>) {
    const ROUTES: [(&str, ReplayRoute); 10] = [
        (route::MESSAGE, ReplayRoute::Reply),
        (route::STATUS, ReplayRoute::Status),
        (route::CALL, ReplayRoute::Call),
        (route::CLICK, ReplayRoute::Click),
        (route::EVENT_STREAM, ReplayRoute::Events),
        (route::APP_MESSAGE, ReplayRoute::Reply),
        (route::APP_STATUS, ReplayRoute::Status),
        (route::APP_CALL, ReplayRoute::Call),
        (route::REGISTER, ReplayRoute::Messages),
        (route::APP_EVENT, ReplayRoute::Event),
    ];
    let path = path(bare(recording, settings));
    if let Some((name, route)) = ROUTES.iter().find(|(name, _)| *name == path) {
        return (name, Ok(*route));
    }
    if path.starts_with("/app/messages/") {
        (route::LOOK_UP, Ok(ReplayRoute::Message))
    } else if path.starts_with("/c/") {
        (route::LINK, Err("a click link is not signed: whoever has it opens it"))
    } else if path.starts_with("/twilio/click/") {
        let why = "nobody signs it: the secret in its path lets it in";
        (route::SECRET_CLICK, Err(why))
    } else {
        ("(no route)", Err("its path is no route of Heardback's"))
    }
}

fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// Path and query without what the proxy in front strips; a recording may be from before that.
fn bare<'a>(recording: &'a Recording, settings: &Settings) -> &'a str {
    let prefix = settings.public_urls.first().map(PublicUrl::prefix).unwrap_or_default();
    let rest = recording.target.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    rest.unwrap_or(&recording.target)
}

/// `None` where it cannot be read; the service will say so.
fn fields(recording: &Recording, route: ReplayRoute) -> Option<Fields> {
    let spelling = match route {
        ReplayRoute::Reply | ReplayRoute::Status | ReplayRoute::Call | ReplayRoute::Events => {
            FieldSpelling::Twilio
        }
        ReplayRoute::Click | ReplayRoute::Messages | ReplayRoute::Message | ReplayRoute::Event => {
            FieldSpelling::Any
        }
    };
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

/// The settings' account that it names. `None`: it names none.
fn account<'a>(
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
        format!("it names the account {named}, and the settings have no key of that")
    })
}

/// Path and query as the client that sends it spells them: what is signed is what is sent.
fn spelled(service: &str, target: &str) -> Result<String, String> {
    let url = Url::parse(&format!("{service}{target}")).map_err(|error| error.to_string())?;
    let origin = Url::parse(service).map_err(|error| error.to_string())?;
    let whole = match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    };
    let prefix = origin.path().trim_end_matches('/');
    Ok(whole.strip_prefix(prefix).unwrap_or(&whole).to_owned())
}
