//! Logs, metrics, traces and readiness: the output for operators.
//!
//! Deliberately absent: globals, except for the tracing subscriber. Callers get the metrics as an argument.

pub mod clock;
mod collector;
pub mod forward_failures;
pub mod history;
pub mod lane_gauges;
pub mod logs;
pub mod metrics;
pub mod readiness;
pub mod signature_tally;
pub mod totals;
pub mod traces;
