//! How well spans are ranked: replay a labelled stream, rank by the score each span had when its
//! trace closed, compare with the truth.

use serde::ser::{Serialize, SerializeMap, Serializer};

use rustc_hash::FxHashMap;

use crate::error::Error;
use crate::fault::{Fault, active};
use crate::figure::Figure;
use crate::metrics::Curve;
use crate::replay::{Meter, Play, play};
use crate::rows::Rows;
use crate::score::{Judge, Score};
use crate::stream::Stream;

/// Shares of flagged spans at which recall is given.
const SHARES: [(&str, f64); 3] = [("0.005", 0.005), ("0.01", 0.01), ("0.05", 0.05)];

/// Which spans are positive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// Those in which the time was lost.
    RootCause,
    /// Those, and their ancestors.
    SlowPath,
    /// Those of the injected service in a fault's window.
    Fault,
    /// Those of a trace in which a span failed.
    Error,
}

/// What is asked.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The truth.
    pub truth: Truth,
    /// Who ranks.
    pub judge: Judge,
    /// What is ranked.
    pub rows: Rows,
    /// Injected faults; empty if they are not known.
    pub faults: &'a [Fault],
}

/// The answer of one run.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    curve: Curve,
    score: &'static str,
    ns_per_span: Option<f64>,
    by_fault: Vec<FaultRun>,
}

#[derive(Clone, Debug, PartialEq)]
struct FaultRun {
    fault: usize,
    kind: Option<String>,
    service: Option<String>,
    curve: Curve,
}

/// The answers of all runs together, in the names of `eval spans -o json`.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Spans ranked.
    pub spans: Figure,
    /// Positives among them.
    pub positives: Figure,
    /// What they were ranked by.
    pub score: &'static str,
    /// Average precision.
    pub average_precision: Figure,
    /// Best F1 of any threshold.
    pub f1_max: Figure,
    /// Area under the ROC curve.
    pub auc: Figure,
    /// Recall when at most 0.5 %, 1 % and 5 % of the spans are flagged.
    pub recall_at: [(&'static str, Figure); 3],
    /// Time for look-up, window, scores and decisions.
    pub ns_per_span: Figure,
    /// The spans in each fault's window, ranked among themselves.
    pub by_fault: Vec<FaultReport>,
}

/// The part of a report on one fault.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultReport {
    /// Its position in the file of faults.
    pub fault: usize,
    /// What was injected, if known.
    pub kind: Option<String>,
    /// Into which service, if known.
    pub service: Option<String>,
    /// Spans that start in its window.
    pub spans: Figure,
    /// Positives among them.
    pub positives: Figure,
    /// Their average precision.
    pub average_precision: Figure,
}

impl Truth {
    /// The score that answers it by default.
    pub const fn score(self) -> Score {
        match self {
            Self::RootCause => Score::Cause,
            Self::SlowPath | Self::Fault | Self::Error => Score::Impact,
        }
    }
}

impl Question<'_> {
    fn fault_of(&self, stream: &Stream, row: u32) -> Option<usize> {
        if self.faults.is_empty() {
            return stream.labels(row).fault.map(usize::from);
        }
        active(self.faults, stream.start(row))
    }

    fn is_positive(&self, stream: &Stream, row: u32) -> bool {
        let labels = stream.labels(row);
        match self.truth {
            Truth::RootCause => labels.root_cause,
            Truth::SlowPath => labels.slow_path,
            Truth::Error => labels.error,
            Truth::Fault => self
                .fault_of(stream, row)
                .is_some_and(|fault| self.faults[fault].service == stream.service(row)),
        }
    }
}

/// Replays the stream once. `seed` draws the trees.
///
/// # Errors
/// The truth `fault` without faults, or no row to rank.
pub fn run(
    stream: &Stream,
    question: &Question<'_>,
    seed: u64,
    meter: &Meter<'_>,
) -> Result<Run, Error> {
    if question.truth == Truth::Fault && question.faults.is_empty() {
        return Err(Error::NoFaults);
    }
    let order = stream.by_end(0..question.rows.n_replayed(stream.len()));
    let shocks = FxHashMap::default();
    let played =
        play(&Play { stream, order: &order, shocks: &shocks, judge: question.judge, seed }, meter)?;
    let is_ranked = |&row: &u32| question.rows.ranks(row) && stream.labels(row).judged;
    let ranked: Vec<u32> = (0..order.len() as u32).filter(is_ranked).collect();
    if ranked.is_empty() {
        return Err(Error::TooFewSpans {
            found: stream.len() as u64,
            needed: question.rows.first,
            remedy: "lower the first row of --rows",
        });
    }
    let verdict = |&row: &u32| (played.scores[row as usize], question.is_positive(stream, row));
    Ok(Run {
        curve: Curve::new(ranked.iter().map(verdict).collect()),
        score: question.judge.score_name(),
        ns_per_span: played.ns_per_span,
        by_fault: by_fault(stream, question, &ranked, verdict),
    })
}

