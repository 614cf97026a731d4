//! A span as the stages see it: a fixed-size [`SpanHead`] over raw bytes that are never decoded
//! into structs. One received request is one immutable [`Batch`].
//!
//! Why not decoded structs: walking the fixed fields of a span costs about a tenth of
//! materialising it, and what is kept is forwarded byte for byte anyway.

use std::any::Any;
use std::sync::Arc;

use bytes::Bytes;

use crate::ids::{SpanId, TraceId};
use crate::kind::{SpanKind, StatusCode};
use crate::name::{CallSiteId, ServiceId};
use crate::time::Timestamp;

/// The longest duration that is judged: 24 h. Anything longer is `invalid_time`.
pub const MAX_DURATION_NS: u64 = 24 * 3600 * 1_000_000_000;

/// What a service is called that does not say its name (OpenTelemetry's default).
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Where a piece of a batch lies in [`Batch::bytes`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ByteRange {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

/// Facts about a span in one byte of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SpanFlags(pub u8);

/// The fixed fields of one span. Plain data, at most 128 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpanHead {
    /// Trace id, never all-zero.
    pub trace_id: TraceId,
    /// Span id, never all-zero.
    pub span_id: SpanId,
    /// Parent span id; all-zero for a root.
    pub parent_id: SpanId,
    /// Start, as sent.
    pub start: Timestamp,
    /// End, as sent.
    pub end: Timestamp,
    /// Rejection threshold T of `ot=th`, out of 2^56; 0 = every span was sampled.
    pub threshold: u64,
    /// The payload of the `Span` message.
    pub raw: ByteRange,
    /// The span's name inside the batch.
    pub name: ByteRange,
    /// Index into [`Batch::resources`].
    pub resource_idx: u32,
    /// Index into [`Batch::scopes`].
    pub scope_idx: u32,
    /// The call site; [`CallSiteId::UNSET`] until the application has interned it.
    pub site: CallSiteId,
    /// The service of the call site; [`ServiceId::UNSET`] until the application has interned it.
    pub service: ServiceId,
    /// Span kind.
    pub kind: SpanKind,
    /// Status code.
    pub status: StatusCode,
    /// Facts the walk found on the way.
    pub flags: SpanFlags,
}

/// What is read from a resource once per request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceHead {
    /// The payload of the `Resource` message; empty if the spans came without one.
    pub raw: ByteRange,
    /// Value of `service.name`; empty means `unknown_service`.
    pub service: ByteRange,
    /// Value of `service.instance.id`, else `k8s.pod.name`, else `host.name`; empty if none is set.
    pub instance: ByteRange,
    /// `schema_url` of the enclosing `ResourceSpans`.
    pub schema_url: ByteRange,
    /// Value of `service.version`; empty if it is not set.
    pub version: ByteRange,
    /// Whether it says `trace.synthetic = true`: its spans were not measured but generated.
    pub is_synthetic: bool,
}

/// An instrumentation scope of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ScopeHead {
    /// The payload of the `InstrumentationScope` message; empty if absent.
    pub raw: ByteRange,
    /// `schema_url` of the enclosing `ScopeSpans`.
    pub schema_url: ByteRange,
}

/// One received request: its bytes and the heads that point into them. Immutable once shared.
///
/// `bytes` may be empty for spans that come from columns rather than from the wire; then every
/// range is empty and only the interned `site` names the span.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The decompressed protobuf request, or nothing.
    pub bytes: Bytes,
    /// Spans in request order.
    pub spans: Vec<SpanHead>,
    /// Resources, in the order they appear.
    pub resources: Vec<ResourceHead>,
    /// Scopes, in the order they appear.
    pub scopes: Vec<ScopeHead>,
    /// Dropped with the batch: whoever must know when nobody holds it any more puts something here.
    pub lease: Option<Arc<dyn Any + Send + Sync>>,
    /// Whether the bytes of spans stand elsewhere too, for whoever holds the lease: then they may be
    /// [let go](Batch::lighten).
    pub is_stored: bool,
    /// Where they stand there, by span: the first byte of each. Empty where `bytes` are what is stored,
    /// exactly as they are; parts of a larger request have them.
    pub homes: Vec<u32>,
    /// Epoch of the dictionary in which call sites were looked up before the batch queued; 0 = none
    /// were. In another epoch they say nothing.
    pub sites_epoch: u64,
}

