//! The worker's log lines: one for each attempt, one for each change of a lane.
//!
//! Deliberately absent: recipients, secrets and bodies; a message is named by its SID.

use std::time::Duration;

use crate::domain::feedback::{Claim, OutcomeDetail, Settlement, Verdict};
use crate::domain::findings::{FindingId, pause_advice};
use crate::domain::sid::AccountSid;
use crate::store::Swept;
use crate::worker::lane::{LaneChange, SharedChange};

/// Logs the end of an attempt.
pub(crate) fn attempt(claim: &Claim, verdict: &Verdict, took: Duration, end: &Settlement) {
    let (message_sid, account_sid) = (claim.feedback.message, claim.feedback.account);
    // 64 bits: a wider number would be logged as text.
    let (attempt, ms) = (claim.attempts, u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let (trace_id, reason, status) = (trace_id(claim), verdict.as_str(), verdict.status());
    let unexplained = OutcomeDetail::default();
    let OutcomeDetail { code, message: detail, .. } = verdict.detail().unwrap_or(&unexplained);
    match end {
        // At debug, because the line of the confirmation is at info. A success needs no further line there.
        Settlement::Reported if attempt == 1 => tracing::debug!(
            %message_sid, %account_sid, attempt, status, ms, trace_id, "{message_sid} reported"
        ),
        Settlement::Reported => tracing::info!(
            %message_sid, %account_sid, attempt, status, ms, trace_id,
            "{message_sid} reported at attempt {attempt}"
        ),
        Settlement::Retry { after, .. } if matches!(verdict, Verdict::Uncertain { .. }) => {
            tracing::warn!(
                %message_sid, %account_sid, attempt, reason, status, detail, ms, trace_id,
                "{message_sid} not reported: {detail}, which is not Twilio's answer. Next attempt in {after:.1?}; check \
                 HEARDBACK_UPSTREAM_URL and any proxy between this host and Twilio"
            );
        }
        Settlement::Retry { after, .. } if matches!(verdict, Verdict::Missing { .. }) => {
            tracing::warn!(
                %message_sid, %account_sid, attempt, reason, status, code, detail, ms, trace_id,
                "{message_sid} not reported: Twilio answered 404. Next attempt in {after:.1?}; a further 404 refuses it if Twilio \
                 has accepted another message of the account. Check that the SID is of this account"
            );
        }
        Settlement::Retry { after, .. } => {
            let cause = if detail.is_empty() { reason } else { detail };
            tracing::warn!(
                %message_sid, %account_sid, attempt, reason, status, code, detail, ms, trace_id,
                "{message_sid} not reported: {cause}; next attempt in {after:.1?}"
            );
        }
        Settlement::Release { after } => tracing::info!(
            %message_sid, %account_sid, attempt, reason, status, code, detail, ms, trace_id,
            "{message_sid} returned to the queue: reporting for the account is paused or throttled; next attempt in {after:.1?}"
        ),
        Settlement::Refused(refusal) => tracing::warn!(
            %message_sid, %account_sid, attempt, reason, status, code, detail, ms, trace_id,
            "{message_sid} refused: {}; it is not posted again. Correct the cause, then run `heardback requeue {message_sid}`",
            refusal.message
        ),
    }
}

/// Logs a claim that was released before a post.
pub(crate) fn released(claim: &Claim) {
    let (message_sid, account_sid) = (claim.feedback.message, claim.feedback.account);
    tracing::info!(
        %message_sid, %account_sid, attempt = claim.attempts, trace_id = trace_id(claim),
        "{message_sid} returned to the queue before it was posted"
    );
}

/// The counts of the sweep since its last line, unless all are zero.
pub(crate) fn swept(swept: &Swept) {
    let done: Vec<String> = swept
        .by_kind()
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    if done.is_empty() {
        return;
    }
    let Swept { expired, orphaned, messages, evidence, links, marks, evicted, .. } = swept;
    tracing::info!(
        expired,
        orphaned,
        messages,
        evidence,
        links,
        marks,
        evicted,
        "records swept: {}",
        done.join(", ")
    );
}

/// The trace of the request that confirmed the message.
fn trace_id(claim: &Claim) -> Option<String> {
    claim.trace.map(|trace| trace.trace_id_hex())
}

/// Logs a change of a lane.
pub(crate) fn change(account_sid: AccountSid, change: &LaneChange) {
    match change {
        LaneChange::Paused(OutcomeDetail { status, code, message }) => tracing::error!(
            %account_sid, status, code, detail = message,
            "reporting for {account_sid} is paused: {message}. {} {}",
            pause_advice(*status, *code, message),
            FindingId::LanePaused.advice()
        ),
        LaneChange::Narrowed(limit) => tracing::warn!(
            %account_sid, limit,
            "posts for {account_sid} hang: at most {limit} at a time from now on, one more after each minute without \
             a hanging post. Check Twilio's status page and the network to its region"
        ),
        LaneChange::Resumed => tracing::info!(
            %account_sid, "reporting for {account_sid} is resumed: Twilio accepted a post"
        ),
        LaneChange::Shared(SharedChange::Paused(OutcomeDetail { status, code, message })) => {
            tracing::error!(
                %account_sid, status, code, detail = message,
                "reporting for {account_sid} is paused: Twilio rejected a post of a receiver that \
                 shares the store: {message}. {} {}",
                pause_advice(*status, *code, message),
                FindingId::LanePaused.advice()
            );
        }
        LaneChange::Shared(SharedChange::Throttled(wait)) => tracing::warn!(
            %account_sid,
            "posts for {account_sid} wait {wait:.1?}: Twilio answered 429 to a receiver that shares the store, so \
             the account's API concurrency is used up"
        ),
        LaneChange::Shared(SharedChange::Resumed) => tracing::info!(
            %account_sid,
            "reporting for {account_sid} is resumed: Twilio no longer rejects the account"
        ),
    }
}
