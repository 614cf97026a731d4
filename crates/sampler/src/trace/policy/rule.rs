//! What a policy votes for.
//!
//! Two rules differ from the Collector's on purpose. [`Latency`] with an upper bound looks at the whole
//! trace; there, the spans that happened to come first may fall between the bounds and decide. And
//! [`Chance`] without a salt uses the trace's own randomness instead of a hash of its id, so that the
//! keep's probability can be passed on.

use std::sync::Arc;

use spanwise_model::{ClosedTrace, SpanFields, StatusCode, Timestamp};

use super::Error;
use super::attribute::Attribute;
use super::chance::Chance;
use super::composite::Composite;
use super::facts::{self, Facts, status_bit};
use super::limiter::Limiter;
use super::pattern::Values;
use super::trace_state;

/// What a policy votes for.
#[derive(Clone, Debug)]
pub enum Rule {
    /// Every trace.
    Always,
    /// A share of the traces.
    Chance(Chance),
    /// Traces of some length in time.
    Latency(Latency),
    /// Traces with a span of one of these status codes.
    Status(Statuses),
    /// Traces with an attribute.
    Attribute(Attribute),
    /// Traces of at least `min` spans, and at most `max`.
    SpanCount {
        /// Fewest spans.
        min: u64,
        /// Most spans; `None` = any number.
        max: Option<u64>,
    },
    /// So many spans a second. It spends tokens on each trace it is asked about, whether or not another
    /// policy keeps it anyway.
    Spans(Limiter),
    /// So many bytes a second, as OTLP, resources and scopes included; spends as [`Rule::Spans`].
    Bytes(Limiter),
    /// Traces with a span whose tracestate has such a member.
    TraceState(StateMember),
    /// Traces with a span whose W3C flag `sampled` is set.
    SampledFlag,
    /// Traces that each of these votes for, asked in order until one does not.
    All(Vec<Rule>),
    /// Traces that this does not vote for.
    Not(Box<Rule>),
    /// Parts that share a number of spans a second.
    Composite(Composite),
}

/// Bounds of the time from the first start to the last end of a trace, in whole milliseconds, rounded
/// down. Spans with invalid times are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    /// It takes longer than this.
    pub above_ms: u64,
    /// And at most this long; `None` = no such bound.
    pub up_to_ms: Option<u64>,
}

/// A set of status codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statuses(u8);

/// A member of the tracestate.
#[derive(Clone, Debug)]
pub struct StateMember {
    key: Arc<str>,
    values: Values,
}

/// A trace as rules see it.
#[derive(Clone, Copy)]
pub(super) struct Case<'a> {
    pub(super) trace: &'a ClosedTrace,
    pub(super) facts: Facts,
    pub(super) fields: &'a dyn SpanFields,
    pub(super) randomness: u64,
    pub(super) now: Timestamp,
}

/// What a rule says to a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vote {
    No,
    Yes(Odds),
}

/// With what probability a trace like this one gets the vote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odds {
    /// That of a rejection threshold out of 2^56; 0 = always.
    Known(u64),
    /// It hangs on what else came, or on something that has nothing to do with R.
    Unknown,
}

impl Vote {
    pub(super) const CERTAIN: Self = Self::Yes(Odds::Known(0));

    pub(super) const fn of(is_for: bool, odds: Odds) -> Self {
        if is_for { Self::Yes(odds) } else { Self::No }
    }

    const fn certain_if(is_for: bool) -> Self {
        Self::of(is_for, Odds::Known(0))
    }
}

impl Odds {
    /// Of a trace that needs both votes.
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => Self::Known(a.max(b)),
            _ => Self::Unknown,
        }
    }
}

impl Latency {
    const fn holds(self, duration_ms: u64) -> bool {
        let is_below = match self.up_to_ms {
            Some(up_to_ms) => duration_ms <= up_to_ms,
            None => true,
        };
        self.above_ms < duration_ms && is_below
    }
}

impl FromIterator<StatusCode> for Statuses {
    fn from_iter<I: IntoIterator<Item = StatusCode>>(codes: I) -> Self {
        Self(codes.into_iter().fold(0, |bits, code| bits | status_bit(code)))
    }
}

impl StateMember {
    /// The member `key` with one of these values. A value too long to stand in a tracestate beside its
    /// key is left out.
    pub fn new(key: &str, values: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let fitting = values.into_iter().filter(|value| key.len() + value.as_ref().len() < 256);
        Self { key: Arc::from(key), values: Values::exact(fitting) }
    }

