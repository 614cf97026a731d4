//! A histogram of durations with logarithmic bins: 16 per octave, so that a quantile is off by at
//! most 1/32 of its value, whatever the distribution. Merging adds counts and loses nothing.
//!
//! Bins are found from the leading bits of the number, without a logarithm. Only the range of bins
//! in use is stored: a call site whose durations span four octaves takes 256 bytes.

/// Bins per octave.
const SUB_BINS: usize = 16;
/// Bits of `SUB_BINS`.
const SUB_BITS: u32 = 4;
/// Durations below 2^`FIRST_OCTAVE` ns (1 us) share the first bin.
const FIRST_OCTAVE: u32 = 10;
/// Durations from 2^47 ns (39 h) on share the last bin; spans are at most 24 h long.
const OCTAVES: usize = 37;
const N_BINS: usize = OCTAVES * SUB_BINS + 1;
/// Bins are allocated in runs of this many.
const RUN: usize = 16;
/// Counts are in 1/16 of a span, so that weights such as 1.5 keep their proportion.
const STEPS: f64 = 16.0;

/// Greatest relative error of [`Sketch::quantile`] for durations of at least 1 us and less than
/// 39 h: half a bin.
pub const RELATIVE_ERROR: f64 = 1.0 / 32.0;

/// The histogram. At most 2.4 kB.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sketch {
    /// Bin of `counts[0]`.
    first_bin: u16,
    counts: Vec<u32>,
}

/// What adding a value took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// Bytes of heap the sketch grew by.
    pub bytes: usize,
    /// Whether the value fell to the end of the range because there was no room to widen it.
    pub clipped: bool,
}

impl Sketch {
    /// Adds a duration that stands for `weight` spans (at least 1/16, saturating at 2^28 per bin),
    /// growing by at most `room` bytes; the first bin is always granted.
    pub fn add(&mut self, duration_ns: u64, weight: f64, room: usize) -> Added {
        let bin = bin_of(duration_ns);
        let before = self.counts.len();
        let after = self.range_with(bin);
        let needed = (after.1 - after.0 - before) * size_of::<u32>();
        let clipped = needed > room && before > 0;
        if needed > 0 && !clipped {
            self.widen(after);
        }
        let idx = bin.saturating_sub(usize::from(self.first_bin)).min(self.counts.len() - 1);
        let steps = ((weight * STEPS).round() as u32).max(1);
        self.counts[idx] = self.counts[idx].saturating_add(steps);
        Added { bytes: (self.counts.len() - before) * size_of::<u32>(), clipped }
    }

    /// Adds all values of another sketch. Exact: the result is that of adding them one by one.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.is_empty() {
            return;
        }
        let first = usize::from(other.first_bin);
        self.widen(self.range_with(first));
        self.widen(self.range_with(first + other.counts.len() - 1));
        let offset = first - usize::from(self.first_bin);
        for (count, added) in self.counts[offset..].iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*added);
        }
    }

    /// The value below which a share `q` of the spans lies, in nanoseconds: the middle of its bin,
    /// 0 if nothing was added. `q` is clamped to [0, 1]; NaN counts as 0.
    pub fn quantile(&self, q: f64) -> u64 {
        let total: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        if total == 0 {
            return 0;
        }
        let q = if q.is_nan() { 0.0 } else { q.clamp(0.0, 1.0) };
        let rank = ((q * total as f64).ceil() as u64).clamp(1, total);
        let mut below = 0;
        for (bin, &count) in (usize::from(self.first_bin)..).zip(&self.counts) {
            below += u64::from(count);
            if below >= rank {
                return middle_ns(bin);
            }
        }
        0
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.counts.iter().all(|&count| count == 0)
    }

    /// Removes all values, keeps the memory.
    pub fn clear(&mut self) {
        self.counts.fill(0);
    }

    /// Memory of the counts in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.counts.len() * size_of::<u32>()
    }

    /// The range of bins, in whole runs, that also covers `bin`.
    fn range_with(&self, bin: usize) -> (usize, usize) {
        let (low, high) = (bin / RUN * RUN, (bin / RUN + 1) * RUN);
        if self.counts.is_empty() {
            return (low, high);
        }
        let first = usize::from(self.first_bin);
        (first.min(low), (first + self.counts.len()).max(high))
    }

    fn widen(&mut self, (first, end): (usize, usize)) {
        if self.counts.is_empty() {
            self.first_bin = first as u16;
        }
        let in_front = usize::from(self.first_bin) - first;
        if in_front > 0 {
            self.counts.splice(0..0, std::iter::repeat_n(0, in_front));
            self.first_bin = first as u16;
        }
        if end - first > self.counts.len() {
            self.counts.resize(end - first, 0);
        }
    }
}

