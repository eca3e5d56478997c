//! Forwarding: passes a verified webhook of Twilio's on to the app's own URL, and returns the app's answer.
//!
//! The URL comes from the settings, never from a request. Its address is checked when it is resolved and used, so no name
//! can lead into a private network later. Deliberately absent: retries (Twilio repeats a webhook), redirects, proxies,
//! decompression, and the store.

mod answer;
mod client;
mod forwarder;
mod headers;
mod order;
mod resolver;

pub use answer::AppAnswer;
pub use forwarder::{
    AppRequest, Failed, ForwardConfig, ForwardError, ForwardTarget, Forwarder, Limits,
    VIA_HEARDBACK,
};
pub use headers::goes_along;
pub use order::PersonKey;
