//! The desk where claims meet the budget: lanes, chance, the reserve, and the ledger over all.
//!
//! A trace is kept by the first lane whose threshold its tail passes and that has budget left; a
//! trace that scores nearly or quite as high waits in the reserve; of the others a part is kept by
//! chance. Chance is drawn last and from R alone, and whether content keeps a trace never depends on
//! its R: so a keep by chance stands for exactly the traces that content left over, and adjusted
//! counts are unbiased. What chance has won but finds no budget waits for the next that comes in,
//! ahead of everything else.

use std::collections::{BTreeSet, VecDeque};

use spanwise_model::Timestamp;

use super::budget::Unit;
use super::lane::{Lane, ordered};
use super::ledger::{Cost, Ledger};
use super::purse::{Parts, Payer, Purses};
use super::reserve::{Draw, Held, N_LANES, Reserve};
use super::threshold;
use super::verdict::{Claim, Keep, Reason, Settled, Ticket, Verdict};

/// Credit of chance at which its probability is the nominal one: a number of traces (a quarter of
/// all it was given, while that is less), or a share of all it was given if that is more.
const CHANCE_TARGET: f64 = 4.0;
const CHANCE_TARGET_SHARE: f64 = 0.01;
/// How far the probability follows debt and savings.
const CHANCE_G: (f64, f64) = (0.1, 8.0);
/// Traces that chance dropped by up to this factor may be kept at the end if budget is left, after
/// those of rare strata.
const NEARLY: f64 = 3.0;
/// More than the bits of any stratum.
const RARE_FIRST: f32 = 100.0;

/// How long and how much may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Longest wait. Default 1 h.
    pub age_ns: u64,
    /// Traces held at once; 0 = every verdict is final at once. Default 2,048.
    pub n_traces: u32,
    /// Raw bytes held at once. Default 64 MiB.
    pub n_bytes: u64,
}

/// What a sampler thinks of a trace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opinion {
    /// What each lane says; `None` = nothing that would be worth a keep.
    pub(super) claims: [Option<Claim>; N_LANES],
    /// Probability of a keep by chance, before it follows the budget; 1 = in any case.
    pub(super) probability: f64,
    /// What the chance is about.
    pub(super) stratum: Claim,
    /// A keep by policy: as long as there is budget, nothing else is asked.
    pub(super) policy: Option<Keep>,
}

/// A trace as the desk sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Case {
    pub(super) cost: Cost,
    pub(super) tenant: u32,
    pub(super) randomness: u64,
    /// Settles ties; has nothing to do with R.
    pub(super) lot: f32,
    pub(super) now: Timestamp,
}

/// Counters since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Traces judged.
    pub n_seen: u64,
    /// Kept at once, by lane and by chance.
    pub n_kept: u64,
    /// Kept after they had waited.
    pub n_promoted: u64,
    /// Given up after they had waited.
    pub n_given_up: u64,
    /// Keeps for which no budget was left and no place to wait.
    pub n_budget_exhausted: u64,
}

/// Lanes, chance and reserve of one shard.
#[derive(Clone, Debug)]
pub(super) struct Desk {
    ledger: Ledger,
    pub(super) lanes: [Lane; N_LANES],
    reasons: [Reason; N_LANES],
    /// What a draw that is won is called, and one that cannot be lost.
    chance_reason: Reason,
    certain_reason: Reason,
    unit: Unit,
    /// Share of the budget that chance has.
    pub(super) chance_weight: f64,
    owed: VecDeque<u32>,
    nearly: BTreeSet<(u32, u32)>,
    waiting: Waiting,
    reserve: Reserve,
    next_ticket: u64,
    /// The budget as a share of all, as of the last trace.
    pub(super) share: f64,
    /// What lanes and chance have left, all shards together, as of the last trace or keep.
    purses: Purses,
    horizon_ns: u64,
    /// No credit crosses horizons, and therefore no trace either.
    is_strict: bool,
    last: Timestamp,
    pub(super) counters: Counters,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { age_ns: 3600 * 1_000_000_000, n_traces: 2048, n_bytes: 64 << 20 }
    }
}

