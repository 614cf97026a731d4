//! Limits refuse before anything is built, whatever the message that repeats.

use bytes::Bytes;
use spanwise_model::{Batch, ResourceHead, ScopeHead, SpanHead};
use spanwise_otlp::{DecodeError, Limits, decode, decode_into, json_to_protobuf};

use crate::generate::{field, fixed64};

/// The least span that is accepted, as a field of `ScopeSpans`.
fn least_span() -> Vec<u8> {
    field(2, &[field(1, &[1; 16]), field(2, &[2; 8])].concat())
}

/// `n` empty messages of a kind, inside what surrounds it.
fn empty_messages(number: u32, around: &[u32], n: usize) -> Bytes {
    let mut bytes = field(number, &[]).repeat(n);
    for number in around {
        bytes = field(*number, &bytes);
    }
    bytes.into()
}

/// Scenario: megabytes of messages that take two bytes each, of each kind that may repeat.
/// Guarantees: refused, or accepted with nothing built from them.
#[test]
fn empty_messages_build_nothing() {
    let limits = Limits::default();
    let n = 2_000_000;
    let kinds: &[(&str, u32, &[u32])] = &[
        ("resource spans", 1, &[]),
        ("scope spans", 2, &[1]),
        ("spans", 2, &[2, 1]),
        ("attributes", 9, &[2, 2, 1]),
        ("events", 11, &[2, 2, 1]),
        ("links", 13, &[2, 2, 1]),
        ("resource attributes", 1, &[1, 1]),
        ("array values", 1, &[5, 2, 9, 2, 2, 1]),
        ("resources in pieces", 1, &[1]),
    ];
    for (kind, number, around) in kinds {
        let request = empty_messages(*number, around, n);
        let mut batch = Batch::default();
        let result = decode_into(request, &limits, &mut batch);
        let is_item = matches!(*kind, "spans" | "events" | "links");
        match result {
            Err(error) => assert!(is_item && error.is_oversize(), "{kind}: {error}"),
            Ok(_) => assert!(!is_item, "{kind} passed"),
        }
        let built = batch.heap_bytes() - batch.bytes.len() as u64;
        assert!(built <= 1_000, "{kind} built {built} bytes");
    }
}

