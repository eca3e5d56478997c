//! The client of Twilio's API: one feedback in, one [`Verdict`](crate::domain::feedback::Verdict) out. `send.rs` passes on
//! an app's own request to create a message.
//!
//! It sends exactly the request of docs/design.md, "Posting to Twilio", and only a complete 2xx is `Done`. Deliberately
//! absent: retries, waits and rate limits (the worker and the store have them), redirects, proxies from the environment
//! (so that credentials go to one host only) and HTTP/2.

mod accounts;
mod answer;
mod body;
mod client;
mod probe;
mod send;

pub use crate::upstream::accounts::Upstreams;
pub use crate::upstream::client::{Credential, OnDate, Upstream, UpstreamConfig, UpstreamError};
pub use crate::upstream::probe::CredentialProbe;
