//! Whom a request may speak for: decided by the owner of the key that signed it, never by what it
//! says.
//!
//! The account that a form names is only a hint at whose keys to try, so that a forgery costs the
//! work of one account's keys. A request that names none (JSON does so only in its body, which is not parsed yet) is tried
//! with at most [`MAX_TRIED`] keys, however many accounts there are. An account that is not
//! ours costs the same work as the default one, in vain. Deliberately absent: secrets in any form but that of a key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use smallvec::SmallVec;

use crate::domain::code::CodeKey;
use crate::domain::findings::ClaimedAccount;
use crate::domain::sid::AccountSid;
use crate::twilio::signature::{self, Mistrust, Presented, SigningKey};

/// The most keys that are tried for a request that names no account. They are tried in this order: those of the accounts that
/// the request mentions, of the default account, of every account's app, of the other accounts in the order of the settings.
pub const MAX_TRIED: usize = 64;

/// The most accounts that a request can mention.
pub(super) const MAX_MENTIONED: usize = 4;

/// What stands for "every account" where an account is named.
const ANY: &str = "any";

/// Whose keys are to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signers {
    /// The accounts' auth tokens and `SharedKeys`.
    Twilio,
    App,
}

/// A key and what to call it: `token 1`, `app key 2`, `shared webhooks_sharedkey_01…`.
#[derive(Debug, Clone)]
pub struct NamedKey {
    pub key: SigningKey,
    /// Its name in metrics, unique among its account's of one kind.
    pub name: String,
}

/// One account's part.
#[derive(Clone)]
pub struct Member {
    pub account: AccountSid,
    /// What Twilio signs with for it.
    pub account_keys: Vec<NamedKey>,
    /// What its own app signs with; they speak for this account only.
    pub app_keys: Vec<NamedKey>,
    /// The keys that its app makes codes' hashes with, those of every account's app included.
    pub code_keys: Vec<CodeKey>,
    /// The region that its tokens are of; `None`: not known.
    pub region: Option<String>,
}

/// A key, and whose it is.
pub(super) struct OwnedKey {
    key: SigningKey,
    /// The only account that it speaks for; `None`: for every account.
    pub(super) owner: Option<AccountSid>,
    /// The owner in metrics.
    pub(super) account: Arc<str>,
    /// The key in metrics.
    pub(super) name: Arc<str>,
}

/// The keys of a ring: each account's side by side, then those of every account.
#[derive(Default)]
struct RingKeys {
    held: Vec<OwnedKey>,
    of: BTreeMap<AccountSid, Range<usize>>,
    anys_from: usize,
}

impl RingKeys {
    fn add(&mut self, owner: Option<AccountSid>, keys: Vec<NamedKey>) {
        let from = self.held.len();
        let account: Arc<str> = owner.as_ref().map_or(ANY, AccountSid::as_str).into();
        let held = keys.into_iter().map(|NamedKey { key, name }| OwnedKey {
            key,
            owner,
            account: Arc::clone(&account),
            name: name.into(),
        });
        self.held.extend(held);
        match owner {
            Some(owner) => {
                self.of.insert(owner, from..self.held.len());
                self.anys_from = self.held.len();
            }
            None => self.anys_from = from,
        }
    }

    /// Those of one account.
    fn of(&self, account: AccountSid) -> &[OwnedKey] {
        self.of.get(&account).and_then(|own| self.held.get(own.clone())).unwrap_or_default()
    }

    /// Those of every account.
    fn anys(&self) -> &[OwnedKey] {
        self.held.get(self.anys_from..).unwrap_or_default()
    }

    /// Those of all accounts, one account after the other.
    fn owned(&self) -> &[OwnedKey] {
        self.held.get(..self.anys_from).unwrap_or_default()
    }
}

/// Everything that requests are trusted by. Never changed: the next one takes its place.
pub struct KeyRing {
    default: AccountSid,
    accounts: Vec<AccountSid>,
    members: BTreeMap<AccountSid, (Vec<CodeKey>, Option<String>)>,
    account_keys: RingKeys,
    app_keys: RingKeys,
    /// The distinct regions of all accounts, where all are known.
    regions: Option<Vec<String>>,
}

/// Why a request is not trusted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum KeyMismatch {
    /// Its signature is none of ours.
    Mistrust(Mistrust),
    /// It is signed by a key of ours, and names an account that is not.
    OtherAccount,
}

impl KeyMismatch {
    /// Whether another key could have made the signature.
    pub(super) fn is_mismatch(&self) -> bool {
        *self == Self::Mistrust(Mistrust::Mismatch)
    }
}

impl KeyRing {
    /// The default account first, then the others, then what every account's app may sign with.
    #[must_use]
    pub fn new(default: Member, others: Vec<Member>, shared_app_keys: Vec<NamedKey>) -> Self {
        let mut trust = Self {
            default: default.account,
            accounts: Vec::new(),
            members: BTreeMap::new(),
            account_keys: RingKeys::default(),
            app_keys: RingKeys::default(),
            regions: None,
        };
        for member in std::iter::once(default).chain(others) {
            trust.accounts.push(member.account);
            trust.account_keys.add(Some(member.account), member.account_keys);
            trust.app_keys.add(Some(member.account), member.app_keys);
            trust.members.insert(member.account, (member.code_keys, member.region));
        }
        trust.app_keys.add(None, shared_app_keys);
        let regions = trust.members.values().map(|(_, region)| region.clone());
        let regions: Option<BTreeSet<String>> = regions.collect();
        trust.regions = regions.map(|regions| regions.into_iter().collect());
        trust
    }

    /// Whether the settings have that account.
    #[must_use]
    pub fn knows(&self, account: AccountSid) -> bool {
        self.members.contains_key(&account)
    }

