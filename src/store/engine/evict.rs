//! Selects the messages that a full store removes to make room for a new one.
//!
//! A message stays while another one could be confirmed in its place. Such a candidate is postponed in the index
//! until its blocker changes or cannot be confirmed any more, so that later commands do not read it again.

use std::time::Duration;

use jiff::Timestamp;

use crate::domain::address::{NameKind, RecipientHash};
use crate::domain::matching::{RowSource as _, later};
use crate::domain::message::{Message, State};
use crate::domain::sid::MessageSid;
use crate::store::engine::backend::{Backend, RecipientKey};
use crate::store::engine::loader::{Loader, MAX_RELATED};

/// The most candidates that are judged for one command.
const MAX_CANDIDATES: usize = 1024;
/// The approximate limit of records that are read to make room for one command.
const MAX_READS: usize = 4096;
/// A candidate with too many related messages is judged again after this time.
const RECHECK_AFTER: Duration = Duration::from_mins(10);

/// The decision on a candidate.
enum EvictionDecision {
    /// These messages are evicted together.
    Evict(Vec<Message>),
    /// The candidate stays, because this command changes a related message, or the limit of reads is reached.
    Keep,
    /// The candidate stays until this time, or until this other message changes.
    Postpone(Timestamp, MessageSid),
}

/// Selects the messages to evict for `new` messages: as many as needed to stay within the limit, plus one if the
/// store exceeds it already. `None` if too few can be evicted. Messages that this command changes stay, and
/// messages that share a reference are evicted together or not at all.
pub(crate) fn make_room<B: Backend>(
    backend: &mut B,
    new: usize,
    changed: &[Message],
) -> Result<Option<Vec<Message>>, B::Error> {
    let total = backend.counts().total().saturating_add(new as u64);
    let excess = total.saturating_sub(backend.config().max_messages);
    if new == 0 || excess == 0 {
        return Ok(Some(Vec::new()));
    }
    let least = excess.min(new as u64);
    let most = usize::try_from(excess).unwrap_or(usize::MAX).min(new + 1);
    let by = backend.trusted();
    let mut evicted: Vec<Message> = Vec::with_capacity(most);
    let mut reads = 0;
    for sid in backend.evictable(by, MAX_CANDIDATES)? {
        if evicted.len() >= most || reads >= MAX_READS {
            break;
        }
        if evicted.iter().any(|message| message.sid == sid) {
            continue;
        }
        let Some(message) = backend.message(sid)? else { continue };
        match judge(&Loader(backend), &message, changed, by, &mut reads)? {
            EvictionDecision::Evict(together) => evicted.extend(together),
            EvictionDecision::Keep => {}
            EvictionDecision::Postpone(until, blocker) => {
                backend.postpone_eviction(&message, until, blocker);
            }
        }
    }
    Ok((evicted.len() as u64 >= least).then_some(evicted))
}

