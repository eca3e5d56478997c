//! Environment variables that resemble a setting but are none: `HEARDBACK_APP_KEY`, `TWILIO_TOKEN`.
//!
//! A name close to a setting's name is a problem that names the setting, because the value would be ignored
//! silently. Two kinds of names are ignored: variables that a platform derives from a service's name
//! (Kubernetes service links, Docker links), and names under `TWILIO_` that are close to none of ours, because
//! other Twilio software defines such names. Any other `HEARDBACK_` name is a warning. Values are never shown.

use strsim::osa_distance;

use crate::config::env::Env;
use crate::config::problems::{Problem, Problems};
use crate::config::reader::Setting;
use crate::config::table::every_setting;

const OURS: &str = "HEARDBACK_";
const TWILIOS: &str = "TWILIO_";
const FILE: &str = "_FILE";

/// Variables of this repository's tests.
const OF_THE_REPOSITORY: [&str; 2] = ["HEARDBACK_CI", "HEARDBACK_PYTHON"];

/// Names in Twilio's samples with the same meaning as one of our settings: name, setting. They may be meant for
/// another program, so they are only a warning.
const ALIASES: [(&str, &str); 6] = [
    ("TWILIO_API_KEY_SID", "TWILIO_API_KEY"),
    ("TWILIO_API_SID", "TWILIO_API_KEY"),
    ("TWILIO_API_KEY_SECRET", "TWILIO_API_SECRET"),
    ("TWILIO_API_TOKEN", "TWILIO_AUTH_TOKEN"),
    ("TWILIO_AUTH_KEY", "TWILIO_AUTH_TOKEN"),
    ("TWILIO_SIGNING_KEY", "TWILIO_AUTH_TOKEN"),
];

/// Words that alone do not make a name close to a setting: `HEARDBACK_TAG` may be the tag of an image.
const GENERIC_WORDS: [&str; 15] = [
    "API", "APP", "CALL", "CLIENT", "FILE", "FORMAT", "GIVE", "IP", "MAX", "OPS", "PATH", "READ",
    "RUN", "TAG", "UP",
];

/// A longer name, or one with a longer word, is not shown.
const SHOWN_NAME: usize = 64;
const SHOWN_WORD: usize = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameVerdict<'a> {
    /// A setting, or a name of other software.
    Fine,
    Slip(&'a str),
    /// A name that may mean this setting, or belong to another program.
    Doubt(&'a str),
    /// A name in our namespace that is close to no setting.
    Unknown,
}

/// Checks the names of all variables: problems and warnings. An empty variable counts as unset.
pub(super) fn check(names: &[String], env: Env<'_>) -> (Problems, Vec<String>) {
    let known: Vec<String> = every_setting().flat_map(Setting::variables).collect();
    let mut problems = Problems::default();
    let mut warnings = Vec::new();
    let mut names: Vec<&String> = names.iter().collect();
    names.sort_unstable();
    for name in names {
        let value = env(name).unwrap_or_default();
        if value.trim().is_empty() {
            continue;
        }
        let shown = shown(name);
        match verdict(name, &value, &known) {
            NameVerdict::Fine => {}
            NameVerdict::Slip(meant) if is_file_of(name, meant) => {
                let how = format!("{meant} cannot be read from a file; set it to the value itself");
                problems.push(Problem::unknown(&shown, how));
            }
            NameVerdict::Slip(meant) => {
                let how = format!("did you mean {meant}? Rename this variable, or unset it");
                problems.push(Problem::unknown(&shown, how));
            }
            NameVerdict::Doubt(meant) => warnings.push(format!(
                "{shown} is set, but Heardback does not read it: if it is meant for Heardback, the name is {meant}"
            )),
            NameVerdict::Unknown => {
                warnings.push(format!("{shown} is set, but Heardback has no setting of that name"));
            }
        }
    }
    (problems, warnings)
}

fn verdict<'a>(name: &str, value: &str, known: &'a [String]) -> NameVerdict<'a> {
    let is_known = |name: &str| known.iter().any(|known| known == name);
    if is_known(name) || OF_THE_REPOSITORY.contains(&name) {
        return NameVerdict::Fine;
    }
    let upper: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' })
        .collect();
    let is_ours = upper.starts_with(OURS);
    let is_twilios = upper.starts_with(TWILIOS);
    if (is_ours || is_twilios) && is_service_link(&upper, value) {
        return NameVerdict::Fine;
    }
    if let Some((_, meant)) = ALIASES.iter().find(|(alias, _)| *alias == upper) {
        let setting = known.iter().find(|known| known == meant);
        return setting.map_or(NameVerdict::Fine, |setting| NameVerdict::Doubt(setting));
    }
    let letters = squeezed(&upper);
    if let Some(meant) = known.iter().find(|known| squeezed(known) == letters) {
        return NameVerdict::Slip(meant);
    }
    let near = if is_ours {
        near_in_our_namespace(&upper, known)
    } else if is_twilios {
        near_in_twilios_namespace(&upper, known)
    } else {
        misspelt_prefix(&upper, known).map(NameVerdict::Slip)
    };
    near.unwrap_or(if is_ours { NameVerdict::Unknown } else { NameVerdict::Fine })
}

