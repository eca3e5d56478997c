//! Send through: the app creates a message here, as at Twilio's API, and the message is registered from Twilio's answer.
//!
//! A request goes on once, and never a second time: Twilio has no idempotency key for messages. The work is a task of its own
//! on the service's runtime, so that neither a client that hangs up nor a stop of the listener loses a registration.
//! Deliberately absent: the client of Twilio's API, which `serve` passes in as [`MessageCreator`](crate::inbound::send::sends::MessageCreator).

mod answer;
pub mod credentials;
mod handler;
mod log;
pub mod lost;
mod register;
pub mod sends;

pub(super) use crate::inbound::send::handler::send;
