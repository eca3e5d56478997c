//! `hold` and `resume`: puts an account on hold, and ends the hold.

use std::io::Write;

use crate::admin::AdminRequest;
use crate::admin::hold::HoldOutcome;
use crate::cli::operate::HoldArgs;
use crate::commands::pipe_tolerant_stdout::note;
use crate::commands::store_access::{StoreAccess, UsageError, age, now, shown_time};
use crate::domain::sid::AccountSid;

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum HoldChange {
    Hold,
    Resume,
}

/// The account that the arguments or the environment name.
pub(super) fn account(args: &HoldArgs) -> Result<AccountSid, UsageError> {
    let missing = || UsageError("name an account (AC…), or set TWILIO_ACCOUNT_SID".to_owned());
    args.account.ok_or_else(missing)
}

/// Changes the hold of the account, and prints the change.
pub(super) async fn run(
    store: &StoreAccess,
    (account, change): (AccountSid, HoldChange),
    json: bool,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let outcome = store.request(match change {
        HoldChange::Hold => AdminRequest::Hold(account),
        HoldChange::Resume => AdminRequest::Resume(account),
    });
    let outcome: HoldOutcome = outcome.await?;
    if json {
        writeln!(out, "{}", serde_json::to_string(&outcome)?)?;
        return Ok(true);
    }
    writeln!(out, "{}", describe(&outcome, change))?;
    if !outcome.has_messages {
        note(format_args!("heardback: the store has no message of that account; check its SID"));
    }
    Ok(true)
}

fn describe(outcome: &HoldOutcome, change: HoldChange) -> String {
    let HoldOutcome { account, changed, since, .. } = outcome;
    let ago = |since| age(now(), since);
    match (change, changed, since) {
        (HoldChange::Hold, false, Some(since)) => {
            format!("{account} is on hold already, since {} ({})", shown_time(*since), ago(*since))
        }
        (HoldChange::Hold, ..) => {
            format!("{account} is on hold: none of its messages are reported until it is resumed")
        }
        (HoldChange::Resume, _, Some(since)) => {
            format!(
                "{account} is resumed; it was on hold since {} ({})",
                shown_time(*since),
                ago(*since)
            )
        }
        (HoldChange::Resume, _, None) => format!("{account} was not on hold"),
    }
}
