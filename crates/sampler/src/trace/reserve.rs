//! Traces that are not kept yet and not given up either.
//!
//! What scores high but finds the budget spent waits here, its bytes still held by the caller. Later
//! it is kept, by the budget that quiet hours leave, or it is given up: when it is too old, when
//! something better needs the place, at the end. A verdict therefore changes from "held" to keep or
//! drop once, and never from keep or drop to anything.

use std::collections::VecDeque;

use spanwise_model::Timestamp;

use super::ledger::Cost;
use super::verdict::Claim;

/// Content lanes at most.
pub(super) const N_LANES: usize = 3;

/// Where a held trace stands with chance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Draw {
    /// The draw waits until content has given the trace up.
    Open,
    /// Chance keeps it as soon as there is budget.
    Won,
    /// Chance has dropped it.
    Lost,
}

/// A trace in the reserve.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) ticket: u64,
    pub(super) at: Timestamp,
    pub(super) cost: Cost,
    pub(super) tenant: u32,
    pub(super) randomness: u64,
    pub(super) lot: f32,
    /// What each lane says, where it waits in that lane.
    pub(super) claims: [Option<Claim>; N_LANES],
    /// Probability and stratum of the draw, as they were when it came.
    pub(super) probability: f64,
    pub(super) stratum: Claim,
    pub(super) draw: Draw,
    /// Where it stands among those who lost by little, as an ordered number; 0 = not among them.
    pub(super) rank: u32,
}

/// Slots of held traces.
#[derive(Clone, Debug, Default)]
pub(super) struct Reserve {
    slots: Vec<Option<Held>>,
    free: Vec<u32>,
    /// Slots with their tickets, oldest first; some are empty or taken by others since.
    by_age: VecDeque<(u32, u64)>,
    n_bytes: u64,
    n_held: usize,
}

impl Reserve {
    pub(super) fn len(&self) -> usize {
        self.n_held
    }

    pub(super) fn n_bytes(&self) -> u64 {
        self.n_bytes
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Held> {
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Held> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(super) fn put(&mut self, held: Held) -> u32 {
        self.n_bytes += held.cost.n_bytes;
        self.n_held += 1;
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.by_age.push_back((slot, held.ticket));
        self.slots[slot as usize] = Some(held);
        if self.by_age.len() > 4 * self.n_held + 64 {
            self.forget_the_gone();
        }
        slot
    }

    pub(super) fn take(&mut self, slot: u32) -> Option<Held> {
        let held = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        self.n_bytes -= held.cost.n_bytes;
        self.n_held -= 1;
        Some(held)
    }

    /// Every slot there is, taken or not.
    pub(super) fn slots(&self) -> std::ops::Range<u32> {
        0..self.slots.len() as u32
    }

    /// The oldest held trace.
    pub(super) fn oldest(&mut self) -> Option<(u32, Timestamp)> {
        while let Some(&(slot, ticket)) = self.by_age.front() {
            match self.get(slot) {
                Some(held) if held.ticket == ticket => return Some((slot, held.at)),
                _ => self.by_age.pop_front(),
            };
        }
        None
    }

    fn forget_the_gone(&mut self) {
        let slots = &self.slots;
        self.by_age.retain(|&(slot, ticket)| {
            slots[slot as usize].as_ref().is_some_and(|held| held.ticket == ticket)
        });
    }
}
