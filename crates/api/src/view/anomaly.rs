//! A span that was kept, and why.

use serde::{Deserialize, Serialize};

use super::ns::Ns;
use crate::snapshot::Anomaly;
use crate::time::format_time;

/// A kept span.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AnomalyView {
    /// `a-` and a number.
    pub id: String,
    /// When it was kept.
    pub time: String,
    /// Service.
    pub service: String,
    /// Operation, ids in it folded to `{}`.
    pub operation: String,
    /// `server`, `client`, ...
    pub kind: String,
    /// `unset`, `ok` or `error`.
    pub status: String,
    /// Trace id in hexadecimal.
    pub trace_id: String,
    /// Span id in hexadecimal.
    pub span_id: String,
    /// Instance that sent it; empty if unknown.
    pub instance: String,
    /// Start, as sent.
    pub start: String,
    /// Duration in nanoseconds; `null` if the times are invalid.
    pub duration_ns: Option<Ns>,
    /// The score that decided.
    pub score: ScoreView,
    /// What the score was taken against.
    pub baseline: BaselineView,
    /// Whether it was kept on arrival, before its trace closed.
    pub early: bool,
}

/// A score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreView {
    /// `cause`, `impact`, `transient`, ...; scores of different kinds are not comparable.
    pub kind: String,
    /// Value; in bits, or in [0, 1] for `river`.
    pub value: f64,
    /// Share of recent spans that score at least as high.
    pub tail: f64,
}

/// The call site's reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineView {
    /// Median in nanoseconds, 0 while there is none.
    pub median_ns: Ns,
    /// 99th percentile in nanoseconds, 0 while there is none.
    pub p99_ns: Ns,
    /// Age of its window in nanoseconds.
    pub window_age_ns: Ns,
    /// Whether the site had no reference of its own yet.
    pub cold: bool,
}

/// A page of anomalies.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnomalyList {
    /// Newest first.
    pub items: Vec<AnomalyView>,
    /// `cursor` of the next page; `null` on the last.
    pub next: Option<String>,
}

impl From<&Anomaly> for AnomalyView {
    fn from(anomaly: &Anomaly) -> Self {
        let (head, reason) = (&anomaly.head, &anomaly.reason);
        Self {
            id: format!("a-{}", anomaly.seq),
            time: format_time(anomaly.at),
            service: anomaly.site.service.to_string(),
            operation: anomaly.site.operation.to_string(),
            kind: head.kind.as_str().to_owned(),
            status: head.status.as_str().to_owned(),
            trace_id: head.trace_id.to_string(),
            span_id: head.span_id.to_string(),
            instance: anomaly.instance.clone(),
            start: format_time(head.start),
            duration_ns: head.duration_ns().map(Ns),
            score: ScoreView {
                kind: reason.kind.as_str().to_owned(),
                value: reason.score,
                tail: reason.tail,
            },
            baseline: BaselineView {
                median_ns: Ns(reason.median_ns),
                p99_ns: Ns(reason.p99_ns),
                window_age_ns: Ns(reason.window_age_ns),
                cold: reason.cold,
            },
            early: anomaly.early,
        }
    }
}
