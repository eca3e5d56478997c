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
}

impl Quota {
    pub(crate) const UNLIMITED: Self =
        Self { under_way: 0, free: usize::MAX, missing: usize::MAX, begun: 0 };
}

/// The quotas of a claim. An account without an entry has no limit of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quotas {
    /// The number of accounts without an attempt under way that may have one each beyond the limit of a claim.
    pub own_slots: usize,
    /// The accounts with a limit.
    pub by_account: BTreeMap<AccountSid, Quota>,
}

impl Quotas {
    pub(crate) fn of(&self, account: AccountSid) -> Quota {
        self.by_account.get(&account).copied().unwrap_or(Quota::UNLIMITED)
    }
}

/// The quotas of accounts without an attempt under way: the number of attempts of each.
impl<const N: usize> From<[(AccountSid, usize); N]> for Quotas {
    fn from(limits: [(AccountSid, usize); N]) -> Self {
        let quota = |free| Quota { under_way: 0, free, missing: free, begun: 0 };
        let by_account = limits.map(|(account, free)| (account, quota(free))).into();
        Self { own_slots: 0, by_account }
    }
}
