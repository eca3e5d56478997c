//! What may have been signed besides the URL: other parameters, other values, another order.
//!
//! A signed string has no delimiters, so an unusual order or a raw body is one nameless parameter
//! with all of it as its value: `domain::signature` signs that, too, and no second signer is needed.

use crate::tools::doctor::offline::case::{Case, Media, Parameter};
use crate::tools::doctor::offline::finding::{Deviation, shown_name};
use crate::tools::doctor::offline::values::{CHANGES, Change};

/// What is signed besides the URL, and how it differs from what we expect.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    /// `None`: the URL alone.
    pub(super) parameters: Option<Vec<Parameter>>,
    pub(super) deviations: Vec<Deviation>,
}

/// Each of so many parameters is tried away. A true callback has some thirty.
const MOST_DROPPED: usize = 64;

/// All readings: first the expected one, then those with one deviation, then with two.
pub(super) fn readings(case: &Case<'_>) -> Vec<Reading> {
    let mut list = Readings { found: Vec::new() };
    match case.media {
        Media::Form => form(&mut list, &case.parameters(), &case.recording.body, true),
        Media::Nothing => {
            list.add(None, Vec::new());
            let says =
                "The query's parameters were signed a second time, as if they were a form's.";
            let fix = "A GET is signed by its URL alone.";
            let twice = Deviation::new("get_as_form", says, fix);
            list.add(Some(case.query_parameters()), vec![twice]);
        }
        Media::Other => other(&mut list, case),
    }
    list.found.sort_by_key(|reading| reading.deviations.len());
    list.found
}

struct Readings {
    found: Vec<Reading>,
}

impl Readings {
    /// What signs like something that is there already is not tried again.
    fn add(&mut self, parameters: Option<Vec<Parameter>>, deviations: Vec<Deviation>) {
        let parameters = parameters.map(sorted).filter(|parameters| !parameters.is_empty());
        if self.found.iter().all(|known| known.parameters != parameters) {
            self.found.push(Reading { parameters, deviations });
        }
    }
}

/// As `domain::signature` does, so that equals are recognised.
fn sorted(mut parameters: Vec<Parameter>) -> Vec<Parameter> {
    parameters.sort_unstable();
    parameters.dedup();
    parameters
}

fn form(list: &mut Readings, parameters: &[Parameter], body: &[u8], with_pairs: bool) {
    list.add(Some(parameters.to_vec()), Vec::new());
    let cause = |change: &Change| Deviation::new(change.id, change.says, change.fix);
    for change in &CHANGES {
        list.add(Some((change.apply)(parameters)), vec![cause(change)]);
    }
    whole(list, parameters, body);
    dropped(list, parameters);
    added(list, parameters);
    if !with_pairs {
        return;
    }
    for first in &CHANGES {
        let once = (first.apply)(parameters);
        for second in &CHANGES {
            if first.id != second.id && once.len() <= MOST_DROPPED {
                list.add(Some((second.apply)(&once)), vec![cause(first), cause(second)]);
            }
        }
    }
}

/// Signers of their own make that do not follow Twilio's rule.
fn whole(list: &mut Readings, parameters: &[Parameter], body: &[u8]) {
    const RULE: &str = "Twilio's rule: the URL, then each parameter's name and decoded value, sorted by \
                        name, nothing in between. `heardback sign` shows it; the helper libraries do it.";
    let says = "Only the URL was signed, and not the form's parameters.";
    list.add(None, vec![Deviation::new("parameters_unsigned", says, RULE)]);
    let says = "The raw body was signed behind the URL, and not its sorted parameters.";
    list.add(Some(nameless(body.to_vec())), vec![Deviation::new("raw_body", says, RULE)]);
    let joined = |parameters: &[Parameter], name: bool| -> Vec<u8> {
        let pieces = parameters.iter();
        let each = |(key, value): &Parameter| {
            if name { [key.as_slice(), value].concat() } else { value.clone() }
        };
        pieces.flat_map(each).collect()
    };
    let says =
        "The parameters were signed in the order in which they are sent, and not sorted by name.";
    let unsorted = joined(parameters, true);
    list.add(Some(nameless(unsorted)), vec![Deviation::new("unsorted", says, RULE)]);
    let says = "The parameters were sorted without regard to upper and lower case.";
    let mut caseless = parameters.to_vec();
    caseless.sort_by_key(|(name, value)| (name.to_ascii_lowercase(), value.clone()));
    list.add(
        Some(nameless(joined(&caseless, true))),
        vec![Deviation::new("caseless_sort", says, RULE)],
    );
    let says = "Only the values were signed, without the parameters' names.";
    let values = joined(&sorted(parameters.to_vec()), false);
    list.add(Some(nameless(values)), vec![Deviation::new("values_only", says, RULE)]);
}

fn nameless(text: Vec<u8>) -> Vec<Parameter> {
    vec![(Vec::new(), text)]
}

