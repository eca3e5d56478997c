//! Backups: what was acknowledged is in them, what is not whole is no backup, and nobody waits for one.

#[cfg(test)]
pub(crate) mod binary;
#[cfg(test)]
mod owner;
#[cfg(test)]
mod store;
