//! The trace sampler: one front for every algorithm.

use rustc_hash::FxHashSet;
use spanwise_model::{CallSiteId, CallSites, ClosedTrace, Timestamp};

use super::config::{Algorithm, Config};
use super::desk::{Case, Counters, Desk, Opinion};
use super::hybrid::{ShareNews, Shares};
use super::las_casas::LasCasas;
use super::ledger::{Cost, Ledger};
use super::policy::{Payment, PolicyKeep, Ruling};
use super::reserve::N_LANES;
use super::samplehst::SampleHst;
use super::signals::{self, Structure};
use super::snapshot::{self, Borrowed, Learned};
use super::threshold;
use super::verdict::{Claim, Keep, Reason, Settled, Ticket, Verdict};
use super::words::{WordLesson, Words};
use crate::error::Error;
use crate::evidence::CloseScores;
use crate::snapshot::code::Writer;
use crate::tail::TailNews;

/// Traces that are kept by plain chance before anything is known.
const N_UNKNOWN: u64 = 200;
/// Traces between two looks at the weights of the lanes.
const WEIGH_EVERY: u64 = 64;

/// A trace to be judged.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The trace.
    pub trace: &'a ClosedTrace,
    /// What the span stage said of its spans at the close, in their order: see
    /// [`SpanSampler::closed_scores`](crate::SpanSampler::closed_scores). Empty = nothing, then
    /// latency has no say.
    pub scores: &'a [CloseScores],
    /// R of `rv` in its tracestate, out of 2^56; `None` = the last 7 bytes of its id.
    pub randomness: Option<u64>,
    /// Its tenant, 0 = none.
    pub tenant: u32,
    /// The names of its call sites; `None` = their numbers stand for them, and what is learned means
    /// nothing elsewhere.
    pub sites: Option<&'a CallSites>,
}

/// What a sampler has learned since it last told others: see [`TraceSampler::lesson`].
#[derive(Clone, Debug, Default)]
pub struct Lesson {
    n_known: u64,
    words: WordLesson,
    shapes: TailNews,
    lanes: [TailNews; N_LANES],
    shares: ShareNews,
}

/// Gauges and counters.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Stats {
    /// Counters since the start.
    pub counters: Counters,
    /// Traces that wait now.
    pub n_held: u64,
    /// Estimated share of anomalous traces (hybrid only).
    pub anomaly_share: f64,
    /// Parts of the budget: latency, structure, error, chance.
    pub weights: [f64; 4],
    /// How far the tails of the latency and the structure lane are from uniform, 0 = not at all.
    pub calibration_ks: [f64; 2],
}

/// Decides which traces to keep, and says why. One per shard; all shards share a [`Ledger`].
///
/// Scores first, learns after. With the same settings and the same traces in the same order the
/// verdicts are the same.
#[derive(Clone, Debug)]
pub struct TraceSampler {
    config: Config,
    desk: Desk,
    words: Words,
    structure: Structure,
    sample_hst: Option<Box<SampleHst>>,
    las_casas: LasCasas,
    shares: Shares,
    /// Traces learned here and by others.
    n_known: u64,
    /// Of these the ones others have not been told of.
    n_news: u64,
    /// Who waits and is to be kept without a threshold; no more than may wait.
    erased: FxHashSet<Ticket>,
}

impl TraceSampler {
    /// A sampler that knows nothing yet.
    ///
    /// # Errors
    /// A setting outside its range.
    pub fn new(config: Config, ledger: Ledger) -> Result<Self, Error> {
        config.validate()?;
        let desk = Desk::new(ledger, used(config.algorithm), config.waiting);
        let is_hst = config.algorithm == Algorithm::SampleHst;
        let sample_hst = is_hst.then(|| SampleHst::new(config.seed)).transpose()?.map(Box::new);
        Ok(Self {
            config,
            desk,
            words: Words::new(),
            structure: Structure::new(),
            sample_hst,
            las_casas: LasCasas::new(),
            shares: Shares::default(),
            n_known: 0,
            n_news: 0,
            erased: FxHashSet::default(),
        })
    }

