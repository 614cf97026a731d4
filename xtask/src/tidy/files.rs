//! Checks of single files: `shape` (opens with what it is for, no `mod.rs`), `length`, `marker`
//! (work left open in comments), `blank` (tabs, trailing blanks, end of file), `size`.

use crate::fault::Fault;
use crate::tree::{RustFile, Tree, has_extension, is_data, is_generated};

/// Lines at which a source asks why it is one file.
const LINES_MAX: usize = 800;
/// Lines of a `lib.rs`: documentation, modules in reading order, re-exports.
const LIB_LINES_MAX: usize = 80;
/// Bytes of a file outside the data folders. The lock file is cargo's.
const BYTES_MAX: u64 = 256 * 1024;
/// Words for work left open; split so that this file does not carry them.
const MARKERS: [&str; 2] = [concat!("FIX", "ME"), concat!("TO", "DO")];
/// Kinds of files whose comments are searched for markers; documents may name the words.
const COMMENTED: [&str; 8] = ["py", "sh", "toml", "yaml", "yml", "js", "proto", "mjs"];

/// Runs the checks.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, file) in tree.files() {
        let is_exempt = is_data(path) || path == "Cargo.lock";
        if file.size_bytes > BYTES_MAX && !is_exempt {
            let kib = file.size_bytes / 1024;
            faults.push(Fault::new(
                "size",
                path,
                1,
                format!("{kib} KiB: data belongs in a data folder"),
            ));
        }
    }
    for (path, text) in tree.texts().filter(|(_, text)| !is_generated(text)) {
        check_blanks(path, text, &mut faults);
        if COMMENTED.iter().any(|extension| has_extension(path, extension)) {
            check_markers(path, text, &mut faults);
        }
    }
    for RustFile { path, text, source } in tree.rust_files() {
        check_shape(path, text, &mut faults);
        check_length(path, text, &mut faults);
        check_markers(path, &source.comments, &mut faults);
    }
    faults
}

fn check_shape(path: &str, text: &str, faults: &mut Vec<Fault>) {
    if path.ends_with("/mod.rs") {
        let message = "a module's file is named after it, not mod.rs";
        faults.push(Fault::new("shape", path, 1, message));
    }
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    // `foo/tests.rs` is told by its name and place.
    let says_why = first.starts_with("//!")
        || first.starts_with("#![doc = include_str!(")
        || path.ends_with("/tests.rs");
    if !says_why {
        let message = "a file opens with `//!`: what it does, why this way, what it does not do";
        faults.push(Fault::new("shape", path, 1, message));
    }
}

fn check_length(path: &str, text: &str, faults: &mut Vec<Fault>) {
    let n_lines = text.lines().count();
    let is_lib = path.starts_with("crates/") && path.ends_with("/src/lib.rs");
    let n_max = if is_lib { LIB_LINES_MAX } else { LINES_MAX };
    if n_lines > n_max {
        let message = format!("{n_lines} lines, at most {n_max}: which idea moves out?");
        faults.push(Fault { weight: n_lines, ..Fault::new("length", path, n_lines, message) });
    }
}

fn check_markers(path: &str, comments: &str, faults: &mut Vec<Fault>) {
    for (idx, line) in comments.lines().enumerate() {
        for marker in MARKERS {
            let Some(at) = line.find(marker) else { continue };
            let refers = line[at + marker.len()..].starts_with("(#");
            if !refers {
                let message =
                    format!("{marker}: finish it, or write it down in the limits of the README");
                faults.push(Fault::new("marker", path, idx + 1, message));
            }
        }
    }
}

fn check_blanks(path: &str, text: &str, faults: &mut Vec<Fault>) {
    let mut fault = |line, message| faults.push(Fault::new("blank", path, line, message));
    for (idx, line) in text.lines().enumerate() {
        if line.contains('\t') {
            fault(idx + 1, "tab");
        }
        if line.ends_with([' ', '\t', '\r']) {
            fault(idx + 1, "blank at the end of the line");
        }
    }
    if !text.is_empty() && !text.ends_with('\n') {
        fault(text.lines().count(), "no newline at the end of the file");
    }
    if text.ends_with("\n\n") {
        fault(text.lines().count(), "empty line at the end of the file");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str, expected: &[&str]) {
        let found: Vec<String> = check(&Tree::of(&[(path, text)]))
            .iter()
            .map(|fault| format!("{} {}", fault.line, fault.check))
            .collect();
        assert_eq!(found, expected, "{path}");
    }

    #[test]
    fn a_source_opens_with_what_it_is_for() {
        check_file("crates/x/src/a.rs", "//! Does a.\n", &[]);
        check_file("crates/x/src/lib.rs", "#![doc = include_str!(\"../README.md\")]\n", &[]);
        check_file("crates/x/src/a/tests.rs", "use super::*;\n", &[]);
        check_file("crates/x/src/a.rs", "use b;\n", &["1 shape"]);
        check_file("crates/x/src/a/mod.rs", "//! Does a.\n", &["1 shape"]);
        check_file("crates/x/src/a.rs", "// This file is @generated by x.\nuse b;\n", &[]);
    }

    #[test]
    fn long_files_weigh_their_lines() {
        let text = |n: usize| format!("//! a\n{}", "x\n".repeat(n - 1));
        check_file("crates/x/src/a.rs", &text(800), &[]);
        check_file("crates/x/src/a.rs", &text(801), &["801 length"]);
        check_file("crates/x/src/lib.rs", &text(81), &["81 length"]);
        let tree = Tree::of(&[("a.rs", &text(801))]);
        assert_eq!(check(&tree)[0].weight, 801);
    }

    #[test]
    fn open_work_in_comments_is_a_fault_unless_it_says_where_it_is_kept() {
        let marker = MARKERS[1];
        check_file("a.rs", &format!("//! a\nf(); // {marker}: more\n"), &["2 marker"]);
        check_file("a.rs", &format!("//! a\n// {marker}(#12): more\n"), &[]);
        check_file("a.rs", &format!("//! a\nf(\"{marker}\");\n"), &[]);
        check_file("a.py", &format!("# {marker}\n"), &["1 marker"]);
        check_file("a.md", &format!("no {marker}\n"), &[]);
    }

    #[test]
    fn blanks_are_found_in_every_text_but_data() {
        check_file("a.md", "a\tb\nc \n", &["1 blank", "2 blank"]);
        check_file("a.md", "a", &["1 blank"]);
        check_file("a.md", "a\n\n", &["2 blank"]);
        check_file("crates/x/tests/data/a.json", "a \t", &[]);
    }

    #[test]
    fn large_files_belong_in_data_folders() {
        let large = "x\n".repeat(200_000);
        check_file("docs/a.svg", &large, &["1 size"]);
        check_file("crates/app/data/a.json", &large, &[]);
        check_file("Cargo.lock", &large, &[]);
    }
}
