//! LEB128 integers.

/// Appends `value` in 1 to 10 bytes.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The first integer of `bytes` and its length; `None` if it does not end or exceeds 64 bits.
pub(crate) fn take(bytes: &[u8]) -> Option<(u64, usize)> {
    let mut value = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        if i == 9 && byte > 1 {
            return None;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((value, i + 1));
        }
    }
    None
}

/// Bytes of `value` as LEB128.
pub(crate) const fn len(value: u64) -> usize {
    ((64 - (value | 1).leading_zeros()) as usize).div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_come_back_from_the_length_announced() {
        for value in [0, 1, 127, 128, 1 << 21, u64::from(u32::MAX), 1 << 63, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            assert_eq!(out.len(), len(value));
            out.push(9);
            assert_eq!(take(&out), Some((value, out.len() - 1)));
        }
        assert_eq!(take(&[0x80; 12]), None);
        assert_eq!(take(&[0x80]), None);
    }
}
