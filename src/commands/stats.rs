//! `stats`: the numbers of all records, as tables or JSON.

use std::io::Write;

use jiff::Timestamp;

use crate::admin::AdminRequest;
use crate::admin::stats::{ConversionRow, Summary};
use crate::commands::store_access::{StoreAccess, age, now, shown_time};
use crate::commands::table::{Table, plain, width};
use crate::domain::findings::pause_advice;
use crate::domain::message::State;
use crate::telemetry::readiness::{LaneDetail, LaneReadiness};

/// The most rows that each table prints. `--json` prints all.
const MAX_ROWS: usize = 10;

/// Prints the statistics.
pub(super) async fn run(
    store: &StoreAccess,
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let summary: Summary = store.request(AdminRequest::Stats(now())).await?;
    if json {
        serde_json::to_writer_pretty(&mut *out, &summary)?;
        writeln!(out)?;
    } else {
        text(&summary, out)?;
    }
    Ok(true)
}

fn text(summary: &Summary, out: &mut impl Write) -> std::io::Result<()> {
    let now = now();
    if summary.dry_run {
        let after = "confirmed messages are posted once HEARDBACK_DRY_RUN is switched off";
        writeln!(out, "dry run: nothing is posted; {after}\n")?;
    }
    for (account, answers) in &summary.foreign_answers {
        let (long, why) = (age(now, answers.since), plain(&answers.why));
        writeln!(
            out,
            "another server has answered {account}'s posts instead of Twilio for {long}: {why}\n"
        )?;
    }
    for (account, since) in &summary.on_hold {
        let long = age(now, *since);
        writeln!(out, "{account} has been on hold for {long}; `heardback resume` ends it\n")?;
    }
    for (account, lane) in &summary.lanes {
        writeln!(out, "{}\n", plain(&lane_text(account, lane, now)))?;
    }
    let mut by_state = Table::new(&["state", "count", "oldest"]);
    let states = State::ALL.map(State::as_str).into_iter().chain(["parked", "orphaned"]);
    for name in states {
        let records = summary.by_state.get(name).copied().unwrap_or_default();
        let oldest = records.oldest.map(|at| age(now, at)).unwrap_or_default();
        by_state.row(&[name.to_owned(), records.count.to_string(), oldest]);
    }
    by_state.row(&["click links".to_owned(), summary.links.to_string(), String::new()]);
    write!(out, "{}", by_state.render(width()))?;
    let (funnel, codes, senders) = (&summary.funnel, &summary.calling_codes, &summary.senders);
    for (head, rows) in [("created in", funnel), ("to, in 30d", codes), ("sender, in 30d", senders)]
    {
        if rows.iter().any(|row| row.counts.sent > 0) {
            write!(out, "\n{}", table(head, rows).render(width()))?;
        }
        if let Some(more) = rows.len().checked_sub(MAX_ROWS).filter(|more| *more > 0) {
            writeln!(out, "and {more} more; --json shows all")?;
        }
    }
    Ok(())
}

/// Whether Twilio accepts the account's posts, and otherwise why not.
fn lane_text(account: &str, lane: &LaneDetail, now: Timestamp) -> String {
    let long = lane.since.map(|since| format!(" for {}", age(now, since))).unwrap_or_default();
    let why = lane.why.as_deref().unwrap_or_default();
    let shown = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let (state, what, advice) = match lane.state {
        LaneReadiness::Posting => ("open", "accepts its posts", String::new()),
        LaneReadiness::Throttled => ("throttled", "requested a wait", String::new()),
        LaneReadiness::Paused => {
            let advice = pause_advice(lane.status, lane.code, why);
            ("paused", "rejects its posts", format!(". {advice}"))
        }
    };
    format!("{account} has been {state}{long}: Twilio {what}{shown}{advice}")
}

fn table(head: &'static str, rows: &[ConversionRow]) -> Table {
    let heads = [head, "sent", "confirmed", "conversion", "reported", "refused", "undelivered"];
    let mut table = Table::new(&heads);
    for ConversionRow { label, since, counts, conversion } in rows.iter().take(MAX_ROWS) {
        let conversion = conversion.map(|share| format!("{:.1} %", 100.0 * share));
        table.row(&[
            since.map_or_else(
                || label.clone(),
                |since| format!("{label}, since {}", shown_time(since)),
            ),
            counts.sent.to_string(),
            counts.confirmed.to_string(),
            conversion.unwrap_or_default(),
            counts.reported.to_string(),
            counts.refused.to_string(),
            counts.undelivered.to_string(),
        ]);
    }
    table
}
