//! Check `settings`: every key of the configuration file stands in `docs/configuration.md`. Blind to
//! what the page says about it, and to keys that the page only has under another parent.

use crate::fault::Fault;
use crate::tree::Tree;

const CHECK: &str = "settings";
const PAGE: &str = "docs/configuration.md";
/// Where the keys are declared, as public fields.
const SOURCES: [&str; 2] = ["crates/app/src/config/raw.rs", "crates/analyzer/src/rules/config.rs"];
const RENAME: &str = "rename = \"";

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let Some(page) = tree.text(PAGE) else { return Vec::new() };
    let mut faults = Vec::new();
    for path in SOURCES {
        for (line, key) in keys(tree.text(path).unwrap_or_default()) {
            let ways =
                [format!("`{key}`"), format!(".{key}`"), format!("{key}: "), format!("`{key}.")];
            let is_there = ways.iter().any(|way| page.contains(way.as_str()))
                || page.contains(&format!("`{key}[]`"));
            if !is_there {
                faults.push(Fault::new(CHECK, path, line, format!("{PAGE} does not name `{key}`")));
            }
        }
    }
    faults
}

/// Public fields with their lines, by the name serde gives them.
fn keys(source: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut renamed = None;
    for (idx, line) in source.lines().enumerate() {
        let line = line.trim();
        if let Some(at) = line.find(RENAME) {
            renamed = line[at + RENAME.len()..].split('"').next();
        } else if let Some((field, _)) = line.strip_prefix("pub ").and_then(|l| l.split_once(": "))
        {
            if field.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                found.push((idx + 1, renamed.take().unwrap_or(field)));
            }
        } else if !line.starts_with("#[") && !line.starts_with("///") {
            renamed = None;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_on_the_page_under_its_name_in_yaml() {
        let source = "pub struct A {\n    /// A.\n    pub mode: Option<B>,\n    #[serde(rename = \"ref\")]\n    pub reference: C,\n    pub budget: D,\n}\n";
        let page = "| `scale.mode` | a |\n| `ref.kind` | b |\n";
        let tree = Tree::of(&[(PAGE, page), (SOURCES[0], source)]);
        let found: Vec<String> = check(&tree).iter().map(ToString::to_string).collect();
        let expected = "crates/app/src/config/raw.rs:6: settings: docs/configuration.md does not name `budget`";
        assert_eq!(found, [expected]);
    }
}
