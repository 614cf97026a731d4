//! Whole traces under a budget: which sampler keeps what, online, under a hard bound.
//!
//! Traces come in order of their last span's end. The first ones are learned only; from there on
//! kept <= B x seen at every moment. Every sampler sees the same stream, its scores before it learns.

mod oracle;
mod plot;
mod replay;
mod row;
mod tally;
mod truth;

use rustc_hash::FxHashMap;
use spanwise_model::{Timestamp, TraceId};
use spanwise_sampler::trace::{
    Algorithm, Bound as LedgerBound, Budget, Config, Ledger, Lesson, Settled, Subject, Ticket,
    TraceSampler, Verdict, Waiting,
};

use crate::error::Error;
use crate::replay::Meter;
use crate::stream::Stream;
use tally::{Tally, WINDOW_NS};

pub use plot::plots;
pub use replay::{Replay, Replayed};
pub use row::{Row, Window};
pub use tally::Counts;
pub use truth::{Truth, of as truths};

/// Traces handed to all samplers in one go, so that the clock is not read for each.
const N_PER_GO: usize = 64;
/// Shards tell each other what they have learned this often, in event time: as in the product.
const TELL_EVERY_NS: u64 = 1_000_000_000;

/// Which anomalous traces are left out, so that they are rarer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thin(pub u32);

/// Over what the bound holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// The whole stream.
    Total,
    /// Every five minutes of event time anew.
    FiveMinutes,
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Shares of the traces.
    pub budgets: Vec<f64>,
    /// Who samples.
    pub samplers: Vec<Algorithm>,
    /// Over what the bound holds.
    pub bound: Bound,
    /// Which anomalous traces are left out.
    pub thin: Thin,
    /// Shards the stream is spread over, 1 or more.
    pub n_shards: u32,
    /// Traces that are learned only.
    pub n_warmup: u64,
    /// What may wait for budget.
    pub waiting: Waiting,
    /// Seed of every stage.
    pub seed: u64,
}

/// One sampler under one budget, over all shards.
#[derive(Debug)]
struct Contender {
    algorithm: Algorithm,
    budget: f64,
    shards: Vec<TraceSampler>,
    /// Traces that wait, by shard and ticket.
    held: FxHashMap<(u32, Ticket), (u32, Timestamp)>,
    /// When shards tell each other next.
    tell_next: Timestamp,
    settled: Vec<Settled>,
    tally: Tally,
    elapsed_ns: u64,
}

impl Thin {
    /// Whether an anomalous trace stays: the first 32 bits of its id are a multiple.
    pub fn stays(self, id: TraceId) -> bool {
        let [a, b, c, d, ..] = id.0;
        u32::from_be_bytes([a, b, c, d]).is_multiple_of(self.0.max(1))
    }
}

impl Bound {
    /// Its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Total => "total",
            Self::FiveMinutes => "5min",
        }
    }

    fn of(self, budget: Budget) -> LedgerBound {
        let whole = LedgerBound::whole(budget);
        match self {
            Self::Total => whole,
            Self::FiveMinutes => LedgerBound { horizon_ns: WINDOW_NS, ..whole },
        }
    }
}

/// Replays the stream once for all samplers and budgets.
///
/// # Errors
/// Settings a stage refuses, or fewer traces than the warm-up takes.
pub fn run(stream: &Stream, question: &Question, meter: &Meter<'_>) -> Result<Vec<Row>, Error> {
    let truths = truths(stream);
    let mut contenders = Vec::new();
    for &algorithm in &question.samplers {
        for &budget in &question.budgets {
            contenders.push(Contender::new(algorithm, budget, question)?);
        }
    }
    let replay =
        Replay { stream, thin: question.thin, n_shards: question.n_shards, seed: question.seed };
    let is_left_out = |number: u32| {
        truths[number as usize].is_anomalous() && !question.thin.stays(stream.trace_id(number))
    };
    let mut go: Vec<Replayed> = Vec::with_capacity(N_PER_GO);
    let mut judged: Vec<(Truth, Timestamp)> = Vec::new();
    let mut n_spans = 0;
    let mut n_before = 0;
    let mut play = |go: &mut Vec<Replayed>| {
        let n_learned = question.n_warmup.saturating_sub(n_before).min(go.len() as u64) as usize;
        n_before += go.len() as u64;
        let (learned, rest) = go.split_at(n_learned);
        for contender in &mut contenders {
            contender.learn(learned, meter);
            contender.judge(rest, &truths, meter);
        }
        judged.extend(rest.iter().map(|replayed| (truths[replayed.number as usize], replayed.now)));
        n_spans += rest.iter().map(|replayed| replayed.trace.spans.len() as u64).sum::<u64>();
        let n_replayed: usize = go.iter().map(|replayed| replayed.trace.spans.len()).sum();
        (meter.progress)(n_replayed as u64);
        go.clear();
    };
    replay.run(is_left_out, |replayed| {
        go.push(replayed);
        if go.len() == N_PER_GO {
            play(&mut go);
        }
    })?;
    play(&mut go);
    if judged.is_empty() {
        return Err(Error::TooFewTraces { found: n_before, needed: question.n_warmup + 1 });
    }
    let end = judged.last().map_or(Timestamp::default(), |(_, now)| *now);
    for contender in &mut contenders {
        contender.drain(end, &truths);
    }
    Ok(contenders.iter().map(|one| row::row(one, question, &judged, n_spans)).collect())
}

