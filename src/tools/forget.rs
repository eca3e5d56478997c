//! `forget`: what concerns a person is erased, be it by the service that has the store open or, where
//! none runs, right here. The person's address goes nowhere but there: to no log, and back to no screen.

use std::fmt::Write as _;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, bail};

use crate::config::{StoreUrl, VisitSettings};
use crate::domain::address::Address;
use crate::inbound::control::{Erased, FORGET, Forget};
use crate::recording::ring::Ring;
use crate::store::Store as _;
use crate::store::sled::Visit;
use crate::tools::{control, reach};

/// Whom the arguments name, and the lines of stdin where one of them is `-`.
///
/// # Errors
/// One of them is no address; which one, but not what it says.
pub fn whom(given: &[String], stdin: &mut impl BufRead) -> anyhow::Result<Forget> {
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
    Ok(Forget { addresses })
}

/// Erases it.
///
/// # Errors
/// The store cannot be opened, or written; or the service does not answer.
pub async fn run(settings: &VisitSettings, whom: Forget) -> anyhow::Result<Erased> {
    let StoreUrl::Sled(store) = &settings.store;
    match control::ask(store, FORGET, &whom).await? {
        Some(answer) => answer.json().await.context("the service's answer cannot be read"),
        None => here(settings, &whom).await,
    }
}

async fn here(settings: &VisitSettings, whom: &Forget) -> anyhow::Result<Erased> {
    let addresses = whom.addresses.iter().map(|text| Address::parse_recipient(text));
    let addresses = addresses.collect::<Result<Vec<_>, _>>()?;
    let visit = Visit::begin(reach::options(settings, reach::POLICY))?;
    let forgotten = visit.store().forget(addresses).await;
    visit.end().await;
    let forgotten = forgotten?;
    let recordings = match settings.record_refused.as_deref() {
        Some(folder) => clear(folder).with_context(|| {
            let folder = folder.display();
            format!("{} messages are erased, but {folder} cannot be emptied", forgotten.messages)
        })?,
        None => 0,
    };
    Ok(Erased { forgotten, recordings })
}

/// Removes what was recorded of refused requests, where there is such a folder.
fn clear(folder: &Path) -> std::io::Result<u64> {
    if !folder.try_exists()? {
        return Ok(0);
    }
    Ring::open(folder)?.clear()
}

/// For people.
#[must_use]
pub fn text(erased: &Erased) -> String {
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

/// For programs.
///
/// # Errors
/// None in practice: there is nothing in it that JSON cannot hold.
pub fn json(erased: &Erased) -> Result<String, serde_json::Error> {
    serde_json::to_string_pretty(erased)
}
