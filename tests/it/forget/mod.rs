//! Erasure of persons: their records are removed, the records of others stay, and the removal lets
//! no evidence prove more than before.

#[cfg(test)]
mod command;
#[cfg(test)]
mod store;
