//! Whose messages a CSV may speak of: the accounts of the settings, where these are there.

use crate::commands::csv_import::lines::Bad;
use crate::commands::store_access::UsageError;
use crate::config::{Env, ReadFile, account_sids};
use crate::domain::sid::AccountSid;

/// What the environment says of them.
pub(super) struct AccountHints {
    /// That of lines which name none.
    default: Option<AccountSid>,
    /// Those of the accounts file.
    file: Option<Vec<AccountSid>>,
}

impl AccountHints {
    /// Reads them.
    ///
    /// # Errors
    /// [`UsageError`].
    pub(super) fn gather(env: Env<'_>, read: ReadFile<'_>) -> Result<Self, UsageError> {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let default = set("TWILIO_ACCOUNT_SID").map(|account| AccountSid::parse(&account));
        let default = default.transpose();
        let default =
            default.map_err(|error| UsageError(format!("TWILIO_ACCOUNT_SID: {error}")))?;
        let sids = |path: String| {
            let text = read(path.as_ref()).map_err(|error| error.to_string());
            let sids = text.and_then(|text| account_sids(&text));
            sids.map_err(|error| UsageError(format!("HEARDBACK_ACCOUNTS_FILE: {error}")))
        };
        let file = set("HEARDBACK_ACCOUNTS_FILE").map(sids).transpose()?;
        Ok(Self { default, file })
    }

    /// The account that a line names.
    ///
    /// # Errors
    /// It names none, or one that the settings do not have.
    pub(super) fn of(&self, named: &str) -> Result<AccountSid, Bad> {
        if named.is_empty() {
            let why = "missing; add the column, or set TWILIO_ACCOUNT_SID";
            return self.default.ok_or_else(|| Bad::new("AccountSid", why));
        }
        let named = AccountSid::parse(named).map_err(|error| Bad::new("AccountSid", error))?;
        let is_set = self.default.is_some() || self.file.is_some();
        let mut known = self.default.iter().chain(self.file.iter().flatten());
        if is_set && !known.any(|known| *known == named) {
            let why = "it is none of TWILIO_ACCOUNT_SID and HEARDBACK_ACCOUNTS_FILE";
            return Err(Bad::new("AccountSid", why));
        }
        Ok(named)
    }
}
