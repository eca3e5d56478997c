//! The public HTTP listener: signed routes and click links.
//!
//! A handler reads a body only through `Signed` (`signed.rs`). Click links (`links/`) are not signed, and their body
//! is discarded. Deliberately absent: `Host`, `X-Forwarded-*` and `upstream`, so a slow Twilio cannot slow a webhook.

mod authorized_send;
mod body;
mod decision_log;
pub mod deferred;
mod forward;
mod handlers;
pub mod keyring;
pub mod limits;
mod links;
mod middleware;
mod receiver;
pub mod regions;
pub mod rejected_capture;
mod rejection;
mod rejection_response;
mod route_label;
mod routes;
pub mod send;
mod signed;
mod trace;
mod view;
mod webhook;

pub use crate::inbound::receiver::Receiver;
pub use crate::inbound::routes::{routes, routes_with_send};
