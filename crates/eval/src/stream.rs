//! The spans an evaluation runs over: a table of columns, 40 bytes a row, in file order.

use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_model::{SpanKind, StatusCode, Timestamp, TraceId};
use spanwise_sim::synthetic::{Anomaly, Scenario, Span};

use crate::error::Error;

/// Stands for no parent.
const NO_ROW: u32 = u32::MAX;
/// Stands for no fault.
const NO_FAULT: i16 = -1;

/// What is known of a span besides what a sampler may see.
#[expect(clippy::struct_excessive_bools, reason = "they are columns, each true or not by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Labels {
    /// The time was lost in this span.
    pub root_cause: bool,
    /// In this span or below it.
    pub slow_path: bool,
    /// Its trace as a whole has an unusual structure.
    pub trace_struct: bool,
    /// It failed.
    pub error: bool,
    /// It counts in figures. True for recorded spans.
    pub judged: bool,
    /// Position of the fault in whose window it starts, if the file says.
    pub fault: Option<u16>,
}

/// One span to be added.
#[derive(Clone, Debug)]
pub struct Recorded<'a> {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its number in the trace.
    pub idx: i32,
    /// Number of its parent, -1 for none.
    pub parent_idx: i32,
    /// Service.
    pub service: &'a Arc<str>,
    /// Operation.
    pub operation: &'a Arc<str>,
    /// Kind.
    pub kind: SpanKind,
    /// Start.
    pub start: Timestamp,
    /// Duration in nanoseconds.
    pub dur_ns: u64,
    /// Its own status, which a sampler may see.
    pub status: StatusCode,
    /// What a sampler may not see.
    pub labels: Labels,
}

/// A call site as it was recorded.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Name {
    pub(crate) service: Arc<str>,
    pub(crate) operation: Arc<str>,
    pub(crate) kind: SpanKind,
}

/// Spans under construction.
#[derive(Debug, Default)]
pub struct StreamBuilder {
    rows: Vec<Row>,
    names: Vec<Name>,
    name_idx: FxHashMap<Name, u32>,
    trace_ids: Vec<TraceId>,
    trace_idx: FxHashMap<TraceId, u32>,
    /// The trace of the span added last: files hold traces in one piece.
    last_trace: Option<(TraceId, u32)>,
    /// Number in the trace of each row, and of its parent.
    numbers: Vec<(i32, i32)>,
}

/// Spans to be evaluated. Rows are positions in the file, from 0.
#[derive(Debug)]
pub struct Stream {
    rows: Vec<Row>,
    names: Vec<Name>,
    /// Ids of the traces by their number.
    trace_ids: Vec<TraceId>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    start: Timestamp,
    dur_ns: u64,
    trace: u32,
    /// Row of the parent or [`NO_ROW`].
    parent: u32,
    name: u32,
    fault: i16,
    bits: u8,
}

const ROOT_CAUSE: u8 = 1;
const SLOW_PATH: u8 = 2;
const ERROR: u8 = 4;
const JUDGED: u8 = 8;
const STRUCT: u8 = 16;
const FAILED: u8 = 32;

impl Default for Labels {
    fn default() -> Self {
        Self {
            root_cause: false,
            slow_path: false,
            trace_struct: false,
            error: false,
            judged: true,
            fault: None,
        }
    }
}

impl StreamBuilder {
    /// Nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the next span of the file.
    ///
    /// # Errors
    /// There are 2^32 - 1 spans already.
    pub fn push(&mut self, span: &Recorded<'_>) -> Result<(), Error> {
        if self.rows.len() >= NO_ROW as usize {
            return Err(Error::TooManySpans { limit: u64::from(NO_ROW) });
        }
        let labels = span.labels;
        let bit = |is_set: bool, bit: u8| if is_set { bit } else { 0 };
        let row = Row {
            start: span.start,
            dur_ns: span.dur_ns,
            trace: self.trace(span.trace_id),
            parent: NO_ROW,
            name: self.name(span),
            fault: labels.fault.and_then(|fault| i16::try_from(fault).ok()).unwrap_or(NO_FAULT),
            bits: bit(labels.root_cause, ROOT_CAUSE)
                | bit(labels.slow_path, SLOW_PATH)
                | bit(labels.trace_struct, STRUCT)
                | bit(span.status == StatusCode::Error, FAILED)
                | bit(labels.error, ERROR)
                | bit(labels.judged, JUDGED),
        };
        self.rows.push(row);
        self.numbers.push((span.idx, span.parent_idx));
        Ok(())
    }

