//! Shards: as many workers, each with stages of its own for its part of the traces.
//!
//! A trace belongs to a shard by a hash of its id, so all of its spans meet in one place and nothing
//! is shared while they do. A request with traces of several shards is cut into one request for each,
//! bytes and all: whoever is done with its part frees its memory, and every byte is charged once. It
//! costs one copy, on the threads that decode.
//!
//! What has been learned is told around once a second ([`School`]), so that every shard knows what one
//! would.

use std::sync::Arc;

use spanwise_model::{Batch, ByteRange, ResourceHead, ScopeHead, TraceId};
use tokio::sync::mpsc;

use super::core::Lesson;
use super::spares::Spares;
use crate::config::SHARDS_MAX;

/// Lessons that may wait for a shard from each of the others.
const N_WAITING: usize = 4;

/// How many shards there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards(u32);

/// A request's part for one shard.
#[derive(Debug)]
pub struct Part {
    /// Which shard.
    pub shard: usize,
    /// Its spans.
    pub batch: Batch,
}

/// Where a shard tells the others what it has learned, and hears of what they have.
#[derive(Debug)]
pub struct School {
    others: Vec<mpsc::Sender<Arc<Lesson>>>,
    heard: mpsc::Receiver<Arc<Lesson>>,
}

impl Shards {
    /// So many, 1 to [`SHARDS_MAX`].
    pub fn new(n: u32) -> Self {
        Self(n.clamp(1, SHARDS_MAX))
    }

    /// How many.
    pub const fn n(self) -> u32 {
        self.0
    }

    /// The shard of a trace. The multiplier spreads ids that are not random.
    pub fn of(self, id: TraceId) -> usize {
        let spread = id.low64().wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        ((spread * u64::from(self.0)) >> 32) as usize
    }

    /// The shards that a request has spans of.
    pub fn touched(self, batch: &Batch) -> Vec<usize> {
        if self.0 == 1 {
            return vec![0];
        }
        let mut is_touched = [false; SHARDS_MAX as usize];
        for head in &batch.spans {
            is_touched[self.of(head.trace_id)] = true;
        }
        (0..self.0 as usize).filter(|&shard| is_touched[shard]).collect()
    }

    /// Cuts a request into parts for the shards it has spans of, which are `touched`. Spans keep their
    /// order.
    pub fn cut(self, batch: Batch, touched: &[usize], spares: &Spares) -> Vec<Part> {
        if let &[shard] = touched {
            return vec![Part { shard, batch }];
        }
        let cut = |&shard: &usize| Part { shard, batch: self.part(&batch, shard, spares.take()) };
        let parts = touched.iter().map(cut).collect();
        spares.put(batch);
        parts
    }

    fn part(self, whole: &Batch, shard: usize, mut part: Batch) -> Batch {
        let mine = whole.spans.iter().filter(|head| self.of(head.trace_id) == shard);
        part.spans.extend(mine.copied());
        part.resources.resize(whole.resources.len(), ResourceHead::default());
        part.scopes.resize(whole.scopes.len(), ScopeHead::default());
        let n_bytes: usize = part.spans.iter().map(|head| head.raw.len as usize).sum();
        let mut bytes = Vec::with_capacity(n_bytes + whole.bytes.len() / 16);
        let (mut resource, mut scope) = (u32::MAX, u32::MAX);
        for head in &mut part.spans {
            if head.resource_idx != resource {
                resource = head.resource_idx;
                let known = part.resources.get_mut(resource as usize);
                move_resource(whole, resource, known, &mut bytes);
            }
            if head.scope_idx != scope {
                scope = head.scope_idx;
                let known = part.scopes.get_mut(scope as usize);
                move_scope(whole, scope, known, &mut bytes);
            }
            let raw = moved(whole, head.raw, &mut bytes);
            head.name = within(whole, (head.name, head.raw), raw, &mut bytes);
            head.raw = raw;
        }
        part.bytes = bytes.into();
        part.lease.clone_from(&whole.lease);
        part
    }
}

fn move_resource(whole: &Batch, idx: u32, to: Option<&mut ResourceHead>, bytes: &mut Vec<u8>) {
    let (Some(from), Some(to)) = (whole.resources.get(idx as usize), to) else { return };
    if *to != ResourceHead::default() {
        return;
    }
    let raw = moved(whole, from.raw, bytes);
    let mut inner = |range| within(whole, (range, from.raw), raw, bytes);
    *to = ResourceHead {
        raw,
        service: inner(from.service),
        instance: inner(from.instance),
        schema_url: inner(from.schema_url),
        version: inner(from.version),
        is_synthetic: from.is_synthetic,
    };
}

fn move_scope(whole: &Batch, idx: u32, to: Option<&mut ScopeHead>, bytes: &mut Vec<u8>) {
    let (Some(from), Some(to)) = (whole.scopes.get(idx as usize), to) else { return };
    if *to == ScopeHead::default() {
        let raw = moved(whole, from.raw, bytes);
        let schema_url = within(whole, (from.schema_url, from.raw), raw, bytes);
        *to = ScopeHead { raw, schema_url };
    }
}

/// Appends a range of the whole; where it lies now.
fn moved(whole: &Batch, range: ByteRange, bytes: &mut Vec<u8>) -> ByteRange {
    let piece = range.of(&whole.bytes);
    let start = bytes.len() as u32;
    bytes.extend_from_slice(piece);
    ByteRange { start, len: piece.len() as u32 }
}

