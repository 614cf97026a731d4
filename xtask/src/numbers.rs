//! `cargo xtask numbers`: where the code stands beside the figures of STYLE.md section 5.
//!
//! A compass, not a gate: a number that gets worse is a question for review. Counted over
//! hand-written sources; "code" is lines with code on them outside tests, comments left out.

mod count;

use std::collections::BTreeMap;
use std::io::{self, Write};

use crate::manifest::Manifest;
use crate::tidy::{cycles, layers};
use crate::tree::Tree;
use count::Counts;

/// Prints one line for each figure, then the size of each package.
pub(crate) fn print(tree: &Tree, out: &mut dyn Write) -> io::Result<()> {
    let mut total = Counts::default();
    let mut packages: BTreeMap<String, Counts> = BTreeMap::new();
    for file in tree.rust_files() {
        let is_within = |package: &&str| file.path.starts_with(&format!("{package}/"));
        let Some(package) = tree.packages().find(is_within) else { continue };
        let counts = Counts::of(&file);
        packages.entry(package.to_owned()).or_default().add(&counts);
        total.add(&counts);
    }
    print_shape(&total, out)?;
    print_structure(tree, &total, out)?;
    writeln!(out, "\n{:<20} {:>7} {:>7}", "package", "code", "tests")?;
    for (package, counts) in &packages {
        writeln!(out, "{package:<20} {:>7} {:>7}", counts.n_code, counts.n_tests)?;
    }
    writeln!(out, "{:<20} {:>7} {:>7}", "all", total.n_code, total.n_tests)
}

fn print_shape(total: &Counts, out: &mut dyn Write) -> io::Result<()> {
    let mut row =
        |name: &str, value: String, goal: &str| writeln!(out, "{name:<38} {value:<18} {goal}");
    let spread = |sizes: &[usize]| {
        let sizes = sorted(sizes);
        format!("{} / {} / {}", quantile(&sizes, 50), quantile(&sizes, 90), quantile(&sizes, 100))
    };
    row("file lines, median / p90 / max", spread(&total.file_lines), "150 / 400 / 800")?;
    row("function lines, median / p90 / max", spread(&total.fn_lines), "- / 30 / 70")?;
    let n_long = total.fn_lines.iter().filter(|lines| **lines > 70).count();
    row("functions over 70 lines", n_long.to_string(), "0")?;
    let documented = ratio(total.n_documented * 100, total.n_public);
    row("public items documented, %", format!("{documented:.1}"), ">= 95")?;
    let per_kloc = |n: usize| format!("{:.2}", ratio(n * 1000, total.n_code));
    row("unwrap and expect per kLOC", per_kloc(total.n_unwraps), "<= 0.5")?;
    row("asserts per kLOC", per_kloc(total.n_asserts), ">= 2")?;
    let tests = ratio(total.n_tests, total.n_code);
    row("test lines / code lines", format!("{tests:.2}"), "0.7 to 1.2")?;
    row("unsafe", total.n_unsafe.to_string(), "0")?;
    row("macro_rules!", total.n_macros.to_string(), "<= 5")
}

fn print_structure(tree: &Tree, total: &Counts, out: &mut dyn Write) -> io::Result<()> {
    let chain = layers::longest_chain(tree);
    let features: usize = tree
        .packages()
        .filter_map(|package| tree.text(&format!("{package}/Cargo.toml")))
        .map(|text| Manifest::parse(text).features().count())
        .sum();
    let shown = format!("{} ({})", chain.len(), chain.join(" -> "));
    writeln!(out, "{:<38} {:<18} <= 4", "longest chain of crates", shown)?;
    writeln!(out, "{:<38} {:<18} 0", "module cycles", cycles::check(tree).len())?;
    writeln!(out, "{:<38} {:<18} <= 10", "features", features)?;
    writeln!(out, "{:<38} {:<18}", "files", total.file_lines.len())
}

fn sorted(sizes: &[usize]) -> Vec<usize> {
    let mut sizes = sizes.to_vec();
    sizes.sort_unstable();
    sizes
}

/// The value at or above which `percent` of the sorted sizes lie at or below; 0 without any.
fn quantile(sorted: &[usize], percent: usize) -> usize {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_occur() {
        let sizes = sorted(&[5, 1, 4, 2, 3]);
        assert_eq!([0, 50, 90, 100].map(|percent| quantile(&sizes, percent)), [1, 3, 5, 5]);
        assert_eq!(quantile(&[], 50), 0);
    }

    #[test]
    fn figures_are_printed_with_their_goal_and_each_package_with_its_size() {
        let tree = Tree::of(&[
            ("crates/hst/Cargo.toml", "[features]\ndefault = []\na = []\n"),
            (
                "crates/hst/src/lib.rs",
                "//! Trees.\n\n/// One.\npub fn one() {\n    assert!(true);\n}\n",
            ),
            ("crates/hst/tests/it/main.rs", "//! Tests.\n#![cfg(test)]\nfn a() {}\n"),
        ]);
        let mut out = Vec::new();
        print(&tree, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        for expected in [
            "public items documented, %             100.0",
            "asserts per kLOC                       333.33",
            "features                               1",
            "crates/hst                 3       2",
        ] {
            assert!(text.contains(expected), "no `{expected}` in\n{text}");
        }
    }
}
