//! `verify-store` on a database: recounts all rows, compares the counters, and prints the digest of the records.

use std::io::Write;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::admin::digest::Digest;
use crate::commands::export::digest;
use crate::commands::store_access::StoreAccess;
use crate::domain::message::State;
use crate::store::postgres::Recount;

#[derive(Serialize)]
struct DatabaseReport {
    ok: bool,
    path: String,
    messages: Map<String, Value>,
    parked: u64,
    orphaned: u64,
    links: u64,
    counters: usize,
    wrong_counters: Vec<String>,
    digest: Digest,
}

/// Verifies the database, and prints the result.
pub(super) async fn run(
    store: &StoreAccess,
    shown: String,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let StoreAccess::Database { store: database, .. } = store else {
        anyhow::bail!("the store is no database")
    };
    let Recount { counts, counters, wrong } = database.recount().await?;
    let states = State::ALL.map(|state| (state.as_str().to_owned(), counts.of(state).into()));
    let wrong = wrong.iter().map(|counter| {
        format!("{}: {} stored, {} counted", counter.key, counter.stored, counter.counted)
    });
    let wrong_counters: Vec<String> = wrong.collect();
    let report = DatabaseReport {
        ok: wrong_counters.is_empty(),
        path: shown,
        messages: states.into_iter().collect(),
        parked: counts.parked,
        orphaned: counts.orphaned,
        links: counts.links,
        counters,
        wrong_counters,
        digest: digest(store).await?,
    };
    if json {
        writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?;
    } else {
        report.write(out)?;
    }
    Ok(report.ok)
}

impl DatabaseReport {
    fn write(&self, out: &mut impl Write) -> std::io::Result<()> {
        let sound = if self.ok { "sound" } else { "NOT sound: counters differ from the rows" };
        writeln!(out, "{}: {sound}", self.path)?;
        let states: Vec<_> =
            self.messages.iter().map(|(state, count)| format!("{state} {count}")).collect();
        writeln!(out, "  messages     {}", states.join(", "))?;
        writeln!(out, "  evidence     parked {}, orphaned {}", self.parked, self.orphaned)?;
        writeln!(out, "  click links  {}", self.links)?;
        let equal = self.counters - self.wrong_counters.len();
        writeln!(out, "  counters     {equal} of {} equal a recount of the rows", self.counters)?;
        for wrong in &self.wrong_counters {
            writeln!(out, "  WRONG        {wrong}")?;
        }
        write!(out, "{}", self.digest)
    }
}
