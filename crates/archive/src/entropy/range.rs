//! A range coder with carry: an interval of 64 bits that narrows with every symbol and moves up by
//! 16 bits when it gets short, so that probabilities of 16 bits lose nothing.
//!
//! Why not asymmetric numeral systems: the model adapts, so symbols must come out in the order in
//! which they went in.

/// Below this the interval moves up.
const SHORT: u64 = 1 << 48;

/// Writes or reads symbols. A reader ignores the values given and returns those read; a writer
/// returns the values given.
pub(crate) trait Coder {
    /// Whether this is a reader.
    const READS: bool;

    /// One bit that is 1 with probability `p` / 65,536, `p` in 1..=65,535.
    fn bit(&mut self, p: u32, bit: u32) -> u32;

    /// `n_bits` bits without a model, at most 64.
    fn raw(&mut self, n_bits: u32, value: u64) -> u64;

    /// Whether more was read than was written: the bytes are not what a writer made.
    fn is_overrun(&self) -> bool;
}

/// The writer.
#[derive(Clone, Debug)]
pub(crate) struct Encoder {
    out: Vec<u8>,
    low: u64,
    range: u64,
    /// Ideal length in bits of what was written, if it is measured.
    n_bits: Option<f64>,
}

/// The reader. Behind the end it reads zeros; see [`Coder::is_overrun`].
#[derive(Clone, Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    /// Where the value lies above the low end of the interval.
    code: u64,
    range: u64,
    n_missing: u32,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { out: Vec::new(), low: 0, range: u64::MAX, n_bits: None }
    }

    /// A writer that also adds up the ideal length of what it is given: -log2 of each probability.
    pub(crate) fn measuring() -> Self {
        Self { n_bits: Some(0.0), ..Self::new() }
    }

    /// The ideal length in bits; 0 unless it is measured.
    pub(crate) fn ideal_bits(&self) -> f64 {
        self.n_bits.unwrap_or(0.0)
    }

    /// The bytes. The interval is at least 2^48 long, so it holds a number of two bytes and zeros.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.advance(SHORT - 1);
        self.out.extend_from_slice(&((self.low >> 48) as u16).to_be_bytes());
        self.out
    }

    fn advance(&mut self, by: u64) {
        let (low, carries) = self.low.overflowing_add(by);
        self.low = low;
        if carries {
            for byte in self.out.iter_mut().rev() {
                let (next, carries) = byte.overflowing_add(1);
                *byte = next;
                if !carries {
                    break;
                }
            }
        }
    }

    fn normalise(&mut self) {
        if self.range < SHORT {
            self.out.extend_from_slice(&((self.low >> 48) as u16).to_be_bytes());
            self.low <<= 16;
            self.range <<= 16;
        }
    }
}

impl Coder for Encoder {
    const READS: bool = false;

    fn bit(&mut self, p: u32, bit: u32) -> u32 {
        if let Some(n_bits) = &mut self.n_bits {
            let p = if bit == 0 { 65_536 - p } else { p };
            *n_bits += 16.0 - libm::log2(f64::from(p));
        }
        let bound = (self.range >> 16) * u64::from(p);
        if bit == 0 {
            self.advance(bound);
            self.range -= bound;
        } else {
            self.range = bound;
        }
        self.normalise();
        bit
    }

    fn raw(&mut self, n_bits: u32, value: u64) -> u64 {
        if let Some(all) = &mut self.n_bits {
            *all += f64::from(n_bits);
        }
        let mut left = n_bits;
        while left > 0 {
            let n = left.min(16);
            left -= n;
            self.range >>= n;
            let part = (value >> left) & ((1 << n) - 1);
            self.advance(part * self.range);
            self.normalise();
        }
        value
    }

    fn is_overrun(&self) -> bool {
        false
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { rest: bytes, code: 0, range: u64::MAX, n_missing: 0 };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    fn shift(&mut self) {
        let next = match self.rest {
            [high, low, rest @ ..] => {
                self.rest = rest;
                u16::from_be_bytes([*high, *low])
            }
            [high] => {
                self.rest = &[];
                u16::from_be_bytes([*high, 0])
            }
            [] => {
                self.n_missing = self.n_missing.saturating_add(1);
                0
            }
        };
        self.code = self.code << 16 | u64::from(next);
    }

    fn normalise(&mut self) {
        if self.range < SHORT {
            self.shift();
            self.range <<= 16;
        }
    }
}

impl Coder for Decoder<'_> {
    const READS: bool = true;

    fn bit(&mut self, p: u32, _: u32) -> u32 {
        let bound = (self.range >> 16) * u64::from(p);
        let is_one = self.code < bound;
        if is_one {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        self.normalise();
        u32::from(is_one)
    }

    fn raw(&mut self, n_bits: u32, _: u64) -> u64 {
        let mut value = 0;
        let mut left = n_bits;
        while left > 0 {
            let n = left.min(16);
            left -= n;
            self.range >>= n;
            let part = (self.code / self.range).min((1 << n) - 1);
            self.code = self.code.wrapping_sub(part.wrapping_mul(self.range));
            self.normalise();
            value = value << n | part;
        }
        value
    }

    /// The first four steps read ahead, so three may fall behind the end.
    fn is_overrun(&self) -> bool {
        self.n_missing > 4
    }
}
