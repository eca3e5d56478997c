//! The table of known causes: each row transforms a part of the request into a form that its sender may have signed,
//! says what happened and what to do, and names the report or document that describes the cause.
//!
//! The search tries each row, and pairs of rows. A new cause is a new row; without a source it does not belong here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::percent_decode_str;

use crate::commands::doctor::offline::body_hash::Hashes;
use crate::commands::doctor::offline::case::{BodyType, Case, Parameter};
use crate::commands::doctor::offline::finding::{Deviation, no_detail};
use crate::commands::doctor::offline::form::{
    self, FormContents, body_with, names, repeated, replaced, values,
};
use crate::commands::doctor::offline::keys::{KeyKind, KeySource};
use crate::commands::doctor::offline::url::{self, Forms, Part, Url};
use crate::domain::hex;
use crate::domain::route::RouteSigner::{App, Twilio};
use crate::recording::NEAREST_NOTE;
use crate::twilio::public_url::CONNECTION_OVERRIDES;

pub(super) struct Cause {
    /// One word for programs, stable between releases.
    pub(super) id: &'static str,
    pub(super) transform: Transform,
    source: &'static str,
    /// `{}` stands for the detail that the transform returns, here and in `fix`.
    says: &'static str,
    fix: &'static str,
}

/// The effect of a cause. A returned `Option` holds the detail if the cause applies.
#[derive(Clone, Copy)]
pub(super) enum Transform {
    /// The request has no signature that can be verified. The first that applies counts.
    Unverifiable(fn(&Case<'_>) -> Option<String>),
    Header(fn(&str) -> String),
    Key(fn(&KeySource, &Case<'_>) -> Option<String>),
    /// Other forms of a part of the URL.
    UrlPart(Part, fn(&Case<'_>, &Url) -> Forms),
    /// A change to all parameters of a form. The search also tries pairs of these.
    Form(fn(&[Parameter]) -> Vec<Parameter>),
    /// Other contents than the expected one.
    Content(fn(&Case<'_>) -> FormContents),
    /// The body is not the signed one, under a valid signature. The first that applies counts.
    BodyHash(fn(&Hashes<'_>) -> Option<String>),
}

impl Cause {
    pub(super) fn deviation(&self, detail: &str) -> Deviation {
        let [says, fix] = [self.says, self.fix].map(|text| text.replacen("{}", detail, 1));
        Deviation { id: self.id, says, fix, source: self.source }
    }
}

const fn row(
    id: &'static str,
    transform: Transform,
    source: &'static str,
    says: &'static str,
    fix: &'static str,
) -> Cause {
    Cause { id, transform, source, says, fix }
}

/// Hexadecimal digits as base64, or nothing.
fn from_hex(header: &str) -> String {
    let digits = header.strip_prefix("sha1=").or_else(|| header.strip_prefix("sha256="));
    let bytes = hex::decoded(digits.unwrap_or(header));
    bytes.map(|bytes| STANDARD.encode(bytes)).unwrap_or_default()
}

const SLASH: &str = "Make the sender's URL and the one that arrives equal, slash by slash. The proxy may rewrite it.";
const PATH: &str = "Let the proxy pass the path on unchanged, byte by byte.";
const QUERY: &str = "Let the proxy or framework pass the query on unchanged, byte by byte.";
const ADDED: &str = "Find the proxy or framework that adds it on the way.";
const SCHEME: &str = "Give Twilio (or your app) the URL exactly as HEARDBACK_PUBLIC_URL has it, scheme included; or correct HEARDBACK_PUBLIC_URL.";
const RAW: &str = "Pass the body on byte by byte, instead of parsing it and writing it anew.";
const ESCAPE: &str = "Escape values when the form is written: a + is %2B, a blank is + or %20.";
const UTF8: &str = "Read and write the body as UTF-8.";
const ONCE: &str = "Sign each value that is sent, or send it once.";
const EACH: &str = "Sign name and value for each value (as Twilio's Python and Node helpers do).";
const DECODED: &str = "Sign decoded values.";
const RULE: &str = "Twilio's rule: the URL, then each parameter's name and decoded value, sorted by name, nothing in between. `heardback sign` shows it; the helper libraries do it.";
const DROPS: &str = "Find the framework or proxy that drops empty or unknown parameters.";
const BASE64: &str =
    "Send the base64 unchanged, 28 characters for HMAC-SHA1; let no proxy rewrite it.";
const HEADERS: &str = "Let the proxy pass on every X-Twilio-* header unchanged.";
const AS_FORM: &str = "Send it as application/x-www-form-urlencoded. Many HTTP clients choose multipart for a form object or a file.";

const OF_TWILIO: &str = "Twilio, Security: https://www.twilio.com/docs/usage/security";
const OF_SHARED_KEYS: &str = "Twilio's Python library 9.13.0, request_validator.py (SharedKeys)";
const OF_PROXIES: &str = "twilio/twilio-node#321, twilio/twilio-python#751, dograh-hq/dograh#510";
const OF_PORTS: &str = "twilio/twilio-python#402";
const OF_PATHS: &str = "twilio/twilio-node#145, Yoctol/bottender#815";
const OF_QUERIES: &str = "twilio/twilio-php#790, bmlt-enabled/yap#1629, twilio/twilio-node#1059";
const OF_GATEWAYS: &str = "twilio/twilio-agent-connect-aws#44";
const OF_PLUS: &str = "postmanlabs/postman-app-support#8849, neil-lobracco/twilio-rs#2";
const OF_TRIMMING: &str = "laravel/cashier-paddle#120 (TrimStrings), twilio/twilio-php#436";
const OF_FORMS: &str =
    "WHATWG HTML, constructing the form data set, and URL, application/x-www-form-urlencoded";
const OF_PHP: &str = "PHP manual, Variables From External Sources";
const OF_REPEATS: &str = "twilio/twilio-python#613, twilio/twilio-node#722";
const OF_ENCODINGS: &str = "octokit/webhooks.js#1155, github/docs#3567";
const OF_KEYS: &str = "docker/cli#3630 (quotes), kimdre/doco-cd#545 (line break)";
const OF_BASE64: &str = "RFC 4648, sections 3.2, 4, 5 and 8";
const OURS: &str = "heardback: docs/app.md, Signing";

use Transform::{BodyHash, Content, Form, Header, Key, Unverifiable, UrlPart};

/// The rows. Of two with the same effect the first one counts.
#[rustfmt::skip] // One line for the transform, one or two for the texts.
pub(super) static CAUSES: [Cause; 83] = [
    // No signature that can be verified.
    row("no_route", Unverifiable(|case| case.recording.note(NEAREST_NOTE).map(str::to_owned)), OURS,
        "There is no such route: the answer was 404. The nearest route is {}.",
        "Correct the URL at Twilio or in the app, so that its path ends with {}."),
    row("unsigned", Unverifiable(|case| no_detail(case.is_unsigned())), OF_TWILIO,
        "There is no X-Twilio-Signature: Twilio did not send this, or a proxy removed the header.",
        "Nothing to do if the sender is unknown. If Twilio or your app sent it, let the proxy pass on every X-Twilio-* header."),
    row("sha256", Unverifiable(|case| no_detail(case.signature_length() == Some(44))), OF_SHARED_KEYS,
        "The signature has 32 bytes, which HMAC-SHA256 makes, and the request names no SharedKey that is bound to it.",
        "An app of yours: sign with SHA-1, as Twilio's helper libraries do. A SharedKey webhook of Twilio's: let the proxy pass X-Twilio-Webhooks-Signature-Settings on."),
    row("malformed", Unverifiable(|_| no_detail(true)), OF_BASE64,
        "X-Twilio-Signature is not 20 bytes in base64 (28 characters), and no known repair makes it so.",
        "Compare the sent header with the one that arrived, and find the proxy that cut or rewrote it. The service does not record such a header: write the header into the file, and doctor tries to repair it."),
    // The signature header.
    row("second_header", Header(str::to_owned), "RFC 9110, section 5.3",
        "There are several X-Twilio-Signature headers, and only the first one counts.",
        "Find the proxy that adds one, and let it leave the header alone."),
    row("quoted", Header(|text| text.trim_matches(['"', '\'', ' ']).to_owned()), OF_BASE64,
        "X-Twilio-Signature came in quotes or between blanks.", BASE64),
    row("percent_encoded", Header(|text| percent_decode_str(text).decode_utf8_lossy().into()), OF_BASE64,
        "X-Twilio-Signature came percent-encoded.", BASE64),
    row("plus_lost", Header(|text| text.replace(' ', "+")), OF_BASE64,
        "X-Twilio-Signature came with its `+` turned into blanks.", BASE64),
    row("url_safe_base64", Header(|text| text.replace('-', "+").replace('_', "/")), OF_BASE64,
        "X-Twilio-Signature came in URL-safe base64.", BASE64),
    row("padding_lost", Header(|text| format!("{}=", text.trim_end_matches('='))), OF_BASE64,
        "X-Twilio-Signature came without the `=` at its end.", BASE64),
    row("hexadecimal", Header(from_hex), OF_BASE64,
        "X-Twilio-Signature came in hexadecimal instead of base64.", BASE64),
    // The key.
    row("token_on_app_route", Key(|key, case| key.wrong_route(case, App, KeyKind::Token)), OURS,
        "It is signed with the account's auth token, but this route accepts app keys (HEARDBACK_APP_KEYS).",
        "Let your app sign with an app key. To pass on a request of Twilio's, it has to sign it anew."),
    row("app_key_on_twilio_route", Key(|key, case| key.wrong_route(case, Twilio, KeyKind::App)), OURS,
        "It is signed with an app key, but this route is Twilio's and accepts the account's auth tokens.",
        "Your app calls the routes under /app/; to pass on a request of Twilio's: /app/twilio/…."),
    row("shared_key_on_app_route", Key(|key, case| key.wrong_route(case, App, KeyKind::Shared)), OURS,
        "It is signed with a SharedKey of Twilio's, but this route accepts app keys (HEARDBACK_APP_KEYS).",
        "Point Twilio at the routes under /twilio/; let your app sign with an app key."),
    row("other_accounts_key", Key(KeySource::wrong_account), "twilio/twilio-php#436 (a subaccount signs with its own token)",
        "It names an account, and is signed with a key that speaks for another one only.",
        "Each subaccount signs with its own token: compare AccountSid with the place of that key in the settings."),
    row("algorithm", Key(|key, _| key.other_algorithm()), OF_SHARED_KEYS,
        "It is signed with {}.",
        "A SharedKey: write its algorithm into TWILIO_SHARED_KEYS as the Console shows it. A token or an app key: sign with HMAC-SHA1, as Twilio's helper libraries do."),
    row("settings_header_missing", Key(KeySource::header_missing), OF_SHARED_KEYS,
        "It is signed with {}, but X-Twilio-Webhooks-Signature-Settings is missing.", HEADERS),
    row("settings_header_other", Key(KeySource::header_other), OF_SHARED_KEYS,
        "It is signed with {}, but X-Twilio-Webhooks-Signature-Settings names another key or algorithm.", HEADERS),
    row("key_damaged", Key(|key, _| key.damage()), OF_KEYS,
        "It is signed with {}: the sender's copy of the key is damaged.",
        "Copy the key from these settings to the sender again, character by character, and restart the sender."),
    row("key_quoted", Key(|key, _| (key.kind == KeyKind::Unquoted).then(|| key.name.clone())), OF_KEYS,
        "It is signed with {} without the quotes or blanks around it in the settings.",
        "Remove them from the setting. `docker --env-file` keeps quotes as part of the value."),
    row("api_secret", Key(|key, _| no_detail(key.kind == KeyKind::ApiSecret)), "twilio/twilio-csharp#628",
        "It is signed with the API key's secret, which no route accepts.",
        "Let your app sign with an app key of HEARDBACK_APP_KEYS."),
    row("account_sid", Key(|key, _| no_detail(key.kind == KeyKind::AccountSid)), OURS,
        "It is signed with the account's SID, which is no secret: name and token are swapped in the sender's settings.",
        "Put the auth token or the app key into the sender's setting for its secret."),
    row("empty_key", Key(|key, _| no_detail(key.kind == KeyKind::Empty)), "POSIX shell, section 2.6.2: an unset variable expands to nothing",
        "It is signed with an empty key: the setting for the sender's secret is not set.",
        "Set it at the sender, and restart the sender."),
    // The URL.
    row("scheme_http", UrlPart(Part::Scheme, |_, _| url::form("http://")), OF_PROXIES,
        "It was signed for http, not for https.", SCHEME),
    row("scheme_https", UrlPart(Part::Scheme, |_, _| url::form("https://")), OF_PROXIES,
        "It was signed for https, not for http.", SCHEME),
    row("host", UrlPart(Part::Host, url::hosts), OF_PROXIES,
        "It was signed for the host {} as in HEARDBACK_PUBLIC_URL.",
        "Correct HEARDBACK_PUBLIC_URL or the sender's URL, so that both have one host. HEARDBACK_PUBLIC_URL may list several, separated by commas."),
    row("port", UrlPart(Part::Port, url::ports), OF_PORTS,
        "It was signed with the port {} in the URL.",
        "Remove the port from the sender's URL, or write it into HEARDBACK_PUBLIC_URL."),
    row("no_port", UrlPart(Part::Port, |_, url| url::without(url, Part::Port)), OF_PORTS,
        "It was signed without the port {} of HEARDBACK_PUBLIC_URL.",
        "Remove the port from HEARDBACK_PUBLIC_URL, or write it into the sender's URL."),
    row("prefix_dropped", UrlPart(Part::Prefix, |_, url| url::without(url, Part::Prefix)), OF_PROXIES,
        "It was signed without the path prefix {} of HEARDBACK_PUBLIC_URL, or the proxy did not strip it.",
        "Write the prefix into the sender's URL and let the proxy strip it, or remove it from HEARDBACK_PUBLIC_URL."),
    row("prefix_added", UrlPart(Part::Prefix, url::prefixes), OF_PROXIES,
        "It was signed with the path prefix {}, which the proxy stripped.",
        "Write the prefix into HEARDBACK_PUBLIC_URL, after the host."),
    row("slash_added", UrlPart(Part::Path, url::slash_removed), OF_TWILIO,
        "It was signed without the slash at the end of its path.", SLASH),
    row("slash_dropped", UrlPart(Part::Path, |case, _| url::form(format!("{}/", case.path()))), OF_TWILIO,
        "It was signed with a slash at the end of its path.", SLASH),
    row("double_slash", UrlPart(Part::Path, |case, _| url::form(format!("/{}", case.path()))), OF_PATHS,
        "It was signed with two slashes at the beginning of its path.",
        "The sender joins a URL that ends in a slash with a path that begins with one."),
    row("path_rewritten", UrlPart(Part::Path, url::original_paths), OF_PATHS,
        "It was signed for the path that the {} header names.", PATH),
    row("route", UrlPart(Part::Path, url::other_routes), OF_PATHS,
        "It was signed for the route {}, and arrived on another one.",
        "Send it to the route that it is signed for, or undo the proxy's rewriting."),
    row("query_added", UrlPart(Part::Query, |_, url| url::without(url, Part::Query)), OF_GATEWAYS,
        "It was signed without its query.", ADDED),
    row("query_order", UrlPart(Part::Query, url::orders), OF_QUERIES,
        "It was signed with its query's parameters in another order.", QUERY),
    row("query_encoding", UrlPart(Part::Query, url::escapes), OF_QUERIES,
        "It was signed with {} in its query.", QUERY),
    row("query_parameter_added", UrlPart(Part::Query, url::fewer), OF_GATEWAYS,
        "It was signed without the query parameter {}.", ADDED),
    row("query_lost", UrlPart(Part::Query, url::original_queries), OF_GATEWAYS,
        "It was signed with the query that the {} header names.", QUERY),
    row("body_hash_lost", UrlPart(Part::Query, url::with_body_hash), OF_GATEWAYS,
        "It was signed with bodySHA256 in the URL, and the query was lost on the way.", QUERY),
    row("feedback_lost", UrlPart(Part::Query, |_, url| url::with_parameter(url, "feedback", "1")), OF_GATEWAYS,
        "It was signed with ?feedback=1, which was lost on the way.", QUERY),
    row("query_empty", UrlPart(Part::Query, |_, url| url::form(format!("{}?", url.get(Part::Query)))), OF_GATEWAYS,
        "It was signed with a lone ? at its end.", QUERY),
    row("fragment", UrlPart(Part::Query, |_, url| url::form(format!("{}{CONNECTION_OVERRIDES}", url.get(Part::Query)))), "Twilio, Connection overrides: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides",
        "The fragment (#…) after the URL was signed as well. It is an instruction to Twilio, which never sends it.",
        "Sign the URL up to the #."),
    // A form's parameters, changed on the way.
    row("plus_unescaped", Form(|all| values(all, form::leading_plus)), OF_PLUS,
        "The body was re-encoded: a + in front of a number arrived as a blank.", ESCAPE),
    row("blank_was_plus", Form(|all| values(all, |value| replaced(value, b" ", b"+"))), OF_PLUS,
        "The body was re-encoded: every + became a blank (%20).", ESCAPE),
    row("plus_was_blank", Form(|all| values(all, |value| replaced(value, b"+", b" "))), OF_PLUS,
        "The body was re-encoded: every blank became a + (%2B).", ESCAPE),
    row("trimmed_signed", Form(|all| values(all, |value| value.trim_ascii().into())), OF_TRIMMING,
        "It was signed with its values trimmed, and sent with blanks around them.", RAW),
    row("blank_trimmed", Form(|all| body_with(all, b"", b" ")), OF_TRIMMING,
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a blank.", RAW),
    row("line_break_trimmed", Form(|all| body_with(all, b"", b"\n")), OF_TRIMMING,
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a line break.", RAW),
    row("leading_blank_trimmed", Form(|all| body_with(all, b" ", b"")), OF_TRIMMING,
        "Values were trimmed on the way (as Laravel's TrimStrings does): Body began with a blank.", RAW),
    row("lf_became_crlf", Form(|all| values(all, |value| replaced(value, b"\r\n", b"\n"))), OF_FORMS,
        "The body's line breaks were changed: it was signed with LF and arrived with CRLF.", RAW),
    row("crlf_became_lf", Form(|all| values(all, form::crlf)), OF_FORMS,
        "The body's line breaks were changed: it was signed with CRLF and arrived with LF.", RAW),
    row("empty_dropped", Form(|all| all.iter().filter(|one| !one.1.is_empty()).cloned().collect()), OF_TRIMMING,
        "It was signed without its empty parameters.",
        "Sign everything that is sent, empty parameters too."),
    row("dots_became_underscores", Form(|all| names(all, |name| replaced(name, b"_", b"."))), OF_PHP,
        "Dots in parameter names became underscores (PHP does that to $_POST).",
        "Pass on the raw body (php://input) instead of $_POST."),
    row("dots_signed_as_underscores", Form(|all| names(all, |name| replaced(name, b".", b"_"))), OF_PHP,
        "Parameter names were signed with underscores, and sent with dots (PHP's $_POST changes them).",
        "Sign the names as they are sent."),
    row("brackets", Form(|all| names(all, form::without_brackets)), OF_PHP,
        "Parameter names were signed without brackets, and arrived with them (as PHP, Rails and Express write lists).",
        "Send each name as it was signed, without []."),
    row("repeated_first", Form(|all| repeated(all, |values| values.first().cloned().unwrap_or_default())), OF_REPEATS,
        "A parameter is repeated, and only its first value was signed.", ONCE),
    row("repeated_last", Form(|all| repeated(all, |values| values.last().cloned().unwrap_or_default())), OF_REPEATS,
        "A parameter is repeated, and only its last value was signed.", ONCE),
    row("repeated_joined", Form(|all| repeated(all, |values| values.join(&b","[..]))), OF_REPEATS,
        "A parameter is repeated, and its values were signed joined by commas.", EACH),
    row("repeated_run_together", Form(|all| repeated(all, <[Vec<u8>]>::concat)), OF_REPEATS,
        "A parameter is repeated, and its values were signed concatenated under one name.", EACH),
    row("comma_was_repeated", Form(form::split_at_commas), OF_REPEATS,
        "A parameter that was signed with several values arrived as one, joined by commas.", RAW),
    row("encoded_twice", Form(|all| values(all, form::unescaped)), OF_FORMS,
        "The body was encoded twice: its values hold escapes (%2B) of their own.", ESCAPE),
    row("signed_encoded", Form(|all| values(all, |value| form::escaped(value, "+"))), OF_TWILIO,
        "The values were signed with their escapes (blanks as +), and not decoded.", DECODED),
    row("signed_encoded_20", Form(|all| values(all, |value| form::escaped(value, "%20"))), OF_TWILIO,
        "The values were signed with their escapes (blanks as %20), and not decoded.", DECODED),
    row("mojibake", Form(|all| values(all, form::to_latin1)), OF_ENCODINGS,
        "The text's encoding was changed: a hop read UTF-8 as Latin-1.", UTF8),
    row("latin1", Form(|all| values(all, form::from_latin1)), OF_ENCODINGS,
        "The text's encoding was changed: it was signed as UTF-8 and sent as Latin-1.", UTF8),
    // Parameters that came or went.
    row("parameter_added", Content(form::without_each), OF_GATEWAYS,
        "It was signed without the parameter {}.", ADDED),
    row("empty_parameters_missing", Form(form::with_places), OF_TRIMMING,
        "The empty parameters about places (FromCity, ToZip, …) are missing: they were signed, and did not arrive.", DROPS),
    row("parameter_missing", Content(form::with_each), OF_TRIMMING,
        "The parameter {} is missing: it was signed, and did not arrive.", DROPS),
    // Signers that break the rule, and other types of bodies.
    row("parameters_unsigned", Content(|case| form::content(case.media == BodyType::Form, Vec::new)), OF_TWILIO,
        "Only the URL was signed, and not the form's parameters.", RULE),
    row("raw_body", Content(|case| form::raw_body(case, BodyType::Form)), OF_TWILIO,
        "The raw body was signed after the URL, and not its sorted parameters.", RULE),
    row("unsorted", Content(|case| form::sorted_by(case, |_| {}, true)), OF_TWILIO,
        "The parameters were signed in the order in which they are sent, and not sorted by name.", RULE),
    row("caseless_sort", Content(|case| form::sorted_by(case, |all| all.sort_by_key(|(name, value)| (name.to_ascii_lowercase(), value.clone())), true)), OF_TWILIO,
        "The parameters were sorted without regard to upper and lower case.", RULE),
    row("values_only", Content(|case| form::sorted_by(case, form::sort, false)), OF_TWILIO,
        "Only the values were signed, without the parameters' names.", RULE),
    row("get_as_form", Content(|case| form::content(case.media == BodyType::Nothing, || case.query_parameters())), OF_TWILIO,
        "The query's parameters were signed a second time, as if they were a form's.",
        "A GET is signed by its URL alone."),
    row("json_as_form", Content(|case| form::fields(case, case.json_fields())), OF_TWILIO,
        "The fields of the JSON body were signed as if they were a form's.",
        "Sign the URL with bodySHA256 in its query, and nothing else; or send a form."),
    row("multipart", Content(|case| form::fields(case, case.recording.multipart_fields())), "MDN, FormData: fetch() and XMLHttpRequest send it as multipart/form-data",
        "It was signed as a form, but it is sent as multipart/form-data.", AS_FORM),
    row("raw_body", Content(|case| form::raw_body(case, BodyType::Other)), OF_TWILIO,
        "The raw body was signed after the URL.",
        "Put the body's SHA-256 into the query as bodySHA256, and sign the URL alone."),
    row("content_type", Content(form::untyped_form), OF_FORMS,
        "It was signed as a form, but its Content-Type does not say that it is one.",
        "Send it as application/x-www-form-urlencoded; find the proxy that changes the header on the way."),
    // The body under a good signature.
    row("body_hash_missing", BodyHash(|hashes| no_detail(hashes.is_missing())), OF_TWILIO,
        "The URL and the key are right, but the query has no bodySHA256, so the signature does not cover the body.",
        "Append bodySHA256 (the body's SHA-256 in lower-case hexadecimal) to the query, and sign the URL with it; or send a form."),
    row("body_hash_upper_case", BodyHash(|hashes| no_detail(hashes.is_upper_case())), OF_TWILIO,
        "bodySHA256 is in upper case.",
        "Write it in lower-case hexadecimal, as Twilio does."),
    row("body_altered", BodyHash(|hashes| hashes.is_other().then(|| hashes.alteration().to_owned())), "cyrusagents/cyrus#996, ctrlplanedev/ctrlplane#852, stripe/stripe-node#494",
        "The body is not the one that was signed: {}.",
        "Send exactly the bytes that were hashed; let no proxy parse the body and write it anew."),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_says_what_happened_what_to_do_and_where_it_was_observed() {
        for Cause { id, says, fix, source, .. } in &CAUSES {
            assert!([says, fix, source].iter().all(|text| text.len() > 15), "{id}");
        }
    }
}
