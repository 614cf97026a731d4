//! Builders and fakes for the tests of the other crates.
