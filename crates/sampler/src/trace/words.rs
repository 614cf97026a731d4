//! The bag of words of a trace, and how rare each word is.
//!
//! A word is a small fact about how a trace is built: a span has these distinct callees, one calls
//! another so many times, a call site failed, who calls whom is this all in all. How often a word
//! occurs is its *document frequency* df: traces that have it, fading by 0.9998 a trace (one growing
//! unit instead of touching every entry). Its rarity is log2((N + 1) / (df + 1/2)) bits, with N the
//! faded number of traces.
//!
//! Fragments (no root at the close) have no words about callees and shape: what is missing from
//! them may only be late. Call sites count by the number of their site, not by name: words mean
//! nothing in another process.

use rustc_hash::FxHashMap;
use spanwise_model::{CallSiteId, ClosedSpan, ClosedTrace, StatusCode};

use crate::bits::log2;

/// What is left of a document frequency one trace later: half of it 3,466 traces later.
const KEPT: f64 = 0.9998;
/// Words that are remembered; beyond, the rarer half is forgotten.
const N_WORDS_MAX: usize = 65_536;
/// The unit is brought back to 1 when it has grown so far.
const UNIT_MAX: f64 = 1e60;
/// No entry is known.
const NONE: u32 = u32::MAX;

/// What kind of fact a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordKind {
    /// Its distinct callees.
    Callees,
    /// How often it calls one callee, in powers of two.
    Repeats,
    /// Who calls whom how often, all of it.
    Shape,
    /// A span of it failed.
    Error,
}

/// A word: its hash and the call site it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) hash: u64,
    pub(super) site: CallSiteId,
}

/// Document frequencies.
#[derive(Clone, Debug)]
pub(super) struct Words {
    idx: FxHashMap<u64, u32>,
    entries: Vec<Entry>,
    /// By call site: entry of the word that it calls nobody, traces that have the site.
    sites: Vec<Site>,
    /// Faded number of traces, and what one trace counts now.
    total: f64,
    unit: f64,
    n_traces: u64,
    /// Words of the trace at hand.
    bag: Vec<Found>,
    pairs: Vec<u64>,
    is_parent: Vec<bool>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    word: Word,
    frequency: f64,
    /// Trace that had the word last, and where it stands in that bag.
    stamp: u64,
    place: u32,
}

#[derive(Clone, Copy, Debug)]
struct Site {
    leaf: u32,
    stamp: u64,
    frequency: f64,
}

/// A word of the trace at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) word: Word,
    entry: u32,
    pub(super) count: u32,
    /// Document frequency before this trace, in units.
    frequency: f64,
}

impl WordKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 4] = [Self::Callees, Self::Repeats, Self::Shape, Self::Error];

    /// The kind of a word by its hash.
    pub fn of(hash: u64) -> Option<Self> {
        Self::ALL.get((hash & 7) as usize).copied()
    }

    /// Lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Callees => "callees",
            Self::Repeats => "repeats",
            Self::Shape => "shape",
            Self::Error => "error",
        }
    }
}

