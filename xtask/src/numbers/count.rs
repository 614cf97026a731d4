//! Counts one source file.

use crate::rust::{Token, is_test_path, tokens};
use crate::tree::RustFile;

/// Figures of one or more files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Lines of each file that is not a test, inline tests and comments included.
    pub(crate) file_lines: Vec<usize>,
    /// Lines with code of each function outside tests, signature included.
    pub(crate) fn_lines: Vec<usize>,
    /// Lines with code outside tests.
    pub(crate) n_code: usize,
    /// Lines with code in tests.
    pub(crate) n_tests: usize,
    /// Public items.
    pub(crate) n_public: usize,
    /// Public items under a doc comment.
    pub(crate) n_documented: usize,
    /// `.unwrap()` and `.expect(` outside tests.
    pub(crate) n_unwraps: usize,
    /// `assert!` and its relatives outside tests.
    pub(crate) n_asserts: usize,
    /// `unsafe` anywhere; the lint's name does not count.
    pub(crate) n_unsafe: usize,
    /// `macro_rules!` outside tests.
    pub(crate) n_macros: usize,
}

impl Counts {
    /// Counts one file.
    pub(crate) fn of(file: &RustFile<'_>) -> Self {
        let RustFile { path, text, source } = file;
        let n_unsafe = count_words(&tokens(&source.code), |word| word == "unsafe");
        if is_test_path(path) {
            return Self { n_tests: lines_with_text(&source.code), n_unsafe, ..Self::default() };
        }
        let code = source.production();
        let n_code = lines_with_text(code);
        let tokens = tokens(code);
        let (n_public, n_documented) = public_items(text, code);
        let is_assert = |word: &str| {
            let word = word.strip_prefix("debug_").unwrap_or(word);
            matches!(word, "assert" | "assert_eq" | "assert_ne")
        };
        Self {
            file_lines: vec![text.lines().count()],
            fn_lines: function_lines(&tokens, code),
            n_code,
            n_tests: lines_with_text(&source.code) - n_code,
            n_public,
            n_documented,
            n_unwraps: code.matches(".unwrap()").count() + code.matches(".expect(").count(),
            n_asserts: count_words(&tokens, is_assert),
            n_unsafe,
            n_macros: count_words(&tokens, |word| word == "macro_rules"),
        }
    }

    /// Adds another file's figures.
    pub(crate) fn add(&mut self, other: &Self) {
        self.file_lines.extend_from_slice(&other.file_lines);
        self.fn_lines.extend_from_slice(&other.fn_lines);
        self.n_code += other.n_code;
        self.n_tests += other.n_tests;
        self.n_public += other.n_public;
        self.n_documented += other.n_documented;
        self.n_unwraps += other.n_unwraps;
        self.n_asserts += other.n_asserts;
        self.n_unsafe += other.n_unsafe;
        self.n_macros += other.n_macros;
    }
}

fn count_words(tokens: &[Token<'_>], is_counted: impl Fn(&str) -> bool) -> usize {
    tokens.iter().filter(|token| is_counted(token.text)).count()
}

fn lines_with_text(code: &str) -> usize {
    code.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Public items, and how many of them stand under a doc comment. Fields, variants and re-exports
/// are left out: the lint watches over the first two, and the third is documented where it stands.
fn public_items(text: &str, code: &str) -> (usize, usize) {
    let lines: Vec<&str> = text.lines().collect();
    let mut n_public = 0;
    let mut n_documented = 0;
    for (idx, line) in code.lines().enumerate() {
        let Some(item) = line.trim_start().strip_prefix("pub ") else { continue };
        let keyword = item.split([' ', '(', '<']).next().unwrap_or_default();
        let is_item = matches!(
            keyword,
            "fn" | "async" | "const" | "struct" | "enum" | "trait" | "type" | "static" | "mod"
        );
        if !is_item {
            continue;
        }
        n_public += 1;
        let above = lines[..idx].iter().rev().map(|line| line.trim_start());
        let mut above = above.skip_while(|line| line.starts_with("#[") || line.starts_with(")]"));
        n_documented += usize::from(above.next().is_some_and(|line| line.starts_with("///")));
    }
    (n_public, n_documented)
}

/// For each function with a body, its lines with code from `fn` to the closing brace.
fn function_lines(tokens: &[Token<'_>], code: &str) -> Vec<usize> {
    let lines: Vec<&str> = code.lines().collect();
    let mut sizes = Vec::new();
    for (idx, token) in tokens.iter().enumerate() {
        if token.text != "fn" {
            continue;
        }
        let Some(last) = last_line(&tokens[idx..]) else { continue };
        let body = &lines[token.line - 1..last];
        sizes.push(body.iter().filter(|line| !line.trim().is_empty()).count());
    }
    sizes
}

/// Line of the brace that closes the body; `None` for a declaration or a function pointer.
fn last_line(tokens: &[Token<'_>]) -> Option<usize> {
    if tokens.get(1).is_some_and(|next| next.text == "(") {
        return None;
    }
    let mut depth = 0_usize;
    let mut n_parens = 0_i32;
    for token in tokens {
        match token.text {
            "(" | "[" => n_parens += 1,
            ")" | "]" => n_parens -= 1,
            ";" if depth == 0 && n_parens == 0 => return None,
            "{" => depth += 1,
            "}" => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(token.line);
                }
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    fn check(path: &str, text: &str, expected: &Counts) {
        let tree = Tree::of(&[(path, text)]);
        let found: Vec<Counts> = tree.rust_files().map(|file| Counts::of(&file)).collect();
        assert_eq!(found.as_slice(), std::slice::from_ref(expected));
    }

    #[test]
    fn a_source_is_counted_without_its_tests() {
        let text = "//! x\n\n/// One.\n#[must_use]\npub fn one(a: [u8; 2]) -> u8 {\n    // why\n\n    \
                    a.first().unwrap()\n}\n\npub struct S;\npub use a::b;\ntrait T {\n    fn f();\n}\n\n\
                    #[cfg(test)]\nmod tests {\n    fn b() { x.unwrap(); assert!(y) }\n}\n";
        let expected = Counts {
            file_lines: vec![20],
            fn_lines: vec![3],
            n_code: 9,
            n_tests: 4,
            n_public: 2,
            n_documented: 1,
            n_unwraps: 1,
            ..Counts::default()
        };
        check("crates/x/src/a.rs", text, &expected);
    }

    #[test]
    fn a_test_file_counts_as_tests_only() {
        let expected = Counts { n_tests: 1, ..Counts::default() };
        check("crates/x/tests/it/a.rs", "//! x\nfn a() {}\n\n// b\n", &expected);
    }
}
