//! The judge: reads a history and reports the broken promises (`docs/reliability.md`, I1 to I15). It uses the history
//! only, so a kept history can be judged again.

mod durability;
mod events;
pub(crate) mod excuses;
pub(crate) mod facts;
pub(crate) mod fairness;
pub(crate) mod forwarding;
pub(crate) mod posting;
pub(crate) mod process;
pub(crate) mod sending;
#[cfg(test)]
mod tests;

use crate::judge::facts::Facts;

/// A promise and its violations.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) id: &'static str,
    pub(crate) promise: &'static str,
    /// Each with the events that explain it.
    pub(crate) broken: Vec<String>,
    /// The set-up of the run loses commits: `broken` counts the loss, and is no fault of the service.
    pub(crate) is_expected: bool,
}

/// The promises that a promoted standby without the last commits breaks: it lost messages, and results of posts.
const LOST_WITH_COMMITS: [&str; 4] = ["I1", "I3", "I6", "I7"];

/// All promises, in order.
pub(crate) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |id, promise, broken| {
        let is_expected = facts.may_lose && LOST_WITH_COMMITS.contains(&id);
        Finding { id, promise, broken, is_expected }
    };
    vec![
        finding("I1", "nothing acknowledged is lost", durability::no_loss(facts)),
        finding("I2", "nothing is reported without proof", durability::no_unproven_report(facts)),
        finding(
            "I3",
            "each repeated post has a fault as its cause",
            posting::repeats_have_faults(facts),
        ),
        finding("I4", "each account's posts have its own key", posting::own_credentials(facts)),
        finding(
            "I5",
            "no unsigned request is accepted, no honest one is rejected",
            durability::authentication(facts),
        ),
        finding(
            "I6",
            "Twilio's limits and Retry-After are obeyed",
            posting::upstream_limits(facts),
        ),
        finding("I7", "no state goes back", durability::monotone(facts)),
        finding(
            "I8",
            "ready within 5 s of each start, no unexpected end",
            process::recovery(facts),
        ),
        finding(
            "I9",
            "memory and handles bounded, no secret or number leaks",
            process::resources(facts),
        ),
        finding("I10", "after the last fault, the backlog empties", process::backlog_drains(facts)),
        finding(
            "I11",
            "no hanging account and no unknown SID delays another message",
            fairness::fair_waits(facts),
        ),
        finding(
            "I12",
            "honest requests are answered during an unauthenticated flood",
            fairness::served_under_flood(facts),
        ),
        finding(
            "I13",
            "no request is lost while receivers are replaced",
            process::lost_by_replacements(facts),
        ),
        finding(
            "I14",
            "no message that is sent through is created twice",
            sending::sent_once(facts),
        ),
        finding(
            "I15",
            "the app gets what Twilio sent, signed, one text of a person at a time, and no evidence is lost by it",
            forwarding::forwarded(facts),
        ),
    ]
}
