//! What operators see: logs, metrics, traces and readiness. Told by everyone, asks nobody.
//!
//! No global statics here (the tracing subscriber, which is one by nature, aside): whoever counts
//! is handed what to count with.

mod collector;
pub mod history;
mod labels;
pub mod logs;
pub mod metrics;
pub mod readiness;
pub mod signature_tally;
pub mod store_gauges;
pub mod totals;
pub mod traces;
