//! Imports the records of another store ([`crate::domain::matching::merge`] has the rules).

use jiff::Timestamp;

use crate::domain::address::{RecipientAliases, RecipientHash};
use crate::domain::click_link::{Link, LinkId};
use crate::domain::matching;
use crate::domain::matching::{AutomaticSpan, Parked, RowSource as _};
use crate::domain::message::Message;
use crate::domain::sid::AccountSid;
use crate::domain::signal::{Evidence, EvidenceTarget};
use crate::domain::timestamp_serde::to_millisecond;
use crate::store::engine::backend::{Backend, EngineResult, SpaceFor};
use crate::store::engine::limits::{too_many, too_many_parked};
use crate::store::engine::loader::Loader;
use crate::store::engine::mutation::Mutation;
use crate::store::engine::row::StoredRow;
use crate::store::error::StoreError;
use crate::store::transfer::{ExportRecord, ImportOutcome};

/// The outcome for one record.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Merged {
    Added,
    Updated,
    Skipped,
    Kept,
}

impl Merged {
    fn changed(is_here: bool) -> Self {
        if is_here { Self::Updated } else { Self::Added }
    }

    /// The outcome for a record of the store to which the export adds nothing.
    fn unchanged(is_equal: bool) -> Self {
        if is_equal { Self::Skipped } else { Self::Kept }
    }
}

/// Imports records, all of them or none.
///
/// # Errors
/// The backend cannot go on.
pub fn import<B: Backend>(
    backend: &mut B,
    records: &[ExportRecord],
) -> EngineResult<ImportOutcome, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Records) {
        return Ok(Err(full));
    }
    if let Some(flaw) = records.iter().find_map(ExportRecord::flaw) {
        let reason = format!("a record cannot be imported: {flaw}");
        return Ok(Err(StoreError::Unavailable { reason, label: "unfit" }));
    }
    if let Err(full) = check_limits(backend, records)? {
        return Ok(Err(full));
    }
    let mut outcome = ImportOutcome::default();
    for record in records {
        let mut mutation = Mutation::default();
        let merged = match record {
            ExportRecord::Message(message) => import_message(backend, message, &mut outcome)?,
            ExportRecord::Parked(parked) => import_parked(backend, parked)?,
            ExportRecord::Link { id, link } => import_link(backend, *id, link)?,
            ExportRecord::Names { account, tied } => import_names(backend, *account, tied)?,
            ExportRecord::Automatic { person, automatic } => {
                import_automatic(backend, *person, *automatic)?
            }
            ExportRecord::DedupKey { once, at } => {
                let (present, at) = (backend.counted_at(once)?, to_millisecond(*at));
                mutation.dedup_keys.push((*once, Some(at)));
                add(backend, present.map(|present| present == at), mutation)?
            }
            ExportRecord::Sender { account, address, service } => {
                let present = backend.service_of(*account, address)?;
                mutation.senders.push((*account, address.clone(), *service));
                add(backend, present.map(|present| present == *service), mutation)?
            }
            ExportRecord::Hold { account, since } => {
                let (present, since) =
                    (backend.holds().get(account).copied(), to_millisecond(*since));
                mutation.holds.push((*account, Some(since)));
                let merged = add(backend, present.map(|present| present == since), mutation)?;
                outcome.holds.extend((merged == Merged::Added).then_some(*account));
                merged
            }
        };
        *match merged {
            Merged::Added => &mut outcome.added,
            Merged::Updated => &mut outcome.updated,
            Merged::Skipped => &mut outcome.skipped,
            Merged::Kept => &mut outcome.kept,
        } += 1;
    }
    Ok(Ok(outcome))
}

fn check_limits<B: Backend>(backend: &B, records: &[ExportRecord]) -> EngineResult<(), B::Error> {
    let (mut messages, mut links, mut parked) = (0, 0, 0);
    for record in records {
        match record {
            ExportRecord::Message(message) => {
                messages += u64::from(backend.message(message.sid)?.is_none());
            }
            ExportRecord::Link { id, .. } => links += u64::from(backend.link(*id)?.is_none()),
            ExportRecord::Parked(evidence) if !evidence.orphaned => {
                parked += u64::from(backend.parked_row(evidence)?.is_none());
            }
            ExportRecord::Parked(_)
            | ExportRecord::DedupKey { .. }
            | ExportRecord::Sender { .. }
            | ExportRecord::Names { .. }
            | ExportRecord::Automatic { .. }
            | ExportRecord::Hold { .. } => {}
        }
    }
    let config = backend.config();
    let rows = backend.parked_rows().total();
    if parked > 0 && rows + parked > config.max_parked {
        return Ok(Err(too_many_parked(rows, config)));
    }
    if messages > 0 && backend.counts().total() + messages > config.max_messages {
        return Ok(Err(too_many("messages", config)));
    }
    if links > 0 && backend.counts().links + links > config.max_messages {
        return Ok(Err(too_many("links", config)));
    }
    Ok(Ok(()))
}

