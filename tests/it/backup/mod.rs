//! Backups: each has every acknowledged record, a damaged one is refused, and no request waits for
//! one.

#[cfg(test)]
pub(crate) mod binary;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod store;
