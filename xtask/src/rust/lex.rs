//! Separates code from comments and literals, keeping every line and column where it was.

use std::cell::OnceCell;

/// A source taken apart. Both texts have the length of the original; what belongs to the other is
/// blank.
#[derive(Debug)]
pub(crate) struct Source {
    /// Code; of a literal only its quotes are left.
    pub(crate) code: String,
    /// Comments, doc comments included.
    pub(crate) comments: String,
    production: OnceCell<String>,
}

/// What the bytes at a position begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Piece {
    Code,
    Comment,
    Literal,
}

impl Source {
    /// Takes a source apart. Unterminated comments and literals run to the end of the file.
    pub(crate) fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut code = Vec::with_capacity(bytes.len());
        let mut comments = Vec::with_capacity(bytes.len());
        let mut at = 0;
        while at < bytes.len() {
            let (piece, length) = piece_at(bytes, at);
            let end = (at + length).min(bytes.len());
            for (idx, &byte) in bytes.iter().enumerate().take(end).skip(at) {
                let is_edge = idx == at || idx + 1 == end;
                let in_code = match piece {
                    Piece::Code => byte,
                    Piece::Literal if is_edge => b'"',
                    Piece::Literal | Piece::Comment => blank(byte),
                };
                code.push(in_code);
                comments.push(if piece == Piece::Comment { byte } else { blank(byte) });
            }
            at = end;
        }
        Self { code: into_text(code), comments: into_text(comments), production: OnceCell::new() }
    }

    /// The code without items under `#[cfg(test)]` or `#[cfg(all(test, ..))]`; empty when the whole
    /// file is under `#![cfg(test)]`.
    pub(crate) fn production(&self) -> &str {
        self.production.get_or_init(|| self.without_tests())
    }

    fn without_tests(&self) -> String {
        if self.code.contains("#![cfg(test)]") {
            return self.code.chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
        }
        let mut bytes = self.code.clone().into_bytes();
        for attribute in ["#[cfg(test)]", "#[cfg(all(test"] {
            let mut from = 0;
            while let Some(found) = self.code[from..].find(attribute) {
                let start = from + found;
                let end = end_of_item(self.code.as_bytes(), start);
                for byte in &mut bytes[start..end] {
                    *byte = blank(*byte);
                }
                from = end.max(start + attribute.len());
            }
        }
        into_text(bytes)
    }
}

fn blank(byte: u8) -> u8 {
    if byte == b'\n' { b'\n' } else { b' ' }
}

fn into_text(bytes: Vec<u8>) -> String {
    match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
    }
}

fn piece_at(bytes: &[u8], at: usize) -> (Piece, usize) {
    let rest = &bytes[at..];
    let follows_word = at > 0 && is_word(bytes[at - 1]);
    match rest {
        [b'/', b'/', ..] => (Piece::Comment, position(rest, b'\n').unwrap_or(rest.len())),
        [b'/', b'*', ..] => (Piece::Comment, block_comment(rest)),
        [b'"', ..] => (Piece::Literal, quoted(rest)),
        [b'\'', ..] => character(rest).map_or((Piece::Code, 1), |n| (Piece::Literal, n)),
        [b'r' | b'b' | b'c', ..] if !follows_word => {
            raw_string(rest).map_or((Piece::Code, 1), |length| (Piece::Literal, length))
        }
        _ => (Piece::Code, 1),
    }
}

pub(crate) fn is_word(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric()
}

fn position(bytes: &[u8], wanted: u8) -> Option<usize> {
    bytes.iter().position(|&byte| byte == wanted)
}

fn block_comment(bytes: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < bytes.len() {
        match bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// Length of a character literal, or `None` for a lifetime.
fn character(bytes: &[u8]) -> Option<usize> {
    if bytes.get(1) == Some(&b'\\') {
        let escape = 3 + position(bytes.get(3..)?, b'\'')?;
        return Some(escape + 1);
    }
    // One character of up to four bytes, then the closing quote.
    let window = bytes.get(2..bytes.len().min(6))?;
    let closing = 2 + position(window, b'\'')?;
    let is_one_character =
        std::str::from_utf8(&bytes[1..closing]).is_ok_and(|c| c.chars().count() == 1);
    is_one_character.then_some(closing + 1)
}

/// Length of a string with a prefix: `r"..."`, `br#"..."#`, `b"..."`, `c"..."`.
fn raw_string(bytes: &[u8]) -> Option<usize> {
    let n_prefix = bytes.iter().take(2).take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    let is_raw = bytes[..n_prefix].contains(&b'r');
    let n_hashes = bytes[n_prefix..].iter().take_while(|&&byte| byte == b'#').count();
    let opening = n_prefix + n_hashes;
    if bytes.get(opening) != Some(&b'"') {
        return None;
    }
    if !is_raw {
        return (n_hashes == 0).then(|| opening + quoted(&bytes[opening..]));
    }
    let mut closing = vec![b'#'; n_hashes + 1];
    closing[0] = b'"';
    let body = &bytes[opening + 1..];
    let length = body.windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |n| opening + 1 + n + closing.len()))
}

