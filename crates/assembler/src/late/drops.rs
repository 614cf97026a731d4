//! The latest drops, exactly, oldest first.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;

use hashbrown::{DefaultHashBuilder, HashTable};
use spanwise_model::{Timestamp, TraceId};

/// A bounded set that forgets in order of time.
#[derive(Debug)]
pub(super) struct Drops {
    /// Ids with numbers of spans. Ids are raw from the network, hence the randomly keyed hasher; its order reaches no output.
    ids: HashTable<(TraceId, u32)>,
    hasher: DefaultHashBuilder,
    /// In order of time; ids that were removed since are passed over.
    order: VecDeque<(Timestamp, TraceId)>,
    n_max: usize,
}

impl Drops {
    pub(super) fn new(n_max: u32) -> Self {
        Self {
            ids: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            order: VecDeque::new(),
            n_max: n_max as usize,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.ids.allocation_size() + self.order.capacity() * size_of::<(Timestamp, TraceId)>()
    }

    pub(super) fn contains(&self, id: TraceId) -> bool {
        self.n_spans(id).is_some()
    }

    /// What was noted with an id that is here.
    pub(super) fn n_spans(&self, id: TraceId) -> Option<u32> {
        self.ids.find(self.hasher.hash_one(id), |(other, _)| *other == id).map(|(_, n)| *n)
    }

    /// So many more spans of a trace that is here. Where their number is not known it stays so.
    pub(super) fn add_spans(&mut self, id: TraceId, n_spans: u32) {
        let found = self.ids.find_mut(self.hasher.hash_one(id), |(other, _)| *other == id);
        if let Some((_, known)) = found.filter(|(_, known)| *known > 0) {
            *known = known.saturating_add(n_spans);
        }
    }

    /// Adds an id; the oldest one if it had to make room.
    pub(super) fn put(&mut self, id: TraceId, n_spans: u32, now: Timestamp) -> Option<TraceId> {
        if self.contains(id) {
            return None;
        }
        let oldest = (self.order.len() >= self.n_max).then(|| self.take_oldest()).flatten();
        let hasher = &self.hasher;
        self.ids.insert_unique(hasher.hash_one(id), (id, n_spans), |(id, _)| hasher.hash_one(id));
        self.order.push_back((now, id));
        oldest
    }

    pub(super) fn remove(&mut self, id: TraceId) {
        if let Ok(found) = self.ids.find_entry(self.hasher.hash_one(id), |(other, _)| *other == id)
        {
            found.remove();
        }
    }

    /// Takes the oldest id if it is older than `age_ns`.
    pub(super) fn take_older(&mut self, now: Timestamp, age_ns: u64) -> Option<TraceId> {
        loop {
            let &(at, _) = self.order.front()?;
            if now.since(at) < age_ns {
                return None;
            }
            if let Some(id) = self.take_front() {
                return Some(id);
            }
        }
    }

    /// Ids with their times, oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Timestamp, TraceId)> {
        self.order.iter().copied().filter(|&(_, id)| self.contains(id))
    }

    fn take_oldest(&mut self) -> Option<TraceId> {
        while !self.order.is_empty() {
            if let Some(id) = self.take_front() {
                return Some(id);
            }
        }
        None
    }

    /// Takes the front of the order; `None` if it was removed before.
    fn take_front(&mut self) -> Option<TraceId> {
        let (_, id) = self.order.pop_front()?;
        let is_there = self.contains(id);
        self.remove(id);
        is_there.then_some(id)
    }
}
