//! The store in a PostgreSQL database, for any number of receivers.
//!
//! Each command is one transaction (`transaction`): it takes advisory locks (`locks`), loads the rows that `engine` reads
//! (`cache`, `load`), and writes the rows that it changes (`write`). Counters are rows too (`tally`). No rule, time window or
//! limit stands in SQL.

mod account_use;
mod accounts;
mod cache;
mod error;
mod keys;
mod load;
mod locks;
mod look;
mod metrics;
mod options;
mod pages;
mod schema;
mod store;
mod tally;
mod transaction;
mod write;

pub use options::PostgresOptions;
pub use store::{PostgresOpenError, PostgresStore};
