//! Evidence that has to wait: for how long, how much of it, and when another piece adds nothing.

use crate::domain::matching::decide::Ledger;
use crate::domain::matching::pick::Typed;
use crate::domain::matching::{INFERRED_PARKED_FOR, MAX_PARKED, Observed, Parked, Reason, later};
use crate::domain::signal::{Evidence, Named};
use crate::domain::trace::TraceParent;

impl Ledger<'_> {
    /// Lets evidence wait: what names a message for the pending lifetime, what names a person briefly.
    pub(super) fn park(
        &mut self,
        evidence: &Evidence,
        typed: Typed<'_>,
        reason: Reason,
        trace: Option<TraceParent>,
    ) -> Observed {
        let waiting: Vec<&Parked> =
            self.parked.iter().filter(|other| waits_alike(&other.evidence, evidence)).collect();
        if let Some(same) = waiting.iter().find(|other| proves_as_much(&other.evidence, evidence)) {
            return Observed::Parked { until: same.until, reason };
        }
        if waiting.len() >= MAX_PARKED {
            return Observed::Nothing(Reason::TooManyParked);
        }
        let patience = match evidence.named {
            Named::Message(_) | Named::Reference(_) | Named::Link(_) => self.policy.pending_ttl,
            Named::Person { .. } | Named::Caller { .. } => INFERRED_PARKED_FOR,
        };
        let until = later(self.now, patience);
        self.changes.park.push(Parked {
            evidence: evidence.clone(),
            parked_at: self.now,
            until,
            reason,
            orphaned: false,
            held_number: typed.has_number(),
            trace,
        });
        Observed::Parked { until, reason }
    }
}

/// Whether both wait for the same message, reference or person.
fn waits_alike(one: &Evidence, other: &Evidence) -> bool {
    if one.account != other.account {
        return false;
    }
    match (&one.named, &other.named) {
        (Named::Message(a), Named::Message(b)) => a == b,
        (Named::Reference(a), Named::Reference(b)) => a == b,
        (Named::Link(a), Named::Link(b)) => a == b,
        (
            Named::Person { recipient: a, .. } | Named::Caller { recipient: a, .. },
            Named::Person { recipient: b, .. } | Named::Caller { recipient: b, .. },
        ) => a.person == b.person,
        (
            Named::Message(_)
            | Named::Reference(_)
            | Named::Person { .. }
            | Named::Caller { .. }
            | Named::Link(_),
            _,
        ) => false,
    }
}

/// One piece of evidence that names a message is as good as two.
fn proves_as_much(one: &Evidence, other: &Evidence) -> bool {
    match &one.named {
        Named::Message(_) | Named::Link(_) => one.named == other.named,
        Named::Reference(_) | Named::Person { .. } | Named::Caller { .. } => {
            one.named == other.named && one.occurred_at == other.occurred_at
        }
    }
}
