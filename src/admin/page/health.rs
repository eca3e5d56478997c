//! The top of the page: whether all is well, every finding with its advice, and the number of messages by state.
//!
//! Rendered from the snapshot alone. Findings are judged in `domain/findings/`.

use maud::{Markup, html};

use crate::admin::page::format;
use crate::admin::snapshot::Snapshot;
use crate::domain::findings::{Finding, Severity, worst};
use crate::domain::message::State;
use crate::domain::span::ago;
use crate::domain::stats::StatusBucket;

/// The heading, and the class that colours the section. A finding of severity info changes neither.
fn heading(worst: Option<Severity>) -> (&'static str, &'static str) {
    match worst {
        None | Some(Severity::Info) => ("All is well", "well"),
        Some(Severity::Warning) => ("Worth a look", "doubtful"),
        Some(Severity::Critical) => ("Needs attention", "ill"),
    }
}

fn class(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "info",
        Severity::Warning => "doubtful",
        Severity::Critical => "ill",
    }
}

pub(super) fn health(now: &Snapshot) -> Markup {
    let (words, class) = heading(worst(&now.findings));
    let states = State::ALL.iter().map(|state| (state.as_str(), now.counts.of(*state)));
    let evidence = [("parked", now.counts.parked), ("orphaned", now.counts.orphaned)];
    let oldest = now.census.oldest(StatusBucket::Message(State::Confirmed));
    html! {
        section class={ "health " (class) } aria-labelledby="h-health" {
            h1 #h-health { (words) }
            @if let Some(at) = now.last_verified {
                p { "Last verified signature: " time datetime=(at) { (ago(at, now.at)) } "." @if now.findings.is_empty() {
                    " The store takes events, the posts of every account go out, and no confirmation is late."
                } }
            }
            ul { @for finding in &now.findings { (item(finding, now)) } }
            dl.counts {
                @for (name, count) in states.chain(evidence) {
                    div { dt { (name) } dd { (format::count(count)) } }
                }
                @if let Some(since) = oldest {
                    div { dt { "oldest waiting" } dd { (format::timestamp(since, now.at)) } }
                }
            }
        }
    }
}

fn item(finding: &Finding, now: &Snapshot) -> Markup {
    html! {
        li class=(class(finding.severity)) data-finding=(finding.id.as_str()) {
            strong { (finding.what) "." }
            @if let Some(since) = finding.since {
                " " span.since { "Since " (format::timestamp(since, now.at)) ", " (ago(since, now.at)) "." }
            }
            p { (with_code(&finding.advice)) }
        }
    }
}

/// Renders text that has commands in backticks.
fn with_code(text: &str) -> Markup {
    html! { @for (number, part) in text.split('`').enumerate() {
        @if number % 2 == 1 { code { (part) } } @else { (part) }
    } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_heading_follows_the_worst_finding() {
        let headings =
            [None, Some(Severity::Info), Some(Severity::Warning), Some(Severity::Critical)];
        let words = headings.map(|worst| heading(worst).0);
        assert_eq!(words, ["All is well", "All is well", "Worth a look", "Needs attention"]);
    }

    #[test]
    fn a_snapshot_with_a_finding_never_says_that_all_is_well() {
        use crate::domain::findings::FindingId;
        let mut now = Snapshot::default();
        assert!(health(&now).into_string().contains("All is well"));
        now.findings =
            vec![Finding::new(FindingId::StoreSilent, "The store cannot take events: <b>")];
        let page = health(&now).into_string();
        assert!(!page.contains("All is well") && page.contains("Needs attention"), "{page}");
        assert!(page.contains("events: &lt;b&gt;."), "{page}");
        assert!(page.contains(FindingId::StoreSilent.advice()), "{page}");
        assert_eq!(with_code("a `b` c <").into_string(), "a <code>b</code> c &lt;");
    }
}
