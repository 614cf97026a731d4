//! Check `reasons`: every reason of a decision has its heading in `docs/reasons.md`, which
//! `spanwise explain` links to, every code of a problem has its row there, and neither list names
//! what no longer exists.

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::rust::tokens;
use crate::tree::{Tree, is_data};

const CHECK: &str = "reasons";
const PAGE: &str = "docs/reasons.md";
const REASONS: &str = "crates/model/src/decision.rs";
/// Part of the page whose third-level headings are reasons.
const PART: &str = "## Reasons";

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let (Some(page), Some(source)) = (tree.text(PAGE), tree.text(REASONS)) else {
        return Vec::new();
    };
    let mut faults = Vec::new();
    let reasons = variants(source, "Reason").map(|(line, name)| (name, (REASONS.to_owned(), line)));
    compare(&reasons.collect(), &headings(page), "heading `###", &mut faults);
    compare(&codes(tree), &rows(page), "row `|", &mut faults);
    faults
}

/// Both directions: what code names and the page lacks, and the other way round.
fn compare(
    named: &BTreeMap<&str, (String, usize)>,
    listed: &BTreeMap<&str, usize>,
    what: &str,
    faults: &mut Vec<Fault>,
) {
    for (name, (path, line)) in named.iter().filter(|(name, _)| !listed.contains_key(*name)) {
        faults.push(Fault::new(CHECK, path, *line, format!("{PAGE} has no {what} {name}`")));
    }
    for (name, line) in listed.iter().filter(|(name, _)| !named.contains_key(*name)) {
        faults.push(Fault::new(CHECK, PAGE, *line, format!("no code gives `{name}`")));
    }
}

/// Names of an enum without data, with their lines.
fn variants<'a>(source: &'a str, name: &str) -> impl Iterator<Item = (usize, &'a str)> {
    let opening = format!("pub enum {name} {{");
    source
        .lines()
        .enumerate()
        .skip_while(move |(_, line)| *line != opening)
        .skip(1)
        .take_while(|(_, line)| *line != "}")
        .filter_map(|(idx, line)| Some((idx + 1, line.trim().strip_suffix(',')?)))
        .filter(|(_, name)| name.chars().all(char::is_alphanumeric))
}

fn headings(page: &str) -> BTreeMap<&str, usize> {
    let part = page.lines().enumerate().skip_while(|(_, line)| *line != PART).skip(1);
    part.take_while(|(_, line)| !line.starts_with("## "))
        .filter_map(|(idx, line)| Some((line.strip_prefix("### ")?, idx + 1)))
        .collect()
}

/// Rows whose first cell begins with a code; `(w)` may follow.
fn rows(page: &str) -> BTreeMap<&str, usize> {
    let cell = |line: &'_ str| -> Option<(usize, usize)> {
        let start = line.starts_with("| ").then_some(2)?;
        is_code(line.get(start..start + 4)?).then_some((start, start + 4))
    };
    page.lines()
        .enumerate()
        .filter_map(|(idx, line)| cell(line).map(|(start, end)| (&line[start..end], idx + 1)))
        .collect()
}

/// Codes in quotes in production code of any crate, with their first places.
fn codes(tree: &Tree) -> BTreeMap<&str, (String, usize)> {
    let mut codes = BTreeMap::new();
    for file in tree.rust_files() {
        if !file.path.starts_with("crates/")
            || crate::rust::is_test_path(file.path)
            || is_data(file.path)
        {
            continue;
        }
        // Strings are blank in the code, so its length says where the tests begin.
        let last = tokens(file.source.production()).last().map_or(0, |token| token.line);
        for (idx, line) in file.text.lines().enumerate().take(last) {
            for code in line.split('"').skip(1).step_by(2).filter(|text| is_code(text)) {
                codes.entry(code).or_insert_with(|| (file.path.to_owned(), idx + 1));
            }
        }
    }
    codes
}

/// One capital letter and three digits.
fn is_code(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() == 4 && bytes[0].is_ascii_uppercase() && bytes[1..].iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = "/// Why.\npub enum Reason {\n    /// One.\n    AtMax,\n    AtMin,\n}\n";

    fn check_page(page: &str, code: &str, expected: &[&str]) {
        let tree = Tree::of(&[(PAGE, page), (REASONS, SOURCE), ("crates/x/src/a.rs", code)]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn reasons_and_headings_are_the_same() {
        check_page("## Reasons\n\n### AtMax\n\n### AtMin\n\n## Codes\n\n### More\n", "", &[]);
        check_page(
            "## Reasons\n\n### AtMax\n\n### Paused\n",
            "",
            &[
                "crates/model/src/decision.rs:5: reasons: docs/reasons.md has no heading `### AtMin`",
                "docs/reasons.md:5: reasons: no code gives `Paused`",
            ],
        );
    }

    #[test]
    fn codes_and_rows_are_the_same() {
        let page = "## Reasons\n### AtMax\n### AtMin\n\n| code | what |\n|---|---|\n| C001 | a |\n| R017 (w) | b |\n";
        let code = "fn f() {\n    add(\"C001\", \"R017\", \"C0011\");\n}\n#[cfg(test)]\nmod tests { const A: &str = \"X001\"; }\n";
        check_page(page, code, &[]);
        check_page(
            page,
            "fn f() { add(\"C001\", \"C002\") }",
            &[
                "crates/x/src/a.rs:1: reasons: docs/reasons.md has no row `| C002`",
                "docs/reasons.md:8: reasons: no code gives `R017`",
            ],
        );
    }
}
