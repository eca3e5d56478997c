//! The signed URL in parts, and other forms of each part that the sender may have signed. The text is cut by hand:
//! a URL parser would repair the difference that the search looks for.

use std::fmt::Write as _;

use crate::commands::doctor::offline::case::{BodyType, Case};
use crate::commands::doctor::offline::finding::{routes, shown_host, shown_name};
use crate::twilio::public_url::PublicUrl;

/// Every order of up to this many query parameters is tried; of more, only sorted and reversed.
const MOST_ORDERED: usize = 4;
/// The search drops each of this many query parameters.
const MOST_DROPPED: usize = 32;
/// The override that `check` recommends for Twilio's retries. Twilio neither sends nor signs it.
const FRAGMENT: &str = "#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000";
/// Ports of services without a proxy in front.
const USUAL_PORTS: [&str; 6] = ["80", "443", "3000", "5000", "8080", "8443"];
/// Path prefixes that proxies often strip.
const USUAL_PREFIXES: [&str; 7] =
    ["/heardback", "/hooks", "/webhooks", "/webhook", "/twilio", "/api", "/hb"];
/// Headers in which proxies keep the original path and query.
const ORIGINAL_URIS: [&str; 4] =
    ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL"];

/// Other forms of a part, each with the detail for the cause's text.
pub(super) type Forms = Vec<(String, String)>;

/// A part of a URL, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// With `://`.
    Scheme,
    Host,
    /// With its colon, or empty.
    Port,
    /// Path prefix of the public URL.
    Prefix,
    /// Path on the request line.
    Path,
    /// With its `?`, or empty.
    Query,
}

/// A URL in its parts.
#[derive(Debug, Clone)]
pub(super) struct Url {
    parts: [String; 6],
}

impl Url {
    /// The URL that the receiver expects below this public URL.
    pub(super) fn expected(public: &PublicUrl, case: &Case<'_>) -> Self {
        let (text, prefix) = (public.as_str(), public.prefix());
        let origin = text.strip_suffix(prefix).unwrap_or(text);
        let (scheme, authority) = origin.split_at(origin.find("://").map_or(0, |at| at + 3));
        let (host, port) = authority.split_at(port_at(authority).unwrap_or(authority.len()));
        let query = case.query().map(|query| format!("?{query}")).unwrap_or_default();
        Self { parts: [scheme, host, port, prefix, case.path(), &query].map(str::to_owned) }
    }

    fn get(&self, part: Part) -> &str {
        self.parts.get(part as usize).map_or("", String::as_str)
    }

    pub(super) fn with(&self, part: Part, text: &str) -> Self {
        let mut url = self.clone();
        if let Some(old) = url.parts.get_mut(part as usize) {
            text.clone_into(old);
        }
        url
    }

    /// The text. A host with a port of its own replaces the port.
    pub(super) fn text(&self) -> String {
        let [scheme, host, port, rest @ ..] = &self.parts;
        let port = if port_at(host).is_some() { "" } else { port };
        [scheme, host, port].into_iter().chain(rest.iter().map(String::as_str)).collect()
    }
}

fn port_at(authority: &str) -> Option<usize> {
    let at = authority.rfind(':')?;
    let digits = authority.get(at + 1..)?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(at)
}

/// A single form without a detail.
fn form(text: impl Into<String>) -> Forms {
    vec![(text.into(), String::new())]
}

/// This scheme, if the public URL has the other one.
pub(super) fn scheme(url: &Url, scheme: &str) -> Forms {
    if url.get(Part::Scheme) == scheme { Vec::new() } else { form(scheme) }
}

pub(super) fn hosts(case: &Case<'_>, url: &Url) -> Forms {
    let host = url.get(Part::Host);
    let ours = format!("{host}{}", url.get(Part::Port));
    let bare = host.strip_prefix("www.");
    let www = bare.map_or_else(|| format!("www.{host}"), str::to_owned);
    let with = if bare.is_some() { "without www" } else { "with www" };
    let forwarded = case.first("Forwarded").and_then(forwarded_host);
    let names = [
        (case.first("Host"), "the Host header's"),
        (case.first("X-Forwarded-Host"), "the X-Forwarded-Host header's"),
        (case.first("X-Original-Host"), "the X-Original-Host header's"),
        (forwarded, "the Forwarded header's"),
        (Some(&*host.to_ascii_lowercase()), "in lower case"),
        (Some(&www), with),
    ]
    .map(|(name, from)| (name.unwrap_or_default().to_owned(), from));
    let is_host = |name: &str| {
        !name.is_empty() && name != host && name != ours && !name.contains(['/', '?', '#', '@'])
    };
    let names = names.into_iter().filter(|(name, _)| is_host(name));
    names
        .map(|(name, from)| {
            let says = format!("{} ({from}), not for {}", shown_host(&name), shown_host(&ours));
            (name, says)
        })
        .collect()
}

