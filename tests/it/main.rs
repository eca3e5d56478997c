//! Everything that is tested from the outside, in one binary so that it links once.

mod book;
mod contract;
mod given;
mod matching;
mod sled_store;
mod vectors;
