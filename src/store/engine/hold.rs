//! Puts accounts on hold, and ends holds.

use jiff::Timestamp;

use crate::domain::sid::AccountSid;
use crate::store::engine::backend::{Backend, EngineResult, SpaceFor};
use crate::store::engine::mutation::Mutation;

/// Puts an account on hold. Returns the time at which the hold began.
///
/// # Errors
/// The backend cannot go on.
pub fn hold<B: Backend>(backend: &mut B, account: AccountSid) -> EngineResult<Timestamp, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Delivery) {
        return Ok(Err(full));
    }
    if let Some(since) = backend.holds().get(&account) {
        return Ok(Ok(*since));
    }
    let now = backend.now();
    backend.apply(Mutation { holds: vec![(account, Some(now))], ..Mutation::default() })?;
    Ok(Ok(now))
}

/// Ends a hold. Returns the time at which it began; `None` if there was none.
///
/// # Errors
/// The backend cannot go on.
pub fn resume<B: Backend>(
    backend: &mut B,
    account: AccountSid,
) -> EngineResult<Option<Timestamp>, B::Error> {
    if let Err(full) = backend.check_space(SpaceFor::Delivery) {
        return Ok(Err(full));
    }
    let Some(since) = backend.holds().get(&account).copied() else { return Ok(Ok(None)) };
    backend.apply(Mutation { holds: vec![(account, None)], ..Mutation::default() })?;
    Ok(Ok(Some(since)))
}
