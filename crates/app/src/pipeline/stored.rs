//! Spans whose bytes are not in memory: what is held of them, and how their bytes come back.
//!
//! While the span log has a request, its spans may be heads alone (`Batch::lighten`). A trace that is
//! kept, or that somebody must look into, gets its bytes back here: a few hundred for each span, read
//! at its place in its record, and put together in one small request for the trace.

use std::any::Any;
use std::sync::Arc;

use rustc_hash::FxHashMap;
use spanwise_model::{Batch, ByteRange, ClosedTrace, Contexts, ResourceHead, ScopeHead, SpanHead};
use tracing::error;

/// Reads bytes of requests that are stored.
pub trait ReadBack: Send + std::fmt::Debug {
    /// Bytes `range` of the request that is stored, of which `batch` is or was a part, checked; `None`
    /// if they cannot be read, which is reported where it happens.
    fn read(&mut self, batch: &Batch, range: ByteRange) -> Option<bytes::Bytes>;

    /// Whether the log has grown so far behind a request that it should be let go.
    fn is_old(&self, batch: &Batch) -> bool;
}

/// A span: its request and its position there.
pub type Placed = (Arc<Batch>, u32);

/// Whether the bytes of a span are not in memory.
pub fn is_away((batch, idx): &Placed) -> bool {
    batch.spans.get(*idx as usize).is_some_and(|head| head.raw.is_away())
}

/// What became of spans whose bytes were away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filled {
    /// Have their bytes again.
    pub n_read: u64,
    /// Could not be read: they stay as they are, and no destination gets them.
    pub n_unread: u64,
}

impl std::ops::AddAssign for Filled {
    fn add_assign(&mut self, other: Self) {
        self.n_read += other.n_read;
        self.n_unread += other.n_unread;
    }
}

/// Brings back the bytes of all spans that are away.
pub fn fill(spans: &mut [Placed], from: &mut dyn ReadBack) -> Filled {
    let away: Vec<usize> = (0..spans.len()).filter(|&at| is_away(&spans[at])).collect();
    if away.is_empty() {
        return Filled::default();
    }
    let mut gathered = Gathered::default();
    let mut found = Vec::with_capacity(away.len());
    for &at in &away {
        let (batch, idx) = &spans[at];
        let raw = batch.spans[*idx as usize].raw.home();
        let Some(bytes) = from.read(batch, raw) else { continue };
        found.push(at);
        gathered.add(batch, *idx, Some(&bytes));
    }
    let n_unread = away.len() - found.len();
    if n_unread > 0 {
        error!(n_spans = n_unread, "acknowledged spans cannot be read back from the log");
    }
    let filled = Filled { n_read: found.len() as u64, n_unread: n_unread as u64 };
    let batch = Arc::new(gathered.finish());
    for (idx, at) in (0..).zip(found) {
        spans[at] = (Arc::clone(&batch), idx);
    }
    filled
}

/// The same for a trace.
pub fn fill_trace(trace: &mut ClosedTrace, from: &mut dyn ReadBack) -> Filled {
    let place = |span: &spanwise_model::ClosedSpan| (Arc::clone(&span.batch), span.span_idx);
    let mut spans: Vec<Placed> = trace.spans.iter().map(place).collect();
    let filled = fill(&mut spans, from);
    for (span, (batch, idx)) in trace.spans.iter_mut().zip(spans) {
        (span.batch, span.span_idx) = (batch, idx);
    }
    filled
}

/// What is held of a trace that waits: its spans, cut out of the requests they came in, with their
/// bytes where these are in memory. Bytes that are away stay there; such spans come last, in order of
/// their requests. Leases go along; the second value tells whether every span has one.
pub fn cut_out(spans: &[Placed]) -> (Vec<Placed>, bool) {
    let mut here = Gathered::for_spans(spans);
    let mut away: Vec<(&Arc<Batch>, Gathered)> = Vec::new();
    // By address, which reaches no output.
    let mut known: FxHashMap<usize, usize> = FxHashMap::default();
    let mut is_leased = true;
    for (batch, idx) in spans {
        is_leased &= batch.lease.is_some();
        let raw = batch.spans[*idx as usize].raw;
        if !raw.is_away() {
            here.add(batch, *idx, Some(raw.of(&batch.bytes)));
            continue;
        }
        let at = *known.entry(Arc::as_ptr(batch).addr()).or_insert(away.len());
        if at == away.len() {
            away.push((batch, Gathered::default()));
        }
        away[at].1.add(batch, *idx, None);
    }
    let mut out: Vec<Placed> = Vec::with_capacity(spans.len());
    let mut add = |batch: Batch| {
        let n = batch.spans.len() as u32;
        let batch = Arc::new(batch);
        out.extend((0..n).map(|idx| (Arc::clone(&batch), idx)));
    };
    if !here.spans.is_empty() {
        add(here.finish());
    }
    for (source, gathered) in away {
        let (lease, is_stored) = (source.lease.clone(), true);
        add(Batch { lease, is_stored, ..gathered.finish() });
    }
    (out, is_leased)
}

/// A copy of spans whose bytes are in memory, without their leases: the log may free them.
pub fn copy_of(spans: &[Placed]) -> Vec<Placed> {
    let mut gathered = Gathered::for_spans(spans);
    for (batch, idx) in spans {
        let raw = batch.spans[*idx as usize].raw;
        gathered.add(batch, *idx, Some(raw.of(&batch.bytes)));
    }
    let batch = Arc::new(Batch { lease: None, ..gathered.finish() });
    (0..batch.spans.len() as u32).map(|idx| (Arc::clone(&batch), idx)).collect()
}

