//! The walk against prost, and OTLP/JSON against opentelemetry-proto's own serde: the same checks
//! for unit tests, generated input and the fuzz targets (which include this file).
//!
//! Each check panics when the two sides disagree. What may differ is written where it is allowed.

use std::collections::BTreeSet;

use bytes::Bytes;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest as Request;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message as _;
use spanwise_model::{
    AttributeSource as _, Batch, MAX_DURATION_NS, SpanFields as _, SpanFlags, SpanHead, SpanKind,
    StatusCode, ValueRef,
};
use spanwise_otlp::{
    DecodeError, Decoded, KeptSpan, Limits, Shift, WireAttributes, decode, json_to_protobuf,
    reframe, shift,
};

/// Keys looked up per span: enough for real spans, and a bound for absurd ones.
const N_KEYS_MAX: usize = 16;

/// Same verdict and same spans as prost; kept spans come back byte for byte. Whether the request
/// was accepted.
pub(crate) fn check_protobuf(bytes: &[u8]) -> bool {
    let limits = Limits::default();
    let ours = decode(Bytes::copy_from_slice(bytes), &limits);
    let theirs = Request::decode(bytes);
    match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            check_spans(&ours, &theirs);
            check_reframed(&ours.batch);
            check_shift(bytes, &ours.batch);
            true
        }
        // prost has no limits of ours: it may well accept what we refuse as too much or too deep.
        (Err(error), _) if !matches!(error, DecodeError::Malformed { .. }) => false,
        (Err(_), Err(_)) => false,
        (Ok(_), Err(error)) => panic!("prost refuses what the walk accepts: {error}"),
        (Err(error), Ok(_)) => panic!("prost accepts what the walk refuses: {error}"),
    }
}

/// What OTLP/JSON becomes is protobuf that both sides read, hardly longer than the text, and the
/// same as opentelemetry-proto reads where it reads the text at all. Whether it was accepted.
pub(crate) fn check_json(text: &[u8]) -> bool {
    let limits = Limits::default();
    let bytes = match json_to_protobuf(text, &limits) {
        Ok(bytes) => bytes,
        Err(error) => {
            assert!(error.to_string().len() <= 256, "{error}");
            return false;
        }
    };
    assert!(bytes.len() <= text.len() + text.len() / 10, "{} from {}", bytes.len(), text.len());
    let ours = Request::decode(&bytes[..]).unwrap();
    assert!(check_protobuf(&bytes), "the walk refuses what became of json");
    if is_beyond_comparison(&ours, text) {
        return true;
    }
    if let Ok(theirs) = serde_json::from_slice::<Request>(text)
        && without_bad_ids(theirs.clone()).encode_to_vec()
            != without_bad_ids(ours.clone()).encode_to_vec()
    {
        panic!("json read differently: {ours:?} against {theirs:?}");
    }
    true
}

/// Ids of a wrong length come out of OTLP/JSON as another wrong id, which is as bad.
pub(crate) fn without_bad_ids(mut request: Request) -> Request {
    let clear = |id: &mut Vec<u8>, n_bytes| {
        if !id.is_empty() && id.len() != n_bytes {
            *id = vec![0xff];
        }
    };
    let scopes = request.resource_spans.iter_mut().flat_map(|rs| &mut rs.scope_spans);
    for span in scopes.flat_map(|ss| &mut ss.spans) {
        clear(&mut span.trace_id, 16);
        clear(&mut span.span_id, 8);
        clear(&mut span.parent_span_id, 8);
        for link in &mut span.links {
            clear(&mut link.trace_id, 16);
            clear(&mut link.span_id, 8);
        }
    }
    request
}

/// opentelemetry-proto merges two message members of one `AnyValue` differently, and reads the fields
/// that belong to profiles: not compared.
fn is_beyond_comparison(ours: &Request, text: &[u8]) -> bool {
    let n_names = text.windows(6).filter(|w| w == b"Value\"").count();
    let mut n_values = 0;
    for_each_value(ours, &mut |_| n_values += 1);
    n_names != n_values || text.windows(7).any(|w| w == b"trindex")
}

