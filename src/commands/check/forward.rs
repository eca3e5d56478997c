//! The webhooks that Heardback forwards: the URL to paste in place of the app's.

use serde::Serialize;

use crate::config::Settings;
use crate::config::forward::route_of;
use crate::domain::forward::ForwardKind;
use crate::domain::sid::AccountSid;

/// A kind of webhook of one account, and both URLs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Forward {
    account: AccountSid,
    kind: ForwardKind,
    /// For Twilio. The first public URL.
    heardback: String,
    /// The app's URL, without user name, password and query.
    app: String,
}

/// `overrides`: the fragment of a webhook URL.
pub(super) fn forwards(settings: &Settings, overrides: &str) -> Vec<Forward> {
    let public_url = settings.public_urls.first().map_or("", |url| url.as_str());
    let forwards = settings.forwards().map(|((account, kind), url)| Forward {
        account,
        kind,
        heardback: format!("{public_url}{}{overrides}", route_of(kind)),
        app: url.to_string(),
    });
    forwards.collect()
}

/// Lines for the text of `check`; none without a forward.
pub(super) fn text(forwards: &[Forward]) -> Vec<String> {
    let head = (!forwards.is_empty()).then(|| {
        "\nTo paste into Twilio in place of your app's own URLs, to which Heardback forwards:\n"
            .to_owned()
    });
    let lines = forwards.iter().map(|Forward { account, kind, heardback, app }| {
        let kind = match kind {
            ForwardKind::Message => "A message comes in",
            ForwardKind::Call => "A call comes in",
            ForwardKind::Status => "Status callback",
        };
        format!("  {kind} ({account})\n    paste {heardback}\n    in place of {app}")
    });
    head.into_iter().chain(lines).collect()
}
