//! How much of a span a group of other spans covers.

/// Positions grouped by a key position, in one array: the members of key `k` stand between
/// `offsets[k]` and `offsets[k + 1]`, in ascending order until a caller sorts them.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    offsets: Vec<u32>,
    members: Vec<u32>,
}

/// The key of a position that belongs to no group.
pub(crate) const NO_GROUP: u32 = u32::MAX;

impl Groups {
    pub(crate) const fn bytes(&self) -> usize {
        (self.offsets.capacity() + self.members.capacity()) * size_of::<u32>()
    }

    /// Groups the positions 0.. by their keys, each below `keys.len()` or [`NO_GROUP`]. Linear.
    pub(crate) fn build(&mut self, keys: &[u32]) {
        let n = keys.len();
        self.offsets.clear();
        self.offsets.resize(n + 2, 0);
        let mut n_members = 0;
        for &key in keys {
            if key != NO_GROUP {
                self.offsets[key as usize + 2] += 1;
                n_members += 1;
            }
        }
        for k in 2..n + 2 {
            self.offsets[k] += self.offsets[k - 1];
        }
        self.members.clear();
        self.members.resize(n_members, 0);
        // offsets[k + 1] is where the next member of k goes; at the end it is where k ends.
        for (position, &key) in keys.iter().enumerate() {
            if key != NO_GROUP {
                let place = &mut self.offsets[key as usize + 1];
                self.members[*place as usize] = position as u32;
                *place += 1;
            }
        }
    }

    pub(crate) fn of(&self, key: u32) -> &[u32] {
        let key = key as usize;
        &self.members[self.offsets[key] as usize..self.offsets[key + 1] as usize]
    }

    pub(crate) fn of_mut(&mut self, key: u32) -> &mut [u32] {
        let key = key as usize;
        &mut self.members[self.offsets[key] as usize..self.offsets[key + 1] as usize]
    }
}

/// Length of the union of intervals inside `within`. `intervals` come in order of their starts;
/// an interval that ends before it starts covers nothing.
pub(crate) fn covered(within: (u64, u64), intervals: impl Iterator<Item = (u64, u64)>) -> u64 {
    let (mut reached, limit) = within;
    let mut total = 0;
    for (start, end) in intervals {
        let from = start.max(reached);
        let to = end.min(limit);
        if to > from {
            total += to - from;
            reached = to;
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_stand_in_their_groups() {
        let mut groups = Groups::default();
        groups.build(&[NO_GROUP, 0, 0, 2, NO_GROUP, 0]);
        assert_eq!(groups.of(0), [1, 2, 5]);
        assert_eq!(groups.of(1), []);
        assert_eq!(groups.of(2), [3]);
        assert_eq!(groups.of(5), []);
        groups.build(&[]);
    }

    #[test]
    fn the_union_counts_overlap_once_and_is_clipped() {
        let check = |intervals: &[(u64, u64)], expected: u64| {
            assert_eq!(covered((10, 20), intervals.iter().copied()), expected, "{intervals:?}");
        };
        check(&[], 0);
        check(&[(0, 5), (25, 30)], 0);
        check(&[(5, 12), (18, 30)], 4);
        check(&[(11, 15), (12, 13), (14, 16)], 5);
        check(&[(0, 100)], 10);
        check(&[(13, 12)], 0);
    }
}
