//! The store in a PostgreSQL database, for any number of receivers.
//!
//! Each command is one transaction (`transaction`): it takes advisory locks (`locks`), loads the rows that `engine` reads
//! (`cache`, `load`), and writes the rows that it changes (`write`). Counters are rows too (`tally`). No rule, time window or
//! limit stands in SQL.

mod cache;
mod error;
mod keys;
mod load;
mod locks;
mod options;
mod own_schema;
mod pages;
mod recount;
mod schema;
mod store;
mod tally;
mod transaction;
mod write;

pub use options::PostgresOptions;
pub use own_schema::OwnSchema;
pub use recount::{Recount, WrongCounter};
pub use store::{PostgresOpenError, PostgresStore};
