//! Numbers, names and tables as bytes and back. Reading believes no length before the bytes it
//! speaks of are there.

use crate::error::Error;

/// Appends to a buffer.
pub(crate) struct Writer<'a> {
    pub(crate) out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    pub(crate) fn u8(&mut self, value: u8) {
        self.out.push(value);
    }

    pub(crate) fn u16(&mut self, value: u16) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn f32(&mut self, value: f32) {
        self.u32(value.to_bits());
    }

    pub(crate) fn f64(&mut self, value: f64) {
        self.u64(value.to_bits());
    }

    /// LEB128.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.out.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.out.push(value as u8);
    }

    /// Cut to what a length of 16 bits can say; names are shorter (256 bytes).
    pub(crate) fn name(&mut self, name: &str) {
        let name = &name[..name.floor_char_boundary(usize::from(u16::MAX))];
        self.u16(name.len() as u16);
        self.out.extend_from_slice(name.as_bytes());
    }

    /// Second differences, zigzag, runs of zeros as (0, length - 1): empty regions and straight
    /// ramps, which score tables mostly are, cost a few bytes.
    pub(crate) fn table(&mut self, values: impl Iterator<Item = u16>) {
        let (mut before, mut slope, mut n_zeros) = (0_i64, 0_i64, 0_u64);
        for value in values {
            let value = i64::from(value);
            let bend = value - before - slope;
            (slope, before) = (value - before, value);
            if bend == 0 {
                n_zeros += 1;
                continue;
            }
            self.zeros(&mut n_zeros);
            self.varint(((bend << 1) ^ (bend >> 63)) as u64);
        }
        self.zeros(&mut n_zeros);
    }

    fn zeros(&mut self, n_zeros: &mut u64) {
        if *n_zeros > 0 {
            self.varint(0);
            self.varint(*n_zeros - 1);
            *n_zeros = 0;
        }
    }
}

/// Reads from a buffer.
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Snapshot { offset: self.at as u64, what }
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len).filter(|&end| end <= self.bytes.len());
        let Some(end) = end else { return Err(self.corrupt("it ends too early")) };
        let bytes = &self.bytes[self.at..end];
        self.at = end;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.bytes(N)?);
        Ok(array)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Error> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Error> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.array().map(u64::from_le_bytes)
    }

    /// A finite number, 0 or above: all floats in a snapshot but the rate are amounts.
    pub(crate) fn amount(&mut self) -> Result<f32, Error> {
        let value = f32::from_bits(self.u32()?);
        if value.is_finite() && value >= 0.0 {
            return Ok(value);
        }
        Err(self.corrupt("a mass is no finite number from 0"))
    }

    /// A finite number, 0 or above.
    pub(crate) fn count(&mut self) -> Result<f64, Error> {
        let value = self.f64()?;
        if value.is_finite() && value >= 0.0 {
            return Ok(value);
        }
        Err(self.corrupt("an amount is no finite number from 0"))
    }

    pub(crate) fn f64(&mut self) -> Result<f64, Error> {
        self.u64().map(f64::from_bits)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.corrupt("a number has more than 64 bits"))
    }

    pub(crate) fn name(&mut self) -> Result<&'a str, Error> {
        let len = self.u16()?;
        let bytes = self.bytes(len.into())?;
        std::str::from_utf8(bytes).map_err(|_| self.corrupt("a name is not UTF-8"))
    }

    /// The reverse of [`Writer::table`], into exactly `out.len()` values.
    pub(crate) fn table(&mut self, out: &mut [u16]) -> Result<(), Error> {
        let (mut before, mut slope, mut n_zeros) = (0_i64, 0_i64, 0_u64);
        let mut slots = out.iter_mut();
        while slots.len() > 0 {
            let mut bend = 0;
            if n_zeros > 0 {
                n_zeros -= 1;
            } else {
                let token = self.varint()?;
                if token == 0 {
                    n_zeros = self.varint()?;
                } else {
                    bend = (token >> 1).cast_signed() ^ -(token & 1).cast_signed();
                }
            }
            let value = before.saturating_add(slope).saturating_add(bend);
            let Ok(small) = u16::try_from(value) else {
                return Err(self.corrupt("a table leaves its range"));
            };
            (slope, before) = (value - before, value);
            if let Some(slot) = slots.next() {
                *slot = small;
            }
        }
        if n_zeros > 0 {
            return Err(self.corrupt("a table is too long"));
        }
        Ok(())
    }

    /// Everything that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        let rest = &self.bytes[self.at..];
        self.at = self.bytes.len();
        rest
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.at == self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check_table(values: &[u16], n_bytes: usize) {
        let mut bytes = Vec::new();
        Writer { out: &mut bytes }.table(values.iter().copied());
        assert_eq!(bytes.len(), n_bytes, "{values:?}");
        let mut back = vec![7; values.len()];
        let mut reader = Reader::new(&bytes, 0);
        reader.table(&mut back).unwrap();
        assert_eq!(back, values);
        assert!(reader.is_at_end());
    }

    #[test]
    fn flat_and_straight_tables_are_short() {
        check_table(&[0; 416], 3);
        let ramp: Vec<u16> = (0..416).map(|i| if i < 100 { 0 } else { 64 * (i - 99) }).collect();
        check_table(&ramp, 7);
        check_table(&[0, 65_535, 0, 65_535], 11);
        check_table(&[], 0);
    }

    #[test]
    fn numbers_survive_and_overlong_ones_are_refused() {
        let mut bytes = Vec::new();
        for value in [0, 127, 128, u64::MAX] {
            Writer { out: &mut bytes }.varint(value);
        }
        let mut reader = Reader::new(&bytes, 0);
        for value in [0, 127, 128, u64::MAX] {
            assert_eq!(reader.varint(), Ok(value));
        }
        assert!(Reader::new(&[0xff; 12], 0).varint().is_err());
        assert!(Reader::new(&[0x80], 0).varint().is_err());
    }

    proptest! {
        #[test]
        fn any_table_survives(values in proptest::collection::vec(any::<u16>(), 0..500)) {
            let mut bytes = Vec::new();
            Writer { out: &mut bytes }.table(values.iter().copied());
            let mut back = vec![7; values.len()];
            let mut reader = Reader::new(&bytes, 0);
            reader.table(&mut back)?;
            prop_assert_eq!(back, values);
            prop_assert!(reader.is_at_end());
        }

        #[test]
        fn any_bytes_are_a_table_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..99)) {
            // It must end, and not beyond the bytes.
            let mut reader = Reader::new(&bytes, 0);
            let _table_or_error = reader.table(&mut [0; 416]);
        }
    }
}
