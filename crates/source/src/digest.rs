//! `BLAKE2b` (RFC 7693) of one short message with an 8-byte digest: how spans of column files get
//! their ids.
//!
//! Only that case, so that no dependency is needed for it: no key, at most one block of 128 bytes.

const IV: [u64; 8] = [
    0x6a09_e667_f3bc_c908,
    0xbb67_ae85_84ca_a73b,
    0x3c6e_f372_fe94_f82b,
    0xa54f_f53a_5f1d_36f1,
    0x510e_527f_ade6_82d1,
    0x9b05_688c_2b3e_6c1f,
    0x1f83_d9ab_fb41_bd6b,
    0x5be0_cd19_137e_2179,
];

const SIGMA: [[u8; 16]; 10] = [
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
    [14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3],
    [11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4],
    [7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8],
    [9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13],
    [2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9],
    [12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11],
    [13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10],
    [6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5],
    [10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0],
];

const N_ROUNDS: usize = 12;
/// Parameter block: digest of 8 bytes, no key, fanout and depth 1.
const PARAMETERS: u64 = 0x0101_0008;

/// The digest of the first `n_bytes` of `block`; the rest of `block` must be zero.
pub(crate) fn blake2b_64(block: &[u8; 128], n_bytes: u64) -> [u8; 8] {
    let mut m = [0_u64; 16];
    for (word, bytes) in m.iter_mut().zip(block.as_chunks::<8>().0) {
        *word = u64::from_le_bytes(*bytes);
    }
    let mut v = [0_u64; 16];
    v[..8].copy_from_slice(&IV);
    v[0] ^= PARAMETERS;
    v[8..].copy_from_slice(&IV);
    v[12] ^= n_bytes;
    v[14] = !v[14];
    for round in 0..N_ROUNDS {
        let s = SIGMA[round % 10].map(usize::from);
        mix(&mut v, [0, 4, 8, 12], m[s[0]], m[s[1]]);
        mix(&mut v, [1, 5, 9, 13], m[s[2]], m[s[3]]);
        mix(&mut v, [2, 6, 10, 14], m[s[4]], m[s[5]]);
        mix(&mut v, [3, 7, 11, 15], m[s[6]], m[s[7]]);
        mix(&mut v, [0, 5, 10, 15], m[s[8]], m[s[9]]);
        mix(&mut v, [1, 6, 11, 12], m[s[10]], m[s[11]]);
        mix(&mut v, [2, 7, 8, 13], m[s[12]], m[s[13]]);
        mix(&mut v, [3, 4, 9, 14], m[s[14]], m[s[15]]);
    }
    (IV[0] ^ PARAMETERS ^ v[0] ^ v[8]).to_le_bytes()
}

fn mix(v: &mut [u64; 16], [a, b, c, d]: [usize; 4], x: u64, y: u64) {
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(x);
    v[d] = (v[d] ^ v[a]).rotate_right(32);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(24);
    v[a] = v[a].wrapping_add(v[b]).wrapping_add(y);
    v[d] = (v[d] ^ v[a]).rotate_right(16);
    v[c] = v[c].wrapping_add(v[d]);
    v[b] = (v[b] ^ v[c]).rotate_right(63);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_equal_those_of_another_implementation() {
        // Python: hashlib.blake2b(message, digest_size=8).hexdigest()
        let check = |message: &[u8], expected: &str| {
            let mut block = [0; 128];
            block[..message.len()].copy_from_slice(message);
            let digest = u64::from_be_bytes(blake2b_64(&block, message.len() as u64));
            assert_eq!(format!("{digest:016x}"), expected);
        };
        check(b"", "e4a6a0577479b2b4");
        check(b"abc", "d8bb14d833d59559");
        check(&[7; 128], "a02bbb5919353a3a");
    }
}
