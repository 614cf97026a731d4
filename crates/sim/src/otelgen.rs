//! The scenarios of otelgen, a load generator for OpenTelemetry, in virtual time.
//!
//! SCALE measures its processor with two of them, so they are generated here natively: same names,
//! attributes, events, error rate and sleeps, but nothing sleeps. Differences from otelgen:
//! - only the sleeps take time;
//! - a span's `service.name`, which otelgen sets as an attribute of the span under one resource for
//!   all, names its resource here too, else there would be but one service;
//! - otelgen wraps every scenario in one more span, which is left out. The paper counts 1 span a
//!   trace for `mobile-web` and about 100 for `microservices`; today's otelgen makes 4 and 101.

mod microservices;
mod mobile_web;

use std::collections::BTreeMap;
use std::sync::Arc;

use spanwise_model::{
    EventRecord, SpanId, SpanKind, SpanRecord, StatusCode, Timestamp, TraceId, Value,
};

use crate::draw::Draw;

/// When every stream begins: 2025-01-01T00:00:00Z.
const BEGIN: Timestamp = Timestamp::from_secs(1_735_689_600);

/// Which scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// A client, a web server, an application and a database, one after the other: 4 spans.
    MobileWeb,
    /// A root and 100 sequential operations of 16 services: 101 spans.
    Microservices,
}

/// The traces of a scenario without end, one after the other as one worker of otelgen makes them.
/// As an iterator it yields the spans of each trace in order of their ends, the root last.
#[derive(Clone, Debug)]
pub struct Traces {
    scenario: Scenario,
    draw: Draw,
    /// Virtual time.
    now: Timestamp,
    texts: Texts,
    /// Spans of the trace at hand, last first.
    pending: Vec<SpanRecord>,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 2] = [Self::MobileWeb, Self::Microservices];

    /// Its name as users write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MobileWeb => "mobile-web",
            Self::Microservices => "microservices",
        }
    }

    /// The scenario of a name, exactly spelt.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scenario| scenario.as_str() == name)
    }

    /// Spans in each of its traces.
    pub const fn n_spans_per_trace(self) -> usize {
        match self {
            Self::MobileWeb => mobile_web::N_SPANS,
            Self::Microservices => microservices::N_SPANS,
        }
    }

    /// Its traces.
    pub fn traces(self, seed: u64) -> Traces {
        Traces {
            scenario: self,
            draw: Draw::new(seed),
            now: BEGIN,
            texts: Texts::default(),
            pending: Vec::new(),
        }
    }
}

impl Traces {
    /// Appends the spans of the next trace to `out`, in order of their ends.
    pub fn next_trace(&mut self, out: &mut Vec<SpanRecord>) {
        let mut trace = Trace {
            id: TraceId((u128::from(self.bits()) << 64 | u128::from(self.bits())).to_be_bytes()),
            traces: self,
            out,
        };
        match trace.traces.scenario {
            Scenario::MobileWeb => mobile_web::run(&mut trace),
            Scenario::Microservices => microservices::run(&mut trace),
        }
    }

    /// 64 random bits, never all zero.
    fn bits(&mut self) -> u64 {
        let mut half = || self.draw.below(0, 1 << 32) as u64;
        (half() << 32 | half()).max(1)
    }
}

impl Iterator for Traces {
    type Item = SpanRecord;

    fn next(&mut self) -> Option<SpanRecord> {
        if self.pending.is_empty() {
            let mut spans = Vec::with_capacity(self.scenario.n_spans_per_trace());
            self.next_trace(&mut spans);
            spans.reverse();
            self.pending = spans;
        }
        self.pending.pop()
    }
}

/// Texts that repeat, each allocated once.
#[derive(Clone, Debug, Default)]
struct Texts(BTreeMap<&'static str, Arc<str>>);

impl Texts {
    fn get(&mut self, text: &'static str) -> Arc<str> {
        Arc::clone(self.0.entry(text).or_insert_with(|| text.into()))
    }
}

/// The trace being made.
struct Trace<'a> {
    id: TraceId,
    traces: &'a mut Traces,
    out: &'a mut Vec<SpanRecord>,
}

impl Trace<'_> {
    /// Begins a span now. It is not part of the trace until it ends.
    fn start(&mut self, name: &'static str, service: &'static str, parent: SpanId) -> SpanRecord {
        SpanRecord {
            trace_id: self.id,
            span_id: SpanId(self.traces.bits().to_be_bytes()),
            parent_id: parent,
            service: self.text(service),
            instance: Arc::default(),
            operation: self.text(name),
            // What the SDK takes if nothing is said, as otelgen does.
            kind: SpanKind::Internal,
            start: self.traces.now,
            end: self.traces.now,
            status: StatusCode::Unset,
            trace_state: Arc::default(),
            attributes: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Ends a span now.
    fn end(&mut self, mut span: SpanRecord) {
        span.end = self.traces.now;
        self.out.push(span);
    }

    /// Lets a whole number of milliseconds below `ms_max` pass.
    fn sleep(&mut self, ms_max: usize) {
        let ms = self.below(ms_max) as u64;
        self.traces.now = self.traces.now.plus_ns(ms * 1_000_000);
    }

    fn below(&mut self, n: usize) -> usize {
        self.traces.draw.below(0, n)
    }

    fn text(&mut self, text: &'static str) -> Arc<str> {
        self.traces.texts.get(text)
    }

    fn set(&mut self, span: &mut SpanRecord, key: &'static str, value: &'static str) {
        let value = Value::Str(self.text(value));
        span.attributes.push((self.text(key), value));
    }

    fn set_made(&mut self, span: &mut SpanRecord, key: &'static str, value: String) {
        span.attributes.push((self.text(key), Value::Str(value.into())));
    }

    fn set_int(&mut self, span: &mut SpanRecord, key: &'static str, value: i64) {
        span.attributes.push((self.text(key), Value::Int(value)));
    }

    fn event(&mut self, span: &mut SpanRecord, name: &'static str) {
        let name = self.text(name);
        span.events.push(EventRecord { at: self.traces.now, name, attributes: Vec::new() });
    }
}

#[cfg(test)]
mod tests;
