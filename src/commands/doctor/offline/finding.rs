//! What the search came to, in words and as JSON. Values of a request never get in here: only names
//! that look like names, hosts, and routes of ours.

use crate::domain::route;
use std::fmt::Write as _;

use serde::Serialize;

/// One way in which a request differs from what its sender signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// One word for programs, stable between releases.
    pub id: &'static str,
    pub says: String,
    /// What to do about it.
    pub fix: String,
    /// Where the cause was observed or documented.
    pub source: &'static str,
}

/// The detail of a cause without one, if it applies.
pub(super) fn no_detail(applies: bool) -> Option<String> {
    applies.then(String::new)
}

/// What came of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosisOutcome {
    /// The signature is good, with the settings of today.
    Good,
    /// It is known why the signature is not good.
    Found,
    /// Nothing that was tried matches.
    NotFound,
}

/// How much was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tried {
    /// Spellings of the URL.
    pub urls: usize,
    /// Readings of the body or the parameters.
    pub contents: usize,
    /// Keys, those that were guessed at included.
    pub keys: usize,
    /// Signatures computed: each URL counts with and without the default port.
    pub signatures: usize,
    /// Whether the search ended because it may not take longer, and not because all was tried.
    pub cut_short: bool,
}

/// What is known of one request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What came of it.
    pub outcome: DiagnosisOutcome,
    /// How the request differs from what was signed; all of them together.
    pub causes: Vec<Deviation>,
    /// The key that made the signature, by its place in the settings.
    pub key: Option<String>,
    /// What was signed, as far as it may be shown: origin and route, without values.
    pub signed_url: Option<String>,
    /// What else is worth a look, likeliest first.
    pub hints: Vec<String>,
    /// How much was tried.
    pub tried: Tried,
}

impl Diagnosis {
    /// Whether it is known why.
    #[must_use]
    pub fn is_found(&self) -> bool {
        match self.outcome {
            DiagnosisOutcome::Good | DiagnosisOutcome::Found => true,
            DiagnosisOutcome::NotFound => false,
        }
    }

    /// For people: the verdict, then each cause with what to do about it, then what else to look at.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        let mut line = |text: &str| {
            // Writing to a string cannot fail.
            let _ = writeln!(out, "{text}");
        };
        line(match (self.outcome, self.causes.len()) {
            (DiagnosisOutcome::Good, _) => {
                "This request is good: with today's settings its signature is right."
            }
            (DiagnosisOutcome::Found, 0 | 1) => "Found:",
            (DiagnosisOutcome::Found, _) => "Found, these together:",
            (DiagnosisOutcome::NotFound, _) => {
                "Not found: nothing that was tried makes this signature."
            }
        });
        for cause in &self.causes {
            line(&format!("  - {}", cause.says));
            line(&format!("    {}", cause.fix));
        }
        if let Some(key) = &self.key {
            line(&format!("Signed with {key}."));
        }
        if let Some(url) = &self.signed_url {
            line(&format!("Signed for {url}"));
        }
        if !self.hints.is_empty() {
            line(match self.outcome {
                DiagnosisOutcome::NotFound => "Look at these first:",
                DiagnosisOutcome::Good | DiagnosisOutcome::Found => "Look at this, too:",
            });
        }
        for hint in &self.hints {
            line(&format!("  - {hint}"));
        }
        if self.tried.signatures > 0 {
            line(&self.tried.text());
        }
        out
    }
}

impl Tried {
    fn text(&self) -> String {
        let Self { urls, contents, keys, signatures, cut_short } = self;
        let end = if *cut_short { ", and there it stopped: more would take too long" } else { "" };
        format!(
            "Tried: {urls} spellings of the URL, {contents} readings of the body, {keys} keys; \
             {signatures} signatures{end}."
        )
    }
}

/// A name from a request, fit to be shown; what does not look like a name may be a value.
pub(super) fn shown_name(name: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(byte);
    let digits = name.iter().filter(|byte| byte.is_ascii_digit()).count();
    match std::str::from_utf8(name) {
        Ok(text) if (1..=48).contains(&name.len()) && name.iter().all(is_plain) && digits < 6 => {
            text.to_owned()
        }
        Ok(_) | Err(_) => "(a name that is not shown)".to_owned(),
    }
}

/// A host, maybe with a port, fit to be shown.
pub(super) fn shown_host(host: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_plain) {
        return "(a host that is not shown)".to_owned();
    }
    host.to_owned()
}

/// The paths at which senders are pointed.
pub(super) fn routes() -> impl Iterator<Item = &'static str> {
    route::paths().into_iter().filter(|path| path.len() > 1 && !path.contains('{'))
}

/// Origin and route. A query holds names and values, and a path that is no route of ours may hold anything.
pub(crate) fn shown_url(url: &str) -> String {
    let (before, query) = match url.split_once('?') {
        Some((before, _)) => (before, "?…"),
        None => (url, ""),
    };
    let Some((start, route, end)) = routes().find_map(|route| {
        let (start, end) = before.split_once(route)?;
        Some((start, route, end))
    }) else {
        let (scheme, rest) = before.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        return format!("{scheme}://{}/…{query}", shown_host(host));
    };
    let end = if matches!(end, "" | "/") { end } else { "/…" };
    format!("{start}{route}{end}{query}")
}
