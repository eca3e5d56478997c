//! `stats`: what all records come to, for people and programs.

use std::io::Write;

use jiff::Timestamp;

use crate::admin::AdminRequest;
use crate::admin::stats::{Share, Summary};
use crate::cli::operate::StatsArgs;
use crate::commands::store_access::{StoreAccess, age, clock, now};
use crate::commands::table::{Table, plain, width};
use crate::domain::findings::pause_advice;
use crate::domain::message::State;
use crate::telemetry::readiness::{LaneDetail, LaneReadiness};

/// How many calling codes and senders people get to see; programs get all.
const SHOWN: usize = 10;

/// Tells it.
///
/// # Errors
/// The store does not answer, or nobody reads what is written.
pub(super) async fn run(
    reach: &StoreAccess,
    args: &StatsArgs,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let summary: Summary = reach.request(AdminRequest::Stats(now())).await?;
    if args.json {
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
        writeln!(out, "{}\n", plain(&closed(account, lane, now)))?;
    }
    let mut standing = Table::new(&["state", "count", "oldest"]);
    let states = State::ALL.map(State::as_str).into_iter().chain(["parked", "orphaned"]);
    for name in states {
        let waiting = summary.waiting.get(name).copied().unwrap_or_default();
        let oldest = waiting.oldest.map(|at| age(now, at)).unwrap_or_default();
        standing.row(&[name.to_owned(), waiting.count.to_string(), oldest]);
    }
    standing.row(&["click links".to_owned(), summary.links.to_string(), String::new()]);
    write!(out, "{}", standing.render(width()))?;
    let (funnel, codes, senders) = (&summary.funnel, &summary.calling_codes, &summary.senders);
    for (head, shares) in
        [("created in", funnel), ("to, in 30d", codes), ("sender, in 30d", senders)]
    {
        if shares.iter().any(|share| share.tally.sent > 0) {
            write!(out, "\n{}", table(head, shares).render(width()))?;
        }
        if let Some(more) = shares.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            writeln!(out, "and {more} more; --json tells all")?;
        }
    }
    Ok(())
}

/// What keeps the account's posts from flowing, of which Twilio is the cause.
fn closed(account: &str, lane: &LaneDetail, now: Timestamp) -> String {
    let long = lane.since.map(|since| format!(" for {}", age(now, since))).unwrap_or_default();
    let why = lane.why.as_deref().unwrap_or_default();
    let shown = if why.is_empty() { String::new() } else { format!(" ({why})") };
    let what = match lane.state {
        LaneReadiness::Open => "takes its posts",
        LaneReadiness::Held => "has asked its posts to wait",
        LaneReadiness::Paused => "rejects its posts",
    };
    let is = match lane.state {
        LaneReadiness::Open => "open",
        LaneReadiness::Held => "held",
        LaneReadiness::Paused => "paused",
    };
    let advice = match lane.state {
        LaneReadiness::Open | LaneReadiness::Held => String::new(),
        LaneReadiness::Paused => format!(". {}", pause_advice(lane.status, lane.code, why)),
    };
    format!("{account} has been {is}{long}: Twilio {what}{shown}{advice}")
}

fn table(head: &'static str, shares: &[Share]) -> Table {
    let heads = [head, "sent", "confirmed", "conversion", "reported", "refused", "undelivered"];
    let mut table = Table::new(&heads);
    for Share { of, since, tally, conversion } in shares.iter().take(SHOWN) {
        let conversion = conversion.map(|share| format!("{:.1} %", 100.0 * share));
        table.row(&[
            since.map_or_else(|| of.clone(), |since| format!("{of}, since {}", clock(since))),
            tally.sent.to_string(),
            tally.confirmed.to_string(),
            conversion.unwrap_or_default(),
            tally.reported.to_string(),
            tally.refused.to_string(),
            tally.undelivered.to_string(),
        ]);
    }
    table
}