impl Word {
    /// The last three bits of the hash name the kind.
    fn new(kind: WordKind, site: CallSiteId, rest: u64) -> Self {
        let hash = scattered((u64::from(site.0) << 3 | kind as u64) ^ rest.wrapping_mul(SPREAD));
        Self { hash: hash & !7 | kind as u64, site }
    }
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            idx: FxHashMap::default(),
            entries: Vec::new(),
            sites: Vec::new(),
            total: 0.0,
            unit: 1.0,
            n_traces: 0,
            bag: Vec::new(),
            pairs: Vec::new(),
            is_parent: Vec::new(),
        }
    }

    /// Reads the words of a trace; they stay until the next call. Nothing is learned of them.
    pub(super) fn read(&mut self, trace: &ClosedTrace) {
        self.bag.clear();
        self.n_traces += 1;
        if self.entries.len() >= N_WORDS_MAX {
            self.forget_rare();
        }
        let shape = self.read_calls(&trace.spans, trace.has_root);
        if let Some(root) = trace.spans.iter().find(|span| span.head().is_root()) {
            self.add(Word::new(WordKind::Shape, root.head().site, shape));
        }
        for span in &trace.spans {
            let head = span.head();
            if head.status == StatusCode::Error {
                self.add(Word::new(WordKind::Error, head.site, 0));
            }
        }
    }

    /// The words of the trace at hand.
    pub(super) fn bag(&self) -> &[Found] {
        &self.bag
    }

    /// How rare a word of the trace at hand was before it, in bits.
    pub(super) fn bits(&self, found: &Found) -> f32 {
        log2(((self.total + self.unit) / (found.frequency + 0.5 * self.unit)) as f32)
    }

    /// Counts the trace at hand.
    pub(super) fn learn(&mut self, trace: &ClosedTrace) {
        self.unit /= KEPT;
        self.total += self.unit;
        for found in &self.bag {
            self.entries[found.entry as usize].frequency += self.unit;
        }
        for span in &trace.spans {
            let (stamp, unit) = (self.n_traces, self.unit);
            if let Some(site) = self.site(span.head().site)
                && site.stamp != stamp
            {
                site.stamp = stamp;
                site.frequency += unit;
            }
        }
        if self.unit > UNIT_MAX {
            self.rescale();
        }
    }

    /// How rare failures of a call site are among the traces that have it, in bits.
    pub(super) fn error_bits(&self, site: CallSiteId) -> f32 {
        let idx = self.idx.get(&Word::new(WordKind::Error, site, 0).hash);
        let failed = idx.map_or(0.0, |idx| self.entries[*idx as usize].frequency) / self.unit;
        let all = self.sites.get(site.idx()).map_or(0.0, |site| site.frequency) / self.unit;
        log2(((all.max(failed) + 1.0) / (failed + 0.5)) as f32)
    }

    /// Callees and repetitions, from the pairs of caller and called site in order. Returns a hash of
    /// who calls whom how often.
    fn read_calls(&mut self, spans: &[ClosedSpan], has_root: bool) -> u64 {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.clear();
        self.is_parent.clear();
        self.is_parent.resize(spans.len(), false);
        for span in spans {
            // A negative position becomes one beyond the end.
            if let Some(is_parent) = self.is_parent.get_mut(span.parent as usize) {
                *is_parent = true;
                pairs.push((span.parent as u64) << 32 | u64::from(span.head().site.0));
            }
        }
        pairs.sort_unstable();
        let mut shape = 0_u64;
        for calls in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            let caller = spans[(calls[0] >> 32) as usize].head().site;
            let mut callees = 1_u64;
            for same in calls.chunk_by(|a, b| a == b) {
                let callee = same[0] & u64::from(u32::MAX);
                let call = scattered(u64::from(caller.0) << 32 | callee);
                callees = callees.wrapping_add(call);
                shape = shape.wrapping_add(call.wrapping_mul(same.len() as u64));
                let repeats = u64::from(same.len().ilog2());
                self.add(Word::new(WordKind::Repeats, caller, (callee << 8 | repeats) + 1));
            }
            if has_root {
                self.add(Word::new(WordKind::Callees, caller, callees));
            }
        }
        self.pairs = pairs;
        if has_root {
            for (idx, span) in spans.iter().enumerate() {
                if !self.is_parent[idx] {
                    self.add_leaf(span.head().site);
                }
            }
        }
        shape
    }

    /// Adds the word that a site calls nobody: the commonest of all, found without hashing.
    fn add_leaf(&mut self, id: CallSiteId) {
        let known = self.site(id).map_or(NONE, |site| site.leaf);
        if known != NONE {
            self.count(known);
            return;
        }
        let entry = self.add(Word::new(WordKind::Callees, id, 0));
        if let Some(site) = self.site(id) {
            site.leaf = entry;
        }
    }

    fn add(&mut self, word: Word) -> u32 {
        let next = self.entries.len() as u32;
        let idx = *self.idx.entry(word.hash).or_insert(next);
        if idx == next {
            self.entries.push(Entry { word, frequency: 0.0, stamp: 0, place: 0 });
        }
        self.count(idx);
        idx
    }

    #[inline]
    fn count(&mut self, idx: u32) {
        let entry = &mut self.entries[idx as usize];
        if entry.stamp == self.n_traces {
            self.bag[entry.place as usize].count += 1;
            return;
        }
        entry.stamp = self.n_traces;
        entry.place = self.bag.len() as u32;
        let Entry { word, frequency, .. } = *entry;
        self.bag.push(Found { word, entry: idx, count: 1, frequency });
    }

    /// What is known of a call site; `None` if it was never interned.
    fn site(&mut self, id: CallSiteId) -> Option<&mut Site> {
        if id == CallSiteId::UNSET {
            return None;
        }
        if self.sites.len() <= id.idx() {
            self.sites.resize(id.idx() + 1, Site { leaf: NONE, stamp: 0, frequency: 0.0 });
        }
        self.sites.get_mut(id.idx())
    }

    #[cold]
    fn rescale(&mut self) {
        let unit = self.unit;
        for entry in &mut self.entries {
            entry.frequency /= unit;
        }
        for site in &mut self.sites {
            site.frequency /= unit;
        }
        (self.total, self.unit) = (self.total / unit, 1.0);
    }

    #[cold]
    fn forget_rare(&mut self) {
        let n_kept = N_WORDS_MAX / 2;
        // Of equally rare words those seen last stay.
        self.entries.select_nth_unstable_by(n_kept, |a, b| {
            b.frequency.total_cmp(&a.frequency).then(b.stamp.cmp(&a.stamp))
        });
        self.entries.truncate(n_kept);
        self.idx.clear();
        let numbered = (0..).zip(&self.entries);
        self.idx.extend(numbered.map(|(idx, entry)| (entry.word.hash, idx)));
        for site in &mut self.sites {
            site.leaf = NONE;
        }
    }
}