impl Desk {
    pub(super) fn new(ledger: Ledger, used: [bool; N_LANES], waiting: Waiting) -> Self {
        let bound = ledger.bound();
        Self {
            ledger,
            lanes: used.map(Lane::new),
            reasons: [Reason::Latency, Reason::Structure, Reason::Error],
            chance_reason: Reason::Probability,
            certain_reason: Reason::Cluster,
            unit: bound.total.unit,
            chance_weight: 1.0,
            owed: VecDeque::new(),
            nearly: BTreeSet::new(),
            waiting,
            reserve: Reserve::default(),
            next_ticket: 0,
            share: 0.0,
            purses: Purses::default(),
            horizon_ns: bound.horizon_ns,
            is_strict: bound.carry_ns == 0,
            last: Timestamp::default(),
            counters: Counters::default(),
        }
    }

    /// Remembers what a trace scores, and nothing else.
    pub(super) fn learn(&mut self, opinion: &Opinion, case: &Case) {
        for (lane, claim) in self.lanes.iter_mut().zip(&opinion.claims) {
            let bits = claim.map_or(f32::NEG_INFINITY, |claim| claim.bits);
            if lane.is_used {
                lane.judge(bits, case.lot, case.now);
            }
        }
    }

    /// Decides on a trace. What is settled meanwhile is appended to `settled`.
    pub(super) fn judge(
        &mut self,
        opinion: &Opinion,
        case: &Case,
        settled: &mut Vec<Settled>,
    ) -> Verdict {
        self.advance(case.now, settled);
        self.counters.n_seen += 1;
        let parts = self.parts();
        let standing = self.ledger.see(case.cost, case.tenant, parts, case.now);
        (self.share, self.purses) = (standing.share, standing.purses);
        if let Some(keep) = opinion.policy
            && self.pay(Payer::All(parts), case.cost, case.tenant, case.now)
        {
            self.learn(opinion, case);
            self.counters.n_kept += 1;
            return Verdict::Keep(keep);
        }
        // Who waits comes first, so that no trace is settled before its own verdict is out.
        self.pay_debts(case.now, settled);
        self.promote(case.now, settled);
        let verdict = self.decide(opinion, case, settled);
        self.counters.n_kept += u64::from(matches!(verdict, Verdict::Keep(_)));
        verdict
    }

    /// Lets time pass: what has waited too long is given up, and a new horizon may begin.
    pub(super) fn advance(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        if self.is_strict && self.is_next_horizon(now) {
            self.drain(now, settled);
        }
        self.last = self.last.max(now);
        while let Some((slot, at)) = self.reserve.oldest() {
            if now.since(at) < self.waiting.age_ns {
                break;
            }
            self.give_up(slot, now, settled);
        }
    }

    /// Settles everyone who waits. Lanes spend their savings on the best; of the others chance draws
    /// as it would have at once; what is left then, and not promised on another shard, goes to the best
    /// of those who lost, and since nobody can say with what probability, they stand for nobody but
    /// themselves. Where no credit crosses horizons they are settled in the horizon they came in, however
    /// late this is noticed.
    pub(super) fn drain(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        let now = if self.is_strict && self.is_next_horizon(now) { self.last } else { now };
        self.pay_debts(now, settled);
        self.spend(now, settled, |desk, idx| desk.purses.lanes[idx].credit() >= 1.0);
        self.draw_all(now, settled);
        self.spend(now, settled, |desk, _| desk.has_spare());
        self.spend_on_nearly(now, settled);
        while let Some((slot, _)) = self.reserve.oldest() {
            self.settle(slot, None, settled);
        }
    }

    /// Whether a horizon has begun since the last trace.
    fn is_next_horizon(&self, now: Timestamp) -> bool {
        let is_first = self.last == Timestamp::default();
        !is_first && now.as_ns() / self.horizon_ns > self.last.as_ns() / self.horizon_ns
    }

    pub(super) fn n_held(&self) -> usize {
        self.reserve.len()
    }

    /// Parts of the budget as they are now.
    fn parts(&self) -> Parts {
        Parts {
            lanes: std::array::from_fn(|idx| self.lanes[idx].weight),
            chance: self.chance_weight,
        }
    }

