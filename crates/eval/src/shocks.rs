//! Table II of the SCALE paper, re-enacted: plant shocks into calm traffic, and see at which price
//! they are found.
//!
//! The published table counts planted positives among recorded spans; the recordings are not to be
//! had. Here the first 67,908 quiet spans of a recording, in the order in which they ended, take
//! their place: 10,000 warm up, 57,908 are judged, as many as in the paper's second column. Calm
//! traffic has outliers of its own, so a precision is a lower bound.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use rustc_hash::FxHashMap;
use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::error::Error;
use crate::fault::Fault;
use crate::figure::Figure;
use crate::metrics::{Confusion, Curve, Point};
use crate::replay::{Meter, Play, play};
use crate::score::{Judge, Score};
use crate::stream::Stream;

/// Spans that are only learned, and spans that are judged.
const N_WARM_UP: usize = 10_000;
const N_JUDGED: usize = 57_908;

/// Which shocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// U(10, 20) times the p99 of the stream, every K-th judged span.
    R1,
    /// Ten times its own duration and 50 ms, every K-th judged span.
    R2,
    /// SCALE's own: (d + 5 ms) times one of 15 .. 19, each judged span with probability 1/K.
    R3,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Which shocks.
    pub plant: Plant,
    /// K.
    pub every: u32,
    /// Score of the default profile.
    pub score: Score,
    /// Injected faults, whose neighbourhood is left out; empty if none are known.
    pub faults: &'a [Fault],
}

/// The answer of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    default: ProfileRun,
    scale: ProfileRun,
}

#[derive(Clone, Debug, PartialEq)]
struct ProfileRun {
    plant: Plant,
    score: &'static str,
    curve: Curve,
    us_per_span: Option<f64>,
}

/// The answers of all runs together, in the names of `eval shocks -o json`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Report {
    /// The default profile.
    pub default: Row,
    /// The paper's sampler as published.
    pub scale: Row,
}

/// A row of Table II.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// What spans were ranked by.
    pub score: &'static str,
    /// Where the counts were taken: `recall_1` or `best_f1`.
    pub operating_point: &'static str,
    /// Spans judged.
    pub spans: Figure,
    /// Planted among them.
    pub positives: Figure,
    /// Planted and flagged.
    pub true_positives: Figure,
    /// Flagged, but not planted.
    pub false_positives: Figure,
    /// Planted, but not flagged.
    pub false_negatives: Figure,
    /// Share of the flagged that were planted.
    pub precision: Figure,
    /// Share of the planted that were flagged.
    pub recall: Figure,
    /// Harmonic mean of both.
    pub f1: Figure,
    /// Share of the spans judged right.
    pub accuracy: Figure,
    /// Share of the others that were flagged.
    pub fpr: Figure,
    /// Time per span in microseconds.
    pub us_per_span: Figure,
    /// Average precision.
    pub average_precision: Figure,
    /// Precision where nothing planted is missed.
    pub precision_at_recall_1: Figure,
    /// F1 there.
    pub f1_at_recall_1: Figure,
}

/// Plants and replays once for each profile. `seed` draws shocks and trees.
///
/// # Errors
/// There are too few quiet spans, or K is 0.
pub fn run(
    stream: &Stream,
    question: &Question<'_>,
    seed: u64,
    meter: &Meter<'_>,
) -> Result<Run, Error> {
    if question.every == 0 {
        return Err(Error::Malformed {
            what: "distance between shocks",
            text: question.every.to_string(),
            expected: "--every 1 or more",
        });
    }
    let is_quiet =
        |&row: &u32| !question.faults.iter().any(|fault| fault.disturbs(stream.start(row)));
    let mut order = stream.by_end((0..stream.len() as u32).filter(is_quiet));
    if order.len() < N_WARM_UP + N_JUDGED {
        return Err(Error::TooFewSpans {
            found: order.len() as u64,
            needed: (N_WARM_UP + N_JUDGED) as u64,
            remedy: "take a longer recording",
        });
    }
    order.truncate(N_WARM_UP + N_JUDGED);
    let shocks = plant(stream, &order, question, seed);
    let run = |judge: Judge| -> Result<ProfileRun, Error> {
        let played = play(&Play { stream, order: &order, shocks: &shocks, judge, seed }, meter)?;
        let verdict = |&row: &u32| (played.scores[row as usize], shocks.contains_key(&row));
        Ok(ProfileRun {
            plant: question.plant,
            score: judge.score_name(),
            curve: Curve::new(order[N_WARM_UP..].iter().map(verdict).collect()),
            us_per_span: played.ns_per_span.map(|ns| ns / 1e3),
        })
    };
    Ok(Run { default: run(Judge::Default(question.score))?, scale: run(Judge::Scale)? })
}

/// How many spans [`run`] replays: for progress.
pub const fn n_replayed() -> u64 {
    2 * (N_WARM_UP + N_JUDGED) as u64
}

