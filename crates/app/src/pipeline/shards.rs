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

use spanwise_model::{Batch, ByteRange, Contexts, TraceId};
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

    /// The shard of a trace.
    pub fn of(self, id: TraceId) -> usize {
        id.part_of(self.0) as usize
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
    /// order. Parts of a request that is stored say where it has their spans.
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
        if whole.is_stored {
            part.is_stored = true;
            part.homes.extend(part.spans.iter().map(|head| head.raw.start));
        }
        let n_bytes: usize = part.spans.iter().map(|head| head.raw.len as usize).sum();
        let mut copy = Contexts::default();
        copy.bytes.reserve(n_bytes + whole.bytes.len() / 16);
        let mut resource_of = vec![None; whole.resources.len()];
        let mut scope_of = vec![None; whole.scopes.len()];
        for head in &mut part.spans {
            let known = resource_of.get_mut(head.resource_idx as usize);
            head.resource_idx = known.map_or(u32::MAX, |known| {
                *known.get_or_insert_with(|| {
                    let from = whole.resources[head.resource_idx as usize];
                    part.resources.push(copy.resource(&whole.bytes, from));
                    part.resources.len() as u32 - 1
                })
            });
            let known = scope_of.get_mut(head.scope_idx as usize);
            head.scope_idx = known.map_or(u32::MAX, |known| {
                *known.get_or_insert_with(|| {
                    part.scopes
                        .push(copy.scope(&whole.bytes, whole.scopes[head.scope_idx as usize]));
                    part.scopes.len() as u32 - 1
                })
            });
            let (from, name) = (head.raw, head.name);
            head.raw = copy.push(from.of(&whole.bytes));
            let offset = name.start.checked_sub(from.start).filter(|_| !name.is_empty());
            let moved = |offset| ByteRange { start: head.raw.start + offset, len: name.len };
            head.name = offset.map(moved).unwrap_or_default();
        }
        part.bytes = copy.bytes.into();
        part.lease.clone_from(&whole.lease);
        part
    }
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
    use bytes::Bytes;
    use spanwise_model::SpanHead;
    use spanwise_otlp::{KeptSpan, Limits, bench_payload, decode, reframe};

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

    /// Requests: one of many services, a small one, and what has no resource, or empty ones.
    fn requests() -> Vec<Bytes> {
        let mut requests = bench_payload(2, 7);
        let span = |n: u8| {
            let field = |key: u8, bytes: &[u8]| [&[key, bytes.len() as u8], bytes].concat();
            let start = [&[0x39][..], &u64::from(n).to_le_bytes()].concat();
            let ids = [field(0x0a, &[n; 16]), field(0x12, &[n; 8])].concat();
            field(0x12, &[ids, field(0x2a, b"name"), start].concat())
        };
        let scope = |scope: &[u8], n: u8| {
            let spans: Vec<u8> = (0..8).flat_map(|more| span(n + more)).collect();
            let payload = [scope, &spans].concat();
            [&[0x12, (payload.len() & 127) as u8 | 128, (payload.len() >> 7) as u8][..], &payload]
                .concat()
        };
        let resource = |resource: &[u8], scopes: &[Vec<u8>]| {
            let payload = [resource, &scopes.concat()].concat();
            [&[0x0a, (payload.len() & 127) as u8 | 128, (payload.len() >> 7) as u8][..], &payload]
                .concat()
        };
        let request = [
            resource(&[], &[scope(&[], 1), scope(&[0x0a, 0], 11)]),
            resource(&[0x0a, 0], &[scope(&[0x0a, 3, 0x0a, 1, b's'], 21), scope(&[], 31)]),
        ];
        requests.push(request.concat().into());
        requests
    }

    /// A span as it leaves, with all that is said of it.
    fn leaves(batch: &Batch, span_idx: u32) -> Bytes {
        reframe(&[KeptSpan { batch, span_idx, stamp: &[] }]).bytes
    }

    #[test]
    fn parts_say_what_the_whole_said() {
        for (request, n) in requests().into_iter().flat_map(|one| [(one.clone(), 4), (one, 64)]) {
            let whole = || decode(request.clone(), &Limits::default()).unwrap().batch;
            let shards = Shards::new(n);
            let expected = whole();
            let touched = shards.touched(&expected);
            assert!(touched.len() > 2);
            let mut n_found = 0;
            for Part { shard, batch } in shards.cut(whole(), &touched, &Spares::default()) {
                assert!(batch.bytes.len() < request.len());
                let mine = (0..).zip(&expected.spans);
                let mine = mine.filter(|(_, head)| shards.of(head.trace_id) == shard);
                let ours = (0..).zip(&batch.spans);
                for ((idx, head), (part_idx, part_head)) in mine.zip(ours) {
                    let SpanHead { raw, name, resource_idx, scope_idx, .. } = *head;
                    let places = SpanHead { raw, name, resource_idx, scope_idx, ..*part_head };
                    assert_eq!(places, *head);
                    assert_eq!(leaves(&batch, part_idx), leaves(&expected, idx));
                    assert_eq!(batch.name(part_head), expected.name(head));
                    assert_eq!(batch.service_bytes(part_head), expected.service_bytes(head));
                    assert_eq!(batch.instance(part_head), expected.instance(head));
                    n_found += 1;
                }
            }
            assert_eq!(n_found, expected.spans.len());
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