fn by_fault(
    stream: &Stream,
    question: &Question<'_>,
    ranked: &[u32],
    verdict: impl Fn(&u32) -> (f64, bool),
) -> Vec<FaultRun> {
    let mut windows: Vec<Vec<(f64, bool)>> = vec![Vec::new(); question.faults.len()];
    for row in ranked {
        let Some(fault) = question.fault_of(stream, *row) else { continue };
        if windows.len() <= fault {
            windows.resize(fault + 1, Vec::new());
        }
        windows[fault].push(verdict(row));
    }
    let with_curve = |(fault, window): (usize, Vec<(f64, bool)>)| {
        let known = question.faults.get(fault);
        FaultRun {
            fault,
            kind: known.map(|known| known.kind.clone()),
            service: known.map(|known| known.service.clone()),
            curve: Curve::new(window),
        }
    };
    windows.into_iter().enumerate().map(with_curve).collect()
}

impl Report {
    /// Sums up runs that differ in their seeds only; `None` if there is none.
    pub fn of(runs: &[Run]) -> Option<Self> {
        let first = runs.first()?;
        let figure = |of: &dyn Fn(&Run) -> Option<f64>| Figure::of(runs.iter().map(of));
        let recall_at =
            SHARES.map(|(name, share)| (name, figure(&|run: &Run| run.curve.recall_at(share))));
        Some(Self {
            spans: Figure::of_counts(runs.iter().map(|run| run.curve.n())),
            positives: Figure::of_counts(runs.iter().map(|run| run.curve.n_positives())),
            score: first.score,
            average_precision: figure(&|run| run.curve.average_precision()),
            f1_max: figure(&|run| run.curve.f1_max()),
            auc: figure(&|run| run.curve.auc()),
            recall_at,
            ns_per_span: figure(&|run| run.ns_per_span),
            by_fault: (0..first.by_fault.len()).map(|idx| FaultReport::of(runs, idx)).collect(),
        })
    }
}

impl FaultReport {
    /// `idx` is a position in the first run's faults.
    fn of(runs: &[Run], idx: usize) -> Self {
        let faults = || runs.iter().filter_map(move |run| run.by_fault.get(idx));
        let known = &runs[0].by_fault[idx];
        Self {
            fault: known.fault,
            kind: known.kind.clone(),
            service: known.service.clone(),
            spans: Figure::of_counts(faults().map(|fault| fault.curve.n())),
            positives: Figure::of_counts(faults().map(|fault| fault.curve.n_positives())),
            average_precision: Figure::of(faults().map(|fault| fault.curve.average_precision())),
        }
    }
}

impl Serialize for Report {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.spans.write(&mut map, "spans")?;
        self.positives.write(&mut map, "positives")?;
        map.serialize_entry("score", self.score)?;
        self.average_precision.write(&mut map, "average_precision")?;
        self.f1_max.write(&mut map, "f1_max")?;
        self.auc.write(&mut map, "auc")?;
        map.serialize_entry("recall_at", &ByShare(&self.recall_at, |recall| recall.mean))?;
        if self.average_precision.se.is_some() {
            map.serialize_entry("recall_at_se", &ByShare(&self.recall_at, |recall| recall.se))?;
        }
        self.ns_per_span.write(&mut map, "ns_per_span")?;
        map.serialize_entry("by_fault", &self.by_fault)?;
        map.end()
    }
}

/// One figure of each recall under the name of its share.
struct ByShare<'a>(&'a [(&'static str, Figure)], fn(&Figure) -> Option<f64>);

impl Serialize for ByShare<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(recalls, of) = self;
        serializer.collect_map(recalls.iter().map(|(share, recall)| (share, of(recall))))
    }
}

impl Serialize for FaultReport {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("fault", &self.fault)?;
        map.serialize_entry("type", &self.kind)?;
        map.serialize_entry("service", &self.service)?;
        self.spans.write(&mut map, "spans")?;
        self.positives.write(&mut map, "positives")?;
        self.average_precision.write(&mut map, "average_precision")?;
        map.end()
    }
}
