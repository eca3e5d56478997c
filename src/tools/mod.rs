//! The commands beside `serve`: small things for the person at the terminal.
//!
//! Each returns the text for stdout, so that a test can read it; printing is the caller's.

pub mod backup;
pub mod check;
mod clock;
pub mod commands;
mod control;
pub mod demo;
pub mod doctor;
mod export;
mod forget;
pub mod health;
mod hold;
mod import;
mod ledger;
mod list;
pub mod manual;
mod part;
mod past;
mod progress;
pub mod reach;
mod recorded;
pub mod replay;
mod requeue;
pub mod restore;
mod show;
pub mod sign;
mod stats;
pub mod stdio;
mod table;
pub mod verify_store;