fn for_each_value(request: &Request, visit: &mut impl FnMut(&Value)) {
    fn all(attributes: &[KeyValue], visit: &mut impl FnMut(&Value)) {
        attributes.iter().filter_map(|kv| kv.value.as_ref()).for_each(|value| one(value, visit));
    }
    fn one(value: &AnyValue, visit: &mut impl FnMut(&Value)) {
        let Some(value) = &value.value else { return };
        visit(value);
        match value {
            Value::ArrayValue(list) => list.values.iter().for_each(|value| one(value, visit)),
            Value::KvlistValue(list) => all(&list.values, visit),
            _ => {}
        }
    }
    for resource_spans in &request.resource_spans {
        all(resource_spans.resource.as_ref().map_or(&[], |r| &r.attributes), visit);
        for scope_spans in &resource_spans.scope_spans {
            all(scope_spans.scope.as_ref().map_or(&[], |s| &s.attributes), visit);
            for span in &scope_spans.spans {
                all(&span.attributes, visit);
                span.events.iter().for_each(|event| all(&event.attributes, visit));
                span.links.iter().for_each(|link| all(&link.attributes, visit));
            }
        }
    }
}

/// A span of prost's with what surrounds it.
struct Expected<'r> {
    resource_spans: &'r ResourceSpans,
    scope_spans: &'r ScopeSpans,
    span: &'r Span,
}

fn is_id(bytes: &[u8], n_bytes: usize) -> bool {
    bytes.len() == n_bytes && bytes.iter().any(|byte| *byte != 0)
}

fn is_accepted(span: &Span) -> bool {
    let parent_len = span.parent_span_id.len();
    is_id(&span.trace_id, 16) && is_id(&span.span_id, 8) && (parent_len == 0 || parent_len == 8)
}

fn check_spans(ours: &Decoded, theirs: &Request) {
    let Decoded { batch, report } = ours;
    assert!(batch.heap_bytes() <= report.cost_bytes, "{report:?}");
    let all: Vec<Expected<'_>> = theirs.resource_spans.iter().flat_map(spans_of).collect();
    let accepted: Vec<&Expected<'_>> = all.iter().filter(|e| is_accepted(e.span)).collect();
    assert_eq!(report.n_spans as usize, all.len());
    assert_eq!(report.n_rejected() as usize, all.len() - accepted.len());
    assert_eq!(batch.spans.len(), accepted.len());
    let links = all.iter().flat_map(|e| &e.span.links);
    let n_bad_links = links.filter(|l| !is_id(&l.trace_id, 16) || !is_id(&l.span_id, 8)).count();
    assert_eq!(report.n_bad_links as usize, n_bad_links);
    let n_invalid = accepted.iter().filter(|e| duration_of(e.span).is_none()).count();
    assert_eq!(report.n_invalid_time as usize, n_invalid);
    for (span_idx, (head, expected)) in batch.spans.iter().zip(accepted).enumerate() {
        check_head(batch, head, expected.span);
        check_context(batch, head, expected);
        check_attributes(batch, span_idx as u32, expected);
    }
}

fn spans_of(resource_spans: &ResourceSpans) -> impl Iterator<Item = Expected<'_>> {
    resource_spans.scope_spans.iter().flat_map(move |scope_spans| {
        scope_spans.spans.iter().map(move |span| Expected { resource_spans, scope_spans, span })
    })
}

fn duration_of(span: &Span) -> Option<u64> {
    let duration = span.end_time_unix_nano.checked_sub(span.start_time_unix_nano)?;
    (span.start_time_unix_nano != 0 && duration <= MAX_DURATION_NS).then_some(duration)
}

fn check_head(batch: &Batch, head: &SpanHead, span: &Span) {
    assert_eq!(&head.trace_id.0[..], span.trace_id);
    assert_eq!(&head.span_id.0[..], span.span_id);
    if span.parent_span_id.is_empty() {
        assert!(head.is_root());
    } else {
        assert_eq!(&head.parent_id.0[..], span.parent_span_id);
    }
    assert_eq!((head.start.0, head.end.0), (span.start_time_unix_nano, span.end_time_unix_nano));
    assert_eq!(head.duration_ns(), duration_of(span));
    assert_eq!(head.flags.contains(SpanFlags::INVALID_TIME), duration_of(span).is_none());
    assert_eq!(head.flags.contains(SpanFlags::HAS_EVENTS), !span.events.is_empty());
    assert_eq!(head.flags.contains(SpanFlags::HAS_LINKS), !span.links.is_empty());
    assert_eq!(head.kind, SpanKind::from_otlp(span.kind));
    let status = span.status.as_ref().map_or(0, |status| status.code);
    assert_eq!(head.status, StatusCode::from_otlp(status));
    assert_eq!(batch.name(head), span.name);
    assert_eq!(head.threshold, threshold_of(&span.trace_state), "{}", span.trace_state);
    same_message(head.raw.of(&batch.bytes), span);
}

