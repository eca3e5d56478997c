//! Findings about reporting to Twilio: lanes, holds, the outbox, Twilio's answers.

use jiff::SignedDuration;

use crate::domain::findings::finding::Finding;
use crate::domain::findings::id::{FindingId, Severity};
use crate::domain::findings::inputs::{
    FindingInputs, ForeignServer, OutboxFacts, PausedLane, ThrottledLane,
};
use crate::domain::findings::rejection::pause_advice;
use crate::domain::redact::redacted;
use crate::domain::span::rough;

/// Retries begin within seconds, so this wait of a confirmation is late …
const LATE: SignedDuration = SignedDuration::from_mins(5);
/// … and this long is an alert.
const TOO_LATE: SignedDuration = SignedDuration::from_mins(15);
/// An outbox of at most this size gives no finding.
const SMALL_OUTBOX: u64 = 100;
/// The most failures that are no trend.
const FEW_FAILURES: u64 = 10;
/// Throttling for more than this share of the time is a warning.
const MOSTLY: f64 = 0.5;

pub(super) fn derive(now: &FindingInputs, findings: &mut Vec<Finding>) {
    findings.extend(now.paused.iter().map(paused));
    findings.extend(now.throttled.iter().map(|lane| throttled(lane, now)));
    findings.extend(now.on_hold.iter().map(|hold| {
        let what = format!("Reporting for {} is on hold", hold.account);
        Finding::new(FindingId::LaneOnHold, what).about(&hold.account).since(hold.since)
    }));
    findings.extend(now.foreign.iter().map(foreign));
    findings.extend(mismatch(now));
    findings.extend(refused(now));
    if now.is_dry_run {
        let what = "This is a dry run: no confirmation is posted";
        findings.push(Finding::new(FindingId::DryRun, what).since(now.start.started_at));
        return;
    }
    findings.extend(old(now));
    findings.extend(growing(&now.outbox));
    findings.extend(failing(now));
}

fn paused(lane: &PausedLane) -> Finding {
    let PausedLane { account, since, status, code, message } = lane;
    let status = status.map(|status| format!("HTTP {status}"));
    let code = code.map(|code| format!("error {code}"));
    let message = Some(redacted(message)).filter(|message| !message.is_empty());
    let why: Vec<String> = status.into_iter().chain(code).chain(message).collect();
    let what =
        format!("Twilio rejects the posts of {account}, which are paused: {}", why.join(", "));
    let advice = pause_advice(lane.status, lane.code, &lane.message);
    Finding::new(FindingId::LanePaused, what).about(account).since(*since).advising(advice)
}

/// A short 429 is Twilio's usual limit of concurrency; one that delays a confirmation is a fault.
fn throttled(lane: &ThrottledLane, now: &FindingInputs) -> Finding {
    let ThrottledLane { account, share, oldest } = lane;
    let waited = oldest.map(|oldest| now.now.duration_since(oldest)).filter(|age| *age >= LATE);
    let waits =
        waited.map(|age| format!(", and its oldest confirmation has waited for {}", rough(age)));
    let what = format!(
        "Twilio throttles {account} ({:.0}% of the last 30 minutes){}",
        share * 100.0,
        waits.unwrap_or_default()
    );
    let matters = *share > MOSTLY || waited.is_some();
    let severity = if matters { Severity::Warning } else { Severity::Info };
    Finding::new(FindingId::LaneThrottled, what).about(account).at_most(severity)
}

fn foreign(server: &ForeignServer) -> Finding {
    let ForeignServer { account, since, why } = server;
    let what =
        format!("Another server than Twilio answers the posts of {account}: {}", redacted(why));
    Finding::new(FindingId::UpstreamMismatch, what).about(account).since(*since)
}

/// Foreign answers of the last hour, from a server that does not answer any more.
fn mismatch(now: &FindingInputs) -> Option<Finding> {
    let unnamed = now.upstream.unnamed;
    let what =
        format!("{unnamed} posts were answered within an hour with a 2xx that is not Twilio's");
    (unnamed > 0 && now.foreign.is_empty())
        .then(|| Finding::new(FindingId::UpstreamMismatch, what).at_most(Severity::Warning))
}

fn refused(now: &FindingInputs) -> Option<Finding> {
    let today = now.upstream.refused_today.max(now.upstream.refused);
    let at_least = if now.upstream.is_cut { "at least " } else { "" };
    let noun = if today == 1 { "confirmation" } else { "confirmations" };
    let what = format!("Twilio refused {at_least}{today} {noun} in the last 24 hours");
    let finding = Finding::new(FindingId::RefusedByTwilio, what);
    (today > 0).then(|| finding.since(now.upstream.refused_since))
}

/// Like the alert, this counts every confirmation except those on hold.
fn old(now: &FindingInputs) -> Option<Finding> {
    let oldest = now.outbox.oldest?;
    let waited = now.now.duration_since(oldest);
    let severity = if waited >= TOO_LATE { Severity::Critical } else { Severity::Warning };
    let what = format!("The oldest confirmation has waited for {} to be reported", rough(waited));
    let finding = Finding::new(FindingId::OutboxOld, what).since(oldest).at_most(severity);
    (waited >= LATE).then_some(finding)
}

fn growing(outbox: &OutboxFacts) -> Option<Finding> {
    let OutboxFacts { waiting, half_an_hour_ago, .. } = outbox;
    let before = half_an_hour_ago.filter(|before| before < waiting && *waiting > SMALL_OUTBOX)?;
    let what =
        format!("{waiting} confirmations wait to be reported, after {before} half an hour ago");
    Some(Finding::new(FindingId::OutboxGrowing, what))
}

/// Failed reports that will be retried; without any, posts of which most failed.
fn failing(now: &FindingInputs) -> Option<Finding> {
    let (outbox, upstream) = (&now.outbox, &now.upstream);
    let finding = |what| Some(Finding::new(FindingId::UpstreamFailing, what));
    if let Some(last) = &outbox.last_failure {
        let at_least = if outbox.is_cut { "At least " } else { "" };
        let noun = if outbox.failed == 1 { "report" } else { "reports" };
        let last = redacted(last);
        return finding(format!(
            "{at_least}{} {noun} failed and will be retried; the last: {last}",
            outbox.failed
        ));
    }
    let mostly = upstream.failures > FEW_FAILURES && upstream.failures * 2 > upstream.attempts;
    if !mostly || !now.paused.is_empty() {
        return None;
    }
    finding(format!(
        "{} of {} posts failed within 15 minutes",
        upstream.failures, upstream.attempts
    ))
}
