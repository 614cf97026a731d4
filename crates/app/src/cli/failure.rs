//! What a failed command says: one sentence, each fact once, and the remedy last.
//!
//! Libraries name their source in their own text and hand it on as the source, so a chain of
//! contexts says it twice, and a remedy of an outer context stands before the reason. Both are
//! mended here, for every command at once.

use std::io::ErrorKind;

use anyhow::Error;

/// Before a remedy.
const FIX: &str = "\n  fix: ";

/// The chain of an error as text, which begins with `error`.
pub fn render(error: &Error) -> String {
    let mut said = String::new();
    let mut fix = None;
    for cause in error.chain() {
        let text = cause.to_string();
        let (what, remedy) = match text.split_once(FIX) {
            Some((what, remedy)) => (what.to_owned(), Some(remedy.to_owned())),
            None => (text, None),
        };
        fix = fix.or(remedy);
        let what = what.trim_end();
        if said.contains(what) {
            continue;
        }
        if !said.is_empty() {
            said.push_str(": ");
        }
        said.push_str(what);
    }
    if !said.starts_with("error") && !said.starts_with("warning") {
        said.insert_str(0, "error: ");
    }
    if said.contains(FIX) {
        return said;
    }
    if let Some(fix) = fix.or_else(|| of_system(error).map(str::to_owned)) {
        said.push_str(FIX);
        said.push_str(&fix);
    }
    said
}

/// The remedy for what the operating system refused.
fn of_system(error: &Error) -> Option<&'static str> {
    let kinds = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let mut fixes = kinds.filter_map(|error| match error.kind() {
        ErrorKind::NotFound => Some("check the name; it is looked for from the current folder"),
        ErrorKind::PermissionDenied => {
            Some("let this user at it (chown, chmod), or name another place")
        }
        ErrorKind::IsADirectory => Some("name a file in that folder"),
        ErrorKind::NotADirectory => Some("a part of that path is a file; name another place"),
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Some("make room on that disk"),
        _ => None,
    });
    fixes.next()
}

#[cfg(test)]
mod tests {
    use std::io;

    use anyhow::{Context as _, anyhow};

    use super::*;

    fn check(error: &Error, expected: &str) {
        assert_eq!(render(error), expected);
    }

    #[test]
    fn each_fact_is_said_once_and_the_remedy_comes_last() {
        let system = || io::Error::new(ErrorKind::NotFound, "no such file");
        let said_twice = Error::from(system()).context("shop.pb: no such file");
        check(
            &said_twice,
            "error: shop.pb: no such file\n  fix: check the name; it is looked for from the current folder",
        );
        let outer = Err::<(), _>(system()).context("no answer\n  fix: start it").unwrap_err();
        check(&outer, "error: no answer: no such file\n  fix: start it");
        check(&anyhow!("error: C001 version"), "error: C001 version");
        check(&anyhow!("plain").context("outer"), "error: outer: plain");
    }
}
