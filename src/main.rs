//! Start: parse the command line, dispatch, turn the outcome into an exit code.

fn main() {}