/// Where a range lies now that lay within another one, which is `now`; elsewhere it is appended.
fn within(
    whole: &Batch,
    (range, outer): (ByteRange, ByteRange),
    now: ByteRange,
    bytes: &mut Vec<u8>,
) -> ByteRange {
    let is_inside =
        range.start >= outer.start && range.start + range.len <= outer.start + outer.len;
    if is_inside && now.len == outer.len {
        return ByteRange { start: now.start + (range.start - outer.start), len: range.len };
    }
    if range.is_empty() { ByteRange::default() } else { moved(whole, range, bytes) }
}

impl School {
    /// One for each shard.
    pub fn all(shards: Shards) -> Vec<Self> {
        let n = shards.n() as usize;
        let (senders, receivers): (Vec<_>, Vec<_>) =
            (0..n).map(|_| mpsc::channel(N_WAITING * n)).unzip();
        let others = |idx: usize| {
            let others = senders.iter().enumerate().filter(|(other, _)| *other != idx);
            others.map(|(_, sender)| sender.clone()).collect()
        };
        let school = |(idx, heard)| Self { others: others(idx), heard };
        receivers.into_iter().enumerate().map(school).collect()
    }

    /// Whether there is somebody to tell.
    pub fn has_others(&self) -> bool {
        !self.others.is_empty()
    }

    /// Tells the others what `lesson` says, if all of them have room: else it is asked again later,
    /// when there is more to tell. Never waits.
    pub fn tell(&self, lesson: impl FnOnce() -> Lesson) {
        let mut places = Vec::with_capacity(self.others.len());
        for other in &self.others {
            match other.try_reserve() {
                Ok(place) => places.push(place),
                Err(mpsc::error::TrySendError::Full(())) => return,
                // It has ended.
                Err(mpsc::error::TrySendError::Closed(())) => {}
            }
        }
        let lesson = Arc::new(lesson());
        for place in places {
            place.send(Arc::clone(&lesson));
        }
    }

    /// What others have told since the last call.
    pub fn heard(&mut self) -> Vec<Arc<Lesson>> {
        let mut heard = Vec::new();
        while let Ok(lesson) = self.heard.try_recv() {
            heard.push(lesson);
        }
        heard
    }
}

#[cfg(test)]
mod tests {
    use spanwise_model::SpanHead;
    use spanwise_otlp::{Limits, bench_payload, decode};

    use super::*;

    #[test]
    fn every_trace_has_one_shard_and_shards_are_even() {
        let shards = Shards::new(16);
        let mut counts = [0; 16];
        for i in 0..16_000_u128 {
            // Ids that are not random at all.
            counts[shards.of(TraceId((i << 3).to_be_bytes()))] += 1;
        }
        assert!(counts.iter().all(|n| (800..1200).contains(n)), "{counts:?}");
        assert_eq!(Shards::new(0), Shards::new(1));
        assert_eq!(Shards::new(1).of(TraceId([255; 16])), 0);
    }

    /// All that is said of a span, in bytes.
    fn said<'a>(batch: &'a Batch, head: &SpanHead) -> [&'a [u8]; 8] {
        let resource = batch.resources[head.resource_idx as usize];
        let scope = batch.scopes[head.scope_idx as usize];
        [
            head.raw,
            head.name,
            resource.raw,
            resource.service,
            resource.instance,
            resource.schema_url,
            scope.raw,
            scope.schema_url,
        ]
        .map(|range| range.of(&batch.bytes))
    }

    #[test]
    fn parts_say_what_the_whole_said() {
        let request = bench_payload(1, 7).remove(0);
        let whole = || decode(request.clone(), &Limits::default()).unwrap().batch;
        let shards = Shards::new(4);
        let expected = whole();
        let touched = shards.touched(&expected);
        assert_eq!(touched, [0, 1, 2, 3]);
        let parts = shards.cut(whole(), &touched, &Spares::default());
        let mut found: Vec<(SpanHead, &Batch)> = Vec::new();
        for part in &parts {
            assert!(part.batch.bytes.len() < request.len() / 2);
            for head in &part.batch.spans {
                assert_eq!(shards.of(head.trace_id), part.shard);
                found.push((*head, &part.batch));
            }
        }
        assert_eq!(found.len(), expected.spans.len());
        for head in &expected.spans {
            let (part_head, part) =
                found.iter().find(|(found, _)| found.span_id == head.span_id).unwrap();
            assert_eq!(said(part, part_head), said(&expected, head));
            let places = SpanHead { raw: head.raw, name: head.name, ..*part_head };
            assert_eq!(places, *head);
        }
    }

    #[test]
    fn a_request_of_one_shard_is_not_copied() {
        let request = bench_payload(1, 7).remove(0);
        let batch = decode(request.clone(), &Limits::default()).unwrap().batch;
        let shards = Shards::new(1);
        let touched = shards.touched(&batch);
        let parts = shards.cut(batch, &touched, &Spares::default());
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].batch.bytes.as_ptr(), request.as_ptr());
    }

    #[tokio::test]
    async fn whoever_finds_no_room_has_told_nobody() {
        let mut schools = School::all(Shards::new(3));
        for _ in 0..N_WAITING * 3 {
            schools[0].tell(Lesson::default);
        }
        schools[0].tell(|| unreachable!("there is no room"));
        assert_eq!(schools[1].heard().len(), N_WAITING * 3);
        // The third has not listened yet: the second stays as it was.
        schools[0].tell(|| unreachable!("there is no room"));
        assert!(schools[1].heard().is_empty());
        assert_eq!(schools[2].heard().len(), N_WAITING * 3);
        schools[1].tell(Lesson::default);
        assert_eq!((schools[0].heard().len(), schools[2].heard().len()), (1, 1));
        drop(schools.pop());
        schools[1].tell(Lesson::default);
        assert_eq!(schools[0].heard().len(), 1);
    }
}
