//! Byte strings and typed values as small numbers, in order of first appearance.
//!
//! One arena instead of a map of boxes: a window holds millions of values, most of them repeats.

use std::hash::Hasher;

use hashbrown::HashTable;
use rustc_hash::FxHasher;
use spanwise_model::ValueRef;

/// Distinct byte strings, numbered from 0 as they come.
#[derive(Clone, Debug, Default)]
pub struct Interner {
    arena: Vec<u8>,
    /// End of each string in `arena`; its start is the end of the one before.
    ends: Vec<usize>,
    table: HashTable<u32>,
}

/// Distinct attribute values with their types, numbered from 0 as they come. Two values are the
/// same if their type and bits are.
#[derive(Clone, Debug, Default)]
pub struct Values {
    interner: Interner,
    scratch: Vec<u8>,
}

impl Interner {
    /// The number of `bytes`, a new one if they were not seen before.
    pub fn intern(&mut self, bytes: &[u8]) -> u32 {
        let (arena, ends) = (&self.arena, &self.ends);
        let hash = hash_of(bytes);
        let found = self.table.find(hash, |&id| slice(arena, ends, id) == bytes);
        if let Some(&id) = found {
            return id;
        }
        let id = self.ends.len() as u32;
        self.arena.extend_from_slice(bytes);
        self.ends.push(self.arena.len());
        let (arena, ends) = (&self.arena, &self.ends);
        self.table.insert_unique(hash, id, |&id| hash_of(slice(arena, ends, id)));
        id
    }

    /// The number of `bytes`, if they were seen.
    pub fn find(&self, bytes: &[u8]) -> Option<u32> {
        self.table.find(hash_of(bytes), |&id| self.get(id) == bytes).copied()
    }

    /// The bytes of a number; empty for one that was not given out.
    pub fn get(&self, id: u32) -> &[u8] {
        if (id as usize) < self.ends.len() { slice(&self.arena, &self.ends, id) } else { &[] }
    }

    /// The same as text; empty if it is not UTF-8.
    pub fn text(&self, id: u32) -> &str {
        std::str::from_utf8(self.get(id)).unwrap_or_default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl Values {
    /// The number of a value. `other` is the raw `AnyValue` message of an array, a list or nothing,
    /// which [`ValueRef::Other`] does not carry.
    pub fn intern(&mut self, value: ValueRef<'_>, other: &[u8]) -> u32 {
        let scratch = &mut self.scratch;
        scratch.clear();
        match value {
            ValueRef::Str(text) => put(scratch, b's', text.as_bytes()),
            ValueRef::Bool(flag) => put(scratch, b'b', &[u8::from(flag)]),
            ValueRef::Int(number) => put(scratch, b'i', &number.to_le_bytes()),
            ValueRef::Double(number) => put(scratch, b'd', &number.to_bits().to_le_bytes()),
            ValueRef::Bytes(bytes) => put(scratch, b'y', bytes),
            ValueRef::Other => put(scratch, b'o', other),
        }
        self.interner.intern(scratch)
    }

    /// The value of a number; [`ValueRef::Other`] for one that was not given out.
    pub fn get(&self, id: u32) -> ValueRef<'_> {
        match self.interner.get(id) {
            [b's', text @ ..] => std::str::from_utf8(text).map_or(ValueRef::Other, ValueRef::Str),
            [b'b', flag @ ..] => ValueRef::Bool(flag != [0]),
            [b'i', rest @ ..] => {
                word(rest).map_or(ValueRef::Other, |n| ValueRef::Int(n.cast_signed()))
            }
            [b'd', rest @ ..] => {
                word(rest).map_or(ValueRef::Other, |n| ValueRef::Double(f64::from_bits(n)))
            }
            [b'y', bytes @ ..] => ValueRef::Bytes(bytes),
            _ => ValueRef::Other,
        }
    }

    /// The raw `AnyValue` message of an array or list; empty for every other value.
    pub fn other(&self, id: u32) -> &[u8] {
        if let [b'o', raw @ ..] = self.interner.get(id) { raw } else { &[] }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.interner.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.interner.is_empty()
    }
}

fn slice<'a>(arena: &'a [u8], ends: &[usize], id: u32) -> &'a [u8] {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &arena[start..ends[id]]
}

fn hash_of(bytes: &[u8]) -> u64 {
    let mut hasher = FxHasher::default();
    hasher.write(bytes);
    hasher.finish()
}

fn put(out: &mut Vec<u8>, tag: u8, payload: &[u8]) {
    out.push(tag);
    out.extend_from_slice(payload);
}

fn word(bytes: &[u8]) -> Option<u64> {
    bytes.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_have_one_number() {
        let mut interner = Interner::default();
        let ids: Vec<_> = ["a", "", "b", "a", ""].map(|s| interner.intern(s.as_bytes())).into();
        assert_eq!(ids, [0, 1, 2, 0, 1]);
        assert_eq!((interner.text(2), interner.get(7)), ("b", &[][..]));
        assert_eq!((interner.find(b"b"), interner.find(b"c")), (Some(2), None));
    }

    #[test]
    fn values_keep_their_types() {
        let mut values = Values::default();
        let all = [
            ValueRef::Str("1"),
            ValueRef::Bool(true),
            ValueRef::Int(1),
            ValueRef::Double(1.0),
            ValueRef::Bytes(b"1"),
        ];
        for (at, value) in all.into_iter().enumerate() {
            assert_eq!(values.intern(value, &[]), at as u32);
            assert_eq!(values.get(at as u32), value);
        }
        let list = values.intern(ValueRef::Other, &[42, 0]);
        assert_eq!((values.get(list), values.other(list)), (ValueRef::Other, &[42, 0][..]));
    }
}
