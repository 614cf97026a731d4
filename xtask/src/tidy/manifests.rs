//! Check `manifest`: packages inherit what is common, refuse renames, have one integration binary,
//! and keep the number of features small; `crates/app/clippy.toml` is the root file without the
//! bans that say "only `app`".

use crate::fault::Fault;
use crate::manifest::{Manifest, unquoted};
use crate::tree::{Tree, has_extension};

const CHECK: &str = "manifest";
/// Fields every package inherits.
const INHERITED: [&str; 5] = ["version", "edition", "rust-version", "license", "repository"];
/// Features of all packages together, `default` not counted.
const FEATURES_MAX: usize = 10;
/// The mark in `clippy.toml` of what only the app crate may call.
const ONLY_APP: &str = "only `app`";

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut n_features = 0;
    for package in tree.packages() {
        let path = format!("{package}/Cargo.toml");
        let manifest = Manifest::parse(tree.text(&path).unwrap_or_default());
        check_package(package, &path, &manifest, &mut faults);
        check_integration_tests(tree, package, &manifest, &mut faults);
        for feature in manifest.features() {
            n_features += 1;
            if n_features > FEATURES_MAX {
                let message =
                    format!("feature {n_features} of the workspace, at most {FEATURES_MAX}");
                faults.push(Fault::new(CHECK, &path, feature.line, message));
            }
        }
    }
    check_clippy(tree, &mut faults);
    faults
}

fn check_package(package: &str, path: &str, manifest: &Manifest, faults: &mut Vec<Fault>) {
    let mut fault = |line, message: String| faults.push(Fault::new(CHECK, path, line, message));
    let expected = match package.strip_prefix("crates/") {
        Some("app") => "spanwise".to_owned(),
        Some(name) => format!("spanwise-{name}"),
        None => package.to_owned(),
    };
    if manifest.value("package", "name").map(unquoted) != Some(&expected) {
        fault(1, format!("the package in {package} is named `{expected}`"));
    }
    if manifest.value("package", "description").is_none() {
        fault(1, "no description".to_owned());
    }
    for field in INHERITED {
        if manifest.value("package", &format!("{field}.workspace")) != Some("true") {
            fault(1, format!("`{field}.workspace = true` is missing"));
        }
    }
    if manifest.value("lints", "workspace") != Some("true") {
        fault(1, "`[lints] workspace = true` is missing".to_owned());
    }
    for dependency in manifest.dependencies() {
        if dependency.details.contains("package =") {
            fault(dependency.line, format!("`{}` renames a package", dependency.name));
        }
        if !dependency.details.contains("workspace = true") {
            let message = format!("`{}` does not inherit its version", dependency.name);
            fault(dependency.line, message);
        }
    }
}

fn check_integration_tests(
    tree: &Tree,
    package: &str,
    manifest: &Manifest,
    faults: &mut Vec<Fault>,
) {
    let tests = format!("{package}/tests/");
    let main = format!("{tests}it/main.rs");
    for path in tree.under(&tests) {
        let inner = &path[tests.len()..];
        let is_target = match inner.split_once('/') {
            None => has_extension(inner, "rs"),
            Some((folder, file)) => folder != "it" && file == "main.rs",
        };
        if is_target {
            let message = format!("the only integration binary is {main}");
            faults.push(Fault::new(CHECK, path, 1, message));
        }
    }
    if let Some(entry) = manifest.entries().iter().find(|entry| entry.section == "test") {
        let path = format!("{package}/Cargo.toml");
        let message = format!("the only integration binary is {main}, found by its place");
        faults.push(Fault::new(CHECK, &path, entry.line, message));
    }
    let Some(text) = tree.text(&main) else { return };
    let mut code = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
    if code.next() != Some("#![cfg(test)]") {
        let message = "`#![cfg(test)]` comes first, else clippy takes helpers for production code";
        faults.push(Fault::new(CHECK, &main, 1, message));
    }
}

