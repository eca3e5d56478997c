//! What an operator does: accounts on hold, and refused messages tried again. A command asks for it over the
//! control socket, the page asks right here, so that what was done stands in the log once, in the same words.

use async_trait::async_trait;
use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::message::State;
use crate::domain::sid::{AccountSid, MessageSid};
use crate::inbound::control::Question;
use crate::store::{Entry, Filter, RequeueFrom, Requeued, Select, Store, StoreError};

/// Messages that are requeued in one step: they share their syncs.
const STEP: usize = 100;

/// Puts an account on hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Hold {
    /// The account.
    pub account: AccountSid,
}

/// An account on hold, or no longer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToHold {
    /// The account.
    #[serde(rename = "account_sid")]
    pub account: AccountSid,
    /// Whether it was otherwise before.
    pub changed: bool,
    /// Since when it is on hold, or was; `None` if it was not.
    pub since: Option<Timestamp>,
    /// Whether there are messages of it. If not, it may be a slip.
    pub has_messages: bool,
}

#[async_trait]
impl Question for Hold {
    const ROUTE: &'static str = "/pause";
    type Answer = ToHold;

    async fn answer(self, store: &dyn Store) -> Result<ToHold, StoreError> {
        let Self { account } = self;
        let changed = !store.paused().await?.contains_key(&account);
        let since = Some(store.pause(account).await?);
        if changed {
            tracing::info!(
                account_sid = %account,
                "account {account} is on hold: nothing of it is reported"
            );
        }
        let has_messages = has_messages(store, account).await?;
        Ok(ToHold { account, changed, since, has_messages })
    }
}

/// Ends that.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Resume {
    /// The account.
    pub account: AccountSid,
}

#[async_trait]
impl Question for Resume {
    const ROUTE: &'static str = "/resume";
    type Answer = ToHold;

    async fn answer(self, store: &dyn Store) -> Result<ToHold, StoreError> {
        let Self { account } = self;
        let since = store.resume(account).await?;
        if since.is_some() {
            tracing::info!(account_sid = %account, "account {account} is no longer on hold");
        }
        let has_messages = has_messages(store, account).await?;
        Ok(ToHold { account, changed: since.is_some(), since, has_messages })
    }
}

async fn has_messages(store: &dyn Store, account: AccountSid) -> Result<bool, StoreError> {
    Ok(store.census().await?.accounts().any(|known| known == account))
}

/// Requeues these refused messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Requeue {
    /// The messages.
    pub sids: Vec<MessageSid>,
}

/// What became of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// It will be reported again.
    Queued,
    /// It is in this state, so it was not requeued.
    Otherwise(State),
    /// There is no such message.
    Unknown,
}

#[async_trait]
impl Question for Requeue {
    const ROUTE: &'static str = "/requeue";
    type Answer = Vec<(MessageSid, Verdict)>;

    async fn answer(self, store: &dyn Store) -> Result<Self::Answer, StoreError> {
        let mut all = Vec::new();
        for some in self.sids.chunks(STEP) {
            all.extend(requeue(store, some, RequeueFrom::Refused).await?);
        }
        Ok(all)
    }
}

async fn requeue(
    store: &dyn Store,
    sids: &[MessageSid],
    from: RequeueFrom,
) -> Result<Vec<(MessageSid, Verdict)>, StoreError> {
    // All are waited for, though one fails: what was done is to be in the log.
    join_all(sids.iter().map(|sid| requeue_one(store, *sid, from))).await.into_iter().collect()
}

async fn requeue_one(
    store: &dyn Store,
    sid: MessageSid,
    from: RequeueFrom,
) -> Result<(MessageSid, Verdict), StoreError> {
    let verdict = match store.requeue(sid, from).await? {
        Requeued::Queued(message) => {
            let account_sid = message.account;
            tracing::info!(message_sid = %sid, %account_sid, "{sid} requeued by the operator");
            Verdict::Queued
        }
        Requeued::Otherwise(state) => Verdict::Otherwise(state),
        Requeued::Unknown => Verdict::Unknown,
    };
    Ok((sid, verdict))
}

/// Requeues the next page of refused messages. The pages end, though some may be refused once more meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequeueRefused {
    /// Only those that Twilio refused with this error code.
    pub code: Option<u32>,
    /// Where the page before ended.
    pub cursor: Option<Vec<u8>>,
}

/// Requeues the next page of messages reported at or after a time. The pages end, though some may be reported
/// once more meanwhile.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequeueReported {
    /// Only messages reported at or after this time.
    pub since: Timestamp,
    /// The cursor of the page before.
    pub cursor: Option<Vec<u8>>,
}

/// One page of requeued messages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequeuedSome {
    /// What became of each.
    pub verdicts: Vec<(MessageSid, Verdict)>,
    /// Where the next page starts.
    pub next: Option<Vec<u8>>,
}

#[async_trait]
impl Question for RequeueRefused {
    const ROUTE: &'static str = "/requeue/refused";
    type Answer = RequeuedSome;

    async fn answer(self, store: &dyn Store) -> Result<RequeuedSome, StoreError> {
        let select = Select { state: Some(State::Refused), code: self.code, ..Select::default() };
        requeue_page(store, select, self.cursor, RequeueFrom::Refused).await
    }
}

#[async_trait]
impl Question for RequeueReported {
    const ROUTE: &'static str = "/requeue/reported";
    type Answer = RequeuedSome;

    async fn answer(self, store: &dyn Store) -> Result<RequeuedSome, StoreError> {
        let (state, reported_from) = (Some(State::Reported), Some(self.since));
        let select = Select { state, reported_from, ..Select::default() };
        requeue_page(store, select, self.cursor, RequeueFrom::ReportedSince(self.since)).await
    }
}

async fn requeue_page(
    store: &dyn Store,
    select: Select,
    cursor: Option<Vec<u8>>,
    from: RequeueFrom,
) -> Result<RequeuedSome, StoreError> {
    let page = store.list(Filter::Messages(select), cursor, STEP).await?;
    let sids = page.entries.iter().filter_map(|entry| match entry {
        Entry::Message(message) => Some(message.sid),
        Entry::Parked(_) => None,
    });
    let sids: Vec<_> = sids.collect();
    Ok(RequeuedSome { verdicts: requeue(store, &sids, from).await?, next: page.next })
}
