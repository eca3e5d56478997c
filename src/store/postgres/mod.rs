//! The store in a PostgreSQL database, for any number of receivers.
//!
//! Writers carry out the queued commands in groups (`queue`). Each group is one transaction (`transaction`): it takes advisory
//! locks (`locks`), loads the rows that `engine` reads (`cache`, `load`), and writes the rows that change (`write`). Counters
//! are rows too (`tally`). No rule, time window or limit stands in SQL.

mod account_use;
mod accounts;
mod cache;
mod claim;
mod connect;
mod diagnosis;
mod error;
mod hints;
mod inspect;
mod job;
mod kept;
mod keys;
mod load;
mod load_parts;
mod locks;
mod look;
mod metrics;
mod open_error;
mod options;
mod own_schema;
mod pages;
mod queries;
mod queue;
mod recount;
mod runtime;
mod schema;
mod store;
mod tally;
mod totals;
mod transaction;
mod upkeep;
mod write;

pub use inspect::{DatabaseFacts, SCHEMA_VERSION};
pub use open_error::PostgresOpenError;
pub use options::PostgresOptions;
pub use own_schema::OwnSchema;
pub use recount::{Recount, WrongCounter};
pub use store::PostgresStore;
