//! The sends whose answer was lost, until their status callback names their reference.
//!
//! In memory, because only the count matters after a restart. Bounded: the oldest entry makes room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::message::Reference;
use crate::domain::sid::AccountSid;

/// The most entries. One takes about 200 bytes.
const CAPACITY: usize = 1024;

/// The references of sends whose answer was lost.
#[derive(Debug, Default)]
pub struct LostSends(Mutex<VecDeque<(AccountSid, Reference)>>);

impl LostSends {
    pub(super) fn add(&self, account: AccountSid, reference: Reference) {
        let mut lost = self.lock();
        if lost.len() >= CAPACITY {
            lost.pop_front();
        }
        lost.push_back((account, reference));
    }

    /// Removes the oldest lost send with this reference. Returns whether there was one.
    pub(super) fn take(&self, account: AccountSid, reference: &Reference) -> bool {
        let mut lost = self.lock();
        let at = lost.iter().position(|(of, known)| *of == account && known == reference);
        at.and_then(|at| lost.remove(at)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<(AccountSid, Reference)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_send_is_found_once_by_account_and_reference_and_the_oldest_makes_room() {
        let account = |digit: &str| -> AccountSid {
            format!("AC{}", digit.repeat(32)).parse().expect("valid")
        };
        let reference = |text: &str| Reference::parse(text).expect("valid");
        let lost = LostSends::default();
        lost.add(account("1"), reference("a"));
        assert!(
            !lost.take(account("2"), &reference("a")) && !lost.take(account("1"), &reference("b"))
        );
        assert!(lost.take(account("1"), &reference("a")));
        assert!(!lost.take(account("1"), &reference("a")));
        for number in 0..=CAPACITY {
            lost.add(account("1"), reference(&number.to_string()));
        }
        assert!(
            !lost.take(account("1"), &reference("0")) && lost.take(account("1"), &reference("1"))
        );
    }
}