    /// Finds the parents and spreads errors over their traces: a trace with a failed span is
    /// anomalous as a whole.
    pub fn finish(self) -> Stream {
        let Self { mut rows, names, numbers, trace_ids, .. } = self;
        let mut order: Vec<u32> = (0..rows.len() as u32).collect();
        let key = |row: u32| (rows[row as usize].trace, numbers[row as usize].0, row);
        order.sort_unstable_by_key(|&row| key(row));
        let mut at = 0;
        while at < order.len() {
            let trace = rows[order[at] as usize].trace;
            let n = order[at..].partition_point(|&row| rows[row as usize].trace == trace);
            link(&order[at..at + n], &numbers, &mut rows);
            at += n;
        }
        Stream { rows, names, trace_ids }
    }

    fn trace(&mut self, id: TraceId) -> u32 {
        if let Some((last, trace)) = self.last_trace
            && last == id
        {
            return trace;
        }
        let next = self.trace_ids.len() as u32;
        let trace = *self.trace_idx.entry(id).or_insert(next);
        if trace == next {
            self.trace_ids.push(id);
        }
        self.last_trace = Some((id, trace));
        trace
    }

    fn name(&mut self, span: &Recorded<'_>) -> u32 {
        let name = Name {
            service: Arc::clone(span.service),
            operation: Arc::clone(span.operation),
            kind: span.kind,
        };
        if let Some(&idx) = self.name_idx.get(&name) {
            return idx;
        }
        let idx = self.names.len() as u32;
        self.names.push(name.clone());
        self.name_idx.insert(name, idx);
        idx
    }
}

/// Links the spans of one trace, which stand in order of their numbers.
fn link(family: &[u32], numbers: &[(i32, i32)], rows: &mut [Row]) {
    let failed = family.iter().any(|&row| rows[row as usize].bits & ERROR != 0);
    for &row in family {
        let (own, wanted) = numbers[row as usize];
        let at = family.partition_point(|&other| numbers[other as usize].0 < wanted);
        let found = family.get(at).filter(|&&other| numbers[other as usize].0 == wanted);
        let slot = &mut rows[row as usize];
        slot.parent = found.copied().filter(|_| own != wanted && wanted >= 0).unwrap_or(NO_ROW);
        if failed {
            slot.bits |= ERROR;
        }
    }
}

impl Stream {
    /// The spans of a synthetic scenario. The parts of an anomalous path above the anomaly are
    /// labelled as in recordings.
    ///
    /// # Errors
    /// None in practice: the scenarios are small.
    pub fn synthetic(scenario: Scenario, seed: u64) -> Result<Self, Error> {
        let mut builder = StreamBuilder::new();
        let mut trace: Vec<Span> = Vec::new();
        for span in scenario.stream(seed) {
            if trace.first().is_some_and(|first| first.trace != span.trace) {
                builder.push_trace(&trace)?;
                trace.clear();
            }
            trace.push(span);
        }
        builder.push_trace(&trace)?;
        Ok(builder.finish())
    }

    /// Number of spans.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The labels of a row below [`Stream::len`].
    pub fn labels(&self, row: u32) -> Labels {
        let Row { bits, fault, .. } = self.rows[row as usize];
        Labels {
            root_cause: bits & ROOT_CAUSE != 0,
            slow_path: bits & SLOW_PATH != 0,
            trace_struct: bits & STRUCT != 0,
            error: bits & ERROR != 0,
            judged: bits & JUDGED != 0,
            fault: u16::try_from(fault).ok(),
        }
    }

