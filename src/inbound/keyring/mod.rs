//! The keys of all accounts and apps. The owner of the key that signed a request decides which accounts it may speak for.
//!
//! The account that a request names only selects the keys to try, so a forgery costs the work of one account's keys. A
//! request that names none is tried with at most [`MAX_TRIED`] keys, however many accounts there are. An account that is not
//! configured costs the same work as the default one. Deliberately absent: secrets in any other form than a key.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use smallvec::SmallVec;

use crate::domain::code::CodeKey;
use crate::domain::findings::ClaimedAccount;
use crate::domain::route::RouteSigner;
use crate::domain::sid::AccountSid;
use crate::twilio::signature::{self, Presented, SignatureError, SigningKey};

/// The most keys that are tried for a request that names no account, in this order: the keys of its candidate accounts, of
/// the default account, of every account's app, of the other accounts in the order of the settings.
pub const MAX_TRIED: usize = 64;

/// The most candidate accounts of a request.
pub(super) const MAX_CANDIDATES: usize = 4;

/// The metric label of a key that speaks for every account.
const ANY: &str = "any";

/// A key with its name: `token 1`, `app key 2`, `shared webhooks_sharedkey_01…`.
#[derive(Debug, Clone)]
pub struct NamedKey {
    pub key: SigningKey,
    /// Its name in metrics, unique for its account and kind.
    pub name: String,
}

/// The keys of one account.
#[derive(Clone)]
pub struct Member {
    pub account: AccountSid,
    /// The auth tokens and `SharedKeys` that Twilio signs with.
    pub account_keys: Vec<NamedKey>,
    /// The keys that its own app signs with. They speak for this account only.
    pub app_keys: Vec<NamedKey>,
    /// The keys that its app hashes codes with, including those of every account's app.
    pub code_keys: Vec<CodeKey>,
    /// The region of its tokens, if it is configured.
    pub region: Option<String>,
}

/// A key with its owner.
pub(super) struct OwnedKey {
    key: SigningKey,
    /// The only account that it speaks for. `None` stands for every account.
    pub(super) owner: Option<AccountSid>,
    /// The owner's metric label.
    pub(super) account: Arc<str>,
    /// The key's metric label.
    pub(super) name: Arc<str>,
}

impl OwnedKey {
    pub(super) fn signing_key(&self) -> &SigningKey {
        &self.key
    }
}

/// The keys of one kind: grouped by account, then those of every account.
#[derive(Default)]
struct RingKeys {
    all: Vec<OwnedKey>,
    by_account: BTreeMap<AccountSid, Range<usize>>,
    shared_from: usize,
}

impl RingKeys {
    fn add(&mut self, owner: Option<AccountSid>, keys: Vec<NamedKey>) {
        let from = self.all.len();
        let account: Arc<str> = owner.as_ref().map_or(ANY, AccountSid::as_str).into();
        let entries = keys.into_iter().map(|NamedKey { key, name }| OwnedKey {
            key,
            owner,
            account: Arc::clone(&account),
            name: name.into(),
        });
        self.all.extend(entries);
        match owner {
            Some(owner) => {
                self.by_account.insert(owner, from..self.all.len());
                self.shared_from = self.all.len();
            }
            None => self.shared_from = from,
        }
    }

    /// The keys of one account.
    fn of(&self, account: AccountSid) -> &[OwnedKey] {
        self.by_account.get(&account).and_then(|own| self.all.get(own.clone())).unwrap_or_default()
    }

    /// The keys that speak for every account.
    fn shared(&self) -> &[OwnedKey] {
        self.all.get(self.shared_from..).unwrap_or_default()
    }

    /// The keys that speak for one account only, grouped by account.
    fn owned(&self) -> &[OwnedKey] {
        self.all.get(..self.shared_from).unwrap_or_default()
    }
}

/// All keys. A reload replaces the whole ring.
pub struct KeyRing {
    default: AccountSid,
    accounts: Vec<AccountSid>,
    members: BTreeMap<AccountSid, (Vec<CodeKey>, Option<String>)>,
    account_keys: RingKeys,
    app_keys: RingKeys,
    /// The distinct regions of all accounts, if all are configured.
    regions: Option<Vec<String>>,
}

/// The reason why no key verifies a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VerifyError {
    /// The signature is missing or invalid.
    Signature(SignatureError),
    /// The signature is valid, but the account that the request names is not configured.
    OtherAccount,
}

impl VerifyError {
    /// Whether the signature is well-formed, and none of the keys made it.
    pub(super) fn is_wrong_key(&self) -> bool {
        *self == Self::Signature(SignatureError::Mismatch)
    }
}

impl KeyRing {
    /// Adds the default account, the others, and the keys that speak for every account.
    pub fn new(default: Member, others: Vec<Member>, shared_app_keys: Vec<NamedKey>) -> Self {
        let mut ring = Self {
            default: default.account,
            accounts: Vec::new(),
            members: BTreeMap::new(),
            account_keys: RingKeys::default(),
            app_keys: RingKeys::default(),
            regions: None,
        };
        for member in std::iter::once(default).chain(others) {
            ring.accounts.push(member.account);
            ring.account_keys.add(Some(member.account), member.account_keys);
            ring.app_keys.add(Some(member.account), member.app_keys);
            ring.members.insert(member.account, (member.code_keys, member.region));
        }
        ring.app_keys.add(None, shared_app_keys);
        let regions = ring.members.values().map(|(_, region)| region.clone());
        let regions: Option<BTreeSet<String>> = regions.collect();
        ring.regions = regions.map(|regions| regions.into_iter().collect());
        ring
    }

    /// Whether the account is configured.
    pub fn has_account(&self, account: AccountSid) -> bool {
        self.members.contains_key(&account)
    }