fn import_message<B: Backend>(
    backend: &mut B,
    incoming: &Message,
    outcome: &mut ImportOutcome,
) -> Result<Merged, B::Error> {
    let (before, now) = (backend.message(incoming.sid)?, backend.times());
    let message = match &before {
        None => matching::imported(incoming, now.wall),
        Some(before) => {
            let mut present = before.clone();
            present.apply_expiry(now.trusted);
            present.code = before.code;
            let policy = &backend.config().policy;
            let (message, spare) = matching::merge(&present, incoming, policy, now);
            if let Some(evidence) = spare {
                import_parked(backend, &evidence)?;
            }
            if message == present {
                let is_equal = present == matching::imported(incoming, now.wall);
                if !is_equal {
                    outcome.kept_messages.push(present.sid);
                }
                return Ok(Merged::unchanged(is_equal));
            }
            if present.proof.is_none() && message.proof.is_some() {
                outcome.confirmed.push((message.sid, message.account));
            }
            message
        }
    };
    let merged = Merged::changed(before.is_some());
    let mutation = Mutation::of_message(before, Some(message));
    backend.apply(Mutation { is_import: true, ..mutation })?;
    Ok(merged)
}

fn import_parked<B: Backend>(backend: &mut B, exported: &Parked) -> Result<Merged, B::Error> {
    let before = backend.parked_row(exported)?;
    let incoming = matching::imported_parked(exported);
    if let Some(present) = &before {
        let is_confirmed =
            present.reason != incoming.reason && is_name_confirmed(backend, &incoming.evidence)?;
        if matching::merge_parked(present, &incoming, is_confirmed) == *present {
            return Ok(Merged::unchanged(present == exported || *present == incoming));
        }
    }
    let merged = Merged::changed(before.is_some());
    backend.apply(Mutation::of_parked(before, Some(incoming)))?;
    Ok(merged)
}

/// Whether a message under the reference that this evidence names is confirmed. Evidence that names a person has the same
/// lifetime before and after that confirmation. Evidence that names a message is never kept after it.
fn is_name_confirmed<B: Backend>(backend: &B, evidence: &Evidence) -> Result<bool, B::Error> {
    let name = match &evidence.target {
        EvidenceTarget::Reference(name) => Some(name.clone()),
        EvidenceTarget::Link(id) => backend.link(*id)?.and_then(|link| link.reference),
        EvidenceTarget::Message(_)
        | EvidenceTarget::Person { .. }
        | EvidenceTarget::Caller { .. } => None,
    };
    let Some(name) = name else { return Ok(false) };
    let bearing = Loader(backend).bearing(evidence.account, &name)?;
    Ok(bearing.messages.iter().any(|message| message.proof.is_some()))
}

fn import_link<B: Backend>(
    backend: &mut B,
    id: LinkId,
    incoming: &Link,
) -> Result<Merged, B::Error> {
    let before = backend.link(id)?;
    let link = match &before {
        None => incoming.clone(),
        Some(present) => matching::merge_link(present, incoming),
    };
    if before.as_ref() == Some(&link) {
        return Ok(Merged::unchanged(link == *incoming));
    }
    let merged = Merged::changed(before.is_some());
    backend.apply(Mutation::of_link(id, before, Some(link)))?;
    Ok(merged)
}

/// Ties names as a webhook would.
fn import_names<B: Backend>(
    backend: &mut B,
    account: AccountSid,
    tied: &RecipientAliases,
) -> Result<Merged, B::Error> {
    let mut known = Vec::new();
    for person in tied.names.all() {
        known.extend(Loader(backend).tied(account, person)?);
    }
    let Some(learned) = tied.learned(&known) else { return Ok(Merged::Skipped) };
    let mut mutation = Mutation::default();
    mutation.learn_aliases(account, &learned);
    backend.apply(mutation)?;
    Ok(Merged::changed(!known.is_empty()))
}

/// Merges the two time spans: a text in either of them is automatic.
fn import_automatic<B: Backend>(
    backend: &mut B,
    person: RecipientHash,
    incoming: AutomaticSpan,
) -> Result<Merged, B::Error> {
    let before = backend.automatic(person)?;
    let both = before.map_or(incoming, |before| before.union_or_later(incoming));
    if before == Some(both) {
        return Ok(Merged::unchanged(both == incoming));
    }
    backend.apply(Mutation { automatic: vec![(person, Some(both))], ..Mutation::default() })?;
    Ok(Merged::changed(before.is_some()))
}

/// Adds a row if the store has none with its key. `is_equal`: whether the row of the store equals it.
fn add<B: Backend>(
    backend: &mut B,
    is_equal: Option<bool>,
    mutation: Mutation,
) -> Result<Merged, B::Error> {
    if let Some(is_equal) = is_equal {
        return Ok(Merged::unchanged(is_equal));
    }
    backend.apply(mutation)?;
    Ok(Merged::Added)
}

/// The evidence of a row that is judged again after an import. `None`: the row has none, or it can prove nothing more.
pub fn imported_evidence(row: StoredRow, now: Timestamp) -> Option<Evidence> {
    match row {
        StoredRow::Parked(parked) => (parked.may_prove_until() > now).then_some(parked.evidence),
        StoredRow::Message(message) => {
            let is_provisional = message.is_provisional();
            message.parked_evidence.filter(|_| is_provisional).map(|parked| parked.evidence)
        }
        StoredRow::Link(..)
        | StoredRow::Counted(..)
        | StoredRow::Sender(..)
        | StoredRow::Names(..)
        | StoredRow::Automatic(..)
        | StoredRow::Hold(..) => None,
    }
}
