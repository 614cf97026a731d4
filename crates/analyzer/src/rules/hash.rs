//! A 64-bit hash that is the same in every process, on every machine and in every version: counts
//! from several samplers are merged by it, and a record names the version of a rule by it.
//!
//! FNV-1a, finished with a mixing step. Not for tables keyed from the network: whoever sends spans
//! can find collisions. A collision here merges two instances into one, which only makes the
//! quorum harder to reach.

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The hash of `bytes`.
pub(super) fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash = OFFSET;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(PRIME);
        hash ^= hash >> 32;
    }
    for &byte in chunks.remainder() {
        hash = (hash ^ u64::from(byte)).wrapping_mul(PRIME);
    }
    mix(hash ^ bytes.len() as u64)
}

/// The finalizer of `SplitMix64`: every input bit reaches every output bit.
const fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_never_changes_between_versions() {
        // Written down once; a change breaks counts between a new and an old process.
        let hashes = [b"".as_slice(), b"a", b"cart-7d9f-x2", b"0123456789abcdef"].map(stable_hash);
        let expected = [
            0xf52a_15e9_a9b5_e89b,
            0x8097_ca68_b9cc_797b,
            0x5be5_c0cb_a227_3d47,
            0xbdc6_3fc5_c7f2_a158,
        ];
        assert_eq!(hashes, expected);
    }

    #[test]
    fn names_that_differ_in_one_place_differ() {
        let mut seen: Vec<u64> =
            (0..1_000).map(|n| stable_hash(format!("cartservice-{n:04}").as_bytes())).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 1_000);
    }
}
