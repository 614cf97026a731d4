//! Statistics and trends of inspected spans per call site (SCALE III-F): count, rate, error rate,
//! quantiles of the duration, and how the 95th percentile moves.
//!
//! A ring of time slices per call site, by arrival: the last [`SLICES`] slices of [`SLICE_S`]
//! seconds. All figures are weighted by adjusted counts, so head-sampled spans stand for those left
//! out. Spans with invalid times are not counted. Bounded by the number of call sites and by
//! [`SKETCH_BYTES_MAX`] for all sketches together; beyond it sketches stop growing and durations
//! outside of what they cover fall to their nearest end, which [`Stats::n_clipped`] counts.

mod sketch;

pub use sketch::{RELATIVE_ERROR, Sketch};
use spanwise_model::{CallSiteId, SiteStats, SpanHead, StatusCode, Timestamp};

/// Length of a slice in seconds.
pub const SLICE_S: u64 = 10;
/// Slices in the ring; the newer half is compared with the older for the trend.
pub const SLICES: usize = 6;
/// Memory all sketches may take together.
pub const SKETCH_BYTES_MAX: usize = 32 << 20;
/// Spans each half must have for a trend.
const TREND_SPANS_MIN: u64 = 20;
/// Largest trend shown; a ratio beyond it says no more.
const TREND_MAX: f64 = 1_000.0;

/// Statistics of all call sites. Cost of a span: two table look-ups, no allocation unless it is the
/// first of its call site or longer or shorter than any before.
#[derive(Clone, Debug, Default)]
pub struct Statistics {
    sites: Vec<Option<Box<Ring>>>,
    started: Option<Timestamp>,
    /// Number of the slice in which idle sketches were last looked for.
    ticked: u64,
    stats: Stats,
}

/// What was counted since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Spans observed.
    pub n_spans: u64,
    /// Spans not counted because of invalid times or because they have no call site.
    pub n_ignored: u64,
    /// Durations that fell to the end of a sketch because memory was used up.
    pub n_clipped: u64,
    /// Memory of all sketches in bytes.
    pub sketch_bytes: usize,
}

#[derive(Clone, Debug, Default)]
struct Ring {
    slices: [Slice; SLICES],
}

/// One time slice of one call site.
#[derive(Clone, Debug, Default)]
struct Slice {
    /// Number of the slice since the epoch; a slice of another number is empty.
    number: u64,
    n_spans: u64,
    durations: Sketch,
    errors: u64,
    count: u64,
}

/// Weights are counted in 1/65,536, so that sums are exact and merge in any order.
const WEIGHT_STEPS: f64 = 65_536.0;
/// A sampling probability of one in a million; see `rules::tally`.
const WEIGHT_MAX: f64 = 1_048_576.0;

impl Statistics {
    /// Counts a span that arrived at `now`.
    pub fn observe(&mut self, head: &SpanHead, now: Timestamp) {
        let (Some(duration_ns), false) = (head.duration_ns(), head.site == CallSiteId::UNSET)
        else {
            self.stats.n_ignored += 1;
            return;
        };
        self.started.get_or_insert(now);
        self.stats.n_spans += 1;
        let idx = head.site.idx();
        if idx >= self.sites.len() {
            self.sites.resize(idx + 1, None);
        }
        let ring = self.sites[idx].get_or_insert_default();
        let slice = ring.at(slice_number(now));
        let weight = head.adjusted_count().min(WEIGHT_MAX);
        slice.n_spans += 1;
        let steps = (weight * WEIGHT_STEPS) as u64;
        slice.count = slice.count.saturating_add(steps);
        if head.status == StatusCode::Error {
            slice.errors = slice.errors.saturating_add(steps);
        }
        let room = SKETCH_BYTES_MAX.saturating_sub(self.stats.sketch_bytes);
        let added = slice.durations.add(duration_ns, weight, room);
        self.stats.sketch_bytes += added.bytes;
        self.stats.n_clipped += u64::from(added.clipped);
    }

    /// Statistics of one call site over the last minute, if it sent spans in it.
    pub fn site(&self, site: CallSiteId, now: Timestamp) -> Option<SiteStats> {
        let ring = self.sites.get(site.idx())?.as_deref()?;
        ring.summary(site, self.seconds(now), slice_number(now))
    }

    /// Appends the statistics of every call site that sent spans in the last minute, by id.
    pub fn snapshot(&self, now: Timestamp, out: &mut Vec<SiteStats>) {
        let ids = (0..).map(CallSiteId);
        out.extend(ids.zip(&self.sites).filter_map(|(site, ring)| {
            ring.as_deref()?.summary(site, self.seconds(now), slice_number(now))
        }));
    }

