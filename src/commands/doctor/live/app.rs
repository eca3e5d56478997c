//! Whether the app accepts Heardback's signature on forwarded webhooks.
//!
//! Only with `--ask-app`, because the app runs its own code on each request. The form names the account and nothing else:
//! no message, no call, no address. A second request has an invalid signature, which a validating app refuses.

use crate::commands::doctor::live::report::{Check, CheckStatus, Judgement, fail, ok, warn};
use crate::commands::replay::signer::account_key;
use crate::config::Settings;
use crate::domain::forward::{ForwardFailure, ForwardKind};
use crate::domain::sid::AccountSid;
use crate::forward::{AppAnswer, AppRequest, Failed, ForwardConfig, Forwarder, Limits};
use crate::twilio::signature::SigningKey;

pub(super) async fn checks(settings: &Settings, asks_app: bool) -> anyhow::Result<Vec<Check>> {
    let targets: Vec<_> = settings.forwards().map(|(scope, url)| (scope, url.clone())).collect();
    if targets.is_empty() {
        return Ok(Vec::new());
    }
    if !asks_app {
        let says =
            "webhooks are forwarded; --ask-app tests whether the app accepts their signature";
        return Ok(vec![Check::new("app", CheckStatus::Ok, says)]);
    }
    let config = ForwardConfig {
        timeout: settings.forward.timeout,
        allows_private: settings.forward.allows_private,
        limits: Limits::default(),
    };
    let forwarder = Forwarder::new(config, targets.clone())?;
    let mut checks = Vec::new();
    for ((sid, kind), url) in targets {
        let account = settings.accounts.iter().find(|account| account.sid == sid);
        let Some(Ok(key)) = account.map(account_key) else { continue };
        let request = |signing: SigningKey| request((sid, kind), signing, key.selects.as_ref());
        let signed = forwarder.forward(request(key.key.clone())).await;
        let forged = forwarder.forward(request(SigningKey::new(b"no key of the app's"))).await;
        let (mark, says) = judge(&signed, &forged);
        checks.push(Check::new("app", mark, format!("{url} ({}): {says}", kind.as_str())));
    }
    Ok(checks)
}

fn request(
    (account, kind): (AccountSid, ForwardKind),
    key: SigningKey,
    selects: Option<&(String, String)>,
) -> AppRequest {
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    let mut headers = vec![
        header("Content-Type", "application/x-www-form-urlencoded"),
        header("User-Agent", concat!("heardback/", env!("CARGO_PKG_VERSION"), " doctor")),
    ];
    headers.extend(selects.map(|(name, value)| header(name, value)));
    let body = format!("AccountSid={account}&ApiVersion=2010-04-01").into_bytes();
    let query = String::new();
    AppRequest { account, kind, key, is_get: false, query, headers, body, person: None }
}

fn judge(signed: &Result<AppAnswer, Failed>, forged: &Result<AppAnswer, Failed>) -> Judgement {
    let has = |answer: &Result<AppAnswer, Failed>, statuses: &[u16]| {
        answer.as_ref().is_ok_and(|answer| statuses.contains(&answer.status))
    };
    // Some apps hide a route from a wrong signature.
    let is_refused = has(forged, &[400, 401, 403, 404]);
    match signed {
        Ok(AppAnswer { status, .. }) if has(signed, &[404, 405]) && has(forged, &[404, 405]) => {
            fail(format!(
                "the app has no route for POST at this path ({status} for a valid and for a wrong signature): \
                 correct the path of the URL, or the app's route"
            ))
        }
        Ok(AppAnswer { status, .. }) if has(signed, &[400, 401, 403]) && is_refused => {
            fail(format!(
                "the app refuses Heardback's signature ({status}), or every request without a message: it must \
                 validate for this very URL, with this account's auth token"
            ))
        }
        Ok(AppAnswer { status, .. }) if is_refused => {
            ok(format!("the app accepts Heardback's signature ({status})"))
        }
        // A webhook without a message may well be an error of the app, after it accepted the signature.
        Err(Failed { failure: ForwardFailure::ServerError, detail }) if is_refused => ok(format!(
            "the app accepts Heardback's signature, and fails on a form without a message ({detail})"
        )),
        Ok(AppAnswer { status, .. }) => warn(format!(
            "the app answers ({status}), but accepts a wrong signature, too: anyone can send it webhooks"
        )),
        Err(Failed { failure, detail }) => {
            fail(format!("the app did not answer: {} ({detail})", failure.as_str()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_valid_signature_must_count_and_a_wrong_one_must_not() {
        let answer = |status| {
            let (content_type, cookies, body) = (None, Vec::new(), Vec::new());
            Ok(AppAnswer { status, content_type, cookies, body })
        };
        let failed = |failure| Err(Failed { failure, detail: "x".to_owned() });
        for (signed, forged, mark, word) in [
            (answer(200), answer(403), CheckStatus::Ok, "accepts"),
            (answer(404), answer(403), CheckStatus::Ok, "404"),
            (
                failed(ForwardFailure::ServerError),
                answer(401),
                CheckStatus::Ok,
                "without a message",
            ),
            (answer(403), answer(403), CheckStatus::Fail, "refuses"),
            (answer(200), answer(200), CheckStatus::Warn, "wrong signature"),
            (
                answer(404),
                answer(404),
                CheckStatus::Fail,
                "has no route for POST at this path (404",
            ),
            (
                answer(405),
                answer(405),
                CheckStatus::Fail,
                "has no route for POST at this path (405",
            ),
            (answer(200), answer(404), CheckStatus::Ok, "accepts Heardback's signature (200)"),
            (failed(ForwardFailure::Timeout), answer(403), CheckStatus::Fail, "timeout"),
            (failed(ForwardFailure::ServerError), answer(200), CheckStatus::Fail, "server_error"),
        ] {
            let (given, says) = judge(&signed, &forged);
            assert!(given == mark && says.contains(word), "{says}");
        }
    }
}
