//! Click links of our own: creating one for the app, and the visit of a person.

pub(super) mod create;
pub(super) mod open;
mod page;
mod visit;

pub(super) use crate::inbound::links::page::headers;