    /// Pays for a keep from a purse.
    fn pay(&mut self, payer: Payer, cost: Cost, tenant: u32, now: Timestamp) -> bool {
        let purses = self.ledger.pay_from(payer, cost, tenant, now);
        self.purses = purses.unwrap_or(self.purses);
        purses.is_some()
    }

    fn decide(&mut self, opinion: &Opinion, case: &Case, settled: &mut Vec<Settled>) -> Verdict {
        let units = self.units(case.cost);
        let saved = self.purses.credit();
        let mut waits = [None; N_LANES];
        for (idx, wait) in waits.iter_mut().enumerate() {
            let lane = &mut self.lanes[idx];
            if !lane.is_used {
                continue;
            }
            let bits = opinion.claims[idx].map_or(f32::NEG_INFINITY, |claim| claim.bits);
            let tail = lane.judge(bits, case.lot, case.now);
            let Some(claim) = opinion.claims[idx] else { continue };
            let is_kept = f64::from(tail.drawn) <= self.threshold(idx)
                && self.purses.lanes[idx].credit() >= units
                && !self.yields(idx, claim);
            if is_kept && self.pay(Payer::Lane(idx), case.cost, case.tenant, case.now) {
                return Verdict::Keep(self.kept_by_content(idx, claim, f64::from(tail.share)));
            }
            if self.lanes[idx].is_candidate(tail, self.share, saved / units)
                && self.would_stay(idx, claim, case.cost)
            {
                *wait = Some(claim);
            }
        }
        let probability = self.probability(opinion.probability);
        let held = Held {
            ticket: self.next_ticket,
            at: case.now,
            cost: case.cost,
            tenant: case.tenant,
            randomness: case.randomness,
            lot: case.lot,
            claims: waits,
            probability,
            stratum: opinion.stratum,
            draw: Draw::Open,
            rank: 0,
        };
        if waits.iter().any(Option::is_some) && self.has_room_for(case.cost, &waits, settled) {
            return self.hold(held);
        }
        self.draw(held, settled)
    }

    /// The greatest tail that a lane keeps now.
    fn threshold(&self, idx: usize) -> f64 {
        let credit = self.purses.lanes[idx].credit();
        self.lanes[idx].threshold(self.share, credit, self.purses.usual())
    }

    /// Whether a lane has kept enough of this source for now, and another could be kept instead.
    fn yields(&self, idx: usize, claim: Claim) -> bool {
        let is_crowded = self.lanes[idx].is_crowded(claim.source);
        is_crowded && self.next_waiting(idx).is_some_and(|slot| self.passes(idx, slot))
    }

    /// The best of those who wait in a lane and whose source is not crowded.
    fn next_waiting(&self, idx: usize) -> Option<u32> {
        /// Looked at before the lane gives up on diversity.
        const N_LOOKED_AT: usize = 16;
        let lane = &self.lanes[idx];
        let mut best = lane.waiting.iter().rev().take(N_LOOKED_AT);
        let fits = |&&(_, slot): &&(u32, u32)| {
            let claim = self.reserve.get(slot).and_then(|held| held.claims[idx]);
            claim.is_some_and(|claim| !lane.is_crowded(claim.source))
        };
        best.find(fits).map(|&(_, slot)| slot)
    }

    /// The probability of a draw, which follows what chance has left.
    fn probability(&self, nominal: f64) -> f64 {
        if nominal >= 1.0 || nominal <= 0.0 {
            return nominal.clamp(0.0, 1.0);
        }
        let chance = self.purses.chance;
        let given = chance.given;
        let target = (CHANCE_TARGET_SHARE * given).max(CHANCE_TARGET.min(given / 4.0)).max(1.0);
        let g = (chance.credit() - self.purses.promised) / target;
        (nominal * g.clamp(CHANCE_G.0, CHANCE_G.1)).min(1.0)
    }

    /// Draws for a trace that content has left over.
    fn draw(&mut self, held: Held, settled: &mut Vec<Settled>) -> Verdict {
        if !is_won(&held) {
            return self.nearly(held, settled);
        }
        let is_free = self.owed.is_empty();
        if is_free && self.pay(Payer::Chance, held.cost, held.tenant, self.last) {
            return Verdict::Keep(self.kept_by_chance(&held));
        }
        // What chance has won comes before whoever waits.
        while self.is_full(held.cost) && self.give_up_worst(settled) {}
        if !self.is_full(held.cost) {
            self.owe(held);
            return self.ticket();
        }
        self.counters.n_budget_exhausted += 1;
        Verdict::Drop
    }

