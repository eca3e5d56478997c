//! The cast: accounts and their secrets, messages, people. All of it follows from the seed, and every
//! number, token and text is a canary that must turn up nowhere it does not belong.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use heardback::twilio::signature::SigningKey;

use crate::support::random::hash;

/// How many accounts there are.
pub(crate) const ACCOUNTS: usize = 4;
/// This one posts with an API key of its own.
const WITH_API_KEY: usize = 1;
/// What every honest person's number begins with.
pub(crate) const PERSON: &str = "49157701";
/// What the numbers of invented people begin with.
pub(crate) const NOBODY: &str = "49157702";
/// What every token and key begins with.
pub(crate) const SECRET: &str = "f00dca9a";
/// What every text has in it.
pub(crate) const TEXT: &str = "a-canary-sang";
/// What is signed, wherever the request is sent.
pub(crate) const BASE: &str = "https://hooks.example.com";

/// What a SID is for, as its first two digits say.
pub(crate) const HONEST: &str = "a1";
pub(crate) const BAIT: &str = "b2";
pub(crate) const HOSTILE: &str = "c3";
const INBOUND: &str = "d4";
/// A SID for which Twilio always answers 404.
pub(crate) const BOGUS: &str = "f6";

/// What Twilio will always say about a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Taken,
    /// 404.
    Missing,
    /// 400.
    Never,
}

/// Users and passwords, as HTTP's Basic scheme has them.
type Credentials = Vec<(String, String)>;

/// All of it, and how far each account's tokens have been changed.
pub(crate) struct Cast {
    seed: u64,
    /// An account's valid tokens are this one and the next.
    generations: [AtomicU64; ACCOUNTS],
}

impl Cast {
    pub(crate) fn new(seed: u64) -> Self {
        Self { seed, generations: Default::default() }
    }

    pub(crate) fn account(&self, of: usize) -> String {
        format!("AC{:024x}{of:08x}", hash(self.seed ^ 0xac))
    }

    /// Which of the accounts that is.
    pub(crate) fn account_number(&self, sid: &str) -> Option<usize> {
        (0..ACCOUNTS).find(|of| self.account(*of) == sid)
    }

    fn secret(&self, salt: u64) -> String {
        format!("{SECRET}{:016x}{:08x}", hash(self.seed ^ hash(salt)), salt & 0xffff_ffff)
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

    /// The secret that is valid before and after the change that is made next.
    pub(crate) fn account_key(&self, of: usize) -> SigningKey {
        SigningKey::new(self.token(of, self.generation(of) + 1).as_bytes())
    }

    pub(crate) fn app_signing_key(&self, of: usize) -> SigningKey {
        SigningKey::new(self.app_key(of).as_bytes())
    }

    /// Retires an account's older token, and gives it a newer one.
    pub(crate) fn rotate(&self, of: usize) {
        if let Some(generation) = self.generations.get(of) {
            generation.fetch_add(1, Ordering::AcqRel);
        }
    }

    /// The accounts file as it should be read now; `ahead` is an account that is about to be rotated.
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

    /// What that account's posts may bear in `Authorization`: valid ones, and those that were once or
    /// will be.
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

    /// What Twilio will say, once it says anything for good.
    pub(crate) fn fate(&self, sid: &str) -> Fate {
        if is(sid, BOGUS) {
            return Fate::Missing;
        }
        let index = sid.get(10..).and_then(|index| u64::from_str_radix(index, 16).ok());
        match index.map(|index| hash(self.seed ^ hash(index)) % 100) {
            Some(0) => Fate::Missing,
            Some(1) => Fate::Never,
            Some(_) | None => Fate::Taken,
        }
    }
}

/// Whether a SID is of that kind.
pub(crate) fn is(sid: &str, tag: &str) -> bool {
    sid.get(2..4) == Some(tag)
}
