//! Everything a file says about a window.

use spanwise_model::SpanKind;

use super::bins::Bins;
use super::calibration::Quantiles;
use super::codes::Layout;
use super::coordinates::Reference;
use super::coupling::Coupling;
use super::domain::{Datum, Key};
use super::topology::Topology;
use super::tree::Tree;

/// The bucket of time: 60 s, or so many of them that there are not more than 2^16 buckets.
pub(crate) const BUCKET_NS: u64 = 60_000_000_000;
/// A code of a target that says "as before in this trace".
pub(crate) const COPY: u16 = 1;
/// What is added to a column's code to make its target; 0 is absent, 1 is [`COPY`].
pub(crate) const TARGET: u16 = 1;

/// A call site: service, span name, kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) service: u32,
    pub(crate) name: Vec<u8>,
    pub(crate) kind: SpanKind,
}

/// A resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resource {
    pub(crate) service: u32,
    pub(crate) attributes: Vec<(Vec<u8>, Datum)>,
}

/// The conditionals of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Conditionals {
    /// One for the resource, then one for each key of the node.
    pub(crate) columns: Vec<Tree>,
    /// None for nodes that are always roots.
    pub(crate) gap: Option<Tree>,
    pub(crate) tail: Tree,
    /// What gaps and tails go with inside a leaf.
    pub(crate) gap_coupling: Coupling,
    pub(crate) tail_coupling: Coupling,
}

/// A fitted window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Model {
    /// Start of the first bucket.
    pub(crate) begin_ns: u64,
    pub(crate) bucket_ns: u64,
    /// Long times without traces: how many buckets are left out before a bucket, ascending.
    pub(crate) pauses: Vec<(u16, u32)>,
    /// Where in the first and in the last bucket traces start: before the first of these parts of 256, and
    /// behind the last, there are none.
    pub(crate) ends: [u8; 2],
    /// Traces of each bucket.
    pub(crate) per_bucket: Vec<u32>,
    pub(crate) services: Vec<Vec<u8>>,
    pub(crate) sites: Vec<Site>,
    /// Ordered by service.
    pub(crate) resources: Vec<Resource>,
    pub(crate) keys: Vec<Key>,
    pub(crate) layout: Layout,
    pub(crate) topology: Topology,
    /// Traces of each shape that are drawn; 0 for shapes that occur in pairs alone.
    pub(crate) drawn: Vec<u32>,
    /// (Label, bucket) of the traces that are stored one by one, ascending.
    pub(crate) pairs: Vec<(u32, u16)>,
    /// One for each edge of the topology.
    pub(crate) references: Vec<Reference>,
    /// Bins of gap and tail of each node; of the duration of each entry node.
    pub(crate) gaps: Vec<Bins>,
    pub(crate) tails: Vec<Bins>,
    pub(crate) durations: Vec<Bins>,
    /// Durations of each node's spans that are no roots.
    pub(crate) quantiles: Vec<Quantiles>,
    /// Shape given bucket; duration.
    pub(crate) shape: Option<Tree>,
    pub(crate) duration: Option<Tree>,
    pub(crate) nodes: Vec<Conditionals>,
}

/// Attributes and resources of all spans that a window may have: what generating holds of each is
/// eleven bytes.
pub(crate) const N_SLOTS_MAX: u64 = 1 << 26;

impl Model {
    /// Attributes and resources of all spans.
    pub(crate) fn n_slots(&self) -> u64 {
        let spans = |label: u32| -> u64 {
            let spans = self.topology.spans(label).spans.iter();
            spans.map(|span| u64::from(self.layout.n_slots(span.0))).sum()
        };
        let drawn = self.drawn.iter().enumerate().filter(|shape| *shape.1 > 0);
        let n_drawn: u64 =
            drawn.map(|(shape, &n)| spans(shape as u32).saturating_mul(u64::from(n))).sum();
        let mut labels = self.pairs.chunk_by(|a, b| a.0 == b.0);
        let n_pairs: u64 = labels.by_ref().map(|of| spans(of[0].0) * of.len() as u64).sum();
        n_drawn.saturating_add(n_pairs)
    }

    pub(crate) fn service_of(&self) -> Vec<u32> {
        self.sites.iter().map(|site| site.service).collect()
    }

    /// Numbers of the resources of a service.
    pub(crate) fn resources_of(&self, service: u32) -> std::ops::Range<usize> {
        let from = self.resources.partition_point(|resource| resource.service < service);
        let to = self.resources.partition_point(|resource| resource.service <= service);
        from..to
    }

    /// From when and how long traces of a bucket start.
    pub(crate) fn bucket_times(&self, bucket: u16) -> (u64, u64) {
        let part = |of: u64| (u128::from(self.bucket_ns) * u128::from(of) / 256) as u64;
        let is_last = u32::from(bucket) + 1 >= self.n_buckets();
        let from = if bucket == 0 { part(self.ends[0].into()) } else { 0 };
        let to = if is_last { part(u64::from(self.ends[1]) + 1) } else { self.bucket_ns };
        (self.bucket_start_ns(bucket).saturating_add(from), to.saturating_sub(from))
    }

    fn bucket_start_ns(&self, bucket: u16) -> u64 {
        let before = self.pauses.iter().take_while(|pause| pause.0 <= bucket);
        let left_out: u64 = before.map(|pause| u64::from(pause.1)).sum();
        let n = left_out.saturating_add(u64::from(bucket));
        self.begin_ns.saturating_add(n.saturating_mul(self.bucket_ns))
    }

    pub(crate) fn n_buckets(&self) -> u32 {
        self.per_bucket.len() as u32
    }
}
