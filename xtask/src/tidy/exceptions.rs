//! Applies `xtask/tidy-exceptions.txt`: lines of `check path value reason`. The value is what the
//! faults of that check in that file weigh: the lines of a file that is too long, else their
//! number. It may shrink, never grow, and an entry that is no longer needed is itself a fault: a
//! ratchet, so that a limit teaches without stopping work.

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::tree::Tree;

const CHECK: &str = "exceptions";
const PATH: &str = "xtask/tidy-exceptions.txt";

/// One line of the file.
#[derive(Debug, PartialEq, Eq)]
struct Exception<'a> {
    check: &'a str,
    path: &'a str,
    value: usize,
    line: usize,
}

/// Removes the faults that are excepted; adds those of the exceptions themselves.
pub(crate) fn apply(tree: &Tree, found: Vec<Fault>) -> Vec<Fault> {
    let mut faults = Vec::new();
    let exceptions = parse(tree.text(PATH).unwrap_or_default(), &mut faults);
    let mut groups: BTreeMap<(&str, String), Vec<Fault>> = BTreeMap::new();
    for fault in found {
        groups.entry((fault.check, fault.path.clone())).or_default().push(fault);
    }
    for exception in &exceptions {
        let group =
            groups.remove(&(exception.check, exception.path.to_owned())).unwrap_or_default();
        let weight: usize = group.iter().map(|fault| fault.weight).sum();
        if weight > exception.value {
            faults.extend(group);
        } else if weight < exception.value {
            let remedy = match weight {
                0 => "remove the line".to_owned(),
                _ => format!("lower the value to {weight}"),
            };
            let message =
                format!("`{}` of {} got better: {remedy}", exception.check, exception.path);
            faults.push(Fault::new(CHECK, PATH, exception.line, message));
        }
    }
    faults.extend(groups.into_values().flatten());
    faults
}

fn parse<'a>(text: &'a str, faults: &mut Vec<Fault>) -> Vec<Exception<'a>> {
    let mut exceptions: Vec<Exception<'a>> = Vec::new();
    for (idx, text) in text.lines().enumerate() {
        let line = idx + 1;
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let words: Vec<&str> = text.split_whitespace().collect();
        let parsed = match words.as_slice() {
            [check, path, value, _, ..] => value.parse().ok().map(|value| (*check, *path, value)),
            _ => None,
        };
        let Some((check, path, value)) = parsed else {
            faults.push(Fault::new(CHECK, PATH, line, "expected `check path value reason`"));
            continue;
        };
        if exceptions.iter().any(|known| known.check == check && known.path == path) {
            faults.push(Fault::new(CHECK, PATH, line, "a second line for the same check and path"));
            continue;
        }
        exceptions.push(Exception { check, path, value, line });
    }
    exceptions
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exceptions: &str, weights: &[usize], expected: &[&str]) {
        let found = weights
            .iter()
            .map(|&weight| Fault { weight, ..Fault::new("length", "a.rs", 1, "long") })
            .collect();
        let left: Vec<String> = apply(&Tree::of(&[(PATH, exceptions)]), found)
            .into_iter()
            .map(|fault| fault.message)
            .collect();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_fault_passes_at_its_value_and_not_above() {
        check("length a.rs 900 tables\n", &[900], &[]);
        check("length a.rs 900 tables\n", &[901], &["long"]);
        check(
            "length b.rs 900 tables\n",
            &[900],
            &["`length` of b.rs got better: remove the line", "long"],
        );
        check("length a.rs 2 two\n", &[1, 1], &[]);
    }

    #[test]
    fn what_got_better_must_be_written_down() {
        check(
            "length a.rs 900 tables\n",
            &[850],
            &["`length` of a.rs got better: lower the value to 850"],
        );
        check("length a.rs 900 tables\n", &[], &["`length` of a.rs got better: remove the line"]);
    }

    #[test]
    fn an_exception_has_a_value_and_a_reason() {
        check("# comment\n\nlength a.rs 900\n", &[], &["expected `check path value reason`"]);
        check("length a.rs many tables\n", &[], &["expected `check path value reason`"]);
        check(
            "length a.rs 9 x\nlength a.rs 9 y\n",
            &[9],
            &["a second line for the same check and path"],
        );
    }
}
