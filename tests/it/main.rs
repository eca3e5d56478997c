//! All integration tests in one binary, so that it is linked once.

#![expect(clippy::disallowed_methods, reason = "tests use the real clock and real randomness")]

// With `cfg(test)` clippy permits the helpers of tests to unwrap, index and panic.
#[cfg(test)]
mod abuse;
mod backup;
#[cfg(test)]
mod causes;
#[cfg(test)]
mod chromium;
#[cfg(test)]
mod churn;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod damage;
#[cfg(test)]
mod deferred;
#[cfg(test)]
mod deploy;
mod disk;
#[cfg(test)]
mod displaced;
mod doctor;
mod dry_run;
#[cfg(test)]
mod event_budget;
mod eviction;
#[cfg(test)]
mod examples;
mod false_confirmations;
#[cfg(test)]
mod findings;
#[cfg(test)]
mod fixtures;
mod forget;
#[cfg(test)]
mod format;
#[cfg(test)]
mod forward;
#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod given;
#[cfg(test)]
mod harness;
mod http;
#[cfg(test)]
mod identity;
mod laws;
#[cfg(test)]
mod links;
#[cfg(test)]
mod listen;
#[cfg(test)]
mod logs;
#[cfg(test)]
mod manual;
mod many_messages;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod official;
#[cfg(test)]
mod openapi;
#[cfg(test)]
mod operate;
#[cfg(test)]
mod ops;
#[cfg(test)]
mod order;
#[cfg(test)]
mod overview;
#[cfg(test)]
mod page;
#[cfg(test)]
mod parked;
#[cfg(test)]
mod placement;
#[cfg(test)]
mod postgres;
#[cfg(test)]
mod power;
#[cfg(test)]
mod privacy;
mod process;
#[cfg(test)]
mod readme;
#[cfg(test)]
mod reference_store;
mod reload;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod resends;
#[cfg(test)]
mod rolling;
#[cfg(test)]
mod send;
#[cfg(test)]
mod skip;
#[cfg(test)]
mod sled_store;
mod slow_clients;
#[cfg(test)]
#[expect(dead_code, reason = "each root uses a part of it")]
#[path = "../../sim/support/mod.rs"]
mod support;
#[cfg(test)]
mod tidy;
#[cfg(test)]
mod traces;
#[cfg(test)]
mod traffic;
#[cfg(test)]
mod transfer;
mod upstream;
#[cfg(test)]
mod upstream_probe;
mod upstream_wire;
mod vectors;
mod watch;
mod worker;
