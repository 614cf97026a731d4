//! Looks at Rust source without parsing it: which bytes are code, which are comments, which code is
//! only compiled for tests, and the paths the code names.
//!
//! A parser would be exact but is a dependency of half a minute; rustfmt has already made the text
//! regular, and every check built on this says what it is blind to.

mod lex;
mod paths;

pub(crate) use lex::Source;
pub(crate) use paths::{Token, paths_after, tokens};

/// Whether a file is compiled for tests or benches only, judged by its path.
pub(crate) fn is_test_path(path: &str) -> bool {
    let is_tests_file = path.ends_with("/tests.rs");
    is_tests_file || path.split('/').any(|part| matches!(part, "tests" | "benches" | "fuzz"))
}

/// Name of the package folder (`crates/hst`, `xtask`) and the rest of the path, for a file under
/// `src` of a workspace package.
pub(crate) fn package_source(path: &str) -> Option<(&str, &str)> {
    let (package, rest) = path.split_once("/src/")?;
    let is_package = package == "xtask"
        || package.strip_prefix("crates/").is_some_and(|name| !name.contains('/'));
    is_package.then_some((package, rest))
}
