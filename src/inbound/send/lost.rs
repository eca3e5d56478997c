//! The sends whose answer was lost, until their status callback names their reference.
//!
//! A callback may also come before its send has lost the answer. It counts only if no other send had the reference since: a
//! repeat of the lost send has the same one. In memory, because only the count matters after a restart. Bounded: the oldest
//! entry makes room.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::domain::message::Reference;
use crate::domain::sid::{AccountSid, MessageSid};

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
    under_way: Vec<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    send: SendReference,
    /// The message of a callback with this reference.
    message: Option<MessageSid>,
}

impl LostSends {
    /// A send begins: a callback with its reference may be about this send from now on.
    pub(super) fn begin(&self, send: SendReference) {
        let mut known = self.lock();
        known.lost.retain(|lost| *lost != send);
        known.under_way.push(UnderWay { send, message: None });
    }

    /// The send has its answer, or lost it. Returns the message of a lost send whose callback came before.
    pub(super) fn end(&self, send: SendReference, is_lost: bool) -> Option<MessageSid> {
        let mut known = self.lock();
        let at = known.under_way.iter().position(|under_way| under_way.send == send);
        let message = at.and_then(|at| known.under_way.swap_remove(at).message);
        let is_repeated = known.under_way.iter().any(|under_way| under_way.send == send);
        if !is_lost || is_repeated {
            return None;
        }
        if message.is_none() {
            if known.lost.len() >= CAPACITY {
                known.lost.pop_front();
            }
            known.lost.push_back(send);
        }
        message
    }

    /// Notes a callback about a new message. Returns whether it is the message of a lost send, which is removed.
    pub(super) fn take(&self, send: &SendReference, message: MessageSid) -> bool {
        let mut known = self.lock();
        if let Some(at) = known.lost.iter().position(|lost| lost == send) {
            known.lost.remove(at);
            return true;
        }
        let mut same = known.under_way.iter_mut().filter(|under_way| under_way.send == *send);
        if let (Some(only), None) = (same.next(), same.next()) {
            only.message = Some(message);
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, KnownSends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sid() -> MessageSid {
        "SM00000000000000000000000000000001".parse().expect("valid")
    }

    #[test]
    fn a_lost_send_is_found_once_by_account_and_reference_and_the_oldest_makes_room() {
        let account = |digit: &str| -> AccountSid {
            format!("AC{}", digit.repeat(32)).parse().expect("valid")
        };
        let reference = |text: &str| Reference::parse(text).expect("valid");
        let lost = LostSends::default();
        let lose_send = |text: &str| {
            lost.begin((account("1"), reference(text)));
            assert_eq!(lost.end((account("1"), reference(text)), true), None);
        };
        let is_found =
            |digit: &str, text: &str| lost.take(&(account(digit), reference(text)), sid());
        lose_send("a");
        assert!(!is_found("2", "a") && !is_found("1", "b"));
        assert!(is_found("1", "a"));
        assert!(!is_found("1", "a"));
        for number in 0..=CAPACITY {
            lose_send(&number.to_string());
        }
        assert!(!is_found("1", "0") && is_found("1", "1"));
    }

    #[test]
    fn a_callback_that_comes_before_the_answer_is_lost_is_found_by_the_only_send_under_way() {
        let account: AccountSid = format!("AC{}", "1".repeat(32)).parse().expect("valid");
        let send = || (account, Reference::parse("a").expect("valid"));
        for (sends, is_lost, found) in
            [(1, true, Some(sid())), (1, false, None), (2, true, None), (2, false, None)]
        {
            let lost = LostSends::default();
            (0..sends).for_each(|_| lost.begin(send()));
            assert!(!lost.take(&send(), sid()), "not lost yet");
            assert_eq!(lost.end(send(), is_lost), found, "{sends} under way, lost: {is_lost}");
            assert_eq!(lost.lock().lost.len(), 0);
        }
    }

    #[test]
    fn a_lost_send_is_not_found_if_another_one_had_its_reference_since() {
        let account: AccountSid = format!("AC{}", "1".repeat(32)).parse().expect("valid");
        let send = || (account, Reference::parse("a").expect("valid"));
        let lost = LostSends::default();
        let is_found = || lost.take(&send(), sid());
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
        assert_eq!(lost.end(send(), true), Some(sid()), "both are lost");
        assert!(lost.lock().under_way.is_empty());
    }
}