    /// Learns a trace that is not to be judged: it is neither seen nor kept.
    pub fn learn(&mut self, subject: &Subject<'_>, now: Timestamp) {
        let case = case(subject, now);
        let opinion = self.opinion(subject, &case);
        self.desk.learn(&opinion, &case);
        self.end(subject, &opinion);
    }

    /// Decides on a trace, then learns it. `now` does not go backwards. Traces that were held
    /// before and are settled now are appended to `settled`, whatever this trace's verdict.
    pub fn judge(
        &mut self,
        subject: &Subject<'_>,
        now: Timestamp,
        settled: &mut Vec<Settled>,
    ) -> Verdict {
        self.judge_first(subject, None, now, settled)
    }

    /// As [`TraceSampler::judge`], for a trace that policies have ruled on. What is dropped and what is
    /// kept exempt is not seen as far as the budget goes, and the former is not learnt either. A keep
    /// that the budget does not pay for goes on like any other trace.
    pub fn judge_ruled(
        &mut self,
        subject: &Subject<'_>,
        ruling: Ruling,
        now: Timestamp,
        settled: &mut Vec<Settled>,
    ) -> Verdict {
        let (verdict, is_erased) = match ruling {
            Ruling::Drop { .. } => (Verdict::Drop, false),
            Ruling::Pass { erase_threshold } => {
                (self.judge_first(subject, None, now, settled), erase_threshold)
            }
            Ruling::Keep(keep) if keep.payment == Payment::Exempt => {
                self.learn(subject, now);
                (Verdict::Keep(by_policy(keep)), false)
            }
            Ruling::Keep(keep) => {
                let verdict = self.judge_first(subject, Some(by_policy(keep)), now, settled);
                // A vote by chance that went unpaid has spoilt the chance that came after it.
                (verdict, keep.erase_threshold || keep.threshold > 0)
            }
        };
        match verdict {
            Verdict::Keep(keep) if is_erased && keep.reason != Reason::Policy => {
                Verdict::Keep(Keep { threshold: 0, erase_threshold: true, ..keep })
            }
            Verdict::Hold(ticket) if is_erased => {
                self.erased.insert(ticket);
                verdict
            }
            _ => verdict,
        }
    }

    /// Whoever waits with a chance of unknown odds is kept without a threshold.
    fn erase_settled(&mut self, settled: &mut [Settled]) {
        if self.erased.is_empty() {
            return;
        }
        for Settled { ticket, keep } in settled {
            if self.erased.remove(ticket)
                && let Some(keep) = keep
            {
                (keep.threshold, keep.erase_threshold) = (0, true);
            }
        }
    }

    fn judge_first(
        &mut self,
        subject: &Subject<'_>,
        policy: Option<Keep>,
        now: Timestamp,
        settled: &mut Vec<Settled>,
    ) -> Verdict {
        let case = case(subject, now);
        let mut opinion = Opinion { policy, ..self.opinion(subject, &case) };
        let learned = opinion;
        if self.n_known < N_UNKNOWN {
            self.desk.learn(&opinion, &case);
            opinion.claims = [None; N_LANES];
            opinion.probability = self.desk.share;
        }
        let n_before = settled.len();
        let verdict = self.desk.judge(&opinion, &case, settled);
        self.erase_settled(&mut settled[n_before..]);
        self.end(subject, &learned);
        verdict
    }

    /// Lets time pass where no traces do: settles what has waited too long. Once a second is plenty.
    pub fn tick(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        let n_before = settled.len();
        self.desk.advance(now, settled);
        self.erase_settled(&mut settled[n_before..]);
    }

    /// Settles everything that waits: what the budget still allows is kept, best first.
    pub fn drain(&mut self, now: Timestamp, settled: &mut Vec<Settled>) {
        let n_before = settled.len();
        self.desk.drain(now, settled);
        self.erase_settled(&mut settled[n_before..]);
        assert_eq!(self.desk.n_held(), 0, "traces are held after drain");
    }

