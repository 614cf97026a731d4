use std::collections::BTreeMap;

use bytes::Bytes;
use spanwise_model::{SampledSpan, SpanId, SpanRef, Timestamp};
use spanwise_otlp::{KeptSpan, Limits, WireAttributes, bench_payload, decode, reframe};

use super::*;
use crate::pipeline::core::{self, Core};
use crate::pipeline::traces;

mod parts;

/// A log in memory: leases are the requests themselves.
#[derive(Debug)]
struct Memory {
    is_readable: bool,
}

impl ReadBack for Memory {
    fn read(&mut self, batch: &Batch, range: ByteRange) -> Option<Bytes> {
        let request = batch.lease.as_ref()?.downcast_ref::<Bytes>()?;
        let range = range.start as usize..(range.start + range.len) as usize;
        self.is_readable.then(|| request.slice(range))
    }

    fn is_old(&self, _: &Batch) -> bool {
        false
    }
}

fn requests() -> Vec<Batch> {
    let stored = |request: Bytes| {
        let mut batch = decode(request.clone(), &Limits::default()).unwrap().batch;
        batch.lease = Some(Arc::new(request));
        batch.is_stored = true;
        batch
    };
    bench_payload(3, 7).into_iter().map(stored).collect()
}

/// Every tenth span of all requests, those of odd requests without their bytes.
fn mixed() -> (Vec<Placed>, Vec<Placed>) {
    let (mut whole, mut light) = (Vec::new(), Vec::new());
    for (number, batch) in requests().into_iter().enumerate() {
        let mut lightened = batch.clone();
        if number % 2 == 0 {
            lightened.lighten();
        }
        let (batch, lightened) = (Arc::new(batch), Arc::new(lightened));
        for idx in (0..batch.spans.len() as u32).step_by(10) {
            whole.push((Arc::clone(&batch), idx));
            light.push((Arc::clone(&lightened), idx));
        }
    }
    (whole, light)
}

fn framed(spans: &[Placed]) -> Bytes {
    let kept: Vec<KeptSpan<'_>> = spans
        .iter()
        .map(|(batch, span_idx)| KeptSpan { batch, span_idx: *span_idx, stamp: &[] })
        .collect();
    reframe(&kept).bytes
}

#[test]
fn spans_come_back_byte_for_byte_with_what_surrounds_them() {
    let (whole, mut light) = mixed();
    let n_away = light.iter().filter(|placed| is_away(placed)).count() as u64;
    assert!(n_away > 0 && n_away < light.len() as u64);
    assert_ne!(framed(&light), framed(&whole));
    let filled = fill(&mut light, &mut Memory { is_readable: true });
    assert_eq!(filled, Filled { n_read: n_away, n_unread: 0 });
    assert_eq!(framed(&light), framed(&whole));
    for ((batch, idx), (whole, whole_idx)) in light.iter().zip(&whole) {
        let (head, other) = (&batch.spans[*idx as usize], &whole.spans[*whole_idx as usize]);
        assert_eq!(batch.name(head), whole.name(other));
        assert_eq!(batch.service(head), whole.service(other));
        assert_eq!(batch.instance(head), whole.instance(other));
        let span = SpanRef { batch, span_idx: *idx };
        assert_eq!(span.head().span_id, other.span_id);
    }
    // The last attribute of a span is found in the small request too.
    let (batch, idx) = &light[0];
    let (source, source_idx) = &whole[0];
    let key = "http.request.method";
    let of = |batch: &Arc<Batch>, idx: u32| {
        use spanwise_model::AttributeSource as _;
        format!("{:?}", WireAttributes.attribute(batch, idx, key))
    };
    assert_eq!(of(batch, *idx), of(source, *source_idx));
}

