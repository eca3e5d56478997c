//! The state of the process that `/readyz` shows besides the store's health: drain, dry run and lanes.
//!
//! A paused lane is a detail and never a failure: webhooks are accepted while Twilio's API cannot be reached.
//! `domain/findings/` evaluates this state. Deliberately absent: a clock; times are arguments.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneReadiness {
    /// Posts start. Metrics and JSON say `open`.
    #[serde(rename = "open")]
    Posting,
    /// Posts wait for the time that Twilio requires after a 429.
    Throttled,
    /// Posts wait until credentials or permissions are corrected.
    Paused,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LaneDetail {
    pub state: LaneReadiness,
    /// HTTP status of the answer after which the lane stopped posting.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<jiff::Timestamp>,
}

impl LaneDetail {
    /// Whether due messages wait until the lane posts again. A lane paused by 404s still posts them.
    pub fn blocks_posts(&self) -> bool {
        self.state == LaneReadiness::Paused && self.status != Some(404)
    }
}

/// Answers to an account's posts that were not Twilio's, since the last post that Twilio accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignAnswers {
    /// The latest of them, such as `200 with HTML`.
    pub why: String,
    pub since: jiff::Timestamp,
    pub latest: jiff::Timestamp,
    pub count: u64,
}

/// Written by the worker and the shutdown, read by `/readyz`. No lock is held long.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    dry_run: AtomicBool,
    lanes: Mutex<BTreeMap<String, LaneDetail>>,
    foreign: Mutex<BTreeMap<String, ForeignAnswers>>,
}

impl Readiness {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the shutdown: a load balancer should send the next request elsewhere.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Release);
    }

    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub fn set_dry_run(&self, is_dry_run: bool) {
        self.dry_run.store(is_dry_run, Ordering::Release);
    }

    pub fn is_dry_run(&self) -> bool {
        self.dry_run.load(Ordering::Acquire)
    }

    /// Records an answer to an account's post that is not Twilio's.
    pub fn record_foreign_answer(&self, account: &str, why: &str, now: jiff::Timestamp) {
        let mut foreign = lock(&self.foreign);
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

    /// Forgets the foreign answers to an account's posts, because Twilio accepted a later post.
    pub fn record_twilios_answer(&self, account: &str) {
        lock(&self.foreign).remove(account);
    }

    /// The foreign answers of each account since its last accepted post.
    pub fn foreign_answers(&self) -> BTreeMap<String, ForeignAnswers> {
        lock(&self.foreign).clone()
    }

    /// Records the state of a lane. While the state is the same, `since` is kept.
    pub fn set_lane(&self, account: String, mut detail: LaneDetail) {
        let mut lanes = lock(&self.lanes);
        if let Some(known) = lanes.get(&account)
            && known.state == detail.state
        {
            detail.since = known.since.or(detail.since);
        }
        lanes.insert(account, detail);
    }

    pub fn lanes(&self) -> BTreeMap<String, LaneDetail> {
        lock(&self.lanes).clone()
    }
}

fn lock<T>(state: &Mutex<T>) -> MutexGuard<'_, T> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_lane_keeps_the_beginning_of_its_state() {
        let readiness = Readiness::new();
        readiness.set_lane("AC1".to_owned(), paused(10));
        readiness.set_lane("AC1".to_owned(), paused(20));
        assert_eq!(readiness.lanes()["AC1"], paused(10));
        let open = LaneDetail {
            state: LaneReadiness::Posting,
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
        readiness.record_foreign_answer("AC1", "200 with HTML", at(10));
        readiness.record_foreign_answer("AC1", "204 with an empty body", at(20));
        readiness.record_foreign_answer("AC2", "200 with HTML", at(20));
        let why = "204 with an empty body".to_owned();
        let expected = ForeignAnswers { why, since: at(10), latest: at(20), count: 2 };
        assert_eq!(readiness.foreign_answers()["AC1"], expected);
        readiness.record_twilios_answer("AC1");
        assert_eq!(readiness.foreign_answers().into_keys().collect::<Vec<_>>(), ["AC2"]);
    }
}
