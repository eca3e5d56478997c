//! Senders by number, so that a name is kept once. Those beyond the first hundred are one: each that is
//! counted apart is a time series of whoever scrapes the metrics, and a row of the page.

use std::collections::BTreeMap;

/// Senders that are told apart.
const MAX_SENDERS: usize = 100;
/// What the rest is called. No sender is called so: they have letters, digits and spaces.
pub(super) const OTHER: &str = "(other)";
/// What a sender is called that nobody told.
const UNKNOWN: &str = "(unknown)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SenderNo(u16);

impl SenderNo {
    pub(super) const FIRST: Self = Self(0);
    const UNKNOWN: Self = Self(0);
    /// Whoever is one too many.
    pub(super) const OTHER: Self = Self(1);
    const NAMED: u16 = 2;
}

/// Their names. Whoever has a number keeps it, so that what was counted under it is found there again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Senders {
    numbers: BTreeMap<Box<str>, SenderNo>,
    names: Vec<Box<str>>,
}

impl Senders {
    pub(super) fn number(&mut self, name: Option<&str>) -> SenderNo {
        let Some(name) = name else { return SenderNo::UNKNOWN };
        if let Some(known) = self.numbers.get(name) {
            return *known;
        }
        let number = match u16::try_from(self.names.len()) {
            Ok(number) if self.names.len() < MAX_SENDERS => SenderNo(SenderNo::NAMED + number),
            Ok(_) | Err(_) => return SenderNo::OTHER,
        };
        self.numbers.insert(name.into(), number);
        self.names.push(name.into());
        number
    }

    pub(super) fn of(&self, number: SenderNo) -> &str {
        if number == SenderNo::UNKNOWN {
            return UNKNOWN;
        }
        let named = number.0.checked_sub(SenderNo::NAMED).map(usize::from);
        named.and_then(|at| self.names.get(at)).map_or(OTHER, AsRef::as_ref)
    }
}
