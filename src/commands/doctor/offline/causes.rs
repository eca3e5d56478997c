//! The table of known causes: each row transforms a part of the request into a form that its sender may have signed,
//! says what happened and what to do, and names where the cause was observed or documented.
//!
//! The search tries each row, and pairs of rows. A new cause is a new row; without a source it does not belong here.

use crate::commands::doctor::offline::body_hash::Hashes;
use crate::commands::doctor::offline::case::{BodyType, Case, Parameter};
use crate::commands::doctor::offline::finding::{Deviation, no_detail};
use crate::commands::doctor::offline::form::{
    self, FormContents, NamedForms, names, repeated, replaced, values,
};
use crate::commands::doctor::offline::header;
use crate::commands::doctor::offline::keys::{self, KeyKind, KeySource};
use crate::commands::doctor::offline::url::{self, Forms, Part, Url};
use crate::domain::route::RouteSigner;

/// A row of the table.
pub(super) struct Cause {
    /// One word for programs, stable between releases.
    pub(super) id: &'static str,
    pub(super) transform: Transform,
    /// What happened. `{}` stands for the detail that the transform returns, here and in `fix`.
    says: &'static str,
    /// What to do about it.
    fix: &'static str,
    source: &'static str,
}

/// What a row does to the request.
#[derive(Clone, Copy)]
pub(super) enum Transform {
    /// The request cannot be verified at all: the detail, if so.
    Refusal(fn(&Case<'_>) -> Option<String>),
    /// No row repairs the signature header.
    Unreadable,
    /// Repairs the signature header.
    Header(fn(&str) -> String),
    /// Whether the receiver does not accept a key: the detail, if so.
    Key(fn(&KeySource<'_>, &Case<'_>) -> Option<String>),
    /// Other forms of a part of the URL.
    UrlPart(Part, fn(&Case<'_>, &Url) -> Forms),
    /// A change to all parameters of a form.
    Form(fn(&[Parameter]) -> Vec<Parameter>),
    /// A form with a parameter that was lost, each with the parameter's name.
    Lost(fn(&[Parameter]) -> NamedForms),
    /// Another content than the expected one.
    Content(fn(&Case<'_>) -> FormContents),
    /// Whether the body is not the signed one, under a good signature: the detail, if so.
    BodyHash(fn(&Hashes<'_>) -> Option<String>),
}

impl Cause {
    /// Whether the search tries this row after the other one on the same form.
    pub(super) fn combines_with(&self, after: &Self) -> bool {
        match (self.transform, after.transform) {
            (Transform::Form(_), Transform::Form(_)) => self.id != after.id,
            (Transform::Lost(_), Transform::Lost(_)) => true,
            (_, _) => false,
        }
    }

    pub(super) fn deviation(&self, detail: &str) -> Deviation {
        let [says, fix] = [self.says, self.fix].map(|text| text.replacen("{}", detail, 1));
        Deviation { id: self.id, says, fix, source: self.source }
    }

    const fn says(self, says: &'static str) -> Self {
        Self { says, ..self }
    }

    const fn fix(self, fix: &'static str) -> Self {
        Self { fix, ..self }
    }
}

const fn cause(id: &'static str, transform: Transform, source: &'static str) -> Cause {
    Cause { id, transform, says: "", fix: "", source }
}

/// For a kind of key, on the routes of this signer.
fn on(case: &Case<'_>, signer: RouteSigner, is_kind: bool) -> Option<String> {
    no_detail(is_kind && case.signer == Some(signer))
}

const SLASH: &str = "Make the sender's URL and the one that arrives the same, slash by slash; see \
                     what the proxy rewrites.";
const PATH: &str = "Let the proxy pass the path on as it came, byte by byte.";
const QUERY: &str = "Let the proxy or framework pass the query on as it came, byte by byte.";
const SCHEME: &str = "Give Twilio (or your app) the URL exactly as HEARDBACK_PUBLIC_URL has it, scheme \
                      included; or correct HEARDBACK_PUBLIC_URL.";
const RAW: &str = "Pass the body on byte by byte, instead of parsing it and writing it anew.";
const ESCAPE: &str = "Escape values when the form is written: a + is %2B, a blank is + or %20.";
const UTF8: &str = "Read and write the body as UTF-8.";
const ONCE: &str = "Sign each value that is sent, or send it once.";
const EACH: &str = "Sign name and value for each value (as Twilio's Python and Node helpers do).";
const DECODED: &str = "Sign decoded values.";
const RULE: &str = "Twilio's rule: the URL, then each parameter's name and decoded value, sorted by \
                    name, nothing in between. `heardback sign` shows it; the helper libraries do it.";
const DROPS: &str =
    "See who takes it out: frameworks and proxies that drop empty or unknown parameters.";
const BASE64: &str =
    "Send the base64 as it is, 28 characters for HMAC-SHA1; let no proxy rewrite it.";
const HEADERS: &str = "Let the proxy pass every X-Twilio-* header on as it came.";

const OF_TWILIO: &str = "Twilio, Security: https://www.twilio.com/docs/usage/security";
const OF_OVERRIDES: &str = "Twilio, Connection overrides: https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides";
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
const OF_RAW_BODIES: &str =
    "cyrusagents/cyrus#996, ctrlplanedev/ctrlplane#852, stripe/stripe-node#494";
const OF_KEYS: &str = "docker/cli#3630 (quotes), kimdre/doco-cd#545 (line break)";
const OF_ACCOUNTS: &str = "twilio/twilio-php#436 (a subaccount signs with its own token)";
const OF_BASE64: &str = "RFC 4648, sections 3.2, 4, 5 and 8";
const OURS: &str = "heardback: docs/app.md, Signing";

use Transform::{BodyHash, Content, Form, Header, Key, Lost, Refusal, Unreadable, UrlPart};

/// The rows. Of two with the same effect the first one counts.
#[rustfmt::skip] // One line for each cell.
pub(super) static CAUSES: [Cause; 85] = [
    // No signature that could be verified.
    cause("no_route", Refusal(|case| case.nearest_route().map(str::to_owned)), OURS)
        .says("There is no such route: it was answered 404. The nearest route is {}.")
        .fix("Correct the URL at Twilio or in the app, so that its path ends with {}."),
    cause("unsigned", Refusal(|case| no_detail(header::is_absent(case))), OF_TWILIO)
        .says("There is no X-Twilio-Signature: Twilio did not send this, or a proxy took the header away.")
        .fix("Nothing to do if the sender is unknown. If Twilio or your app sent it, let the proxy pass every X-Twilio-* header on."),
    cause("sha256", Refusal(|case| no_detail(header::was_sha256(case))), OF_SHARED_KEYS)
        .says("The signature has 32 bytes, which HMAC-SHA256 makes, and the request names no SharedKey that is bound to it.")
        .fix("An app of yours: sign with SHA-1, as Twilio's helper libraries do. A SharedKey webhook of Twilio's: let the proxy pass X-Twilio-Webhooks-Signature-Settings on."),
    cause("malformed", Refusal(header::lost_length), OF_BASE64)
        .says("X-Twilio-Signature had {} characters and was no base64 of 20 bytes, which has 28.")
        .fix("See who cuts, quotes or escapes it on the way. Of such a request nothing else is kept; record it by hand, and doctor tries to repair the header."),
    cause("malformed", Unreadable, OF_BASE64)
        .says("X-Twilio-Signature is not 20 bytes in base64, nor anything that could be repaired into it.")
        .fix("Compare the header that was sent with the one recorded: something on the way cut or rewrote it."),
    // The signature header.
    cause("second_header", Header(str::to_owned), "RFC 9110, section 5.3")
        .says("There are several X-Twilio-Signature headers, and only the first one counts.")
        .fix("See which proxy adds one, and have it leave the header alone."),
    cause("quoted", Header(|text| text.trim_matches(['"', '\'', ' ']).to_owned()), OF_BASE64)
        .says("X-Twilio-Signature came in quotes or between blanks.")
        .fix(BASE64),
    cause("percent_encoded", Header(header::percent_decoded), OF_BASE64)
        .says("X-Twilio-Signature came percent-encoded.")
        .fix(BASE64),
    cause("plus_lost", Header(|text| text.replace(' ', "+")), OF_BASE64)
        .says("X-Twilio-Signature came with its `+` turned into blanks.")
        .fix(BASE64),
    cause("url_safe_base64", Header(|text| text.replace('-', "+").replace('_', "/")), OF_BASE64)
        .says("X-Twilio-Signature came in URL-safe base64.")
        .fix(BASE64),
    cause("padding_lost", Header(|text| format!("{}=", text.trim_end_matches('='))), OF_BASE64)
        .says("X-Twilio-Signature came without the `=` at its end.")
        .fix(BASE64),
    cause("hexadecimal", Header(header::from_hex), OF_BASE64)
        .says("X-Twilio-Signature came in hexadecimal instead of base64.")
        .fix(BASE64),
    // The key.
    cause("token_on_app_route", Key(|key, case| on(case, RouteSigner::App, matches!(key.kind, KeyKind::Token))), OURS)
        .says("It is signed with the account's auth token, but this route takes app keys (HEARDBACK_APP_KEYS).")
        .fix("Let your app sign with an app key. Passing on what Twilio sent, it has to sign anew, too."),
    cause("app_key_on_twilio_route", Key(|key, case| on(case, RouteSigner::Twilio, matches!(key.kind, KeyKind::App))), OURS)
        .says("It is signed with an app key, but this route is Twilio's and takes the account's auth tokens.")
        .fix("Your app calls the routes under /app/; to pass on what Twilio sent: /app/twilio/…."),
    cause("shared_key_on_app_route", Key(|key, case| on(case, RouteSigner::App, matches!(key.kind, KeyKind::Shared(_)))), OURS)
        .says("It is signed with a SharedKey of Twilio's, but this route takes app keys (HEARDBACK_APP_KEYS).")
        .fix("Point Twilio at the routes under /twilio/; let your app sign with an app key."),
    cause("other_accounts_key", Key(keys::other_account), OF_ACCOUNTS)
        .says("It names an account, and is signed with a key that speaks for another one only.")
        .fix("Each subaccount signs with its own token: compare AccountSid with where that key stands."),
    cause("algorithm", Key(|key, _| key.other_algorithm()), OF_SHARED_KEYS)
        .says("It is signed with {}.")
        .fix("A SharedKey: write its algorithm into TWILIO_SHARED_KEYS as Twilio has it. A token or an app key: sign with HMAC-SHA1, as Twilio's helper libraries do."),
    cause("settings_header_missing", Key(keys::header_missing), OF_SHARED_KEYS)
        .says("It is signed with {}, but X-Twilio-Webhooks-Signature-Settings is missing.")
        .fix(HEADERS),
    cause("settings_header_other", Key(keys::header_other), OF_SHARED_KEYS)
        .says("It is signed with {}, but X-Twilio-Webhooks-Signature-Settings names another key or algorithm.")
        .fix(HEADERS),
    cause("key_damaged", Key(|key, _| key.damage()), OF_KEYS)
        .says("It is signed with {}: the sender's copy of the key is damaged.")
        .fix("Set the key at the sender again, exactly as it stands in the settings here, and restart the sender."),
    cause("key_quoted", Key(|key, _| matches!(key.kind, KeyKind::Unquoted).then(|| key.name.clone())), OF_KEYS)
        .says("It is signed with {} without the quotes or blanks that stand around it there.")
        .fix("Take them out of the setting. `docker --env-file` keeps quotes as part of the value."),
    cause("api_secret", Key(|key, _| no_detail(matches!(key.kind, KeyKind::ApiSecret))), "twilio/twilio-csharp#628")
        .says("It is signed with the API key's secret, and nothing may sign with that.")
        .fix("Let your app sign with an app key of HEARDBACK_APP_KEYS."),
    cause("account_sid", Key(|key, _| no_detail(matches!(key.kind, KeyKind::AccountSid))), OURS)
        .says("It is signed with the account's SID, which is no secret: name and token are swapped in the sender's settings.")
        .fix("Put the auth token or the app key where the sender keeps its secret."),
    cause("empty_key", Key(|key, _| no_detail(matches!(key.kind, KeyKind::Empty))), "POSIX shell, section 2.6.2: an unset variable expands to nothing")
        .says("It is signed with an empty key: where the sender runs, the setting with its secret is not set.")
        .fix("Set it there, and restart the sender."),
    // The URL.
    cause("scheme_http", UrlPart(Part::Scheme, |_, url| url::scheme(url, "http://")), OF_PROXIES)
        .says("It was signed for http, not for https.")
        .fix(SCHEME),
    cause("scheme_https", UrlPart(Part::Scheme, |_, url| url::scheme(url, "https://")), OF_PROXIES)
        .says("It was signed for https, not for http.")
        .fix(SCHEME),
    cause("host", UrlPart(Part::Host, url::hosts), OF_PROXIES)
        .says("It was signed for the host {} as in HEARDBACK_PUBLIC_URL.")
        .fix("Let both be the same: correct HEARDBACK_PUBLIC_URL or the URL given to the sender. Two hosts at once go into HEARDBACK_PUBLIC_URL by comma."),
    cause("port", UrlPart(Part::Port, url::ports), OF_PORTS)
        .says("It was signed with the port {} in the URL.")
        .fix("Take the port out of the URL that the sender uses, or write it into HEARDBACK_PUBLIC_URL."),
    cause("no_port", UrlPart(Part::Port, |_, url| url::without(url, Part::Port)), OF_PORTS)
        .says("It was signed without the port {} of HEARDBACK_PUBLIC_URL.")
        .fix("Take the port out of HEARDBACK_PUBLIC_URL, or write it into the sender's URL."),
    cause("prefix_dropped", UrlPart(Part::Prefix, |_, url| url::without(url, Part::Prefix)), OF_PROXIES)
        .says("It was signed without the path prefix {} of HEARDBACK_PUBLIC_URL, or the proxy did not strip it.")
        .fix("The sender's URL has the prefix, the proxy in front strips it: make both so, or take it out of HEARDBACK_PUBLIC_URL."),
    cause("prefix_added", UrlPart(Part::Prefix, url::prefixes), OF_PROXIES)
        .says("It was signed with the path prefix {}, which the proxy stripped.")
        .fix("Write the prefix into HEARDBACK_PUBLIC_URL, behind the host."),
    cause("slash_added", UrlPart(Part::Path, url::slash_removed), OF_TWILIO)
        .says("It was signed without the slash at the end of its path.")
        .fix(SLASH),
    cause("slash_dropped", UrlPart(Part::Path, url::slash_appended), OF_TWILIO)
        .says("It was signed with a slash at the end of its path.")
        .fix(SLASH),
    cause("double_slash", UrlPart(Part::Path, url::slash_doubled), OF_PATHS)
        .says("It was signed with two slashes at the beginning of its path.")
        .fix("The sender joins a URL that ends in a slash with a path that begins with one."),
    cause("path_rewritten", UrlPart(Part::Path, url::original_paths), OF_PATHS)
        .says("It was signed for the path that the {} header names.")
        .fix(PATH),
    cause("path_decoded", UrlPart(Part::Path, url::path_decoded), OF_PATHS)
        .says("It was signed with the escapes in its path taken out.")
        .fix(PATH),
    cause("route", UrlPart(Part::Path, url::other_routes), OF_PATHS)
        .says("It was signed for the route {}, and came in on another one.")
        .fix("Point the sender at the route that it signs for, or undo the proxy's rewriting."),
    cause("query_added", UrlPart(Part::Query, |_, url| url::without(url, Part::Query)), OF_GATEWAYS)
        .says("It was signed without its query.")
        .fix("See who adds the query on the way, or have the sender sign the whole URL."),
    cause("query_order", UrlPart(Part::Query, url::orders), OF_QUERIES)
        .says("It was signed with its query's parameters in another order.")
        .fix(QUERY),
    cause("query_encoding", UrlPart(Part::Query, url::escapes), OF_QUERIES)
        .says("It was signed with {} in its query.")
        .fix(QUERY),
    cause("query_parameter_added", UrlPart(Part::Query, url::fewer), OF_GATEWAYS)
        .says("It was signed without the query parameter {}.")
        .fix("See who adds it on the way."),
    cause("query_lost", UrlPart(Part::Query, url::original_queries), OF_GATEWAYS)
        .says("It was signed with the query that the {} header names.")
        .fix(QUERY),
    cause("body_hash_lost", UrlPart(Part::Query, url::with_body_hash), OF_GATEWAYS)
        .says("It was signed with bodySHA256 in the URL, and the query got lost on the way.")
        .fix(QUERY),
    cause("feedback_lost", UrlPart(Part::Query, url::with_feedback), OF_GATEWAYS)
        .says("It was signed with ?feedback=1, which got lost on the way.")
        .fix(QUERY),
    cause("query_empty", UrlPart(Part::Query, url::with_question_mark), OF_GATEWAYS)
        .says("It was signed with a lone ? at its end.")
        .fix(QUERY),
    cause("fragment", UrlPart(Part::Query, url::with_fragment), OF_OVERRIDES)
        .says("The #… behind the URL was signed as well; it is an instruction to Twilio and never sent.")
        .fix("Sign the URL up to the #."),
    // A form's parameters, changed on the way.
    cause("plus_unescaped", Form(|all| values(all, form::leading_plus)), OF_PLUS)
        .says("The body was re-encoded: a + in front of a number arrived as a blank.")
        .fix(ESCAPE),
    cause("blank_was_plus", Form(|all| values(all, |value| replaced(value, b" ", b"+"))), OF_PLUS)
        .says("The body was re-encoded: every + became a blank (%20).")
        .fix(ESCAPE),
    cause("plus_was_blank", Form(|all| values(all, |value| replaced(value, b"+", b" "))), OF_PLUS)
        .says("The body was re-encoded: every blank became a + (%2B).")
        .fix(ESCAPE),
    cause("trimmed_signed", Form(|all| values(all, |value| value.trim_ascii().into())), OF_TRIMMING)
        .says("It was signed with its values trimmed, and sent with blanks around them.")
        .fix(RAW),
    cause("blank_trimmed", Form(|all| form::body_with(all, b"", b" ")), OF_TRIMMING)
        .says("Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a blank.")
        .fix(RAW),
    cause("line_break_trimmed", Form(|all| form::body_with(all, b"", b"\n")), OF_TRIMMING)
        .says("Values were trimmed on the way (as Laravel's TrimStrings does): Body ended in a line break.")
        .fix(RAW),
    cause("leading_blank_trimmed", Form(|all| form::body_with(all, b" ", b"")), OF_TRIMMING)
        .says("Values were trimmed on the way (as Laravel's TrimStrings does): Body began with a blank.")
        .fix(RAW),
    cause("lf_became_crlf", Form(|all| values(all, |value| replaced(value, b"\r\n", b"\n"))), OF_FORMS)
        .says("The body's line breaks were changed: it was signed with LF and arrived with CRLF.")
        .fix(RAW),
    cause("crlf_became_lf", Form(|all| values(all, form::crlf)), OF_FORMS)
        .says("The body's line breaks were changed: it was signed with CRLF and arrived with LF.")
        .fix(RAW),
    cause("empty_dropped", Form(form::without_empty), OF_TRIMMING)
        .says("It was signed without its empty parameters.")
        .fix("Sign everything that is sent, empty parameters too."),
    cause("dots_became_underscores", Form(|all| names(all, |name| replaced(name, b"_", b"."))), OF_PHP)
        .says("Dots in parameter names became underscores (PHP does that to $_POST).")
        .fix("Pass on the raw body (php://input) instead of $_POST."),
    cause("dots_signed_as_underscores", Form(|all| names(all, |name| replaced(name, b".", b"_"))), OF_PHP)
        .says("Parameter names were signed with underscores, and sent with dots (PHP's $_POST changes them).")
        .fix("Sign the names as they are sent."),
    cause("brackets", Form(|all| names(all, form::without_brackets)), OF_PHP)
        .says("Parameter names got brackets (as PHP, Rails and Express write lists): signed without them.")
        .fix("Send each name as it was signed, without []."),
    cause("repeated_first", Form(|all| repeated(all, |values| values.first().cloned().unwrap_or_default())), OF_REPEATS)
        .says("A parameter comes several times, and only its first value was signed.")
        .fix(ONCE),
    cause("repeated_last", Form(|all| repeated(all, |values| values.last().cloned().unwrap_or_default())), OF_REPEATS)
        .says("A parameter comes several times, and only its last value was signed.")
        .fix(ONCE),
    cause("repeated_joined", Form(|all| repeated(all, |values| values.join(&b","[..]))), OF_REPEATS)
        .says("A parameter comes several times, and its values were signed joined by commas.")
        .fix(EACH),
    cause("repeated_run_together", Form(|all| repeated(all, <[Vec<u8>]>::concat)), OF_REPEATS)
        .says("A parameter comes several times, and its values were signed in a row under one name.")
        .fix(EACH),
    cause("comma_was_repeated", Form(form::split_at_commas), OF_REPEATS)
        .says("A parameter that was signed with several values arrived as one, joined by commas.")
        .fix(RAW),
    cause("encoded_twice", Form(|all| values(all, form::unescaped)), OF_FORMS)
        .says("The body was encoded twice: its values hold escapes (%2B) of their own.")
        .fix(ESCAPE),
    cause("signed_encoded", Form(|all| values(all, |value| form::escaped(value, b"+"))), OF_TWILIO)
        .says("The values were signed as they stand in the body, escapes included, and not decoded.")
        .fix(DECODED),
    cause("signed_encoded_20", Form(|all| values(all, |value| form::escaped(value, b"%20"))), OF_TWILIO)
        .says("The values were signed with their escapes (blanks as %20), and not decoded.")
        .fix(DECODED),
    cause("mojibake", Form(|all| values(all, form::to_latin1)), OF_ENCODINGS)
        .says("The text's encoding was changed: UTF-8 was read as Latin-1 on the way.")
        .fix(UTF8),
    cause("latin1", Form(|all| values(all, form::from_latin1)), OF_ENCODINGS)
        .says("The text's encoding was changed: it was signed as UTF-8 and sent as Latin-1.")
        .fix(UTF8),
    // Parameters that came or went.
    cause("parameter_added", Content(form::without_each), OF_GATEWAYS)
        .says("It was signed without the parameter {}.")
        .fix("See who adds it between the sender and here."),
    cause("empty_parameters_missing", Form(form::with_places), OF_TRIMMING)
        .says("The empty parameters about places (FromCity, ToZip, …) are missing: they were signed, and did not arrive.")
        .fix(DROPS),
    cause("parameter_missing", Lost(form::with_each), OF_TRIMMING)
        .says("The parameter {} is missing: it was signed, and did not arrive.")
        .fix(DROPS),
    // Signers that break the rule, and other types of bodies.
    cause("parameters_unsigned", Content(form::url_alone), OF_TWILIO)
        .says("Only the URL was signed, and not the form's parameters.")
        .fix(RULE),
    cause("raw_body", Content(|case| form::raw_body(case, BodyType::Form)), OF_TWILIO)
        .says("The raw body was signed behind the URL, and not its sorted parameters.")
        .fix(RULE),
    cause("unsorted", Content(|case| form::sorted_by(case, |_| {}, true)), OF_TWILIO)
        .says("The parameters were signed in the order in which they are sent, and not sorted by name.")
        .fix(RULE),
    cause("caseless_sort", Content(|case| form::sorted_by(case, |all| form::caseless(all), true)), OF_TWILIO)
        .says("The parameters were sorted without regard to upper and lower case.")
        .fix(RULE),
    cause("values_only", Content(|case| form::sorted_by(case, form::sort, false)), OF_TWILIO)
        .says("Only the values were signed, without the parameters' names.")
        .fix(RULE),
    cause("get_as_form", Content(form::get_as_form), OF_TWILIO)
        .says("The query's parameters were signed a second time, as if they were a form's.")
        .fix("A GET is signed by its URL alone."),
    cause("json_as_form", Content(form::json_fields), OF_TWILIO)
        .says("The fields of the JSON body were signed as if they were a form's.")
        .fix("Sign the URL with bodySHA256 in its query, and nothing else; or send a form."),
    cause("multipart", Content(form::multipart_fields), "MDN, FormData: fetch() and XMLHttpRequest send it as multipart/form-data")
        .says("It was signed as a form, but it is sent as multipart/form-data.")
        .fix("Send it as application/x-www-form-urlencoded: most HTTP clients choose multipart where a form object or a file is passed to them."),
    cause("raw_body", Content(|case| form::raw_body(case, BodyType::Other)), OF_TWILIO)
        .says("The raw body was signed behind the URL.")
        .fix("Put the body's SHA-256 into the query as bodySHA256, and sign the URL alone."),
    cause("content_type", Content(form::untyped_form), OF_FORMS)
        .says("It was signed as a form, but its Content-Type does not say that it is one.")
        .fix("Send it as application/x-www-form-urlencoded; see who changes the header on the way."),
    // The body under a good signature.
    cause("body_hash_missing", BodyHash(|hashes| no_detail(hashes.is_missing())), OF_TWILIO)
        .says("URL and key are right, but the URL's query carries no bodySHA256, so nothing vouches for the body.")
        .fix("Append bodySHA256 (the body's SHA-256 in lower-case hexadecimal) to the query, and sign the URL with it; or send a form."),
    cause("body_hash_upper_case", BodyHash(|hashes| no_detail(hashes.is_upper_case())), OF_TWILIO)
        .says("bodySHA256 is in upper case.")
        .fix("Write it in lower-case hexadecimal, as Twilio does."),
    cause("body_altered", BodyHash(|hashes| hashes.is_other().then(|| hashes.alteration().to_owned())), OF_RAW_BODIES)
        .says("The body is not the one that was signed: {}.")
        .fix("Send exactly the bytes that were hashed, and let nothing on the way parse the body and write it anew."),
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