    /// Start of a row.
    pub fn start(&self, row: u32) -> Timestamp {
        self.rows[row as usize].start
    }

    /// End of a row; saturates.
    pub fn end(&self, row: u32) -> Timestamp {
        self.rows[row as usize].start.plus_ns(self.rows[row as usize].dur_ns)
    }

    /// Duration of a row in nanoseconds.
    pub fn dur_ns(&self, row: u32) -> u64 {
        self.rows[row as usize].dur_ns
    }

    /// Service of a row.
    pub fn service(&self, row: u32) -> &str {
        &self.name(row).service
    }

    /// Row of the parent.
    pub fn parent(&self, row: u32) -> Option<u32> {
        Some(self.rows[row as usize].parent).filter(|&parent| parent != NO_ROW)
    }

    /// Number of the trace.
    pub(crate) fn trace(&self, row: u32) -> u32 {
        self.rows[row as usize].trace
    }

    /// Number of traces.
    pub fn n_traces(&self) -> usize {
        self.trace_ids.len()
    }

    /// Id of a trace by its number, which is below [`Stream::n_traces`].
    pub fn trace_id(&self, trace: u32) -> TraceId {
        self.trace_ids[trace as usize]
    }

    /// Status of a row.
    pub(crate) fn status(&self, row: u32) -> StatusCode {
        let failed = self.rows[row as usize].bits & FAILED != 0;
        if failed { StatusCode::Error } else { StatusCode::Unset }
    }

    /// Number of the name of a row.
    pub(crate) fn name_idx(&self, row: u32) -> u32 {
        self.rows[row as usize].name
    }

    pub(crate) fn name(&self, row: u32) -> &Name {
        &self.names[self.rows[row as usize].name as usize]
    }

    /// Rows in the order in which the spans ended; of equal ends the first in the file.
    pub(crate) fn by_end(&self, rows: impl Iterator<Item = u32>) -> Vec<u32> {
        let mut order: Vec<u32> = rows.collect();
        order.sort_by_key(|&row| self.end(row));
        order
    }
}

impl StreamBuilder {
    fn push_trace(&mut self, trace: &[Span]) -> Result<(), Error> {
        let mut slow_path = vec![false; trace.len()];
        for (i, span) in trace.iter().enumerate().rev() {
            slow_path[i] |= span.anomaly == Some(Anomaly::Latency);
            if let Some(parent) = usize::try_from(span.parent_idx).ok().filter(|_| slow_path[i]) {
                slow_path[parent] = true;
            }
        }
        for (span, slow_path) in trace.iter().zip(slow_path) {
            self.push(&Recorded {
                trace_id: drawn_id(span.trace),
                idx: span.idx,
                parent_idx: span.parent_idx,
                service: &span.service,
                operation: &span.operation,
                kind: span.kind,
                start: span.start,
                dur_ns: span.end.since(span.start),
                status: if span.anomaly == Some(Anomaly::Error) {
                    StatusCode::Error
                } else {
                    StatusCode::Unset
                },
                labels: Labels {
                    root_cause: span.anomaly == Some(Anomaly::Latency),
                    slow_path,
                    trace_struct: span.trace_anomaly == Some(Anomaly::Structure),
                    error: span.anomaly == Some(Anomaly::Error),
                    judged: span.judged,
                    fault: None,
                },
            })?;
        }
        Ok(())
    }
}

/// The id of a synthetic trace: its last seven bytes are as good as random, as sampling by chance
/// wants them (`SplitMix64`, twice).
fn drawn_id(trace: u32) -> TraceId {
    let mix = |n: u64| {
        let n = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    let (high, low) = (mix(2 * u64::from(trace) + 1), mix(2 * u64::from(trace) + 2));
    TraceId(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}

#[cfg(test)]
mod tests;
