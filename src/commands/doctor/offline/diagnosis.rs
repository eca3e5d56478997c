//! What is known of one recorded request: refused before a search, matched by the search, or neither.

use crate::commands::doctor::offline::case::Case;
use crate::commands::doctor::offline::causes::{CAUSES, Transform};
use crate::commands::doctor::offline::finding::{Diagnosis, DiagnosisOutcome, Tried, shown_url};
use crate::commands::doctor::offline::hints;
use crate::commands::doctor::offline::search::{Search, claimed};
use crate::config::Settings;
use crate::domain::sid::AccountSid;
use crate::recording::Recording;

/// Says how the request was signed.
#[must_use]
pub fn diagnose(settings: &Settings, recording: &Recording) -> Diagnosis {
    search(settings, recording).0
}

/// The finding, and the only account that the key of a match speaks for.
pub(super) fn search(
    settings: &Settings,
    recording: &Recording,
) -> (Diagnosis, Option<AccountSid>) {
    let case = Case::new(settings, recording);
    let mut finding = Diagnosis {
        outcome: DiagnosisOutcome::Found,
        causes: Vec::new(),
        key: None,
        signed_url: None,
        hints: Vec::new(),
        tried: Tried::default(),
    };
    let claimed = claimed(&case);
    let refusal = CAUSES.iter().find_map(|cause| {
        if matches!(cause.transform, Transform::Unreadable) && claimed.is_empty() {
            return Some(cause.deviation(""));
        }
        let Transform::Refusal(detail) = cause.transform else { return None };
        Some(cause.deviation(&detail(&case)?))
    });
    let (Some(first), None) = (claimed.first(), &refusal) else {
        finding.causes.extend(refusal);
        return (finding, None);
    };
    let algorithm = first.algorithm;
    let mut search = Search::new(&case, algorithm, claimed.len());
    let mut same = claimed.iter().filter(|claim| claim.algorithm == algorithm);
    let found = same.find_map(|claim| Some((search.run(&claim.header)?, claim.repaired.clone())));
    finding.tried = search.tried();
    let Some((found, repaired)) = found else {
        finding.outcome = DiagnosisOutcome::NotFound;
        finding.causes = claimed.into_iter().filter_map(|claim| claim.repaired).collect();
        finding.hints = hints::not_found(&case);
        return (finding, None);
    };
    finding.causes = repaired.into_iter().chain(found.causes).collect();
    if finding.causes.is_empty() {
        finding.outcome = DiagnosisOutcome::Good;
        finding.hints = hints::good(&case);
    }
    finding.key = Some(found.key);
    finding.signed_url = Some(shown_url(&found.url));
    (finding, found.owner)
}
