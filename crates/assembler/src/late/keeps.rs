//! Keeps, exactly; the least recently used is forgotten first.

use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use spanwise_model::TraceId;

use super::Note;
use crate::slab::{NO_SLOT, Slab};

/// A bounded map that forgets what was not used for longest.
#[derive(Debug)]
pub(super) struct Keeps {
    by_id: HashTable<u32>,
    hasher: DefaultHashBuilder,
    slots: Slab<Slot>,
    /// Used last.
    newest: u32,
    oldest: u32,
    n_max: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    id: TraceId,
    note: Note,
    newer: u32,
    older: u32,
}

impl Keeps {
    pub(super) fn new(n_max: u32) -> Self {
        Self {
            by_id: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            slots: Slab::new(),
            newest: NO_SLOT,
            oldest: NO_SLOT,
            n_max: n_max as usize,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.by_id.allocation_size() + self.slots.bytes()
    }

    pub(super) fn contains(&self, id: TraceId) -> bool {
        self.slot(id).is_some()
    }

    pub(super) fn get(&mut self, id: TraceId) -> Option<Note> {
        let slot = self.slot(id)?;
        self.unlink(slot);
        self.link(slot);
        Some(self.slots.get(slot).note)
    }

    /// Adds a keep; whether another was forgotten for it. The first note of an id stays.
    pub(super) fn put(&mut self, id: TraceId, note: Note) -> bool {
        if self.get(id).is_some() {
            return false;
        }
        let is_full = self.slots.len() >= self.n_max;
        if is_full {
            self.forget_oldest();
        }
        let slot = self.slots.insert(Slot { id, note, newer: NO_SLOT, older: NO_SLOT });
        let (hasher, slots) = (&self.hasher, &self.slots);
        let hash = hasher.hash_one(id);
        self.by_id.insert_unique(hash, slot, |&slot| hasher.hash_one(slots.get(slot).id));
        self.link(slot);
        is_full
    }

    /// Keeps, the one used longest ago first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (TraceId, Note)> {
        let mut next = self.oldest;
        std::iter::from_fn(move || {
            if next == NO_SLOT {
                return None;
            }
            let slot = self.slots.get(next);
            next = slot.newer;
            Some((slot.id, slot.note))
        })
    }

    fn slot(&self, id: TraceId) -> Option<u32> {
        let hash = self.hasher.hash_one(id);
        self.by_id.find(hash, |&slot| self.slots.get(slot).id == id).copied()
    }

    fn forget_oldest(&mut self) {
        let slot = self.oldest;
        if slot == NO_SLOT {
            return;
        }
        self.unlink(slot);
        let Slot { id, .. } = self.slots.remove(slot);
        if let Ok(found) = self.by_id.find_entry(self.hasher.hash_one(id), |&other| other == slot) {
            found.remove();
        }
    }

    /// Puts a slot in front as the newest.
    fn link(&mut self, slot: u32) {
        let before = self.newest;
        let entry = self.slots.get_mut(slot);
        (entry.newer, entry.older) = (NO_SLOT, before);
        match before {
            NO_SLOT => self.oldest = slot,
            before => self.slots.get_mut(before).newer = slot,
        }
        self.newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Slot { newer, older, .. } = *self.slots.get(slot);
        match newer {
            NO_SLOT => self.newest = older,
            newer => self.slots.get_mut(newer).older = older,
        }
        match older {
            NO_SLOT => self.oldest = newer,
            older => self.slots.get_mut(older).newer = newer,
        }
    }
}