    fn is_in(&mut self, trace: &ClosedTrace, fields: &dyn SpanFields) -> bool {
        let Self { key, values } = self;
        trace.spans.iter().any(|span| {
            let text = fields.trace_state(&span.batch, span.span_idx);
            !text.is_empty() && trace_state::get(text, key).is_some_and(|v| values.matches(v))
        })
    }
}

impl Rule {
    /// Those that each of `rules` votes for.
    ///
    /// # Errors
    /// No rules: that would be every trace.
    pub fn all(rules: Vec<Self>) -> Result<Self, Error> {
        if rules.is_empty() { Err(Error::Empty("and")) } else { Ok(Self::All(rules)) }
    }

    /// Makes it one of `n` that share the traces evenly: what it limits a second is divided.
    pub(super) fn share(&mut self, n: u32) {
        match self {
            Self::Spans(limiter) | Self::Bytes(limiter) => *limiter = limiter.clone().shared(n),
            Self::All(rules) => rules.iter_mut().for_each(|rule| rule.share(n)),
            Self::Not(rule) => rule.share(n),
            Self::Composite(composite) => composite.share(n),
            _ => {}
        }
    }

    /// Rules it is made of.
    pub(super) fn inner(&self) -> Vec<&Self> {
        match self {
            Self::All(rules) => rules.iter().collect(),
            Self::Not(rule) => vec![rule],
            Self::Composite(composite) => composite.rules().collect(),
            _ => Vec::new(),
        }
    }

    /// Values it compares with, those of inner rules left out.
    pub(super) fn n_values(&self) -> usize {
        match self {
            Self::Attribute(Attribute { test: super::Test::Text(values), .. })
            | Self::TraceState(StateMember { values, .. }) => values.len(),
            _ => 0,
        }
    }

    /// Whether its vote hangs on what the trace holds and on nothing else.
    pub(super) fn is_by_content(&self) -> bool {
        match self {
            Self::Chance(_) | Self::Spans(_) | Self::Bytes(_) | Self::Composite(_) => false,
            Self::All(rules) => rules.iter().all(Self::is_by_content),
            Self::Not(rule) => rule.is_by_content(),
            _ => true,
        }
    }

    pub(super) fn vote(&mut self, case: &Case<'_>) -> Vote {
        let Case { trace, facts, fields, now, .. } = *case;
        match self {
            Self::Always => Vote::CERTAIN,
            Self::Chance(chance) => chance.vote(trace.trace_id, case.randomness),
            Self::Latency(latency) => Vote::certain_if(latency.holds(facts.duration_ms)),
            Self::Status(statuses) => Vote::certain_if(facts.statuses & statuses.0 != 0),
            Self::Attribute(attribute) => Vote::certain_if(attribute.votes_for(trace, fields)),
            Self::SpanCount { min, max } => {
                let fits = facts.n_spans >= *min && max.is_none_or(|max| facts.n_spans <= max);
                Vote::certain_if(fits)
            }
            Self::Spans(limiter) => Vote::of(limiter.take(facts.n_spans, now), Odds::Unknown),
            Self::Bytes(limiter) => {
                Vote::of(limiter.take(facts::n_bytes(trace), now), Odds::Unknown)
            }
            Self::TraceState(member) => Vote::certain_if(member.is_in(trace, fields)),
            Self::SampledFlag => {
                let flags =
                    |span: &spanwise_model::ClosedSpan| fields.flags(&span.batch, span.span_idx);
                Vote::certain_if(trace.spans.iter().any(|span| flags(span) & 1 != 0))
            }
            Self::All(rules) => all(rules, case),
            Self::Not(rule) => match rule.vote(case) {
                Vote::Yes(_) => Vote::No,
                Vote::No if rule.is_by_content() => Vote::CERTAIN,
                Vote::No => Vote::Yes(Odds::Unknown),
            },
            Self::Composite(composite) => composite.vote(case),
        }
    }
}

/// The vote of those who must all agree; the rest is not asked once one does not.
pub(super) fn all(rules: &mut [Rule], case: &Case<'_>) -> Vote {
    let mut odds = Odds::Known(0);
    for rule in rules {
        match rule.vote(case) {
            Vote::No => return Vote::No,
            Vote::Yes(of_rule) => odds = odds.and(of_rule),
        }
    }
    Vote::Yes(odds)
}
