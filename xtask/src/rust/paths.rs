//! Tokens, and the `::` paths they form, braces expanded.

use super::lex::is_word;

/// A word, `::`, or one byte of punctuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// Its text.
    pub(crate) text: &'a str,
    /// Its line, counted from 1.
    pub(crate) line: usize,
}

/// Longest path that is expanded and deepest nesting of braces that is followed.
const DEPTH_MAX: usize = 16;

/// The tokens of code (comments and literals already blanked).
pub(crate) fn tokens(code: &str) -> Vec<Token<'_>> {
    let bytes = code.as_bytes();
    let mut found = Vec::new();
    let mut line = 1;
    let mut at = 0;
    while at < bytes.len() {
        let length = match bytes[at] {
            byte if is_word(byte) => bytes[at..].iter().take_while(|&&b| is_word(b)).count(),
            b':' if bytes.get(at + 1) == Some(&b':') => 2,
            byte if byte.is_ascii() => 1,
            _ => bytes[at..].iter().take_while(|byte| !byte.is_ascii()).count(),
        };
        if bytes[at] == b'\n' {
            line += 1;
        } else if !bytes[at].is_ascii_whitespace() {
            found.push(Token { text: &code[at..at + length], line });
        }
        at += length;
    }
    found
}

/// The paths that continue the word at `start`: `crate::a::{b, c::D}` at `crate` gives `[a, b]` and
/// `[a, c, D]`. Empty when no `::` follows.
pub(crate) fn paths_after<'a>(tokens: &[Token<'a>], start: usize) -> Vec<Vec<&'a str>> {
    let mut found = Vec::new();
    if tokens.get(start + 1).is_some_and(|token| token.text == "::") {
        expand(tokens, start + 2, &mut Vec::new(), &mut found);
    }
    found
}

/// Expands the path that begins at `at`; returns the position behind it.
fn expand<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    let n_prefix = prefix.len();
    while let Some(token) = tokens.get(at) {
        if token.text == "{" && n_prefix < DEPTH_MAX {
            at = expand_braces(tokens, at + 1, prefix, found);
            prefix.truncate(n_prefix);
            return at;
        }
        prefix.push(token.text);
        at += 1;
        if tokens.get(at).is_none_or(|next| next.text != "::") {
            break;
        }
        at += 1;
    }
    found.push(prefix.clone());
    prefix.truncate(n_prefix);
    // `as name` renames; it is no part of the path.
    if tokens.get(at).is_some_and(|token| token.text == "as") {
        at += 2;
    }
    at
}

fn expand_braces<'a>(
    tokens: &[Token<'a>],
    mut at: usize,
    prefix: &mut Vec<&'a str>,
    found: &mut Vec<Vec<&'a str>>,
) -> usize {
    while let Some(token) = tokens.get(at) {
        match token.text {
            "}" => return at + 1,
            "," => at += 1,
            _ => at = expand(tokens, at, prefix, found),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: &str, expected: &[&str]) {
        let tokens = tokens(code);
        let found: Vec<String> =
            paths_after(&tokens, 0).iter().map(|path| path.join("::")).collect();
        assert_eq!(found, expected, "{code}");
    }

    #[test]
    fn braces_are_expanded_to_any_depth() {
        check("crate::a::B;", &["a::B"]);
        check("crate::{a::{b, c::D}, e as f, g::*};", &["a::b", "a::c::D", "e", "g::*"]);
        check("crate::a::{self, B}", &["a::self", "a::B"]);
        check("crate::f(x, y)", &["f"]);
        check("crate fn", &[]);
        check("crate::{a, b", &["a", "b"]);
    }

    #[test]
    fn tokens_know_their_line() {
        let found: Vec<(&str, usize)> =
            tokens("a::b\n  c_1;").into_iter().map(|token| (token.text, token.line)).collect();
        assert_eq!(found, [("a", 1), ("::", 1), ("b", 1), ("c_1", 2), (";", 2)]);
    }
}
