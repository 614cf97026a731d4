//! The spanwise binary.
fn main() {}
