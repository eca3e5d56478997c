//! The gauges of the accounts' posts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

const LANE_STATES: [&str; 3] = ["open", "throttled", "paused"];

type AccountLabel = [(&'static str, String); 1];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct LaneStateLabels {
    account: String,
    state: &'static str,
}

#[derive(Default)]
pub(super) struct LaneFamilies {
    paused: Family<AccountLabel, Gauge>,
    states: Family<LaneStateLabels, Gauge>,
    limits: Family<AccountLabel, Gauge>,
    in_flight: Family<AccountLabel, Gauge>,
}

impl LaneFamilies {
    pub(super) fn register(&self, to: &mut Registry) {
        let help = "1 while an account's posts are paused, else 0";
        to.register("lane_paused", help, self.paused.clone());
        let help = "1 for the current state of an account's posts, 0 for the others";
        to.register("lane_state", help, self.states.clone());
        let help = "The most posts that an account may have in flight";
        to.register("lane_limit", help, self.limits.clone());
        let help = "Posts that an account has in flight";
        to.register("lane_in_flight", help, self.in_flight.clone());
    }

    /// The labels are bounded by the configured accounts.
    pub(super) fn of(&self, account: &str) -> LaneGauges {
        let lane = [("account", account.to_owned())];
        LaneGauges {
            paused: self.paused.get_or_create_owned(&lane),
            states: LANE_STATES.map(|state| {
                let labels = LaneStateLabels { account: account.to_owned(), state };
                self.states.get_or_create_owned(&labels)
            }),
            limit: self.limits.get_or_create_owned(&lane),
            in_flight: self.in_flight.get_or_create_owned(&lane),
        }
    }
}

/// The gauges of one account's posts. They change with each post, so they are looked up once.
pub struct LaneGauges {
    paused: Gauge,
    /// In the order of [`LANE_STATES`].
    states: [Gauge; LANE_STATES.len()],
    limit: Gauge,
    in_flight: Gauge,
}

impl LaneGauges {
    pub fn set(&self, current: &str, limit: usize, in_flight: usize) {
        self.paused.set(i64::from(current == "paused"));
        for (gauge, state) in self.states.iter().zip(LANE_STATES) {
            gauge.set(i64::from(current == state));
        }
        self.limit.set(level(limit as u64));
        self.in_flight.set(level(in_flight as u64));
    }
}

/// The value of a gauge, which is an `i64`.
pub(super) fn level(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
