//! The number of rows of parked evidence by account, and whether an account may add one.
//!
//! An account may add a row while it has fewer rows than are free (a dynamic threshold). One account alone gets half of
//! the limit, and two that grow together get a third each. A later account may take half of what is still free.

use std::collections::BTreeMap;

use crate::domain::matching::Parked;
use crate::domain::sid::AccountSid;
use crate::store::engine::mutation::Mutation;

/// Rows that are not orphaned. Orphaned evidence can prove nothing, so it takes no room from other evidence.
#[derive(Debug, Clone, Default)]
pub struct ParkedRows {
    by_account: BTreeMap<AccountSid, u64>,
    total: u64,
}

impl ParkedRows {
    /// The rows of accounts.
    #[must_use]
    pub fn from_counts(rows: impl IntoIterator<Item = (AccountSid, u64)>) -> Self {
        let by_account: BTreeMap<_, _> = rows.into_iter().filter(|(_, rows)| *rows > 0).collect();
        Self { total: by_account.values().sum(), by_account }
    }

    pub fn insert(&mut self, account: AccountSid) {
        *self.by_account.entry(account).or_default() += 1;
        self.total += 1;
    }

    pub fn remove(&mut self, account: AccountSid) {
        let Some(rows) = self.by_account.get_mut(&account) else { return };
        *rows -= 1;
        self.total -= 1;
        if *rows == 0 {
            self.by_account.remove(&account);
        }
    }

    /// Counts the changes of a mutation.
    pub(crate) fn apply(&mut self, mutation: &Mutation) {
        for (before, after) in &mutation.parked {
            let account = |parked: &Option<Parked>| {
                let parked = parked.as_ref().filter(|parked| !parked.orphaned)?;
                Some(parked.evidence.account)
            };
            account(before).inspect(|account| self.remove(*account));
            account(after).inspect(|account| self.insert(*account));
        }
    }

    pub fn total(&self) -> u64 {
        self.total
    }

    pub fn of(&self, account: AccountSid) -> u64 {
        self.by_account.get(&account).copied().unwrap_or_default()
    }

    /// Whether an account may add a row under this limit.
    pub fn has_room(&self, account: AccountSid, limit: u64) -> bool {
        self.of(account).saturating_add(self.total) < limit
    }

    /// The rows of the account with the most rows, and its share: half of what the other accounts leave. The rows
    /// exceed the share if other accounts came later. Both are 0 if there are no rows.
    pub fn fullest(&self, limit: u64) -> (u64, u64) {
        let Some(rows) = self.by_account.values().copied().max() else { return (0, 0) };
        let others = self.total - rows;
        (rows, limit.saturating_sub(others).div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(n: u32) -> AccountSid {
        AccountSid::parse(&format!("AC{n:032x}")).expect("valid")
    }

    #[test]
    fn accounts_that_grow_together_get_equal_shares_and_leave_room_for_another() {
        for limit in [1, 2, 7, 100, 10_000] {
            for accounts in 1..=4 {
                let mut rows = ParkedRows::default();
                // The accounts add rows in turns until none has room.
                while (0..accounts).any(|n| rows.has_room(account(n), limit)) {
                    for n in 0..accounts {
                        if rows.has_room(account(n), limit) {
                            rows.insert(account(n));
                        }
                    }
                }
                let share = limit / u64::from(accounts + 1);
                assert!(rows.total() <= limit, "{limit} {accounts}");
                assert!(
                    (0..accounts).all(|n| rows.of(account(n)) >= share),
                    "{limit} {accounts}: {rows:?}"
                );
                let (used, most) = rows.fullest(limit);
                assert!(used <= most && most <= used + 1, "{limit} {accounts}: {used} of {most}");
                if limit > u64::from(accounts) {
                    assert!(
                        rows.has_room(account(99), limit),
                        "{limit} {accounts}: a newcomer has room"
                    );
                }
            }
        }
    }

    #[test]
    fn an_account_without_rows_is_not_remembered() {
        let mut rows = ParkedRows::default();
        rows.insert(account(1));
        rows.remove(account(1));
        rows.remove(account(1));
        assert_eq!((rows.total(), rows.of(account(1)), rows.by_account.len()), (0, 0, 0));
        assert_eq!(rows.fullest(0), (0, 0));
    }
}
