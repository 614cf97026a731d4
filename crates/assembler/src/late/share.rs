//! Who remembers which ids, where several share them.

use spanwise_model::TraceId;

/// One of `n` even parts of all ids, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Share {
    /// Which part, less than `n`.
    pub idx: u32,
    /// How many there are, 1 at least.
    pub n: u32,
}

impl Share {
    /// The share of whoever is alone.
    pub const ALL: Self = Self { idx: 0, n: 1 };

    /// All shares of so many.
    pub fn all(n: u32) -> impl Iterator<Item = Self> {
        (0..n).map(move |idx| Self { idx, n })
    }

    /// Whether an id is among them.
    pub fn has(self, id: TraceId) -> bool {
        id.part_of(self.n) == self.idx
    }

    /// Whether some id may be in both.
    pub const fn meets(self, other: Self) -> bool {
        let [from, n] = [self.idx as u64, self.n as u64];
        let [other_from, other_n] = [other.idx as u64, other.n as u64];
        from * other_n < (other_from + 1) * n && other_from * n < (from + 1) * other_n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_has_one_share_of_each_size_and_these_meet() {
        for number in 0..2_000_u128 {
            let id = TraceId((number << 3).to_be_bytes());
            for (n, other_n) in [(1, 1), (1, 4), (4, 3), (3, 64), (7, 7)] {
                let of = |n| -> Vec<Share> { Share::all(n).filter(|one| one.has(id)).collect() };
                let (mine, theirs) = (of(n), of(other_n));
                assert_eq!((mine.len(), theirs.len()), (1, 1));
                assert!(mine[0].meets(theirs[0]), "{mine:?} {theirs:?}");
            }
        }
    }

    #[test]
    fn shares_meet_few_of_another_size() {
        let n_met = |share: Share, n| Share::all(n).filter(|other| share.meets(*other)).count();
        assert_eq!(n_met(Share { idx: 1, n: 4 }, 4), 1);
        assert_eq!(n_met(Share { idx: 1, n: 4 }, 8), 2);
        assert_eq!(n_met(Share { idx: 1, n: 4 }, 1), 1);
        assert_eq!(n_met(Share::ALL, 64), 64);
        assert_eq!([0, 1, 2].map(|idx| n_met(Share { idx, n: 3 }, 4)), [2, 2, 2]);
    }
}
