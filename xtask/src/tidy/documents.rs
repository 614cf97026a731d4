//! Check `docs`: what documents point to exists, the list of decisions is complete, the changelog
//! has its Unreleased part.

use std::collections::BTreeSet;

use crate::fault::Fault;
use crate::tree::{Tree, has_extension};

const CHECK: &str = "docs";
/// Folders whose paths in backticks must exist.
const FOLDERS: [&str; 9] =
    [".ci/", "benches/", "crates/", "docs/", "examples/", "fuzz/", "scripts/", "tests/", "xtask/"];
/// Names paths of other repositories.
const STYLE: &str = "STYLE.md";
const CHANGELOG: &str = "CHANGELOG.md";
const ADR: &str = "docs/adr/";
const ADR_INDEX: &str = "docs/adr/README.md";
const ADR_PARTS: [&str; 3] = ["## Context", "## Decision", "## Consequences"];

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts() {
        if has_extension(path, "md") && path != STYLE {
            check_paths(tree, path, text, &mut faults);
        }
    }
    check_decisions(tree, &mut faults);
    if let Some(text) = tree.text(CHANGELOG) {
        check_changelog(text, &mut faults);
    }
    faults
}

/// Backticks and relative links of one document; fenced blocks are skipped.
fn check_paths(tree: &Tree, path: &str, text: &str, faults: &mut Vec<Fault>) {
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut is_fenced = false;
    for (idx, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        }
        if is_fenced {
            continue;
        }
        let named = line.split('`').skip(1).step_by(2).filter(|span| is_our_path(span));
        let missing = named.filter(|span| !tree.exists(span)).map(str::to_owned);
        let targets = links(line).map(|target| resolve(folder, target));
        let broken = targets.filter(|target| !target.is_empty() && !tree.exists(target));
        for wanted in missing.chain(broken) {
            faults.push(Fault::new(CHECK, path, idx + 1, format!("`{wanted}` does not exist")));
        }
    }
}

fn is_our_path(span: &str) -> bool {
    let is_pattern = span.contains(['<', '*', '{', ' ', '$', ':']) || span.contains("NNN");
    !is_pattern && FOLDERS.iter().any(|folder| span.starts_with(folder))
}

/// Targets of Markdown links to files of the repository, without their anchors.
fn links(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        let is_outside = target.contains("://") || target.starts_with("mailto:");
        (!is_outside && !target.contains(' ')).then_some(target)
    })
}

/// A link target as a path from the root; empty for a link into the same document.
fn resolve(folder: &str, target: &str) -> String {
    if target.is_empty() {
        return String::new();
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            _ => parts.push(part),
        }
    }
    parts.join("/")
}

fn check_decisions(tree: &Tree, faults: &mut Vec<Fault>) {
    let index = tree.text(ADR_INDEX).unwrap_or_default();
    let mut numbers = BTreeSet::new();
    for path in tree.under(ADR).filter(|path| *path != ADR_INDEX && has_extension(path, "md")) {
        let file = &path[ADR.len()..];
        let mut fault = |message: String| faults.push(Fault::new(CHECK, path, 1, message));
        if !index.contains(&format!("({file})")) {
            fault(format!("{ADR_INDEX} does not list it"));
        }
        let number: Option<usize> = file.split('-').next().and_then(|digits| digits.parse().ok());
        if number.is_none_or(|number| !numbers.insert(number)) {
            fault("a decision is named NNN-slug.md, with a number of its own".to_owned());
        }
        let text = tree.text(path).unwrap_or_default();
        for part in ADR_PARTS.iter().filter(|part| !text.lines().any(|line| line == **part)) {
            fault(format!("`{part}` is missing"));
        }
    }
    let n_decisions = numbers.len();
    if numbers.into_iter().ne(1..=n_decisions) {
        let message = "numbers of decisions run from 001 without gaps";
        faults.push(Fault::new(CHECK, ADR_INDEX, 1, message));
    }
}

fn check_changelog(text: &str, faults: &mut Vec<Fault>) {
    if !text.lines().any(|line| line == "## Unreleased") {
        faults.push(Fault::new(CHECK, CHANGELOG, 1, "`## Unreleased` is missing"));
    }
    let entries = text.lines().enumerate().skip_while(|(_, line)| !line.starts_with("## "));
    for (idx, line) in entries {
        let is_known = line.is_empty() || line.starts_with("## ") || line.starts_with("- ");
        if !is_known {
            let message = "below the first heading stand headings and one line for each change";
            faults.push(Fault::new(CHECK, CHANGELOG, idx + 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_tree(files: &[(&str, &str)], expected: &[&str]) {
        let found: Vec<String> = check(&Tree::of(files)).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn paths_in_backticks_and_links_must_exist() {
        let text = "`crates/hst` [a](docs/a.md#x) [b](https://b.example) `crates/<name>` [c](#c)\n";
        check_tree(&[("ARCHITECTURE.md", text), ("crates/hst/a", ""), ("docs/a.md", "")], &[]);
        check_tree(
            &[("docs/b.md", "\n`crates/hst` [a](../x/a.md)\n```\n`crates/no`\n```\n")],
            &[
                "docs/b.md:2: docs: `crates/hst` does not exist",
                "docs/b.md:2: docs: `x/a.md` does not exist",
            ],
        );
    }

    #[test]
    fn decisions_are_listed_numbered_and_whole() {
        let whole = "# 1\n\n## Context\n\n## Decision\n\n## Consequences\n";
        let index = ("docs/adr/README.md", "- [one](001-one.md)\n");
        check_tree(&[index, ("docs/adr/001-one.md", whole)], &[]);
        check_tree(
            &[index, ("docs/adr/001-one.md", whole), ("docs/adr/003-three.md", "## Context\n")],
            &[
                "docs/adr/003-three.md:1: docs: docs/adr/README.md does not list it",
                "docs/adr/003-three.md:1: docs: `## Decision` is missing",
                "docs/adr/003-three.md:1: docs: `## Consequences` is missing",
                "docs/adr/README.md:1: docs: numbers of decisions run from 001 without gaps",
            ],
        );
    }

    #[test]
    fn the_changelog_has_one_line_for_each_change() {
        check_tree(&[("CHANGELOG.md", "# Changelog\n\ntext\n\n## Unreleased\n\n- a\n")], &[]);
        check_tree(
            &[("CHANGELOG.md", "# Changelog\n\n## 1.0.0\n\n- a\n  b\n")],
            &[
                "CHANGELOG.md:1: docs: `## Unreleased` is missing",
                "CHANGELOG.md:6: docs: below the first heading stand headings and one line for each change",
            ],
        );
    }
}
