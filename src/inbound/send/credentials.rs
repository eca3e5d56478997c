//! The credentials that may send, by account: the account's SID with its auth tokens, and the API keys of the settings.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use crate::domain::basic_auth::{CredentialTag, PresentedCredential, is_known};
use crate::domain::sid::AccountSid;

/// The credentials of all accounts.
pub type CredentialsByAccount = BTreeMap<AccountSid, Vec<CredentialTag>>;

/// The credentials in use. A reload replaces them.
pub struct SendCredentials(RwLock<Arc<CredentialsByAccount>>);

impl SendCredentials {
    pub fn new(by_account: CredentialsByAccount) -> Self {
        Self(RwLock::new(Arc::new(by_account)))
    }

    pub fn replace(&self, by_account: CredentialsByAccount) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(by_account);
    }

    /// Whether the credential may send for that account. An account that is not configured costs the work of one that is.
    pub(super) fn allows(&self, account: AccountSid, presented: &PresentedCredential) -> bool {
        let all = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let own = all.get(&account);
        let tried = own.or_else(|| all.values().next()).map(Vec::as_slice).unwrap_or_default();
        is_known(presented, tried) & own.is_some()
    }
}

impl fmt::Debug for SendCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendCredentials").finish_non_exhaustive()
    }
}
