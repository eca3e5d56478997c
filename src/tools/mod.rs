//! The commands beside `serve`: each turns its arguments into text, and the caller prints it.

pub mod check;