fn judge<B: Backend>(
    loader: &Loader<'_, B>,
    message: &Message,
    changed: &[Message],
    by: Timestamp,
    reads: &mut usize,
) -> Result<EvictionDecision, B::Error> {
    let policy = &loader.0.config().policy;
    let shares_reference = |other: &Message| {
        message.reference.is_some()
            && other.reference == message.reference
            && other.account == message.account
    };
    if changed.iter().any(|other| other.sid == message.sid || shares_reference(other)) {
        return Ok(EvictionDecision::Keep);
    }
    let mut together = match &message.reference {
        Some(reference) => {
            loader.messages_with_reference(message.account, reference, MAX_RELATED + 1)?
        }
        None => vec![message.clone()],
    };
    *reads += together.len();
    if together.len() > MAX_RELATED {
        // Evidence is matched with the newest of them only, so an older one is evicted alone.
        let Some(first_unseen) = together.pop() else { return Ok(EvictionDecision::Keep) };
        if together.iter().any(|seen| seen.sid == message.sid) {
            return Ok(EvictionDecision::Postpone(later(by, RECHECK_AFTER), first_unseen.sid));
        }
        together = vec![message.clone()];
    }
    for one in &together {
        let mut aged = one.clone();
        aged.apply_expiry(by);
        match policy.evictable_from(&aged) {
            Some((_, from)) if from <= by => {}
            Some((_, from)) => return Ok(EvictionDecision::Postpone(from, one.sid)),
            None => {
                let pending = aged.state == State::Pending;
                let until = if pending { aged.expires_at } else { Timestamp::MAX };
                return Ok(EvictionDecision::Postpone(until, one.sid));
            }
        }
    }
    for one in &together {
        let goes = |other: &Message| together.iter().any(|one| one.sid == other.sid);
        let blocks = |other: &Message| {
            let mut other = other.clone();
            other.apply_expiry(by);
            let until = policy.stays_for(one, &other).filter(|until| *until > by);
            until.filter(|_| !goes(&other)).map(|until| (until, other.sid))
        };
        let names = all_names(loader, one)?;
        for other in changed {
            if blocks(other).is_some() && may_share_evidence(loader, one, &names, other)? {
                return Ok(EvictionDecision::Keep);
            }
        }
        let room = MAX_READS.saturating_sub(*reads).max(MAX_RELATED);
        let mut count = 0;
        for sid in with_shared_evidence(loader, one, &names, room)? {
            count += 1;
            *reads += 1;
            let Some(other) = loader.message(sid)? else { continue };
            if let Some((until, blocker)) = blocks(&other)
                && may_share_evidence(loader, one, &names, &other)?
            {
                return Ok(EvictionDecision::Postpone(until, blocker));
            }
        }
        if count >= room {
            return Ok(if room >= MAX_READS / 2 {
                EvictionDecision::Postpone(later(by, RECHECK_AFTER), message.sid)
            } else {
                EvictionDecision::Keep
            });
        }
    }
    Ok(EvictionDecision::Evict(together))
}

/// The names of a message's recipient.
pub(crate) struct AllNames {
    pub(crate) persons: Vec<RecipientHash>,
    /// The kind of name that the same WhatsApp person may have in other messages, if none is tied.
    counterpart: Option<NameKind>,
}

/// All names of a message's recipient, as a judgement ties them.
pub(crate) fn all_names<B: Backend>(
    loader: &Loader<'_, B>,
    message: &Message,
) -> Result<AllNames, B::Error> {
    let mut persons: Vec<RecipientHash> = message.names().collect();
    let mut is_complete = message.alias.is_some();
    for name in message.names() {
        if let Some(tied) = loader.tied(message.account, name)? {
            is_complete |= tied.names.is_complete();
            persons.extend(tied.names.all());
        }
    }
    persons.sort_unstable();
    persons.dedup();
    let counterpart = message.recipient.and_then(|to| to.kind.counterpart());
    Ok(AllNames { persons, counterpart: counterpart.filter(|_| !is_complete) })
}

/// Messages that one piece of evidence may also be about. The index may add others.
fn with_shared_evidence<B: Backend>(
    loader: &Loader<'_, B>,
    message: &Message,
    names: &AllNames,
    limit: usize,
) -> Result<Vec<MessageSid>, B::Error> {
    let span = loader.0.config().policy.reach(message);
    let untied = names.counterpart.map(|kind| RecipientKey::Untied(message.account, kind));
    let persons = names.persons.iter().copied().map(RecipientKey::Person);
    let mut sids = Vec::new();
    for group in persons.chain(untied) {
        sids.extend(loader.0.sids_to(group, span.clone(), limit)?);
    }
    Ok(sids)
}

/// Whether one piece of evidence may be about both messages: they went to one person, or nothing ties the number of
/// the one to the user id of the other (`matching::people`).
fn may_share_evidence<B: Backend>(
    loader: &Loader<'_, B>,
    one: &Message,
    names: &AllNames,
    other: &Message,
) -> Result<bool, B::Error> {
    if names.persons.iter().any(|person| other.is_to(*person)) {
        return Ok(true);
    }
    let kind = other.recipient.map(|to| to.kind);
    if names.counterpart.is_none() || kind != names.counterpart || other.account != one.account {
        return Ok(false);
    }
    Ok(all_names(loader, other)?.counterpart.is_some())
}
