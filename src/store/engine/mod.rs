//! The decisions that all backends share: which rows a command needs, and which rows it changes.
//!
//! Each function reads rows through a [`Backend`], decides by the rules of [`crate::domain::matching`], and applies one
//! [`Mutation`]. Keys, encodings, SQL, threads and syncs belong to the backends.

mod backend;
mod claim;
mod compare;
mod erase;
mod evict;
mod evidence;
mod hold;
mod import;
mod limits;
mod list;
mod loader;
mod mutation;
mod parked_rows;
mod row;
mod settle;
mod sweep;

pub use backend::{
    AccountUse, Backend, DueKind, EngineConfig, EngineResult, RecipientKey, SpaceFor,
};
pub use claim::{claim, next_due};
pub use compare::compare;
pub use erase::{PersonalRow, erase, personal_row};
pub use evidence::{keep_link, observe, reconsider, remember};
pub use hold::{hold, resume};
pub use import::{import, imported_evidence};
pub use list::{list_entry, live_link};
pub use loader::MAX_RELATED;
pub use mutation::{Change, Mutation};
pub use parked_rows::ParkedRows;
pub use row::StoredRow;
pub use settle::{release_interrupted, requeue, settle};
pub use sweep::sweep;
