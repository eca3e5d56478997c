//! Everything that is tested from the outside, in one binary so that it links once.

mod disk;
mod harness;
mod http;
mod process;
mod upstream;
mod upstream_wire;
mod vectors;
mod weather;
mod worker;
