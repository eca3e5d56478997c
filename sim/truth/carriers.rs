//! Carriers: whether and when a message arrives, and its delivery receipts.
//!
//! Receipts can be wrong: lost messages are reported as "delivered" (usual on grey routes), and delivered ones as
//! "undelivered". They arrive late, twice, in any order, or never.

use crate::support::random::{Random, WeightedRange};
use crate::world::{HOUR, MINUTE, SECOND};

/// A route for messages.
pub(crate) struct Carrier {
    /// The calling code of its lines.
    pub(crate) code: &'static str,
    /// Its share of all lines, in percent.
    share: u64,
    /// Lost messages, in ten-thousandths.
    lost: u64,
    /// The time until the others arrive.
    delays: &'static [WeightedRange],
    /// Lost messages that are reported as "delivered", in ten-thousandths.
    false_delivered: u64,
    /// Delivered messages that are reported as "undelivered", in ten-thousandths.
    false_undelivered: u64,
}

const FAST: [WeightedRange; 4] = [
    (85, SECOND, 6 * SECOND),
    (11, 6 * SECOND, 40 * SECOND),
    (3, 40 * SECOND, 5 * MINUTE),
    (1, 5 * MINUTE, 3 * HOUR),
];
const SLOW: [WeightedRange; 4] = [
    (60, 3 * SECOND, 15 * SECOND),
    (25, 15 * SECOND, 90 * SECOND),
    (12, 90 * SECOND, 20 * MINUTE),
    (3, 20 * MINUTE, 12 * HOUR),
];

/// The carriers; the last one is WhatsApp, which has no lines.
pub(crate) const CARRIERS: [Carrier; 5] = [
    Carrier {
        code: "1",
        share: 55,
        lost: 150,
        delays: &FAST,
        false_delivered: 1_500,
        false_undelivered: 60,
    },
    Carrier {
        code: "44",
        share: 25,
        lost: 400,
        delays: &FAST,
        false_delivered: 2_500,
        false_undelivered: 100,
    },
    Carrier {
        code: "52",
        share: 12,
        lost: 1_000,
        delays: &SLOW,
        false_delivered: 3_000,
        false_undelivered: 200,
    },
    // A grey route: cheap, slow, with invented receipts.
    Carrier {
        code: "91",
        share: 8,
        lost: 2_500,
        delays: &SLOW,
        false_delivered: 8_500,
        false_undelivered: 50,
    },
    Carrier {
        code: "",
        share: 0,
        lost: 300,
        delays: &FAST,
        false_delivered: 0,
        false_undelivered: 0,
    },
];

/// The index of WhatsApp in [`CARRIERS`].
pub(crate) const WHATSAPP: usize = 4;

/// The time after the creation of the message, and the status.
pub(crate) type Receipt = (i64, &'static str);

impl Carrier {
    /// A random carrier, by its share.
    pub(crate) fn of(random: &mut Random) -> usize {
        let mut left = random.below(100);
        for (at, carrier) in CARRIERS.iter().enumerate() {
            if left < carrier.share {
                return at;
            }
            left -= carrier.share;
        }
        0
    }

    /// The time until the message arrives, unless it is lost, and its receipts.
    pub(crate) fn deliver(
        &self,
        landline: bool,
        random: &mut Random,
    ) -> (Option<i64>, Vec<Receipt>) {
        let lost = landline || random.chance(self.lost);
        let delays = (!lost).then(|| random.weighted(self.delays));
        let mut receipts = Vec::new();
        if random.chance(1_000) {
            receipts.push((random.between(SECOND / 5, 3 * SECOND), "sent"));
        }
        let word = match delays {
            Some(_) if random.chance(self.false_undelivered) => Some("undelivered"),
            Some(_) => (!random.chance(600)).then_some("delivered"),
            None if random.chance(self.false_delivered) => Some("delivered"),
            None => (!random.chance(2_000)).then_some("undelivered"),
        };
        if let Some(word) = word {
            // A carrier gives up a lost message after a while; an invented receipt comes at once.
            let known = match (delays, word) {
                (Some(delays), _) => delays,
                (None, "delivered") => random.weighted(&FAST),
                (None, _) => random.weighted(&[(60, 5 * SECOND, MINUTE), (40, MINUTE, 4 * HOUR)]),
            };
            let on_its_way = random.weighted(&[
                (90, SECOND / 4, 4 * SECOND),
                (9, 4 * SECOND, 10 * MINUTE),
                (1, HOUR, 12 * HOUR),
            ]);
            receipts.push((known + on_its_way, word));
            // Each segment has its own receipt.
            if random.chance(100) {
                let other = if word == "delivered" { "undelivered" } else { "delivered" };
                receipts.push((known + random.between(SECOND, 30 * SECOND), other));
            }
            if random.chance(200) {
                receipts.push((known + on_its_way + random.between(SECOND, MINUTE), word));
            }
        }
        (delays, receipts)
    }
}

/// The time until a recipient acts on a message.
pub(crate) const REPLY_DELAYS: [WeightedRange; 5] = [
    (45, 5 * SECOND, MINUTE),
    (30, MINUTE, 10 * MINUTE),
    (15, 10 * MINUTE, HOUR),
    (8, HOUR, 20 * HOUR),
    (2, 20 * HOUR, 60 * HOUR),
];
/// The time until a recipient types a code.
pub(crate) const TYPING_DELAYS: [WeightedRange; 3] =
    [(80, 6 * SECOND, 30 * SECOND), (18, 30 * SECOND, 2 * MINUTE), (2, 2 * MINUTE, 9 * MINUTE)];
/// The time until a request reaches Heardback.
pub(crate) const NETWORK_DELAYS: [WeightedRange; 3] =
    [(95, 40, 900), (4, SECOND, 20 * SECOND), (1, 20 * SECOND, 10 * MINUTE)];
