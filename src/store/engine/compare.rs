//! Compares the records of an export with the rows of this store, and changes none.

use crate::domain::matching;
use crate::domain::matching::{Parked, RowSource as _};
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
    let or_past = |is_here: bool, is_past: bool| match (is_here, is_past) {
        (true, _) => Presence::Here,
        (false, true) => Presence::Settled,
        (false, false) => Presence::Missing,
    };
    Ok(match record {
        ExportRecord::Message(message) => return message_presence(backend, message),
        ExportRecord::Parked(parked) => return parked_presence(backend, parked),
        ExportRecord::Link { id, link } => {
            let present = backend.link(*id)?;
            let is_here = present.is_some_and(|here| matching::merge_link(&here, link) == here);
            or_past(is_here, policy.link_until(link) <= removal)
        }
        ExportRecord::DedupKey { once, at } => {
            let is_past = policy.seen_until(to_millisecond(*at)) <= removal;
            or_past(backend.counted_at(once)?.is_some(), is_past)
        }
        ExportRecord::Sender { account, address, .. } => {
            or_past(backend.service_of(*account, address)?.is_some(), false)
        }
        ExportRecord::Names { account, tied } => {
            let mut known = Vec::new();
            for person in tied.names.all() {
                known.extend(Loader(backend).tied(*account, person)?);
            }
            or_past(tied.learned(&known).is_none(), tied.until() <= removal)
        }
        ExportRecord::Automatic { person, automatic } => {
            let present = backend.automatic(*person)?;
            let is_here = present.is_some_and(|here| here.and(*automatic) == here);
            or_past(is_here, automatic.until <= removal)
        }
        ExportRecord::Hold { account, .. } => or_past(backend.holds().contains_key(account), false),
    })
}

/// A message is here if an import would change nothing about it.
fn message_presence<B: Backend>(backend: &B, incoming: &Message) -> Result<Presence, B::Error> {
    let (config, now) = (backend.config(), backend.times());
    let Some(mut present) = backend.message(incoming.sid)? else {
        let mut aged = incoming.clone();
        aged.apply_expiry(now.trusted);
        let is_past = is_over(&aged, &config.policy, backend.removal());
        return Ok(if is_past { Presence::Settled } else { Presence::Missing });
    };
    let code = present.code;
    present.apply_expiry(now.trusted);
    present.code = code;
    let is_same = present.account == incoming.account
        && matching::merge(&present, incoming, &config.policy, now).0 == present;
    Ok(if is_same { Presence::Here } else { Presence::Missing })
}

/// Parked evidence has no row after it was used, or after its time: an import puts all of it into one transaction with
/// its neighbours, and only a judgement or the sweep removes it.
fn parked_presence<B: Backend>(backend: &B, parked: &Parked) -> Result<Presence, B::Error> {
    let is_here = backend.parked_row(parked)?.is_some();
    Ok(if is_here { Presence::Here } else { Presence::Settled })
}
