//! The N smallest distinct values seen: a fixed-size sample that does not depend on order.
//!
//! Union followed by "keep the N smallest" is commutative, associative and idempotent, so counts
//! give the same instances and the same example traces however they were cut into messages. For
//! hashes and random trace ids the smallest are as good a sample as any.

/// Up to `N` distinct values, ascending. Generic because it holds instance hashes and trace ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Smallest<T, const N: usize> {
    values: [T; N],
    len: u8,
}

impl<T: Copy + Ord + Default, const N: usize> Default for Smallest<T, N> {
    fn default() -> Self {
        Self { values: [T::default(); N], len: 0 }
    }
}

impl<T: Copy + Ord, const N: usize> Smallest<T, N> {
    /// Adds a value; one that is larger than all of a full set is left out.
    pub(super) fn insert(&mut self, value: T) {
        let len = usize::from(self.len);
        let Err(at) = self.values[..len].binary_search(&value) else {
            return;
        };
        if at == N {
            return;
        }
        let end = if len < N { len } else { N - 1 };
        self.values.copy_within(at..end, at + 1);
        self.values[at] = value;
        self.len = (end + 1) as u8;
    }

    /// The values, ascending.
    pub(super) fn as_slice(&self) -> &[T] {
        &self.values[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_holds_the_smallest_whatever_the_order(values in prop::collection::vec(0_u64..40, 0..60)) {
            let mut sample = Smallest::<u64, 16>::default();
            for &value in &values {
                sample.insert(value);
            }
            let expected: Vec<u64> =
                values.into_iter().collect::<BTreeSet<_>>().into_iter().take(16).collect();
            prop_assert_eq!(sample.as_slice(), &expected[..]);
        }
    }
}
