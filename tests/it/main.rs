//! Everything that is tested from the outside, in one binary so that it links once.

mod contract;
mod given;
mod sled_store;
mod vectors;
