//! One handler for each signed route. `routes.rs` binds them.

pub(super) mod app;
pub(super) mod calls;
pub(super) mod clicks;
pub(super) mod event_streams;
pub(super) mod messages;
mod observe;
