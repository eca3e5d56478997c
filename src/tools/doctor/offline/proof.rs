//! Who vouches for a recording: a key of the settings that its route takes, by a signature over all that it says.
//!
//! A diagnosis names what *may* have happened, and that is not enough to sign for somebody. So of all deviations
//! only those are let through here that leave both the signer and what was said beyond doubt: where the sender
//! thought that it was sending, and how the header was spelled. Deliberately absent: a key that this route does
//! not take, another account's, one that is no secret, and whatever was added, lost or altered on the way.

use crate::config::Settings;
use crate::domain::sid::AccountSid;
use crate::domain::signature::Algorithm;
use crate::recording::Recording;
use crate::tools::doctor::offline::case::Case;
use crate::tools::doctor::offline::header;
use crate::tools::doctor::offline::search::Search;

/// By their ids: the URL's origin and prefix, the signature's spelling, which header selected the key.
const HARMLESS: [&str; 21] = [
    "scheme_http",
    "scheme_https",
    "host",
    "port",
    "no_port",
    "prefix_added",
    "prefix_dropped",
    "slash_added",
    "slash_dropped",
    "double_slash",
    "fragment",
    "second_header",
    "quoted",
    "percent_encoded",
    "plus_lost",
    "url_safe_base64",
    "padding_lost",
    "hexadecimal",
    "settings_header_missing",
    "settings_header_other",
    "algorithm",
];

/// A signature of somebody who has a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::tools) struct Proof {
    /// The only account that the key speaks for, if it is one account's.
    pub(in crate::tools) owner: Option<AccountSid>,
}

/// `None`: it may be anybody's.
pub(in crate::tools) fn prove(settings: &Settings, recording: &Recording) -> Option<Proof> {
    let case = Case::new(recording);
    if case.is_hashed() {
        return None;
    }
    let claimed = header::claimed(recording).ok()?;
    let algorithm = claimed.first().map_or(Algorithm::HmacSha1, |claim| claim.algorithm);
    let mut search = Search::new(settings, &case, algorithm, claimed.len());
    claimed.iter().filter(|claim| claim.algorithm == algorithm).find_map(|claim| {
        let found = search.run(&claim.header)?;
        let mut deviations = found.deviations.iter().chain(&claim.repaired);
        let is_proof = deviations.all(|deviation| HARMLESS.contains(&deviation.id));
        is_proof.then_some(Proof { owner: found.owner })
    })
}
