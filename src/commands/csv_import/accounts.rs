//! The accounts whose messages a CSV may name: every account, or only the configured ones if the environment configures
//! any.

use crate::commands::csv_import::records::LineError;
use crate::commands::store_access::UsageError;
use crate::config::{account_sids, process_env, process_file};
use crate::domain::sid::AccountSid;

pub(super) struct AllowedAccounts {
    /// The account of lines without one.
    default: Option<AccountSid>,
    /// The accounts of the accounts file.
    file: Option<Vec<AccountSid>>,
}

impl AllowedAccounts {
    /// Reads `TWILIO_ACCOUNT_SID` and `HEARDBACK_ACCOUNTS_FILE`.
    pub(super) fn from_settings() -> Result<Self, UsageError> {
        let set = |name: &str| process_env(name).filter(|value| !value.is_empty());
        let default = set("TWILIO_ACCOUNT_SID").map(|account| AccountSid::parse(&account));
        let default = default
            .transpose()
            .map_err(|error| UsageError(format!("TWILIO_ACCOUNT_SID: {error}")))?;
        let sids = |path: String| {
            let text = process_file(path.as_ref()).map_err(|error| error.to_string());
            let sids = text.and_then(|text| account_sids(&text));
            sids.map_err(|error| UsageError(format!("HEARDBACK_ACCOUNTS_FILE: {error}")))
        };
        let file = set("HEARDBACK_ACCOUNTS_FILE").map(sids).transpose()?;
        Ok(Self { default, file })
    }

    /// The account of a line. If any account is configured, it must be one of them.
    pub(super) fn of(&self, named: &str) -> Result<AccountSid, LineError> {
        if named.is_empty() {
            let why = "missing; add the column, or set TWILIO_ACCOUNT_SID";
            return self.default.ok_or_else(|| LineError::new("AccountSid", why));
        }
        let named =
            AccountSid::parse(named).map_err(|error| LineError::new("AccountSid", error))?;
        let is_limited = self.default.is_some() || self.file.is_some();
        let mut allowed = self.default.iter().chain(self.file.iter().flatten());
        if is_limited && !allowed.any(|allowed| *allowed == named) {
            let why = "it is none of TWILIO_ACCOUNT_SID and HEARDBACK_ACCOUNTS_FILE";
            return Err(LineError::new("AccountSid", why));
        }
        Ok(named)
    }
}