    /// The number of keys of the larger kind, if it exceeds [`MAX_TRIED`].
    pub fn exceeds_tried(&self) -> Option<usize> {
        let most = self.account_keys.all.len().max(self.app_keys.all.len());
        (most > MAX_TRIED).then_some(most)
    }

    /// The keys that a request is tried with. Their number does not depend on the number of accounts.
    fn candidate_keys(
        &self,
        signer: RouteSigner,
        claimed: Option<AccountSid>,
        candidates: &[AccountSid],
    ) -> SmallVec<[&OwnedKey; MAX_TRIED]> {
        let keys = self.keys(signer);
        if let Some(claimed) = claimed {
            // An unknown account costs the same work as the default account, and the request is rejected in any case.
            let tried = if self.has_account(claimed) { claimed } else { self.default };
            return keys.of(tried).iter().chain(keys.shared()).collect();
        }
        let likely = candidates.iter().copied().chain([self.default]);
        let mut first: SmallVec<[AccountSid; MAX_CANDIDATES + 1]> = SmallVec::new();
        for account in likely.filter(|account| self.has_account(*account)) {
            if first.len() <= MAX_CANDIDATES && !first.contains(&account) {
                first.push(account);
            }
        }
        let is_other = |key: &&OwnedKey| key.owner.is_none_or(|owner| !first.contains(&owner));
        let likely = first.iter().flat_map(|account| keys.of(*account)).chain(keys.shared());
        likely.chain(keys.owned().iter().filter(is_other)).take(MAX_TRIED).collect()
    }

    /// Returns the key that signed a request. `claimed` is the account that the request names; `candidates` are accounts that
    /// appear in a request that names none. Both only select the keys that are tried.
    ///
    /// # Errors
    /// [`VerifyError`]. Every client gets the same answer.
    pub(super) fn verify(
        &self,
        signer: RouteSigner,
        claimed: Option<AccountSid>,
        candidates: &[AccountSid],
        presented: &Presented<'_>,
        header: Option<&[u8]>,
    ) -> Result<&OwnedKey, VerifyError> {
        let is_configured = claimed.is_none_or(|account| self.has_account(account));
        let tried = self.candidate_keys(signer, claimed, candidates);
        let keys = tried.iter().map(|owned| &owned.key);
        let found = signature::verify(keys, presented, header).map_err(VerifyError::Signature)?;
        match tried.get(found.key) {
            Some(owned) if is_configured => Ok(owned),
            Some(_) => Err(VerifyError::OtherAccount),
            None => Err(VerifyError::Signature(SignatureError::Mismatch)),
        }
    }

    /// The account of a request that names none, and the other accounts that its signer may speak for. A request without a
    /// signer (by click secret) may speak for all.
    pub(super) fn accounts_for(&self, signer: Option<&OwnedKey>) -> (AccountSid, &[AccountSid]) {
        match signer.and_then(|signer| signer.owner) {
            Some(owner) => (owner, &[]),
            None => (self.default, &self.accounts),
        }
    }

    /// The account that a request names, as findings and the log group it.
    pub(super) fn claimed_account(&self, claimed: Option<AccountSid>) -> ClaimedAccount {
        match claimed {
            None => ClaimedAccount::Unnamed,
            Some(account) if self.has_account(account) => ClaimedAccount::Configured(account),
            Some(_) => ClaimedAccount::Unknown,
        }
    }

    /// The keys that an account's app hashes codes with.
    pub(super) fn code_keys(&self, account: AccountSid) -> &[CodeKey] {
        self.members.get(&account).map(|(keys, _)| keys.as_slice()).unwrap_or_default()
    }

    /// The regions of the keys that a request was tried with, if all are configured.
    pub(super) fn regions(&self, claimed: Option<AccountSid>) -> Option<Vec<&str>> {
        let Some(claimed) = claimed else {
            return self.regions.as_ref().map(|all| all.iter().map(String::as_str).collect());
        };
        let own = self.members.get(&claimed).map(|(_, region)| region.as_deref());
        own.into_iter().collect()
    }

    /// Every key of either kind by account and name, with its signature of an empty request. Equal keys have equal signatures.
    pub fn key_names(&self) -> BTreeMap<(String, String), String> {
        let all = self.account_keys.all.iter().chain(&self.app_keys.all);
        let named = all.map(|owned| {
            let probe = signature::sign(&owned.key, "", &signature::Content::Nothing);
            ((owned.account.to_string(), owned.name.to_string()), probe)
        });
        named.collect()
    }

    /// The metric labels of every key of either kind: account and name.
    pub fn names(&self) -> BTreeSet<(String, String)> {
        let all = self.account_keys.all.iter().chain(&self.app_keys.all);
        all.map(|owned| (owned.account.to_string(), owned.name.to_string())).collect()
    }

    fn keys(&self, signer: RouteSigner) -> &RingKeys {
        match signer {
            RouteSigner::Twilio => &self.account_keys,
            RouteSigner::App => &self.app_keys,
        }
    }
}

/// Shows the accounts without their keys.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing").field("accounts", &self.accounts).finish_non_exhaustive()
    }
}

/// The key ring in use. A request reads it once, so a reload does not change the keys within a request.
#[derive(Debug)]
pub struct CurrentKeyRing(RwLock<Arc<KeyRing>>);

impl CurrentKeyRing {
    /// Starts with this key ring.
    pub fn new(ring: KeyRing) -> Self {
        Self(RwLock::new(Arc::new(ring)))
    }

    /// The current key ring.
    pub fn current(&self) -> Arc<KeyRing> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the key ring, and returns the old one.
    pub fn replace(&self, ring: KeyRing) -> Arc<KeyRing> {
        let mut current = self.0.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, Arc::new(ring))
    }
}

#[cfg(test)]
mod tests;