    /// Holds a trace that lost its draw by little, where there is nothing better to wait.
    fn nearly(&mut self, held: Held, settled: &mut Vec<Settled>) -> Verdict {
        let has_content = self.lanes.iter().any(|lane| lane.is_used);
        let drawn = threshold::probability(held.randomness);
        let is_rare = held.stratum.bits > f32::NEG_INFINITY;
        let is_near = drawn <= NEARLY * held.probability;
        if has_content || self.waiting.n_traces == 0 || !(is_rare || is_near) {
            return Verdict::Drop;
        }
        // Rare strata by rarity, a bit of which is more than any luck; then by luck.
        let luck = (held.probability / drawn) as f32;
        let rank = ordered(if is_rare { RARE_FIRST + held.stratum.bits } else { luck });
        while self.is_full(held.cost) {
            let Some(&(worst, slot)) = self.nearly.first() else { return Verdict::Drop };
            if worst >= rank {
                return Verdict::Drop;
            }
            self.give_up(slot, self.last, settled);
        }
        let slot = self.reserve.put(Held { draw: Draw::Lost, rank, ..held });
        self.nearly.insert((rank, slot));
        self.ticket()
    }

    fn hold(&mut self, held: Held) -> Verdict {
        let claims = held.claims;
        self.promise(self.expected(&held));
        let slot = self.reserve.put(held);
        for (lane, claim) in self.lanes.iter_mut().zip(claims) {
            if let Some(claim) = claim {
                lane.waiting.insert((ordered(claim.bits), slot));
            }
        }
        self.ticket()
    }

    fn ticket(&mut self) -> Verdict {
        self.next_ticket += 1;
        Verdict::Hold(Ticket(self.next_ticket - 1))
    }

    /// Whether a trace would not be the next to go: its lane has fewer than another one, or somebody there
    /// scores less. Holding one only to give it up for the next costs whoever holds its bytes a copy of
    /// them.
    fn would_stay(&self, idx: usize, claim: Claim, cost: Cost) -> bool {
        let Some(&(worst, _)) = self.lanes[idx].waiting.first() else { return true };
        let n_most = self.lanes.iter().map(|lane| lane.waiting.len()).max().unwrap_or_default();
        // Lanes even out, and then nobody moves for being of another lane.
        let is_short = self.lanes[idx].waiting.len() + 1 < n_most;
        is_short || ordered(claim.bits) > worst || !self.is_full(cost)
    }

    /// Whether somebody must leave the reserve before this can be held.
    fn is_full(&self, cost: Cost) -> bool {
        self.reserve.len() >= self.waiting.n_traces as usize
            || self.reserve.n_bytes() + cost.n_bytes > self.waiting.n_bytes
    }

    /// Makes room in the reserve, at the expense of who scores less.
    fn has_room_for(
        &mut self,
        cost: Cost,
        claims: &[Option<Claim>; N_LANES],
        settled: &mut Vec<Settled>,
    ) -> bool {
        while self.is_full(cost) {
            let Some((idx, bits)) = self.worst() else { return false };
            let is_better = |claim: &Option<Claim>| claim.is_some_and(|c| ordered(c.bits) > bits);
            let elsewhere = claims.iter().enumerate().any(|(i, c)| i != idx && c.is_some());
            if !is_better(&claims[idx]) && !elsewhere {
                return false;
            }
            self.give_up_worst(settled);
        }
        true
    }

    /// The worst of the lane in which most wait: lane and score.
    fn worst(&self) -> Option<(usize, u32)> {
        let idx = (0..N_LANES).max_by_key(|&idx| self.lanes[idx].waiting.len())?;
        self.lanes[idx].waiting.first().map(|&(bits, _)| (idx, bits))
    }

