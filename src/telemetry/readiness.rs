//! What `/readyz` tells beside the store's health: are we leaving, and how are the lanes?
//!
//! A lane's trouble is a detail and never a failure: a webhook can be taken while Twilio's API
//! cannot be reached. No clock here; `since` comes from the caller's clock. Findings are judged in
//! `domain/findings/`, from this state among other facts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Whether an account's posts flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneReadiness {
    /// They do.
    Open,
    /// Twilio asked us to wait for a moment.
    Held,
    /// They do not, until credentials or permissions are put right.
    Paused,
}

/// How an account's lane is, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneDetail {
    /// Whether posts flow.
    pub state: LaneReadiness,
    /// HTTP status of the answer that closed the lane.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Twilio's error code in that answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    /// Why they do not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// Since when it is so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<jiff::Timestamp>,
}

impl LaneDetail {
    /// Whether due messages wait until it opens. A lane paused by 404s still posts them.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.state == LaneReadiness::Paused && self.status != Some(404)
    }
}

/// Answers to an account's posts that were not Twilio's, since the last post that Twilio accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignAnswers {
    /// The latest of them, such as `200 with HTML`.
    pub why: String,
    /// When the first arrived.
    pub since: jiff::Timestamp,
    /// When the latest arrived.
    pub latest: jiff::Timestamp,
    pub count: u64,
}

/// Shared by who knows (the worker, the shutdown) and who tells (`/readyz`). Never waits long.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    dry_run: AtomicBool,
    lanes: Mutex<BTreeMap<String, LaneDetail>>,
    foreign: Mutex<BTreeMap<String, ForeignAnswers>>,
}

impl Readiness {
    /// Not draining, no lanes known.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on we are leaving: the load balancer should send the next request elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    /// Whether we are leaving.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Notes whether this is a dry run: the service records confirmations and posts none.
    pub fn set_dry_run(&self, is_dry_run: bool) {
        self.dry_run.store(is_dry_run, Ordering::Release);
    }

    /// Whether this is a dry run.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        self.dry_run.load(Ordering::Acquire)
    }

    /// Notes an answer to an account's post that is not Twilio's.
    pub fn answered_by_another(&self, account: &str, why: &str, now: jiff::Timestamp) {
        let mut foreign = self.foreign.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = foreign.entry(account.to_owned()).or_insert_with(|| ForeignAnswers {
            why: String::new(),
            since: now,
            latest: now,
            count: 0,
        });
        why.clone_into(&mut answers.why);
        answers.latest = now;
        answers.count = answers.count.saturating_add(1);
    }

    /// Notes that Twilio accepted an account's post, and drops the foreign answers before it.
    pub fn answered_by_twilio(&self, account: &str) {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).remove(account);
    }

    /// Foreign answers since the last accepted post, by account.
    #[must_use]
    pub fn foreign_answers(&self) -> BTreeMap<String, ForeignAnswers> {
        self.foreign.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes how an account's lane is. `since` stays that of the first note of the same state.
    pub fn set_lane(&self, account: String, mut detail: LaneDetail) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = lanes.get(&account)
            && known.state == detail.state
        {
            detail.since = known.since.or(detail.since);
        }
        lanes.insert(account, detail);
    }

    /// Every lane by its account, sorted.
    #[must_use]
    pub fn lanes(&self) -> BTreeMap<String, LaneDetail> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paused(since: i64) -> LaneDetail {
        LaneDetail {
            state: LaneReadiness::Paused,
            status: Some(401),
            code: Some(20003),
            why: Some("Authenticate".to_owned()),
            since: jiff::Timestamp::from_second(since).ok(),
        }
    }

    #[test]
    fn a_lane_remembers_since_when_it_is_as_it_is() {
        let readiness = Readiness::new();
        readiness.set_lane("AC1".to_owned(), paused(10));
        readiness.set_lane("AC1".to_owned(), paused(20));
        assert_eq!(readiness.lanes()["AC1"], paused(10));
        let open = LaneDetail {
            state: LaneReadiness::Open,
            status: None,
            code: None,
            why: None,
            since: None,
        };
        readiness.set_lane("AC1".to_owned(), open.clone());
        let json = serde_json::to_string(&readiness.lanes()).expect("plain data");
        assert_eq!(json, r#"{"AC1":{"state":"open"}}"#);
        readiness.set_lane("AC1".to_owned(), paused(30));
        assert_eq!(readiness.lanes()["AC1"], paused(30));
    }

    #[test]
    fn foreign_answers_are_counted_until_twilio_itself_answers() {
        let readiness = Readiness::new();
        let at = |second| jiff::Timestamp::from_second(second).expect("a time");
        readiness.answered_by_another("AC1", "200 with HTML", at(10));
        readiness.answered_by_another("AC1", "204 with an empty body", at(20));
        readiness.answered_by_another("AC2", "200 with HTML", at(20));
        let why = "204 with an empty body".to_owned();
        let expected = ForeignAnswers { why, since: at(10), latest: at(20), count: 2 };
        assert_eq!(readiness.foreign_answers()["AC1"], expected);
        readiness.answered_by_twilio("AC1");
        assert_eq!(readiness.foreign_answers().into_keys().collect::<Vec<_>>(), ["AC2"]);
    }

    #[test]
    fn draining_is_for_good() {
        let readiness = Readiness::new();
        assert!(!readiness.is_draining());
        readiness.drain();
        assert!(readiness.is_draining());
    }
}
