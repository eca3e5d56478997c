//! What else is worth a look: why a request with a good signature may have been refused, and where
//! to begin if nothing that was tried matches.

use crate::commands::doctor::offline::case::{BodyType, Case};
use crate::commands::doctor::offline::finding::shown_host;
use crate::config::AccountSettings;
use crate::domain::route::RouteSigner;

/// The last digits of a SID are enough to tell two apart.
const SHOWN_DIGITS: usize = 4;

/// For a request whose signature is good.
pub(super) fn good(case: &Case<'_>) -> Vec<String> {
    let why = match case.refused_for() {
        Some(_) => {
            "It was refused for its signature then: since then the settings were put right, or the service \
             runs with others than this command."
        }
        None => {
            "If it was refused, then for another reason: the account it names (403), a field (400), its type \
             (415), or a store without room (503)."
        }
    };
    let is_encoded = case.recording.header("Content-Encoding").is_some();
    let is_no_form = case.media == BodyType::Other && case.signer == Some(RouteSigner::Twilio);
    let hints = [
        Some(why.to_owned()),
        other_account(case),
        is_encoded.then(|| "It carries a Content-Encoding, which no route takes (415).".to_owned()),
        is_no_form
            .then(|| "Its Content-Type is no form's; this route takes forms (415).".to_owned()),
    ];
    hints.into_iter().flatten().collect()
}

/// For a request that nothing matches, likeliest first.
pub(super) fn not_found(case: &Case<'_>) -> Vec<String> {
    let text = |applies: bool, text: &str| applies.then(|| text.to_owned());
    let hints = [
        other_account(case).map(|hint| format!("{hint} A subaccount signs with its own token.")),
        text(
            names_unknown_key(case),
            "X-Twilio-Webhooks-Signature-Settings names a SharedKey that is not in TWILIO_SHARED_KEYS.",
        ),
        text(
            case.path().starts_with("/app/twilio/"),
            "This route takes what your app got from Twilio, signed by your app for this URL; Twilio's own \
             signature was made for your app's URL and is worth nothing here.",
        ),
        elsewhere(case),
        other_region(case),
        text(
            case.signer == Some(RouteSigner::App),
            "The app may sign with another key: compare its secret with HEARDBACK_APP_KEYS, without showing \
             either: heardback sign URL --form … signs as it should be.",
        ),
        text(
            case.signer != Some(RouteSigner::App),
            "The token may be another one: rotated and promoted, another account's, or another region's. \
             Compare it with the Console.",
        ),
        text(
            true,
            "Something on the way may have changed the body: a proxy or framework that parses it and writes \
             it anew. See the raw bytes where they arrive first.",
        ),
        text(
            case.is_body_gone(),
            "This recording keeps only the body's hash; with the whole body in the file more can be tried.",
        ),
        text(true, "It may be a forgery; then it was refused rightly."),
    ];
    hints.into_iter().flatten().collect()
}

fn other_region(case: &Case<'_>) -> Option<String> {
    let region = case.first("X-Home-Region").filter(|region| is_word(region))?;
    let is_known = case.config.accounts.iter().any(|account| is_of_region(account, region));
    (!is_known).then(|| {
        format!(
            "X-Home-Region says {region}: each region has auth tokens of its own, and the settings are for \
             another region."
        )
    })
}

fn other_account(case: &Case<'_>) -> Option<String> {
    let named = case.account()?;
    let is_ours = case.config.accounts.iter().any(|account| named == account.sid.as_str());
    let digits = named.len().checked_sub(SHOWN_DIGITS).and_then(|at| named.get(at..));
    let digits = digits.filter(|_| named.len() == 34 && named.starts_with("AC"));
    let which = digits.map_or_else(String::new, |digits| format!(" (AC…{digits})"));
    let ours = if case.config.accounts_file.is_none() {
        "TWILIO_ACCOUNT_SID"
    } else {
        "TWILIO_ACCOUNT_SID and those of HEARDBACK_ACCOUNTS_FILE"
    };
    (!is_ours).then(|| format!("It names another account{which} than {ours}."))
}

/// The proxy says that the request was sent to another host than ours.
fn elsewhere(case: &Case<'_>) -> Option<String> {
    let host = case.first("X-Forwarded-Host").or_else(|| case.first("Host"))?;
    let is_ours = |url: &str| {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let bare = host.split(':').next().unwrap_or_default();
        authority.split(':').next().is_some_and(|ours| ours.eq_ignore_ascii_case(bare))
    };
    let known = case.config.public_urls.iter().any(|url| is_ours(url.as_str()));
    (!known).then(|| {
        format!(
            "It came in for the host {}, which is in no HEARDBACK_PUBLIC_URL; that is fine only if the \
             proxy in front renames it.",
            shown_host(host)
        )
    })
}

fn names_unknown_key(case: &Case<'_>) -> bool {
    let header = case.settings_header().unwrap_or_default();
    let mut entries = header.split(',').filter_map(|entry| entry.split_once('='));
    let named = entries.find(|(name, _)| name.trim() == "key").map(|(_, id)| id.trim());
    let mut known = case.config.accounts.iter().flat_map(|account| &account.shared_keys);
    let mut is_known = |id: &str| known.any(|key| key.id.as_str() == id);
    named.is_some_and(|id| !is_known(id))
}

/// As it is configured, or by the API's host, as `UpstreamUrl` builds it.
fn is_of_region(account: &AccountSettings, region: &str) -> bool {
    if let Some(known) = &account.region {
        return known == region;
    }
    let upstream = account.upstream.as_str();
    upstream.contains(&format!(".{region}."))
        || (region == "us1" && upstream == "https://api.twilio.com")
}

fn is_word(text: &str) -> bool {
    text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
