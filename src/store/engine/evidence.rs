//! Registers messages and judges evidence.

use jiff::Timestamp;

use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching;
use crate::domain::matching::{
    AffectedKeys, Changes, ObserveOutcome, Parked, RegisterOutcome, Rows,
};
use crate::domain::sid::MessageSid;
use crate::domain::signal::{Evidence, MessageUpdate, Signal};
use crate::store::engine::backend::{Backend, EngineResult, SpaceFor};
use crate::store::engine::evict::make_room;
use crate::store::engine::limits::{too_many, too_many_parked};
use crate::store::engine::loader::Loader;
use crate::store::engine::mutation::{Change, Mutation};

/// Stores facts about a message, and settles evidence that is parked for it.
///
/// # Errors
/// The backend cannot go on.
pub fn remember<B: Backend>(
    backend: &mut B,
    update: &MessageUpdate,
) -> EngineResult<RegisterOutcome, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Records) {
        return Ok(Err(full));
    }
    let known = backend.message(update.sid)?;
    let keys = AffectedKeys::by_sighting(update, known.as_ref());
    let rows = Loader(backend).rows(update.account, &keys, None)?;
    match matching::remember(rows, update, &backend.config().policy, backend.times()) {
        Ok((changes, outcome)) => write(backend, changes, outcome),
        Err(contradiction) => Ok(Err(contradiction.into())),
    }
}

/// Judges an act of a recipient.
///
/// # Errors
/// The backend cannot go on.
pub fn observe<B: Backend>(
    backend: &mut B,
    signal: &Signal,
) -> EngineResult<ObserveOutcome, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Records) {
        return Ok(Err(full));
    }
    let mut rows = rows_of(backend, signal)?;
    for id in &signal.dedup_ids {
        rows.seen |= backend.counted_at(&id.dedup_key())?.is_some();
    }
    let config = *backend.config();
    let judged = matching::observe(rows, signal, &config.policy, backend.times());
    let (changes, outcome) = match judged {
        Ok(judged) => judged,
        Err(contradiction) => return Ok(Err(contradiction.into())),
    };
    let parked = backend.parked_rows();
    if let Ok(evidence) = &signal.evidence
        && matches!(outcome, ObserveOutcome::Parked { .. })
        && adds_parked_row(&changes)
        && !parked.has_room(evidence.account, config.max_parked)
    {
        return Ok(Err(too_many_parked(parked.of(evidence.account), &config)));
    }
    write(backend, changes, outcome)
}

fn rows_of<B: Backend>(backend: &B, signal: &Signal) -> Result<Rows, B::Error> {
    let evidence = signal.evidence.as_ref().ok();
    let new = evidence.map(|evidence| (evidence, signal.code.is_some()));
    let keys = match (&signal.message_update, evidence) {
        (Some(update), _) => {
            let known = backend.message(update.sid)?;
            AffectedKeys::by_sighting(update, known.as_ref())
        }
        (None, Some(evidence)) => AffectedKeys::by_evidence(evidence),
        (None, None) => AffectedKeys::default(),
    };
    let names = signal.names.as_ref();
    let account = signal.message_update.as_ref().map(|update| update.account);
    let account = account.or(evidence.map(|evidence| evidence.account));
    let Some(account) = account.or(names.map(|(account, _)| *account)) else {
        return Ok(Rows::default());
    };
    let names = names.map(|(_, names)| names.clone());
    Loader(backend).rows(account, &AffectedKeys { names, ..keys }, new)
}

/// Stores a click link, whether or not its message is known. Returns the time at which it expires.
///
/// # Errors
/// The backend cannot go on.
pub fn keep_link<B: Backend>(
    backend: &mut B,
    id: LinkId,
    link: Link,
) -> EngineResult<Timestamp, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Records) {
        return Ok(Err(full));
    }
    let config = *backend.config();
    if backend.counts().links >= config.max_messages {
        return Ok(Err(too_many("links", &config)));
    }
    let expires_at = config.policy.link_until(&link);
    let before = backend.link(id)?;
    backend.apply(Mutation::of_link(id, before, Some(link)))?;
    Ok(Ok(expires_at))
}

/// Judges evidence again. Returns the messages that this confirms.
///
/// # Errors
/// The backend cannot go on.
pub fn reconsider<B: Backend>(
    backend: &mut B,
    evidence: &Evidence,
) -> Result<Vec<MessageSid>, B::Error> {
    let keys = AffectedKeys::by_evidence(evidence);
    let rows = Loader(backend).rows(evidence.account, &keys, Some((evidence, false)))?;
    let (changes, confirmed) =
        matching::reconsider(rows, &backend.config().policy, backend.times());
    // Only a new message can exceed the limit, and this adds none.
    let _ = write(backend, changes, ())?;
    Ok(confirmed)
}

/// Writes the changes of a judgement, all of them or none.
fn write<B: Backend, T>(
    backend: &mut B,
    changes: Changes,
    outcome: T,
) -> EngineResult<T, B::Error> {
    let mut before = Vec::with_capacity(changes.messages.len());
    for message in &changes.messages {
        before.push(backend.message(message.sid)?);
    }
    let new = before.iter().filter(|before| before.is_none()).count();
    let Some(evicted) = make_room(backend, new, &changes.messages)? else {
        return Ok(Err(too_many("messages", backend.config())));
    };
    let mut mutation = Mutation { evicted: evicted.len(), ..Mutation::default() };
    mutation.messages.extend(before.into_iter().zip(changes.messages.into_iter().map(Some)));
    mutation.messages.extend(evicted.into_iter().map(|message| (Some(message), None)));
    for (before, after) in changes.parked {
        let Some(parked) = after.as_ref().or(before.as_ref()) else { continue };
        // Evidence of the same act and the same millisecond has one row, so two changes may follow each other in it.
        let earlier = mutation.parked.iter().rev().find(|change| has_row_of(change, parked));
        let before = match earlier {
            Some((_, after)) => after.clone(),
            // An orphaned row may have the same key. It is not among the rows of the judgement.
            None => backend.parked_row(parked)?,
        };
        mutation.parked.push((before, after));
    }
    let now = backend.now();
    mutation.dedup_keys.extend(changes.seen.iter().map(|id| (id.dedup_key(), Some(now))));
    if let Some((id, link)) = changes.bound {
        let before = backend.link(id)?;
        mutation.links.push((id, (before, Some(link))));
    }
    mutation.senders.extend(changes.learned);
    if let Some((account, learned)) = &changes.tied {
        mutation.learn_aliases(*account, learned);
    }
    let automatic = changes.automatic.into_iter();
    mutation.automatic.extend(automatic.map(|(person, automatic)| (person, Some(automatic))));
    backend.apply(mutation)?;
    Ok(Ok(outcome))
}

/// Whether a change concerns the row of this evidence.
fn has_row_of((before, after): &Change<Parked>, parked: &Parked) -> bool {
    let row = after.as_ref().or(before.as_ref());
    row.is_some_and(|row| row.parked_at == parked.parked_at && row.evidence == parked.evidence)
}

/// Whether a command parks more evidence than it removes.
fn adds_parked_row(changes: &Changes) -> bool {
    let before = changes.parked.iter().filter(|(before, _)| before.is_some()).count();
    let after = changes.parked.iter().filter(|(_, after)| after.is_some()).count();
    after > before
}
