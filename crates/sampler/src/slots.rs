//! The last six hours in slots of ten minutes: how large a share of each lay above the gate.
//!
//! It tells a steady minority (a cache that started to miss, a new class of customers) from an
//! incident: the former is there in slot after slot, the latter lasts minutes and stands out from
//! what the slots are used to.

/// Length of a slot.
pub(crate) const SLOT_NS: u64 = 600 * 1_000_000_000;
const N_SLOTS: usize = 36;
/// In how many of the slots a minority must have been there to count as steady: two hours.
const N_PRESENT: usize = 12;
/// Least share in a slot that counts as being there.
const SHARE_PRESENT: f32 = 0.002;
/// A window may hold up to this many times the steady share and still be called steady.
const SHARE_FACTOR: f32 = 2.0;
const UNIT: f32 = 65_535.0;

/// Shares above the gate, newest overwriting oldest.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Slots {
    /// Shares of full slots as `share * 65,535`; 0 where there was no traffic.
    shares: [u16; N_SLOTS],
    next: u8,
    /// Number of the slot being filled; its length since the epoch is `SLOT_NS` times this.
    slot: u64,
    n_spans: u32,
    n_above: u32,
    /// Share that at least `N_PRESENT` slots reached.
    steady: f32,
}

impl Default for Slots {
    fn default() -> Self {
        Self { shares: [0; N_SLOTS], next: 0, slot: 0, n_spans: 0, n_above: 0, steady: 0.0 }
    }
}

impl Slots {
    /// Closes slots that ended before `now_ns`; returns how many slots have passed since the last
    /// call, 0 on the first.
    pub(crate) fn advance(&mut self, now_ns: u64) -> u64 {
        let slot = now_ns / SLOT_NS;
        let before = self.slot;
        self.slot = slot.max(before);
        if before == 0 || slot <= before {
            return 0;
        }
        self.push(ratio(self.n_above, self.n_spans));
        (self.n_spans, self.n_above) = (0, 0);
        for _ in 0..(slot - before - 1).min(N_SLOTS as u64) {
            self.push(0.0);
        }
        let mut sorted = self.shares;
        sorted.sort_unstable();
        self.steady = f32::from(sorted[N_SLOTS - N_PRESENT]) / UNIT;
        slot - before
    }

    /// Counts a window into the slot being filled.
    pub(crate) fn count(&mut self, n_spans: u32, n_above: u32) {
        self.n_spans = self.n_spans.saturating_add(n_spans);
        self.n_above = self.n_above.saturating_add(n_above);
    }

    /// Whether a window with `n_above` of `n_spans` above the gate shows the steady minority and
    /// no more than it.
    pub(crate) fn is_steady(&self, n_spans: u32, n_above: u32) -> bool {
        self.steady >= SHARE_PRESENT && ratio(n_above, n_spans) <= SHARE_FACTOR * self.steady
    }

    fn push(&mut self, share: f32) {
        self.shares[usize::from(self.next) % N_SLOTS] = (share * UNIT) as u16;
        self.next = (self.next + 1) % N_SLOTS as u8;
    }

    pub(crate) fn to_words(&self) -> ([u16; N_SLOTS], [u64; 4]) {
        let rest = [u64::from(self.next), self.slot, self.n_spans.into(), self.n_above.into()];
        (self.shares, rest)
    }

    /// The reverse of [`Slots::to_words`], for any words.
    pub(crate) fn from_words(shares: [u16; N_SLOTS], rest: [u64; 4]) -> Self {
        let mut sorted = shares;
        sorted.sort_unstable();
        Self {
            shares,
            next: (rest[0] % N_SLOTS as u64) as u8,
            slot: rest[1],
            n_spans: rest[2] as u32,
            n_above: rest[3] as u32,
            steady: f32::from(sorted[N_SLOTS - N_PRESENT]) / UNIT,
        }
    }
}

fn ratio(part: u32, whole: u32) -> f32 {
    if whole == 0 { 0.0 } else { part as f32 / whole as f32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(n_slots_present: u64) -> Slots {
        let mut slots = Slots::default();
        for slot in 1..=36 {
            slots.advance(slot * SLOT_NS);
            slots.count(1000, if slot <= n_slots_present { 30 } else { 0 });
        }
        slots.advance(37 * SLOT_NS);
        slots
    }

    #[test]
    fn a_minority_is_steady_after_two_of_six_hours() {
        assert!(!after(11).is_steady(1000, 30));
        assert!(after(12).is_steady(1000, 30));
        assert!(after(12).is_steady(1000, 0));
    }

    #[test]
    fn an_incident_on_top_of_a_steady_minority_is_not_steady() {
        assert!(!after(36).is_steady(1000, 100));
    }

    #[test]
    fn six_silent_hours_forget_the_minority() {
        let mut slots = after(36);
        assert_eq!(slots.advance(80 * SLOT_NS), 43);
        assert!(!slots.is_steady(1000, 30));
    }

    #[test]
    fn words_bring_back_the_same_slots() {
        let mut slots = after(20);
        slots.count(7, 3);
        let (shares, rest) = slots.to_words();
        assert_eq!(Slots::from_words(shares, rest), slots);
    }
}