/// RFC 7239.
fn forwarded_host(header: &str) -> Option<&str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let (_, host) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("host"))?;
    Some(host.trim().trim_matches('"'))
}

pub(super) fn ports(case: &Case<'_>, _: &Url) -> Forms {
    let listen = case.config.listen.port().to_string();
    let of_host = case.first("Host").and_then(|host| host.get(port_at(host)? + 1..));
    let named = case.first("X-Forwarded-Port").into_iter().chain(of_host);
    let ports = named.chain([listen.as_str()]).chain(USUAL_PORTS);
    let ports = ports.filter(|digits| digits.parse::<u16>().is_ok_and(|port| port > 0));
    ports.map(|digits| format!(":{digits}")).map(|port| (port.clone(), port)).collect()
}

/// The URL without this part, if it has one.
pub(super) fn without(url: &Url, part: Part) -> Forms {
    let text = url.get(part);
    if text.is_empty() { Vec::new() } else { vec![(String::new(), text.to_owned())] }
}

pub(super) fn prefixes(case: &Case<'_>, _: &Url) -> Forms {
    let forwarded = case.first("X-Forwarded-Prefix").map(|prefix| prefix.trim_end_matches('/'));
    let all = forwarded.into_iter().chain(USUAL_PREFIXES);
    let paths = all.filter(|text| text.starts_with('/') && !text.contains(['?', '#', ' ']));
    let is_plain = |byte: u8| byte.is_ascii_alphabetic() || b"/-_.".contains(&byte);
    let is_shown = |text: &str| text.len() <= 32 && text.bytes().all(is_plain);
    paths
        .map(|text| {
            let shown = if is_shown(text) { text } else { "that X-Forwarded-Prefix names" };
            (text.to_owned(), shown.to_owned())
        })
        .collect()
}

pub(super) fn slash_removed(case: &Case<'_>, _: &Url) -> Forms {
    case.path().strip_suffix('/').map(form).unwrap_or_default()
}

pub(super) fn slash_appended(case: &Case<'_>, _: &Url) -> Forms {
    if case.path().ends_with('/') { Vec::new() } else { form(format!("{}/", case.path())) }
}

pub(super) fn slash_doubled(case: &Case<'_>, _: &Url) -> Forms {
    form(format!("/{}", case.path()))
}

pub(super) fn original_paths(case: &Case<'_>, _: &Url) -> Forms {
    let uris = original_uris(case).map(|(header, uri)| (uri.split('?').next(), header));
    let paths = uris.filter_map(|(path, header)| Some((path?.to_owned(), header.to_owned())));
    paths.filter(|(path, _)| path.starts_with('/')).collect()
}

pub(super) fn original_queries(case: &Case<'_>, _: &Url) -> Forms {
    let uris = original_uris(case).filter_map(|(header, uri)| Some((header, uri.split_once('?')?)));
    uris.map(|(header, (_, query))| (format!("?{query}"), header.to_owned())).collect()
}

fn original_uris<'a>(case: &Case<'a>) -> impl Iterator<Item = (&'static str, &'a str)> {
    let recording = case.recording;
    ORIGINAL_URIS.into_iter().filter_map(|header| Some((header, recording.header(header)?)))
}

pub(super) fn path_decoded(case: &Case<'_>, _: &Url) -> Forms {
    form(decoded(case.path()))
}

pub(super) fn other_routes(_: &Case<'_>, _: &Url) -> Forms {
    routes().map(|route| (route.to_owned(), route.to_owned())).collect()
}