#[test]
fn empty_messages_of_json_build_nothing() {
    let limits = Limits::default();
    let n = 1_000_000;
    for (open, close, is_item) in [
        (r#"{"resourceSpans":["#, "]}", false),
        (r#"{"resourceSpans":[{"scopeSpans":["#, "]}]}", false),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":["#, "]}]}]}", true),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"attributes":["#, "]}]}]}]}", false),
        (r#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"events":["#, "]}]}]}]}", true),
    ] {
        let text = format!("{open}{{}}{}{close}", ",{}".repeat(n));
        match json_to_protobuf(text.as_bytes(), &limits) {
            Err(error) => assert!(is_item && error.is_oversize(), "{open}: {error}"),
            Ok(bytes) => assert!(!is_item && bytes.len() <= text.len(), "{open}"),
        }
    }
}

#[test]
fn the_cost_counts_every_head_that_could_be_built() {
    let request: Bytes = field(1, &field(2, &least_span().repeat(100))).into();
    let cost = request.len()
        + 100 * size_of::<SpanHead>()
        + size_of::<ResourceHead>()
        + size_of::<ScopeHead>();
    let limits = Limits { decoded_cost_bytes: cost as u64, ..Limits::default() };
    let decoded = decode(request.clone(), &limits).unwrap();
    assert_eq!(decoded.report.cost_bytes, cost as u64);
    assert_eq!(decoded.batch.heap_bytes(), cost as u64);
    let limits = Limits { decoded_cost_bytes: cost as u64 - 1, ..limits };
    assert!(matches!(decode(request, &limits), Err(DecodeError::TooCostly { .. })));
}

#[test]
fn a_request_at_each_limit_passes_and_one_more_does_not() {
    let spans = |n| Bytes::from(field(1, &field(2, &least_span().repeat(n))));
    let limits = Limits { n_items: 5, ..Limits::default() };
    assert!(decode(spans(5), &limits).is_ok());
    assert_eq!(decode(spans(6), &limits).unwrap_err(), DecodeError::TooManyItems { limit: 5 });
    let n_bytes = spans(5).len() as u64;
    let limits = Limits { request_bytes: n_bytes, ..Limits::default() };
    assert!(decode(spans(5), &limits).is_ok());
    let error = decode(spans(6), &limits).unwrap_err();
    assert!(matches!(error, DecodeError::TooLarge { limit, .. } if limit == n_bytes));
}

#[test]
fn values_nest_to_the_limit() {
    let nested = |depth: usize| {
        let mut value = field(1, b"x");
        for _ in 1..depth {
            value = field(5, &field(1, &value));
        }
        let attribute = field(9, &field(2, &value));
        let span = [field(1, &[1; 16]), field(2, &[2; 8]), attribute].concat();
        Bytes::from(field(1, &field(2, &field(2, &span))))
    };
    let limits = Limits::default();
    assert!(decode(nested(16), &limits).is_ok());
    let error = decode(nested(17), &limits).unwrap_err();
    assert!(matches!(error, DecodeError::TooDeep { limit: 16, .. }), "{error:?}");
    assert!(decode(nested(2_000), &Limits { depth: u32::MAX, ..limits }).is_err());
}

#[test]
fn groups_nest_to_the_limit() {
    let groups = |n: usize| Bytes::from([[0xa3, 0x06].repeat(n), [0xa4, 0x06].repeat(n)].concat());
    let limits = Limits::default();
    assert!(decode(groups(16), &limits).is_ok());
    assert!(matches!(decode(groups(17), &limits), Err(DecodeError::TooDeep { .. })));
    assert!(decode(groups(1_000_000), &Limits { depth: u32::MAX, ..limits }).is_err());
}

/// Scenario: one batch reused for request after request.
/// Guarantees: its tables stay where they are and nothing is allocated; after an error it is empty.
#[test]
fn a_reused_batch_keeps_its_tables() {
    let request = |n| Bytes::from(field(1, &field(2, &least_span().repeat(n))));
    let limits = Limits::default();
    let mut batch = Batch::default();
    decode_into(request(512), &limits, &mut batch).unwrap();
    let tables = |b: &Batch| (b.spans.as_ptr(), b.resources.as_ptr(), b.scopes.as_ptr());
    let (before, capacity) = (tables(&batch), batch.spans.capacity());
    for n in [512, 1, 300, 512] {
        let request = request(n);
        let allocated = allocation_counter::measure(|| {
            decode_into(request, &limits, &mut batch).unwrap();
        });
        assert_eq!(allocated.count_total, 0);
        assert_eq!((batch.spans.len(), tables(&batch)), (n, before));
    }
    assert_eq!(batch.spans.capacity(), capacity);
    let cut = request(512).slice(..1_000);
    decode_into(cut, &limits, &mut batch).unwrap_err();
    assert!(batch.spans.is_empty() && batch.bytes.is_empty() && batch.resources.is_empty());
}

/// Scenario: a resource and a scope in three pieces each, their fields spread over them.
/// Guarantees: one head each, whose bytes are the pieces joined; what the batch holds is still a
/// request that means the same; the copy is charged.
#[test]
fn messages_in_pieces_are_joined() {
    let text = |key: &str, value: &str| {
        field(1, &[field(1, key.as_bytes()), field(2, &field(1, value.as_bytes()))].concat())
    };
    let pieces = [text("a", "b"), text("service.name", "cart"), text("host.name", "h")];
    let scope = [field(1, b"lib"), field(2, b"1.0"), field(1, b"lib2")];
    let span = least_span();
    let scope_spans = [field(1, &scope[0]), span.clone(), field(1, &scope[1]), field(1, &scope[2])];
    let scope_spans = field(2, &scope_spans.concat());
    let resource_spans =
        [field(1, &pieces[0]), scope_spans, field(1, &pieces[1]), field(1, &pieces[2])].concat();
    let request = Bytes::from([field(1, &resource_spans), fixed64(90, 7)].concat());
    assert!(crate::oracle::check_protobuf(&request));

    let decoded = decode(request.clone(), &Limits::default()).unwrap();
    let batch = &decoded.batch;
    assert_eq!((batch.resources.len(), batch.scopes.len()), (1, 1));
    assert_eq!(batch.resources[0].raw.of(&batch.bytes), pieces.concat());
    assert_eq!(batch.scopes[0].raw.of(&batch.bytes), scope.concat());
    assert_eq!(batch.service(&batch.spans[0]), "cart");
    assert!(batch.bytes.starts_with(&request) && batch.bytes.len() > request.len());
    assert!(decoded.report.cost_bytes >= batch.heap_bytes());
    let limits = Limits { decoded_cost_bytes: batch.bytes.len() as u64, ..Limits::default() };
    assert!(decode(request, &limits).unwrap_err().is_oversize());
}
