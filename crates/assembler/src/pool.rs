//! Span lists of closed traces that came back, to be used again.
//!
//! Sorted by capacity in powers of two and handed out by size, so that a list never has to grow
//! and small traces do not hold lists of large ones.

use spanwise_model::ClosedSpan;

/// Lists of up to 2^16 spans are kept; longer ones are rare and freed.
const N_CLASSES: usize = 17;

#[derive(Debug)]
pub(crate) struct Pool {
    classes: [Vec<Vec<ClosedSpan>>; N_CLASSES],
    bytes: usize,
    bytes_max: usize,
}

impl Pool {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { classes: Default::default(), bytes: 0, bytes_max }
    }

    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// An empty list with room for `n` spans.
    pub(crate) fn take(&mut self, n: usize) -> Vec<ClosedSpan> {
        let capacity = n.max(1).next_power_of_two();
        let class = capacity.ilog2() as usize;
        match self.classes.get_mut(class).and_then(Vec::pop) {
            Some(list) => {
                self.bytes -= bytes_of(&list);
                list
            }
            None => Vec::with_capacity(capacity),
        }
    }

    /// Takes a list back unless the pool is full.
    pub(crate) fn put(&mut self, mut list: Vec<ClosedSpan>) {
        list.clear();
        let bytes = bytes_of(&list);
        if list.capacity() == 0 || self.bytes + bytes > self.bytes_max {
            return;
        }
        if let Some(class) = self.classes.get_mut(list.capacity().ilog2() as usize) {
            class.push(list);
            self.bytes += bytes;
        }
    }
}

/// A list's own heap bytes, and its place in the pool.
const fn bytes_of(list: &Vec<ClosedSpan>) -> usize {
    list.capacity() * size_of::<ClosedSpan>() + size_of::<Vec<ClosedSpan>>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_with_room_enough() {
        let mut pool = Pool::new(1 << 20);
        let list = pool.take(100);
        assert!(list.capacity() >= 100);
        pool.put(list);
        let held = pool.bytes();
        assert!(held > 0);
        assert!(pool.take(3).capacity() < 100);
        assert_eq!(pool.bytes(), held);
        assert!(pool.take(128).capacity() >= 128);
        assert_eq!(pool.bytes(), 0);
    }

    #[test]
    fn a_full_pool_frees_what_comes_back() {
        let mut pool = Pool::new(10_000);
        for _ in 0..100 {
            pool.put(Vec::with_capacity(16));
        }
        assert!(pool.bytes() <= 10_000);
        pool.put(Vec::with_capacity(1 << 18));
        assert!(pool.bytes() <= 10_000);
    }
}
