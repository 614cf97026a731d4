//! A build without the networks of the paper says what it lacks.

use spanwise_archive::{GanOptions, Options, compress};

#[test]
fn the_error_names_the_cargo_feature() {
    let options = Options { gan: Some(GanOptions::default()), ..Options::default() };
    let error = compress([], &options).unwrap_err().to_string();
    assert!(error.contains("the cargo feature `ctgan`"), "{error}");
}
