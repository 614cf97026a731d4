//! Decides when rules fire: SCALE eq. 4, `Action <=> Count(D > T, window) >= N`, over counts that
//! come from this process or from a sampler elsewhere.
//!
//! The window of W seconds slides over the spans' *end times* in 1 s buckets, not over arrival:
//! whoever cuts, delays or merges counts, the same counts give the same firings. A window may end
//! at any second between [`LATE_S`] before now and two minutes after it, so that neither traces
//! that close late nor a host with a fast clock blind a rule.
//!
//! A rule fires once and then rests for its cooldown. The rest is kept in event time and in `now`:
//! only a window that ends after it, and only breaches that ended after the last firing, can fire
//! again. So one burst is one action however late its spans come in, and an incident that lasts
//! fires again after the rest. The first breach that keeps the condition true during the rest is
//! reported once, as a finding that is `resting`. A firing that lacks the evidence to act (breaches
//! in only one quarter of the window, because they came fast) is made good as soon as the evidence
//! is there, without waiting for the rest to end.
//!
//! What it does not do: know which spans were not counted. Whoever loses counts says so with
//! [`RuleWindows::mark_hole`].

use std::collections::VecDeque;
use std::sync::Arc;

use spanwise_model::{Condition, Finding, QuorumShortfall, RuleCount, Timestamp};

use super::compile::{Rule, RuleSet};
use super::quorum;
use super::tally::Tally;
use crate::units::DurationNs;

/// How long after a second its counts still matter: twice the greatest age of a trace.
pub const LATE_S: u64 = 120;
/// How far ahead of now end times may lie; matches what predicates accept.
const AHEAD_S: u64 = 120;

/// The windows of all rules. Bounded: one bucket per rule and second of window, plus lateness.
#[derive(Clone, Debug)]
pub struct RuleWindows {
    rules: Arc<RuleSet>,
    windows: Vec<Window>,
    /// Seconds up to which counts may be missing.
    hole_until_s: Option<u64>,
    stats: WindowStats,
}

/// What windows saw since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowStats {
    /// Counts added to a bucket.
    pub n_counts: u64,
    /// Counts whose second lies outside of what windows still cover.
    pub n_out_of_time: u64,
    /// Counts that name a rule the set does not have.
    pub n_unknown_rule: u64,
    /// Times a rule fired.
    pub n_fired: u64,
}

/// Where a rule stands, for people.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleState {
    /// The figures of the window that ends now.
    pub condition: Condition,
    /// When it last fired.
    pub fired_at: Option<Timestamp>,
    /// Whether it rests.
    pub is_resting: bool,
}

#[derive(Clone, Debug, Default)]
struct Window {
    /// Seconds in which spans were seen, in order. A ring and not a map: tallies are large, and
    /// nearly always one is added behind and one let go in front.
    buckets: VecDeque<Bucket>,
    /// The seconds with a breach, in order: all that the search for a firing reads, side by side,
    /// since it runs over every rule at every tick.
    breaching: VecDeque<Breaching>,
    fired: Option<Fired>,
}

/// What was counted in one second.
#[derive(Clone, Debug, Default)]
struct Bucket {
    second: u64,
    tally: Tally,
}

/// A second with a breach.
#[derive(Clone, Copy, Debug)]
struct Breaching {
    second: u64,
    breaches: f64,
}

/// The last firing.
#[derive(Clone, Copy, Debug)]
struct Fired {
    at: Timestamp,
    /// First second whose breaches it could use: what ended before was spent by the one before it.
    from_s: u64,
    /// Last second of the window that fired: breaches up to here are spent.
    end_s: u64,
    /// Whether it lacked evidence to act; it is then made good once there is enough.
    is_short: bool,
    /// Whether the resting finding of this rest was reported.
    is_reported: bool,
}

impl RuleWindows {
    /// Empty windows.
    pub fn new(rules: Arc<RuleSet>) -> Self {
        let windows = vec![Window::default(); rules.len()];
        Self { rules, windows, hole_until_s: None, stats: WindowStats::default() }
    }

    /// The rules.
    pub fn rules(&self) -> &Arc<RuleSet> {
        &self.rules
    }

    /// Adds what was counted, in any order and cut. `count` may come from the network: a rule or a
    /// second that cannot be is ignored and counted.
    pub fn add(&mut self, count: &RuleCount, now: Timestamp) {
        let (Some(rule), Some(window)) =
            (self.rules.get(count.rule_idx), self.windows.get_mut(count.rule_idx as usize))
        else {
            self.stats.n_unknown_rule += 1;
            return;
        };
        let now_s = now.as_secs();
        if count.second < oldest_s(rule, now_s) || count.second > now_s.saturating_add(AHEAD_S) {
            self.stats.n_out_of_time += 1;
            return;
        }
        self.stats.n_counts += 1;
        window.add(count);
    }

