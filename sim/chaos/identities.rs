//! Accounts, secrets, messages and recipients, all derived from the seed. Every number, token and text contains a
//! marker, so that `leaks` finds it in any bytes.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use heardback::twilio::signature::SigningKey;

use crate::history::Credential;
use crate::support::random::hash;

/// The number of accounts.
pub(crate) const ACCOUNTS: usize = 4;
/// This account posts with an API key.
const WITH_API_KEY: usize = 1;
/// The prefix of every honest recipient's number.
pub(crate) const RECIPIENT_PREFIX: &str = "49157701";
/// The prefix of every invented recipient's number.
pub(crate) const UNKNOWN_PREFIX: &str = "49157702";
/// The prefix of every token and key.
pub(crate) const SECRET_PREFIX: &str = "f00dca9a";
/// A part of every text.
pub(crate) const BODY_MARKER: &str = "a-marked-text";
/// The public URL, which is part of every signature.
pub(crate) const BASE: &str = "https://hooks.example.com";

/// The kind of a message, in the first two digits of its SID.
pub(crate) const HONEST: &str = "a1";
pub(crate) const BAIT: &str = "b2";
pub(crate) const HOSTILE: &str = "c3";
pub(crate) const INBOUND: &str = "d4";
/// A text of a conversation.
pub(crate) const TEXT: &str = "d7";
/// A SID for which Twilio always answers 404.
pub(crate) const BOGUS: &str = "f6";

/// The final response of Twilio about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FinalVerdict {
    Accepted,
    /// 404.
    Missing,
    /// 400.
    Invalid,
}

/// User names and passwords of HTTP's Basic scheme.
type Credentials = Vec<(String, String)>;

/// All identities, and how often each account's tokens were rotated.
pub(crate) struct Identities {
    seed: u64,
    /// An account's valid tokens are this generation and the next.
    generations: [AtomicU64; ACCOUNTS],
    /// The messages that the fake Twilio created, for its status callbacks.
    created: Mutex<BTreeSet<String>>,
}

impl Identities {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, generations: Default::default(), created: Mutex::default() }
    }

    pub(crate) fn note_created(&self, sid: &str) {
        let mut created = self.created.lock().unwrap_or_else(PoisonError::into_inner);
        created.insert(sid.to_owned());
    }

    pub(crate) fn is_created(&self, sid: &str) -> bool {
        self.created.lock().unwrap_or_else(PoisonError::into_inner).contains(sid)
    }

    pub(crate) fn account(&self, of: usize) -> String {
        format!("AC{:024x}{of:08x}", hash(self.seed ^ 0xac))
    }

    /// The number of the account with this SID.
    pub(crate) fn account_number(&self, sid: &str) -> Option<usize> {
        (0..ACCOUNTS).find(|of| self.account(*of) == sid)
    }

    fn secret(&self, salt: u64) -> String {
        format!("{SECRET_PREFIX}{:016x}{:08x}", hash(self.seed ^ hash(salt)), salt & 0xffff_ffff)
    }

    fn token(&self, of: usize, generation: u64) -> String {
        self.secret(((of as u64) << 16) | generation)
    }

    fn app_key(&self, of: usize) -> String {
        self.secret(0xa00_0000 | of as u64)
    }

    fn generation(&self, of: usize) -> u64 {
        self.generations.get(of).map_or(0, |generation| generation.load(Ordering::Acquire))
    }

    /// The secret that is valid before and after the next rotation.
    pub(crate) fn account_key(&self, of: usize) -> SigningKey {
        SigningKey::new(self.token(of, self.generation(of) + 1).as_bytes())
    }

    /// The account's tokens that may have signed a webhook, valid or not.
    pub(crate) fn webhook_keys(&self, of: usize) -> Vec<(Credential, SigningKey)> {
        let now = self.generation(of);
        let credential =
            |generation| if generation < now { Credential::Former } else { Credential::Right };
        let key = |generation| SigningKey::new(self.token(of, generation).as_bytes());
        // The newest is the one after a rotation that is under way.
        (0..=now + 2).rev().map(|generation| (credential(generation), key(generation))).collect()
    }

    pub(crate) fn app_signing_key(&self, of: usize) -> SigningKey {
        SigningKey::new(self.app_key(of).as_bytes())
    }

    /// Revokes an account's older token and issues a newer one.
    pub(crate) fn rotate(&self, of: usize) {
        if let Some(generation) = self.generations.get(of) {
            generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The current accounts file. `ahead`: an account that is about to be rotated.
    pub(crate) fn accounts_file(&self, ahead: Option<usize>) -> String {
        let mut text = String::new();
        for of in 0..ACCOUNTS {
            let first = self.generation(of) + u64::from(ahead == Some(of));
            let (sid, app_key) = (self.account(of), self.app_key(of));
            let tokens = [self.token(of, first), self.token(of, first + 1)];
            let _ = writeln!(text, "[[account]]\nsid = {sid:?}\nauth_tokens = {tokens:?}");
            let _ = writeln!(text, "app_keys = [{app_key:?}]");
            if of == WITH_API_KEY {
                let (key, secret) = self.api_key(of);
                let _ = writeln!(text, "api_key = {key:?}\napi_secret = {secret:?}");
            }
        }
        text
    }

    fn api_key(&self, of: usize) -> (String, String) {
        (format!("SK{:032x}", of + 1), self.secret(0xb00_0000 | of as u64))
    }

    /// The valid credentials of an account, and the revoked or future ones.
    pub(crate) fn credentials(&self, of: usize) -> (Credentials, Credentials) {
        if of == WITH_API_KEY {
            return (vec![self.api_key(of)], Vec::new());
        }
        let now = self.generation(of);
        let named = |generation| (self.account(of), self.token(of, generation));
        let former = (0..now).chain([now + 2]).map(named).collect();
        (vec![named(now), named(now + 1)], former)
    }

    pub(crate) fn message(&self, tag: &str, index: u64) -> String {
        format!("SM{tag}{:06x}{index:024x}", hash(self.seed) & 0xff_ffff)
    }

    pub(crate) fn inbound(&self, index: u64) -> String {
        self.message(INBOUND, index)
    }

    pub(crate) fn person(of: &str, index: u64) -> String {
        format!("+{of}{:07}", index % 10_000_000)
    }

    pub(crate) fn sender(of: usize) -> String {
        format!("+1501712266{of}")
    }

    pub(crate) fn owner(index: u64) -> usize {
        usize::try_from(hash(index) % ACCOUNTS as u64).unwrap_or_default()
    }

    /// The response of Twilio about a message, apart from transient failures.
    pub(crate) fn final_verdict(&self, sid: &str) -> FinalVerdict {
        if is(sid, BOGUS) {
            return FinalVerdict::Missing;
        }
        let index = sid.get(10..).and_then(|index| u64::from_str_radix(index, 16).ok());
        match index.map(|index| hash(self.seed ^ hash(index)) % 100) {
            Some(0) => FinalVerdict::Missing,
            Some(1) => FinalVerdict::Invalid,
            Some(_) | None => FinalVerdict::Accepted,
        }
    }
}

/// Whether a SID is of this kind.
pub(crate) fn is(sid: &str, tag: &str) -> bool {
    sid.get(2..4) == Some(tag)
}
