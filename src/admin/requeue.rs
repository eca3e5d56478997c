//! Requeues messages, so that they are reported again: by SID, all refused ones, or all reported since a time.

use futures_util::future::join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::message::State;
use crate::domain::sid::MessageSid;
use crate::store::{Filter, ListEntry, RequeueFrom, Requeued, Select, Store, StoreError};

/// The messages of one step. Messages of a step share their syncs to disk.
const MESSAGES_PER_STEP: usize = 100;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequeueSelection {
    /// These messages, if they are refused.
    Named(Vec<MessageSid>),
    /// All refused messages; with a code, those refused with it.
    Refused(Option<u32>),
    /// All messages reported at this time or later.
    ReportedSince(Timestamp),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequeueOutcome {
    /// The message will be reported again.
    Queued,
    /// The message is in this state, so it was not requeued.
    NotQueued(State),
    Unknown,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RequeuedPage {
    pub outcomes: Vec<(MessageSid, RequeueOutcome)>,
    pub next: Option<Vec<u8>>,
}

/// Requeues the next page of messages. The pages end even if messages are refused or reported again meanwhile.
pub(super) async fn requeue(
    store: &dyn Store,
    selection: &RequeueSelection,
    cursor: Option<Vec<u8>>,
) -> Result<RequeuedPage, StoreError> {
    let (select, from) = match selection {
        RequeueSelection::Named(sids) => {
            let mut outcomes = Vec::new();
            for some in sids.chunks(MESSAGES_PER_STEP) {
                outcomes.extend(requeue_all(store, some, RequeueFrom::Refused).await?);
            }
            return Ok(RequeuedPage { outcomes, next: None });
        }
        RequeueSelection::Refused(code) => {
            let state = Some(State::Refused);
            (Select { state, code: *code, ..Select::default() }, RequeueFrom::Refused)
        }
        RequeueSelection::ReportedSince(since) => {
            let (state, reported_from) = (Some(State::Reported), Some(*since));
            let select = Select { state, reported_from, ..Select::default() };
            (select, RequeueFrom::ReportedSince(*since))
        }
    };
    let page = store.list(Filter::Messages(select), cursor, MESSAGES_PER_STEP).await?;
    let sids = page.entries.iter().filter_map(|entry| match entry {
        ListEntry::Message(message) => Some(message.sid),
        ListEntry::Parked(_) => None,
    });
    let sids: Vec<_> = sids.collect();
    Ok(RequeuedPage { outcomes: requeue_all(store, &sids, from).await?, next: page.next })
}

async fn requeue_all(
    store: &dyn Store,
    sids: &[MessageSid],
    from: RequeueFrom,
) -> Result<Vec<(MessageSid, RequeueOutcome)>, StoreError> {
    // After an error the other requeues still complete, so that each is logged.
    join_all(sids.iter().map(|sid| requeue_one(store, *sid, from))).await.into_iter().collect()
}

async fn requeue_one(
    store: &dyn Store,
    sid: MessageSid,
    from: RequeueFrom,
) -> Result<(MessageSid, RequeueOutcome), StoreError> {
    let outcome = match store.requeue(sid, from).await? {
        Requeued::Queued(message) => {
            let account_sid = message.account;
            tracing::info!(message_sid = %sid, %account_sid, "{sid} requeued by the operator");
            RequeueOutcome::Queued
        }
        Requeued::NotQueued(state) => RequeueOutcome::NotQueued(state),
        Requeued::Unknown => RequeueOutcome::Unknown,
    };
    Ok((sid, outcome))
}
