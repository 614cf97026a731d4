//! What L1 makes up: ids, the varying parts of strings, and the mark that says so.

use super::emit::put_field;
use crate::level::{Level, Method};
use crate::structured::template::fill;

/// How generated spans are named and marked.
#[derive(Clone, Debug)]
pub(super) struct Mark {
    key: [u8; 32],
    archive_id: [u8; 16],
}

impl Mark {
    pub(super) fn new(archive_id: [u8; 16]) -> Self {
        Self { key: blake3::derive_key("spanwise archive ids", &archive_id), archive_id }
    }

    /// An id of a `kind` by its number in a block: bytes that nobody guesses without the archive.
    pub(super) fn id<const N: usize>(&self, kind: u8, block: u32, number: u64) -> [u8; N] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[kind]);
        hasher.update(&block.to_le_bytes());
        hasher.update(&number.to_le_bytes());
        let mut id = [0; N];
        hasher.finalize_xof().fill(&mut id);
        id
    }

    /// A string of a form. The same form in the same column of the same trace is the same string.
    pub(super) fn text(&self, form: &[u8], (block, trace, column): (u32, u64, u32)) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(b"text");
        hasher.update(&block.to_le_bytes());
        hasher.update(&trace.to_le_bytes());
        hasher.update(&column.to_le_bytes());
        hasher.update(form);
        let mut words = hasher.finalize_xof();
        fill(form, || {
            let mut word = [0; 4];
            words.fill(&mut word);
            u32::from_le_bytes(word)
        })
    }

    /// Attributes of a resource that say that its spans are not real, as fields of `Resource`.
    pub(super) fn attributes(&self) -> Vec<u8> {
        let hex = format!("{:032x}", u128::from_be_bytes(self.archive_id));
        let mut out = Vec::new();
        let mut attribute = |key: &str, value: &[u8]| {
            let mut inner = Vec::new();
            put_field(&mut inner, 1, key.as_bytes());
            put_field(&mut inner, 2, value);
            put_field(&mut out, 1, &inner);
        };
        attribute("trace.synthetic", &[0x10, 1]);
        let mut text = |key: &str, value: &str| {
            let mut inner = Vec::new();
            put_field(&mut inner, 1, value.as_bytes());
            attribute(key, &inner);
        };
        text("trace.synthetic.archive_id", &hex);
        text("trace.synthetic.level", Level::NearLossless.name());
        text("trace.synthetic.method", Method::Columns.name());
        out
    }
}
