//! Check `tests`: a test that is left out says why, and one that must panic says with what.

use crate::fault::Fault;
use crate::tree::Tree;

const CHECK: &str = "tests";

/// Attributes without their argument, and what is missing.
const BARE: [(&str, &str); 3] = [
    ("#[ignore]", "`#[ignore = \"..\"]` carries a reason"),
    ("#[should_panic]", "`#[should_panic(expected = \"..\")]` says with what"),
    ("#[should_panic()]", "`#[should_panic(expected = \"..\")]` says with what"),
];

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for file in tree.rust_files() {
        for (idx, line) in file.source.code.lines().enumerate() {
            for (_, message) in BARE.iter().filter(|(attribute, _)| line.contains(attribute)) {
                faults.push(Fault::new(CHECK, file.path, idx + 1, *message));
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_text(text: &str, expected: &[usize]) {
        let found: Vec<usize> =
            check(&Tree::of(&[("a.rs", text)])).iter().map(|fault| fault.line).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn bare_attributes_are_faults_outside_comments() {
        check_text("#[ignore]\n#[should_panic]\n#[should_panic()]\n", &[1, 2, 3]);
        check_text("#[ignore = \"slow\"]\n#[should_panic(expected = \"x\")]\n", &[]);
        check_text("// #[ignore]\nf(\"#[ignore]\")\n", &[]);
    }
}
