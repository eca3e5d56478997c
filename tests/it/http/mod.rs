//! The contract of docs/design.md, "HTTP", row by row, against the real binary over real sockets.

mod accounts;
mod answers;
mod field_values;
mod identity;
mod links;
mod operator;
mod refusals;
mod resends;
mod signals;
mod streams;
mod trust;

use crate::harness::{ACCOUNT, RECIPIENT, SENDER};

/// Twilio's form for an inbound message.
pub(crate) fn reply<'a>(sid: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let usual = [
        ("MessageSid", sid),
        ("AccountSid", ACCOUNT),
        ("From", RECIPIENT),
        ("To", SENDER),
        ("Body", "thanks"),
    ];
    let given = |name: &str| more.iter().any(|(known, _)| *known == name);
    let usual = usual.into_iter().filter(|(name, _)| !given(name));
    usual.chain(more.iter().copied()).collect()
}
