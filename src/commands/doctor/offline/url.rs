//! The signed URL in parts, and other forms of each part that the sender may have signed.
//!
//! The text is split by hand, because a URL parser would repair the difference that the search looks for.

use percent_encoding::percent_decode_str;

use crate::commands::doctor::offline::case::{BodyType, Case};
use crate::commands::doctor::offline::finding::{routes, shown_host, shown_name};
use crate::twilio::public_url::PublicUrl;

/// Up to this many query parameters, the search moves each one to each place.
const MAX_MOVED: usize = 8;
/// The search drops each of this many query parameters.
const MAX_DROPPED: usize = 32;
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
    Prefix,
    Path,
    /// With its `?`, or empty.
    Query,
}

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

    pub(super) fn get(&self, part: Part) -> &str {
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

/// A single form without a detail. A form that changes nothing is a duplicate, which the search drops.
pub(super) fn form(text: impl Into<String>) -> Forms {
    vec![(text.into(), String::new())]
}

pub(super) fn hosts(case: &Case<'_>, url: &Url) -> Forms {
    let host = url.get(Part::Host);
    let ours = format!("{host}{}", url.get(Part::Port));
    let (www, with) = match host.strip_prefix("www.") {
        Some(bare) => (bare.to_owned(), "without www"),
        None => (format!("www.{host}"), "with www"),
    };
    let lower = host.to_ascii_lowercase();
    let names = [
        (case.first("Host"), "the Host header's"),
        (case.first("X-Forwarded-Host"), "the X-Forwarded-Host header's"),
        (case.first("X-Original-Host"), "the X-Original-Host header's"),
        (case.first("Forwarded").and_then(forwarded_host), "the Forwarded header's"),
        (Some(lower.as_str()), "in lower case"),
        (Some(www.as_str()), with),
    ];
    let names = names.into_iter().filter_map(|(name, from)| Some((name?, from)));
    let is_host =
        |name: &str| !name.is_empty() && name != ours && !name.contains(['/', '?', '#', '@']);
    let detail =
        |name, from| format!("{} ({from}), not for {}", shown_host(name), shown_host(&ours));
    names
        .filter(|(name, _)| is_host(name))
        .map(|(name, from)| (name.to_owned(), detail(name, from)))
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
    let ports = case.first("X-Forwarded-Port").into_iter().chain(of_host);
    let ports = ports.chain([listen.as_str()]).chain(USUAL_PORTS);
    let ports = ports.filter(|digits| digits.parse::<u16>().is_ok_and(|port| port > 0));
    ports.map(|digits| format!(":{digits}")).map(|port| (port.clone(), port)).collect()
}

pub(super) fn without(url: &Url, part: Part) -> Forms {
    vec![(String::new(), url.get(part).to_owned())]
}

pub(super) fn prefixes(case: &Case<'_>, _: &Url) -> Forms {
    let forwarded = case.first("X-Forwarded-Prefix").map(|prefix| prefix.trim_end_matches('/'));
    let forwarded =
        forwarded.filter(|text| text.starts_with('/') && !text.contains(['?', '#', ' ']));
    let forwarded = forwarded.map(|text| (text.to_owned(), "of X-Forwarded-Prefix".to_owned()));
    let usual = USUAL_PREFIXES.map(|text| (text.to_owned(), text.to_owned()));
    forwarded.into_iter().chain(usual).collect()
}

pub(super) fn slash_removed(case: &Case<'_>, _: &Url) -> Forms {
    case.path().strip_suffix('/').map(form).unwrap_or_default()
}

pub(super) fn original_paths(case: &Case<'_>, _: &Url) -> Forms {
    let path = |uri: &str| uri.split('?').next().map(str::to_owned);
    originals(case, |uri| path(uri).filter(|path| path.starts_with('/')))
}

pub(super) fn original_queries(case: &Case<'_>, _: &Url) -> Forms {
    originals(case, |uri| uri.split_once('?').map(|(_, query)| format!("?{query}")))
}

fn originals(case: &Case<'_>, part: impl Fn(&str) -> Option<String>) -> Forms {
    let uris =
        ORIGINAL_URIS.into_iter().filter_map(|name| Some((name, case.recording.header(name)?)));
    uris.filter_map(|(name, uri)| Some((part(uri)?, name.to_owned()))).collect()
}

pub(super) fn other_routes(_: &Case<'_>, _: &Url) -> Forms {
    routes().map(|route| (route.to_owned(), route.to_owned())).collect()
}

pub(super) fn orders(case: &Case<'_>, _: &Url) -> Forms {
    let Some(query) = case.query() else { return Vec::new() };
    let parameters: Vec<&str> = query.split('&').collect();
    let mut sorted = parameters.clone();
    sorted.sort_unstable();
    let mut orders = vec![sorted, parameters.iter().rev().copied().collect()];
    let places = if parameters.len() <= MAX_MOVED { parameters.len() } else { 0 };
    for (from, to) in (0..places).flat_map(|from| (0..places).map(move |to| (from, to))) {
        let mut moved = parameters.clone();
        let parameter = moved.remove(from);
        moved.insert(to, parameter);
        orders.push(moved);
    }
    orders.iter().flat_map(|order| form(format!("?{}", order.join("&")))).collect()
}

pub(super) fn escapes(case: &Case<'_>, _: &Url) -> Forms {
    let Some(query) = case.query() else { return Vec::new() };
    let spellings = [
        ("blanks as + instead of %20", query.replace("%20", "+")),
        ("blanks as %20 instead of +", query.replace('+', "%20")),
        ("a plain + instead of %2B", query.replace("%2B", "+").replace("%2b", "+")),
        ("%2B instead of a plain +", query.replace('+', "%2B")),
        ("decoded escapes", percent_decode_str(query).decode_utf8_lossy().into_owned()),
        ("escapes in lower case", with_escapes(query, str::to_ascii_lowercase)),
        ("escapes in upper case", with_escapes(query, str::to_ascii_uppercase)),
        (
            "escapes for slashes and colons",
            query.replace('/', "%2F").replace(':', "%3A").replace('@', "%40"),
        ),
    ];
    spellings.into_iter().map(|(how, text)| (format!("?{text}"), how.to_owned())).collect()
}

/// The text with the two digits of each escape changed.
fn with_escapes(text: &str, change: fn(&str) -> String) -> String {
    let mut pieces = text.split('%');
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |out, piece| {
        let (digits, rest) = piece.split_at_checked(2).unwrap_or((piece, ""));
        out + "%" + &change(digits) + rest
    })
}

pub(super) fn fewer(case: &Case<'_>, _: &Url) -> Forms {
    let parameters: Vec<&str> =
        case.query().into_iter().flat_map(|query| query.split('&')).collect();
    let each = parameters.iter().enumerate().take(MAX_DROPPED);
    each.map(|(at, parameter)| {
        let mut rest = parameters.clone();
        rest.remove(at);
        let mark = if rest.is_empty() { "" } else { "?" };
        let name = parameter.split('=').next().unwrap_or_default();
        (format!("{mark}{}", rest.join("&")), shown_name(name.as_bytes()))
    })
    .collect()
}

/// The query with another parameter, unless it has one of this name.
pub(super) fn with_parameter(url: &Url, name: &str, value: &str) -> Forms {
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