    /// Adds what others have counted of a site, which has another number there: the sum has counted what
    /// both have.
    pub fn absorb(&mut self, (other, theirs): (&Self, CallSiteId), site: CallSiteId) {
        self.started = match (self.started, other.started) {
            (Some(ours), Some(theirs)) => Some(ours.min(theirs)),
            (ours, theirs) => ours.or(theirs),
        };
        let Some(Some(ring)) = other.sites.get(theirs.idx()) else { return };
        let idx = site.idx();
        if idx >= self.sites.len() {
            self.sites.resize(idx + 1, None);
        }
        let sum = self.sites[idx].get_or_insert_default();
        for slice in &ring.slices {
            let ours = &mut sum.slices[(slice.number % SLICES as u64) as usize];
            if slice.number > ours.number {
                ours.restart(slice.number);
            }
            if slice.number == ours.number {
                ours.merge(slice);
            }
        }
    }

    /// Frees the sketches of call sites that sent nothing for a whole ring. Call it about once a
    /// second; it works once per slice.
    pub fn tick(&mut self, now: Timestamp) {
        let newest = slice_number(now);
        if newest == self.ticked {
            return;
        }
        self.ticked = newest;
        let oldest = newest.saturating_sub(SLICES as u64 - 1);
        for ring in self.sites.iter_mut().flatten() {
            if ring.slices.iter().all(|slice| slice.number < oldest) {
                let freed = std::mem::take(&mut **ring).heap_bytes();
                self.stats.sketch_bytes -= freed;
            }
        }
    }

    /// Forgets a retired call site.
    pub fn forget(&mut self, site: CallSiteId) {
        if let Some(ring) = self.sites.get_mut(site.idx()).and_then(Option::take) {
            self.stats.sketch_bytes -= ring.heap_bytes();
        }
    }

    /// What was counted since the start.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// Seconds the ring covers: less than a minute after the start, at least one.
    fn seconds(&self, now: Timestamp) -> f64 {
        let ring_s = (SLICES as u64 - 1) * SLICE_S + now.as_secs() % SLICE_S;
        let since = self.started.map_or(0, |started| now.since(started));
        (since as f64 / 1e9).min(ring_s as f64).max(1.0)
    }
}

impl Ring {
    /// The slice of a number, emptied if it last held an older one.
    fn at(&mut self, number: u64) -> &mut Slice {
        let slice = &mut self.slices[(number % SLICES as u64) as usize];
        if slice.number != number {
            slice.restart(number);
        }
        slice
    }

    fn heap_bytes(&self) -> usize {
        self.slices.iter().map(|slice| slice.durations.heap_bytes()).sum()
    }

    fn summary(&self, site: CallSiteId, seconds: f64, newest: u64) -> Option<SiteStats> {
        let oldest = newest.saturating_sub(SLICES as u64 - 1);
        let (mut older, mut newer) = (Slice::default(), Slice::default());
        for slice in self.slices.iter().filter(|s| (oldest..=newest).contains(&s.number)) {
            let is_newer = newest - slice.number < SLICES as u64 / 2;
            if is_newer { newer.merge(slice) } else { older.merge(slice) }
        }
        let trend = trend(&older, &newer);
        let mut all = older;
        all.merge(&newer);
        if all.n_spans == 0 {
            return None;
        }
        let count = all.count as f64 / WEIGHT_STEPS;
        Some(SiteStats {
            site,
            count,
            rate: count / seconds,
            error_rate: all.errors as f64 / all.count.max(1) as f64,
            p50_ns: all.durations.quantile(0.5),
            p95_ns: all.durations.quantile(0.95),
            p99_ns: all.durations.quantile(0.99),
            trend,
        })
    }
}

impl Slice {
    fn restart(&mut self, number: u64) {
        self.number = number;
        self.n_spans = 0;
        self.errors = 0;
        self.count = 0;
        self.durations.clear();
    }

    fn merge(&mut self, other: &Self) {
        self.n_spans += other.n_spans;
        self.errors = self.errors.saturating_add(other.errors);
        self.count = self.count.saturating_add(other.count);
        self.durations.merge(&other.durations);
    }
}

/// p95 of the newer half over p95 of the older; 1 while one of them has too few spans.
fn trend(older: &Slice, newer: &Slice) -> f64 {
    if older.n_spans < TREND_SPANS_MIN || newer.n_spans < TREND_SPANS_MIN {
        return 1.0;
    }
    let (before, after) = (older.durations.quantile(0.95), newer.durations.quantile(0.95));
    (after.max(1) as f64 / before.max(1) as f64).clamp(1.0 / TREND_MAX, TREND_MAX)
}

fn slice_number(now: Timestamp) -> u64 {
    now.as_secs() / SLICE_S
}

#[cfg(test)]
mod tests;