fn check_clippy(tree: &Tree, faults: &mut Vec<Fault>) {
    let path = "crates/app/clippy.toml";
    let (Some(root), Some(app)) = (tree.text("clippy.toml"), tree.text(path)) else { return };
    let mut expected = root.lines().filter(|line| !line.contains(ONLY_APP));
    let mut found = app.lines();
    for line_number in 1.. {
        let (wanted, given) = (expected.next(), found.next());
        if wanted != given {
            let message = format!(
                "differs from the root clippy.toml less its `{ONLY_APP}` bans: expected `{}`",
                wanted.unwrap_or("the end of the file")
            );
            faults.push(Fault::new(CHECK, path, line_number, message));
            return;
        }
        if wanted.is_none() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[package]\nname = \"spanwise-hst\"\ndescription = \"trees\"\n\
        version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
        license.workspace = true\nrepository.workspace = true\n\n[lints]\nworkspace = true\n";

    fn check_tree(files: &[(&str, &str)], expected: &[&str]) {
        let found: Vec<String> = check(&Tree::of(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (fault, part) in found.iter().zip(expected) {
            assert!(fault.contains(part), "{fault} has no `{part}`");
        }
    }

    fn check_with(addition: &str, expected: &[&str]) {
        check_tree(&[("crates/hst/Cargo.toml", &format!("{GOOD}{addition}"))], expected);
    }

    #[test]
    fn a_package_inherits_what_is_common() {
        check_with("", &[]);
        let without = GOOD.replace("license.workspace = true\n", "license = \"MIT\"\n");
        check_tree(&[("crates/hst/Cargo.toml", &without)], &["`license.workspace = true`"]);
        let renamed = GOOD.replace("spanwise-hst", "hst");
        check_tree(&[("crates/hst/Cargo.toml", &renamed)], &["named `spanwise-hst`"]);
        let unlinted = GOOD.replace("[lints]\nworkspace = true\n", "");
        check_tree(&[("crates/hst/Cargo.toml", &unlinted)], &["`[lints] workspace = true`"]);
    }

    #[test]
    fn dependencies_inherit_their_version_and_keep_their_name() {
        check_with("[dependencies]\nbytes.workspace = true\n", &[]);
        check_with("[dependencies]\nbytes = { workspace = true, features = [] }\n", &[]);
        check_with("[dependencies]\nbytes = \"1\"\n", &[":13: manifest: `bytes` does not inherit"]);
        check_with(
            "[dependencies]\nb = { package = \"bytes\", version = \"1\" }\n",
            &["`b` renames", "`b` does not inherit"],
        );
    }

    #[test]
    fn there_is_one_integration_binary_and_it_is_for_tests() {
        let manifest = ("crates/hst/Cargo.toml", GOOD);
        let main = "crates/hst/tests/it/main.rs";
        check_tree(&[manifest, (main, "//! Tests.\n#![cfg(test)]\nmod a;\n")], &[]);
        check_tree(&[manifest, (main, "//! Tests.\nmod a;\n")], &["`#![cfg(test)]` comes first"]);
        check_tree(&[manifest, ("crates/hst/tests/a.rs", "")], &["only integration binary"]);
        check_tree(&[manifest, ("crates/hst/tests/b/main.rs", "")], &["only integration binary"]);
        check_tree(&[manifest, ("crates/hst/tests/data/a.py", "")], &[]);
        check_with("[[test]]\nname = \"x\"\n", &["found by its place"]);
    }

    #[test]
    fn features_are_counted_over_the_workspace() {
        let features =
            ('a'..='k').fold(String::new(), |text, name| text + &format!("{name} = []\n"));
        check_with(
            &format!("[features]\ndefault = []\n{features}"),
            &["feature 11 of the workspace"],
        );
    }

    #[test]
    fn the_clippy_file_of_app_is_the_root_file_without_its_bans() {
        let root = "a = 1\n  { path = \"x\", reason = \"only `app` spawns\" },\nb = 2\n";
        check_tree(&[("clippy.toml", root), ("crates/app/clippy.toml", "a = 1\nb = 2\n")], &[]);
        let less = ("crates/app/clippy.toml", "a = 1\n");
        check_tree(&[("clippy.toml", root), less], &[":2: manifest: differs"]);
        let more = ("crates/app/clippy.toml", "a = 1\nb = 2\nc = 3\n");
        check_tree(&[("clippy.toml", root), more], &[":3: manifest: differs"]);
    }
}