pub(super) fn orders(case: &Case<'_>, _: &Url) -> Forms {
    let parameters: Vec<&str> =
        case.query().map(|query| query.split('&').collect()).unwrap_or_default();
    let mut sorted = parameters.clone();
    sorted.sort_unstable();
    let mut reversed = parameters.clone();
    reversed.reverse();
    let mut orders = vec![sorted, reversed];
    if parameters.len() <= MOST_ORDERED {
        permute(&parameters, &mut Vec::new(), &mut orders);
    }
    orders.retain(|order| !order.is_empty());
    orders.into_iter().flat_map(|order| form(format!("?{}", order.join("&")))).collect()
}

fn permute<'a>(left: &[&'a str], taken: &mut Vec<&'a str>, orders: &mut Vec<Vec<&'a str>>) {
    if left.is_empty() {
        orders.push(taken.clone());
    }
    for at in 0..left.len() {
        let mut rest = left.to_vec();
        taken.push(rest.remove(at));
        permute(&rest, taken, orders);
        taken.pop();
    }
}

pub(super) fn escapes(case: &Case<'_>, _: &Url) -> Forms {
    let Some(query) = case.query() else { return Vec::new() };
    let spellings = [
        ("blanks as + instead of %20", query.replace("%20", "+")),
        ("blanks as %20 instead of +", query.replace('+', "%20")),
        ("a plain + instead of %2B", query.replace("%2B", "+").replace("%2b", "+")),
        ("%2B instead of a plain +", query.replace('+', "%2B")),
        ("its escapes taken out", decoded(query)),
        ("its escapes in lower case", with_escapes(query, u8::to_ascii_lowercase)),
        ("its escapes in upper case", with_escapes(query, u8::to_ascii_uppercase)),
        ("everything unusual escaped", escaped(query)),
        ("its escapes escaped once more", query.replace('%', "%25")),
        ("&amp; instead of &", query.replace('&', "&amp;")),
    ];
    spellings.into_iter().map(|(how, text)| (format!("?{text}"), how.to_owned())).collect()
}

pub(super) fn fewer(case: &Case<'_>, _: &Url) -> Forms {
    let Some(query) = case.query() else { return Vec::new() };
    let parameters: Vec<&str> = query.split('&').collect();
    let each = parameters.iter().enumerate().take(MOST_DROPPED);
    each.map(|(at, parameter)| {
        let mut rest = parameters.clone();
        rest.remove(at);
        let name = shown_name(parameter.split('=').next().unwrap_or_default().as_bytes());
        (if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) }, name)
    })
    .collect()
}

/// The query with another parameter, unless one of this name is there.
fn with_parameter(url: &Url, name: &str, value: &str) -> Forms {
    let query = url.get(Part::Query);
    if query.contains(name) {
        return Vec::new();
    }
    let mark = if query.is_empty() { '?' } else { '&' };
    form(format!("{query}{mark}{name}={value}"))
}

pub(super) fn with_body_hash(case: &Case<'_>, url: &Url) -> Forms {
    if case.media != BodyType::Other {
        return Vec::new();
    }
    with_parameter(url, "bodySHA256", &case.body_hash())
}

pub(super) fn with_feedback(_: &Case<'_>, url: &Url) -> Forms {
    with_parameter(url, "feedback", "1")
}

pub(super) fn with_question_mark(_: &Case<'_>, url: &Url) -> Forms {
    form(format!("{}?", url.get(Part::Query)))
}

pub(super) fn with_fragment(_: &Case<'_>, url: &Url) -> Forms {
    form(format!("{}{FRAGMENT}", url.get(Part::Query)))
}

/// Visible ASCII instead of its escapes; other escapes stay.
fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let byte = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let byte = byte.filter(u8::is_ascii_graphic);
        out.push(byte.map_or('%', char::from));
        rest = escape.get(if byte.is_some() { 3 } else { 1 }..).unwrap_or_default();
    }
    out + rest
}

fn with_escapes(text: &str, change: fn(&u8) -> u8) -> String {
    let mut digits_left = 0_u8;
    let changed = text.bytes().map(|byte| {
        let changed = if digits_left > 0 { change(&byte) } else { byte };
        digits_left = if byte == b'%' { 2 } else { digits_left.saturating_sub(1) };
        changed
    });
    String::from_utf8(changed.collect()).unwrap_or_else(|_| text.to_owned())
}

/// Escapes all characters but unreserved ones (RFC 3986), delimiters and escapes.
fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~=&%+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
        out
    })
}
