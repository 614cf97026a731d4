//! Requests of every kind of message, regular and odd, from proptest.

use proptest::collection::vec;
use proptest::prelude::*;

/// A field of a message, by hand, so that no encoder keeps it regular.
pub(crate) fn len(number: u32, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(number << 3 | 2));
    varint(&mut out, payload.len() as u64);
    out.extend_from_slice(payload);
    out
}

pub(crate) fn number(field: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(field << 3));
    varint(&mut out, value);
    out
}

pub(crate) fn fixed64(field: u32, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(field << 3 | 1));
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn fixed32(field: u32, value: u32) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, u64::from(field << 3 | 5));
    out.extend_from_slice(&value.to_le_bytes());
    out
}

fn concat(parts: impl AsRef<[Vec<u8>]>) -> Vec<u8> {
    parts.as_ref().concat()
}

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// An `AnyValue`: each type, nested ones, none, and a float of any bits.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let leaf = prop_oneof![
        "[a-z0-9/ -]{0,12}".prop_map(|text| len(1, text.as_bytes())),
        "[0-9a-f]{16}".prop_map(|text| len(1, text.as_bytes())),
        (0..3_u64).prop_map(|flag| number(2, flag)),
        any::<i64>().prop_map(|int| number(3, int.cast_unsigned())),
        (0..100_u64).prop_map(|int| number(3, int)),
        any::<u64>().prop_map(|bits| fixed64(4, bits)),
        (0..100_000_u32).prop_map(|cents| fixed64(4, (f64::from(cents) / 100.0).to_bits())),
        vec(any::<u8>(), 0..9).prop_map(|bytes| len(7, &bytes)),
        Just(Vec::new()),
        Just(concat([number(3, 1), number(3, 2)])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3)
                .prop_map(|all| len(5, &concat(all.iter().map(|v| len(1, v)).collect::<Vec<_>>()))),
            inner
                .prop_map(|value| { len(6, &len(1, &concat([len(1, b"inner"), len(2, &value)]))) }),
        ]
    })
}

fn attribute() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![Just("http.route"), Just("user.id"), Just("size"), Just("")];
    let regular =
        (key, any_value()).prop_map(|(key, v)| concat([len(1, key.as_bytes()), len(2, &v)]));
    prop_oneof![
        9 => regular,
        1 => any_value().prop_map(|value| concat([len(2, &value), len(1, b"turned")])),
        1 => Just(len(1, b"no value")),
        1 => vec(any::<u8>(), 0..6),
    ]
}

fn event() -> impl Strategy<Value = Vec<u8>> {
    let parts = (time(), vec(attribute(), 0..3), any::<bool>(), 0..4_u64);
    parts.prop_map(|(at, attributes, has_name, n_dropped)| {
        let mut fields = vec![fixed64(1, at)];
        if has_name {
            fields.push(len(2, b"exception"));
        }
        fields.extend(attributes.iter().map(|attribute| len(3, attribute)));
        if n_dropped > 0 {
            fields.push(number(4, n_dropped));
        }
        concat(fields)
    })
}

fn link() -> impl Strategy<Value = Vec<u8>> {
    (any::<u128>(), any::<u64>(), vec(attribute(), 0..2), any::<u32>()).prop_map(
        |(trace, span, attributes, flags)| {
            let mut fields = vec![len(1, &trace.to_be_bytes()), len(2, &span.to_be_bytes())];
            fields.extend(attributes.iter().map(|attribute| len(4, attribute)));
            fields.push(fixed32(6, flags));
            concat(fields)
        },
    )
}

fn time() -> impl Strategy<Value = u64> {
    let base = 1_700_000_000_000_000_000_u64;
    prop_oneof![
        4 => (0..10_000_000_000_u64).prop_map(move |at| base + at),
        2 => (0..10_000_u64).prop_map(move |at| base + at * 1_000_000),
        1 => Just(0),
        1 => any::<u64>(),
    ]
}

