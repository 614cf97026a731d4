//! Check `cycles`: inside a crate the top-level modules form no cycle. The compiler keeps crates
//! acyclic, nothing keeps modules so; two that need each other are one idea, or lack a third.
//!
//! Edges come from `crate::x` and `super` paths in production code, through the re-exports of the
//! root file. Blind to macros and to glob re-exports of the root.

use std::collections::{BTreeMap, BTreeSet};

use crate::fault::Fault;
use crate::rust::{Token, is_test_path, package_source, paths_after, tokens};
use crate::tree::{RustFile, Tree};

const CHECK: &str = "cycles";

/// Edges between the modules of one package, each with the place it was first seen.
type Edges = BTreeMap<String, BTreeMap<String, (String, usize)>>;

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    tree.packages().flat_map(|package| check_package(tree, package)).collect()
}

fn check_package(tree: &Tree, package: &str) -> Vec<Fault> {
    let edges = edges(tree, package);
    let mut faults = Vec::new();
    let mut reported: BTreeSet<String> = BTreeSet::new();
    for module in edges.keys() {
        if reported.contains(module) {
            continue;
        }
        let Some(cycle) = shortest_cycle(&edges, module) else { continue };
        let (path, line) = &edges[module][&cycle[1]];
        let shown = cycle.join(" -> ");
        reported.extend(cycle);
        faults.push(Fault::new(CHECK, path, *line, format!("modules form a cycle: {shown}")));
    }
    faults
}

fn edges(tree: &Tree, package: &str) -> Edges {
    let prefix = format!("{package}/src/");
    let sources: Vec<RustFile<'_>> = tree
        .rust_files()
        .filter(|file| file.path.starts_with(&prefix) && !is_test_path(file.path))
        .collect();
    let modules: BTreeSet<&str> =
        sources.iter().filter_map(|file| module_path(file.path)?.first().copied()).collect();
    let mut exports = BTreeMap::new();
    for file in &sources {
        if module_path(file.path).is_some_and(|module| module.is_empty()) {
            exports.extend(root_exports(file.source.production(), &modules));
        }
    }
    let mut edges = Edges::new();
    for RustFile { path, source, .. } in sources {
        let Some(from) = module_path(path).filter(|module| !module.is_empty()) else { continue };
        for (name, line) in names_from_root(&tokens(source.production()), &from) {
            let exported = || exports.get(name).map_or("", String::as_str);
            let to = if modules.contains(name) { name } else { exported() };
            if !to.is_empty() && to != from[0] {
                let targets = edges.entry(from[0].to_owned()).or_default();
                targets.entry(to.to_owned()).or_insert_with(|| (path.to_owned(), line));
            }
        }
    }
    edges
}

/// `[]` for the root files, else the module path of the file: `[cli, eval]` for `cli/eval.rs`.
fn module_path(path: &str) -> Option<Vec<&str>> {
    let (_, file) = package_source(path)?;
    let stem = file.strip_suffix(".rs")?;
    if matches!(stem, "lib" | "main") || stem.starts_with("bin/") {
        return Some(Vec::new());
    }
    Some(stem.split('/').collect())
}

/// Names that the root file re-exports from its modules, with the module.
fn root_exports(code: &str, modules: &BTreeSet<&str>) -> BTreeMap<String, String> {
    let tokens = tokens(code);
    let mut exports = BTreeMap::new();
    for (idx, token) in tokens.iter().enumerate() {
        let module = token.text;
        let follows_use = idx > 0 && matches!(tokens[idx - 1].text, "use" | "{" | ",");
        if !follows_use || !modules.contains(module) {
            continue;
        }
        for path in paths_after(&tokens, idx) {
            if let Some(&name) = path.last().filter(|name| **name != "*") {
                exports.insert(name.to_owned(), module.to_owned());
            }
        }
    }
    exports
}