/// `HEARBACK_DRY_RUN`, `TWILLIO_AUTH_TOKEN`: the prefix itself is misspelt.
fn misspelt_prefix<'a>(name: &str, known: &'a [String]) -> Option<&'a str> {
    let distance = |known: &str| osa_distance(&squeezed(name), &squeezed(known));
    let near = known.iter().map(String::as_str).filter(|known| distance(known) <= 2);
    near.min_by_key(|known| distance(known))
}

/// The closest setting among those that the first matching rule finds.
fn nearest<'a>(
    name: &str,
    rules: &[Rule],
    settings: &(impl Iterator<Item = &'a str> + Clone),
) -> Option<&'a str> {
    let words = Words::of(name);
    rules.iter().find_map(|is_near| {
        let near = settings.clone().filter(|setting| is_near(&words, &Words::of(setting)));
        near.min_by_key(|setting| osa_distance(&squeezed(name), &squeezed(setting)))
    })
}

fn with_prefix<'a>(
    known: &'a [String],
    prefix: &'static str,
) -> impl Iterator<Item = &'a str> + Clone {
    known.iter().map(String::as_str).filter(move |known| known.starts_with(prefix))
}

fn near_in_our_namespace<'a>(name: &str, known: &'a [String]) -> Option<NameVerdict<'a>> {
    let rules: [Rule; 5] =
        [Words::is_misspelt, Words::is_part, Words::is_abbreviated, Words::begins, Words::contains];
    if let Some(meant) = nearest(name, &rules, &with_prefix(known, OURS)) {
        return Some(NameVerdict::Slip(meant));
    }
    // `HEARDBACK_AUTH_TOKEN`, `HEARDBACK_TWILIO_AUTH_TOKEN`: a setting of the other prefix.
    let words = Words::of(name);
    let is_other = |known: &&str| {
        known.strip_prefix(TWILIOS).is_some_and(|tail| words.is(tail) || words.is(known))
    };
    let other = with_prefix(known, TWILIOS).find(is_other)?;
    Some(if words.0.len() > 1 { NameVerdict::Slip(other) } else { NameVerdict::Doubt(other) })
}

fn near_in_twilios_namespace<'a>(name: &str, known: &'a [String]) -> Option<NameVerdict<'a>> {
    let rules: [Rule; 3] = [Words::is_misspelt, Words::is_part, Words::is_abbreviated];
    let twilios = || with_prefix(known, TWILIOS);
    let of_a_file = || twilios().find(|known| is_file_of(name, known));
    if let Some(meant) = nearest(name, &rules, &twilios()).or_else(of_a_file) {
        return Some(NameVerdict::Slip(meant));
    }
    // `TWILIO_AUTH_TOKEN_SECONDARY` may be meant for Heardback. So may `TWILIO_PUBLIC_URL`, of the other prefix.
    let words = Words::of(name);
    let longer = |known: &&str| Words::of(known).0.len() > 1 && words.begins(&Words::of(known));
    let is_ours = |known: &&str| {
        known.strip_prefix(OURS).is_some_and(|tail| tail.contains('_') && words.is(tail))
    };
    let doubtful = twilios().find(longer).or_else(|| with_prefix(known, OURS).find(is_ours));
    doubtful.map(NameVerdict::Doubt)
}

/// Whether a name is a setting's name with `_FILE` after it.
fn is_file_of(name: &str, setting: &str) -> bool {
    name.to_ascii_uppercase().strip_suffix(FILE) == Some(setting)
}

/// The words of a name after its prefix.
struct Words(Vec<String>);

/// Whether the words of a name are close to those of a setting.
type Rule = fn(&Words, &Words) -> bool;

impl Words {
    fn of(name: &str) -> Self {
        let tail = name.strip_prefix(OURS).or_else(|| name.strip_prefix(TWILIOS)).unwrap_or(name);
        Self(tail.split('_').filter(|word| !word.is_empty()).map(str::to_owned).collect())
    }

    fn is(&self, tail: &str) -> bool {
        self.0.concat() == squeezed(tail)
    }

