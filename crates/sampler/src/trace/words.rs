//! The bag of words of a trace, and how rare each word is.
//!
//! A word is a small fact about how a trace is built: a span has these distinct callees, one calls
//! another so many times, a call site failed, who calls whom is this all in all. How often a word
//! occurs is its *document frequency* df: traces that have it, fading by 0.9998 a trace (one growing
//! unit instead of touching every entry). Its rarity is log2((N + 1) / (df + 1/2)) bits, with N the
//! faded number of traces.
//!
//! Fragments (no root at the close) have no words about callees and shape: what is missing from
//! them may only be late. Call sites count by a hash of their names, so that a word means the same in
//! another shard and after a restart.

use rustc_hash::FxHashMap;
use spanwise_model::{CallSite, CallSiteId, CallSites, ClosedSpan, ClosedTrace, StatusCode};

use crate::bits::log2;
use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};

/// What is left of a document frequency one trace later: half of it 3,466 traces later.
const KEPT: f64 = 0.9998;
/// Words that are remembered; beyond, the rarer half is forgotten.
const N_WORDS_MAX: usize = 65_536;
/// The unit is brought back to 1 when it has grown so far.
const UNIT_MAX: f64 = 1e60;
/// No entry is known.
const NONE: u32 = u32::MAX;
/// Words of graphs that are remembered, of all together: a graph that was read before is not taken
/// apart again. Beyond, all are forgotten.
const N_GRAPH_WORDS_MAX: usize = 1 << 18;
/// Call sites that are known by hash alone.
const N_NAMELESS_MAX: usize = 10_000;

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
    /// By call site.
    sites: Vec<Site>,
    /// Numbers of the sites with a key.
    by_key: FxHashMap<u64, CallSiteId>,
    /// Frequencies of sites that have no number here yet, by key.
    nameless: FxHashMap<u64, f64>,
    /// Faded number of traces, and what one trace counts now.
    total: f64,
    unit: f64,
    n_traces: u64,
    /// Traces that other shards have not been told of.
    n_news: u32,
    /// Words of the trace at hand.
    bag: Vec<Found>,
    /// Words of graphs that were read before, one graph behind the other, and where each begins and
    /// ends, by a hash of the graph.
    remembered: Vec<GraphWord>,
    graphs: FxHashMap<u64, (u32, u32)>,
    /// Keys of the spans' sites, and sums of the hashes of whom each calls.
    keys: Vec<u64>,
    callees: Vec<u64>,
    pairs: Vec<u64>,
}

/// A word of a graph.
#[derive(Clone, Copy, Debug)]
struct GraphWord {
    entry: u32,
    count: u32,
    site: CallSiteId,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    /// Hash of the names of the call site it is about.
    key: u64,
    frequency: f64,
    /// Trace that had the word last, and where it stands in that bag.
    stamp: u64,
    place: u32,
    /// Traces with the word that other shards have not been told of.
    news: u32,
}

#[derive(Clone, Copy, Debug)]
struct Site {
    /// Hash of its names; 0 until it is seen.
    key: u64,
    frequency: f64,
    stamp: u64,
    /// Entry of the word that it calls nobody.
    leaf: u32,
    news: u32,
}

/// What a shard has read since it last told the others.
#[derive(Clone, Debug, Default)]
pub(super) struct WordLesson {
    n_traces: u32,
    /// Hash, key of its call site, traces that had it.
    words: Vec<(u64, u64, u32)>,
    /// Key of a call site, traces that had it.
    sites: Vec<(u64, u32)>,
}

/// A word of the trace at hand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    pub(super) word: Word,
    entry: u32,
    pub(super) count: u32,
    /// Document frequency before this trace, in units.
    pub(super) frequency: f64,
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
    fn hash(kind: WordKind, key: u64, rest: u64) -> u64 {
        scattered(key ^ rest.wrapping_mul(SPREAD)) & !7 | kind as u64
    }
}

impl Found {
    /// Whether it was seen less often, and so has more bits. Of equally rare words the one with the
    /// least hash: whatever the order of spans, the same one.
    #[inline]
    pub(super) fn is_rarer(&self, other: &Self) -> bool {
        self.frequency < other.frequency
            || (self.frequency <= other.frequency && self.word.hash < other.word.hash)
    }
}

impl Site {
    const UNSEEN: Self = Self { key: 0, frequency: 0.0, stamp: 0, leaf: NONE, news: 0 };
}