    /// Takes what this shard has learned since the last call, for the other shards of the process; about
    /// once a second.
    pub fn lesson(&mut self) -> Lesson {
        Lesson {
            n_known: std::mem::take(&mut self.n_news),
            words: self.words.lesson(),
            shapes: self.structure.news(),
            lanes: std::array::from_fn(|idx| self.desk.lanes[idx].news()),
            shares: self.shares.news(),
        }
    }

    /// Learns what another shard with the same settings has learned: how often each word was there,
    /// and the scores in each lane. The forest and the clusters of `samplehst` and `las-casas` do not
    /// take part: there each shard knows its own traces only.
    pub fn hear(&mut self, lesson: &Lesson, now: Timestamp) {
        self.words.hear(&lesson.words);
        self.structure.hear(&lesson.shapes, now);
        for (lane, news) in self.desk.lanes.iter_mut().zip(&lesson.lanes) {
            lane.hear(news, now);
        }
        self.shares.hear(lesson.shares);
        self.n_known += lesson.n_known;
        if self.n_known >= N_UNKNOWN {
            self.weigh();
        }
    }

    /// The number of a retired call site may soon name another one.
    pub fn forget(&mut self, site: CallSiteId) {
        self.words.forget(site);
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.config.algorithm
    }

    pub(super) const fn seed(&self) -> u64 {
        self.config.seed
    }

    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        let learned = Borrowed {
            n_known: self.n_known,
            words: &self.words,
            structure: &self.structure,
            lanes: std::array::from_fn(|idx| self.desk.lanes[idx].tails()),
            shares: &self.shares,
            sample_hst: self.sample_hst.as_deref(),
        };
        snapshot::write(&learned, writer);
    }

    pub(super) fn replace(&mut self, learned: Learned) {
        let Learned { n_known, words, structure, lanes, shares, sample_hst } = learned;
        (self.n_known, self.words, self.structure) = (n_known, words, structure);
        for (lane, tails) in self.desk.lanes.iter_mut().zip(lanes) {
            lane.restore(tails);
        }
        self.shares = shares;
        self.sample_hst = sample_hst.map(Box::new);
        if self.n_known >= N_UNKNOWN {
            self.weigh();
        }
    }

    /// Gauges and counters.
    pub fn stats(&self) -> Stats {
        let lane = |idx: usize| &self.desk.lanes[idx];
        Stats {
            counters: self.desk.counters,
            n_held: self.desk.n_held() as u64,
            anomaly_share: self.shares.anomalies,
            weights: [lane(0).weight, lane(1).weight, lane(2).weight, self.desk.chance_weight],
            calibration_ks: [lane(0).calibration_ks(), lane(1).calibration_ks()],
        }
    }

    fn opinion(&mut self, subject: &Subject<'_>, case: &Case) -> Opinion {
        let Subject { trace, scores, .. } = *subject;
        let mut opinion = Opinion {
            claims: [None; N_LANES],
            probability: 0.0,
            stratum: Claim::NONE,
            policy: None,
        };
        match self.config.algorithm {
            Algorithm::Hybrid => {
                self.words.read_trace(trace, subject.sites);
                opinion.claims = [
                    signals::latency(trace, scores),
                    self.structure.judge(&self.words, case.lot, case.now),
                    signals::error(trace, &self.words),
                ];
                opinion.probability = self.desk.chance_weight * self.desk.share;
            }
            Algorithm::Latency => opinion.claims[0] = signals::latency(trace, scores),
            Algorithm::Slowest => opinion.claims[0] = signals::duration(trace),
            Algorithm::Structure => {
                self.words.read_trace(trace, subject.sites);
                opinion.claims[1] = self.structure.judge(&self.words, case.lot, case.now);
            }
            Algorithm::Uniform => opinion.probability = self.desk.share,
            Algorithm::SampleHst => {
                self.words.read_trace(trace, subject.sites);
                let (hst, words) = (&mut self.sample_hst, &self.words);
                let (probability, stratum) = match hst {
                    Some(hst) => hst.judge(trace, scores, words, self.desk.share),
                    None => (self.desk.share, Claim::NONE),
                };
                (opinion.probability, opinion.stratum) = (probability, stratum);
            }
            Algorithm::LasCasas => {
                let (probability, stratum) = self.las_casas.judge(trace, self.desk.share);
                (opinion.probability, opinion.stratum) = (probability, stratum);
            }
        }
        opinion
    }

    /// Learns the trace at hand and sets the weights for the next.
    fn end(&mut self, subject: &Subject<'_>, opinion: &Opinion) {
        if self.has_words() {
            self.words.learn(subject.trace);
        }
        if let Some(hst) = &mut self.sample_hst {
            hst.learn();
        }
        self.las_casas.learn();
        self.n_known += 1;
        self.n_news += 1;
        if self.config.algorithm == Algorithm::Hybrid {
            self.shares.count(opinion);
        }
        let is_due = self.n_known.is_multiple_of(WEIGH_EVERY) || self.n_known == N_UNKNOWN;
        if self.n_known >= N_UNKNOWN && is_due {
            self.weigh();
        }
    }

    const fn has_words(&self) -> bool {
        let algorithm = self.config.algorithm;
        matches!(algorithm, Algorithm::Hybrid | Algorithm::Structure | Algorithm::SampleHst)
    }

    fn weigh(&mut self) {
        let (lanes, chance) = match self.config.algorithm {
            Algorithm::Hybrid => {
                let weights = self.shares.weights(self.desk.share);
                (weights.lanes, weights.chance)
            }
            Algorithm::Latency | Algorithm::Slowest => ([1.0, 0.0, 0.0], 0.0),
            Algorithm::Structure => ([0.0, 1.0, 0.0], 0.0),
            Algorithm::Uniform | Algorithm::SampleHst | Algorithm::LasCasas => {
                ([0.0; N_LANES], 1.0)
            }
        };
        for (lane, weight) in self.desk.lanes.iter_mut().zip(lanes) {
            lane.weight = weight;
        }
        self.desk.chance_weight = chance;
    }
}

