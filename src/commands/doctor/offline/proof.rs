//! Whether a key of the settings that the route accepts signed everything that a recording says.
//!
//! A diagnosis names a possible cause, which does not justify a new signature for the sender. Only those causes pass that
//! leave the signer and the content beyond doubt: the address of the receiver, and the spelling of the header.
//! Deliberately absent: a key that this route does not accept, another account's, one that is no secret, and any
//! parameter, body or query that was added, lost or altered on the way.

use crate::commands::doctor::offline::diagnosis::search;
use crate::commands::doctor::offline::finding::DiagnosisOutcome;
use crate::config::Settings;
use crate::domain::sid::AccountSid;
use crate::recording::Recording;

/// By their ids: the URL's origin and prefix, the signature's spelling, the header that selects the key.
const HARMLESS: &str = "scheme_http scheme_https host port no_port prefix_added prefix_dropped slash_added \
                        slash_dropped double_slash fragment second_header quoted percent_encoded plus_lost \
                        url_safe_base64 padding_lost hexadecimal settings_header_missing \
                        settings_header_other algorithm";

/// A signature by a known key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The only account that the key speaks for, if it is one account's.
    pub(crate) owner: Option<AccountSid>,
}

/// `None`: the sender is unknown.
pub(crate) fn prove(settings: &Settings, recording: &Recording) -> Option<Proof> {
    let (finding, owner) = search(settings, recording);
    let is_harmless = |id| HARMLESS.split(' ').any(|harmless| harmless == id);
    let is_proof = match finding.outcome {
        DiagnosisOutcome::Good | DiagnosisOutcome::Found => finding.key.is_some(),
        DiagnosisOutcome::NotFound => false,
    };
    let is_proof = is_proof && finding.causes.iter().all(|cause| is_harmless(cause.id));
    is_proof.then_some(Proof { owner })
}
