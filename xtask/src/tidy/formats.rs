//! Check `formats`: each format version has a page and, from 1 up to the version in force, a stored
//! file that must still open.
//!
//! A version is an integer constant `<WHAT>_VERSION` in production code of a crate. Its page is a
//! file under `docs/formats/` that names the constant and the crate's folder; its files lie under
//! the crate's `tests/` and have `<what>` and `v<N>` in their name, in lower case.

use crate::fault::Fault;
use crate::rust::{Token, package_source, tokens};
use crate::tree::{RustFile, Tree};

const CHECK: &str = "formats";
const PAGES: &str = "docs/formats/";
const SUFFIX: &str = "_VERSION";
const INTEGERS: [&str; 4] = ["u8", "u16", "u32", "u64"];

/// A format version found in the sources.
#[derive(Debug, PartialEq, Eq)]
struct Version<'a> {
    constant: &'a str,
    value: u64,
    line: usize,
}

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for RustFile { path, text, source } in tree.rust_files() {
        let Some((package, _)) = package_source(path) else { continue };
        if !text.contains(SUFFIX) {
            continue;
        }
        for version in versions(&tokens(source.production())) {
            check_version(tree, package, path, &version, &mut faults);
        }
    }
    faults
}

/// `const A_VERSION: u16 = 3;` and nothing else.
fn versions<'a>(tokens: &[Token<'a>]) -> Vec<Version<'a>> {
    let mut found = Vec::new();
    for window in tokens.windows(6) {
        let [keyword, name, colon, kind, equals, value] = window else { continue };
        let is_version = keyword.text == "const"
            && name.text.ends_with(SUFFIX)
            && colon.text == ":"
            && INTEGERS.contains(&kind.text)
            && equals.text == "=";
        if let (true, Ok(value)) = (is_version, value.text.parse()) {
            found.push(Version { constant: name.text, value, line: name.line });
        }
    }
    found
}

fn check_version(
    tree: &Tree,
    package: &str,
    path: &str,
    version: &Version<'_>,
    faults: &mut Vec<Fault>,
) {
    let constant = version.constant;
    let mut fault = |message| faults.push(Fault::new(CHECK, path, version.line, message));
    let has_page = tree.under(PAGES).any(|page| {
        let text = tree.text(page).unwrap_or_default();
        text.contains(constant) && text.contains(package)
    });
    if !has_page {
        fault(format!("no page under {PAGES} names `{constant}` and {package}"));
    }
    let what = constant.trim_end_matches(SUFFIX).to_lowercase();
    let tests = format!("{package}/tests/");
    for number in 1..=version.value {
        let has_file = tree.under(&tests).any(|file| {
            let name = file.rsplit('/').next().unwrap_or_default().to_lowercase();
            name.contains(&what) && has_number(&name, number)
        });
        if !has_file {
            fault(format!("no stored file `{what}*v{number}*` under {tests}"));
        }
    }
}

/// Whether `v<number>` stands in the name with no further digit behind it.
fn has_number(name: &str, number: u64) -> bool {
    let mark = format!("v{number}");
    name.match_indices(&mark)
        .any(|(at, _)| !name[at + mark.len()..].starts_with(|c: char| c.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tree(source: &str, others: &[(&str, &str)], expected: &[&str]) {
        let mut files = vec![("crates/hst/src/snapshot.rs", source)];
        files.extend_from_slice(others);
        let found: Vec<String> =
            check(&Tree::of(&files)).into_iter().map(|fault| fault.message).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_version_needs_its_page_and_every_file_up_to_it() {
        let source = "const SNAPSHOT_VERSION: u16 = 2;";
        let page = ("docs/formats/hst.md", "`SNAPSHOT_VERSION` of crates/hst\n");
        let first = ("crates/hst/tests/data/snapshot_v1.bin", "");
        let second = ("crates/hst/tests/data/snapshot_v2.bin", "");
        check_tree(source, &[page, first, second], &[]);
        check_tree(
            source,
            &[first, ("crates/hst/tests/data/snapshot_v20.bin", "")],
            &[
                "no page under docs/formats/ names `SNAPSHOT_VERSION` and crates/hst",
                "no stored file `snapshot*v2*` under crates/hst/tests/",
            ],
        );
    }

    #[test]
    fn other_constants_are_no_format_versions() {
        check_tree("const API_VERSION: &str = \"1\";\nconst VERSIONS: u8 = 1;", &[], &[]);
        check_tree("#[cfg(test)]\nmod tests { const A_VERSION: u8 = 1; }", &[], &[]);
    }
}
