//! The offline diagnosis: how a rejected request was signed.
//!
//! A bounded search around the signature of a request: the rows of `causes` and pairs of them. A match is a proof,
//! because 160 bits do not match by chance. Only `twilio::signature` verifies. Without a match, `hints` lists checks.

mod body_hash;
mod case;
mod causes;
mod diagnosis;
mod files;
mod finding;
mod form;
mod hints;
mod keys;
mod search;
mod url;

pub use crate::commands::doctor::offline::diagnosis::diagnose;
pub(crate) use crate::commands::doctor::offline::diagnosis::prove;
pub(crate) use crate::commands::doctor::offline::files::files;
pub(crate) use crate::commands::doctor::offline::finding::shown_url;
pub use crate::commands::doctor::offline::finding::{Diagnosis, DiagnosisOutcome};
pub use crate::commands::doctor::offline::search::MAX_SIGNATURES;
