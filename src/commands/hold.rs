//! `pause` and `resume`: an account on hold, and no longer.

use std::io::Write;

use crate::admin::AdminRequest;
use crate::admin::hold::HoldOutcome;
use crate::cli::operate::HoldArgs;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::store_access::{StoreAccess, UsageError, age, clock, now};
use crate::domain::sid::AccountSid;

/// The change of an account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It goes on hold.
    Pause,
    Resume,
}

/// The account that the arguments or the environment name.
///
/// # Errors
/// [`UsageError`]: neither names one.
pub(super) fn account(args: &HoldArgs) -> Result<AccountSid, UsageError> {
    let which = || UsageError("which account? Name it (AC…), or set TWILIO_ACCOUNT_SID".to_owned());
    args.account.ok_or_else(which)
}

/// Pauses or resumes the account, and prints the change.
///
/// # Errors
/// The store is unavailable, or the reader of stdout is gone.
pub(super) async fn run(
    reach: &StoreAccess,
    (account, turn): (AccountSid, Turn),
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let outcome = reach.request(match turn {
        Turn::Pause => AdminRequest::Pause(account),
        Turn::Resume => AdminRequest::Resume(account),
    });
    let outcome: HoldOutcome = outcome.await?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
    } else {
        writeln!(out, "{}", describe(&outcome, turn))?;
    }
    if !outcome.has_messages && !json {
        note(format_args!(
            "heardback: the store has no message of that account; is it the right one?"
        ));
    }
    Ok(true)
}

fn describe(outcome: &HoldOutcome, turn: Turn) -> String {
    let HoldOutcome { account, changed, since, .. } = outcome;
    let ago = |since| age(now(), since);
    match (turn, changed, since) {
        (Turn::Pause, false, Some(since)) => {
            format!("{account} is on hold already, since {} ({})", clock(*since), ago(*since))
        }
        (Turn::Pause, ..) => {
            format!("{account} is on hold: nothing of it is reported until resumed")
        }
        (Turn::Resume, _, Some(since)) => {
            format!("{account} goes on; it was on hold since {} ({})", clock(*since), ago(*since))
        }
        (Turn::Resume, _, None) => format!("{account} was not on hold"),
    }
}