/// New durations in nanoseconds by row.
fn plant(
    stream: &Stream,
    order: &[u32],
    question: &Question<'_>,
    seed: u64,
) -> FxHashMap<u32, u64> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut unit = || (rng.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
    let p99_ns = quantile(order.iter().map(|&row| stream.dur_ns(row)).collect(), 0.99);
    let mut shocks = FxHashMap::default();
    for (number, &row) in (1_u32..).zip(&order[N_WARM_UP..]) {
        let dur_ns = stream.dur_ns(row) as f64;
        let is_kth = number.is_multiple_of(question.every);
        let planted = match question.plant {
            Plant::R1 => is_kth.then(|| (10.0 + 10.0 * unit()) * p99_ns),
            Plant::R2 => is_kth.then_some(10.0 * dur_ns + 50e6),
            Plant::R3 => {
                let is_drawn = unit() < 1.0 / f64::from(question.every);
                // Drawn for every span, so that the factor does not depend on who was drawn before.
                let factor = 15.0 + (5.0 * unit()).floor();
                is_drawn.then_some((dur_ns + 5e6) * factor)
            }
        };
        if let Some(planted) = planted {
            shocks.insert(row, planted as u64);
        }
    }
    shocks
}

/// A quantile, interpolated between neighbours (numpy's default); 0 of nothing.
fn quantile(mut values: Vec<u64>, q: f64) -> f64 {
    values.sort_unstable();
    let Some(last) = values.len().checked_sub(1) else { return 0.0 };
    let at = q * last as f64;
    let (low, high) = (values[at as usize] as f64, values[last.min(at as usize + 1)] as f64);
    low + at.fract() * (high - low)
}

impl ProfileRun {
    fn operating_point(&self) -> Option<Point> {
        match self.plant {
            Plant::R1 => self.curve.full_recall(),
            Plant::R2 | Plant::R3 => self.curve.best_f1(),
        }
    }

    fn confusion(&self) -> Option<Confusion> {
        self.operating_point().map(|point| self.curve.confusion(point))
    }

    fn at_recall_1(&self) -> Option<Confusion> {
        self.curve.full_recall().map(|point| self.curve.confusion(point))
    }
}

impl Report {
    /// Sums up runs that differ in their seeds only; `None` if there is none.
    pub fn of(runs: &[Run]) -> Option<Self> {
        runs.first()?;
        let default: Vec<&ProfileRun> = runs.iter().map(|run| &run.default).collect();
        let scale: Vec<&ProfileRun> = runs.iter().map(|run| &run.scale).collect();
        Some(Self { default: Row::of(&default), scale: Row::of(&scale) })
    }
}

impl Row {
    /// `runs` is not empty.
    fn of(runs: &[&ProfileRun]) -> Self {
        let figure =
            |of: &dyn Fn(&ProfileRun) -> Option<f64>| Figure::of(runs.iter().map(|run| of(run)));
        let at_point = |of: fn(&Confusion) -> f64| {
            figure(&|run: &ProfileRun| run.confusion().map(|confusion| of(&confusion)))
        };
        let at_recall_1 = |of: fn(&Confusion) -> f64| {
            figure(&|run: &ProfileRun| run.at_recall_1().map(|confusion| of(&confusion)))
        };
        let count = |of: fn(&Confusion) -> u64| {
            Figure::of_counts(runs.iter().filter_map(|run| run.confusion()).map(|c| of(&c)))
        };
        let is_r1 = runs[0].plant == Plant::R1;
        Self {
            score: runs[0].score,
            operating_point: if is_r1 { "recall_1" } else { "best_f1" },
            spans: Figure::of_counts(runs.iter().map(|run| run.curve.n())),
            positives: Figure::of_counts(runs.iter().map(|run| run.curve.n_positives())),
            true_positives: count(|confusion| confusion.true_positives),
            false_positives: count(|confusion| confusion.false_positives),
            false_negatives: count(|confusion| confusion.false_negatives),
            precision: at_point(Confusion::precision),
            recall: at_point(Confusion::recall),
            f1: at_point(Confusion::f1),
            accuracy: at_point(Confusion::accuracy),
            fpr: at_point(Confusion::fpr),
            us_per_span: figure(&|run| run.us_per_span),
            average_precision: figure(&|run| run.curve.average_precision()),
            precision_at_recall_1: at_recall_1(Confusion::precision),
            f1_at_recall_1: at_recall_1(Confusion::f1),
        }
    }

    /// Every figure with its name, in the order of the table.
    pub fn figures(&self) -> [(&'static str, Figure); 14] {
        [
            ("spans", self.spans),
            ("positives", self.positives),
            ("true_positives", self.true_positives),
            ("false_positives", self.false_positives),
            ("false_negatives", self.false_negatives),
            ("precision", self.precision),
            ("recall", self.recall),
            ("f1", self.f1),
            ("accuracy", self.accuracy),
            ("fpr", self.fpr),
            ("us_per_span", self.us_per_span),
            ("average_precision", self.average_precision),
            ("precision_at_recall_1", self.precision_at_recall_1),
            ("f1_at_recall_1", self.f1_at_recall_1),
        ]
    }
}

impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, figure) in self.figures() {
            figure.write(&mut map, name)?;
        }
        map.serialize_entry("score", self.score)?;
        map.serialize_entry("operating_point", self.operating_point)?;
        map.end()
    }
}

#[cfg(test)]
mod tests;
