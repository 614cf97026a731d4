//! Strings with their varying parts taken out: ids become "so many hexadecimal digits".
//!
//! A template is text in which a byte below 3 stands for a run: 1 for hexadecimal digits, 2 for
//! digits, followed by the length of the run (1 to 255).

/// Begins a run of hexadecimal digits.
const HEX: u8 = 1;
/// Begins a run of digits.
const DIGITS: u8 = 2;
/// Shorter runs of hexadecimal digits count only if they stand alone and mix digits and letters.
const HEX_LONG: usize = 8;
const HEX_SHORT: usize = 4;
const RUN_MAX: usize = 255;

/// The template of a text, or `None` for one that holds a byte below 3.
pub(crate) fn template_of(text: &[u8]) -> Option<Vec<u8>> {
    if text.iter().any(|&byte| byte <= DIGITS) {
        return None;
    }
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        let hex = hex_run(text, at);
        let digits = text[at..].iter().take(RUN_MAX).take_while(|b| b.is_ascii_digit()).count();
        let (what, len) = if hex > digits { (HEX, hex) } else { (DIGITS, digits) };
        if len == 0 {
            out.push(byte);
            at += 1;
        } else {
            out.extend_from_slice(&[what, len as u8]);
            at += len;
        }
    }
    Some(out)
}

/// The length of the run of hexadecimal digits at `at`, 0 if it is none or only looks like one.
fn hex_run(text: &[u8], at: usize) -> usize {
    let is_hex = |byte: &&u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(*byte);
    let run = text[at..].iter().take(RUN_MAX).take_while(is_hex).count();
    if run >= HEX_LONG {
        return run;
    }
    let alone = |byte: Option<&u8>| byte.is_none_or(|byte| !byte.is_ascii_alphanumeric());
    let stands_alone = alone(at.checked_sub(1).map(|i| &text[i])) && alone(text.get(at + run));
    let part = &text[at..at + run];
    let mixed = part.iter().any(u8::is_ascii_digit) && part.iter().any(u8::is_ascii_alphabetic);
    if run >= HEX_SHORT && stands_alone && mixed { run } else { 0 }
}

/// Whether a template has no runs: then it is its only text.
pub(crate) fn is_constant(template: &[u8]) -> bool {
    template.iter().all(|&byte| byte > DIGITS)
}

/// A text of the template, its runs filled from `word`, which yields a new number each time.
pub(crate) fn fill(template: &[u8], mut word: impl FnMut() -> u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(template.len());
    let mut bytes = template.iter();
    while let Some(&byte) = bytes.next() {
        if byte > DIGITS {
            out.push(byte);
            continue;
        }
        for at in 0..bytes.next().copied().unwrap_or(0) {
            let digit = if byte == HEX {
                b"0123456789abcdef"[(word() >> 28) as usize]
            } else {
                // A number does not begin with a zero unless it is one.
                let first = u64::from(at == 0);
                b'0' + (first + ((u64::from(word()) * (10 - first)) >> 32)) as u8
            };
            out.push(digit);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[u8]) {
        let template = template_of(text.as_bytes()).unwrap();
        assert_eq!(template, expected, "{text}");
        let mut n = 0_u32;
        let filled = fill(&template, || {
            n = n.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
            n
        });
        assert_eq!(filled.len(), text.len());
        assert_eq!(template_of(&filled).unwrap().len(), template.len(), "{text}");
    }

    #[test]
    fn ids_leave_and_words_stay() {
        check("plain words", b"plain words");
        check("cart:4711", b"cart:\x02\x04");
        check("deadbeef99", b"\x01\x0a");
        check("feed the cafe", b"feed the cafe");
        check("GET /a/12/b", b"GET /a/\x02\x02/b");
        check("id 9f3a-77aa1b2c", b"id \x01\x04-\x01\x08");
    }

    #[test]
    fn what_looks_like_a_template_has_none() {
        assert_eq!(template_of(b"a\x01b"), None);
        assert_eq!(fill(b"a\x02", || 0), b"a");
    }
}
