//! Does Twilio take our credentials? One line for each of them.

use std::time::Duration;

use crate::config::Settings;
use crate::domain::feedback::Why;
use crate::tools::doctor::live::{Check, Mark};
use crate::upstream::{Credential, Probed, Upstream, UpstreamConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);
const NAME: &str = "twilio";

pub(super) async fn checks(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    let (names, credentials): (Vec<String>, Vec<Credential>) = named(settings).into_iter().unzip();
    let upstream = Upstream::new(UpstreamConfig {
        base: settings.upstream.as_str().to_owned(),
        credentials,
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: TIMEOUT,
        user_agent: concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor").to_owned(),
    })?;
    let probed = upstream.probe(settings.account).await;
    let one_works = probed.iter().any(is_let_in);
    let checks = names.iter().zip(&probed);
    Ok(checks.map(|(name, probed)| told(settings, name, probed, one_works)).collect())
}

/// What `serve` posts with: the API key if there is one, else every token.
fn named(settings: &Settings) -> Vec<(String, Credential)> {
    if let Some(key) = &settings.api_key {
        let credential = Credential { user: key.sid.clone(), secret: key.secret.clone() };
        return vec![("the API key".to_owned(), credential)];
    }
    let numbered = settings.tokens.iter().enumerate();
    numbered
        .map(|(at, token)| {
            let user = settings.account.to_string();
            let name = format!("token {} of TWILIO_AUTH_TOKEN", at + 1);
            (name, Credential { user, secret: token.clone() })
        })
        .collect()
}

fn is_let_in(probed: &Probed) -> bool {
    match probed {
        Probed::Good { .. } | Probed::Limited => true,
        Probed::Denied(_) | Probed::Trouble(_) => false,
    }
}

fn told(settings: &Settings, name: &str, probed: &Probed, one_works: bool) -> Check {
    let host = settings.upstream.as_str();
    let (mark, says) = match probed {
        Probed::Good { status } => match status.as_deref() {
            None | Some("active") => (Mark::Ok, format!("{host} takes {name}")),
            Some(status) => {
                (Mark::Fail, format!("{host} takes {name}, but the account is {status}"))
            }
        },
        Probed::Limited => (
            Mark::Ok,
            format!(
                "{host} takes {name}, which may not read the account; that is fine if it is a Standard \
                 key, or has /twilio/messaging/messages.feedback/create"
            ),
        ),
        Probed::Denied(why) if one_works => (
            Mark::Warn,
            format!(
                "{host} turns {name} away ({}); the other works, so this one is old",
                shown(why)
            ),
        ),
        Probed::Denied(why) => (
            Mark::Fail,
            format!(
                "{host} turns {name} away ({}): wrong or old, another account's, or another region's",
                shown(why)
            ),
        ),
        Probed::Trouble(why) => {
            (Mark::Fail, format!("{host} could not be asked about {name}: {}", shown(why)))
        }
    };
    Check::new(NAME, mark, says)
}

fn shown(why: &Why) -> String {
    let status = why.status.map(|status| format!("{status}, "));
    let code = why.code.map(|code| format!("code {code}: "));
    format!("{}{}{}", status.unwrap_or_default(), code.unwrap_or_default(), why.message)
}
