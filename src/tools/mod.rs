//! The commands beside `serve`: small things for the person at the terminal.
//!
//! Each returns the text for stdout, so that a test can read it; printing is the caller's.

pub mod backup;
pub mod check;
mod control;
pub mod demo;
pub mod doctor;
pub mod forget;
pub mod restore;
pub mod sign;
pub mod verify_store;