impl Contender {
    fn new(algorithm: Algorithm, budget: f64, question: &Question) -> Result<Self, Error> {
        let ledger = Ledger::new(question.bound.of(Budget::share(budget)))?;
        let config = Config { algorithm, waiting: question.waiting, seed: question.seed };
        let shard = |_| TraceSampler::new(config, ledger.clone());
        Ok(Self {
            algorithm,
            budget,
            shards: (0..question.n_shards).map(shard).collect::<Result<_, _>>()?,
            held: FxHashMap::default(),
            tell_next: Timestamp::default(),
            settled: Vec::new(),
            tally: Tally::default(),
            elapsed_ns: 0,
        })
    }

    fn learn(&mut self, go: &[Replayed], meter: &Meter<'_>) {
        for replayed in go {
            self.tell(replayed.now, meter);
            self.shards[replayed.shard as usize].learn(&subject(replayed), replayed.now);
        }
    }

    /// Has the shards tell each other what they have learned, when that is due. Once a second whatever
    /// the traffic, it is no cost of a trace: what it took, to be left out.
    fn tell(&mut self, now: Timestamp, meter: &Meter<'_>) -> u64 {
        if self.shards.len() < 2 || now < self.tell_next {
            return 0;
        }
        let begin = (meter.clock_ns)();
        self.tell_next = now.plus_ns(TELL_EVERY_NS);
        let lessons: Vec<Lesson> = self.shards.iter_mut().map(TraceSampler::lesson).collect();
        for (idx, shard) in self.shards.iter_mut().enumerate() {
            for (_, lesson) in lessons.iter().enumerate().filter(|(other, _)| *other != idx) {
                shard.hear(lesson, now);
            }
        }
        (meter.clock_ns)().saturating_sub(begin)
    }

    fn judge(&mut self, go: &[Replayed], truths: &[Truth], meter: &Meter<'_>) {
        let begin = (meter.clock_ns)();
        let mut verdicts = Vec::with_capacity(go.len());
        let mut ends = Vec::with_capacity(go.len());
        self.settled.clear();
        let mut told_ns = 0;
        for replayed in go {
            told_ns += self.tell(replayed.now, meter);
            let shard = &mut self.shards[replayed.shard as usize];
            let verdict = shard.judge(&subject(replayed), replayed.now, &mut self.settled);
            verdicts.push(verdict);
            ends.push(self.settled.len());
        }
        self.elapsed_ns += (meter.clock_ns)().saturating_sub(begin + told_ns);
        let settled = std::mem::take(&mut self.settled);
        let mut n_settled = 0;
        for ((replayed, verdict), end) in go.iter().zip(verdicts).zip(ends) {
            let truth = &truths[replayed.number as usize];
            self.tally.see(truth, replayed.now);
            for settled in &settled[n_settled..end] {
                self.settle(replayed.shard, settled, truths);
            }
            n_settled = end;
            match verdict {
                Verdict::Keep(_) => self.tally.keep(truth, replayed.now),
                Verdict::Drop => {}
                Verdict::Hold(ticket) => {
                    let ended = (replayed.number, replayed.now);
                    self.held.insert((replayed.shard, ticket), ended);
                }
            }
            let allowed = self.budget * self.tally.seen.all as f64;
            self.tally.excess = self.tally.excess.max(self.tally.kept.all as f64 - allowed);
        }
        self.settled = settled;
    }

    fn settle(&mut self, shard: u32, settled: &Settled, truths: &[Truth]) {
        let Some((number, ended)) = self.held.remove(&(shard, settled.ticket)) else { return };
        if settled.keep.is_some() {
            self.tally.keep(&truths[number as usize], ended);
        }
    }

    fn drain(&mut self, now: Timestamp, truths: &[Truth]) {
        for shard in 0..self.shards.len() {
            let mut settled = Vec::new();
            self.shards[shard].drain(now, &mut settled);
            for settled in &settled {
                self.settle(shard as u32, settled, truths);
            }
        }
    }
}

fn subject(replayed: &Replayed) -> Subject<'_> {
    let Replayed { trace, scores, .. } = replayed;
    // All shards number call sites alike here.
    Subject { trace, scores, randomness: None, tenant: 0, sites: None }
}
