//! Further checks: other reasons to reject a validly signed request, and first steps if no cause matches.

use crate::commands::doctor::offline::case::{BodyType, Case};
use crate::commands::doctor::offline::finding::shown_host;
use crate::config::AccountSettings;
use crate::domain::route::RouteSigner;

/// For a request with a valid signature.
pub(super) fn good(case: &Case<'_>) -> Vec<String> {
    let reason = if case.was_rejected() {
        "It was rejected for its signature: since then the settings were corrected, or the service runs with \
         other settings than this command."
    } else {
        "If it was rejected, then for another reason: the account it names (403), a field (400), its type \
         (415), or a full store (503)."
    };
    let is_encoded = case.recording.header("Content-Encoding").is_some();
    let is_no_form = case.media == BodyType::Other && case.signer == Some(RouteSigner::Twilio);
    let hints = [
        Some(reason.to_owned()),
        other_account(case),
        hint(is_encoded, "It carries a Content-Encoding, which every route rejects (415)."),
        hint(is_no_form, "Its Content-Type is no form's; this route accepts only forms (415)."),
    ];
    hints.into_iter().flatten().collect()
}

/// For a request that no cause matches, likeliest first.
pub(super) fn not_found(case: &Case<'_>) -> Vec<String> {
    let is_app = case.signer == Some(RouteSigner::App);
    let hints = [
        other_account(case).map(|hint| format!("{hint} A subaccount signs with its own token.")),
        hint(
            names_unknown_key(case),
            "X-Twilio-Webhooks-Signature-Settings names a SharedKey that is not in TWILIO_SHARED_KEYS.",
        ),
        hint(
            case.path().starts_with("/app/twilio/"),
            "On this route your app passes on Twilio's requests and signs them for this URL. Twilio's own \
             signature is for your app's URL, and is invalid here.",
        ),
        other_host(case),
        other_region(case),
        hint(
            is_app,
            "The app may sign with another key: compare its secret with HEARDBACK_APP_KEYS, without showing \
             either. `heardback sign URL --form …` prints a valid signature.",
        ),
        hint(
            !is_app,
            "The token may be another one: rotated and promoted, another account's, or another region's. \
             Compare it with the Console.",
        ),
        hint(
            true,
            "A proxy or framework on the way may have parsed the body and written it anew. Compare the raw \
             bytes at the first hop.",
        ),
        hint(
            case.is_body_gone(),
            "This recording keeps only the body's hash; with the whole body in the file more can be tried.",
        ),
        hint(true, "It may be a forgery; then the rejection is right."),
    ];
    hints.into_iter().flatten().collect()
}

fn hint(applies: bool, text: &str) -> Option<String> {
    applies.then(|| text.to_owned())
}

fn other_region(case: &Case<'_>) -> Option<String> {
    let is_word = |text: &&str| {
        text.len() <= 16 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    let region = case.first("X-Home-Region").filter(is_word)?;
    let is_known = case.config.accounts.iter().any(|account| is_of_region(account, region));
    (!is_known).then(|| {
        format!(
            "X-Home-Region says {region}: each region has auth tokens of its own, and the settings are for \
             another region."
        )
    })
}

/// By the account's region, or by the API's host as `UpstreamUrl` builds it.
fn is_of_region(account: &AccountSettings, region: &str) -> bool {
    if let Some(known) = &account.region {
        return known == region;
    }
    let upstream = account.upstream.as_str();
    upstream.contains(&format!(".{region}."))
        || (region == "us1" && upstream == "https://api.twilio.com")
}

fn other_account(case: &Case<'_>) -> Option<String> {
    let named = case.account()?;
    let is_ours = case.config.accounts.iter().any(|account| named == account.sid.as_str());
    let digits = named.get(30..).filter(|_| named.len() == 34 && named.starts_with("AC"));
    let shown = digits.map_or_else(String::new, |digits| format!(" (AC…{digits})"));
    let ours = if case.config.accounts_file.is_none() {
        "TWILIO_ACCOUNT_SID"
    } else {
        "TWILIO_ACCOUNT_SID and those of HEARDBACK_ACCOUNTS_FILE"
    };
    (!is_ours).then(|| format!("It names another account{shown} than {ours}."))
}

/// By its proxy's headers the request was sent to another host than ours.
fn other_host(case: &Case<'_>) -> Option<String> {
    let host = case.first("X-Forwarded-Host").or_else(|| case.first("Host"))?;
    let without_port = |authority: &str| authority.split(':').next().map(str::to_ascii_lowercase);
    let is_ours = |url: &str| {
        let authority = url.split_once("://").and_then(|(_, rest)| rest.split('/').next());
        without_port(authority.unwrap_or_default()) == without_port(host)
    };
    let is_known = case.config.public_urls.iter().any(|url| is_ours(url.as_str()));
    (!is_known).then(|| {
        format!(
            "It arrived for the host {}, which is in no HEARDBACK_PUBLIC_URL; that is fine only if the proxy \
             in front renames it.",
            shown_host(host)
        )
    })
}

fn names_unknown_key(case: &Case<'_>) -> bool {
    let header = case.settings_header().unwrap_or_default();
    let mut entries = header.split(',').filter_map(|entry| entry.split_once('='));
    let named = entries.find(|(name, _)| name.trim() == "key").map(|(_, id)| id.trim());
    let mut known = case.config.accounts.iter().flat_map(|account| &account.shared_keys);
    named.is_some_and(|id| !known.any(|key| key.id.as_str() == id))
}
