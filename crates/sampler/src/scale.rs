//! The sampler of the SCALE paper as published: one forest for all spans, features {one-hot call
//! name, duration in milliseconds}, trained on the first spans, then scoring only.
//!
//! Algorithm 1 of the paper looks an encoding up under `service::operation` and stores it under
//! `service`, so the look-up never hits and the key of every span is the number of services seen so
//! far ([`LiteralEncoder`], kept to pin the defect). Here calls are numbered by their name.
//!
//! As in river, which the paper uses, the trees are drawn at the first record from the features that
//! record has: its own one-hot key and the duration. Keys of other calls are never split on, so a
//! record of another call simply lacks the key. That is faithful, and it is why this sampler is a
//! global threshold on the duration with extra steps.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_hst::{Forest, ForestConfig, Limits};
use spanwise_model::{CallSite, CallSiteId, KeepReason, ScoreKind, SpanHead, Timestamp};

use crate::config::ScaleConfig;
use crate::error::Error;
use crate::stats::Stats;
use crate::tail::Tails;

/// Scores lie in [0, 1]; spread over the range of the tails so that a bucket is 1/1280 wide.
const TAIL_SCALE: f64 = 80.0;
const TAIL_OFFSET: f64 = -32.0;

/// One forest, and the number of the call it was drawn for.
#[derive(Clone, Debug)]
pub(crate) struct ScaleSampler {
    pub(crate) config: ScaleConfig,
    pub(crate) forest: Forest,
    pub(crate) n_trained: u64,
    /// Name of the call of the first record, whose one-hot key the trees know.
    pub(crate) first: Option<Call>,
    /// Whether a call site is the call of the first record, by id; `None` = not asked yet.
    is_first: Vec<Option<bool>>,
    names: FxHashMap<CallSiteId, Call>,
    tails: Tails,
    pub(crate) stats: Stats,
}

/// A call as the paper names it. A site that was never described is a call of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Named(Arc<str>, Arc<str>),
    Site(CallSiteId),
}

impl ScaleSampler {
    pub(crate) fn new(config: ScaleConfig, seed: u64) -> Result<Self, Error> {
        let forest = ForestConfig {
            n_trees: config.n_tree as usize,
            height: config.height as usize,
            window: config.window_size,
            ..ForestConfig::river(seed)
        };
        // In the order of river's sorted names: "0" before "duration".
        let limits = [Limits::default(), Limits { low: 0.0, high: config.max_duration_ms }];
        Ok(Self {
            config,
            forest: Forest::new(forest, &limits)?,
            n_trained: 0,
            first: None,
            is_first: Vec::new(),
            names: FxHashMap::default(),
            tails: Tails::new(),
            stats: Stats::default(),
        })
    }

    /// Tells the name of a call site, so that sites that differ only in kind are one call.
    pub(crate) fn describe(&mut self, id: CallSiteId, site: &CallSite) {
        let call = Call::Named(Arc::clone(&site.service), Arc::clone(&site.operation));
        self.names.insert(id, call);
        self.forget_match(id);
    }

    pub(crate) fn forget(&mut self, id: CallSiteId) {
        self.names.remove(&id);
        self.forget_match(id);
    }

    /// Puts a restored forest in place.
    pub(crate) fn replace(&mut self, n_trained: u64, first: Option<Call>, forest: Forest) {
        self.is_first.clear();
        (self.n_trained, self.first, self.forest) = (n_trained, first, forest);
    }

    pub(crate) fn arrive(&mut self, head: &SpanHead, now: Timestamp) -> Option<KeepReason> {
        self.stats.n_seen += u64::from(head.duration_ns().is_some());
        if self.n_trained < self.config.train_size {
            self.train(head);
            return None;
        }
        let score = self.score(head)?;
        let bits = (TAIL_SCALE * score + TAIL_OFFSET) as f32;
        let tail = self.tails.judge(bits, 0.5, now);
        if score <= self.config.min_score {
            return None;
        }
        self.stats.n_kept_early += 1;
        Some(KeepReason {
            kind: ScoreKind::River,
            score,
            tail: f64::from(tail.share),
            site: head.site,
            median_ns: 0,
            p99_ns: 0,
            window_age_ns: 0,
            cold: false,
        })
    }

    /// river's score of a span, 0 before the first window is full; `None` for invalid times.
    pub(crate) fn score(&mut self, head: &SpanHead) -> Option<f64> {
        let record = self.record(head)?;
        // A record of two features, finite: the forest cannot refuse it.
        Some(self.forest.score(&record).unwrap_or(0.0))
    }

    /// Learns a span, whatever `train_size` says. Invalid times are skipped and not counted.
    pub(crate) fn train(&mut self, head: &SpanHead) {
        if head.duration_ns().is_none() {
            return;
        }
        if self.first.is_none() {
            let call = self.names.get(&head.site).cloned();
            self.first = Some(call.unwrap_or(Call::Site(head.site)));
            self.is_first.clear();
        }
        if let Some(record) = self.record(head) {
            self.n_trained += u64::from(self.forest.learn(&record).is_ok());
        }
    }

    fn record(&mut self, head: &SpanHead) -> Option<[Option<f64>; 2]> {
        let duration_ms = head.duration_ns()? as f64 / 1e6;
        Some([self.is_first(head.site).then_some(1.0), Some(duration_ms)])
    }

    fn is_first(&mut self, id: CallSiteId) -> bool {
        if id == CallSiteId::UNSET {
            return false;
        }
        if self.is_first.len() <= id.idx() {
            self.is_first.resize(id.idx() + 1, None);
        }
        let (first, names) = (&self.first, &self.names);
        *self.is_first[id.idx()].get_or_insert_with(|| match (first, names.get(&id)) {
            (None, _) => false,
            (Some(first), Some(call)) => first == call,
            (Some(first), None) => *first == Call::Site(id),
        })
    }

    fn forget_match(&mut self, id: CallSiteId) {
        if let Some(known) = self.is_first.get_mut(id.idx()) {
            *known = None;
        }
    }
}

/// Algorithm 1, lines 4 to 8, to the letter: kept to show what its defect does, and that ours
/// does not have it.
#[derive(Clone, Debug, Default)]
pub struct LiteralEncoder {
    encodings: FxHashMap<String, usize>,
}

impl LiteralEncoder {
    /// The one-hot key the printed algorithm gives a span. It looks up `service::operation` and
    /// stores under `service`: the look-up never hits.
    pub fn key(&mut self, service: &str, operation: &str) -> usize {
        let call = format!("{service}::{operation}");
        if let Some(&key) = self.encodings.get(&call) {
            return key;
        }
        let key = self.encodings.len();
        self.encodings.insert(service.to_owned(), key);
        key
    }
}

/// The same with the defect corrected: stored under the name it is looked up by.
#[derive(Clone, Debug, Default)]
pub struct CallEncoder {
    encodings: FxHashMap<String, usize>,
}

impl CallEncoder {
    /// The one-hot key of a call: the number of calls seen before it for the first time.
    pub fn key(&mut self, service: &str, operation: &str) -> usize {
        let next = self.encodings.len();
        *self.encodings.entry(format!("{service}::{operation}")).or_insert(next)
    }
}
