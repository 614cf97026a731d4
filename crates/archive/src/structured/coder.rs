//! A binary arithmetic coder that mixes the predictions of several contexts: what everything of a
//! model is written with.
//!
//! A model is some twenty kilobytes of small numbers whose meaning the writer knows. General codecs
//! neither know it nor see enough bytes to find out; here every number names the contexts that bear
//! upon it, and a small online mixer learns which of them to trust. Adaptive probabilities need no
//! tables in the file.
//!
//! Writing and reading are one description: [`Coder::bit`] takes the bit to write and returns it, or
//! takes anything and returns the bit that was read. Arithmetic is on integers; the two tables come
//! from `libm`, so a file reads alike on every machine.

use super::Error;

/// Contexts one bit may name at most.
pub(crate) const N_CONTEXTS_MAX: usize = 7;
const TABLE_BITS: u32 = 18;
const WEIGHT_SETS: usize = 256;
/// Weights have 16 fractional bits.
const WEIGHT_ONE: i32 = 1 << 16;
/// Observations after which a probability moves no slower.
const COUNT_MAX: u16 = 120;
/// Zero bytes a reader makes up behind the end before it gives up: what a coder may look ahead.
const OVERRUN_MAX: usize = 8;

/// Writes or reads a sequence of bits.
pub(crate) trait Coder {
    /// Codes one bit in up to [`N_CONTEXTS_MAX`] contexts, each a hash of what the caller knows,
    /// mixed by the weights of `set`.
    fn bit(&mut self, set: u8, contexts: &[u32], bit: bool) -> bool;
    /// Codes one bit whose probability of being set is `p / 65,536`, known to both sides.
    fn bit_of(&mut self, p: u32, bit: bool) -> bool;
    /// Whether values are read rather than written.
    fn is_reader(&self) -> bool;
    /// An error once more was read than was written.
    fn check(&self) -> Result<(), Error>;
}

/// Writes.
#[derive(Debug)]
pub(crate) struct Encoder {
    predictor: Predictor,
    low: u32,
    high: u32,
    out: Vec<u8>,
}

/// Reads what [`Encoder`] wrote.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    predictor: Predictor,
    low: u32,
    high: u32,
    value: u32,
    input: &'a [u8],
    at: usize,
}

#[derive(Debug)]
struct Predictor {
    /// Probability of a set bit in 16 bits, and how often the slot was used.
    slots: Vec<(u16, u16)>,
    weights: Vec<[i32; N_CONTEXTS_MAX]>,
    stretch: Vec<i16>,
    squash: Vec<u16>,
    idx: [usize; N_CONTEXTS_MAX],
    inputs: [i32; N_CONTEXTS_MAX],
    n: usize,
    set: usize,
    p: u32,
}

impl Predictor {
    fn new() -> Self {
        // Logits in 1/256, from -8 to 8.
        let stretch = (0..4096).map(|i| {
            let p = (f64::from(i) + 0.5) / 4096.0;
            libm::round(256.0 * libm::log(p / (1.0 - p))) as i16
        });
        let squash = (-2048..2048).map(|i| {
            let p = 1.0 / (1.0 + libm::exp(-f64::from(i) / 256.0));
            libm::round(p * 65_536.0).clamp(24.0, 65_512.0) as u16
        });
        Self {
            slots: vec![(1 << 15, 0); 1 << TABLE_BITS],
            weights: vec![[WEIGHT_ONE * 2 / 5; N_CONTEXTS_MAX]; WEIGHT_SETS],
            stretch: stretch.collect(),
            squash: squash.collect(),
            idx: [0; N_CONTEXTS_MAX],
            inputs: [0; N_CONTEXTS_MAX],
            n: 0,
            set: 0,
            p: 1 << 15,
        }
    }

    fn predict(&mut self, set: u8, contexts: &[u32]) -> u32 {
        self.n = contexts.len().min(N_CONTEXTS_MAX);
        self.set = usize::from(set);
        let mut sum = 0_i64;
        for (at, &context) in contexts.iter().take(self.n).enumerate() {
            let slot = (context.wrapping_mul(0x9e37_79b1) >> (32 - TABLE_BITS)) as usize;
            self.idx[at] = slot;
            let (p, count) = self.slots[slot];
            // A context seen once or twice knows little, whatever it says.
            let confidence = [0, 10, 13, 15, 16][usize::from(count.min(4))];
            self.inputs[at] = i32::from(self.stretch[usize::from(p >> 4)]) * confidence / 16;
            sum += i64::from(self.inputs[at]) * i64::from(self.weights[self.set][at]);
        }
        let logit = (sum >> 16).clamp(-2047, 2047);
        self.p = u32::from(self.squash[(logit + 2048) as usize]);
        self.p
    }

