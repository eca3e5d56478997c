//! The problems of the settings, all of them at once. Each says how to fix it, and none shows a secret.

use std::fmt;

use crate::domain::redact::redacted;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    setting: String,
    found: FoundValue,
    message: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum FoundValue {
    Nothing,
    Text(String),
    /// A value that may be secret or personal.
    Withheld,
    Unknown,
}

/// All problems with the settings, in the order of the help.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

/// A longer value is cut: its beginning identifies it.
const SHOWN_CHARS: usize = 80;

impl Problem {
    pub(super) fn missing(setting: &str, place: impl Into<String>) -> Self {
        Self::new(setting, FoundValue::Nothing, place)
    }

    /// Shows the value, unless it resembles a secret. For settings that hold no secret.
    pub(super) fn shown(setting: &str, found: &str, message: impl Into<String>) -> Self {
        // A URL may contain a password, and a token may have been pasted into the wrong setting.
        let found = if found.contains(['@', '?']) || redacted(found) != found {
            FoundValue::Withheld
        } else {
            FoundValue::Text(found.chars().take(SHOWN_CHARS).collect())
        };
        Self::new(setting, found, message)
    }

    pub(super) fn withheld(setting: &str, message: impl Into<String>) -> Self {
        Self::new(setting, FoundValue::Withheld, message)
    }

    pub(super) fn unknown(name: &str, fix: impl Into<String>) -> Self {
        Self::new(name, FoundValue::Unknown, fix)
    }

    fn new(setting: &str, found: FoundValue, message: impl Into<String>) -> Self {
        Self { setting: setting.to_owned(), found, message: message.into() }
    }

    /// The environment variable.
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

    /// Sorts the problems by the place of their setting.
    pub(super) fn sort_by_key(&mut self, place: impl Fn(&str) -> usize) {
        self.list.sort_by_key(|problem| place(&problem.setting));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            FoundValue::Nothing => write!(f, "{} is missing: {}", self.setting, self.message),
            FoundValue::Text(found) => {
                write!(f, "{} is {found:?}: {}", self.setting, self.message)
            }
            FoundValue::Withheld => write!(f, "{} cannot be used: {}", self.setting, self.message),
            FoundValue::Unknown => write!(f, "{} is no setting: {}", self.setting, self.message),
        }
    }
}

/// A heading, and one line for each problem.
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