    /// One or two letters are wrong, missing, extra or exchanged.
    fn is_misspelt(&self, setting: &Words) -> bool {
        let (name, setting) = (self.0.concat(), setting.0.concat());
        let allowed = match setting.len() {
            ..=2 => 0,
            3..=7 => 1,
            8.. => 2,
        };
        osa_distance(&name, &setting) <= allowed
    }

    /// Words are missing: `TOKEN` for `AUTH_TOKEN`. A word alone has to be the first or the last.
    fn is_part(&self, setting: &Words) -> bool {
        match self.0.as_slice() {
            [] => false,
            [word] => {
                let ends = [setting.0.first(), setting.0.last()];
                !GENERIC_WORDS.contains(&word.as_str())
                    && setting.0.len() > 1
                    && ends.into_iter().flatten().any(|end| same_word(word, end))
            }
            words => is_subsequence(words, &setting.0),
        }
    }

    /// All words are present, and some are cut: `ACCT_SID` for `ACCOUNT_SID`, `RETENT` for `RETENTION`.
    fn is_abbreviated(&self, setting: &Words) -> bool {
        if let ([word], [whole]) = (self.0.as_slice(), setting.0.as_slice()) {
            return word.len() >= 3 && whole.starts_with(word.as_str());
        }
        let mut pairs = self.0.iter().zip(&setting.0);
        self.0.len() == setting.0.len()
            && pairs.all(|(word, whole)| same_word(word, whole) || abbreviates(word, whole))
    }

    /// Whether the name begins with the setting's name: `LOG_LEVEL` for `LOG`, `LISTENER` for `LISTEN`.
    fn begins(&self, setting: &Words) -> bool {
        let starts = self.0.iter().zip(&setting.0).all(|(word, whole)| same_word(word, whole));
        let extends = match (self.0.as_slice(), setting.0.as_slice()) {
            ([word], [whole]) => whole.len() >= 4 && word.starts_with(whole.as_str()),
            _ => false,
        };
        extends || (starts && self.0.len() > setting.0.len())
    }

    /// The setting's words among others: `PUBLIC_BASE_URL` for `PUBLIC_URL`.
    fn contains(&self, setting: &Words) -> bool {
        setting.0.len() > 1 && is_subsequence(&setting.0, &self.0)
    }
}

/// Singular and plural are the same word.
fn same_word(one: &str, other: &str) -> bool {
    fn singular(word: &str) -> &str {
        word.strip_suffix('S').filter(|word| word.len() > 2).unwrap_or(word)
    }
    singular(one) == singular(other)
}

fn abbreviates(word: &str, whole: &str) -> bool {
    let mut rest = whole.bytes();
    word.len() > 1
        && word.bytes().next() == whole.bytes().next()
        && word.bytes().all(|byte| rest.any(|other| other == byte))
}

fn is_subsequence(words: &[String], whole: &[String]) -> bool {
    let mut rest = whole.iter();
    words.iter().all(|word| rest.any(|other| same_word(word, other)))
}

/// Whether Kubernetes or Docker derived the name from a service `heardback` or `heardback-…`.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_port = |text: &str| {
        let mut parts = text.split('_');
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        let last = parts.next().unwrap_or("ADDR");
        !number.is_empty()
            && number.bytes().all(|byte| byte.is_ascii_digit())
            && ["TCP", "UDP", "SCTP"].contains(&protocol)
            && ["ADDR", "PORT", "PROTO", "START", "END"].contains(&last)
    };
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|start| value.starts_with(start));
    name.ends_with("_SERVICE_HOST")
        || name.ends_with("_SERVICE_PORT")
        || name.contains("_SERVICE_PORT_")
        || name.contains("_ENV_")
        || name.rsplit_once("_PORT_").is_some_and(|(before, _)| {
            let starts = name.match_indices("_PORT_").map(|(at, found)| at + found.len());
            !before.is_empty() && starts.filter_map(|at| name.get(at..)).any(is_port)
        })
        || (name.ends_with("_PORT") && is_address)
        || (name.ends_with("_NAME") && value.starts_with('/'))
}

fn squeezed(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).collect()
}

/// The name, or a fixed text if the name may hold a secret or a number.
fn shown(name: &str) -> String {
    let is_plain_word = |word: &str| {
        let digits = word.bytes().filter(u8::is_ascii_digit).count();
        word.len() <= SHOWN_WORD
            && digits < 6
            && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
    };
    if name.len() > SHOWN_NAME || !name.split(['_', '-', '.']).all(is_plain_word) {
        return "a variable whose name is not shown".to_owned();
    }
    name.to_owned()
}

#[cfg(test)]
mod tests;
