//! The number of attempts that a claim may hand out, by account.

use std::collections::BTreeMap;

use crate::domain::sid::AccountSid;

/// The attempts that a claim may hand out to one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Attempts of the account that are under way. The account with the fewest comes first.
    pub under_way: usize,
    /// The number of further attempts that may be claimed. An account with zero is skipped.
    pub free: usize,
    /// The part of `free` for messages whose last attempt got a 404.
    pub missing: usize,
    /// The attempts begun before. Their number decides which kind of message is next.
    pub begun: usize,
    /// The most attempts of the account under lease, of all receivers that share the store. A store of one process does not
    /// count them: `free` says enough.
    pub limit: usize,
}

impl Quota {
    pub(crate) const UNLIMITED: Self =
        Self { under_way: 0, free: usize::MAX, missing: usize::MAX, begun: 0, limit: usize::MAX };
}

/// The quotas of a claim. An account without an entry has no limit but [`Self::account_limit`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The number of accounts without an attempt under way that may have one each beyond the limit of a claim.
    pub own_slots: usize,
    /// The accounts with a limit.
    pub by_account: BTreeMap<AccountSid, Quota>,
    /// [`Quota::limit`] of an account without an entry; `None`: it has none.
    pub account_limit: Option<usize>,
}

impl Quotas {
    pub(crate) fn of(&self, account: AccountSid) -> Quota {
        let others =
            || Quota { limit: self.account_limit.unwrap_or(usize::MAX), ..Quota::UNLIMITED };
        self.by_account.get(&account).copied().unwrap_or_else(others)
    }
}

/// The quotas of accounts without an attempt under way: the number of attempts of each.
impl<const N: usize> From<[(AccountSid, usize); N]> for Quotas {
    fn from(limits: [(AccountSid, usize); N]) -> Self {
        let quota = |free| Quota { free, missing: free, ..Quota::UNLIMITED };
        let by_account = limits.map(|(account, free)| (account, quota(free))).into();
        Self { by_account, ..Self::default() }
    }
}
