//! Carriers: whether and when a message arrives, and what the receipt says of it.
//!
//! Receipts lie both ways: of what was lost some say "delivered" (grey routes do so as a rule), of what
//! arrived some say "undelivered". They come late, twice, in any order, or never.

use crate::support::random::{Random, WeightedRange};
use crate::world::{HOUR, MINUTE, SECOND};

/// One way for messages to go.
pub(crate) struct Carrier {
    /// The country calling code of its lines.
    pub(crate) code: &'static str,
    /// How many lines in a hundred are its own.
    share: u64,
    /// How many messages in ten thousand it loses.
    lost: u64,
    /// How long the others take.
    takes: &'static [WeightedRange],
    /// Of what was lost, how many in ten thousand it says "delivered".
    claims: u64,
    /// Of what arrived, how many in ten thousand it says "undelivered".
    denies: u64,
}

const SWIFT: [WeightedRange; 4] = [
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

/// The carriers; the last one is WhatsApp, which has no lines of its own.
pub(crate) const CARRIERS: [Carrier; 5] = [
    Carrier { code: "1", share: 55, lost: 150, takes: &SWIFT, claims: 1_500, denies: 60 },
    Carrier { code: "44", share: 25, lost: 400, takes: &SWIFT, claims: 2_500, denies: 100 },
    Carrier { code: "52", share: 12, lost: 1_000, takes: &SLOW, claims: 3_000, denies: 200 },
    // A grey route: cheap, slow, and its receipts are made up.
    Carrier { code: "91", share: 8, lost: 2_500, takes: &SLOW, claims: 8_500, denies: 50 },
    Carrier { code: "", share: 0, lost: 300, takes: &SWIFT, claims: 0, denies: 0 },
];

/// WhatsApp, among [`CARRIERS`].
pub(crate) const WHATSAPP: usize = 4;

/// What a receipt says, and how long after the message was created it does.
pub(crate) type Receipt = (i64, &'static str);

impl Carrier {
    /// The carrier of some line.
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

    /// How long the message takes, unless it is lost, and the receipts for it.
    pub(crate) fn carry(&self, landline: bool, random: &mut Random) -> (Option<i64>, Vec<Receipt>) {
        let lost = landline || random.chance(self.lost);
        let takes = (!lost).then(|| random.weighted(self.takes));
        let mut receipts = Vec::new();
        if random.chance(1_000) {
            receipts.push((random.between(SECOND / 5, 3 * SECOND), "sent"));
        }
        let word = match takes {
            Some(_) if random.chance(self.denies) => Some("undelivered"),
            Some(_) => (!random.chance(600)).then_some("delivered"),
            None if random.chance(self.claims) => Some("delivered"),
            None => (!random.chance(2_000)).then_some("undelivered"),
        };
        if let Some(word) = word {
            // What was lost is given up on after a while; what is made up, is made up at once.
            let known = match (takes, word) {
                (Some(takes), _) => takes,
                (None, "delivered") => random.weighted(&SWIFT),
                (None, _) => random.weighted(&[(60, 5 * SECOND, MINUTE), (40, MINUTE, 4 * HOUR)]),
            };
            let on_its_way = random.weighted(&[
                (90, SECOND / 4, 4 * SECOND),
                (9, 4 * SECOND, 10 * MINUTE),
                (1, HOUR, 12 * HOUR),
            ]);
            receipts.push((known + on_its_way, word));
            // Each segment has a receipt of its own.
            if random.chance(100) {
                let other = if word == "delivered" { "undelivered" } else { "delivered" };
                receipts.push((known + random.between(SECOND, 30 * SECOND), other));
            }
            if random.chance(200) {
                receipts.push((known + on_its_way + random.between(SECOND, MINUTE), word));
            }
        }
        (takes, receipts)
    }
}

/// How long people take to act upon what they read, if they act at all.
pub(crate) const ANSWERS: [WeightedRange; 5] = [
    (45, 5 * SECOND, MINUTE),
    (30, MINUTE, 10 * MINUTE),
    (15, 10 * MINUTE, HOUR),
    (8, HOUR, 20 * HOUR),
    (2, 20 * HOUR, 60 * HOUR),
];
/// How long people take to type a code over from their handset.
pub(crate) const TYPES: [WeightedRange; 3] =
    [(80, 6 * SECOND, 30 * SECOND), (18, 30 * SECOND, 2 * MINUTE), (2, 2 * MINUTE, 9 * MINUTE)];
/// How long a request takes from whoever sends it to Heardback.
pub(crate) const WIRE: [WeightedRange; 3] =
    [(95, 40, 900), (4, SECOND, 20 * SECOND), (1, 20 * SECOND, 10 * MINUTE)];
