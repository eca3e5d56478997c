//! `pause` and `resume`: an account on hold, and no longer.

use std::io::Write;

use crate::cli::operate::HoldArgs;
use crate::domain::sid::AccountSid;
use crate::inbound::control::{Hold, Resume, ToHold};
use crate::tools::reach::{Reach, Wrong, age, clock, now};
use crate::tools::stdio::note;

/// What is to become of an account.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing of it is reported.
    Pause,
    /// It is again.
    Resume,
}

/// What was asked for.
pub(super) struct Asked {
    account: AccountSid,
    turn: Turn,
    json: bool,
}

impl Asked {
    /// Reads it.
    ///
    /// # Errors
    /// [`Wrong`].
    pub(super) fn read(args: &HoldArgs, turn: Turn) -> Result<Self, Wrong> {
        let account = args.account.as_deref().filter(|account| !account.is_empty());
        let account = account.ok_or_else(|| {
            Wrong("which account? Name it (AC…), or set TWILIO_ACCOUNT_SID".to_owned())
        })?;
        let account = AccountSid::parse(account).map_err(|error| Wrong(error.to_string()))?;
        Ok(Self { account, turn, json: args.json })
    }
}

/// Does it, and says what has changed.
///
/// # Errors
/// The store does not do it, or nobody reads what is written.
pub(super) async fn run(
    reach: &Reach,
    asked: &Asked,
    out: &mut impl Write,
) -> anyhow::Result<bool> {
    let account = asked.account;
    let came = match asked.turn {
        Turn::Pause => reach.ask(Hold { account }).await?,
        Turn::Resume => reach.ask(Resume { account }).await?,
    };
    if asked.json {
        writeln!(out, "{}", serde_json::to_string(&came)?)?;
    } else {
        writeln!(out, "{}", told(&came, asked.turn))?;
    }
    if !came.has_messages && !asked.json {
        note(format_args!(
            "heardback: the store has no message of that account; is it the right one?"
        ));
    }
    Ok(true)
}

fn told(came: &ToHold, turn: Turn) -> String {
    let ToHold { account, changed, since, .. } = came;
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
