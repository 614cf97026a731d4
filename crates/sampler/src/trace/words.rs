//! The bag of words of a trace, and how rare each word is.
//!
//! A word is a small fact about how a trace is built: a call site is in it, a call site failed, a
//! span has these distinct callees, calls that one so many times, the root is this and the trace so
//! large. How often a word occurs is its *document frequency* df: traces that have it, fading by
//! 0.9998 a trace (one growing unit instead of touching every entry). The rarity of a trace is that
//! of its rarest word, log2((N + 1) / (df + 1/2)) bits with N the faded number of traces.
//!
//! Fragments (no root at the close) have no words about callees and size: what is missing from them
//! may only be late.

use rustc_hash::FxHashMap;
use spanwise_model::{CallSiteId, ClosedSpan, ClosedTrace, StatusCode};

use crate::bits::log2;

/// What is left of a document frequency one trace later: half of it 3,466 traces later.
const KEPT: f64 = 0.9998;
/// Words that are remembered; beyond, the rarer half is forgotten.
const N_WORDS_MAX: usize = 65_536;
/// The unit is brought back to 1 when it has grown so far.
const UNIT_MAX: f64 = 1e60;

/// What kind of fact a word is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WordKind {
    /// A call site occurs.
    Site,
    /// A span of it failed.
    Error,
    /// A span of it was slow.
    Slow,
    /// Its distinct callees.
    Callees,
    /// How often it calls one callee, in powers of two.
    Repeats,
    /// What the root is and how large the trace, in half powers of two.
    Entry,
    /// Who calls whom how often, all of it.
    Shape,
}

/// A word, by its hash and what it says.
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
    /// Faded number of traces, and what one trace counts now.
    total: f64,
    unit: f64,
    n_traces: u64,
    /// Words of the trace at hand: entry and count.
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

/// A word of the trace at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) word: Word,
    entry: u32,
    pub(super) count: u32,
    /// log2((N + 1) / (df + 1/2)) before this trace.
    pub(super) bits: f32,
}

impl WordKind {
    /// Every kind, in the order of their numbers.
    pub const ALL: [Self; 7] = [
        Self::Site,
        Self::Error,
        Self::Slow,
        Self::Callees,
        Self::Repeats,
        Self::Entry,
        Self::Shape,
    ];

    /// The kind of a word by its hash.
    pub fn of(hash: u64) -> Option<Self> {
        Self::ALL.get((hash & 7) as usize).copied()
    }

    /// Lower-case name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Error => "error",
            Self::Slow => "slow",
            Self::Callees => "callees",
            Self::Repeats => "repeats",
            Self::Entry => "entry",
            Self::Shape => "shape",
        }
    }
}

