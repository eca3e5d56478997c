//! The health section: every finding with its advice, and the number of records by state.

use maud::{Markup, html};

use crate::admin::page::format;
use crate::admin::snapshot::Snapshot;
use crate::domain::findings::{Finding, Severity, worst};
use crate::domain::message::State;
use crate::domain::span::ago;
use crate::domain::stats::StatusBucket;

/// The heading and the CSS class of the section. A finding of severity info changes neither.
fn heading(worst: Option<Severity>) -> (&'static str, &'static str) {
    match worst {
        None | Some(Severity::Info) => ("All is well", "ok"),
        Some(Severity::Warning) => ("Worth a look", "warning"),
        Some(Severity::Critical) => ("Needs attention", "critical"),
    }
}

pub(super) fn health(now: &Snapshot) -> Markup {
    let (title, class) = heading(worst(&now.findings));
    let states = State::ALL.iter().map(|state| (state.as_str(), now.counts.of(*state)));
    let evidence = [("parked", now.counts.parked), ("orphaned", now.counts.orphaned)];
    let oldest = now.stats.oldest(StatusBucket::Message(State::Confirmed));
    html! {
        section class={ "health " (class) } aria-labelledby="h-health" {
            h1 #h-health { (title) }
            @if let Some(at) = now.last_verified {
                p { "Last verified signature: " time datetime=(at) { (ago(at, now.taken_at)) } "." @if now.findings.is_empty() {
                    " The store is available, every account is posted, and no confirmation is late."
                } }
            }
            ul { @for finding in &now.findings { (item(finding, now)) } }
            dl.counts {
                @for (name, count) in states.chain(evidence) {
                    div { dt { (name) } dd { (format::count(count)) } }
                }
                @if let Some(since) = oldest {
                    div { dt { "oldest unreported" } dd { (format::timestamp(since, now.taken_at)) } }
                }
            }
        }
    }
}

fn item(finding: &Finding, now: &Snapshot) -> Markup {
    html! {
        li class=(finding.severity.as_str()) data-finding=(finding.id.as_str()) {
            strong { (finding.what) "." }
            @if let Some(since) = finding.since {
                " " span.since { "Since " (format::timestamp(since, now.taken_at)) ", " (ago(since, now.taken_at)) "." }
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
        let titles = headings.map(|worst| heading(worst).0);
        assert_eq!(titles, ["All is well", "All is well", "Worth a look", "Needs attention"]);
    }

    #[test]
    fn a_finding_replaces_the_heading_and_is_shown_with_its_advice() {
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
