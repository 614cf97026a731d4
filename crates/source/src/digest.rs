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
    let [i0, i1, i2, i3, i4, i5, i6, i7] = IV;
    let mut a = [i0 ^ PARAMETERS, i1, i2, i3];
    let mut b = [i4, i5, i6, i7];
    let mut c = [i0, i1, i2, i3];
    let mut d = [i4 ^ n_bytes, i5, !i6, i7];
    for round in 0..N_ROUNDS {
        let s = SIGMA[round % 10].map(|i| m[usize::from(i)]);
        mix(&mut a, &mut b, &mut c, &mut d, [s[0], s[2], s[4], s[6]], [s[1], s[3], s[5], s[7]]);
        // Columns were mixed; turned like this, the diagonals are.
        (b, c, d) = (turn(b), turn(turn(c)), turn(turn(turn(d))));
        let (x, y) = ([s[8], s[10], s[12], s[14]], [s[9], s[11], s[13], s[15]]);
        mix(&mut a, &mut b, &mut c, &mut d, x, y);
        (b, c, d) = (turn(turn(turn(b))), turn(turn(c)), turn(d));
    }
    (i0 ^ PARAMETERS ^ a[0] ^ c[0]).to_le_bytes()
}

/// One place to the left. Not `rotate_left`, which is a call into a loop for slices of any length.
const fn turn([a, b, c, d]: [u64; 4]) -> [u64; 4] {
    [b, c, d, a]
}

/// The RFC's function G on four columns at once.
#[inline]
fn mix(
    a: &mut [u64; 4],
    b: &mut [u64; 4],
    c: &mut [u64; 4],
    d: &mut [u64; 4],
    x: [u64; 4],
    y: [u64; 4],
) {
    for (words, rotations) in [(x, (32, 24)), (y, (16, 63))] {
        for i in 0..4 {
            a[i] = a[i].wrapping_add(b[i]).wrapping_add(words[i]);
            d[i] = (d[i] ^ a[i]).rotate_right(rotations.0);
            c[i] = c[i].wrapping_add(d[i]);
            b[i] = (b[i] ^ c[i]).rotate_right(rotations.1);
        }
    }
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