    /// Has that one wait in its lane no longer, and at all if it waits in no other; `false` = nobody waits.
    fn give_up_worst(&mut self, settled: &mut Vec<Settled>) -> bool {
        let Some((idx, _)) = self.worst() else { return false };
        let Some((_, slot)) = self.lanes[idx].waiting.pop_first() else { return false };
        if let Some(held) = self.reserve.get_mut(slot) {
            held.claims[idx] = None;
            if held.claims.iter().all(Option::is_none) {
                self.give_up(slot, self.last, settled);
            }
        }
        true
    }

    /// Takes a trace out of the reserve and out of every queue.
    fn take(&mut self, slot: u32) -> Option<Held> {
        let held = self.reserve.take(slot)?;
        for (lane, claim) in self.lanes.iter_mut().zip(held.claims) {
            if let Some(claim) = claim {
                lane.waiting.remove(&(ordered(claim.bits), slot));
            }
        }
        match held.draw {
            Draw::Open => self.promise(-self.expected(&held)),
            Draw::Won => {
                self.owed.retain(|&owed| owed != slot);
                self.promise(-self.units(held.cost));
            }
            Draw::Lost => {
                self.nearly.remove(&(held.rank, slot));
            }
        }
        Some(held)
    }

    /// Content gives a trace up: chance has the last word. What it wins without budget waits on.
    fn give_up(&mut self, slot: u32, now: Timestamp, settled: &mut Vec<Settled>) {
        let Some(held) = self.reserve.get(slot).copied() else { return };
        if held.draw != Draw::Open || !is_won(&held) {
            self.counters.n_budget_exhausted += u64::from(held.draw == Draw::Won);
            self.settle(slot, None, settled);
        } else if self.owed.is_empty() && self.pay(Payer::Chance, held.cost, held.tenant, now) {
            let keep = self.kept_by_chance(&held);
            self.settle(slot, Some(keep), settled);
        } else {
            self.take(slot);
            self.owe(Held { at: now, ..held });
        }
    }

    /// Ends the wait of a trace.
    fn settle(&mut self, slot: u32, keep: Option<Keep>, settled: &mut Vec<Settled>) {
        let Some(held) = self.take(slot) else { return };
        match keep {
            Some(_) => self.counters.n_promoted += 1,
            None => self.counters.n_given_up += 1,
        }
        settled.push(Settled { ticket: Ticket(held.ticket), keep });
    }

    /// Chance has won a trace for which there is no budget yet.
    fn owe(&mut self, held: Held) {
        self.promise(self.units(held.cost));
        let slot = self.reserve.put(Held { draw: Draw::Won, claims: [None; N_LANES], ..held });
        self.owed.push_back(slot);
    }

    /// Chance draws for everyone who waits; who loses waits on.
    fn draw_all(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        for slot in self.reserve.slots() {
            let Some(held) = self.reserve.get(slot).copied() else { continue };
            if held.draw != Draw::Open {
                continue;
            }
            if is_won(&held) && self.pay(Payer::Chance, held.cost, held.tenant, now) {
                let keep = self.kept_by_chance(&held);
                self.settle(slot, Some(keep), settled);
            } else if let Some(waits) = self.reserve.get_mut(slot) {
                waits.draw = Draw::Lost;
                self.promise(-self.expected(&held));
            }
        }
    }

    /// Keeps what chance has won earlier, in order.
    fn pay_debts(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        while let Some(&slot) = self.owed.front() {
            let Some(held) = self.reserve.get(slot).copied() else {
                self.owed.pop_front();
                continue;
            };
            if !self.pay(Payer::Chance, held.cost, held.tenant, now) {
                break;
            }
            let keep = self.kept_by_chance(&held);
            self.settle(slot, Some(keep), settled);
        }
    }

    /// Keeps who waits and passes by now.
    fn promote(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        for idx in 0..N_LANES {
            while let Some(slot) = self.passing(idx) {
                if !self.promote_one(idx, slot, now, settled) {
                    break;
                }
            }
        }
    }

    /// Who waits in a lane, passes its threshold and fits its budget.
    fn passing(&self, idx: usize) -> Option<u32> {
        let lane = &self.lanes[idx];
        let &(_, top) = lane.waiting.last()?;
        // Nobody scores higher than the top.
        if !self.passes(idx, top) {
            return None;
        }
        let other = self.next_waiting(idx).filter(|&slot| self.passes(idx, slot));
        Some(other.unwrap_or(top))
    }