#[test]
fn a_trace_that_waits_holds_what_memory_had_of_it_and_its_places() {
    let (whole, light) = mixed();
    let n_away = light.iter().filter(|placed| is_away(placed)).count();
    let (mut cut, is_leased) = cut_out(&light);
    assert!(is_leased);
    assert_eq!(cut.iter().filter(|placed| is_away(placed)).count(), n_away);
    let away: Vec<Placed> = cut.iter().filter(|placed| is_away(placed)).cloned().collect();
    let per_span = heap_bytes(&away) / n_away as u64;
    assert!(per_span < 160, "{per_span} bytes a span whose bytes are in the log alone");
    assert!(cut.iter().all(|(batch, _)| batch.lease.is_some()));
    drop(light);
    let filled = fill(&mut cut, &mut Memory { is_readable: true });
    assert_eq!(filled.n_read, n_away as u64);
    let by_id = |spans: &[Placed]| -> BTreeMap<SpanId, Vec<u8>> {
        let raw = |(batch, idx): &Placed| {
            let head = &batch.spans[*idx as usize];
            (head.span_id, head.raw.of(&batch.bytes).to_vec())
        };
        spans.iter().map(raw).collect()
    };
    assert_eq!(by_id(&cut), by_id(&whole));
}

#[test]
fn a_trace_stored_nowhere_is_held_with_its_bytes() {
    let mut batch = requests().remove(0);
    (batch.lease, batch.is_stored) = (None, false);
    let batch = Arc::new(batch);
    let spans: Vec<Placed> = (0..5).map(|idx| (Arc::clone(&batch), idx * 100)).collect();
    let (cut, is_leased) = cut_out(&spans);
    assert!(!is_leased && !cut.iter().any(is_away));
    assert_eq!(framed(&cut), framed(&spans));
    assert_eq!(Arc::strong_count(&batch), 6, "it holds no other span of the request");
}

#[test]
fn what_cannot_be_read_is_counted_and_leaves_nothing() {
    let (_, mut light) = mixed();
    let n_away = light.iter().filter(|placed| is_away(placed)).count() as u64;
    let filled = fill(&mut light, &mut Memory { is_readable: false });
    assert_eq!(filled, Filled { n_read: 0, n_unread: n_away });
    let came = decode(framed(&light), &Limits::default()).unwrap().batch;
    assert_eq!(came.spans.len() as u64, light.len() as u64 - n_away);
}

#[test]
fn a_copy_lets_its_source_go() {
    let (whole, mut light) = mixed();
    fill(&mut light, &mut Memory { is_readable: true });
    let copy = copy_of(&light);
    assert_eq!(framed(&copy), framed(&whole));
    assert!(copy.iter().all(|(batch, _)| batch.lease.is_none()));
}

/// Scenario: spans are sampled when their traces close, and open requests are in the log alone.
/// Guarantees: nothing is read back for spans that are only shown; who gets them whole gets their bytes.
#[test]
fn sampled_spans_come_back_only_for_who_gets_them_whole() {
    let yaml = "sampler: {budget: 50%, traces: {budget: 5%}}";
    let raw = crate::config::yaml::parse(yaml, "test").unwrap();
    let (config, problems) = crate::config::built::build(&raw);
    let config = config.unwrap_or_else(|| panic!("{problems:?}"));
    let traces = config.traces.unwrap();
    let accounts = traces::Accounts::new(&traces).unwrap();
    let stage = traces::Config { traces, recent_bytes: 0, is_logged: true, accounts, n_shards: 1 };
    let mut core = Core::new(core::Config {
        sampler: config.sampler,
        assembler: spanwise_assembler::Config { full_bytes: 0, ..config.assembler },
        rules: Arc::clone(&config.rules),
        traces: Some(stage),
    })
    .unwrap();
    core.read_back_from(Box::new(Memory { is_readable: true }));
    let mut sampled = Vec::new();
    let now = Timestamp::from_secs(1_000_000);
    for batch in requests() {
        core.batch(batch, now, &mut sampled);
    }
    core.drain(now.plus_ns(60_000_000_000), &mut sampled);
    let is_away = |span: &&SampledSpan| is_away(&(Arc::clone(&span.batch), span.span_idx));
    let n_away = sampled.iter().filter(is_away).count() as u64;
    assert!(n_away > 10, "{n_away} of {}", sampled.len());
    assert_eq!(core.counters().n_read_back, 0);
    core.fill_sampled(&mut sampled);
    assert_eq!(core.counters().n_read_back, n_away);
    assert!(!sampled.iter().any(|span| is_away(&span)));
}
