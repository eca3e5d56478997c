//! The clients of all accounts: each has its own credentials and base URL, over one pool of connections.
//!
//! They may be replaced while posts are in flight; each post keeps its client. For an account that is not configured
//! nothing is posted, and the verdict pauses its lane.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use crate::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use crate::domain::sid::AccountSid;
use crate::upstream::client::{OnDate, Upstream, UpstreamConfig, UpstreamError, connect};

type ByAccount = HashMap<AccountSid, Arc<Upstream>>;

/// The clients of all accounts.
pub struct Upstreams {
    pool: reqwest::Client,
    on_date: OnDate,
    by_account: RwLock<ByAccount>,
    generation: AtomicU64,
}

impl fmt::Debug for Upstreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upstreams").field("by_account", &self.by_account).finish_non_exhaustive()
    }
}

impl Upstreams {
    /// Builds the clients, and opens no connection yet. Timeouts and user agent are those of the first account.
    ///
    /// # Errors
    /// There is no account, or an account has no credentials, or the TLS roots cannot be read.
    pub fn new(
        accounts: Vec<(AccountSid, UpstreamConfig)>,
        on_date: OnDate,
    ) -> Result<Self, UpstreamError> {
        let (_, first) = accounts.first().ok_or(UpstreamError::NoCredentials)?;
        let pool = connect(first)?;
        let by_account = RwLock::new(clients(&pool, &on_date, accounts)?);
        Ok(Self { pool, on_date, by_account, generation: AtomicU64::new(0) })
    }

    /// Replaces all clients.
    ///
    /// # Errors
    /// An account has no credentials; then all clients are as before.
    pub fn replace(
        &self,
        accounts: Vec<(AccountSid, UpstreamConfig)>,
    ) -> Result<(), UpstreamError> {
        let clients = clients(&self.pool, &self.on_date, accounts)?;
        *self.by_account.write().unwrap_or_else(PoisonError::into_inner) = clients;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A number that changes with each [`Self::replace`]. Earlier answers prove nothing about the new credentials.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many accounts are configured.
    pub fn accounts(&self) -> usize {
        self.clients().len()
    }

    /// The longest time of a [`Self::post`].
    pub fn longest_post(&self) -> Duration {
        self.clients().values().map(|upstream| upstream.longest_post()).max().unwrap_or_default()
    }

    /// Requests an account from Twilio for the `Date` of the answer; if that fails, the next account.
    pub async fn request_date(&self) {
        let known: Vec<_> = {
            let known = self.clients();
            known.iter().map(|(account, upstream)| (*account, Arc::clone(upstream))).collect()
        };
        for (account, upstream) in known {
            if upstream.request_date(account).await {
                return;
            }
        }
    }

    /// Reports one confirmation with the client of its account.
    pub async fn post(&self, feedback: &Feedback) -> Verdict {
        if let Some(upstream) = self.client_of(feedback.account) {
            return upstream.post(feedback).await;
        }
        let message = "the account is not among those that are configured".to_owned();
        Verdict::Pause { why: OutcomeDetail { message, ..OutcomeDetail::default() } }
    }

    /// The client of an account.
    pub(super) fn client_of(&self, account: AccountSid) -> Option<Arc<Upstream>> {
        self.clients().get(&account).cloned()
    }

    fn clients(&self) -> RwLockReadGuard<'_, ByAccount> {
        self.by_account.read().unwrap_or_else(PoisonError::into_inner)
    }
}

fn clients(
    pool: &reqwest::Client,
    on_date: &OnDate,
    accounts: Vec<(AccountSid, UpstreamConfig)>,
) -> Result<ByAccount, UpstreamError> {
    let client = |(account, config)| {
        let client = Upstream::with_client(pool.clone(), config, Arc::clone(on_date))?;
        Ok((account, Arc::new(client)))
    };
    accounts.into_iter().map(client).collect()
}