/// First names below the crate's root of all `crate::` paths, and of those `super::` paths that
/// climb to the root.
fn names_from_root<'a>(tokens: &[Token<'a>], from: &[&str]) -> Vec<(&'a str, usize)> {
    let mut names = Vec::new();
    for (idx, token) in tokens.iter().enumerate() {
        let n_climbs = match token.text {
            "crate" => from.len(),
            "super" if idx == 0 || tokens[idx - 1].text != "::" => 1,
            _ => continue,
        };
        for path in paths_after(tokens, idx) {
            let n_more = path.iter().take_while(|name| **name == "super").count();
            let is_root = n_climbs + n_more == from.len();
            if let Some(&name) = path.get(n_more).filter(|_| is_root) {
                names.push((name, token.line));
            }
        }
    }
    names
}

/// The shortest way from a module back to itself, both ends included.
fn shortest_cycle(edges: &Edges, start: &str) -> Option<Vec<String>> {
    let mut ways: Vec<Vec<String>> = vec![vec![start.to_owned()]];
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let last = way.last()?;
            for next in edges.get(last).into_iter().flat_map(BTreeMap::keys) {
                let mut extended = way.clone();
                extended.push(next.clone());
                if next == start {
                    return Some(extended);
                }
                if seen.insert(next.clone()) {
                    longer.push(extended);
                }
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_sources(sources: &[(&str, &str)], expected: &[&str]) {
        let paths: Vec<String> =
            sources.iter().map(|(file, _)| format!("crates/x/src/{file}")).collect();
        let mut files: Vec<(&str, &str)> =
            paths.iter().map(String::as_str).zip(sources.iter().map(|(_, text)| *text)).collect();
        files.push(("crates/x/Cargo.toml", ""));
        let found: Vec<String> =
            check(&Tree::of(&files)).into_iter().map(|fault| fault.message).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn two_modules_that_name_each_other_are_a_cycle() {
        check_sources(
            &[("lib.rs", ""), ("a.rs", "use crate::b::B;"), ("b.rs", "fn f() { crate::a::g() }")],
            &["modules form a cycle: a -> b -> a"],
        );
        check_sources(
            &[
                ("lib.rs", ""),
                ("a.rs", "use crate::{c::D, b};"),
                ("b.rs", "use crate::c;"),
                ("c.rs", ""),
            ],
            &[],
        );
    }

    #[test]
    fn a_longer_cycle_is_reported_once_as_its_path() {
        check_sources(
            &[("a.rs", "use crate::b;"), ("b.rs", "use crate::c;"), ("c.rs", "use crate::a;")],
            &["modules form a cycle: a -> b -> c -> a"],
        );
    }

    #[test]
    fn super_counts_where_it_reaches_the_root() {
        let cycle = ["modules form a cycle: a -> b -> a"];
        check_sources(&[("a.rs", "use super::b;"), ("b.rs", "use crate::a;")], &cycle);
        check_sources(&[("a/x.rs", "use super::super::b;"), ("b.rs", "use crate::a;")], &cycle);
        check_sources(
            &[("a/x.rs", "use super::b;"), ("a/b.rs", ""), ("b.rs", "use crate::a;")],
            &[],
        );
    }

    #[test]
    fn names_re_exported_by_the_root_count_for_their_module() {
        check_sources(
            &[
                ("lib.rs", "pub use a::{A, z::Z};"),
                ("a.rs", "use crate::b;"),
                ("b.rs", "use crate::Z;"),
            ],
            &["modules form a cycle: a -> b -> a"],
        );
    }

    #[test]
    fn tests_and_comments_do_not_count() {
        check_sources(
            &[
                (
                    "a.rs",
                    "//! See crate::b.\nuse crate::c;\n#[cfg(test)]\nmod tests { use crate::b; }",
                ),
                ("a/tests.rs", "use crate::b;"),
                ("b.rs", "use crate::a;"),
                ("c.rs", ""),
            ],
            &[],
        );
    }
}
