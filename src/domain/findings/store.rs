//! Findings about the store and its disk.

use jiff::SignedDuration;

use crate::domain::findings::finding::Finding;
use crate::domain::findings::id::FindingId;
use crate::domain::findings::inputs::{FindingInputs, StoreFacts};
use crate::domain::redact::redacted;

/// Free bytes below which the store accepts no new event: sled needs room to open again.
pub const MIN_FREE: u64 = 128 << 20;
/// Below this the volume has to be extended now.
const CRITICAL_FREE: u64 = 192 << 20;
/// The finding is given if the volume is projected to be full within this time.
const FILL_HORIZON: SignedDuration = SignedDuration::from_hours(48);
/// The shortest time span for an extrapolation.
const MIN_TREND_SPAN: SignedDuration = SignedDuration::from_mins(60);

pub(super) fn derive(now: &FindingInputs, findings: &mut Vec<Finding>) {
    let store = &now.store;
    if let Some(trouble) = &store.trouble {
        let what = format!("The store cannot take events: {}", redacted(trouble));
        findings.push(Finding::new(FindingId::StoreSilent, what));
    }
    findings.extend(free(store));
    findings.extend(filling(store));
    findings.extend(too_many(store.records.saturating_sub(store.evictable), "messages", store));
    findings.extend(too_many(store.links, "click links", store));
    findings.extend(too_many_parked(store));
    if store.forgotten_early > 0 {
        let what = format!(
            "The store is full: {} finished records were evicted before the end of their retention within an hour",
            store.forgotten_early
        );
        findings.push(Finding::new(FindingId::StoreFull, what));
    }
    if store.slow_commits > 0 && store.slow_commits * 100 > store.commits {
        let what = format!(
            "{} of {} commits took longer than a second within 10 minutes",
            store.slow_commits, store.commits
        );
        findings.push(Finding::new(FindingId::CommitSlow, what));
    }
    if let Some(name) = &now.start.unsafe_file_system {
        let what =
            format!("The store is on {name}, a file system that can lose acknowledged records");
        findings.push(Finding::new(FindingId::StorePlacement, what).since(now.start.started_at));
    }
    if now.start.is_end_unverified {
        let what = "The file SEAL was incomplete or empty when the store was opened";
        findings
            .push(Finding::new(FindingId::StoreEndUnverified, what).since(now.start.started_at));
    }
}

fn free(store: &StoreFacts) -> Option<Finding> {
    let free = store.free.filter(|free| *free < CRITICAL_FREE)?;
    let left = format!("The volume of the store has {} MiB left", free >> 20);
    let what = if free < MIN_FREE {
        format!(
            "{left}, less than the required {} MiB: new events are rejected with HTTP 503",
            MIN_FREE >> 20
        )
    } else {
        format!("{left}; below {} MiB new events are rejected with HTTP 503", MIN_FREE >> 20)
    };
    Some(Finding::new(FindingId::StoreNearlyFull, what))
}

/// Extrapolates the loss of free space, as the alert does.
fn filling(store: &StoreFacts) -> Option<Finding> {
    let free = store.free.filter(|free| *free >= CRITICAL_FREE)?;
    let (span, before) = store.free_before.filter(|(span, _)| *span >= MIN_TREND_SPAN)?;
    let lost = u128::from(before.checked_sub(free)?);
    let room = u128::from(free.saturating_sub(MIN_FREE));
    let seconds = |span: SignedDuration| u128::try_from(span.as_secs()).unwrap_or_default();
    if lost == 0 || room * seconds(span) >= lost * seconds(FILL_HORIZON) {
        return None;
    }
    let hours = room * seconds(span) / lost / 3_600;
    let what = format!("The volume of the store will be full in about {hours} h");
    Some(Finding::new(FindingId::StoreFilling, what))
}

fn too_many_parked(store: &StoreFacts) -> Option<Finding> {
    let (parked, share) = (store.parked, store.parked_share);
    if !is_nearly(parked, share) {
        return None;
    }
    let reached = if parked >= share { ": more is rejected with HTTP 503" } else { "" };
    let what = format!(
        "{parked} pieces of evidence of one account wait for their messages; its share of HEARDBACK_MAX_PARKED is {share}{reached}"
    );
    Some(Finding::new(FindingId::TooManyParked, what))
}

/// Over nine tenths of a known limit.
fn is_nearly(count: u64, max: u64) -> bool {
    max > 0 && u128::from(count) * 10 > u128::from(max) * 9
}

/// `what` names the kind of record. The limit holds for messages and for click links.
fn too_many(count: u64, what: &str, store: &StoreFacts) -> Option<Finding> {
    let max = store.max_records;
    if !is_nearly(count, max) {
        return None;
    }
    let kept =
        format!("{count} {what} cannot be evicted; the limit is {max} (HEARDBACK_MAX_MESSAGES)");
    let reached = if count >= max { ": new ones are rejected with HTTP 503" } else { "" };
    let finding = Finding::new(FindingId::TooManyMessages, format!("{kept}{reached}"));
    Some(finding.about(what))
}