    fn learn(&mut self, bit: bool) {
        let target = if bit { 65_535_i32 } else { 0 };
        let error = target - self.p.cast_signed();
        for at in 0..self.n {
            let step = (i64::from(self.inputs[at]) * i64::from(error)) >> 14;
            let weight = &mut self.weights[self.set][at];
            *weight = (i64::from(*weight) + step).clamp(-(1 << 20), 1 << 20) as i32;
            let (p, count) = &mut self.slots[self.idx[at]];
            let delta = (target - i32::from(*p)) * 2 / (i32::from(*count) * 2 + 3);
            *p = (i32::from(*p) + delta).clamp(16, 65_520) as u16;
            *count = (*count + 1).min(COUNT_MAX);
        }
    }
}

/// Splits the range where a set bit ends.
fn split(low: u32, high: u32, p: u32) -> u32 {
    low + (((u64::from(high) - u64::from(low)) * u64::from(p)) >> 16) as u32
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { predictor: Predictor::new(), low: 0, high: u32::MAX, out: Vec::new() }
    }

    /// The bytes: as few of the last as tell the final range.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // One byte above `low`'s first is inside the range unless both share it.
        let first = (self.low >> 24) + 1;
        if self.low == 0 {
            // Zeros are made up by the reader.
        } else if (first << 24) <= self.high {
            self.out.push(first as u8);
        } else {
            self.out.extend_from_slice(&self.high.to_be_bytes());
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }

    fn encode(&mut self, p: u32, bit: bool) {
        let middle = split(self.low, self.high, p);
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.out.push((self.high >> 24) as u8);
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
        }
    }
}

impl Coder for Encoder {
    fn bit(&mut self, set: u8, contexts: &[u32], bit: bool) -> bool {
        let p = self.predictor.predict(set, contexts);
        self.encode(p, bit);
        self.predictor.learn(bit);
        bit
    }

    fn bit_of(&mut self, p: u32, bit: bool) -> bool {
        self.encode(p.clamp(1, 65_535), bit);
        bit
    }

    fn is_reader(&self) -> bool {
        false
    }

    fn check(&self) -> Result<(), Error> {
        Ok(())
    }
}

impl<'a> Decoder<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        let predictor = Predictor::new();
        let mut decoder = Self { predictor, low: 0, high: u32::MAX, value: 0, input, at: 0 };
        for _ in 0..4 {
            decoder.value = decoder.value << 8 | u32::from(decoder.next());
        }
        decoder
    }

    fn next(&mut self) -> u8 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        byte
    }

    fn decode(&mut self, p: u32) -> bool {
        let middle = split(self.low, self.high, p);
        let bit = self.value <= middle;
        if bit {
            self.high = middle;
        } else {
            self.low = middle + 1;
        }
        while (self.low ^ self.high) >> 24 == 0 {
            self.low <<= 8;
            self.high = self.high << 8 | 0xff;
            self.value = self.value << 8 | u32::from(self.next());
        }
        bit
    }
}

impl Coder for Decoder<'_> {
    fn bit(&mut self, set: u8, contexts: &[u32], _: bool) -> bool {
        let p = self.predictor.predict(set, contexts);
        let bit = self.decode(p);
        self.predictor.learn(bit);
        bit
    }

    fn bit_of(&mut self, p: u32, _: bool) -> bool {
        self.decode(p.clamp(1, 65_535))
    }

    fn is_reader(&self) -> bool {
        true
    }

    fn check(&self) -> Result<(), Error> {
        if self.at > self.input.len() + OVERRUN_MAX { Err(Error::Truncated) } else { Ok(()) }
    }
}

/// A context: a number for what is coded, and what is known.
pub(crate) fn hash(what: u32, known: u32) -> u32 {
    let mixed = what.wrapping_mul(0x85eb_ca6b) ^ known.wrapping_mul(0xc2b2_ae35).rotate_left(13);
    (mixed ^ mixed >> 15).wrapping_mul(0x27d4_eb2f)
}

/// Codes a number below `2^n_bits` from its highest bit down; `contexts` are told the bits before.
pub(crate) fn bits<C: Coder>(
    coder: &mut C,
    set: u8,
    contexts: &[u32],
    n_bits: u32,
    value: u32,
) -> u32 {
    let mut node = 1_u32;
    for at in (0..n_bits).rev() {
        let bit = value >> at & 1 == 1;
        node = node << 1 | u32::from(coder.bit(set, &at_node(contexts, node), bit));
    }
    node - (1 << n_bits)
}

