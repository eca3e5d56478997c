//! Code that the simulations and `tests/it` share: one HTTP client, one fake Twilio, one runner for the real binary.
//!
//! Each root includes this folder as `crate::support` and uses a part of it. Nothing here panics; `tests/it/harness`
//! adds the assertions.

pub(crate) mod fake_twilio;
pub(crate) mod http;
pub(crate) mod preload;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod store;
