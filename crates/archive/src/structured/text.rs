//! Strings in the model's coder: each byte is predicted from the bytes before it, of all strings of
//! the section, and from where the last bytes occurred before.

use super::Error;
use super::coder::{Coder, bits, hash};

/// Ends a string. Strings with this byte, or with the next, are escaped.
const END: u8 = 0;
const ESCAPE: u8 = 0xff;
/// Bytes that must agree before the match is followed.
const MATCH_MIN: usize = 4;
const MATCH_BITS: u32 = 16;
const SET: u8 = 200;

/// The history of a section's strings.
#[derive(Debug)]
pub(crate) struct Texts {
    history: Vec<u8>,
    /// Where each hash of [`MATCH_MIN`] bytes was last followed by something.
    seen: Vec<u32>,
    matched: usize,
    match_len: u32,
    word: u32,
}

impl Texts {
    pub(crate) fn new() -> Self {
        Self {
            history: vec![END; 8],
            seen: vec![0; 1 << MATCH_BITS],
            matched: 0,
            match_len: 0,
            word: 0,
        }
    }

    /// Codes a string of at most `len_max` bytes. `what` tells strings of different uses apart.
    pub(crate) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        what: u32,
        text: &[u8],
        len_max: usize,
    ) -> Result<Vec<u8>, Error> {
        let mut out = Vec::new();
        let mut input = text.iter();
        self.word = what;
        loop {
            let (byte, is_end) = match input.next() {
                Some(&byte) => (byte, false),
                None => (END, true),
            };
            let escape = !is_end && (byte == END || byte == ESCAPE);
            let first = self.byte(coder, what, if escape { ESCAPE } else { byte });
            match first {
                END => break,
                ESCAPE => {
                    let second = self.byte(coder, what, byte);
                    out.push(second);
                }
                byte => out.push(byte),
            }
            if out.len() > len_max {
                return Err(Error::TooMany("bytes in a string"));
            }
            coder.check()?;
        }
        Ok(out)
    }

    fn byte<C: Coder>(&mut self, coder: &mut C, what: u32, byte: u8) -> u8 {
        let n = self.history.len();
        let last =
            |k: usize| self.history[n - k..].iter().fold(k as u32, |h, &b| hash(h, u32::from(b)));
        let expected = match self.match_len {
            0 => 0x1_0000,
            len => len.min(15) << 8 | u32::from(self.history[self.matched]),
        };
        let contexts = [
            hash(0x101, what),
            hash(0x102, last(1)),
            hash(0x103, last(2)),
            hash(0x104, last(3)),
            hash(0x105, last(5)),
            hash(0x106, self.word),
            hash(0x107, expected),
        ];
        let set = SET + self.match_len.min(3) as u8;
        let byte = bits(coder, set, &contexts, 8, u32::from(byte)) as u8;
        self.learn(byte);
        byte
    }

    fn learn(&mut self, byte: u8) {
        if self.match_len > 0 && self.history[self.matched] == byte {
            self.match_len += 1;
            self.matched += 1;
        } else {
            self.match_len = 0;
        }
        self.history.push(byte);
        let is_word = byte.is_ascii_alphabetic();
        self.word = if is_word { hash(self.word, u32::from(byte)) } else { u32::from(byte) };
        let n = self.history.len();
        let tail = &self.history[n - MATCH_MIN..];
        let key = tail.iter().fold(7, |h, &b| hash(h, u32::from(b))) >> (32 - MATCH_BITS);
        let at = &mut self.seen[key as usize];
        if self.match_len == 0 && *at > 0 {
            self.matched = *at as usize;
            self.match_len = 1;
        }
        *at = n as u32;
    }
}

#[cfg(test)]
mod tests {
    use super::super::coder::{Decoder, Encoder};
    use super::*;

    #[test]
    fn strings_of_any_bytes_read_back() {
        let all: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"GET /cart".to_vec(),
            b"GET /cart/items".to_vec(),
            vec![0, 255, 1, 2, 0],
            (0..=255).collect(),
        ];
        let mut encoder = Encoder::new();
        let mut texts = Texts::new();
        for text in &all {
            texts.code(&mut encoder, 1, text, 1000).unwrap();
        }
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        let mut texts = Texts::new();
        for text in &all {
            assert_eq!(&texts.code(&mut decoder, 1, &[], 1000).unwrap(), text);
        }
    }

    #[test]
    fn a_string_above_its_limit_is_refused() {
        let mut encoder = Encoder::new();
        let long = vec![b'a'; 100];
        let result = Texts::new().code(&mut encoder, 1, &long, 50);
        assert_eq!(result, Err(Error::TooMany("bytes in a string")));
    }
}
