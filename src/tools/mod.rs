//! The commands beside `serve`: small things for the person at the terminal.
//!
//! Each returns the text for stdout, so that a test can read it; printing is the caller's.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod sign;
