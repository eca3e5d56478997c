//! May we sign for whoever sent this? What the service refused is full of strangers' requests, and with our
//! signature each would be let in. So a recording's own signature has to be that of a key we know.

use crate::commands::doctor::offline::prove;
use crate::config::{AccountSettings, Settings};
use crate::domain::sid::AccountSid;
use crate::recording::{REFUSED_NOTE, Recording};

const NOBODYS: &str =
    "forged, or signed with a key that is not among the settings: see `heardback doctor`";
const NOBODYS_BY_HAND: &str = "nobody known signed it; if it was you who wrote it: see --unproven";
const ANOTHERS: &str = "it is signed with a key of another account than the one it names";

/// The only account that it may speak for; `None`: any of ours.
///
/// `by_hand`: the operator answers for what has no signature of ours. What the service itself refused and
/// recorded was written by somebody else, so that is no answer for it.
///
/// # Errors
/// Why it is not signed.
pub(super) fn speaks_for(
    recording: &Recording,
    settings: &Settings,
    by_hand: bool,
) -> Result<Option<AccountSid>, &'static str> {
    let was_refused = recording.note(REFUSED_NOTE).is_some();
    if by_hand && !was_refused {
        return Ok(None);
    }
    let why = if was_refused { NOBODYS } else { NOBODYS_BY_HAND };
    prove(settings, recording).map(|proof| proof.owner).ok_or(why)
}

/// The account to sign for: the one it names, else the signer's.
///
/// # Errors
/// These are two.
pub(super) fn account<'a>(
    named: Option<&'a AccountSettings>,
    owner: Option<AccountSid>,
    settings: &'a Settings,
) -> Result<Option<&'a AccountSettings>, &'static str> {
    let Some(owner) = owner else { return Ok(named) };
    match named {
        Some(named) if named.sid != owner => Err(ANOTHERS),
        Some(named) => Ok(Some(named)),
        None => Ok(settings.accounts.iter().find(|account| account.sid == owner)),
    }
}