/// Codes any number below 2^31: how many bits it has in unary, then those bits. Small numbers and
/// repeated ones are cheap. Contexts are told the bits before.
pub(crate) fn number<C: Coder>(coder: &mut C, set: u8, contexts: &[u32], value: u32) -> u32 {
    // A reader's value may be anything.
    let more = value.wrapping_add(1).max(1);
    let n_bits = more.ilog2();
    let mut read = 0;
    while read < 31 {
        let bit = coder.bit(set, &at_node(contexts, 0x100 + read), n_bits > read);
        if !bit {
            break;
        }
        read += 1;
    }
    let mut node = 1_u32;
    for at in (0..read).rev() {
        let bit = more >> at & 1 == 1;
        // Only the leading three bits behind the first are worth a context of their own.
        let tell = if node < 8 { node } else { 0x40 + at };
        let known = at_node(contexts, read << 8 | tell);
        node = node << 1 | u32::from(coder.bit(set, &known, bit));
    }
    if read >= 31 { u32::MAX >> 1 } else { node - 1 }
}

/// Codes a signed number by its magnitude and sign.
pub(crate) fn signed<C: Coder>(coder: &mut C, set: u8, contexts: &[u32], value: i32) -> i32 {
    let zigzag = (value << 1 ^ value >> 31).cast_unsigned();
    let read = number(coder, set, contexts, zigzag);
    (read >> 1).cast_signed() ^ -((read & 1).cast_signed())
}

fn at_node(contexts: &[u32], node: u32) -> Known {
    let mut known = Known { all: [0; N_CONTEXTS_MAX], n: contexts.len().min(N_CONTEXTS_MAX) };
    for (out, &context) in known.all.iter_mut().zip(contexts) {
        *out = hash(context, node);
    }
    known
}

struct Known {
    all: [u32; N_CONTEXTS_MAX],
    n: usize,
}

impl std::ops::Deref for Known {
    type Target = [u32];

    fn deref(&self) -> &[u32] {
        &self.all[..self.n]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk<C: Coder>(coder: &mut C, values: &[u32]) -> Vec<u32> {
        let mut previous = 0;
        let mut out = Vec::new();
        for &value in values {
            let contexts = [hash(1, 0), hash(2, previous)];
            previous = number(coder, 1, &contexts, value);
            out.push(previous);
            out.push(bits(coder, 2, &contexts, 5, value & 31));
            out.push(signed(coder, 3, &contexts, value.cast_signed() / 2 - 900).cast_unsigned());
            out.push(u32::from(coder.bit_of(60_000, value % 16 != 0)));
        }
        out
    }

    #[test]
    fn what_is_written_reads_back() {
        let values: Vec<u32> =
            (0..3000_u32).map(|i| if i % 3 == 0 { i * i % 1000 } else { i % 7 }).collect();
        let mut encoder = Encoder::new();
        let written = walk(&mut encoder, &values);
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes);
        assert_eq!(walk(&mut decoder, &vec![0; values.len()]), written);
        assert!(decoder.check().is_ok());
    }

    #[test]
    fn any_length_of_input_ends_well() {
        for n in 0..40_u32 {
            let values: Vec<u32> = (0..n % 9).map(|i| i * n).collect();
            let mut encoder = Encoder::new();
            let written = walk(&mut encoder, &values);
            let bytes = encoder.finish();
            let mut decoder = Decoder::new(&bytes);
            assert_eq!(walk(&mut decoder, &vec![0; values.len()]), written);
            assert!(decoder.check().is_ok());
        }
    }

    #[test]
    fn a_cut_stream_is_noticed() {
        let values: Vec<u32> = (0..3000).map(|i| i * 7919 % 1000).collect();
        let mut encoder = Encoder::new();
        walk(&mut encoder, &values);
        let bytes = encoder.finish();
        let mut decoder = Decoder::new(&bytes[..bytes.len() / 2]);
        walk(&mut decoder, &vec![0; values.len()]);
        assert!(decoder.check().is_err());
    }

    #[test]
    fn repetition_costs_next_to_nothing() {
        let mut encoder = Encoder::new();
        for _ in 0..10_000 {
            number(&mut encoder, 0, &[hash(0, 0)], 5);
        }
        assert!(encoder.finish().len() < 60);
    }
}
