//! Everything that is tested from the outside, in one binary so that it links once.

mod upstream;
mod upstream_wire;
mod vectors;
mod worker;
