//! Check `words`: the repository speaks of the product, not of how or where it is being made. Lock
//! files, which tools write, and data are exempt; so is `.ci`, which may name folders beside it.

use crate::fault::Fault;
use crate::tree::{Tree, has_extension};

const CHECK: &str = "words";
const LOCK_FILES: [&str; 3] = ["Cargo.lock", "package-lock.json", "uv.lock"];

/// Text that is nowhere welcome; split so that this file does not carry it.
const BANNED: [&str; 11] = [
    concat!(".", "library"),
    concat!("..", "/shared"),
    concat!("/", "work/"),
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("golang", ".org/"),
    concat!("repo1.", "maven"),
    concat!("deb.", "debian.org"),
];
/// Words that prose and comments do without, while code may need them.
const BANNED_IN_PROSE: [&str; 2] = [concat!("ses", "sion"), concat!("ses", "sions")];
/// A number behind this word names a ticket.
const TICKET: &str = concat!("iss", "ue ");

/// Runs the check.
pub(crate) fn check(tree: &Tree) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (path, text) in tree.texts() {
        let file = path.rsplit('/').next().unwrap_or_default();
        if LOCK_FILES.contains(&file) || path.starts_with(".ci/") {
            continue;
        }
        check_text(path, text, &mut faults);
        if has_extension(path, "md") {
            check_prose(path, text, &mut faults);
        }
    }
    for file in tree.rust_files() {
        check_prose(file.path, &file.source.comments, &mut faults);
    }
    faults
}

fn check_text(path: &str, text: &str, faults: &mut Vec<Fault>) {
    for (idx, line) in text.lines().enumerate() {
        let line = line.to_lowercase();
        for word in BANNED.iter().filter(|word| line.contains(**word)) {
            let message = format!("`{word}` is no word of the product");
            faults.push(Fault::new(CHECK, path, idx + 1, message));
        }
        let tickets = line.match_indices(TICKET);
        let numbers = tickets.map(|(at, _)| line[at + TICKET.len()..].trim_start_matches('#'));
        if numbers.into_iter().any(|rest| rest.starts_with(|c: char| c.is_ascii_digit())) {
            let message = "names a ticket: say what the reader needs to know instead";
            faults.push(Fault::new(CHECK, path, idx + 1, message));
        }
    }
}

fn check_prose(path: &str, prose: &str, faults: &mut Vec<Fault>) {
    for (idx, line) in prose.lines().enumerate() {
        let line = line.to_lowercase();
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
        let is_banned = |word: &&str| BANNED_IN_PROSE.contains(&word.trim_end_matches('.'));
        if let Some(word) = words.find(is_banned) {
            let message = format!("`{word}` is no word of the product");
            faults.push(Fault::new(CHECK, path, idx + 1, message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_file(path: &str, text: &str, expected: usize) {
        let found = check(&Tree::of(&[(path, text)]));
        assert_eq!(found.len(), expected, "{path}: {found:?}");
    }

    #[test]
    fn places_and_tickets_are_named_nowhere() {
        let shared = BANNED[1];
        check_file("a.rs", &format!("f(\"{shared}/data\");\n"), 1);
        check_file(".ci/run", &format!("ls {shared}\n"), 0);
        check_file("Cargo.lock", BANNED[3], 0);
        check_file("a.py", &format!("# see {TICKET}#3\n"), 1);
        check_file("a.py", &format!("# an {TICKET}that recurs\n"), 0);
    }

    #[test]
    fn prose_is_held_to_more_than_code() {
        let word = BANNED_IN_PROSE[0];
        check_file("a.md", &format!("This {word} did it.\n"), 1);
        check_file("a.rs", &format!("//! The {word}.\n"), 1);
        check_file("a.rs", &format!("let {word} = 1;\n"), 0);
        check_file("a.md", &format!("attribute `{word}.id`\n"), 0);
    }
}
