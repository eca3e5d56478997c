//! The diagnosis of one recorded request: rejected before a search, matched by the search, or not found.
//!
//! It also proves a sender: `replay` signs a recording again only if a configured key signed it.

use crate::commands::doctor::offline::case::Case;
use crate::commands::doctor::offline::causes::{CAUSES, Transform};
use crate::commands::doctor::offline::finding::{Diagnosis, DiagnosisOutcome, Tried, shown_url};
use crate::commands::doctor::offline::hints;
use crate::commands::doctor::offline::search::{self, claimed};
use crate::config::Settings;
use crate::domain::sid::AccountSid;
use crate::recording::Recording;

/// The causes that leave signer and content beyond doubt: another origin or prefix, another spelling of the header.
/// Absent: keys that the route rejects, and every change to parameters, body or query.
const HARMLESS: &str = "scheme_http scheme_https host port no_port prefix_added prefix_dropped slash_added \
                        slash_dropped double_slash fragment second_header quoted percent_encoded plus_lost \
                        url_safe_base64 padding_lost hexadecimal settings_header_missing \
                        settings_header_other algorithm";

/// A signature by a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SignerProof {
    /// The only account that the key speaks for, if it is one account's.
    pub(crate) owner: Option<AccountSid>,
}

pub fn diagnose(settings: &Settings, recording: &Recording) -> Diagnosis {
    diagnose_with_owner(settings, recording).0
}

/// Proves that a key that the route accepts signed the whole content of the recording.
pub(crate) fn prove(settings: &Settings, recording: &Recording) -> Option<SignerProof> {
    let (diagnosis, owner) = diagnose_with_owner(settings, recording);
    let is_harmless = |id| HARMLESS.split(' ').any(|harmless| harmless == id);
    let is_proof = diagnosis.is_found()
        && diagnosis.key.is_some()
        && diagnosis.causes.iter().all(|cause| is_harmless(cause.id));
    is_proof.then_some(SignerProof { owner })
}

fn diagnose_with_owner(
    settings: &Settings,
    recording: &Recording,
) -> (Diagnosis, Option<AccountSid>) {
    let case = Case::new(settings, recording);
    let mut diagnosis = Diagnosis {
        outcome: DiagnosisOutcome::Found,
        causes: Vec::new(),
        key: None,
        signed_url: None,
        hints: Vec::new(),
        tried: Tried::default(),
    };
    let claimed = claimed(&case);
    if claimed.is_empty() {
        diagnosis.causes.extend(CAUSES.iter().find_map(|cause| {
            let Transform::Unverifiable(detail) = cause.transform else { return None };
            Some(cause.deviation(&detail(&case)?))
        }));
        return (diagnosis, None);
    }
    let (found, tried) = search::run(&case, &claimed);
    diagnosis.tried = tried;
    let Some(found) = found else {
        diagnosis.outcome = DiagnosisOutcome::NotFound;
        diagnosis.causes = claimed.into_iter().filter_map(|claim| claim.repaired).collect();
        diagnosis.hints = hints::not_found(&case);
        return (diagnosis, None);
    };
    if found.causes.is_empty() {
        diagnosis.outcome = DiagnosisOutcome::Good;
        diagnosis.hints = hints::good(&case);
    }
    diagnosis.causes = found.causes;
    diagnosis.key = Some(found.key);
    diagnosis.signed_url = Some(shown_url(&found.url));
    (diagnosis, found.owner)
}
