//! The worker's observer: turns its events into metrics, spans and readiness.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::domain::feedback::{Claim, Verdict};
use crate::domain::sid::AccountSid;
use crate::serve::clock::now;
use crate::store::Swept;
use crate::telemetry::lane_gauges::LaneGauges;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::readiness::{LaneDetail, LaneReadiness, Readiness};
use crate::telemetry::traces::{PostSpan, Traces};
use crate::worker::Observer;
use crate::worker::lane::{LaneReport, LaneState as Lane};

pub(super) struct WorkerObserver {
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    traces: Option<Arc<Traces>>,
    /// The gauges of each account's lane.
    lanes: Mutex<HashMap<AccountSid, LaneGauges>>,
}

impl WorkerObserver {
    pub(super) fn new(
        metrics: &Arc<Metrics>,
        readiness: &Arc<Readiness>,
        traces: Option<Arc<Traces>>,
    ) -> Arc<Self> {
        let (metrics, readiness) = (Arc::clone(metrics), Arc::clone(readiness));
        Arc::new(Self { metrics, readiness, traces, lanes: Mutex::default() })
    }
}

impl Observer for WorkerObserver {
    fn posted(&self, claim: &Claim, verdict: &Verdict, took: Duration) {
        self.metrics.upstream_attempt(verdict.as_str(), took);
        let account = claim.feedback.account.as_str();
        match verdict {
            Verdict::Done { .. } | Verdict::Missing { .. } | Verdict::Never { .. } => {
                self.readiness.record_twilios_answer(account);
            }
            Verdict::Uncertain { why } => {
                self.metrics.upstream_mismatch();
                self.readiness.record_foreign_answer(account, &why.message, now());
            }
            Verdict::Retry { .. } | Verdict::Throttle { .. } | Verdict::Pause { .. } => {}
        }
        let Some(traces) = &self.traces else { return };
        traces.posted(&PostSpan {
            account,
            message: claim.feedback.message.as_str(),
            attempt: claim.attempts,
            status: verdict.status(),
            verdict: verdict.as_str(),
            taken: matches!(verdict, Verdict::Done { .. }),
            took,
            cause: claim.trace,
        });
    }

    fn settled(&self, settlement: &'static str) {
        self.metrics.settled(settlement);
    }

    fn swept(&self, swept: &Swept) {
        self.metrics.swept(&swept.by_kind());
        self.metrics.evicted(swept.evicted as u64);
    }

    fn lane(&self, account: AccountSid, report: &LaneReport) {
        let state = match report.state {
            Lane::Posting => LaneReadiness::Posting,
            Lane::Throttled => LaneReadiness::Throttled,
            Lane::Paused => LaneReadiness::Paused,
        };
        let LaneReport { limit, in_flight, .. } = *report;
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let gauges = lanes.entry(account).or_insert_with(|| self.metrics.lane(account.as_str()));
        gauges.set(report.state.as_str(), limit, in_flight);
        let why = report.why.as_ref();
        let detail = LaneDetail {
            state,
            status: why.and_then(|why| why.status),
            code: why.and_then(|why| why.code),
            why: why.map(|why| why.message.clone()),
            // A lane that posts shows no beginning.
            since: (state != LaneReadiness::Posting).then(now),
        };
        self.readiness.set_lane(account.to_string(), detail);
    }
}
