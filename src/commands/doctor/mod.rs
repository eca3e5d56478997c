//! `doctor`: what is wrong, and what to do about it, for whoever is woken by it.
//!
//! [`offline`] reads a recorded request that was refused and says how it *was* signed; [`live`] looks
//! at a service's surroundings without changing any of them; [`watch`] reads requests as a service refuses them.
//! None of them ever shows a secret, a signature, a phone number or any other value of a request.

pub mod live;
pub mod offline;
pub mod watch;