/// Bytes that spans hold on the heap, each request once.
pub fn heap_bytes(spans: &[Placed]) -> u64 {
    let mut n_bytes = size_of_val(spans) as u64;
    let mut last: Option<&Arc<Batch>> = None;
    for (batch, _) in spans {
        if last.is_none_or(|last| !Arc::ptr_eq(last, batch)) {
            n_bytes += batch.heap_bytes() + size_of::<Batch>() as u64;
            last = Some(batch);
        }
    }
    n_bytes
}

/// The leases of a request that was put together from others.
#[derive(Debug)]
pub struct Leases(pub Vec<Arc<dyn Any + Send + Sync>>);

/// A request under construction, of spans from many.
#[derive(Debug, Default)]
struct Gathered {
    contexts: Contexts,
    spans: Vec<SpanHead>,
    resources: Vec<ResourceHead>,
    scopes: Vec<ScopeHead>,
    /// By the address of the request they stand in; addresses reach no output.
    resource_of: FxHashMap<(usize, u32), u32>,
    scope_of: FxHashMap<(usize, u32), u32>,
    leases: Vec<Arc<dyn Any + Send + Sync>>,
    /// Address of the request of the last span.
    last: usize,
    /// Resource and scope of the last span, there and here.
    last_resource: Option<(u32, u32)>,
    last_scope: Option<(u32, u32)>,
}

/// What surrounds the spans of a trace, at a guess.
const CONTEXTS_BYTES: usize = 512;

impl Gathered {
    /// With room for these spans and those of their bytes that are in memory.
    fn for_spans(spans: &[Placed]) -> Self {
        let mut gathered = Self::default();
        let raw = |(batch, idx): &Placed| batch.spans[*idx as usize].raw;
        let here = spans.iter().map(raw).filter(|raw| !raw.is_away());
        let n_bytes: usize = here.map(|raw| raw.len as usize).sum();
        gathered.contexts.bytes.reserve_exact(n_bytes + CONTEXTS_BYTES);
        gathered.spans.reserve_exact(spans.len());
        gathered
    }

    /// Adds a span with these bytes, or one whose bytes stay away.
    fn add(&mut self, batch: &Arc<Batch>, idx: u32, raw: Option<&[u8]>) {
        let mut head = batch.spans[idx as usize];
        let address = Arc::as_ptr(batch).addr();
        if self.last != address {
            self.last = address;
            self.leases.extend(batch.lease.clone());
            (self.last_resource, self.last_scope) = (None, None);
        }
        head.resource_idx = self.resource(batch, head.resource_idx);
        head.scope_idx = self.scope(batch, head.scope_idx);
        let (from, name) = (head.raw.home().start, head.name.home());
        if let Some(bytes) = raw {
            head.raw = self.contexts.push(bytes);
            let offset = name.start.checked_sub(from).filter(|_| !name.is_empty());
            let moved = |offset| ByteRange { start: head.raw.start + offset, len: name.len };
            head.name = offset.map(moved).unwrap_or_default();
        } else {
            (head.raw, head.name) = (head.raw.away(), head.name.away());
        }
        self.spans.push(head);
    }

    fn resource(&mut self, batch: &Arc<Batch>, idx: u32) -> u32 {
        if let Some((_, here)) = self.last_resource.filter(|(there, _)| *there == idx) {
            return here;
        }
        let here = *self.resource_of.entry((Arc::as_ptr(batch).addr(), idx)).or_insert_with(|| {
            let resource = batch.resources.get(idx as usize).copied().unwrap_or_default();
            self.resources.push(self.contexts.resource(&batch.bytes, resource));
            self.resources.len() as u32 - 1
        });
        self.last_resource = Some((idx, here));
        here
    }

    fn scope(&mut self, batch: &Arc<Batch>, idx: u32) -> u32 {
        if let Some((_, here)) = self.last_scope.filter(|(there, _)| *there == idx) {
            return here;
        }
        let here = *self.scope_of.entry((Arc::as_ptr(batch).addr(), idx)).or_insert_with(|| {
            let scope = batch.scopes.get(idx as usize).copied().unwrap_or_default();
            self.scopes.push(self.contexts.scope(&batch.bytes, scope));
            self.scopes.len() as u32 - 1
        });
        self.last_scope = Some((idx, here));
        here
    }

    /// The request. It holds the leases of all its spans came from.
    fn finish(mut self) -> Batch {
        let bytes = &mut self.contexts.bytes;
        if bytes.capacity() - bytes.len() > CONTEXTS_BYTES {
            bytes.shrink_to_fit();
        }
        if self.spans.len() < self.spans.capacity() {
            self.spans.shrink_to_fit();
        }
        Batch {
            bytes: self.contexts.bytes.into(),
            spans: self.spans,
            resources: self.resources,
            scopes: self.scopes,
            lease: (!self.leases.is_empty()).then(|| Arc::new(Leases(self.leases)) as Arc<_>),
            is_stored: false,
            homes: Vec::new(),
            sites_epoch: 0,
        }
    }
}

#[cfg(test)]
mod tests;