/// 2^64 over the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// `SplitMix64`'s finish: every bit of the input moves every bit of the output.
#[inline]
pub(super) const fn scattered(n: u64) -> u64 {
    let n = n.wrapping_add(SPREAD);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use spanwise_model::{Batch, CloseReason, SpanHead, SpanId, Timestamp, TraceId};

    use super::*;

    /// A trace of (call site, position of the parent) a span.
    fn trace(spans: &[(u32, i32)]) -> ClosedTrace {
        let head = |&(site, parent): &(u32, i32)| {
            let parent_id = if parent < 0 { SpanId::default() } else { SpanId([1; 8]) };
            SpanHead { site: CallSiteId(site), parent_id, ..SpanHead::default() }
        };
        let batch = Arc::new(Batch { spans: spans.iter().map(head).collect(), ..Batch::default() });
        let span = |(span_idx, &(_, parent)): (u32, &(u32, i32))| ClosedSpan {
            batch: Arc::clone(&batch),
            span_idx,
            parent,
            self_ns: 0,
            own_ns: 0,
            gap_ns: None,
            kept_early: false,
        };
        ClosedTrace {
            trace_id: TraceId([1; 16]),
            reason: CloseReason::RootEnded,
            closed_at: Timestamp::default(),
            overflowed: false,
            has_root: spans.iter().any(|(_, parent)| *parent < 0),
            spans: (0..).zip(spans).map(span).collect(),
        }
    }

    fn hashes(words: &mut Words, spans: &[(u32, i32)]) -> Vec<u64> {
        words.read(&trace(spans));
        let mut hashes: Vec<u64> = words.bag().iter().map(|found| found.word.hash).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn words_do_not_depend_on_the_order_of_spans() {
        let mut words = Words::new();
        let one = hashes(&mut words, &[(1, -1), (2, 0), (3, 0), (2, 0), (4, 1)]);
        let other = hashes(&mut words, &[(4, 4), (3, 2), (1, -1), (2, 2), (2, 2)]);
        assert_eq!(one, other);
        // Callees of 1, of 2 with and without, of 3 and 4; 1 calls 2 twice, 3 once, 2 calls 4; shape.
        assert_eq!(one.len(), 9);
    }

    #[test]
    fn whatever_changes_about_calls_changes_a_word() {
        let mut words = Words::new();
        let usual = [(1, -1), (2, 0), (3, 0)];
        let base = hashes(&mut words, &usual);
        for other in [
            &[(1, -1), (2, 0)][..],
            &[(1, -1), (2, 0), (3, 0), (3, 0)],
            &[(1, -1), (2, 0), (3, 1)],
            &[(1, -1), (2, 0), (9, 0)],
        ] {
            assert_ne!(hashes(&mut words, other), base, "{other:?}");
        }
        assert_eq!(hashes(&mut words, &usual), base);
    }

    #[test]
    fn fragments_say_nothing_of_callees_and_shape() {
        let mut words = Words::new();
        words.read(&trace(&[(1, 5), (2, 0), (2, 0)]));
        let kinds: Vec<_> = words.bag().iter().map(|found| WordKind::of(found.word.hash)).collect();
        assert_eq!(kinds, [Some(WordKind::Repeats)]);
    }

    #[test]
    fn rarity_is_that_of_the_faded_document_frequency() {
        let mut words = Words::new();
        let (usual, rare) = (trace(&[(1, -1)]), trace(&[(2, -1)]));
        for _ in 0..1000 {
            words.read(&usual);
            words.learn(&usual);
        }
        words.read(&rare);
        let bits: Vec<f32> = words.bag().iter().map(|found| words.bits(found)).collect();
        // About log2(906 / 0.5).
        assert!(bits.iter().all(|bits| (bits - 10.8).abs() < 0.1), "{bits:?}");
        words.read(&usual);
        assert!(words.bag().iter().all(|found| words.bits(found).abs() < 0.01));
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_leaves_the_known_words_alone() {
        let mut words = Words::new();
        let known = trace(&[(1, -1), (2, 0)]);
        for _ in 0..5000 {
            words.read(&known);
            words.learn(&known);
        }
        let bits = |words: &mut Words| {
            words.read(&known);
            words.bag().iter().map(|found| words.bits(found)).fold(0.0, f32::max)
        };
        let before = bits(&mut words);
        for site in 0..100_000 {
            let flood = trace(&[(10 + site % 5, -1), (100 + site, 0)]);
            words.read(&flood);
            if site % 10 == 0 {
                words.learn(&flood);
                words.read(&known);
                words.learn(&known);
            }
            assert!(words.entries.len() <= N_WORDS_MAX + 8);
        }
        assert!((bits(&mut words) - before).abs() < 1.1, "{before} {}", bits(&mut words));
    }
}
