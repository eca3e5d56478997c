//! The URLs that may have been signed instead of ours: another scheme, host, port, prefix, path or
//! query. Made by cutting the text, for a URL parser would repair just what is looked for.

use std::collections::HashSet;

use crate::config::Settings;
use crate::tools::doctor::offline::case::Case;
use crate::tools::doctor::offline::finding::{Deviation, shown_host};
use crate::tools::doctor::offline::targets::{paths, queries};

/// A URL, and how it differs from the one that we expect.
#[derive(Debug, Clone)]
pub(super) struct Url {
    pub(super) text: String,
    pub(super) deviations: Vec<Deviation>,
}

/// A piece of a URL in another form; `None` is the form that we expect.
pub(super) type Piece = (String, Option<Deviation>);

/// More than two things at once are not looked for in the URL alone.
const MOST_DEVIATIONS: usize = 2;
/// More are never needed; a recording with a thousand query parameters is no reason to hang.
const MOST_URLS: usize = 6_000;

/// Where services listen when somebody put no proxy in front of them.
const USUAL_PORTS: [&str; 6] = ["80", "443", "3000", "5000", "8080", "8443"];
/// Under which proxies often hang a service.
const USUAL_PREFIXES: [&str; 7] =
    ["/heardback", "/hooks", "/webhooks", "/webhook", "/twilio", "/api", "/hb"];

/// All of them, those with the fewest deviations first.
pub(super) fn urls(settings: &Settings, case: &Case<'_>) -> Vec<Url> {
    let mut found = Vec::new();
    let mut seen = HashSet::new();
    let paths = paths(case);
    let queries = queries(case);
    for cost in 0..=MOST_DEVIATIONS {
        for public in &settings.public_urls {
            let (scheme, host, port) = cut(public.as_str(), public.prefix());
            let axes: [&[Piece]; 6] = [
                &schemes(scheme),
                &hosts(case, host, port),
                &ports(case, port, settings.listen.port()),
                &prefixes(case, public.prefix()),
                &paths,
                &queries,
            ];
            combine(
                &axes,
                cost,
                &Url { text: String::new(), deviations: Vec::new() },
                &mut |url| {
                    if found.len() < MOST_URLS && seen.insert(url.text.clone()) {
                        found.push(url);
                    }
                },
            );
        }
    }
    found
}

/// Every way to take one piece of each axis with exactly so many deviations.
fn combine(axes: &[&[Piece]], cost: usize, start: &Url, found: &mut impl FnMut(Url)) {
    let Some((first, rest)) = axes.split_first() else {
        if cost == 0 {
            found(start.clone());
        }
        return;
    };
    for (text, deviation) in *first {
        let Some(left) = cost.checked_sub(usize::from(deviation.is_some())) else { continue };
        let mut url = start.clone();
        // A host with a port of its own takes the place of ours.
        let has_port = text.starts_with(':') && ends_with_port(&url.text);
        if !has_port {
            url.text.push_str(text);
        } else if deviation.is_some() {
            continue;
        }
        url.deviations.extend(deviation.clone());
        combine(rest, left, &url, found);
    }
}

/// Scheme with `://`, host, port with its colon or nothing.
fn cut<'a>(public: &'a str, prefix: &str) -> (&'a str, &'a str, &'a str) {
    let origin = public.get(..public.len() - prefix.len()).unwrap_or(public);
    let host_at = origin.find("://").map_or(0, |at| at + 3);
    let (scheme, authority) = origin.split_at(host_at);
    let port_at = port_at(authority).unwrap_or(authority.len());
    let (host, port) = authority.split_at(port_at);
    (scheme, host, port)
}

fn port_at(authority: &str) -> Option<usize> {
    let at = authority.rfind(':')?;
    let digits = authority.get(at + 1..)?;
    (!digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())).then_some(at)
}

fn ends_with_port(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, authority)| port_at(authority).is_some())
}

fn schemes(scheme: &str) -> Vec<Piece> {
    let (other, from, to) = match scheme {
        "https://" => ("http://", "http", "https"),
        _ => ("https://", "https", "http"),
    };
    let says = format!("It was signed for {from}, not for {to}.");
    let fix = "Give Twilio (or your app) the URL exactly as HEARDBACK_PUBLIC_URL has it, scheme included; \
               or correct HEARDBACK_PUBLIC_URL.";
    let id = if from == "http" { "scheme_http" } else { "scheme_https" };
    vec![(scheme.to_owned(), None), (other.to_owned(), Some(Deviation::new(id, says, fix)))]
}

