//! What `/readyz` tells beside the store's health: are we leaving, and how are the lanes?
//!
//! A lane's trouble is a detail and never a failure: a webhook can be taken while Twilio's API
//! cannot be reached. No clock here; `since` is whatever the caller's clock said. What is wrong is judged elsewhere
//! (`domain/findings/`), from this among other facts.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// Whether an account's posts flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LaneState {
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
    pub state: LaneState,
    /// HTTP status of the answer that closed it.
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

/// Shared by who knows (the worker, the shutdown) and who tells (`/readyz`). Never waits long.
#[derive(Debug, Default)]
pub struct Readiness {
    draining: AtomicBool,
    lanes: Mutex<BTreeMap<String, LaneDetail>>,
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
            state: LaneState::Paused,
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
        let open =
            LaneDetail { state: LaneState::Open, status: None, code: None, why: None, since: None };
        readiness.set_lane("AC1".to_owned(), open.clone());
        let json = serde_json::to_string(&readiness.lanes()).expect("plain data");
        assert_eq!(json, r#"{"AC1":{"state":"open"}}"#);
        readiness.set_lane("AC1".to_owned(), paused(30));
        assert_eq!(readiness.lanes()["AC1"], paused(30));
    }

    #[test]
    fn draining_is_for_good() {
        let readiness = Readiness::new();
        assert!(!readiness.is_draining());
        readiness.drain();
        assert!(readiness.is_draining());
    }
}
