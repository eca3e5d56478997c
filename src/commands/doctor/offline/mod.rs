//! The offline diagnosis: how a request was signed, if not as the receiver expects.
//!
//! A bounded search around the signature of the request: the rows of `causes` and pairs of them, at most
//! [`MOST_SIGNATURES`] signatures. A match is a proof, not a guess: 160 bits do not match by chance. It verifies with
//! `twilio::signature` and nothing else. Without a match, `hints` says what to look at first.

mod body_hash;
mod case;
mod causes;
mod diagnosis;
mod files;
mod finding;
mod form;
mod header;
mod hints;
mod keys;
mod proof;
mod search;
mod url;

pub use crate::commands::doctor::offline::diagnosis::diagnose;
pub use crate::commands::doctor::offline::files::{Diagnosed, files};
pub(crate) use crate::commands::doctor::offline::finding::shown_url;
pub use crate::commands::doctor::offline::finding::{
    Deviation, Diagnosis, DiagnosisOutcome, Tried,
};
pub(crate) use crate::commands::doctor::offline::proof::prove;
pub use crate::commands::doctor::offline::search::MOST_SIGNATURES;