/// A span inside a shared batch.
#[derive(Clone, Copy, Debug)]
pub struct SpanRef<'a> {
    /// The batch.
    pub batch: &'a Arc<Batch>,
    /// Position in [`Batch::spans`].
    pub span_idx: u32,
}

impl ByteRange {
    /// Set in `start` while the bytes are not in memory. A request is far smaller.
    const AWAY: u32 = 1 << 31;

    /// Whether the bytes were [let go](Batch::lighten); then [`ByteRange::of`] finds nothing.
    pub const fn is_away(self) -> bool {
        self.start & Self::AWAY != 0
    }

    /// Where the bytes stand in the request as it is stored, if they are away; else the range itself.
    #[must_use]
    pub const fn home(self) -> Self {
        Self { start: self.start & !Self::AWAY, len: self.len }
    }

    /// The same range, to be found outside of memory.
    #[must_use]
    pub const fn away(self) -> Self {
        Self { start: self.start | Self::AWAY, len: self.len }
    }

    /// Whether the range holds nothing.
    pub const fn is_empty(self) -> bool {
        self.len == 0
    }

    /// The bytes of this range; empty if the range lies outside `bytes`.
    pub fn of(self, bytes: &[u8]) -> &[u8] {
        let start = self.start as usize;
        bytes.get(start..start + self.len as usize).unwrap_or_default()
    }
}

impl SpanFlags {
    /// start = 0, end < start, or longer than [`MAX_DURATION_NS`]: never judged, never a trigger.
    pub const INVALID_TIME: Self = Self(1);
    /// Has at least one event.
    pub const HAS_EVENTS: Self = Self(2);
    /// Has at least one link.
    pub const HAS_LINKS: Self = Self(4);
    /// The name was empty or its call site fell into the overflow key.
    pub const OVERFLOW_SITE: Self = Self(8);
    /// A streaming or long-lived call (gRPC stream, WebSocket, server-sent events).
    pub const STREAMING: Self = Self(16);
    /// Its `tracestate` states the randomness that sampling by chance goes by (`rv` of `ot`).
    pub const STATED_RANDOMNESS: Self = Self(32);

    /// Whether all bits of `other` are set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Sets the bits of `other`.
    pub const fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

impl SpanHead {
    /// D = end - start in nanoseconds (SCALE eq. 1), or `None` if the times are invalid: start is 0,
    /// the end lies before the start, or the duration exceeds [`MAX_DURATION_NS`].
    pub const fn duration_ns(&self) -> Option<u64> {
        if self.start.0 == 0 {
            return None;
        }
        match self.end.0.checked_sub(self.start.0) {
            Some(d) if d <= MAX_DURATION_NS => Some(d),
            _ => None,
        }
    }

    /// How many spans this one stands for under head sampling: 2^56 / (2^56 - T), 1 without `ot=th`.
    pub fn adjusted_count(&self) -> f64 {
        const FULL: u64 = 1 << 56;
        if self.threshold == 0 || self.threshold >= FULL {
            return 1.0;
        }
        FULL as f64 / (FULL - self.threshold) as f64
    }

    /// Whether the span names no parent.
    pub fn is_root(&self) -> bool {
        self.parent_id.is_zero()
    }
}

impl Batch {
    /// The service name of a span, `unknown_service` if its resource has none or is not UTF-8.
    pub fn service(&self, span: &SpanHead) -> &str {
        std::str::from_utf8(self.service_bytes(span)).unwrap_or(UNKNOWN_SERVICE)
    }

    /// As [`Batch::service`], without looking at the characters.
    pub fn service_bytes(&self, span: &SpanHead) -> &[u8] {
        let resource = self.resources.get(span.resource_idx as usize);
        match resource.map(|r| r.service.of(&self.bytes)) {
            None | Some([]) => UNKNOWN_SERVICE.as_bytes(),
            Some(bytes) => bytes,
        }
    }

    /// The span's name as sent; empty if it is not UTF-8 (the walk has checked that it is).
    pub fn name(&self, span: &SpanHead) -> &str {
        std::str::from_utf8(span.name.of(&self.bytes)).unwrap_or_default()
    }

