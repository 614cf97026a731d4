//! The policies in force, and their ruling on a trace.

use std::sync::Arc;

use spanwise_model::{ClosedTrace, SpanFields, Timestamp};

use super::Error;
use super::facts::Facts;
use super::rule::{self, Case, Odds, Rule, Vote};

/// Most policies, nested ones included.
pub const N_RULES_MAX: usize = 256;
/// Deepest nesting of policies.
pub const DEPTH_MAX: usize = 8;
/// Most values and expressions in all policies.
pub const N_VALUES_MAX: usize = 10_000;

/// A policy.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Its name, unique; a keep is explained by it.
    pub name: Arc<str>,
    /// What it does.
    pub action: Action,
    /// Who pays for what it keeps.
    pub payment: Payment,
}

/// What a policy does.
#[derive(Clone, Debug)]
pub enum Action {
    /// Votes for traces.
    Keep(Rule),
    /// Drops the traces that each of these votes for, whatever other policies say.
    Drop(Vec<Rule>),
}

/// Who pays for a keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Payment {
    /// The budget, before anything the sampler would keep. Where it has nothing left, the trace goes to
    /// the sampler like any other.
    #[default]
    Counted,
    /// Nobody: such traces are neither seen nor kept as far as the budget goes, which then bounds only
    /// the others.
    Exempt,
}

/// What a set does with the traces that no policy keeps or drops.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rest {
    /// Leaves them to the sampler.
    #[default]
    Sample,
    /// Drops them, as the Collector does.
    Drop,
}

/// The policies in force. One per shard.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<Policy>,
    /// Positions in `policies`, in the order in which they are asked: those that drop come first.
    order: Vec<u16>,
    rest: Rest,
    is_first_match: bool,
    n_decided: Vec<u64>,
}

/// What policies say to a trace. Policies are named by their position in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ruling {
    /// It is to be kept.
    Keep(PolicyKeep),
    /// It is to be dropped, by a policy or, with [`Rest::Drop`], for want of one.
    Drop {
        /// Which policy.
        policy: Option<u16>,
    },
    /// The sampler is to decide.
    Pass {
        /// A policy that drops by chance has spared it: with what probability it is kept is not known.
        erase_threshold: bool,
    },
}

/// A keep by policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyKeep {
    /// Which policy.
    pub policy: u16,
    /// Who pays.
    pub payment: Payment,
    /// Rejection threshold out of 2^56 that the keep adds; 0 for keeps by content.
    pub threshold: u64,
    /// Its probability is not known, so that a threshold that came in must go.
    pub erase_threshold: bool,
}

impl PolicySet {
    /// The policies of a list, in its order, for one of `n_shards` that share the traces: what they
    /// limit a second is divided by it.
    ///
    /// # Errors
    /// Names that are empty or stand twice, policies without any to combine, and too many, too deep or
    /// too large ones.
    pub fn new(policies: Vec<Policy>, rest: Rest, n_shards: u32) -> Result<Self, Error> {
        check(&policies)?;
        let mut policies = policies;
        for policy in &mut policies {
            match &mut policy.action {
                Action::Keep(rule) => rule.share(n_shards),
                Action::Drop(rules) => rules.iter_mut().for_each(|rule| rule.share(n_shards)),
            }
        }
        let drops = |policy: &Policy| matches!(policy.action, Action::Drop(_));
        let mut order: Vec<u16> = (0..policies.len() as u16).collect();
        order.sort_by_key(|&idx| !drops(&policies[idx as usize]));
        let n_decided = vec![0; policies.len()];
        Ok(Self { policies, order, rest, is_first_match: false, n_decided })
    }

    /// Asks no further policy once one votes for a trace (the Collector's `sample_on_first_match`):
    /// limits of later policies are not spent.
    #[must_use]
    pub fn first_match(self, is_first_match: bool) -> Self {
        Self { is_first_match, ..self }
    }

    /// The policies, in the order of the list.
    pub fn policies(&self) -> &[Policy] {
        &self.policies
    }

    /// Name of a policy; empty for a position that is none.
    pub fn name(&self, policy: u16) -> &str {
        self.policies.get(policy as usize).map_or("", |policy| &policy.name)
    }

    /// Traces that each policy kept or dropped, in the order of the list.
    pub fn n_decided(&self) -> &[u64] {
        &self.n_decided
    }

