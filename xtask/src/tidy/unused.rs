//! Check `unused`: a dependency is named in the sources of its package, and an entry of
//! `[workspace.dependencies]` is used by a package. Blind to packages that are listed only to turn a
//! feature on: those stand in the exceptions with their reason.

use std::collections::BTreeSet;

use crate::fault::Fault;
use crate::manifest::{Dependency, Manifest};
use crate::rust::tokens;
use crate::tree::{Tree, is_generated};

const CHECK: &str = "unused";
/// Text fences of a README that is compiled as documentation may use dev-dependencies.
const README: &str = "README.md";

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut used: BTreeSet<String> = BTreeSet::new();
    for package in tree.packages() {
        let path = format!("{package}/Cargo.toml");
        let manifest = Manifest::parse(tree.text(&path).unwrap_or_default());
        let dependencies = manifest.dependencies();
        let words = if dependencies.is_empty() { BTreeSet::new() } else { words(tree, package) };
        for dependency in dependencies {
            if !words.contains(dependency.name.replace('-', "_").as_str()) {
                faults.push(unnamed(&path, &dependency));
            }
            used.insert(dependency.name);
        }
    }
    let root = Manifest::parse(tree.text("Cargo.toml").unwrap_or_default());
    for entry in root.section("workspace.dependencies") {
        if !used.contains(&entry.key) {
            let message = format!("no package uses `{}`", entry.key);
            faults.push(Fault::new(CHECK, "Cargo.toml", entry.line, message));
        }
    }
    faults
}

fn unnamed(path: &str, dependency: &Dependency) -> Fault {
    let message = format!("`{}` is named nowhere in the package", dependency.name);
    Fault::new(CHECK, path, dependency.line, message)
}

/// Every word of the package's code, generated code and README included.
fn words<'a>(tree: &'a Tree, package: &str) -> BTreeSet<&'a str> {
    let folder = format!("{package}/");
    let written = tree.rust_files().map(|file| (file.path, file.source.code.as_str()));
    let others = tree.texts().filter(|(path, text)| path.ends_with(README) || is_generated(text));
    written
        .chain(others)
        .filter(|(path, _)| path.starts_with(&folder))
        .flat_map(|(_, code)| tokens(code).into_iter().map(|token| token.text))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_source(source: &str, expected: &[&str]) {
        let tree = Tree::of(&[
            ("Cargo.toml", "[workspace.dependencies]\nserde-saphyr = \"1\"\nbytes = \"1\"\n"),
            ("crates/x/Cargo.toml", "[dependencies]\nserde-saphyr.workspace = true\n"),
            ("crates/x/src/lib.rs", source),
        ]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_dependency_is_used_where_code_names_it() {
        let unused_entry = "Cargo.toml:3: unused: no package uses `bytes`";
        check_source("use serde_saphyr::from_str;", &[unused_entry]);
        let unnamed =
            "crates/x/Cargo.toml:2: unused: `serde-saphyr` is named nowhere in the package";
        check_source("// serde_saphyr", &[unnamed, unused_entry]);
    }
}