    /// The number of keys of the kind with more, if a request that names no account is not tried with all of them.
    #[must_use]
    pub fn exceeds_tried(&self) -> Option<usize> {
        let most = self.account_keys.held.len().max(self.app_keys.held.len());
        (most > MAX_TRIED).then_some(most)
    }

    /// The keys that a request is tried with. Their number does not depend on the number of accounts.
    fn tried(
        &self,
        signers: Signers,
        claimed: Option<AccountSid>,
        mentioned: &[AccountSid],
    ) -> SmallVec<[&OwnedKey; MAX_TRIED]> {
        let keys = self.keys(signers);
        if let Some(claimed) = claimed {
            // An unknown account costs the same work as the default account, and the request is refused in any case.
            let tried = if self.knows(claimed) { claimed } else { self.default };
            return keys.of(tried).iter().chain(keys.anys()).collect();
        }
        let likely = mentioned.iter().copied().chain([self.default]);
        let mut first: SmallVec<[AccountSid; MAX_MENTIONED + 1]> = SmallVec::new();
        for account in likely.filter(|account| self.knows(*account)) {
            if first.len() <= MAX_MENTIONED && !first.contains(&account) {
                first.push(account);
            }
        }
        let is_other = |held: &&OwnedKey| held.owner.is_none_or(|owner| !first.contains(&owner));
        let likely = first.iter().flat_map(|account| keys.of(*account)).chain(keys.anys());
        likely.chain(keys.owned().iter().filter(is_other)).take(MAX_TRIED).collect()
    }

    /// Whose key signed this. `claimed` is the account that the request names, if it does; `mentioned` are accounts that
    /// appear in a request that names none. Both only choose the keys that are tried.
    ///
    /// # Errors
    /// [`KeyMismatch`]. Every client gets the same answer.
    pub(super) fn verify(
        &self,
        signers: Signers,
        claimed: Option<AccountSid>,
        mentioned: &[AccountSid],
        presented: &Presented<'_>,
        header: Option<&[u8]>,
    ) -> Result<&OwnedKey, KeyMismatch> {
        let is_ours = claimed.is_none_or(|account| self.knows(account));
        let candidates = self.tried(signers, claimed, mentioned);
        let keys = candidates.iter().map(|held| &held.key);
        let found = signature::verify(keys, presented, header).map_err(KeyMismatch::Mistrust)?;
        match candidates.get(found.key) {
            Some(held) if is_ours => Ok(held),
            Some(_) => Err(KeyMismatch::OtherAccount),
            None => Err(KeyMismatch::Mistrust(Mistrust::Mismatch)),
        }
    }

    /// The account that a request is about if it names none, and what else its signer may speak for.
    /// Whoever is let in without a signature may speak for all.
    pub(super) fn accounts_for(&self, signer: Option<&OwnedKey>) -> (AccountSid, &[AccountSid]) {
        match signer.and_then(|signer| signer.owner) {
            Some(owner) => (owner, &[]),
            None => (self.default, &self.accounts),
        }
    }

    /// The account that a request names, as findings and the log group it.
    pub(super) fn claim(&self, claimed: Option<AccountSid>) -> ClaimedAccount {
        match claimed {
            None => ClaimedAccount::Unnamed,
            Some(account) if self.knows(account) => ClaimedAccount::Configured(account),
            Some(_) => ClaimedAccount::Unknown,
        }
    }

    /// The keys that an account's app makes codes' hashes with.
    pub(super) fn code_keys(&self, account: AccountSid) -> &[CodeKey] {
        self.members.get(&account).map(|(keys, _)| keys.as_slice()).unwrap_or_default()
    }

    /// The regions that the keys were of that a request was tried with, where all are known.
    pub(super) fn regions(&self, claimed: Option<AccountSid>) -> Option<Vec<&str>> {
        let Some(claimed) = claimed else {
            return self.regions.as_ref().map(|all| all.iter().map(String::as_str).collect());
        };
        let own = self.members.get(&claimed).map(|(_, region)| region.as_deref());
        own.into_iter().collect()
    }

    /// Every key by account and name, of either kind, with what it makes of nothing: enough to see
    /// whether it is the same key as another.
    #[must_use]
    pub fn key_names(&self) -> BTreeMap<(String, String), String> {
        let all = self.account_keys.held.iter().chain(&self.app_keys.held);
        let named = all.map(|held| {
            let probe = signature::sign(&held.key, "", &signature::Content::Nothing);
            ((held.account.to_string(), held.name.to_string()), probe)
        });
        named.collect()
    }

    /// Every key of either kind by its account and name, as a metric names it.
    #[must_use]
    pub fn names(&self) -> BTreeSet<(String, String)> {
        let all = self.account_keys.held.iter().chain(&self.app_keys.held);
        all.map(|held| (held.account.to_string(), held.name.to_string())).collect()
    }

    fn keys(&self, signers: Signers) -> &RingKeys {
        match signers {
            Signers::Twilio => &self.account_keys,
            Signers::App => &self.app_keys,
        }
    }
}

/// Which accounts, and nothing of their keys.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// The key ring in use. A request reads it once, so a reload does not change it in the middle of a request.
#[derive(Debug)]
pub struct CurrentKeyRing(RwLock<Arc<KeyRing>>);

impl CurrentKeyRing {
    /// Starts with this key ring.
    #[must_use]
    pub fn new(trust: KeyRing) -> Self {
        Self(RwLock::new(Arc::new(trust)))
    }

    /// As it is now.
    #[must_use]
    pub fn now(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on it is this. Returns what it was.
    pub fn replace(&self, trust: KeyRing) -> Arc<KeyRing> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(trust))
    }
}

#[cfg(test)]
mod tests;
