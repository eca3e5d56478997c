//! Path and query as they may have been signed before something on the way rewrote them.

use std::fmt::Write as _;

use crate::domain::route;
use crate::domain::signature::body_hash;
use crate::tools::doctor::offline::case::{Case, Media};
use crate::tools::doctor::offline::finding::{Deviation, shown_name};
use crate::tools::doctor::offline::urls::Piece;

/// Every order of so many query parameters is tried; of more, only sorted and reversed.
const MOST_ORDERED: usize = 4;
/// Each of so many query parameters is tried away.
const MOST_DROPPED: usize = 32;
/// What `check` says to append, so that Twilio tries again. It is never sent and never signed.
const FRAGMENT: &str = "#rc=3&rp=5xx,ct,rt&ct=2000&rt=4000";
/// Where senders are pointed at.
const ROUTES: [&str; 10] = [
    route::MESSAGE,
    route::STATUS,
    route::CALL,
    route::CLICK,
    route::EVENT_STREAM,
    route::APP_MESSAGE,
    route::APP_STATUS,
    route::APP_CALL,
    route::REGISTER,
    route::APP_EVENT,
];

struct Pieces {
    list: Vec<Piece>,
}

impl Pieces {
    fn new(expected: &str) -> Self {
        Self { list: vec![(expected.to_owned(), None)] }
    }

    fn add(&mut self, text: String, id: &'static str, says: impl Into<String>, fix: &str) {
        if self.list.iter().all(|(known, _)| *known != text) {
            self.list.push((text, Some(Deviation::new(id, says, fix))));
        }
    }
}

const SLASH: &str = "Make the sender's URL and the one that arrives the same, slash by slash; see \
                     what the proxy rewrites.";
const REWRITTEN: &str = "Let the proxy pass the path on as it came, byte by byte.";
const QUERY: &str = "Let the proxy or framework pass the query on as it came, byte by byte.";

/// The path.
pub(super) fn paths(case: &Case<'_>) -> Vec<Piece> {
    let path = case.path();
    let mut pieces = Pieces::new(path);
    if let Some(bare) = path.strip_suffix('/') {
        let says = "It was signed without the slash at the end of its path.";
        pieces.add(bare.to_owned(), "slash_added", says, SLASH);
    } else {
        let says = "It was signed with a slash at the end of its path.";
        pieces.add(format!("{path}/"), "slash_dropped", says, SLASH);
    }
    let says = "It was signed with two slashes at the beginning of its path.";
    let fix = "The sender joins a URL that ends in a slash with a path that begins with one.";
    pieces.add(format!("/{path}"), "double_slash", says, fix);
    for header in ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL"] {
        let before = case.recording.header(header).and_then(|uri| uri.split('?').next());
        if let Some(before) = before.filter(|before| before.starts_with('/')) {
            let says = format!("It was signed for the path that the {header} header names.");
            pieces.add(before.to_owned(), "path_rewritten", says, REWRITTEN);
        }
    }
    let decoded = decoded(path);
    let says = "It was signed with the escapes in its path taken out.";
    pieces.add(decoded, "path_decoded", says, REWRITTEN);
    for route in ROUTES {
        let says = format!("It was signed for the route {route}, and came in on another one.");
        let fix = "Point the sender at the route that it signs for, or undo the proxy's rewriting.";
        pieces.add(route.to_owned(), "route", says, fix);
    }
    pieces.list
}

/// The query with its `?`, or nothing.
pub(super) fn queries(case: &Case<'_>) -> Vec<Piece> {
    let expected = case.query().map(|query| format!("?{query}")).unwrap_or_default();
    let mut pieces = Pieces::new(&expected);
    if let Some(query) = case.query() {
        let says = "It was signed without its query.";
        let fix = "See who adds the query on the way, or have the sender sign the whole URL.";
        pieces.add(String::new(), "query_added", says, fix);
        orders(query, &mut pieces);
        escapes(query, &mut pieces);
        fewer(query, &mut pieces);
    }
    lost(case, &expected, &mut pieces);
    let says =
        "The #… behind the URL was signed as well; it is an instruction to Twilio and never sent.";
    let fix = "Sign the URL up to the #.";
    pieces.add(format!("{expected}{FRAGMENT}"), "fragment", says, fix);
    pieces.list
}

