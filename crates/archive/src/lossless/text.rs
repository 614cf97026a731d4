//! Strings: every distinct one is written once, byte by byte, into an arena both sides keep.
//!
//! The arena is also the history in which a match model looks for what comes next.

use rustc_hash::FxHashMap;

use super::Broken;
use crate::entropy::{Coder, Model, hash};

/// Bytes that decide where in the history a text goes on.
const N_MATCH: usize = 4;
const TABLE_LOG2: u32 = 16;
/// Between two checks of the input of a reader.
const CHECK_EVERY: usize = 1 << 10;
/// Sets of weights of bytes, and of lengths.
const SET_BYTES: u32 = 0x800;
const SET_LENGTH: u32 = 0xe00;

/// A string of the arena.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Text {
    start: u32,
    len: u32,
}

/// The arena.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Most bytes it may grow to.
    limit: usize,
    /// The last text of each kind.
    last: FxHashMap<u32, Text>,
    /// Where the last four bytes were seen before, by their hash.
    table: Vec<u32>,
}

impl Texts {
    pub(super) fn new(limit: usize) -> Self {
        let table = vec![0; 1 << TABLE_LOG2];
        Self { bytes: Vec::new(), limit, last: FxHashMap::default(), table }
    }

    pub(super) fn get(&self, text: Text) -> &[u8] {
        let start = text.start as usize;
        self.bytes.get(start..start + text.len as usize).unwrap_or_default()
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Codes a string of a `kind`, strings of which look alike.
    pub(super) fn code<C: Coder>(
        &mut self,
        model: &mut Model,
        coder: &mut C,
        kind: u32,
        given: &[u8],
    ) -> Result<Text, Broken> {
        let last = self.last.get(&kind).copied().unwrap_or_default();
        let contexts = [hash(kind, 0x51), hash(hash(kind, 0x52), last.len)];
        let set = (SET_LENGTH + kind % 32 * 8, 3);
        let (len, _) = model.signed(coder, &contexts, set, given.len().cast_signed() as i64);
        let room = self.limit.min(u32::MAX as usize) - self.bytes.len();
        let len = usize::try_from(len).ok().filter(|&len| len <= room);
        let len = len.ok_or(Broken("a text is too long"))?;
        let start = self.bytes.len();
        let mut pointer = last.start as usize;
        let mut n_matched = 0;
        for i in 0..len {
            if i % CHECK_EVERY == 0 && coder.is_overrun() {
                return Err(Broken("the content ends inside a text"));
            }
            let predicted = self.bytes.get(pointer).copied().unwrap_or(0);
            let contexts = self.contexts(kind, start, (predicted, n_matched));
            let set = SET_BYTES + kind % 256 * 2;
            let given = u32::from(given.get(i).copied().unwrap_or(0));
            let byte = model.byte(coder, &contexts, set, given) as u8;
            self.bytes.push(byte);
            n_matched = if byte == predicted { (n_matched + 1).min(15) } else { 0 };
            pointer += 1;
            self.look_up(start, &mut pointer, n_matched);
        }
        let text = Text { start: start as u32, len: len as u32 };
        self.last.insert(kind, text);
        Ok(text)
    }

    fn contexts(&self, kind: u32, start: usize, (predicted, n): (u8, u32)) -> [u32; 6] {
        let i = self.bytes.len() - start;
        let back = |n: usize| if n <= i { u32::from(self.bytes[start + i - n]) + 1 } else { 0 };
        let one = hash(hash(kind, 0x60), back(1));
        let two = hash(one, back(2));
        let three = hash(hash(hash(0x61, back(1)), back(2)), back(3));
        [
            hash(hash(kind, 0x62), i.min(255) as u32),
            one,
            two,
            three,
            hash(hash(hash(three, back(4)), back(5)), 1),
            hash(hash(hash(0x63, u32::from(predicted)), n), kind),
        ]
    }

    /// Remembers where the last bytes stand; moves the pointer there if it was wrong.
    fn look_up(&mut self, start: usize, pointer: &mut usize, n_matched: u32) {
        let end = self.bytes.len();
        if end - start < N_MATCH {
            return;
        }
        let Some(bytes) = self.bytes.last_chunk::<N_MATCH>() else { return };
        let key = hash(u32::from_le_bytes(*bytes), 7) >> (32 - TABLE_LOG2);
        let seen = std::mem::replace(&mut self.table[key as usize], end as u32);
        if n_matched == 0 && seen > 0 {
            *pointer = seen as usize;
        }
    }
}
