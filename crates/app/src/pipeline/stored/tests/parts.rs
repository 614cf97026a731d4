//! Parts of requests say what the whole said, whatever memory has let go of them.

use proptest::collection::vec;
use proptest::prelude::*;
use spanwise_model::TraceId;

use super::*;
use crate::pipeline::shards::{Part, Shards};
use crate::pipeline::spares::Spares;

/// A span: its trace, and how long its name and an attribute are.
type Span = (u8, usize, usize);
/// A message, or none; 0 = an empty one.
type Maybe = Option<usize>;
/// A scope with its schema, and its spans.
type Scope = (Maybe, usize, Vec<Span>);
/// A resource with its schema, and its scopes.
type Resource = (Maybe, usize, Vec<Scope>);

/// What becomes of a part.
#[derive(Clone, Copy, Debug)]
enum Fate {
    /// It stays as it came.
    Stored,
    /// Its bytes are let go.
    Lightened,
    /// Its spans wait, trace by trace.
    Waiting,
    /// They wait, without their bytes.
    WaitingAway,
    /// They waited, without their bytes, until the log was too old.
    Relieved,
}

fn field(key: u8, payload: &[u8]) -> Vec<u8> {
    let len = payload.len();
    let varint = [(len & 127) as u8 | 128, (len >> 7 & 127) as u8 | 128, (len >> 14) as u8];
    [&[key][..], &varint, payload].concat()
}

fn attribute(len: usize) -> Vec<u8> {
    let value = field(0x0a, &vec![b'v'; len]);
    [field(0x0a, b"service.name"), field(0x12, &value)].concat()
}

fn message(key: u8, maybe: Maybe, payload: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let payload = |len| if len == 0 { Vec::new() } else { payload(len) };
    maybe.map(|len| field(key, &payload(len))).unwrap_or_default()
}

/// The schema of a resource or scope comes behind its spans.
fn schema(len: usize) -> Vec<u8> {
    if len == 0 { Vec::new() } else { field(0x1a, &vec![b'u'; len]) }
}

/// A request. Span ids are numbers from `first` on.
fn encode(resources: &[Resource], first: u64) -> Bytes {
    let mut number = first;
    let mut out = Vec::new();
    for (resource, url, scopes) in resources {
        let mut of_resource = message(0x0a, *resource, |len| field(0x0a, &attribute(len)));
        for (scope, url, spans) in scopes {
            let mut of_scope = message(0x0a, *scope, |len| field(0x0a, &vec![b's'; len]));
            for (trace, name, attributes) in spans {
                number += 1;
                let trace_id = (u128::from(*trace) + 1).to_be_bytes();
                let times = [&[0x39][..], &number.to_le_bytes(), &[0x41], &number.to_le_bytes()];
                let span = [
                    field(0x0a, &trace_id),
                    field(0x12, &number.to_be_bytes()),
                    message(0x2a, (*name > 0).then_some(*name), |len| vec![b'n'; len]),
                    times.concat(),
                    message(0x4a, (*attributes > 0).then_some(*attributes), attribute),
                ];
                of_scope.extend(field(0x12, &span.concat()));
            }
            of_scope.extend(schema(*url));
            of_resource.extend(field(0x12, &of_scope));
        }
        of_resource.extend(schema(*url));
        out.extend(field(0x0a, &of_resource));
    }
    out.into()
}

fn request() -> impl Strategy<Value = Vec<Resource>> {
    let maybe = || proptest::option::of(0..300_usize);
    let span = (any::<u8>(), 0..200_usize, 0..200_usize);
    let scope = (maybe(), 0..9_usize, vec(span, 0..12));
    vec((maybe(), 0..9_usize, vec(scope, 0..4)), 0..5)
}

fn fate() -> impl Strategy<Value = Fate> {
    use Fate::{Lightened, Relieved, Stored, Waiting, WaitingAway};
    prop_oneof![Just(Stored), Just(Lightened), Just(Waiting), Just(WaitingAway), Just(Relieved)]
}

/// What is said of each span, and what leaves for it.
fn said(spans: &[Placed]) -> BTreeMap<SpanId, (String, String, Vec<u8>, Bytes)> {
    let of = |placed: &Placed| {
        let (batch, idx) = placed;
        let head = &batch.spans[*idx as usize];
        let (name, service) = (batch.name(head).to_owned(), batch.service(head).to_owned());
        let instance = batch.instance(head).to_vec();
        (head.span_id, (name, service, instance, framed(std::slice::from_ref(placed))))
    };
    spans.iter().map(of).collect()
}

fn all_of(batch: &Arc<Batch>) -> Vec<Placed> {
    (0..batch.spans.len() as u32).map(|idx| (Arc::clone(batch), idx)).collect()
}

/// Spans of a part, trace by trace, after what became of them, with their bytes again.
fn suffered(part: Batch, fate: Fate, log: &mut Memory) -> Vec<Placed> {
    let mut part = part;
    if matches!(fate, Fate::Lightened | Fate::WaitingAway | Fate::Relieved) {
        part.lighten();
        assert!(part.spans.iter().all(|head| head.raw.is_away()));
    }
    let mut by_trace: BTreeMap<TraceId, Vec<Placed>> = BTreeMap::new();
    for placed in all_of(&Arc::new(part)) {
        let id = placed.0.spans[placed.1 as usize].trace_id;
        by_trace.entry(id).or_default().push(placed);
    }
    let mut out = Vec::new();
    for mut spans in by_trace.into_values() {
        if matches!(fate, Fate::Waiting | Fate::WaitingAway | Fate::Relieved) {
            let (waiting, is_leased) = cut_out(&spans);
            assert!(is_leased);
            spans = waiting;
        }
        assert_eq!(fill(&mut spans, log).n_unread, 0);
        if matches!(fate, Fate::Relieved) {
            spans = copy_of(&spans);
        }
        out.append(&mut spans);
    }
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Guarantees: whatever a request looks like and into however many parts it is cut, each span of
    /// each part leaves as the whole would have sent it, whether memory still has it, let its bytes go,
    /// or had it wait.
    #[test]
    fn parts_read_back_what_the_whole_said(
        requests in vec(request(), 1..3),
        n_shards in prop_oneof![Just(1_u32), Just(4), 1..=64_u32],
        fates in vec(fate(), 1..20),
    ) {
        let shards = Shards::new(n_shards);
        let mut log = Memory { is_readable: true };
        let mut fates = fates.iter().cycle();
        for (number, resources) in (0..).zip(&requests) {
            let request = encode(resources, number * 1_000);
            let mut whole = decode(request.clone(), &Limits::default()).unwrap().batch;
            let expected = said(&all_of(&Arc::new(whole.clone())));
            whole.is_stored = true;
            let touched = shards.touched(&whole);
            let mut came = BTreeMap::new();
            for Part { shard, mut batch } in shards.cut(whole, &touched, &Spares::default()) {
                prop_assert!(batch.is_stored);
                prop_assert!(batch.spans.iter().all(|head| shards.of(head.trace_id) == shard));
                batch.lease = Some(Arc::new(request.clone()));
                came.extend(said(&suffered(batch, *fates.next().unwrap(), &mut log)));
            }
            prop_assert_eq!(came, expected);
        }
    }
}
