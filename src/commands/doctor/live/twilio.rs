//! Whether Twilio accepts the credentials: one line for each.

use std::time::Duration;

use crate::commands::doctor::live::report::{Check, Judgement, fail, ok, warn};
use crate::config::{AccountSettings, Settings};
use crate::domain::feedback::OutcomeDetail;
use crate::upstream::{Credential, CredentialProbe, Upstream, UpstreamConfig};

pub(super) async fn checks(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for account in settings.accounts.iter() {
        let (names, credentials): (Vec<String>, Vec<Credential>) =
            named_credentials(account).into_iter().unzip();
        let upstream = Upstream::new(UpstreamConfig {
            base: account.upstream.as_str().to_owned(),
            credentials,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            user_agent: concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor").to_owned(),
        })?;
        let probed = upstream.probe(account.sid).await;
        let one_works = probed.iter().any(|probed| {
            matches!(probed, CredentialProbe::Good { .. } | CredentialProbe::Limited)
        });
        let host = account.upstream.as_str();
        checks.extend(names.iter().zip(&probed).map(|(name, probed)| {
            let (mark, says) = describe(host, name, probed, one_works);
            Check::new("twilio", mark, says)
        }));
    }
    Ok(checks)
}

/// The credentials that `serve` posts with: the API key if there is one, otherwise every token.
fn named_credentials(account: &AccountSettings) -> Vec<(String, Credential)> {
    if let Some(key) = &account.api_key {
        let credential = Credential { user: key.sid.clone(), secret: key.secret.clone() };
        let name = match account.number {
            Some(_) => format!("the API key of {}", account.place("TWILIO_API_KEY")),
            None => "the API key".to_owned(),
        };
        return vec![(name, credential)];
    }
    let numbered = (1..).zip(&account.tokens).map(|(number, token)| {
        let name = format!("token {number} of {}", account.place("TWILIO_AUTH_TOKEN"));
        (name, Credential { user: account.sid.to_string(), secret: token.clone() })
    });
    numbered.collect()
}

fn describe(host: &str, name: &str, probed: &CredentialProbe, one_works: bool) -> Judgement {
    match probed {
        CredentialProbe::Good { status: Some(status) } if status != "active" => {
            fail(format!("{host} accepts {name}, but the account is {status}"))
        }
        CredentialProbe::Good { .. } => ok(format!("{host} accepts {name}")),
        CredentialProbe::Limited => ok(format!(
            "{host} accepts {name}, which may not read the account; that is fine if it is a Standard \
                 key, or has /twilio/messaging/messages.feedback/create"
        )),
        CredentialProbe::Denied(error) => {
            let (mark, reason) = if one_works {
                warn("another one works, so this one is old")
            } else {
                fail("wrong or old, another account's, or another region's")
            };
            (mark, format!("{host} rejects {name} ({}): {reason}", shown(error)))
        }
        CredentialProbe::Unknown(error) => {
            fail(format!("{host} did not answer as Twilio about {name}: {}", shown(error)))
        }
    }
}

/// The text about an answer that is not Twilio's begins with its status.
fn shown(error: &OutcomeDetail) -> String {
    let status = error.status.map(|status| status.to_string());
    let status = status.filter(|status| !error.message.starts_with(status.as_str()));
    let status = status.map_or_else(String::new, |status| format!("{status}, "));
    let code = error.code.map_or_else(String::new, |code| format!("code {code}: "));
    format!("{status}{code}{}", error.message)
}