/// Fields of a span that may be there or not, known, unknown and wrong.
fn extra() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => attribute().prop_map(|attribute| len(9, &attribute)),
        2 => event().prop_map(|event| len(11, &event)),
        1 => link().prop_map(|link| len(13, &link)),
        1 => Just(len(15, &number(3, 2))),
        1 => "[a-z ]{0,9}".prop_map(|m| len(15, &concat([len(2, m.as_bytes()), number(3, 2)]))),
        1 => Just(len(3, b"vendor=1")),
        1 => any::<u32>().prop_map(|flags| fixed32(16, flags)),
        1 => (0..99_u64).prop_map(|n| number(10, n)),
        1 => vec(any::<u8>(), 0..5).prop_map(|bytes| len(99, &bytes)),
        1 => any::<u64>().prop_map(|value| fixed64(98, value)),
        1 => Just(vec![0x9b, 0x06, 0x9c, 0x06]),
        1 => vec(any::<u8>(), 0..5),
    ]
}

/// A span of few traces and few ids, so that trees, duplicates, orphans and cycles all come up.
fn span() -> impl Strategy<Value = Vec<u8>> {
    let ids = (0..4_u128, 0..8_u64, prop_oneof![Just(None), (0..10_u64).prop_map(Some)]);
    let times = (time(), time());
    let names = prop_oneof![Just("GET /"), Just("query"), Just("")];
    let rest = (names, 0..7_u64, vec(extra(), 0..4), 0..12_u8);
    (ids, times, rest).prop_map(|((trace, id, parent), (start, end), (name, kind, extra, odd))| {
        let mut fields = vec![len(1, &trace.to_be_bytes()), len(2, &id.to_be_bytes())];
        fields.extend(parent.map(|parent| len(4, &parent.to_be_bytes())));
        fields.push(len(5, name.as_bytes()));
        fields.push(number(6, kind));
        fields.push(fixed64(7, start));
        fields.push(fixed64(8, end));
        fields.extend(extra);
        match odd {
            0 => fields.reverse(),
            1 => fields[1] = len(2, &[1, 2, 3]),
            2 => fields.truncate(1),
            3 => fields[3] = vec![0x30, 0x81, 0x00],
            _ => {}
        }
        concat(fields)
    })
}

fn scope_spans() -> impl Strategy<Value = Vec<u8>> {
    let scope = prop_oneof![Just(None), Just(Some(len(1, b"lib"))), Just(Some(Vec::new()))];
    (scope, vec(span(), 0..6), any::<bool>()).prop_map(|(scope, spans, has_url)| {
        let mut fields: Vec<Vec<u8>> = scope.iter().map(|scope| len(1, scope)).collect();
        fields.extend(spans.iter().map(|span| len(2, span)));
        if has_url {
            fields.push(len(3, b"https://example.invalid/schema"));
        }
        concat(fields)
    })
}

fn resource_spans() -> impl Strategy<Value = Vec<u8>> {
    let service = prop_oneof![Just("a"), Just("b"), Just("")];
    (service, 0..3_u8, vec(scope_spans(), 0..3)).prop_map(|(service, pod, scopes)| {
        let attribute = |key: &str, value: &[u8]| {
            len(1, &concat([len(1, key.as_bytes()), len(2, &len(1, value))]))
        };
        let mut resource = attribute("service.name", service.as_bytes());
        resource.extend(attribute("pod", &[b'0' + pod]));
        let mut fields = vec![len(1, &resource)];
        fields.extend(scopes.iter().map(|scope| len(2, scope)));
        concat(fields)
    })
}

/// A request.
pub(crate) fn request() -> impl Strategy<Value = Vec<u8>> {
    vec(resource_spans(), 0..4)
        .prop_map(|all| concat(all.iter().map(|r| len(1, r)).collect::<Vec<_>>()))
}