    /// Counts up to now may be missing: the stream began a new epoch, or counts were dropped. Until
    /// a rule's window has moved past now, its findings lack the evidence to act.
    pub fn mark_hole(&mut self, now: Timestamp) {
        self.hole_until_s = self.hole_until_s.max(Some(now.as_secs()));
    }

    /// Evaluates every rule and appends what fired, or rests, in the order of the rules. Call it
    /// after each drain of counts.
    pub fn tick(&mut self, now: Timestamp, out: &mut Vec<Finding>) {
        let hole_until_s = self.hole_until_s;
        for (rule, window) in self.rules.rules().iter().zip(&mut self.windows) {
            window.forget(oldest_s(rule, now.as_secs()));
            if let Some(finding) = window.evaluate(rule, hole_until_s, now) {
                self.stats.n_fired += u64::from(!finding.resting);
                out.push(finding);
            }
        }
    }

    /// Where a rule stands, if the set has it.
    pub fn state(&self, rule_idx: u32, now: Timestamp) -> Option<RuleState> {
        let rule = self.rules.get(rule_idx)?;
        let window = self.windows.get(rule_idx as usize)?;
        let end_s = now.as_secs();
        let (tally, n_quarters) = window.tally(rule, end_s, 0);
        let rests = |fired: Fired| now < fired.at.plus_ns(rule.cooldown_ns);
        Some(RuleState {
            condition: condition(rule, &tally, n_quarters),
            fired_at: window.fired.map(|fired| fired.at),
            is_resting: window.fired.is_some_and(rests),
        })
    }

    /// What was seen since the start.
    pub fn stats(&self) -> WindowStats {
        self.stats
    }
}

impl RuleState {
    /// The state as one line for people: how far the rule is from firing, and on how many spans.
    pub fn describe(&self, rule: &Rule) -> String {
        let condition = &self.condition;
        format!(
            "{}: {} of {} breaches of {} over {} in {}s ({} spans of {}::{} seen){}",
            rule.reference.name,
            condition.observed,
            condition.count,
            condition.metric,
            DurationNs(condition.over_ns),
            rule.window_s,
            condition.n_spans,
            rule.service,
            rule.operation,
            if self.is_resting { ", resting" } else { "" },
        )
    }
}

impl Window {
    fn add(&mut self, count: &RuleCount) {
        let second = count.second;
        let at = match place_of(&self.buckets, second, |bucket| bucket.second) {
            Ok(at) => at,
            Err(at) => {
                self.buckets.insert(at, Bucket { second, ..Bucket::default() });
                at
            }
        };
        let tally = &mut self.buckets[at].tally;
        tally.merge_count(count);
        if tally.n_breaches == 0 {
            return;
        }
        let breaching = Breaching { second, breaches: tally.breaches };
        match place_of(&self.breaching, second, |known| known.second) {
            Ok(at) => self.breaching[at] = breaching,
            Err(at) => self.breaching.insert(at, breaching),
        }
    }

    fn forget(&mut self, oldest_s: u64) {
        while self.breaching.front().is_some_and(|breaching| breaching.second < oldest_s) {
            self.breaching.pop_front();
        }
        while self.buckets.front().is_some_and(|bucket| bucket.second < oldest_s) {
            self.buckets.pop_front();
        }
    }

    fn evaluate(&mut self, rule: &Rule, hole: Option<u64>, now: Timestamp) -> Option<Finding> {
        let first_end_s = now.as_secs().saturating_sub(LATE_S);
        let Some(fired) = self.fired else {
            return self.fire(rule, (first_end_s, 0), hole, now);
        };
        if now >= fired.at.plus_ns(rule.cooldown_ns) {
            let rested_s = fired.end_s + rule.cooldown_ns.div_ceil(1_000_000_000);
            let bounds = (first_end_s.max(rested_s), fired.end_s + 1);
            return self.fire(rule, bounds, hole, now);
        }
        if fired.is_short
            && let Some(end_s) = self.newest_end(rule, first_end_s, fired.from_s)
        {
            let finding = self.finding(rule, (end_s, fired.from_s), hole, now);
            if finding.shortfall.is_none() {
                let is_short = false;
                self.fired = Some(Fired { at: now, end_s, is_short, is_reported: false, ..fired });
                return Some(Finding { completes: true, ..finding });
            }
        }
        if fired.is_reported {
            return None;
        }
        let end_s = self.newest_end(rule, first_end_s.max(fired.end_s + 1), 0)?;
        self.fired = Some(Fired { is_reported: true, ..fired });
        let finding = self.finding(rule, (end_s, 0), hole, now);
        Some(Finding { resting: true, ..finding })
    }

