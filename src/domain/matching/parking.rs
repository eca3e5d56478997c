//! Parked evidence: its lifetime, its limit, and which pieces are redundant.

use jiff::Timestamp;

use crate::domain::code::TypedCode;
use crate::domain::evidence::{Evidence, EvidenceTarget, INFERRED_PARKED_FOR, Parked, Reason};
use crate::domain::matching::policy::{MAX_PARKED, Policy};
use crate::domain::matching::rows::WaitsFor;
use crate::domain::timestamp_serde::later;
use crate::domain::trace::TraceParent;

/// New evidence in the form that would be parked. Evidence that names a person is parked briefly, all other evidence
/// for the pending lifetime.
pub(super) fn fresh(
    evidence: Evidence,
    code: Option<TypedCode>,
    trace: Option<TraceParent>,
    (policy, now): (&Policy, Timestamp),
) -> Parked {
    let parked_for = match evidence.target {
        EvidenceTarget::Message(_) | EvidenceTarget::Reference(_) | EvidenceTarget::Link(_) => {
            policy.pending_ttl
        }
        EvidenceTarget::Person { .. } | EvidenceTarget::Caller { .. } => INFERRED_PARKED_FOR,
    };
    let until = later(now, parked_for);
    let reason = Reason::NoMessage;
    Parked { evidence, parked_at: now, until, reason, orphaned: false, code, trace }
}

/// Whether one piece of evidence proves as much as another. Then the other one is redundant.
pub(super) fn proves_as_much(one: &Parked, other: &Parked) -> bool {
    let (a, b) = (&one.evidence, &other.evidence);
    let is_alike = a.account == b.account && a.target == b.target && one.code == other.code;
    match &a.target {
        // One piece of evidence that names a message is as good as two.
        EvidenceTarget::Message(_) => is_alike,
        // A link may have been opened before its message was sent: the later act proves more.
        EvidenceTarget::Link(_) => is_alike && a.occurred_at >= b.occurred_at,
        EvidenceTarget::Reference(_)
        | EvidenceTarget::Person { .. }
        | EvidenceTarget::Caller { .. } => {
            let times = |it: &Evidence| (it.occurred_at, it.time_source, it.source);
            is_alike && times(a) == times(b)
        }
    }
}

/// Whether new evidence may be parked beside the evidence under the same key. At the limit, the oldest evidence that
/// is kept as [`Reason::Known`] is removed for it.
pub(super) fn make_room(new: &Parked, kept: &mut [(Option<Parked>, Option<Parked>)]) -> bool {
    let key = WaitsFor::of(&new.evidence);
    let is_alike = |parked: &Parked| {
        parked.evidence.account == new.evidence.account && WaitsFor::of(&parked.evidence) == key
    };
    let alike = || kept.iter().filter_map(|(_, after)| after.as_ref()).filter(|it| is_alike(it));
    if alike().count() < MAX_PARKED {
        return true;
    }
    let spare = alike().filter(|parked| parked.reason == Reason::Known);
    let Some(oldest) = spare.min_by_key(|parked| parked.evidence.occurred_at).cloned() else {
        return false;
    };
    for (_, after) in kept.iter_mut().filter(|(_, after)| after.as_ref() == Some(&oldest)) {
        *after = None;
    }
    true
}
