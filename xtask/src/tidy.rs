//! `cargo xtask tidy`: runs every check over the tree, applies the exceptions, prints what is left.

pub(crate) mod cycles;
pub(crate) mod layers;

mod documents;
mod exceptions;
mod files;
mod formats;
mod manifests;
mod reasons;
mod settings;
mod test_attributes;
mod unused;
mod words;

use std::io::{self, Write};

use crate::fault::Fault;
use crate::tree::Tree;

/// Runs the checks and prints one line for each fault. `Ok(true)` when there is none.
pub(crate) fn run(tree: &Tree, out: &mut dyn Write) -> io::Result<bool> {
    let faults = faults(tree);
    for fault in &faults {
        writeln!(out, "{fault}")?;
    }
    let n_files = tree.files().count();
    writeln!(out, "tidy: {} faults in {n_files} files", faults.len())?;
    Ok(faults.is_empty())
}

/// Every fault that no exception covers, in order of path.
fn faults(tree: &Tree) -> Vec<Fault> {
    let checks: [fn(&Tree) -> Vec<Fault>; 11] = [
        layers::check,
        cycles::check,
        files::check,
        manifests::check,
        unused::check,
        test_attributes::check,
        formats::check,
        documents::check,
        reasons::check,
        settings::check,
        words::check,
    ];
    let found = checks.into_iter().flat_map(|check| check(tree)).collect();
    let mut left = exceptions::apply(tree, found);
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_printed_as_editors_read_them() {
        let tree = Tree::of(&[("docs/a.md", "tail \n")]);
        let mut out = Vec::new();
        assert!(!run(&tree, &mut out).unwrap());
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("docs/a.md:1: blank: "), "{text}");
    }

    #[test]
    fn a_clean_tree_has_no_faults() {
        let tree = Tree::of(&[("docs/a.md", "# A\n")]);
        assert_eq!(faults(&tree), []);
    }
}
