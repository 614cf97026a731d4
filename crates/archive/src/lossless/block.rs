//! A block: counts, ids, and the coded content: dictionary, traces, odd spans. It stands alone.

mod read;
mod write;

use super::mark::Mark;
use super::{Broken, ids};

pub(super) use read::{Block, read};
pub(super) use write::write;

/// The first byte of a block: everything is exact, or times and numbers are in bins and ids are
/// made anew. The earlier way to round is only read.
const EXACT: u8 = 0;
const NEAR_AS_READ: u8 = 1;
const NEAR: u8 = 2;
/// Strings of a block may be this many times larger than the block, and this much besides.
const TEXT_EXPANSION: usize = 1024;
const TEXT_FREE: usize = 1 << 20;
/// Entries of a block's lists may be this many times its bytes, and this many besides.
const LIST_EXPANSION: usize = 64;
const LIST_FREE: usize = 1 << 16;
/// Spans of a block without ids may be this many times its bytes.
const SPAN_EXPANSION: u64 = 1 << 12;
/// Buckets of the model of a large block, and of the smallest, as powers of two.
const MODEL_LOG2_MAX: u32 = 18;
const MODEL_LOG2_MIN: u32 = 8;

/// The size of the model follows from the number of spans, on both sides.
fn model_log2(n_spans: usize) -> u32 {
    (usize::BITS - n_spans.leading_zeros() + 3).clamp(MODEL_LOG2_MIN, MODEL_LOG2_MAX)
}

/// Where ids go or come from.
pub(super) enum Ids<'a> {
    Writes(ids::Writer),
    Reads(ids::Reader<'a>),
    Makes(Maker<'a>),
}

/// Makes ids anew.
pub(super) struct Maker<'a> {
    pub(super) mark: &'a Mark,
    /// Number of the block.
    pub(super) block: u32,
    pub(super) n_traces: u64,
    pub(super) n_spans: u64,
    pub(super) n_others: u64,
}

impl Ids<'_> {
    pub(super) fn trace(&mut self) -> Result<[u8; 16], Broken> {
        match self {
            Self::Writes(_) => Ok([0; 16]),
            Self::Reads(reader) => reader.trace(),
            Self::Makes(maker) => {
                maker.n_traces += 1;
                Ok(maker.mark.id(b't', maker.block, maker.n_traces))
            }
        }
    }

    pub(super) fn span(&mut self) -> Result<[u8; 8], Broken> {
        match self {
            Self::Writes(_) => Ok([0; 8]),
            Self::Reads(reader) => reader.span(),
            Self::Makes(maker) => {
                maker.n_spans += 1;
                Ok(maker.mark.id(b's', maker.block, maker.n_spans))
            }
        }
    }

    /// An id of a parent or a link, of the length of `out`; a writer is given it.
    pub(super) fn other(&mut self, given: &[u8], out: &mut [u8]) -> Result<(), Broken> {
        match self {
            Self::Writes(writer) => writer.other(given),
            Self::Reads(reader) => out.copy_from_slice(reader.other(out.len())?),
            Self::Makes(maker) => {
                maker.n_others += 1;
                let id: [u8; 16] = maker.mark.id(b'o', maker.block, maker.n_others);
                out.copy_from_slice(&id[..out.len()]);
            }
        }
        Ok(())
    }
}