/// T of `ot=th`, written down once more and more slowly.
fn threshold_of(trace_state: &str) -> u64 {
    let ascii = |c: char| c.is_ascii_whitespace();
    let member = trace_state.split(',').find_map(|m| m.trim_matches(ascii).strip_prefix("ot="));
    let digits = member.and_then(|list| list.split(';').find_map(|e| e.strip_prefix("th:")));
    let digits = digits.filter(|d| d.chars().all(|c| c.is_ascii_hexdigit()));
    let digits = digits.filter(|d| (1..=14).contains(&d.len()));
    digits.map_or(0, |digits| u64::from_str_radix(&format!("{digits:0<14}"), 16).unwrap())
}

/// Both sides encoded, because a NaN attribute does not equal itself.
fn same_message<M: prost::Message + Default>(raw: &[u8], expected: &M) {
    assert_eq!(M::decode(raw).unwrap().encode_to_vec(), expected.encode_to_vec());
}

fn check_context(batch: &Batch, head: &SpanHead, expected: &Expected<'_>) {
    let resource = &batch.resources[head.resource_idx as usize];
    let scope = &batch.scopes[head.scope_idx as usize];
    let default = Resource::default();
    let wanted = expected.resource_spans.resource.as_ref().unwrap_or(&default);
    same_message(resource.raw.of(&batch.bytes), wanted);
    let text_of = |key: &str| wanted.attributes.iter().find_map(|kv| text_of(kv, key));
    assert_eq!(batch.service(head), text_of("service.name").unwrap_or("unknown_service"));
    let instance = text_of("service.instance.id")
        .or_else(|| text_of("k8s.pod.name"))
        .or_else(|| text_of("host.name"));
    assert_eq!(batch.instance(head), instance.unwrap_or_default().as_bytes());
    let version = resource.version.of(&batch.bytes);
    assert_eq!(version, text_of("service.version").unwrap_or_default().as_bytes());
    let wanted = expected.scope_spans.scope.clone().unwrap_or_default();
    same_message::<InstrumentationScope>(scope.raw.of(&batch.bytes), &wanted);
    let url = resource.schema_url.of(&batch.bytes);
    assert_eq!(url, expected.resource_spans.schema_url.as_bytes());
    assert_eq!(scope.schema_url.of(&batch.bytes), expected.scope_spans.schema_url.as_bytes());
}

/// The value of an attribute with this key, if it is a string and not empty.
fn text_of<'a>(attribute: &'a KeyValue, key: &str) -> Option<&'a str> {
    match &attribute.value.as_ref()?.value {
        Some(Value::StringValue(text)) if attribute.key == key && !text.is_empty() => Some(text),
        _ => None,
    }
}

fn check_attributes(batch: &Batch, span_idx: u32, expected: &Expected<'_>) {
    let of_resource = expected.resource_spans.resource.as_ref().map_or(&[][..], |r| &r.attributes);
    let all = || expected.span.attributes.iter().chain(of_resource);
    let keys: BTreeSet<&str> = all().take(N_KEYS_MAX).map(|kv| kv.key.as_str()).collect();
    for key in keys {
        let wanted = all().find(|kv| kv.key == key).and_then(|kv| kv.value.as_ref());
        let wanted = wanted.and_then(|value| value.value.as_ref());
        let found = WireAttributes.attribute(batch, span_idx, key).unwrap();
        assert!(is_same(found, wanted), "{key}: {found:?} against {wanted:?}");
        let head = &batch.spans[span_idx as usize];
        let of_span = WireAttributes.span_attribute(batch, span_idx, key);
        check_one(of_span, &expected.span.attributes, key);
        let found = WireAttributes.resource_attribute(batch, head.resource_idx, key);
        check_one(found, of_resource, key);
    }
    assert_eq!(WireAttributes.trace_state(batch, span_idx), expected.span.trace_state);
    assert_eq!(WireAttributes.flags(batch, span_idx), expected.span.flags);
    let absent = "a key of nobody";
    if all().all(|kv| kv.key != absent) {
        assert_eq!(WireAttributes.attribute(batch, span_idx, absent), None);
    }
}