fn orders(query: &str, pieces: &mut Pieces) {
    let says = "It was signed with its query's parameters in another order.";
    let parameters: Vec<&str> = query.split('&').collect();
    let mut sorted = parameters.clone();
    sorted.sort_unstable();
    let mut reversed = parameters.clone();
    reversed.reverse();
    let mut orders = vec![sorted, reversed];
    if parameters.len() <= MOST_ORDERED {
        permute(&parameters, &mut Vec::new(), &mut orders);
    }
    for order in orders {
        pieces.add(format!("?{}", order.join("&")), "query_order", says, QUERY);
    }
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

fn escapes(query: &str, pieces: &mut Pieces) {
    let respelled = [
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
    for (how, text) in respelled {
        let says = format!("It was signed with {how} in its query.");
        pieces.add(format!("?{text}"), "query_encoding", says, QUERY);
    }
}

fn fewer(query: &str, pieces: &mut Pieces) {
    let parameters: Vec<&str> = query.split('&').collect();
    for (at, parameter) in parameters.iter().enumerate().take(MOST_DROPPED) {
        let mut rest = parameters.clone();
        rest.remove(at);
        let name = shown_name(parameter.split('=').next().unwrap_or_default().as_bytes());
        let says = format!("It was signed without the query parameter {name}.");
        let fix = "See who adds it on the way.";
        let text = if rest.is_empty() { String::new() } else { format!("?{}", rest.join("&")) };
        pieces.add(text, "query_parameter_added", says, fix);
    }
}

/// What may have been in the query and is there no more.
fn lost(case: &Case<'_>, expected: &str, pieces: &mut Pieces) {
    let with = |more: &str| {
        let mark = if expected.contains('?') { '&' } else { '?' };
        format!("{expected}{mark}{more}")
    };
    for header in ["X-Original-URI", "X-Original-URL", "X-Forwarded-Uri", "X-Rewrite-URL"] {
        let before = case.recording.header(header).and_then(|uri| uri.split_once('?'));
        if let Some((_, query)) = before {
            let says = format!("It was signed with the query that the {header} header names.");
            pieces.add(format!("?{query}"), "query_lost", says, QUERY);
        }
    }
    if case.media == Media::Other && !expected.contains("bodySHA256") {
        let hash = case.kept_hash().map_or_else(|| body_hash(&case.recording.body), str::to_owned);
        let says = "It was signed with bodySHA256 in the URL, and the query got lost on the way.";
        pieces.add(with(&format!("bodySHA256={hash}")), "body_hash_lost", says, QUERY);
    }
    if !expected.contains("feedback=") {
        let says = "It was signed with ?feedback=1, which got lost on the way.";
        pieces.add(with("feedback=1"), "feedback_lost", says, QUERY);
    }
    let says = "It was signed with a lone ? at its end.";
    pieces.add(format!("{expected}?"), "query_empty", says, QUERY);
}

/// Escapes replaced by what they stand for, where that is visible ASCII; the rest stays as it is.
fn decoded(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        let (before, escape) = rest.split_at(at);
        out.push_str(before);
        let byte = escape.get(1..3).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        let taken = if let Some(byte) = byte.filter(u8::is_ascii_graphic) {
            out.push(char::from(byte));
            3
        } else {
            out.push('%');
            1
        };
        rest = escape.get(taken..).unwrap_or_default();
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

/// What RFC 3986 does not leave plain, escaped; what delimits and what is escaped already stays.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~=&%+".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
