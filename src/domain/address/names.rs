//! Names of a person: WhatsApp uses a number and user ids, and a webhook contains one of them or several.
//!
//! Since 2026 a user of WhatsApp may hide the number. `From` and `To` are then a user id, such as
//! `whatsapp:US.13491208655302741918`, with `ExternalUserId` and `ParentExternalUserId` beside it (Twilio, changelog of
//! 20 July 2026). An id belongs to one number, and a number has an id for each business portfolio (Meta, "Business-scoped
//! user IDs"). Only requests that Twilio signed tie names, within one account.
use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::address::channel_address::{Address, NameKind};
use crate::domain::address::recipient_hash::{RecipientHash, RecipientHashKey};
use crate::domain::sid::AccountSid;

/// The most user ids of one person. More ids indicate a placeholder that every webhook contains.
const MAX_IDS: usize = 8;
/// How long names stay tied without a webhook that repeats them: as long as Twilio keeps messages by default.
const KEPT_FOR: Duration = Duration::from_hours(400 * 24);
/// A repeated tie is written again only after this time.
const REFRESHED_AFTER: Duration = Duration::from_hours(24);

/// A number on WhatsApp, and the same number off it: two recipients, one person.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Number {
    whatsapp: RecipientHash,
    plain: Option<RecipientHash>,
}

/// The names of one person on WhatsApp: at most one number, and user ids.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientNames {
    number: Option<Number>,
    ids: BTreeSet<RecipientHash>,
}

/// Tied names, and when a webhook last contained them together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientAliases {
    pub names: RecipientNames,
    #[serde(with = "crate::domain::timestamp_serde")]
    pub seen_at: Timestamp,
}

/// The record to store after a webhook tied names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LearnedAliases {
    /// All names of the person.
    pub tied: RecipientAliases,
    /// Numbers and ids that are not tied to this person any more.
    pub dropped: BTreeSet<RecipientHash>,
}

impl RecipientNames {
    /// The names that one form gives to one person of an account. `None` for a single name, a name off WhatsApp, two numbers,
    /// or too many ids.
    pub fn of(key: &RecipientHashKey, account: AccountSid, addresses: &[Address]) -> Option<Self> {
        let mut names = Self::default();
        for address in addresses {
            let person = key.recipient(account, address).person;
            match address.kind() {
                NameKind::WhatsappId => {
                    names.ids.insert(person);
                }
                NameKind::WhatsappNumber => {
                    let plain = key.by_number(account, address);
                    let before = names.number.replace(Number { whatsapp: person, plain });
                    if before.is_some_and(|number| number.whatsapp != person) {
                        return None;
                    }
                }
                NameKind::Other => return None,
            }
        }
        (names.all().count() > 1 && names.ids.len() <= MAX_IDS).then_some(names)
    }

    /// Every name on WhatsApp, the number first.
    pub fn all(&self) -> impl Iterator<Item = RecipientHash> {
        self.number.map(|number| number.whatsapp).into_iter().chain(self.ids.iter().copied())
    }

    /// Every name, the number off WhatsApp included.
    pub fn everywhere(&self) -> impl Iterator<Item = RecipientHash> {
        self.all().chain(self.number.and_then(|number| number.plain))
    }

    /// Whether the name is one of those on WhatsApp.
    pub fn contains(&self, person: RecipientHash) -> bool {
        self.all().any(|name| name == person)
    }

    /// Whether a number and an id are among them: then no other name can be this person's.
    pub fn is_complete(&self) -> bool {
        self.number.is_some() && !self.ids.is_empty()
    }

    /// Whether the number of names is within its bounds, which also bound the length of an export's line.
    pub fn is_sound(&self) -> bool {
        (1..=MAX_IDS).contains(&self.ids.len()) && self.all().count() > 1
    }
}

impl RecipientAliases {
    /// When they expire, unless a webhook repeats them.
    pub fn until(&self) -> Timestamp {
        self.seen_at.checked_add(KEPT_FOR).unwrap_or(Timestamp::MAX)
    }