fn hosts(case: &Case<'_>, host: &str, port: &str) -> Vec<Piece> {
    let mut pieces = vec![(host.to_owned(), None)];
    let mut add = |text: &str, from: &str| {
        let ours = format!("{host}{port}");
        let is_new = pieces.iter().all(|(known, _)| known != text) && text != ours;
        if is_new && !text.is_empty() && !text.contains(['/', '?', '#', '@']) {
            let says = format!(
                "It was signed for the host {} ({from}), not for {} as in HEARDBACK_PUBLIC_URL.",
                shown_host(text),
                shown_host(&ours)
            );
            let fix = "Let both be the same: correct HEARDBACK_PUBLIC_URL or the URL given to the sender. \
                       Two hosts at once go into HEARDBACK_PUBLIC_URL by comma.";
            pieces.push((text.to_owned(), Some(Deviation::new("host", says, fix))));
        }
    };
    for header in ["Host", "X-Forwarded-Host", "X-Original-Host"] {
        if let Some(name) = case.first(header) {
            add(name, &format!("the {header} header's"));
        }
    }
    if let Some(name) = case.first("Forwarded").and_then(forwarded_host) {
        add(name, "the Forwarded header's");
    }
    add(&host.to_ascii_lowercase(), "in lower case");
    match host.strip_prefix("www.") {
        Some(bare) => add(bare, "without www"),
        None => add(&format!("www.{host}"), "with www"),
    }
    pieces
}

/// RFC 7239.
fn forwarded_host(header: &str) -> Option<&str> {
    let mut pairs = header.split(';').filter_map(|pair| pair.split_once('='));
    let (_, host) = pairs.find(|(name, _)| name.trim().eq_ignore_ascii_case("host"))?;
    Some(host.trim().trim_matches('"'))
}

fn ports(case: &Case<'_>, port: &str, listen: u16) -> Vec<Piece> {
    let mut pieces = vec![(port.to_owned(), None)];
    let listen = listen.to_string();
    let host_port = case.first("Host").and_then(|host| host.get(port_at(host)? + 1..));
    let forwarded = case.first("X-Forwarded-Port");
    for digits in forwarded.into_iter().chain(host_port).chain([listen.as_str()]).chain(USUAL_PORTS)
    {
        let text = format!(":{digits}");
        let is_port = digits.parse::<u16>().is_ok_and(|port| port > 0);
        if is_port && pieces.iter().all(|(known, _)| *known != text) {
            let says = format!("It was signed with the port :{digits} in the URL.");
            let fix = "Take the port out of the URL that the sender uses, or write it into \
                       HEARDBACK_PUBLIC_URL.";
            pieces.push((text, Some(Deviation::new("port", says, fix))));
        }
    }
    if !port.is_empty() {
        let says = format!("It was signed without the port {port} of HEARDBACK_PUBLIC_URL.");
        let fix = "Take the port out of HEARDBACK_PUBLIC_URL, or write it into the sender's URL.";
        pieces.push((String::new(), Some(Deviation::new("no_port", says, fix))));
    }
    pieces
}

fn prefixes(case: &Case<'_>, prefix: &str) -> Vec<Piece> {
    let mut pieces = vec![(prefix.to_owned(), None)];
    if !prefix.is_empty() {
        let says = format!(
            "It was signed without the path prefix {prefix} of HEARDBACK_PUBLIC_URL, or the proxy did not \
             strip it."
        );
        let fix = "The sender's URL has the prefix, the proxy in front strips it: make both so, or take it \
                   out of HEARDBACK_PUBLIC_URL.";
        pieces.push((String::new(), Some(Deviation::new("prefix_dropped", says, fix))));
    }
    let forwarded = case.first("X-Forwarded-Prefix").map(|prefix| prefix.trim_end_matches('/'));
    for more in forwarded.into_iter().chain(USUAL_PREFIXES) {
        let is_path = more.starts_with('/') && !more.contains(['?', '#', ' ']);
        if is_path && more != prefix {
            let is_plain = |byte: u8| byte.is_ascii_alphabetic() || b"/-_.".contains(&byte);
            let is_shown = more.len() <= 32 && more.bytes().all(is_plain);
            let shown = if is_shown { more } else { "that X-Forwarded-Prefix names" };
            let says =
                format!("It was signed with the path prefix {shown}, which the proxy stripped.");
            let fix = "Write the prefix into HEARDBACK_PUBLIC_URL, behind the host.";
            let deviation = Deviation::new("prefix_added", says, fix);
            pieces.push((more.to_owned(), Some(deviation)));
        }
    }
    pieces
}
