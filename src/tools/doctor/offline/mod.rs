//! The offline diagnosis: how was this request signed, if not as we expect?
//!
//! A bounded search around the signature that the request carries: keys, spellings of the URL and
//! readings of the body, first one deviation, then two and three at once, at most [`MOST_SIGNATURES`]
//! signatures. A match is a proof, not a guess: nobody hits 160 bits by chance. It verifies with
//! `domain::signature` and nothing else. Where nothing matches, `hints` says what to look at first.

#[cfg(test)]
mod body_tests;
mod case;
mod contents;
mod damage;
mod files;
mod finding;
mod header;
mod hints;
#[cfg(test)]
mod key_tests;
mod keys;
mod proof;
mod search;
mod targets;
#[cfg(test)]
mod tests;
mod urls;
mod values;
mod vouched;

pub use crate::tools::doctor::offline::files::{Diagnosed, files};
pub(in crate::tools) use crate::tools::doctor::offline::finding::shown_url;
pub use crate::tools::doctor::offline::finding::{Deviation, Finding, Outcome, Tried};
pub(in crate::tools) use crate::tools::doctor::offline::proof::prove;

use crate::config::Settings;
use crate::domain::signature::Algorithm;
use crate::recording::Recording;
use crate::tools::doctor::offline::case::Case;
use crate::tools::doctor::offline::search::{Found, Search};

/// The most signatures that are computed for one request, each URL counted with and without the
/// default port; a query with apostrophes costs a few times as much. A second or two at the worst.
pub const MOST_SIGNATURES: usize = 50_000;

/// Says how the request was signed.
#[must_use]
pub fn diagnose(settings: &Settings, recording: &Recording) -> Finding {
    let case = Case::new(recording);
    if let Some(nearest) = case.nearest_route() {
        return Finding::plain(no_route(nearest));
    }
    if case.is_hashed() {
        return Finding::plain(header::not_kept(&case));
    }
    let claimed = match header::claimed(recording) {
        Ok(claimed) => claimed,
        Err(why_not) => return Finding::plain(why_not),
    };
    let algorithm = claimed.first().map_or(Algorithm::HmacSha1, |claim| claim.algorithm);
    let mut search = Search::new(settings, &case, algorithm, claimed.len());
    for claim in claimed.iter().filter(|claim| claim.algorithm == algorithm) {
        if let Some(found) = search.run(&claim.header) {
            return told(settings, &case, found, claim.repaired.clone(), search.tried());
        }
    }
    Finding {
        outcome: Outcome::NotFound,
        causes: claimed.into_iter().filter_map(|claim| claim.repaired).collect(),
        key: None,
        signed_url: None,
        hints: hints::not_found(settings, &case),
        tried: search.tried(),
    }
}

fn no_route(nearest: &str) -> Deviation {
    Deviation::new(
        "no_route",
        format!("There is no such route: it was answered 404. The nearest route is {nearest}."),
        format!("Correct the URL at Twilio or in the app, so that its path ends with {nearest}."),
    )
}

fn told(
    settings: &Settings,
    case: &Case<'_>,
    found: Found,
    repaired: Option<Deviation>,
    tried: Tried,
) -> Finding {
    let mut causes: Vec<Deviation> = repaired.into_iter().collect();
    causes.extend(found.deviations);
    let outcome = if causes.is_empty() { Outcome::Good } else { Outcome::Found };
    let hints = if causes.is_empty() { hints::good(settings, case) } else { Vec::new() };
    Finding {
        outcome,
        causes,
        key: Some(found.key),
        signed_url: Some(finding::shown_url(&found.url)),
        hints,
        tried,
    }
}