fn dropped(list: &mut Readings, parameters: &[Parameter]) {
    for (name, _) in parameters.iter().take(MOST_DROPPED) {
        let rest = parameters.iter().filter(|(other, _)| other != name).cloned().collect();
        let says = format!("It was signed without the parameter {}.", shown_name(name));
        let fix = "See who adds it between the sender and here.";
        list.add(Some(rest), vec![Deviation::new("parameter_added", says, fix)]);
    }
}

/// Parameters of Twilio's whose value can be told from the others.
fn added(list: &mut Readings, parameters: &[Parameter]) {
    const FIX: &str =
        "See who takes it out: frameworks and proxies that drop empty or unknown parameters.";
    const FIXED: [(&str, &str); 6] = [
        ("Body", ""),
        ("ApiVersion", "2010-04-01"),
        ("NumMedia", "0"),
        ("NumSegments", "1"),
        ("SmsStatus", "received"),
        ("MessageType", "text"),
    ];
    const OFTEN_EMPTY: [&str; 12] = [
        "FromCity",
        "FromState",
        "FromZip",
        "FromCountry",
        "ToCity",
        "ToState",
        "ToZip",
        "ToCountry",
        "ErrorCode",
        "ErrorMessage",
        "ProfileName",
        "Label",
    ];
    let value_of = |name: &str| {
        let found = parameters.iter().find(|(known, _)| known == name.as_bytes());
        found.map(|(_, value)| value.clone())
    };
    let mut known: Vec<(&str, Vec<u8>)> = Vec::new();
    for (name, value) in FIXED {
        known.push((name, value.as_bytes().to_vec()));
    }
    if let Some(sid) = value_of("MessageSid").or_else(|| value_of("SmsSid")) {
        known.extend(["MessageSid", "SmsSid", "SmsMessageSid"].map(|name| (name, sid.clone())));
    }
    for [from, to] in [["MessageStatus", "SmsStatus"], ["SmsStatus", "MessageStatus"]] {
        known.extend(value_of(from).map(|value| (to, value)));
    }
    known.extend(OFTEN_EMPTY.map(|name| (name, Vec::new())));
    known.retain(|(name, _)| value_of(name).is_none());
    let with = |more: &[&(&str, Vec<u8>)]| {
        let more = more.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.clone()));
        Some(parameters.iter().cloned().chain(more).collect())
    };
    let geography: Vec<_> = known.iter().filter(|(name, _)| is_place(name)).collect();
    let says = "The empty parameters about places (FromCity, ToZip, …) are missing: they were signed, \
                and did not arrive.";
    list.add(with(&geography), vec![Deviation::new("empty_parameters_missing", says, FIX)]);
    let missing = |name: &str| {
        let says = format!("The parameter {name} is missing: it was signed, and did not arrive.");
        Deviation::new("parameter_missing", says, FIX)
    };
    for more in &known {
        list.add(with(&[more]), vec![missing(more.0)]);
    }
    for (at, first) in known.iter().enumerate() {
        for second in known.iter().skip(at + 1).filter(|second| second.0 != first.0) {
            list.add(with(&[first, second]), vec![missing(first.0), missing(second.0)]);
        }
    }
}

fn is_place(name: &str) -> bool {
    ["City", "State", "Zip", "Country"].iter().any(|end| name.ends_with(end))
}

fn other(list: &mut Readings, case: &Case<'_>) {
    list.add(None, Vec::new());
    if case.kept_hash().is_some() {
        return;
    }
    let body = &case.recording.body;
    if let Some(fields) = case.json_fields() {
        let says = "The fields of the JSON body were signed as if they were a form's.";
        let fix = "Sign the URL with bodySHA256 in its query, and nothing else; or send a form.";
        list.add(Some(fields), vec![Deviation::new("json_as_form", says, fix)]);
    }
    if let Some(fields) = case.recording.multipart_fields() {
        let says = "It was signed as a form, but it is sent as multipart/form-data.";
        let fix = "Send it as application/x-www-form-urlencoded: most HTTP clients choose multipart where a \
                   form object or a file is passed to them.";
        list.add(Some(fields), vec![Deviation::new("multipart", says, fix)]);
    }
    let says = "The raw body was signed behind the URL.";
    let fix = "Put the body's SHA-256 into the query as bodySHA256, and sign the URL alone.";
    list.add(Some(nameless(body.clone())), vec![Deviation::new("raw_body", says, fix)]);
    let parameters = case.parameters();
    if !body.starts_with(b"{") && !body.starts_with(b"[") && parameters.len() <= MOST_DROPPED {
        let says = "It was signed as a form, but its Content-Type does not say that it is one.";
        let fix =
            "Send it as application/x-www-form-urlencoded; see who changes the header on the way.";
        list.add(Some(parameters), vec![Deviation::new("content_type", says, fix)]);
    }
}