    /// The instance id of a span's resource, empty if it has none.
    pub fn instance(&self, span: &SpanHead) -> &[u8] {
        let resource = self.resources.get(span.resource_idx as usize);
        resource.map_or(&[], |r| r.instance.of(&self.bytes))
    }

    /// Whether a span was not measured but generated.
    pub fn is_synthetic(&self, span: &SpanHead) -> bool {
        self.resources.get(span.resource_idx as usize).is_some_and(|r| r.is_synthetic)
    }

    /// Empties the batch; its tables keep their memory.
    pub fn clear(&mut self) {
        self.bytes = Bytes::new();
        self.lease = None;
        self.is_stored = false;
        self.homes.clear();
        self.sites_epoch = 0;
        self.spans.clear();
        self.resources.clear();
        self.scopes.clear();
    }

    /// Gives tables back that are more than twice as large as what is in them: whoever holds the
    /// batch pays for them.
    pub fn fit(&mut self) {
        let n_bytes = self.spans.len() * size_of::<SpanHead>()
            + self.resources.len() * size_of::<ResourceHead>()
            + self.scopes.len() * size_of::<ScopeHead>()
            + self.homes.len() * size_of::<u32>();
        if self.tables_bytes() > 2 * n_bytes {
            self.spans.shrink_to_fit();
            self.resources.shrink_to_fit();
            self.scopes.shrink_to_fit();
            self.homes.shrink_to_fit();
        }
    }

    /// Bytes this batch holds on the heap: what memory limits are charged with.
    pub fn heap_bytes(&self) -> u64 {
        (self.bytes.len() + self.tables_bytes()) as u64
    }

    fn tables_bytes(&self) -> usize {
        self.spans.capacity() * size_of::<SpanHead>()
            + self.resources.capacity() * size_of::<ResourceHead>()
            + self.scopes.capacity() * size_of::<ScopeHead>()
            + self.homes.capacity() * size_of::<u32>()
    }
}

impl<'a> SpanRef<'a> {
    /// The span's head. `span_idx` comes from the batch itself, so it is in range.
    pub fn head(&self) -> &'a SpanHead {
        &self.batch.spans[self.span_idx as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u64, end: u64) -> SpanHead {
        SpanHead { start: Timestamp(start), end: Timestamp(end), ..SpanHead::default() }
    }

    #[test]
    fn head_stays_within_its_budget() {
        assert!(size_of::<SpanHead>() <= 128, "{}", size_of::<SpanHead>());
    }

    #[test]
    fn absurd_times_have_no_duration() {
        assert_eq!(span(10, 30).duration_ns(), Some(20));
        assert_eq!(span(10, 10).duration_ns(), Some(0));
        assert_eq!(span(30, 10).duration_ns(), None);
        assert_eq!(span(0, 10).duration_ns(), None);
        assert_eq!(span(1, 2 + MAX_DURATION_NS).duration_ns(), None);
        assert_eq!(span(1, 1 + MAX_DURATION_NS).duration_ns(), Some(MAX_DURATION_NS));
    }

    #[test]
    fn adjusted_count_inverts_the_sampling_probability() {
        let mut s = span(1, 2);
        assert_eq!(s.adjusted_count().to_bits(), 1.0_f64.to_bits());
        s.threshold = 1 << 55;
        assert!((s.adjusted_count() - 2.0).abs() < 1e-12);
        s.threshold = u64::MAX;
        assert_eq!(s.adjusted_count().to_bits(), 1.0_f64.to_bits());
    }

    #[test]
    fn a_range_outside_the_bytes_is_empty() {
        let range = ByteRange { start: 3, len: 9 };
        assert_eq!(range.of(b"abc"), b"");
        assert_eq!(ByteRange { start: 1, len: 2 }.of(b"abc"), b"bc");
    }

    #[test]
    fn kinds_are_read_by_any_of_their_names() {
        assert_eq!(SpanKind::from_name("SPAN_KIND_SERVER"), Some(SpanKind::Server));
        assert_eq!(SpanKind::from_name("Client"), Some(SpanKind::Client));
        assert_eq!(SpanKind::from_name("nope"), None);
        assert_eq!(SpanKind::from_otlp(77), SpanKind::Unspecified);
    }
}
