//! Compares the records of an export with the rows of this store, and changes none.

use crate::domain::matching;
use crate::domain::matching::RowSource as _;
use crate::domain::message::Message;
use crate::domain::timestamp_serde::to_millisecond;
use crate::store::engine::backend::{Backend, EngineResult};
use crate::store::engine::loader::Loader;
use crate::store::engine::sweep::is_over;
use crate::store::transfer::{ExportRecord, Presence};

/// The presence of each record, in their order.
///
/// # Errors
/// The backend cannot go on.
pub fn compare<B: Backend>(
    backend: &B,
    records: &[ExportRecord],
) -> EngineResult<Vec<Presence>, B::Error> {
    let found: Result<Vec<_>, _> = records.iter().map(|record| presence(backend, record)).collect();
    found.map(Ok)
}

fn presence<B: Backend>(backend: &B, record: &ExportRecord) -> Result<Presence, B::Error> {
    let (policy, removal) = (backend.config().policy, backend.removal());
    let or_settled = |is_here: bool, is_settled: bool| match (is_here, is_settled) {
        (true, _) => Presence::Here,
        (false, true) => Presence::Settled,
        (false, false) => Presence::Missing,
    };
    Ok(match record {
        ExportRecord::Message(message) => return message_presence(backend, message),
        // Parked evidence has no row after it was used, or after its time: an import puts all of it into one transaction
        // with its neighbours, and only a judgement or the sweep removes it.
        ExportRecord::Parked(parked) => or_settled(backend.parked_row(parked)?.is_some(), true),
        ExportRecord::Link { id, link } => {
            let present = backend.link(*id)?;
            let is_here = present.is_some_and(|here| matching::merge_link(&here, link) == here);
            or_settled(is_here, policy.link_until(link) <= removal)
        }
        ExportRecord::DedupKey { once, at } => {
            let is_settled = policy.seen_until(to_millisecond(*at)) <= removal;
            or_settled(backend.counted_at(once)?.is_some(), is_settled)
        }
        ExportRecord::Sender { account, address, .. } => {
            or_settled(backend.service_of(*account, address)?.is_some(), false)
        }
        ExportRecord::Names { account, tied } => {
            let mut known = Vec::new();
            for person in tied.names.all() {
                known.extend(Loader(backend).tied(*account, person)?);
            }
            or_settled(tied.learned(&known).is_none(), tied.until() <= removal)
        }
        ExportRecord::Automatic { person, automatic } => {
            let present = backend.automatic(*person)?;
            let is_here = present.is_some_and(|here| here.union_or_later(*automatic) == here);
            or_settled(is_here, automatic.until <= removal)
        }
        ExportRecord::Hold { account, .. } => {
            or_settled(backend.holds().contains_key(account), false)
        }
    })
}

/// A message is here if an import would change nothing about it.
fn message_presence<B: Backend>(backend: &B, incoming: &Message) -> Result<Presence, B::Error> {
    let (config, now) = (backend.config(), backend.times());
    let Some(mut present) = backend.message(incoming.sid)? else {
        let mut aged = incoming.clone();
        aged.apply_expiry(now.trusted);
        let is_settled = is_over(&aged, &config.policy, backend.removal());
        return Ok(if is_settled { Presence::Settled } else { Presence::Missing });
    };
    let code = present.code;
    present.apply_expiry(now.trusted);
    present.code = code;
    let is_same = present.account == incoming.account
        && matching::merge(&present, incoming, &config.policy, now).0 == present;
    Ok(if is_same { Presence::Here } else { Presence::Missing })
}
