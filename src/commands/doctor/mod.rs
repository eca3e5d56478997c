//! `doctor`: diagnoses rejected requests and the surroundings of a service, and says what to do.
//!
//! [`offline`] reads recorded requests, [`watch`] receives them from a running service, [`live`] checks the surroundings.
//! None of them shows a secret, a signature, a phone number or any other value of a request.

pub mod live;
pub mod offline;
pub mod watch;
