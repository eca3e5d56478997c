//! Each account's way to Twilio: its own credentials and place, over one pool of connections.
//!
//! May change while posts are under way; each goes on with what it began with. For an account that is
//! not among them nothing is posted, and the verdict pauses its lane until it is.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::domain::feedback::{Feedback, Verdict, Why};
use crate::domain::sid::AccountSid;
use crate::upstream::{Upstream, UpstreamConfig, UpstreamError, connect};

type ByAccount = HashMap<AccountSid, Arc<Upstream>>;

/// The clients of all accounts.
#[derive(Debug)]
pub struct Upstreams {
    pool: reqwest::Client,
    by_account: RwLock<ByAccount>,
}

impl Upstreams {
    /// Builds them; connects to nothing yet. Timeouts and user agent are the first one's for all.
    ///
    /// # Errors
    /// [`UpstreamError`], for no account at all too.
    pub fn new(accounts: Vec<(AccountSid, UpstreamConfig)>) -> Result<Self, UpstreamError> {
        let (_, first) = accounts.first().ok_or(UpstreamError::NoCredentials)?;
        let pool = connect(first)?;
        let by_account = RwLock::new(clients(&pool, accounts)?);
        Ok(Self { pool, by_account })
    }

    /// From now on it is these.
    ///
    /// # Errors
    /// [`UpstreamError`]; nothing has changed then.
    pub fn replace(
        &self,
        accounts: Vec<(AccountSid, UpstreamConfig)>,
    ) -> Result<(), UpstreamError> {
        let clients = clients(&self.pool, accounts)?;
        *self.by_account.write().unwrap_or_else(PoisonError::into_inner) = clients;
        Ok(())
    }

    /// The longest that a [`Self::post`] can take.
    #[must_use]
    pub fn longest_post(&self) -> Duration {
        let known = self.by_account.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|upstream| upstream.longest_post()).max().unwrap_or_default()
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

fn not_configured() -> Why {
    let message = "the account is not among those that are configured".to_owned();
    Why { message, ..Why::default() }
}

fn clients(
    pool: &reqwest::Client,
    accounts: Vec<(AccountSid, UpstreamConfig)>,
) -> Result<ByAccount, UpstreamError> {
    let client = |(account, config)| Ok((account, Arc::new(Upstream::over(pool.clone(), config)?)));
    accounts.into_iter().map(client).collect()
}