/// End of the item an attribute at `start` belongs to: its `;`, the `}` that closes its body, or,
/// for a field, a variant or a match arm, its comma.
fn end_of_item(code: &[u8], start: usize) -> usize {
    let mut at = start;
    while code[at..].starts_with(b"#[") {
        at += matching(&code[at + 1..], b'[', b']') + 1;
        at += code[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }
    let word_length = code[at..].iter().take_while(|&&byte| is_word(byte)).count();
    let ends_with_comma = !is_item_keyword(&code[at..at + word_length]);
    let mut depth = 0_i32;
    while at < code.len() {
        match code[at] {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b';' if depth == 0 => return at + 1,
            b'{' if depth == 0 => return at + matching(&code[at..], b'{', b'}'),
            b',' if depth == 0 && ends_with_comma => return at + 1,
            b'}' => return at,
            _ => {}
        }
        at += 1;
    }
    code.len()
}

fn is_item_keyword(word: &[u8]) -> bool {
    const KEYWORDS: [&[u8]; 15] = [
        b"pub", b"fn", b"mod", b"use", b"impl", b"struct", b"enum", b"const", b"static", b"type",
        b"trait", b"async", b"unsafe", b"extern", b"let",
    ];
    KEYWORDS.contains(&word)
}

/// Length from the opening bracket at the start to the end of its closing one.
fn matching(code: &[u8], open: u8, close: u8) -> usize {
    let mut depth = 0_i32;
    for (idx, &byte) in code.iter().enumerate() {
        if byte == open {
            depth += 1;
        } else if byte == close {
            depth -= 1;
            if depth == 0 {
                return idx + 1;
            }
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, code: &str, comments: &str) {
        let source = Source::parse(text);
        assert_eq!(source.code, code);
        assert_eq!(source.comments.trim(), comments);
        assert_eq!(source.comments.len(), text.len());
    }

    fn check_production(text: &str, expected: &str) {
        let source = Source::parse(text);
        let production = source.production();
        let words: Vec<&str> = production.split_whitespace().collect();
        assert_eq!(words.join(" "), expected);
        assert_eq!(production.len(), text.len(), "every line and column stays where it was");
    }

    #[test]
    fn comments_go_to_one_side_and_literals_lose_their_content() {
        check("a // b\nc", "a     \nc", "// b");
        check("a /* /* b */ */ c", &format!("a{}c", " ".repeat(15)), "/* /* b */ */");
        check(r#"f("// no", 1)"#, r#"f("     ", 1)"#, "");
        check(r##"r#"a " b"# x"##, r#""        " x"#, "");
        check(r#"b"\"" y"#, r#""   " y"#, "");
    }

    #[test]
    fn lifetimes_are_code_and_characters_are_literals() {
        check(r"f::<'a>('x', '\'')", r#"f::<'a>(" ", "  ")"#, "");
        check("'é' 'a", "\"  \" 'a", "");
        check("hdr\"", "hdr\"", "");
    }

    #[test]
    fn items_compiled_for_tests_are_no_production_code() {
        check_production(
            "fn a() {}\n#[cfg(test)]\nmod tests { fn b() { {} } }\nfn c() {}",
            "fn a() {} fn c() {}",
        );
        check_production("#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nfn c() {}", "fn c() {}");
        check_production("#[cfg(test)] use a::{b, c};\nfn d() {}", "; fn d() {}");
        check_production("struct S { #[cfg(test)] n: Vec<u8>, m: u8 }", "struct S { m: u8 }");
        check_production(
            "#[cfg(all(test, unix))]\nfn a<A, B>(x: [u8; 3]) -> A { b }\nfn c() {}",
            "fn c() {}",
        );
        check_production("//! x\n#![cfg(test)]\nmod a;", "");
        check_production(
            "#[cfg(any(test, feature = \"x\"))]\nfn a() {}",
            "#[cfg(any(test, feature = \" \"))] fn a() {}",
        );
    }
}
