//! What else is worth a look: why a request with a good signature may have been refused, and where
//! to begin if nothing that was tried matches.

use crate::config::{Account, Settings};
use crate::tools::doctor::offline::case::{Case, Media, Signer};
use crate::tools::doctor::offline::finding::shown_host;

/// The last digits of a SID are enough to tell two apart.
const SHOWN_DIGITS: usize = 4;

/// For a request whose signature is good.
pub(super) fn good(settings: &Settings, case: &Case<'_>) -> Vec<String> {
    let mut hints = Vec::new();
    match case.refused_for() {
        Some(_) => {
            hints.push(
                "It was refused for its signature then: since then the settings were put right, or the \
                 service runs with others than this command."
                    .to_owned(),
            );
        }
        None => hints.push(
            "If it was refused, then for another reason: the account it names (403), a field (400), its \
             type (415), or a store without room (503)."
                .to_owned(),
        ),
    }
    hints.extend(other_account(settings, case));
    if case.recording.header("Content-Encoding").is_some() {
        hints.push("It carries a Content-Encoding, which no route takes (415).".to_owned());
    }
    if case.media == Media::Other && case.signer == Signer::Twilio {
        hints.push("Its Content-Type is no form's; this route takes forms (415).".to_owned());
    }
    hints
}

/// For a request that nothing matches, likeliest first.
pub(super) fn not_found(settings: &Settings, case: &Case<'_>) -> Vec<String> {
    let mut hints = Vec::new();
    if let Some(hint) = other_account(settings, case) {
        hints.push(format!("{hint} A subaccount signs with its own token."));
    }
    if names_unknown_key(settings, case) {
        hints.push(
            "X-Twilio-Webhooks-Signature-Settings names a SharedKey that is not in TWILIO_SHARED_KEYS."
                .to_owned(),
        );
    }
    if case.path().starts_with("/app/twilio/") {
        hints.push(
            "This route takes what your app got from Twilio, signed by your app for this URL; Twilio's \
             own signature was made for your app's URL and is worth nothing here."
                .to_owned(),
        );
    }
    hints.extend(elsewhere(settings, case));
    if let Some(region) = case.first("X-Home-Region").filter(|region| is_word(region))
        && !settings.accounts.iter().any(|account| is_of_region(account, region))
    {
        hints.push(format!(
            "X-Home-Region says {region}: each region has auth tokens of its own, and the settings \
                 are for another region."
        ));
    }
    hints.push(match case.signer {
        Signer::App => "The app may sign with another key: compare its secret with HEARDBACK_APP_KEYS, \
                        without showing either: heardback sign URL --form … signs as it should be."
            .to_owned(),
        Signer::Twilio | Signer::Unknown => "The token may be another one: rotated and promoted, another \
                                             account's, or another region's. Compare it with the Console."
            .to_owned(),
    });
    hints.push(
        "Something on the way may have changed the body: a proxy or framework that parses it and writes \
         it anew. See the raw bytes where they arrive first."
            .to_owned(),
    );
    if case.kept_hash().is_some() {
        hints.push(
            "This recording keeps only the body's hash; with the whole body in the file more can be tried."
                .to_owned(),
        );
    }
    hints.push("It may be a forgery; then it was refused rightly.".to_owned());
    hints
}

fn other_account(settings: &Settings, case: &Case<'_>) -> Option<String> {
    let named = case.field("AccountSid").or_else(|| case.field("account_sid"))?;
    let is_ours = settings.accounts.iter().any(|account| named == account.sid.as_str());
    let digits = named.len().checked_sub(SHOWN_DIGITS).and_then(|at| named.get(at..));
    let digits = digits.filter(|_| named.len() == 34 && named.starts_with("AC"));
    let which = digits.map_or_else(String::new, |digits| format!(" (AC…{digits})"));
    let ours = if settings.accounts_file.is_none() {
        "TWILIO_ACCOUNT_SID"
    } else {
        "TWILIO_ACCOUNT_SID and those of HEARDBACK_ACCOUNTS_FILE"
    };
    (!is_ours).then(|| format!("It names another account{which} than {ours}."))
}

/// The proxy says that the request was sent to another host than ours.
fn elsewhere(settings: &Settings, case: &Case<'_>) -> Option<String> {
    let host = case.first("X-Forwarded-Host").or_else(|| case.first("Host"))?;
    let is_ours = |url: &str| {
        let authority = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = authority.split('/').next().unwrap_or_default();
        let bare = host.split(':').next().unwrap_or_default();
        authority.split(':').next().is_some_and(|ours| ours.eq_ignore_ascii_case(bare))
    };
    let known = settings.public_urls.iter().any(|url| is_ours(url.as_str()));
    (!known).then(|| {
        format!(
            "It came in for the host {}, which is in no HEARDBACK_PUBLIC_URL; that is fine only if the \
             proxy in front renames it.",
            shown_host(host)
        )
    })
}

fn names_unknown_key(settings: &Settings, case: &Case<'_>) -> bool {
    let header = case.settings().unwrap_or_default();
    let mut entries = header.split(',').filter_map(|entry| entry.split_once('='));
    let named = entries.find(|(name, _)| name.trim() == "key").map(|(_, id)| id.trim());
    let mut known = settings.accounts.iter().flat_map(|account| &account.shared_keys);
    let mut is_known = |id: &str| known.any(|key| key.id.as_str() == id);
    named.is_some_and(|id| !is_known(id))
}

/// As it is configured, or by the API's host, as `UpstreamUrl` builds it.
fn is_of_region(account: &Account, region: &str) -> bool {
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