fn bin_of(ns: u64) -> usize {
    let octave = ns.checked_ilog2().unwrap_or(0);
    if octave < FIRST_OCTAVE {
        return 0;
    }
    let sub = (ns >> (octave - SUB_BITS)) as usize & (SUB_BINS - 1);
    (1 + (octave - FIRST_OCTAVE) as usize * SUB_BINS + sub).min(N_BINS - 1)
}

fn middle_ns(bin: usize) -> u64 {
    if bin == 0 {
        return 1 << (FIRST_OCTAVE - 1);
    }
    let octave = FIRST_OCTAVE + ((bin - 1) / SUB_BINS) as u32;
    let width = 1 << (octave - SUB_BITS);
    (SUB_BINS + (bin - 1) % SUB_BINS) as u64 * width + width / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sketch(values: &[u64]) -> Sketch {
        let mut sketch = Sketch::default();
        for &value in values {
            sketch.add(value, 1.0, usize::MAX);
        }
        sketch
    }

    fn counts(sketch: &Sketch) -> Vec<(usize, u32)> {
        let bins = usize::from(sketch.first_bin)..;
        bins.zip(sketch.counts.iter().copied()).filter(|&(_, count)| count > 0).collect()
    }

    #[test]
    fn an_empty_sketch_has_quantile_zero_and_one_value_is_every_quantile() {
        assert_eq!(Sketch::default().quantile(0.5), 0);
        let one = sketch(&[5_000_000]);
        for q in [0.0, 0.5, 1.0, f64::NAN, -3.0, 7.0] {
            let error = one.quantile(q).abs_diff(5_000_000) as f64 / 5_000_000.0;
            assert!(error <= RELATIVE_ERROR, "{q}");
        }
    }

    #[test]
    fn weights_shift_quantiles_in_proportion() {
        let mut sketch = Sketch::default();
        sketch.add(1_000_000, 1.0, usize::MAX);
        sketch.add(9_000_000, 99.0, usize::MAX);
        assert!(sketch.quantile(0.02) > 8_000_000);
        assert!(sketch.quantile(0.01) < 2_000_000);
    }

    #[test]
    fn without_room_values_fall_to_the_nearest_end() {
        let mut sketch = sketch(&[600_000]);
        let added = sketch.add(1_000_000_000, 1.0, 0);
        assert_eq!(added, Added { bytes: 0, clipped: true });
        assert_eq!(sketch.counts.len(), RUN);
        assert!(sketch.quantile(1.0) > sketch.quantile(0.5));
        let mut fresh = Sketch::default();
        assert_eq!(fresh.add(1, 1.0, 0), Added { bytes: 4 * RUN, clipped: false });
    }

    #[test]
    fn counts_saturate_instead_of_wrapping() {
        let mut sketch = Sketch::default();
        for _ in 0..2 {
            sketch.add(1, 1e30, usize::MAX);
        }
        assert_eq!(counts(&sketch), [(0, u32::MAX)]);
    }

    proptest! {
        #[test]
        fn quantiles_are_within_the_documented_error(
            mut values in prop::collection::vec(1_100_u64..80_000_000_000_000, 1..200),
            q in 0.0_f64..=1.0,
        ) {
            let estimate = sketch(&values).quantile(q) as f64;
            values.sort_unstable();
            let rank = ((q * values.len() as f64).ceil() as usize).clamp(1, values.len());
            let exact = values[rank - 1] as f64;
            prop_assert!((estimate - exact).abs() <= exact * RELATIVE_ERROR, "{estimate} {exact}");
        }

        #[test]
        fn merging_equals_adding_one_by_one(
            left in prop::collection::vec(any::<u64>(), 0..50),
            right in prop::collection::vec(any::<u64>(), 0..50),
        ) {
            let mut merged = sketch(&left);
            merged.merge(&sketch(&right));
            let all: Vec<u64> = left.iter().chain(&right).copied().collect();
            prop_assert_eq!(counts(&merged), counts(&sketch(&all)));
        }
    }
}