    /// Fires if a window that ends at `first_s` or later reaches N with breaches from `from_s` on.
    fn fire(
        &mut self,
        rule: &Rule,
        (first_s, from_s): (u64, u64),
        hole: Option<u64>,
        now: Timestamp,
    ) -> Option<Finding> {
        let end_s = self.newest_end(rule, first_s, from_s)?;
        let finding = self.finding(rule, (end_s, from_s), hole, now);
        let is_short = finding.shortfall.is_some();
        self.fired = Some(Fired { at: now, from_s, end_s, is_short, is_reported: false });
        Some(finding)
    }

    /// The newest second, not before `first_s`, at which a breach ended and the window reaches N,
    /// counting only breaches from `from_s` on.
    fn newest_end(&self, rule: &Rule, first_s: u64, from_s: u64) -> Option<u64> {
        let from_s = (first_s + 1).saturating_sub(rule.window_s).max(from_s);
        let begin = self.breaching.partition_point(|breaching| breaching.second < from_s);
        // Weights are rounded so that sums of them are exact, whichever end they are taken from.
        let mut sum = 0.0;
        let mut start = self.breaching.len();
        for end in (begin..self.breaching.len()).rev() {
            let end_s = self.breaching[end].second;
            if end_s < first_s {
                return None;
            }
            while start > begin && self.breaching[start - 1].second + rule.window_s > end_s {
                start -= 1;
                sum += self.breaching[start].breaches;
            }
            if sum >= rule.count {
                return Some(end_s);
            }
            sum -= self.breaching[end].breaches;
        }
        None
    }

    /// All counts of the window that ends at `end_s`, none before `from_s`; and its quarters with a
    /// breach.
    fn tally(&self, rule: &Rule, end_s: u64, from_s: u64) -> (Tally, u32) {
        let start_s = (end_s + 1).saturating_sub(rule.window_s);
        let mut total = Tally::default();
        let mut quarters = [false; 4];
        let first_s = start_s.max(from_s);
        let begin = self.buckets.partition_point(|bucket| bucket.second < first_s);
        for Bucket { second, tally } in self.buckets.range(begin..) {
            if *second > end_s {
                break;
            }
            total.merge(tally);
            let quarter = 4 * (second - start_s) / rule.window_s;
            quarters[quarter.min(3) as usize] |= tally.n_breaches > 0;
        }
        (total, quarters.iter().map(|&hit| u32::from(hit)).sum())
    }

    fn finding(
        &self,
        rule: &Rule,
        (end_s, from_s): (u64, u64),
        hole: Option<u64>,
        now: Timestamp,
    ) -> Finding {
        let (tally, n_quarters) = self.tally(rule, end_s, from_s);
        let condition = condition(rule, &tally, n_quarters);
        let start_s = (end_s + 1).saturating_sub(rule.window_s);
        let shortfall = match hole {
            Some(hole_s) if start_s <= hole_s => Some(QuorumShortfall {
                detail: format!(
                    "counts are missing for a part of the last {}s (restart, reconnect or overload); \
                     the window is whole again {}s from now",
                    rule.window_s,
                    (hole_s + rule.window_s).saturating_sub(now.as_secs()),
                ),
            }),
            _ => quorum::shortfall(&condition),
        };
        let any = || (Arc::clone(&rule.service), Arc::clone(&rule.operation));
        Finding {
            at: now,
            rule: rule.reference.clone(),
            action: rule.action.clone(),
            condition,
            call_site: tally.call_site.clone().unwrap_or_else(any),
            trace_ids: tally.trace_ids.as_slice().to_vec(),
            shortfall,
            resting: false,
            completes: false,
        }
    }
}

/// Where a second is, or would have to be inserted; nearly always it is the last one or behind it.
fn place_of<T>(sorted: &VecDeque<T>, second: u64, of: impl Fn(&T) -> u64) -> Result<usize, usize> {
    match sorted.back().map(&of) {
        None => Err(0),
        Some(last) if last < second => Err(sorted.len()),
        Some(last) if last == second => Ok(sorted.len() - 1),
        Some(_) => sorted.binary_search_by_key(&second, of),
    }
}

/// The oldest second a window of this rule can still reach.
pub(super) fn oldest_s(rule: &Rule, now_s: u64) -> u64 {
    now_s.saturating_sub(rule.window_s + LATE_S)
}

fn condition(rule: &Rule, tally: &Tally, n_quarters: u32) -> Condition {
    Condition {
        metric: Arc::from(rule.metric.as_str()),
        over_ns: rule.over_ns,
        count: rule.count,
        window_ns: rule.window_ns(),
        observed: tally.breaches,
        n_spans: tally.n_spans,
        n_breaches: tally.n_breaches,
        n_quarters,
        n_instances: tally.instances.as_slice().len() as u32,
        n_breaching_instances: tally.breaching_instances.as_slice().len() as u32,
    }
}

#[cfg(test)]
mod tests;
