//! Each account's way to Twilio: its own credentials and place, over one pool of connections.
//!
//! May change while posts are under way; each goes on with what it began with. For an account that is
//! not among them nothing is posted, and the verdict pauses its lane until it is.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::domain::feedback::{Feedback, OutcomeDetail, Verdict};
use crate::domain::sid::AccountSid;
use crate::upstream::{OnDate, Upstream, UpstreamConfig, UpstreamError, connect};

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
    /// Builds them; connects to nothing yet. Timeouts and user agent are the first one's for all.
    ///
    /// # Errors
    /// [`UpstreamError`], for no account at all too.
    pub fn new(
        accounts: Vec<(AccountSid, UpstreamConfig)>,
        on_date: OnDate,
    ) -> Result<Self, UpstreamError> {
        let (_, first) = accounts.first().ok_or(UpstreamError::NoCredentials)?;
        let pool = connect(first)?;
        let by_account = RwLock::new(clients(&pool, &on_date, accounts)?);
        Ok(Self { pool, on_date, by_account, generation: AtomicU64::new(0) })
    }

    /// From now on it is these.
    ///
    /// # Errors
    /// [`UpstreamError`]; nothing has changed then.
    pub fn replace(
        &self,
        accounts: Vec<(AccountSid, UpstreamConfig)>,
    ) -> Result<(), UpstreamError> {
        let clients = clients(&self.pool, &self.on_date, accounts)?;
        *self.by_account.write().unwrap_or_else(PoisonError::into_inner) = clients;
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// A number that changes with each [`Self::replace`]. Answers from before it say nothing about the new credentials.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// How many accounts are configured.
    #[must_use]
    pub fn accounts(&self) -> usize {
        self.by_account.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The longest that a [`Self::post`] can take.
    #[must_use]
    pub fn longest_post(&self) -> Duration {
        let known = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|upstream| upstream.longest_post()).max().unwrap_or_default()
    }

    /// Requests an account from Twilio for the `Date` of the answer; if that fails, the next account.
    pub async fn ask_time(&self) {
        let known: Vec<_> = {
            let known = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
            known.iter().map(|(account, upstream)| (*account, Arc::clone(upstream))).collect()
        };
        for (account, upstream) in known {
            if upstream.ask_time(account).await {
                return;
            }
        }
    }

    /// Reports one confirmation, as its account.
    pub async fn post(&self, feedback: &Feedback) -> Verdict {
        let upstream = {
            let known = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
            known.get(&feedback.account).cloned()
        };
        match upstream {
            Some(upstream) => upstream.post(feedback).await,
            None => Verdict::Pause { why: not_configured() },
        }
    }
}

fn not_configured() -> OutcomeDetail {
    let message = "the account is not among those that are configured".to_owned();
    OutcomeDetail { message, ..OutcomeDetail::default() }
}

fn clients(
    pool: &reqwest::Client,
    on_date: &OnDate,
    accounts: Vec<(AccountSid, UpstreamConfig)>,
) -> Result<ByAccount, UpstreamError> {
    let client = |(account, config)| {
        let client = Upstream::over(pool.clone(), config, Arc::clone(on_date))?;
        Ok((account, Arc::new(client)))
    };
    accounts.into_iter().map(client).collect()
}
