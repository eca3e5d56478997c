//! Does Twilio take our credentials? One line for each of them.

use std::time::Duration;

use crate::commands::doctor::live::{Check, CheckStatus};
use crate::config::{AccountSettings, Settings};
use crate::domain::feedback::OutcomeDetail;
use crate::upstream::{Credential, CredentialProbe, Upstream, UpstreamConfig};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const TIMEOUT: Duration = Duration::from_secs(10);
const NAME: &str = "twilio";

pub(super) async fn checks(settings: &Settings) -> anyhow::Result<Vec<Check>> {
    let mut checks = Vec::new();
    for account in settings.accounts.iter() {
        checks.extend(of_account(account).await?);
    }
    Ok(checks)
}

async fn of_account(account: &AccountSettings) -> anyhow::Result<Vec<Check>> {
    let (names, credentials): (Vec<String>, Vec<Credential>) =
        named_credentials(account).into_iter().unzip();
    let upstream = Upstream::new(UpstreamConfig {
        base: account.upstream.as_str().to_owned(),
        credentials,
        connect_timeout: CONNECT_TIMEOUT,
        request_timeout: TIMEOUT,
        user_agent: concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor").to_owned(),
    })?;
    let probed = upstream.probe(account.sid).await;
    let one_works = probed.iter().any(is_let_in);
    let checks = names.iter().zip(&probed);
    Ok(checks.map(|(name, probed)| credential_check(account, name, probed, one_works)).collect())
}

/// What `serve` posts with: the API key if there is one, else every token.
fn named_credentials(account: &AccountSettings) -> Vec<(String, Credential)> {
    if let Some(key) = &account.api_key {
        let credential = Credential { user: key.sid.clone(), secret: key.secret.clone() };
        let name = match account.number {
            Some(_) => format!("the API key of {}", account.place("TWILIO_API_KEY")),
            None => "the API key".to_owned(),
        };
        return vec![(name, credential)];
    }
    let numbered = account.tokens.iter().enumerate();
    numbered
        .map(|(at, token)| {
            let user = account.sid.to_string();
            let name = format!("token {} of {}", at + 1, account.place("TWILIO_AUTH_TOKEN"));
            (name, Credential { user, secret: token.clone() })
        })
        .collect()
}

fn is_let_in(probed: &CredentialProbe) -> bool {
    match probed {
        CredentialProbe::Good { .. } | CredentialProbe::Limited => true,
        CredentialProbe::Denied(_) | CredentialProbe::Unknown(_) => false,
    }
}

fn credential_check(
    account: &AccountSettings,
    name: &str,
    probed: &CredentialProbe,
    one_works: bool,
) -> Check {
    let host = account.upstream.as_str();
    let (mark, says) = match probed {
        CredentialProbe::Good { status } => match status.as_deref() {
            None | Some("active") => (CheckStatus::Ok, format!("{host} takes {name}")),
            Some(status) => {
                (CheckStatus::Fail, format!("{host} takes {name}, but the account is {status}"))
            }
        },
        CredentialProbe::Limited => (
            CheckStatus::Ok,
            format!(
                "{host} takes {name}, which may not read the account; that is fine if it is a Standard \
                 key, or has /twilio/messaging/messages.feedback/create"
            ),
        ),
        CredentialProbe::Denied(why) if one_works => (
            CheckStatus::Warn,
            format!(
                "{host} turns {name} away ({}); the other works, so this one is old",
                shown(why)
            ),
        ),
        CredentialProbe::Denied(why) => (
            CheckStatus::Fail,
            format!(
                "{host} turns {name} away ({}): wrong or old, another account's, or another region's",
                shown(why)
            ),
        ),
        CredentialProbe::Unknown(why) => (
            CheckStatus::Fail,
            format!("{host} did not answer as Twilio about {name}: {}", shown(why)),
        ),
    };
    Check::new(NAME, mark, says)
}

fn shown(why: &OutcomeDetail) -> String {
    // The text about an answer that is not Twilio's begins with its status.
    let status = why.status.map(|status| format!("{status}"));
    let status = status.filter(|status| !why.message.starts_with(status.as_str()));
    let status = status.map(|status| format!("{status}, "));
    let code = why.code.map(|code| format!("code {code}: "));
    format!("{}{}{}", status.unwrap_or_default(), code.unwrap_or_default(), why.message)
}
