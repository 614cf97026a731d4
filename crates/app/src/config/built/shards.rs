//! How many threads share the spans.

use super::Problems;
use crate::config::raw::{RawConfig, RawShards};

/// Most shards.
pub const N_MAX: u32 = 64;
/// Receivers need as many processors as the shards, about.
const PROCESSORS_PER_SHARD: usize = 2;

pub(super) fn shards(raw: &RawConfig, problems: &mut Problems) -> Option<u32> {
    match &raw.shards {
        None => Some(1),
        Some(RawShards::Number(n)) if (1..=u64::from(N_MAX)).contains(n) => Some(*n as u32),
        Some(RawShards::Word(word)) if word == "auto" => {
            let n = std::thread::available_parallelism().map_or(1, usize::from);
            Some(((n / PROCESSORS_PER_SHARD) as u32).clamp(1, N_MAX))
        }
        Some(_) => {
            let message = "is no number of threads".to_owned();
            problems.error("shards", "C021", message, "write a number from 1 to 64, or auto");
            None
        }
    }
}
