//! Recorded requests, and the traces in them.

use bytes::Bytes;
use spanwise_model::{Batch, SpanHead, StatusCode};
use spanwise_otlp::{KeptSpan, Limits, decode, reframe};

use super::error::Error;

/// Spans of a request of a sample.
const SPANS_PER_REQUEST: usize = 512;

/// The requests of a recording, whole. Memory: their bytes, and 140 bytes a span.
#[derive(Debug, Default)]
pub struct Recording {
    requests: Vec<Bytes>,
    batches: Vec<Batch>,
    /// Batch and position of each span, in order of trace.
    places: Vec<(u32, u32)>,
    /// In order of their first start.
    traces: Vec<Trace>,
}

#[derive(Clone, Debug)]
struct Trace {
    /// Its part of the places.
    begin: u32,
    end: u32,
    start_ns: u64,
    duration_ns: u64,
    has_error: bool,
}

impl Recording {
    /// Reads requests.
    ///
    /// # Errors
    /// One is malformed or over the limits of `otlp`, or none holds a span.
    pub fn read(requests: impl IntoIterator<Item = Bytes>) -> Result<Self, Error> {
        let mut recording = Self::default();
        for (number, request) in requests.into_iter().enumerate() {
            let decoded = decode(request.clone(), &Limits::default())
                .map_err(|source| Error::Request { number: number as u64, source })?;
            recording.requests.push(request);
            recording.batches.push(decoded.batch);
        }
        recording.index();
        if recording.traces.is_empty() {
            return Err(Error::Empty);
        }
        Ok(recording)
    }

    fn index(&mut self) {
        let batches = &self.batches;
        let head = |place: &(u32, u32)| &batches[place.0 as usize].spans[place.1 as usize];
        let places_of = |(batch, spans): (usize, &Batch)| {
            (0..spans.spans.len() as u32).map(move |span| (batch as u32, span)).collect::<Vec<_>>()
        };
        let mut places: Vec<_> = batches.iter().enumerate().flat_map(places_of).collect();
        places.sort_by_cached_key(|place| head(place).trace_id);
        let mut begin = 0;
        while let Some(first) = places.get(begin) {
            let trace_id = head(first).trace_id;
            let end =
                begin + places[begin..].partition_point(|place| head(place).trace_id == trace_id);
            let heads = || places[begin..end].iter().map(head);
            let start_ns = heads().map(|head| head.start.as_ns()).min().unwrap_or_default();
            let end_ns = heads().map(|head| head.end.as_ns()).max().unwrap_or_default();
            let has_error = heads().any(|head| head.status == StatusCode::Error);
            self.traces.push(Trace {
                begin: begin as u32,
                end: end as u32,
                start_ns,
                duration_ns: end_ns.saturating_sub(start_ns),
                has_error,
            });
            begin = end;
        }
        self.traces.sort_by_key(|trace| trace.start_ns);
        self.places = places;
    }

    /// Keeps the first `n_traces` traces by start, encoded again in requests of 512 spans.
    ///
    /// # Errors
    /// None is left.
    pub fn first(&self, n_traces: usize) -> Result<Self, Error> {
        let kept: Vec<u32> = (0..self.n_traces().min(n_traces) as u32).collect();
        Self::read(self.encode(&kept))
    }

    /// The requests as recorded.
    pub fn requests(&self) -> &[Bytes] {
        &self.requests
    }

    /// Number of traces.
    pub fn n_traces(&self) -> usize {
        self.traces.len()
    }

    /// Number of spans.
    pub fn n_spans(&self) -> usize {
        self.places.len()
    }

    /// Whether a span of the trace has status error.
    pub fn has_error(&self, trace: u32) -> bool {
        self.traces[trace as usize].has_error
    }

    /// From the first start of the trace to its last end.
    pub fn duration_ns(&self, trace: u32) -> u64 {
        self.traces[trace as usize].duration_ns
    }

    /// First start of the trace.
    pub fn start_ns(&self, trace: u32) -> u64 {
        self.traces[trace as usize].start_ns
    }

    fn head(&self, place: (u32, u32)) -> &SpanHead {
        &self.batches[place.0 as usize].spans[place.1 as usize]
    }

    /// Some of the traces as requests of 512 spans, in order of end time as an exporter sends them.
    /// Every Span, Resource and scope message is copied byte for byte.
    pub fn encode(&self, traces: &[u32]) -> Vec<Bytes> {
        let places = traces.iter().flat_map(|trace| {
            let trace = &self.traces[*trace as usize];
            self.places[trace.begin as usize..trace.end as usize].iter().copied()
        });
        let mut places: Vec<(u32, u32)> = places.collect();
        places.sort_by_cached_key(|place| {
            let head = self.head(*place);
            (head.end.as_ns(), head.trace_id, head.span_id)
        });
        let kept = |place: &(u32, u32)| KeptSpan {
            batch: &self.batches[place.0 as usize],
            span_idx: place.1,
            stamp: &[],
        };
        let request =
            |chunk: &[(u32, u32)]| reframe(&chunk.iter().map(kept).collect::<Vec<_>>()).bytes;
        places.chunks(SPANS_PER_REQUEST).map(request).collect()
    }

    /// What the trace asked for: service and name of the last of its entry spans, which are its
    /// first span and, where that one only passes on (one child, in another service), the child.
    pub fn entry(&self, trace: u32) -> Option<(&[u8], &[u8])> {
        let trace = &self.traces[trace as usize];
        let places = &self.places[trace.begin as usize..trace.end as usize];
        let first = *places.iter().min_by_key(|place| {
            let head = self.head(**place);
            (!head.parent_id.is_zero(), head.start.as_ns(), head.span_id)
        })?;
        let root = self.head(first).span_id;
        let mut children = places.iter().filter(|place| self.head(**place).parent_id == root);
        let (named, only) = (children.next(), children.next().is_none());
        let passes_on = |child: &&(u32, u32)| only && self.service(**child) != self.service(first);
        let entry = named.filter(passes_on).copied().unwrap_or(first);
        let name = self.head(entry).name.of(&self.batches[entry.0 as usize].bytes);
        Some((self.service(entry), name))
    }

    fn service(&self, place: (u32, u32)) -> &[u8] {
        let batch = &self.batches[place.0 as usize];
        let resource_idx = self.head(place).resource_idx as usize;
        batch.resources[resource_idx].service.of(&batch.bytes)
    }
}
