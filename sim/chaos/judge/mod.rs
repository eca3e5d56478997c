//! The judge: reads a history and says which promises were broken (docs/reliability.md, I1 to I12).
//! It knows only what the history says, so a kept history can be judged again.

mod durability;
pub(crate) mod excuses;
pub(crate) mod facts;
pub(crate) mod fairness;
pub(crate) mod posting;
pub(crate) mod process;
mod story;
#[cfg(test)]
mod tests;

use crate::judge::facts::Facts;

/// A promise, and where it was broken.
#[derive(Debug, Clone)]
pub(crate) struct Finding {
    pub(crate) id: &'static str,
    pub(crate) promise: &'static str,
    /// Each a sentence, and the story behind it.
    pub(crate) broken: Vec<String>,
}

/// All of them, in their order.
pub(crate) fn judge(facts: &Facts<'_>) -> Vec<Finding> {
    let finding = |id, promise, broken| Finding { id, promise, broken };
    vec![
        finding("I1", "nothing acknowledged is lost", durability::no_loss(facts)),
        finding("I2", "nothing is reported that nobody proved", durability::no_phantom(facts)),
        finding("I3", "a repeat has a fault behind it", posting::bounded_repeats(facts)),
        finding("I4", "each account is spoken for with its own key", posting::right_account(facts)),
        finding(
            "I5",
            "nothing unsigned gets in, nobody honest is kept out",
            durability::gate(facts),
        ),
        finding("I6", "Twilio's limits and waits are kept to", posting::manners(facts)),
        finding("I7", "no state is taken back", durability::monotone(facts)),
        finding(
            "I8",
            "ready within 5 s of each start, no end of its own",
            process::recovery(facts),
        ),
        finding("I9", "memory and handles bounded, no canary sings", process::hygiene(facts)),
        finding("I10", "once healed, the backlog empties", process::liveness(facts)),
        finding(
            "I11",
            "no account that hangs and no unknown SID delays another message",
            fairness::fair_waits(facts),
        ),
        finding(
            "I12",
            "honest requests are answered during an unauthenticated flood",
            fairness::served_under_flood(facts),
        ),
    ]
}
