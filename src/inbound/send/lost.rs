//! The sends whose answer was lost, until their status callback names their reference.
//!
//! A callback counts only if no other send had the reference since: a repeat of the lost send has the same one. In memory,
//! because only the count matters after a restart. Bounded: the oldest entry makes room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::message::Reference;
use crate::domain::sid::AccountSid;

/// The most entries. One takes about 200 bytes.
const CAPACITY: usize = 1024;

/// The reference of a send, and its account.
pub(super) type SendReference = (AccountSid, Reference);

/// The references of sends whose answer was lost.
#[derive(Debug, Default)]
pub struct LostSends(Mutex<KnownSends>);

#[derive(Debug, Default)]
struct KnownSends {
    lost: VecDeque<SendReference>,
    /// The sends without an answer yet. The concurrency limit bounds them.
    under_way: Vec<SendReference>,
}

impl LostSends {
    /// A send begins: a callback with its reference may be about this send from now on.
    pub(super) fn begin(&self, send: SendReference) {
        let mut known = self.lock();
        known.lost.retain(|lost| *lost != send);
        known.under_way.push(send);
    }

    /// The send has its answer, or lost it.
    pub(super) fn end(&self, send: SendReference, is_lost: bool) {
        let mut known = self.lock();
        let at = known.under_way.iter().position(|under_way| *under_way == send);
        at.map(|at| known.under_way.swap_remove(at));
        if !is_lost || known.under_way.contains(&send) {
            return;
        }
        if known.lost.len() >= CAPACITY {
            known.lost.pop_front();
        }
        known.lost.push_back(send);
    }

    /// Removes the lost send with this reference. Returns whether there was one.
    pub(super) fn take(&self, account: AccountSid, reference: &Reference) -> bool {
        let lost = &mut self.lock().lost;
        let at = lost.iter().position(|(of, known)| *of == account && known == reference);
        at.and_then(|at| lost.remove(at)).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, KnownSends> {
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
        let lose_send = |text: &str| {
            lost.begin((account("1"), reference(text)));
            lost.end((account("1"), reference(text)), true);
        };
        lose_send("a");
        assert!(
            !lost.take(account("2"), &reference("a")) && !lost.take(account("1"), &reference("b"))
        );
        assert!(lost.take(account("1"), &reference("a")));
        assert!(!lost.take(account("1"), &reference("a")));
        for number in 0..=CAPACITY {
            lose_send(&number.to_string());
        }
        assert!(
            !lost.take(account("1"), &reference("0")) && lost.take(account("1"), &reference("1"))
        );
    }

    #[test]
    fn a_lost_send_is_not_found_if_another_one_had_its_reference_since() {
        let account: AccountSid = format!("AC{}", "1".repeat(32)).parse().expect("valid");
        let send = || (account, Reference::parse("a").expect("valid"));
        let lost = LostSends::default();
        let is_found = || lost.take(account, &send().1);
        lost.begin(send());
        lost.end(send(), true);
        lost.begin(send());
        assert!(!is_found(), "the callback may be about the repeat");
        lost.end(send(), false);
        assert!(!is_found(), "the repeat has its answer");
        lost.begin(send());
        lost.begin(send());
        lost.end(send(), true);
        assert!(!is_found(), "the other one is under way");
        lost.end(send(), true);
        assert!(is_found(), "both are lost");
        assert!(lost.lock().under_way.is_empty());
    }
}
