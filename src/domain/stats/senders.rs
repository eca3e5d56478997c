//! Senders by number, so that a name is stored once. Only the first hundred are separate, because each is a time series
//! in Prometheus and a row of the page.

use std::collections::BTreeMap;

/// Senders that are counted separately.
const MAX_SENDERS: usize = 100;
/// The name of all other senders. No sender has parentheses.
pub(super) const OTHER: &str = "(other)";
/// The name of an unknown sender.
const UNKNOWN: &str = "(unknown)";

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SenderNo(u16);

impl SenderNo {
    pub(super) const FIRST: Self = Self(0);
    const UNKNOWN: Self = Self(0);
    pub(super) const OTHER: Self = Self(1);
    const NAMED: u16 = 2;
}

/// The names. A sender keeps its number, so that its counts stay valid.
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