    /// All names of the person, these included. `known` are the tied names that share a name with these. `None` if
    /// nothing is learned: the names are known already, contradict the known ones, or are too many.
    pub fn learned(&self, known: &[Self]) -> Option<LearnedAliases> {
        let numbers: BTreeSet<Number> = known.iter().filter_map(|tied| tied.names.number).collect();
        let number = match self.names.number {
            Some(number) => Some(number),
            // Two people share an id, such as a parent's.
            None if numbers.len() > 1 => return None,
            None => numbers.first().copied(),
        };
        // A number changes its owner, and two people may share an id, such as a parent's: the names of another number
        // stay another person's.
        let (others, same): (Vec<&Self>, Vec<&Self>) = known
            .iter()
            .partition(|tied| tied.names.number.is_some_and(|known| Some(known) != number));
        let mut ids = self.names.ids.clone();
        ids.extend(same.iter().flat_map(|tied| tied.names.ids.iter().copied()));
        if ids.len() > MAX_IDS {
            return None;
        }
        let names = RecipientNames { number, ids };
        let fresh = self.seen_at.checked_sub(REFRESHED_AFTER).unwrap_or(Timestamp::MIN);
        if known.iter().any(|tied| tied.names == names && tied.seen_at > fresh) {
            return None;
        }
        let seen_at = known.iter().map(|tied| tied.seen_at).fold(self.seen_at, Timestamp::max);
        let dropped = others.iter().flat_map(|tied| tied.names.all());
        let dropped = dropped.filter(|old| !names.contains(*old)).collect();
        Some(LearnedAliases { tied: Self { names, seen_at }, dropped })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account() -> AccountSid {
        AccountSid::parse("AC0123456789abcdef0123456789abcdef").expect("valid")
    }

    fn name(text: &str) -> Address {
        Address::parse(text).expect("valid")
    }

    fn number(n: u32) -> Address {
        name(&format!("whatsapp:+1555000{n:04}"))
    }

    fn id(n: u32) -> Address {
        name(&format!("whatsapp:US.1{n}"))
    }

    fn person(address: &Address) -> RecipientHash {
        RecipientHashKey::new(b"key").recipient(account(), address).person
    }

    fn names(addresses: &[Address]) -> Option<RecipientNames> {
        RecipientNames::of(&RecipientHashKey::new(b"key"), account(), addresses)
    }

    fn tied(addresses: &[Address], hours: i64) -> RecipientAliases {
        let seen_at = Timestamp::from_second(hours * 3600).expect("a time");
        RecipientAliases { names: names(addresses).expect("names"), seen_at }
    }

    #[test]
    fn names_are_of_whatsapp_and_more_than_one_and_hold_one_number() {
        let both = names(&[number(1), id(1)]).expect("two");
        assert!(both.is_complete() && both.contains(person(&id(1))));
        let plain = person(&name("+15550000001"));
        assert!(both.everywhere().any(|it| it == plain) && !both.contains(plain));
        assert!(!names(&[id(1), id(2)]).expect("two").is_complete());
        assert!(names(&[number(1), id(1), id(1), id(2)]).is_some());
        assert!(names(&[number(1)]).is_none());
        assert!(names(&[number(1), number(1)]).is_none());
        assert!(names(&[number(1), number(2), id(1)]).is_none());
        assert!(names(&[name("+15550000001"), id(1)]).is_none());
        assert!(names(&[name("messenger:15550000001"), id(1)]).is_none());
        assert!(names(&(0..9).map(id).collect::<Vec<_>>()).is_none());
    }

    #[test]
    fn names_of_a_webhook_are_added_to_the_known_names() {
        let all = [number(1), id(1), id(2), id(3)];
        let learned = tied(&[number(1), id(3)], 1)
            .learned(&[tied(&[number(1), id(1)], 1), tied(&[id(2), id(3)], 1)]);
        let learned = learned.expect("new");
        assert_eq!(learned.tied, tied(&all, 1));
        assert!(learned.dropped.is_empty());
        assert_eq!(tied(&[id(1), id(3)], 1).learned(&[tied(&all, 1)]), None);
        let later = tied(&[id(1), id(3)], 48).learned(&[tied(&all, 1)]).expect("it is refreshed");
        assert_eq!(later.tied, tied(&all, 48));
    }

    #[test]
    fn an_id_belongs_to_the_number_that_it_was_seen_with_last() {
        let moved = tied(&[number(2), id(1)], 2).learned(&[tied(&[number(1), id(1)], 1)]);
        let moved = moved.expect("new");
        assert_eq!(moved.tied, tied(&[number(2), id(1)], 2));
        assert_eq!(moved.dropped, BTreeSet::from([person(&number(1))]));
    }

    #[test]
    fn two_people_are_not_made_one_by_an_id_that_both_have() {
        let both = [tied(&[number(1), id(1)], 1), tied(&[number(2), id(2)], 1)];
        assert_eq!(tied(&[id(1), id(2)], 1).learned(&both), None);
    }

    #[test]
    fn an_id_that_two_people_share_ties_no_other_name_of_the_one_to_the_other() {
        let first = tied(&[number(1), id(1), id(9)], 1);
        let second = tied(&[number(2), id(9)], 2).learned(&[first]).expect("new");
        assert_eq!(second.tied, tied(&[number(2), id(9)], 2));
        assert_eq!(second.dropped, BTreeSet::from([person(&number(1)), person(&id(1))]));
    }

    #[test]
    fn a_placeholder_in_every_webhook_ties_no_more_than_one_number() {
        let mut known = tied(&[number(0), id(0)], 1);
        for n in 1..20 {
            known = tied(&[number(n), id(0)], 1).learned(&[known]).expect("new").tied;
            assert_eq!(known.names.all().count(), 2);
        }
    }
}
