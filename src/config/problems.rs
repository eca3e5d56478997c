//! What is wrong with the settings: all of it at once, each with the way out, never a secret.

use std::fmt;

use crate::config::setting::Setting;
use crate::config::table::SETTINGS;
use crate::domain::redact::veiled;

/// One setting that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    setting: String,
    found: FoundValue,
    expected: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FoundValue {
    Nothing,
    Text(String),
    /// There is a value, and it may be secret or personal.
    Withheld,
    /// No setting has this name.
    Unknown,
}

/// Everything that is wrong with the settings, in the order of the help. Never empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

/// Longer values are cut here: the beginning is enough to recognise them by.
const SHOWN_CHARS: usize = 80;

impl Problem {
    pub(super) fn missing(setting: &str, where_to_find_it: impl Into<String>) -> Self {
        Self::new(setting, FoundValue::Nothing, where_to_find_it)
    }

    /// Shows the value found. Only for what cannot be a secret.
    pub(super) fn shown(setting: &str, found: &str, expected: impl Into<String>) -> Self {
        // A URL may carry a password or a token although none belongs there, and a token may have been
        // pasted into another setting's place.
        let found = if found.contains(['@', '?']) || veiled(found) != found {
            FoundValue::Withheld
        } else {
            FoundValue::Text(found.chars().take(SHOWN_CHARS).collect())
        };
        Self::new(setting, found, expected)
    }

    pub(super) fn withheld(setting: &str, expected: impl Into<String>) -> Self {
        Self::new(setting, FoundValue::Withheld, expected)
    }

    pub(super) fn unknown(name: &str, way_out: impl Into<String>) -> Self {
        Self::new(name, FoundValue::Unknown, way_out)
    }

    fn new(setting: &str, found: FoundValue, expected: impl Into<String>) -> Self {
        Self { setting: setting.to_owned(), found, expected: expected.into() }
    }

    /// The environment variable that it is about.
    #[must_use]
    pub fn setting(&self) -> &str {
        &self.setting
    }
}

impl Problems {
    pub(super) fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    pub(super) fn append(&mut self, others: Self) {
        self.list.extend(others.list);
    }

    /// Sorts the problems by the rows of the table.
    pub(super) fn sort(&mut self) {
        let is_of = |row: &Setting, problem: &Problem| row.variables().contains(&problem.setting);
        let row = |problem: &Problem| SETTINGS.iter().position(|row| is_of(row, problem));
        self.list.sort_by_key(|problem| row(problem).unwrap_or(usize::MAX));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Each problem.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Self { list: vec![problem] }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            FoundValue::Nothing => write!(f, "{} is missing: {}", self.setting, self.expected),
            FoundValue::Text(found) => {
                write!(f, "{} is {found:?}: {}", self.setting, self.expected)
            }
            FoundValue::Withheld => write!(f, "{} cannot be used: {}", self.setting, self.expected),
            FoundValue::Unknown => write!(f, "{} is no setting: {}", self.setting, self.expected),
        }
    }
}

/// A heading and a line for each problem.
impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.list.len() {
            1 => f.write_str("one setting needs attention:")?,
            count => write!(f, "{count} settings need attention:")?,
        }
        self.list.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl std::error::Error for Problems {}
