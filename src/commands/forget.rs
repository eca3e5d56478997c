//! `forget`: erases the records of people. Their addresses go to the store only: to no log, and not back to the
//! terminal.

use std::fmt::Write as _;
use std::io::{BufRead, Write};

use anyhow::{Context, bail};

use crate::admin::AdminRequest;
use crate::admin::forget::Erased;
use crate::commands::store_access::StoreAccess;
use crate::domain::address::Address;

/// Whom the arguments name, and the lines of stdin where one of them is `-`.
///
/// # Errors
/// One of them is no address; which one, but not what it says.
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
        bail!("stdin names nobody; expected an address a line");
    }
    Ok(addresses)
}

/// Erases the records, and prints their numbers.
///
/// # Errors
/// The store cannot be opened or written, or the service does not answer.
pub(super) async fn run(
    reach: &StoreAccess,
    addresses: Vec<String>,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let erased: Erased = reach.request(AdminRequest::Forget { addresses }).await?;
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
        (forgotten.messages, "message", "messages", ""),
        (forgotten.evidence, "piece of evidence", "pieces of evidence", " that waited"),
        (forgotten.links, "click link", "click links", ""),
        (*recordings, "recording of a refused request", "recordings of refused requests", ""),
        (forgotten.references, "other message's reference", "other messages' references", ""),
    ];
    let mut out = String::new();
    // Writing to a String cannot fail.
    for (count, one, many, more) in rows.iter().filter(|row| row.0 > 0) {
        let what = if *count == 1 { one } else { many };
        let _ = writeln!(out, "erased {count} {what}{more}");
    }
    if forgotten.unreported > 0 {
        let _ = writeln!(
            out,
            "of the messages {} had been confirmed and not been reported yet: Twilio will not hear of it",
            forgotten.unreported
        );
    }
    if out.is_empty() {
        return "nothing of them was found (what was kept under another HEARDBACK_PHONE_KEY cannot be)"
            .to_owned();
    }
    out.push_str("backups made before still hold it");
    out
}
