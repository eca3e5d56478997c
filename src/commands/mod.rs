//! The commands beside `serve`: small things for the person at the terminal.
//!
//! Each returns the text for stdout, so that a test can read it; printing is the caller's.

mod atomic_file;
pub mod backup;
pub mod check;
mod clock;
mod control;
mod csv_import;
pub mod demo;
pub mod dispatch;
pub mod doctor;
mod export;
mod export_format;
mod forget;
pub mod health;
mod hold;
mod import;
mod list;
pub mod manual;
pub mod pipe_tolerant_stdout;
mod progress;
mod recorded;
pub mod replay;
mod requeue;
pub mod restore;
mod show;
pub mod sign;
mod stats;
pub mod store_access;
mod table;
pub mod verify_store;
