//! The routes that a recording can be sent to.

use crate::config::Settings;
use crate::domain::route;
use crate::recording::Recording;
use crate::twilio::public_url::PublicUrl;

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

/// The path without values, and its route, or the reason not to send it.
pub(super) fn find(
    recording: &Recording,
    settings: &Settings,
) -> (&'static str, Result<ReplayRoute, &'static str>) {
    let path = path(target(recording, settings));
    if let Some((name, route)) = ROUTES.iter().find(|(name, _)| *name == path) {
        (name, Ok(*route))
    } else if path.starts_with("/app/messages/") {
        (route::LOOK_UP, Ok(ReplayRoute::Message))
    } else if path.starts_with("/c/") {
        (route::LINK, Err("a click link is not signed: its token alone opens it"))
    } else if path.starts_with("/twilio/click/") {
        (route::SECRET_CLICK, Err("it is not signed: the secret in its path authorises it"))
    } else {
        ("(no route)", Err("its path is no route of Heardback's"))
    }
}

pub(super) fn path(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// Path and query without the prefix that the proxy strips. The recording may be from before the proxy.
pub(super) fn target<'a>(recording: &'a Recording, settings: &Settings) -> &'a str {
    let prefix = settings.public_urls.first().map(PublicUrl::prefix).unwrap_or_default();
    let rest = recording.target.strip_prefix(prefix).filter(|rest| rest.starts_with('/'));
    rest.unwrap_or(&recording.target)
}