    /// Whether a trace that waits passes a lane's threshold and fits its budget.
    fn passes(&self, idx: usize, slot: u32) -> bool {
        let lane = &self.lanes[idx];
        let Some(held) = self.reserve.get(slot) else { return false };
        let Some(claim) = held.claims[idx] else { return false };
        let tail = lane.tail(claim.bits, held.lot);
        self.purses.lanes[idx].credit() >= self.units(held.cost)
            && f64::from(tail.drawn) <= self.threshold(idx)
    }

    fn promote_one(
        &mut self,
        idx: usize,
        slot: u32,
        now: Timestamp,
        settled: &mut Vec<Settled>,
    ) -> bool {
        let Some(&held) = self.reserve.get(slot) else { return false };
        let Some(claim) = held.claims[idx] else { return false };
        if !self.pay(Payer::Lane(idx), held.cost, held.tenant, now) {
            return false;
        }
        let tail = f64::from(self.lanes[idx].tail(claim.bits, held.lot).share);
        let erase_threshold = held.draw == Draw::Lost;
        let keep = self.kept_by_content(idx, claim, tail);
        self.settle(slot, Some(Keep { erase_threshold, ..keep }), settled);
        true
    }

    /// Spends on the best of the lane that has most left, among the lanes that `may`.
    fn spend(
        &mut self,
        now: Timestamp,
        settled: &mut Vec<Settled>,
        may: impl Fn(&Self, usize) -> bool,
    ) {
        loop {
            let credit = |idx: usize| self.purses.lanes[idx].credit();
            let waits = |&idx: &usize| !self.lanes[idx].waiting.is_empty() && may(self, idx);
            let lanes = (0..N_LANES).filter(waits);
            let Some(idx) = lanes.max_by(|&a, &b| credit(a).total_cmp(&credit(b))) else { break };
            let Some(&(_, slot)) = self.lanes[idx].waiting.last() else { break };
            if !self.promote_one(idx, slot, now, settled) {
                break;
            }
        }
    }

    /// Spends on those who lost by little, or although their stratum is rare.
    fn spend_on_nearly(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        while let Some(&(_, slot)) = self.nearly.last() {
            let Some(held) = self.reserve.get(slot).copied() else { break };
            if !self.has_spare() || !self.pay(Payer::Chance, held.cost, held.tenant, now) {
                break;
            }
            let keep = Keep { threshold: 0, erase_threshold: true, ..self.kept_by_chance(&held) };
            self.settle(slot, Some(keep), settled);
        }
    }

    fn kept_by_content(&mut self, idx: usize, claim: Claim, tail: f64) -> Keep {
        self.lanes[idx].count(claim.source);
        Keep { reason: self.reasons[idx], claim, tail, threshold: 0, erase_threshold: false }
    }

    fn kept_by_chance(&self, held: &Held) -> Keep {
        let is_certain = held.probability >= 1.0;
        Keep {
            reason: if is_certain { self.certain_reason } else { self.chance_reason },
            claim: held.stratum,
            tail: held.probability,
            threshold: threshold::of_probability(held.probability),
            erase_threshold: false,
        }
    }

    /// Whether there is more left than what is promised.
    fn has_spare(&self) -> bool {
        /// A unit, less what sums are rounded by.
        const ONE: f64 = 1.0 - 1e-6;
        self.purses.credit() - self.purses.promised >= ONE
    }

    /// What a draw that is still open will cost on average.
    fn expected(&self, held: &Held) -> f64 {
        held.probability * self.units(held.cost)
    }

    /// Notes what chance will have to pay. Its probability follows what is left after that: else whoever
    /// waits would find nothing left in the end, and who is kept would stand for too few.
    fn promise(&mut self, units: f64) {
        self.ledger.promise(units);
        self.purses.promised += units;
    }

    fn units(&self, cost: Cost) -> f64 {
        cost.units(self.unit) as f64
    }
}

/// Whether a draw keeps a trace: R >= T.
fn is_won(held: &Held) -> bool {
    held.probability > 0.0 && held.randomness >= threshold::of_probability(held.probability)
}
