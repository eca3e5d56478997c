//! `forget`: erases the records of people. Their addresses go to the store, and to no log or terminal.

use std::fmt::Write as _;
use std::io::{BufRead, Write};

use anyhow::{Context, bail};

use crate::admin::AdminRequest;
use crate::admin::forget::Erased;
use crate::commands::store_access::StoreAccess;
use crate::domain::address::Address;

/// The addresses in the arguments, and in the lines of stdin if one argument is `-`.
///
/// # Errors
/// An argument is no address. The error has its number, and not its text.
pub(super) fn addresses(given: &[String], stdin: &mut impl BufRead) -> anyhow::Result<Vec<String>> {
    let mut addresses = Vec::new();
    for (at, given) in (1..).zip(given) {
        if given != "-" {
            Address::parse_recipient(given).with_context(|| format!("address {at}"))?;
            addresses.push(given.clone());
            continue;
        }
        for (at, line) in (1..).zip(stdin.by_ref().lines()) {
            let line = line.with_context(|| format!("cannot read line {at} of stdin"))?;
            let line = line.trim_start_matches('\u{feff}').to_owned();
            if line.trim().is_empty() {
                continue;
            }
            Address::parse_recipient(&line).with_context(|| format!("line {at} of stdin"))?;
            addresses.push(line);
        }
    }
    if addresses.is_empty() {
        bail!("stdin is empty; expected one address a line");
    }
    Ok(addresses)
}

/// Erases the records, and prints their numbers.
pub(super) async fn run(
    store: &StoreAccess,
    addresses: Vec<String>,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let erased: Erased = store.request(AdminRequest::Forget { addresses }).await?;
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&erased)?)?;
    } else {
        writeln!(out, "{}", text(&erased))?;
    }
    Ok(true)
}

fn text(erased: &Erased) -> String {
    let Erased { forgotten, recordings } = erased;
    let rows = [
        (forgotten.messages, "message", "messages"),
        (forgotten.evidence, "parked signal", "parked signals"),
        (forgotten.links, "click link", "click links"),
        (*recordings, "recording of a refused request", "recordings of refused requests"),
        (forgotten.references, "other message's reference", "other messages' references"),
    ];
    let mut out = String::new();
    // Writing to a String cannot fail.
    for (count, one, many) in rows.iter().filter(|row| row.0 > 0) {
        let _ = writeln!(out, "erased {count} {}", if *count == 1 { one } else { many });
    }
    if forgotten.unreported > 0 {
        let _ = writeln!(
            out,
            "{} of the messages were confirmed and not reported yet: they will not be reported",
            forgotten.unreported
        );
    }
    if out.is_empty() {
        return "no records found (records under another HEARDBACK_PHONE_KEY cannot be found)"
            .to_owned();
    }
    out.push_str("earlier backups still contain these records");
    out
}
