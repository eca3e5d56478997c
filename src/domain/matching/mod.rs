//! Matching: which message a piece of evidence proves.
//!
//! Every backend uses these rules. A store loads the rows that a command [affects](AffectedKeys), calls [`remember`] or
//! [`observe`], and writes the [`Changes`]. docs/design.md, "Matching", has the rules; each function names its own.

mod apply_update;
mod arrival;
mod automatic;
mod candidates;
mod decide;
mod import;
mod load;
mod outcome;
mod parking;
mod people;
mod policy;
mod rows;
mod select;
mod sender;
mod settle;
mod typed_code;
mod working_rows;

pub use automatic::AutomaticSpan;
pub use decide::{observe, reconsider, remember};
pub use import::{imported, imported_parked, merge, merge_link, merge_parked};
pub use load::gather;
pub use outcome::{Contradiction, ObserveOutcome, RegisterOutcome};
pub use people::People;
pub use policy::{
    AUTOMATIC_FOR, AUTOMATIC_WITHIN, CLOCK_SKEW, DEFAULT_MAX_PARKED, EvictionRank, MAX_PARKED, Now,
    Policy, REFERENCE_FRESH_FOR, Resend, UNSAID_FOR, UNTRACKED_FOR,
};
pub use rows::{AffectedKeys, Changes, Newest, RowSource, Rows, WaitsFor};

pub use crate::domain::code::TypedCode;
pub use crate::domain::evidence::{
    INFERRED_PARKED_FOR, Parked, ParkedKind, REGISTERED_WITHIN, Reason,
};
pub use crate::domain::timestamp_serde::{earlier, later};
