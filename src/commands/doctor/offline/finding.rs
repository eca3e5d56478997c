//! The result of a diagnosis, as text and as JSON.
//!
//! It holds no value of a request: only hosts, our routes, and names that look like names.

use serde::Serialize;

use crate::domain::route;

/// One difference between a request and the text that its sender signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deviation {
    /// One word for programs, stable between releases.
    pub id: &'static str,
    pub says: String,
    pub fix: String,
    /// The report or document that describes the cause.
    pub source: &'static str,
}

/// The detail of a cause without one, if it applies.
pub(super) fn no_detail(applies: bool) -> Option<String> {
    applies.then(String::new)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DiagnosisOutcome {
    /// The signature is valid under the current settings.
    Good,
    Found,
    NotFound,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Tried {
    pub urls: usize,
    pub contents: usize,
    pub keys: usize,
    /// Computed signatures. Each URL counts with and without the default port.
    pub signatures: usize,
    pub cut_short: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    pub outcome: DiagnosisOutcome,
    /// All differences between the request and the signed text.
    pub causes: Vec<Deviation>,
    /// The key of the signature, by its place in the settings.
    pub key: Option<String>,
    /// The signed URL: origin and route, without values.
    pub signed_url: Option<String>,
    pub hints: Vec<String>,
    pub tried: Tried,
}

impl Diagnosis {
    pub fn is_found(&self) -> bool {
        self.outcome != DiagnosisOutcome::NotFound
    }

    /// The outcome, each cause with its fix, then the hints.
    pub fn text(&self) -> String {
        let (title, hints_title) = match (self.outcome, self.causes.len()) {
            (DiagnosisOutcome::Good, _) => {
                ("The signature is valid under the current settings.", "Also check:")
            }
            (DiagnosisOutcome::Found, 0 | 1) => ("Found:", "Also check:"),
            (DiagnosisOutcome::Found, _) => ("Found, these together:", "Also check:"),
            (DiagnosisOutcome::NotFound, _) => {
                ("Not found: nothing that was tried makes this signature.", "Check these first:")
            }
        };
        let mut lines = vec![title.to_owned()];
        for cause in &self.causes {
            lines.extend([format!("  - {}", cause.says), format!("    {}", cause.fix)]);
        }
        lines.extend(self.key.iter().map(|key| format!("Signed with {key}.")));
        lines.extend(self.signed_url.iter().map(|url| format!("Signed for {url}")));
        if !self.hints.is_empty() {
            lines.push(hints_title.to_owned());
        }
        lines.extend(self.hints.iter().map(|hint| format!("  - {hint}")));
        let Tried { urls, contents, keys, signatures, cut_short } = self.tried;
        if signatures > 0 {
            let end = if cut_short { "; the search stopped at its limit" } else { "" };
            lines.push(format!(
                "Tried: {urls} forms of the URL, {contents} forms of the body, {keys} keys; \
                 {signatures} signatures{end}."
            ));
        }
        lines.join("\n") + "\n"
    }
}

/// A name of a parameter. A name with other characters or many digits may be a value, and is not shown.
pub(super) fn shown_name(name: &[u8]) -> String {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_.-[]".contains(byte);
    let digits = name.iter().filter(|byte| byte.is_ascii_digit()).count();
    let is_shown = (1..=48).contains(&name.len()) && name.iter().all(is_plain) && digits < 6;
    if !is_shown {
        return "(a name that is not shown)".to_owned();
    }
    String::from_utf8_lossy(name).into_owned()
}

pub(super) fn shown_host(host: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte);
    if host.is_empty() || host.len() > 253 || !host.bytes().all(is_plain) {
        return "(a host that is not shown)".to_owned();
    }
    host.to_owned()
}

/// The paths that senders are configured with.
pub(super) fn routes() -> impl Iterator<Item = &'static str> {
    route::paths().into_iter().filter(|path| path.len() > 1 && !path.contains('{'))
}

/// Origin and route. A query holds values, and so may a path without a route of ours.
pub(crate) fn shown_url(url: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, ""), |(before, _)| (before, "?…"));
    let on_route = routes().find_map(|route| {
        let (start, end) = before.split_once(route)?;
        let end = if matches!(end, "" | "/") { end } else { "/…" };
        Some(format!("{start}{route}{end}{query}"))
    });
    on_route.unwrap_or_else(|| {
        let (scheme, rest) = before.split_once("://").unwrap_or_default();
        let host = rest.split('/').next().unwrap_or_default();
        format!("{scheme}://{}/…{query}", shown_host(host))
    })
}