impl Word {
    /// The last three bits of the hash name the kind.
    fn new(kind: WordKind, site: CallSiteId, rest: u64) -> Self {
        let hash = scattered(scattered(u64::from(site.0) << 3 | kind as u64).wrapping_add(rest));
        Self { hash: hash & !7 | kind as u64, site }
    }
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            idx: FxHashMap::default(),
            entries: Vec::new(),
            total: 0.0,
            unit: 1.0,
            n_traces: 0,
            bag: Vec::new(),
            pairs: Vec::new(),
            is_parent: Vec::new(),
        }
    }

    /// Reads the words of a trace; they stay until the next call. Nothing is learned of them.
    pub(super) fn read(&mut self, trace: &ClosedTrace) -> &[Found] {
        self.bag.clear();
        self.n_traces += 1;
        if self.entries.len() >= N_WORDS_MAX {
            self.forget_rare();
        }
        for span in &trace.spans {
            let head = span.head();
            self.add(Word::new(WordKind::Site, head.site, 0));
            if head.status == StatusCode::Error {
                self.add(Word::new(WordKind::Error, head.site, 0));
            }
        }
        let shape = self.read_calls(&trace.spans, trace.has_root);
        if trace.has_root
            && let Some(root) = trace.spans.iter().find(|span| span.head().is_root())
        {
            let (size, site) = ((2.0 * log2(trace.spans.len() as f32)) as u64, root.head().site);
            self.add(Word::new(WordKind::Entry, site, 1 + size));
            self.add(Word::new(WordKind::Shape, site, shape));
        }
        &self.bag
    }

    /// Adds a word that says that a call site was slow, to one of a few degrees.
    pub(super) fn add_slow(&mut self, site: CallSiteId, degree: u32) {
        self.add(Word::new(WordKind::Slow, site, u64::from(degree)));
    }

    /// The words of the trace at hand.
    pub(super) fn bag(&self) -> &[Found] {
        &self.bag
    }

    /// Counts the trace at hand.
    pub(super) fn learn(&mut self) {
        self.unit /= KEPT;
        self.total += self.unit;
        for found in &self.bag {
            self.entries[found.entry as usize].frequency += self.unit;
        }
        if self.unit > UNIT_MAX {
            let unit = self.unit;
            for entry in &mut self.entries {
                entry.frequency /= unit;
            }
            (self.total, self.unit) = (self.total / unit, 1.0);
        }
    }

    /// Traces that have been read.
    pub(super) fn n_traces(&self) -> u64 {
        self.n_traces
    }

    /// How rare failures of a call site are among the traces that have it, in bits.
    pub(super) fn error_bits(&self, site: CallSiteId) -> f32 {
        let frequency = |kind| {
            let idx = self.idx.get(&Word::new(kind, site, 0).hash)?;
            Some(self.entries[*idx as usize].frequency / self.unit)
        };
        let failed = frequency(WordKind::Error).unwrap_or(0.0);
        let all = frequency(WordKind::Site).unwrap_or(0.0).max(failed);
        log2(((all + 1.0) / (failed + 0.5)) as f32)
    }

    /// Callees and repetitions, from the pairs of caller and called site in order. Returns a hash of
    /// who calls whom how often.
    fn read_calls(&mut self, spans: &[ClosedSpan], has_root: bool) -> u64 {
        let mut pairs = std::mem::take(&mut self.pairs);
        pairs.clear();
        self.is_parent.clear();
        self.is_parent.resize(spans.len(), false);
        for span in spans {
            let Ok(parent) = usize::try_from(span.parent) else { continue };
            if let Some(is_parent) = self.is_parent.get_mut(parent) {
                *is_parent = true;
                pairs.push((parent as u64) << 32 | u64::from(span.head().site.0));
            }
        }
        pairs.sort_unstable();
        let mut shape = 0_u64;
        for calls in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            let caller = spans[(calls[0] >> 32) as usize].head().site;
            let mut callees = 0_u64;
            for same in calls.chunk_by(|a, b| a == b) {
                let callee = same[0] & u64::from(u32::MAX);
                callees = callees.wrapping_add(scattered(callee + 1));
                let call = scattered(u64::from(caller.0) << 32 | callee);
                shape = shape.wrapping_add(call.wrapping_mul(same.len() as u64));
                let repeats = u64::from(same.len().ilog2());
                self.add(Word::new(WordKind::Repeats, caller, callee << 8 | repeats));
            }
            if has_root {
                self.add(Word::new(WordKind::Callees, caller, callees));
            }
        }
        self.pairs = pairs;
        if has_root {
            for (idx, span) in spans.iter().enumerate() {
                if !self.is_parent[idx] {
                    self.add(Word::new(WordKind::Callees, span.head().site, 0));
                }
            }
        }
        shape
    }

    fn add(&mut self, word: Word) {
        let next = self.entries.len() as u32;
        let idx = *self.idx.entry(word.hash).or_insert(next);
        if idx == next {
            self.entries.push(Entry { word, frequency: 0.0, stamp: 0, place: 0 });
        }
        let entry = &mut self.entries[idx as usize];
        if entry.stamp == self.n_traces {
            self.bag[entry.place as usize].count += 1;
            return;
        }
        entry.stamp = self.n_traces;
        entry.place = self.bag.len() as u32;
        let rarity = (self.total / self.unit + 1.0) / (entry.frequency / self.unit + 0.5);
        let bits = log2(rarity as f32);
        self.bag.push(Found { word, entry: idx, count: 1, bits });
    }

    #[cold]
    fn forget_rare(&mut self) {
        let n_kept = N_WORDS_MAX / 2;
        // Of equally rare words those seen last stay.
        let weight = |entry: &Entry| (entry.frequency, entry.stamp);
        self.entries.select_nth_unstable_by(n_kept, |a, b| {
            let ((a, a_stamp), (b, b_stamp)) = (weight(a), weight(b));
            b.total_cmp(&a).then(b_stamp.cmp(&a_stamp))
        });
        self.entries.truncate(n_kept);
        self.idx.clear();
        let numbered = (0..).zip(&self.entries);
        self.idx.extend(numbered.map(|(idx, entry)| (entry.word.hash, idx)));
    }
}

/// `SplitMix64`'s finish: every bit of the input moves every bit of the output.
pub(super) const fn scattered(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}
