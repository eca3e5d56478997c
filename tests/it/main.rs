//! Everything that is tested from the outside, in one binary so that it links once.

// `cfg(test)` says to clippy that what helps tests may unwrap, index and panic as they may.
#[cfg(test)]
mod book;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod given;
#[cfg(test)]
mod laws;
#[cfg(test)]
mod matching;
#[cfg(test)]
mod sled_store;
mod upstream;
mod upstream_wire;
mod vectors;
mod worker;
