//! HTTP in: the public routes, the operator's listener beside them, and the control socket.
//!
//! A handler reads a body only through `Signed` (`signed.rs`). Click links (`links/`) are not signed, and their body
//! is discarded. Deliberately absent: `Host`, `X-Forwarded-*` and `upstream`, so a slow Twilio cannot slow a webhook.

pub mod board;
mod body;
pub mod control;
mod decision_log;
pub mod deferred;
mod handlers;
pub mod keyring;
pub mod limits;
mod links;
mod middleware;
pub mod ops;
pub mod page;
mod receiver;
pub mod regions;
pub mod rejected_capture;
mod rejection;
mod rejection_response;
mod routes;
pub mod scrape;
pub mod signature_tally;
mod signed;
mod trace;
mod trends;
pub mod view;

pub use crate::inbound::receiver::Receiver;
pub use crate::inbound::routes::routes;
