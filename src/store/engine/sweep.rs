//! Expires, orphans and removes rows by the trusted time.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::clock::MAX_JUMP;
use crate::domain::matching::{
    Parked, ParkedKind, Policy, REGISTERED_WITHIN, Reason, RowSource as _, WaitsFor, earlier, later,
};
use crate::domain::message::{Message, State};
use crate::domain::signal::EvidenceTarget;
use crate::store::engine::backend::Backend;
use crate::store::engine::evict::all_names;
use crate::store::engine::evidence::reconsider;
use crate::store::engine::loader::Loader;
use crate::store::engine::mutation::Mutation;
use crate::store::engine::row::StoredRow;
use crate::store::outcome::Swept;

/// Evidence that names only a person is listed as orphaned for this long: every unrelated reply becomes orphaned.
const INFERRED_ORPHANS_KEPT: Duration = Duration::from_hours(24);

/// Expires, orphans or removes one row, if it is time.
///
/// # Errors
/// The backend cannot go on.
pub fn sweep<B: Backend>(
    backend: &mut B,
    row: StoredRow,
    swept: &mut Swept,
) -> Result<(), B::Error> {
    let removal = backend.removal();
    let policy = backend.config().policy;
    let mut mutation = Mutation::default();
    match row {
        StoredRow::Message(message) => return sweep_message(backend, *message, swept),
        StoredRow::Parked(parked) => return sweep_parked(backend, *parked, swept),
        StoredRow::Link(id, link) => {
            if policy.link_until(&link) > removal {
                return Ok(());
            }
            mutation.links.push((id, (Some(link), None)));
            swept.links += 1;
            return backend.apply(mutation);
        }
        StoredRow::Counted(key, at) => {
            if policy.seen_until(at) > removal {
                return Ok(());
            }
            mutation.dedup_keys.push((key, None));
        }
        StoredRow::Automatic(person, automatic) => {
            if automatic.until > removal {
                return Ok(());
            }
            mutation.automatic.push((person, None));
        }
        StoredRow::Names(account, person, tied) => {
            if tied.until() > removal {
                return Ok(());
            }
            mutation.names.push((account, person, None));
        }
        StoredRow::Sender(..) | StoredRow::Hold(..) => return Ok(()),
    }
    swept.marks += 1;
    backend.apply(mutation)
}

fn sweep_parked<B: Backend>(
    backend: &mut B,
    parked: Parked,
    swept: &mut Swept,
) -> Result<(), B::Error> {
    let (now, config) = (backend.trusted(), *backend.config());
    let mut aged = parked.clone();
    aged.apply_expiry(now);
    if aged != parked {
        return backend.apply(Mutation::of_parked(Some(parked), Some(aged)));
    }
    let is_from_the_future = parked.parked_at > later(now.max(backend.now()), MAX_JUMP);
    let waited = later(parked.parked_at, REGISTERED_WITHIN) <= now || is_from_the_future;
    if parked.reason == Reason::NewerMayCome && waited && parked.until > now {
        swept.confirmed.extend(reconsider(backend, &parked.evidence)?);
        return Ok(());
    }
    let kept = match parked.evidence.target {
        EvidenceTarget::Person { .. } | EvidenceTarget::Caller { .. } => INFERRED_ORPHANS_KEPT,
        EvidenceTarget::Message(_) | EvidenceTarget::Reference(_) | EvidenceTarget::Link(_) => {
            config.policy.retention
        }
    };
    let removal = backend.supported();
    let orphans = backend.counts().orphaned;
    let orphan = if parked.kind() == ParkedKind::Known && parked.may_prove_until() <= now {
        if parked.may_prove_until() > removal {
            return Ok(());
        }
        None
    } else if parked.orphaned {
        let is_over = parked.until <= earlier(removal, kept);
        if !is_over && (parked.until > removal || orphans <= config.max_parked) {
            return Ok(());
        }
        swept.evidence += 1;
        None
    } else if parked.until > now {
        return Ok(());
    } else if orphans < config.max_parked {
        // Orphaned evidence proves nothing more. It is kept to be listed, as far as there is room.
        swept.orphaned += 1;
        Some(Parked { orphaned: true, ..parked.clone() })
    } else if parked.until <= removal {
        swept.orphaned += 1;
        swept.evidence += 1;
        None
    } else {
        return Ok(());
    };
    backend.apply(Mutation::of_parked(Some(parked), orphan))
}

fn sweep_message<B: Backend>(
    backend: &mut B,
    before: Message,
    swept: &mut Swept,
) -> Result<(), B::Error> {
    let removal = backend.removal();
    let mut message = before.clone();
    message.apply_expiry(backend.trusted());
    message.code = before.code.filter(|_| before.expires_at > removal);
    let is_over = is_over(&message, &backend.config().policy, removal);
    if is_over && !is_judged_with_evidence(backend, &before)? {
        swept.messages += 1;
        return backend.apply(Mutation::of_message(Some(before), None));
    }
    if message != before {
        let has_expired = message.state == State::Expired && before.state != State::Expired;
        swept.expired += usize::from(has_expired);
        return backend.replace(before, message);
    }
    Ok(())
}

/// Whether the time of a message is over.
pub(super) fn is_over(message: &Message, policy: &Policy, removal: Timestamp) -> bool {
    match message.state {
        // A confirmed message is never removed before it is reported.
        State::Pending | State::Confirmed => false,
        State::Untracked => message.expires_at <= removal,
        State::Expired | State::Undelivered | State::Reported | State::Refused => {
            policy.kept_until(message) <= removal
        }
    }
}

/// Whether evidence is parked or held under one of the message's names. Without the message, that evidence could
/// prove more than it did, or prove it of an older message.
fn is_judged_with_evidence<B: Backend>(backend: &B, message: &Message) -> Result<bool, B::Error> {
    let loader = Loader(backend);
    let names = all_names(&loader, message)?.persons;
    let reference = message.reference.clone();
    let reference = reference.map(|name| WaitsFor::Reference(message.account, name));
    let now = backend.trusted();
    for key in names.into_iter().map(WaitsFor::Person).chain(reference) {
        if !loader.may_concern(&key)? {
            continue;
        }
        let is_open = |parked: &Parked| !parked.orphaned && parked.may_prove_until() > now;
        if !loader.holding(&key)?.is_empty() || loader.parked(&key)?.iter().any(is_open) {
            return Ok(true);
        }
    }
    Ok(false)
}
