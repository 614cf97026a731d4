//! Numbered slots, allocated a chunk at a time.
//!
//! Not one growing `Vec`: doubling it would need three times its bytes at the worst moment, and it
//! never gives any back. Chunks are charged exactly, none moves once it exists, and chunks that
//! become empty are freed except for a reserve of a quarter, so that a steady load allocates
//! nothing.

/// Slots per chunk; a slot's place in its chunk fits 8 bits.
const CHUNK: usize = 256;
const NONE: u16 = u16::MAX;

/// A slot number that is never handed out.
pub(crate) const NO_SLOT: u32 = u32::MAX;

#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Chunk<T>>,
    /// Chunks with room, to be used from the end; may still name chunks that were freed since.
    roomy: Vec<u32>,
    /// Freed chunks that `roomy` no longer names.
    freed: Vec<u32>,
    n_live: usize,
    n_present: usize,
    n_empty: usize,
}

/// `slots` and `next_free` are both `CHUNK` long, or both empty while the chunk is freed.
#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<T>,
    next_free: Vec<u16>,
    first_free: u16,
    n_live: usize,
}

impl<T: Default> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            roomy: Vec::new(),
            freed: Vec::new(),
            n_live: 0,
            n_present: 0,
            n_empty: 0,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        self.n_live
    }

    /// Heap bytes of all present chunks and of the lists over them.
    pub(crate) const fn bytes(&self) -> usize {
        self.n_present * CHUNK * (size_of::<T>() + size_of::<u16>())
            + self.chunks.capacity() * size_of::<Chunk<T>>()
            + (self.roomy.capacity() + self.freed.capacity()) * size_of::<u32>()
    }

    pub(crate) fn get(&self, slot: u32) -> &T {
        &self.chunks[slot as usize / CHUNK].slots[slot as usize % CHUNK]
    }

    /// As [`Slab::get`], of a slot whose chunk may have been freed since.
    pub(crate) fn try_get(&self, slot: u32) -> Option<&T> {
        self.chunks.get(slot as usize / CHUNK)?.slots.get(slot as usize % CHUNK)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> &mut T {
        &mut self.chunks[slot as usize / CHUNK].slots[slot as usize % CHUNK]
    }

    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let chunk_idx = self.chunk_with_room();
        let chunk = &mut self.chunks[chunk_idx as usize];
        let place = chunk.first_free;
        chunk.first_free = chunk.next_free[usize::from(place)];
        chunk.slots[usize::from(place)] = value;
        if chunk.n_live == 0 {
            self.n_empty -= 1;
        }
        chunk.n_live += 1;
        if chunk.n_live == CHUNK {
            self.roomy.pop();
        }
        self.n_live += 1;
        chunk_idx * CHUNK as u32 + u32::from(place)
    }

    /// Takes the value out. `slot` must be live.
    pub(crate) fn remove(&mut self, slot: u32) -> T {
        let chunk_idx = slot / CHUNK as u32;
        let place = slot as usize % CHUNK;
        let chunk = &mut self.chunks[chunk_idx as usize];
        let value = std::mem::take(&mut chunk.slots[place]);
        chunk.next_free[place] = chunk.first_free;
        chunk.first_free = place as u16;
        if chunk.n_live == CHUNK {
            self.roomy.push(chunk_idx);
        }
        chunk.n_live -= 1;
        self.n_live -= 1;
        if chunk.n_live == 0 {
            self.n_empty += 1;
            if self.n_empty > 1 + self.n_present / 4 {
                *chunk = Chunk::freed();
                self.n_empty -= 1;
                self.n_present -= 1;
            }
        }
        value
    }

    fn chunk_with_room(&mut self) -> u32 {
        while let Some(&idx) = self.roomy.last() {
            if !self.chunks[idx as usize].slots.is_empty() {
                return idx;
            }
            self.roomy.pop();
            self.freed.push(idx);
        }
        let idx = self.freed.pop().unwrap_or(self.chunks.len() as u32);
        if idx as usize == self.chunks.len() {
            self.chunks.push(Chunk::freed());
        }
        self.chunks[idx as usize] = Chunk::empty();
        self.roomy.push(idx);
        self.n_present += 1;
        self.n_empty += 1;
        idx
    }
}

impl<T: Default> Chunk<T> {
    const fn freed() -> Self {
        Self { slots: Vec::new(), next_free: Vec::new(), first_free: NONE, n_live: 0 }
    }

    fn empty() -> Self {
        let next_free = (1..=CHUNK as u16).map(|n| if n < CHUNK as u16 { n } else { NONE });
        Self {
            slots: (0..CHUNK).map(|_| T::default()).collect(),
            next_free: next_free.collect(),
            first_free: 0,
            n_live: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn memory_of_a_burst_is_given_back() {
        let mut slab = Slab::new();
        let slots: Vec<u32> = (0..100_000_u64).map(|v| slab.insert(v)).collect();
        let peak = slab.bytes();
        for slot in slots {
            slab.remove(slot);
        }
        assert_eq!(slab.len(), 0);
        assert!(slab.bytes() < peak / 3, "{} of {peak}", slab.bytes());
    }

    proptest! {
        #[test]
        fn slots_keep_their_values(steps in prop::collection::vec((any::<bool>(), any::<u16>()), 0..3000)) {
            let mut slab = Slab::new();
            let mut live: Vec<(u32, u64)> = Vec::new();
            for (i, (insert, pick)) in steps.into_iter().enumerate() {
                if insert || live.is_empty() {
                    let value = i as u64;
                    let slot = slab.insert(value);
                    prop_assert!(live.iter().all(|&(other, _)| other != slot));
                    live.push((slot, value));
                } else {
                    let (slot, value) = live.swap_remove(usize::from(pick) % live.len());
                    prop_assert_eq!(slab.remove(slot), value);
                }
                prop_assert_eq!(slab.len(), live.len());
            }
            for (slot, value) in live {
                prop_assert_eq!(*slab.get(slot), value);
            }
        }
    }
}