fn by_policy(keep: PolicyKeep) -> Keep {
    Keep {
        reason: Reason::Policy,
        claim: Claim { source: u64::from(keep.policy), ..Claim::NONE },
        tail: threshold::probability(keep.threshold),
        threshold: keep.threshold,
        erase_threshold: keep.erase_threshold,
    }
}

/// The lanes in which an algorithm has something to say.
const fn used(algorithm: Algorithm) -> [bool; N_LANES] {
    match algorithm {
        Algorithm::Hybrid => [true, true, true],
        Algorithm::Latency | Algorithm::Slowest => [true, false, false],
        Algorithm::Structure => [false, true, false],
        Algorithm::Uniform | Algorithm::SampleHst | Algorithm::LasCasas => [false; N_LANES],
    }
}

fn case(subject: &Subject<'_>, now: Timestamp) -> Case {
    let trace = subject.trace;
    let n_bytes = trace.spans.iter().map(|span| u64::from(span.head().raw.len)).sum();
    Case {
        cost: Cost { n_spans: trace.spans.len() as u64, n_bytes },
        tenant: subject.tenant,
        randomness: subject.randomness.unwrap_or_else(|| trace.trace_id.low56()),
        lot: lot(trace),
        now,
    }
}

/// Settles ties: uniform in [0, 1), a function of the least span id, so that the order of spans does not
/// matter; never of the trace's id: its randomness belongs to chance.
fn lot(trace: &ClosedTrace) -> f32 {
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
    let ids = trace.spans.iter().map(|span| u64::from_be_bytes(span.head().span_id.0));
    (ids.min().unwrap_or(0).wrapping_mul(SPREAD) >> 40) as f32 / 16_777_216.0
}