impl Words {
    pub(super) fn new() -> Self {
        Self {
            idx: FxHashMap::default(),
            entries: Vec::new(),
            sites: Vec::new(),
            by_key: FxHashMap::default(),
            nameless: FxHashMap::default(),
            total: 0.0,
            unit: 1.0,
            n_traces: 0,
            n_news: 0,
            bag: Vec::new(),
            remembered: Vec::new(),
            graphs: FxHashMap::default(),
            keys: Vec::new(),
            callees: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Reads the words of a trace; they stay until the next call. Nothing is learned of them.
    pub(super) fn read_trace(&mut self, trace: &ClosedTrace, names: Option<&CallSites>) {
        self.bag.clear();
        self.n_traces += 1;
        if self.entries.len() >= N_WORDS_MAX {
            self.forget_rare();
        }
        let graph = self.read_graph(trace, names);
        match self.graphs.get(&graph) {
            Some(&(begin, end)) => self.remember(begin as usize, end as usize),
            None => self.take_apart(trace, graph),
        }
        for span in &trace.spans {
            let head = span.head();
            if head.status == StatusCode::Error {
                self.add(WordKind::Error, head.site, 0);
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
        self.n_news = self.n_news.saturating_add(1);
        for found in &self.bag {
            let entry = &mut self.entries[found.entry as usize];
            entry.frequency += self.unit;
            entry.news = entry.news.saturating_add(1);
        }
        for span in &trace.spans {
            if let Some(site) = self.sites.get_mut(span.head().site.idx())
                && site.stamp != self.n_traces
            {
                site.stamp = self.n_traces;
                site.frequency += self.unit;
                site.news = site.news.saturating_add(1);
            }
        }
        self.keep_in_range();
    }

    /// Takes what was learned since the last call.
    pub(super) fn lesson(&mut self) -> WordLesson {
        let mut lesson =
            WordLesson { n_traces: std::mem::take(&mut self.n_news), ..WordLesson::default() };
        for entry in self.entries.iter_mut().filter(|entry| entry.news > 0) {
            lesson.words.push((entry.hash, entry.key, std::mem::take(&mut entry.news)));
        }
        for site in self.sites.iter_mut().filter(|site| site.news > 0) {
            lesson.sites.push((site.key, std::mem::take(&mut site.news)));
        }
        lesson
    }

    /// Counts what another shard has read, as traces that came all at once now.
    pub(super) fn hear(&mut self, lesson: &WordLesson) {
        self.unit /= KEPT.powi(i32::try_from(lesson.n_traces).unwrap_or(i32::MAX));
        self.total += self.unit * f64::from(lesson.n_traces);
        for &(hash, key, count) in &lesson.words {
            if self.entries.len() >= N_WORDS_MAX {
                self.forget_rare();
            }
            let entry = self.entry(hash, key);
            self.entries[entry as usize].frequency += self.unit * f64::from(count);
        }
        for &(key, count) in &lesson.sites {
            let more = self.unit * f64::from(count);
            match self.by_key.get(&key) {
                Some(id) => self.sites[id.idx()].frequency += more,
                None => self.add_nameless(key, more),
            }
        }
        self.keep_in_range();
    }

    /// Writes what is known of every word and call site, by hash, in a fixed order.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.f64(self.total / self.unit);
        writer.u64(self.n_traces);
        let mut entries: Vec<&Entry> =
            self.entries.iter().filter(|entry| entry.frequency > 0.0).collect();
        entries.sort_unstable_by_key(|entry| entry.hash);
        writer.u32(entries.len() as u32);
        for entry in entries {
            writer.u64(entry.hash);
            writer.u64(entry.key);
            writer.f64(entry.frequency / self.unit);
        }
        let known = self.sites.iter().map(|site| (site.key, site.frequency));
        let nameless = self.nameless.iter().map(|(&key, &frequency)| (key, frequency));
        let mut sites: Vec<(u64, f64)> =
            known.chain(nameless).filter(|&(key, n)| key != 0 && n > 0.0).collect();
        sites.sort_unstable_by_key(|&(key, _)| key);
        writer.u32(sites.len() as u32);
        for (key, frequency) in sites {
            writer.u64(key);
            writer.f64(frequency / self.unit);
        }
    }

    /// The reverse of [`Words::write`]. Sites get their numbers when they are seen.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut words = Self { total: reader.count()?, n_traces: reader.u64()?, ..Self::new() };
        let n_words = reader.u32()?;
        if n_words as usize > 2 * N_WORDS_MAX {
            return Err(reader.corrupt("it holds more words than may be held"));
        }
        for _ in 0..n_words {
            let (hash, key, frequency) = (reader.u64()?, reader.u64()?, reader.count()?);
            let entry = words.entry(hash, key);
            words.entries[entry as usize].frequency = frequency;
        }
        let n_sites = reader.u32()?;
        if n_sites as usize > 2 * N_NAMELESS_MAX {
            return Err(reader.corrupt("it holds more call sites than may be held"));
        }
        for _ in 0..n_sites {
            let (key, frequency) = (reader.u64()?, reader.count()?);
            words.add_nameless(key, frequency);
        }
        Ok(words)
    }

    /// A call site's number will name another one.
    pub(super) fn forget(&mut self, id: CallSiteId) {
        if let Some(site) = self.sites.get_mut(id.idx()) {
            self.by_key.remove(&site.key);
            *site = Site::UNSEEN;
            self.forget_graphs();
        }
    }

    /// How rare failures of a call site are among the traces that have it, in bits.
    pub(super) fn error_bits(&self, id: CallSiteId) -> f32 {
        let site = self.sites.get(id.idx()).unwrap_or(&Site::UNSEEN);
        let idx = self.idx.get(&Word::hash(WordKind::Error, site.key, 0));
        let failed = idx.map_or(0.0, |idx| self.entries[*idx as usize].frequency) / self.unit;
        let all = site.frequency / self.unit;
        log2(((all.max(failed) + 1.0) / (failed + 0.5)) as f32)
    }

    /// A hash of all that words say of who calls whom: of each span its site and how often it calls
    /// which others, in any order. Every site has its key afterwards.
    fn read_graph(&mut self, trace: &ClosedTrace, names: Option<&CallSites>) -> u64 {
        let mut root = 0;
        self.keys.clear();
        self.callees.clear();
        self.callees.resize(trace.spans.len(), 0);
        for span in &trace.spans {
            let head = span.head();
            let mut key = self.key(head.site);
            if key == 0 {
                self.know(head.site, names);
                key = self.key(head.site);
            }
            self.keys.push(key);
            // A negative position becomes one beyond the end.
            if let Some(callees) = self.callees.get_mut(span.parent as usize) {
                *callees = callees.wrapping_add(scattered(key));
            }
            // Several roots are one as well as the other.
            if head.is_root() && (root == 0 || key < root) {
                root = key;
            }
        }
        let mut graph = scattered(root.wrapping_add(u64::from(trace.has_root)));
        for (key, callees) in self.keys.iter().zip(&self.callees) {
            graph = graph.wrapping_add(scattered(key ^ callees.rotate_left(17)));
        }
        graph
    }

    /// Puts the words of a graph that was read before into the bag.
    fn remember(&mut self, begin: usize, end: usize) {
        for &GraphWord { entry: idx, count, site } in &self.remembered[begin..end] {
            let entry = &mut self.entries[idx as usize];
            entry.stamp = self.n_traces;
            entry.place = self.bag.len() as u32;
            let word = Word { hash: entry.hash, site };
            self.bag.push(Found { word, entry: idx, count, frequency: entry.frequency });
        }
    }

    /// Reads the words of a graph that was not read before, and remembers them.
    #[cold]
    fn take_apart(&mut self, trace: &ClosedTrace, graph: u64) {
        self.read_pairs(&trace.spans);
        let shape = self.read_calls(&trace.spans, trace.has_root);
        let roots = trace.spans.iter().map(ClosedSpan::head).filter(|head| head.is_root());
        if let Some(root) = roots.map(|head| head.site).min_by_key(|&site| self.key(site)) {
            self.add(WordKind::Shape, root, shape);
        }
        if self.remembered.len() + self.bag.len() > N_GRAPH_WORDS_MAX {
            self.forget_graphs();
        }
        let begin = self.remembered.len() as u32;
        self.remembered.extend(self.bag.iter().map(|found| GraphWord {
            entry: found.entry,
            count: found.count,
            site: found.word.site,
        }));
        self.graphs.insert(graph, (begin, self.remembered.len() as u32));
    }

    fn forget_graphs(&mut self) {
        self.graphs.clear();
        self.remembered.clear();
    }

    /// Who calls whom, as pairs of the caller's position and the called site, in order.
    fn read_pairs(&mut self, spans: &[ClosedSpan]) {
        self.pairs.clear();
        for span in spans {
            if (span.parent as usize) < spans.len() {
                self.pairs.push((span.parent as u64) << 32 | u64::from(span.head().site.0));
            }
        }
        self.pairs.sort_unstable();
    }

    /// Callees and repetitions. Returns a hash of who calls whom how often.
    fn read_calls(&mut self, spans: &[ClosedSpan], has_root: bool) -> u64 {
        let pairs = std::mem::take(&mut self.pairs);
        let mut shape = 0_u64;
        for calls in pairs.chunk_by(|a, b| a >> 32 == b >> 32) {
            let caller = spans[(calls[0] >> 32) as usize].head().site;
            let caller_key = self.key(caller);
            let mut callees = 1_u64;
            for same in calls.chunk_by(|a, b| a == b) {
                let callee = self.key(CallSiteId(same[0] as u32));
                let call = scattered(caller_key ^ callee.rotate_left(29));
                callees = callees.wrapping_add(call);
                shape = shape.wrapping_add(call.wrapping_mul(same.len() as u64));
                let repeats = u64::from(same.len().ilog2());
                self.add(WordKind::Repeats, caller, callee.wrapping_add(repeats + 1));
            }
            if has_root {
                self.add(WordKind::Callees, caller, callees);
            }
        }
        self.pairs = pairs;
        if has_root {
            for (idx, span) in spans.iter().enumerate() {
                if self.callees[idx] == 0 {
                    self.add_leaf(span.head().site);
                }
            }
        }
        shape
    }

    /// Adds the word that a site calls nobody: the commonest of all, found without hashing.
    fn add_leaf(&mut self, id: CallSiteId) {
        let known = self.sites.get(id.idx()).map_or(NONE, |site| site.leaf);
        if known != NONE {
            self.count(known, id);
            return;
        }
        let entry = self.add(WordKind::Callees, id, 0);
        if let Some(site) = self.sites.get_mut(id.idx()) {
            site.leaf = entry;
        }
    }

    fn add(&mut self, kind: WordKind, site: CallSiteId, rest: u64) -> u32 {
        let key = self.key(site);
        let idx = self.entry(Word::hash(kind, key, rest), key);
        self.count(idx, site);
        idx
    }

    fn entry(&mut self, hash: u64, key: u64) -> u32 {
        let next = self.entries.len() as u32;
        let idx = *self.idx.entry(hash).or_insert(next);
        if idx == next {
            self.entries.push(Entry { hash, key, frequency: 0.0, stamp: 0, place: 0, news: 0 });
        }
        idx
    }

    #[inline]
    fn count(&mut self, idx: u32, site: CallSiteId) {
        let entry = &mut self.entries[idx as usize];
        if entry.stamp == self.n_traces {
            self.bag[entry.place as usize].count += 1;
            return;
        }
        entry.stamp = self.n_traces;
        entry.place = self.bag.len() as u32;
        let word = Word { hash: entry.hash, site };
        self.bag.push(Found { word, entry: idx, count: 1, frequency: entry.frequency });
    }

    /// The key of a site that was seen; 0 for spans that were never interned.
    fn key(&self, id: CallSiteId) -> u64 {
        self.sites.get(id.idx()).map_or(0, |site| site.key)
    }

    /// Gives a site its key, and the frequency that was kept under it.
    #[cold]
    fn know(&mut self, id: CallSiteId, names: Option<&CallSites>) {
        if id == CallSiteId::UNSET {
            return;
        }
        if self.sites.len() <= id.idx() {
            self.sites.resize(id.idx() + 1, Site::UNSEEN);
        }
        let key = names.map_or_else(|| key_of_number(id), |names| key_of(names.get(id)));
        self.by_key.insert(key, id);
        let frequency = self.nameless.remove(&key).unwrap_or(0.0);
        self.sites[id.idx()] = Site { key, frequency, ..Site::UNSEEN };
    }

    fn add_nameless(&mut self, key: u64, more: f64) {
        if self.nameless.len() < N_NAMELESS_MAX || self.nameless.contains_key(&key) {
            *self.nameless.entry(key).or_default() += more;
        }
    }

    fn keep_in_range(&mut self) {
        if self.unit > UNIT_MAX {
            self.rescale();
        }
    }

    #[cold]
    fn rescale(&mut self) {
        let unit = self.unit;
        let entries = self.entries.iter_mut().map(|entry| &mut entry.frequency);
        let sites = self.sites.iter_mut().map(|site| &mut site.frequency);
        for frequency in entries.chain(sites).chain(self.nameless.values_mut()) {
            *frequency /= unit;
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
        self.idx.extend(numbered.map(|(idx, entry)| (entry.hash, idx)));
        for site in &mut self.sites {
            site.leaf = NONE;
        }
        self.forget_graphs();
    }
}

/// A hash of a call site's names, the same everywhere and never 0: 8 bytes at a time, each scattered
/// with what was before.
fn key_of(site: &CallSite) -> u64 {
    let mut key = site.kind as u64 + 1;
    for part in [site.service.as_bytes(), site.operation.as_bytes()] {
        for chunk in part.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            key = scattered(key ^ u64::from_le_bytes(word));
        }
        key = scattered(key ^ part.len() as u64);
    }
    key.max(1)
}

/// A key for those who have no names.
const fn key_of_number(id: CallSiteId) -> u64 {
    scattered(id.0 as u64) | 1
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
        words.read_trace(&trace(spans), None);
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
        words.read_trace(&trace(&[(1, 5), (2, 0), (2, 0)]), None);
        let kinds: Vec<_> = words.bag().iter().map(|found| WordKind::of(found.word.hash)).collect();
        assert_eq!(kinds, [Some(WordKind::Repeats)]);
    }

    #[test]
    fn rarity_is_that_of_the_faded_document_frequency() {
        let mut words = Words::new();
        let (usual, rare) = (trace(&[(1, -1)]), trace(&[(2, -1)]));
        for _ in 0..1000 {
            words.read_trace(&usual, None);
            words.learn(&usual);
        }
        words.read_trace(&rare, None);
        let bits: Vec<f32> = words.bag().iter().map(|found| words.bits(found)).collect();
        // About log2(906 / 0.5).
        assert!(bits.iter().all(|bits| (bits - 10.8).abs() < 0.1), "{bits:?}");
        words.read_trace(&usual, None);
        assert!(words.bag().iter().all(|found| words.bits(found).abs() < 0.01));
    }

    #[test]
    fn what_others_have_read_counts_as_if_it_had_been_read_here() {
        let (mut whole, mut one, mut other) = (Words::new(), Words::new(), Words::new());
        let kinds: Vec<ClosedTrace> =
            (0..5).map(|kind| trace(&[(1, -1), (2 + kind, 0), (2, 0)])).collect();
        for i in 0..4000 {
            let trace = &kinds[(i * i) % 5];
            for words in [&mut whole, if i % 3 == 0 { &mut one } else { &mut other }] {
                words.read_trace(trace, None);
                words.learn(trace);
            }
            if i % 50 == 0 {
                let (lesson, more) = (one.lesson(), other.lesson());
                one.hear(&more);
                other.hear(&lesson);
            }
        }
        let (lesson, more) = (one.lesson(), other.lesson());
        one.hear(&more);
        other.hear(&lesson);
        for kind in &kinds {
            whole.read_trace(kind, None);
            for words in [&mut one, &mut other] {
                words.read_trace(kind, None);
                for (a, b) in words.bag().iter().zip(whole.bag()) {
                    assert!((words.bits(a) - whole.bits(b)).abs() < 0.05);
                }
            }
        }
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_leaves_the_known_words_alone() {
        let mut words = Words::new();
        let known = trace(&[(1, -1), (2, 0)]);
        for _ in 0..5000 {
            words.read_trace(&known, None);
            words.learn(&known);
        }
        let bits = |words: &mut Words| {
            words.read_trace(&known, None);
            words.bag().iter().map(|found| words.bits(found)).fold(0.0, f32::max)
        };
        let before = bits(&mut words);
        for site in 0..100_000 {
            let flood = trace(&[(10 + site % 5, -1), (100 + site, 0)]);
            words.read_trace(&flood, None);
            if site % 10 == 0 {
                words.learn(&flood);
                words.read_trace(&known, None);
                words.learn(&known);
            }
            assert!(words.entries.len() <= N_WORDS_MAX + 8);
        }
        assert!((bits(&mut words) - before).abs() < 1.1, "{before} {}", bits(&mut words));
    }
}