    /// Whether there is nothing to ask: every trace passes.
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty() && self.rest == Rest::Sample
    }

    /// Rules on a trace. `randomness` is R out of 2^56: `rv` of the tracestate, else the last 7
    /// bytes of the trace id. `now` does not go backwards.
    pub fn judge(
        &mut self,
        trace: &ClosedTrace,
        fields: &dyn SpanFields,
        randomness: u64,
        now: Timestamp,
    ) -> Ruling {
        let case = Case { trace, facts: Facts::of(trace), fields, randomness, now };
        let ruling = self.rule(&case);
        let decided = match ruling {
            Ruling::Keep(keep) => Some(keep.policy),
            Ruling::Drop { policy } => policy,
            Ruling::Pass { .. } => None,
        };
        if let Some(count) = decided.and_then(|idx| self.n_decided.get_mut(idx as usize)) {
            *count += 1;
        }
        ruling
    }

    fn rule(&mut self, case: &Case<'_>) -> Ruling {
        let mut tally = Tally::default();
        for &idx in &self.order {
            let policy = &mut self.policies[idx as usize];
            match &mut policy.action {
                Action::Drop(rules) => match drops(rules, case) {
                    Drops::Yes => return Ruling::Drop { policy: Some(idx) },
                    Drops::SparedByChance => tally.is_spared = true,
                    Drops::No => {}
                },
                Action::Keep(rule) => {
                    if let Vote::Yes(odds) = rule.vote(case) {
                        tally.count(idx, policy.payment, odds);
                        if self.is_first_match {
                            break;
                        }
                    }
                }
            }
        }
        match (tally.keep(), self.rest) {
            (Some(keep), _) => Ruling::Keep(keep),
            (None, Rest::Sample) => Ruling::Pass { erase_threshold: tally.is_spared },
            (None, Rest::Drop) => Ruling::Drop { policy: None },
        }
    }
}

/// The votes for one trace.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    first: Option<u16>,
    first_exempt: Option<u16>,
    /// The least of the known thresholds. Where one is known, the vote it belongs to alone makes the
    /// trace stand for others; votes of unknown odds beside it change nothing.
    threshold: Option<u64>,
    is_spared: bool,
}

impl Tally {
    fn count(&mut self, idx: u16, payment: Payment, odds: Odds) {
        self.first = self.first.or(Some(idx));
        if payment == Payment::Exempt {
            self.first_exempt = self.first_exempt.or(Some(idx));
        }
        if let Odds::Known(threshold) = odds {
            self.threshold = Some(self.threshold.map_or(threshold, |least| least.min(threshold)));
        }
    }

    /// The first policy that voted gives its name, unless another makes the keep exempt.
    fn keep(self) -> Option<PolicyKeep> {
        let payment = if self.first_exempt.is_some() { Payment::Exempt } else { Payment::Counted };
        Some(PolicyKeep {
            policy: self.first_exempt.or(self.first)?,
            payment,
            threshold: self.threshold.filter(|_| !self.is_spared).unwrap_or(0),
            erase_threshold: self.is_spared || self.threshold.is_none(),
        })
    }
}

enum Drops {
    Yes,
    No,
    /// What the trace holds would have it dropped; a share or a limit did not.
    SparedByChance,
}

fn drops(rules: &mut [Rule], case: &Case<'_>) -> Drops {
    if let Vote::Yes(_) = rule::all(rules, case) {
        return Drops::Yes;
    }
    let is_content = |rule: &&mut Rule| rule.is_by_content();
    let mut n_content = 0;
    for rule in rules.iter_mut().filter(is_content) {
        n_content += 1;
        if rule.vote(case) == Vote::No {
            return Drops::No;
        }
    }
    if n_content == rules.len() { Drops::No } else { Drops::SparedByChance }
}

/// Checks names and bounds.
fn check(policies: &[Policy]) -> Result<(), Error> {
    let mut names = rustc_hash::FxHashSet::default();
    let mut totals = Totals::default();
    for policy in policies {
        if policy.name.is_empty() || !names.insert(&*policy.name) {
            return Err(Error::Name((*policy.name).to_owned()));
        }
        match &policy.action {
            Action::Keep(rule) => totals.add(rule, 1)?,
            Action::Drop(rules) if rules.is_empty() => return Err(Error::Empty("drop")),
            Action::Drop(rules) => {
                totals.count()?;
                rules.iter().try_for_each(|rule| totals.add(rule, 2))?;
            }
        }
    }
    Ok(())
}

#[derive(Default)]
struct Totals {
    n_rules: usize,
    n_values: usize,
}

impl Totals {
    fn count(&mut self) -> Result<(), Error> {
        self.n_rules += 1;
        if self.n_rules > N_RULES_MAX { Err(Error::TooMany) } else { Ok(()) }
    }

    fn add(&mut self, rule: &Rule, depth: usize) -> Result<(), Error> {
        if depth > DEPTH_MAX {
            return Err(Error::TooDeep);
        }
        self.count()?;
        self.n_values += rule.n_values();
        if self.n_values > N_VALUES_MAX {
            return Err(Error::TooManyValues);
        }
        let inner = rule.inner();
        if inner.is_empty() && matches!(rule, Rule::All(_)) {
            return Err(Error::Empty("and"));
        }
        inner.into_iter().try_for_each(|rule| self.add(rule, depth + 1))
    }
}