/// What was found in one message alone.
fn check_one(found: Option<ValueRef<'_>>, attributes: &[KeyValue], key: &str) {
    let wanted = attributes.iter().find(|kv| kv.key == key);
    assert_eq!(found.is_some(), wanted.is_some(), "{key}");
    let value = wanted.and_then(|kv| kv.value.as_ref()).and_then(|value| value.value.as_ref());
    assert!(found.is_none_or(|found| is_same(found, value)), "{key}: {found:?} against {value:?}");
}

fn is_same(found: ValueRef<'_>, wanted: Option<&Value>) -> bool {
    match (found, wanted) {
        (ValueRef::Str(a), Some(Value::StringValue(b))) => a == b,
        (ValueRef::Bool(a), Some(Value::BoolValue(b))) => a == *b,
        (ValueRef::Int(a), Some(Value::IntValue(b))) => a == *b,
        (ValueRef::Double(a), Some(Value::DoubleValue(b))) => a.to_bits() == b.to_bits(),
        (ValueRef::Bytes(a), Some(Value::BytesValue(b))) => a == b,
        (ValueRef::Other, None) => true,
        (ValueRef::Other, Some(value)) => matches!(
            value,
            Value::ArrayValue(_) | Value::KvlistValue(_) | Value::StringValueStrindex(_)
        ),
        _ => false,
    }
}

/// Every accepted span with what surrounds it (a message that is absent differs from an empty one),
/// encoded and sorted, so that two requests can be compared as sets.
fn contexts(request: &Request) -> Vec<[Option<Vec<u8>>; 5]> {
    let spans = request.resource_spans.iter().flat_map(spans_of);
    let context = |e: Expected<'_>| {
        [
            e.resource_spans.resource.as_ref().map(prost::Message::encode_to_vec),
            Some(e.resource_spans.schema_url.clone().into_bytes()),
            e.scope_spans.scope.as_ref().map(prost::Message::encode_to_vec),
            Some(e.scope_spans.schema_url.clone().into_bytes()),
            Some(e.span.encode_to_vec()),
        ]
    };
    let mut contexts: Vec<_> = spans.filter(|e| is_accepted(e.span)).map(context).collect();
    contexts.sort();
    contexts
}

/// All spans of a batch framed anew: the same spans in the same surroundings, byte for byte.
fn check_reframed(batch: &Batch) {
    let kept: Vec<KeptSpan<'_>> = (0..batch.spans.len() as u32)
        .map(|span_idx| KeptSpan { batch, span_idx, stamp: &[] })
        .collect();
    let reframed = reframe(&kept);
    let limits = Limits { n_items: u32::MAX, decoded_cost_bytes: u64::MAX, ..Limits::default() };
    let again = decode(reframed.bytes.clone(), &limits).unwrap().batch;
    assert_eq!(reframed.order.len(), kept.len());
    assert_eq!(again.spans.len(), kept.len());
    for (head, position) in again.spans.iter().zip(&reframed.order) {
        let original = &batch.spans[*position as usize];
        assert_eq!(head.raw.of(&again.bytes), original.raw.of(&batch.bytes));
        let resource = |batch: &Batch, head: &SpanHead| {
            batch.resources[head.resource_idx as usize].raw.of(&batch.bytes).to_vec()
        };
        assert_eq!(resource(&again, head), resource(batch, original));
    }
    let request = Request::decode(&batch.bytes[..]).unwrap();
    assert_eq!(contexts(&request), contexts(&Request::decode(&reframed.bytes[..]).unwrap()));
}

/// Moving times and ids changes no length, no duration and no span's neighbours; moving nothing
/// changes nothing.
fn check_shift(bytes: &[u8], batch: &Batch) {
    let limits = Limits::default();
    assert_eq!(shift(bytes, Shift::default(), &limits).unwrap(), bytes);
    let moved = shift(bytes, Shift { delta_ns: 1_000_000_007, id_key: 0x5eed }, &limits).unwrap();
    assert_eq!(moved.len(), bytes.len());
    let moved = decode(moved, &limits).unwrap().batch;
    assert_eq!(moved.spans.len(), batch.spans.len());
    for (a, b) in batch.spans.iter().zip(&moved.spans) {
        assert_eq!((a.span_id, a.parent_id, a.name), (b.span_id, b.parent_id, b.name));
        assert_eq!(a.trace_id.low64(), b.trace_id.low64());
        if a.duration_ns().is_some() && a.end.0 < u64::MAX / 2 {
            assert_eq!(a.duration_ns(), b.duration_ns());
            assert_eq!(a.start.0 + 1_000_000_007, b.start.0);
        }
    }
}
