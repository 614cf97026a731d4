//! How far each consumer of the log has come, in the log itself.
//!
//! A record of kind [`CURSOR`](crate::Kind::CURSOR) names all cursors, so the last one counts alone.
//! Every segment gets one, so that deleting segments never deletes the cursors. If the last is lost
//! an earlier one counts: records are delivered again, never left out.

use std::collections::BTreeMap;

use crate::error::Error;

/// So that their number fits a byte; far more than there are destinations.
const CURSORS_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 255;

/// Number of the last record each consumer is done with, by name.
#[derive(Debug, Default)]
pub(crate) struct Cursors {
    done: BTreeMap<String, u64>,
    /// Whether something has changed since a record was staged.
    pub(crate) is_dirty: bool,
    /// Segment with the latest record of them.
    pub(crate) segment: Option<u32>,
}

impl Cursors {
    pub(crate) fn is_empty(&self) -> bool {
        self.done.is_empty()
    }

    pub(crate) fn get(&self, name: &str) -> Option<u64> {
        self.done.get(name).copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.done.iter().map(|(name, &done)| (name.as_str(), done))
    }

    /// Whether every consumer is done with record `seq`.
    pub(crate) fn have_passed(&self, seq: u64) -> bool {
        self.done.values().all(|&done| done >= seq)
    }

    /// Moves a cursor forward, never back; makes it if there is none.
    pub(crate) fn set(&mut self, name: &str, seq: u64) -> Result<(), Error> {
        if self.done.contains_key(name) {
            self.advance(name, seq);
            return Ok(());
        }
        let refuse = |problem| Err(Error::Cursor { name: name.to_owned(), problem });
        if name.is_empty() || name.len() > NAME_BYTES_MAX {
            return refuse("a name has 1 to 255 bytes");
        }
        if self.done.len() >= CURSORS_MAX {
            return refuse("there are 255 cursors already");
        }
        self.done.insert(name.to_owned(), seq);
        self.is_dirty = true;
        Ok(())
    }

    /// Moves a cursor forward, if there is one.
    pub(crate) fn advance(&mut self, name: &str, seq: u64) {
        if let Some(done) = self.done.get_mut(name) {
            self.is_dirty |= seq > *done;
            *done = seq.max(*done);
        }
    }

    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let was_there = self.done.remove(name).is_some();
        self.is_dirty |= was_there;
        was_there
    }

    /// `n u8 | n times: length u8, name, done u64`.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.done.len() as u8];
        for (name, done) in &self.done {
            bytes.push(name.len() as u8);
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(&done.to_le_bytes());
        }
        bytes
    }

    /// Takes the cursors of a record that was read back from `segment`; nothing if it is none.
    pub(crate) fn restore(&mut self, payload: &[u8], segment: u32) {
        if let Some(done) = decode(payload) {
            *self = Self { done, is_dirty: false, segment: Some(segment) };
        }
    }
}

fn decode(payload: &[u8]) -> Option<BTreeMap<String, u64>> {
    let (&n, mut rest) = payload.split_first()?;
    let mut done = BTreeMap::new();
    for _ in 0..n {
        let (&n_name, behind) = rest.split_first()?;
        let (name, behind) = behind.split_at_checked(usize::from(n_name))?;
        let (seq, behind) = behind.split_first_chunk()?;
        let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty())?;
        done.insert(name.to_owned(), u64::from_le_bytes(*seq));
        rest = behind;
    }
    rest.is_empty().then_some(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_have_the_documented_bytes() {
        let mut cursors = Cursors::default();
        cursors.set("b", 258).unwrap();
        cursors.set("aa", 1).unwrap();
        let bytes = cursors.encode();
        let expected: &[u8] = b"\x02\x02aa\x01\0\0\0\0\0\0\0\x01b\x02\x01\0\0\0\0\0\0";
        assert_eq!(bytes, expected);
        let mut restored = Cursors::default();
        restored.restore(&bytes, 3);
        assert!(restored.iter().eq([("aa", 1), ("b", 258)]));
        for cut in 0..bytes.len() {
            assert_eq!(decode(&bytes[..cut]), None, "cut at {cut}");
        }
        assert_eq!(decode(&[&bytes[..], b"x"].concat()), None);
        assert_eq!(decode(b"\x01\x01\xff\0\0\0\0\0\0\0\0"), None);
    }

    #[test]
    fn a_cursor_never_goes_back() {
        let mut cursors = Cursors::default();
        cursors.set("a", 5).unwrap();
        cursors.is_dirty = false;
        cursors.set("a", 4).unwrap();
        assert_eq!((cursors.get("a"), cursors.is_dirty), (Some(5), false));
        assert!(cursors.have_passed(5) && !cursors.have_passed(6));
    }

    #[test]
    fn names_and_their_number_are_bounded() {
        let mut cursors = Cursors::default();
        assert!(cursors.set("", 1).is_err() && cursors.set(&"x".repeat(256), 1).is_err());
        for i in 0..255 {
            cursors.set(&format!("{i:0255}"), 1).unwrap();
        }
        assert!(cursors.set("x", 1).is_err() && cursors.set(&"0".repeat(255), 2).is_ok());
        let mut restored = Cursors::default();
        restored.restore(&cursors.encode(), 1);
        assert_eq!(restored.done, cursors.done);
    }
}
