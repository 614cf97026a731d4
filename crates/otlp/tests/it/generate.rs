//! Generated requests, built at the level of the wire: fields in any order and any number, unknown
//! fields and groups between them, singular messages in pieces, oneofs set twice. What protobuf
//! allows and no encoder writes is where a hand-written walk goes wrong.

use proptest::collection::vec;
use proptest::prelude::*;

type Bytes = Vec<u8>;

fn varint(mut value: u64) -> Bytes {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn key(number: u32, wire_type: u32) -> Bytes {
    varint(u64::from(number << 3 | wire_type))
}

/// A length-delimited field.
pub(crate) fn field(number: u32, payload: &[u8]) -> Bytes {
    [key(number, 2), varint(payload.len() as u64), payload.to_vec()].concat()
}

pub(crate) fn fixed64(number: u32, value: u64) -> Bytes {
    [key(number, 1), value.to_le_bytes().to_vec()].concat()
}

fn of(number: u32, payload: impl Strategy<Value = Bytes> + 'static) -> BoxedStrategy<Bytes> {
    payload.prop_map(move |payload| field(number, &payload)).boxed()
}

fn int(number: u32) -> BoxedStrategy<Bytes> {
    let value = prop_oneof![0..8_u64, any::<u64>(), Just(101)];
    value.prop_map(move |v| [key(number, 0), varint(v)].concat()).boxed()
}

fn time(number: u32) -> BoxedStrategy<Bytes> {
    let now = 1_700_000_000_000_000_000_u64;
    let value = prop_oneof![
        8 => (0..100_u64).prop_map(move |ms| now + ms * 1_000_000),
        1 => Just(0),
        1 => any::<u64>(),
    ];
    value.prop_map(move |v| fixed64(number, v)).boxed()
}

fn fixed32(number: u32) -> BoxedStrategy<Bytes> {
    any::<u32>().prop_map(move |v| [key(number, 5), v.to_le_bytes().to_vec()].concat()).boxed()
}

fn text() -> BoxedStrategy<Bytes> {
    prop_oneof![
        4 => "[a-z.]{0,12}".prop_map(String::into_bytes),
        2 => prop::sample::select(vec![
            "service.name", "service.version", "service.instance.id", "k8s.pod.name", "host.name", "url.scheme",
            "http.status_code", "message", "wss", "",
        ]).prop_map(|text| text.as_bytes().to_vec()),
        1 => any::<String>().prop_map(String::into_bytes),
        1 => "[a-z]{120,140}".prop_map(String::into_bytes),
    ]
    .boxed()
}

fn trace_state() -> BoxedStrategy<Bytes> {
    prop_oneof![
        "(a=b, ?)?ot=(rv:[0-9a-f]{14};)?th:[0-9a-g]{0,15}(;x:y)?( ?,c=d)?",
        "[a-z=,:; ]{0,20}",
    ]
    .prop_map(String::into_bytes)
    .boxed()
}

/// A field nobody knows: numbers beyond those in use, every wire type, groups inside groups.
fn unknown() -> BoxedStrategy<Bytes> {
    let number = prop_oneof![17..40_u32, Just((1 << 29) - 1)];
    let flat =
        (number.clone(), vec(any::<u8>(), 0..6), 0..4_u32).prop_map(
            |(n, bytes, form)| match form {
                0 => [key(n, 0), varint(bytes.len() as u64 * 77)].concat(),
                1 => [key(n, 1), vec![7; 8]].concat(),
                2 => [key(n, 5), vec![7; 4]].concat(),
                _ => field(n, &bytes),
            },
        );
    flat.prop_recursive(3, 8, 3, move |inner| {
        (number.clone(), vec(inner, 0..3))
            .prop_map(|(n, inner)| [key(n, 3), inner.concat(), key(n, 4)].concat())
    })
    .boxed()
}

/// Fields drawn from `choices`, in any order and any number.
fn message(choices: Vec<(u32, BoxedStrategy<Bytes>)>, max: usize) -> BoxedStrategy<Bytes> {
    let choices = choices.into_iter().chain([(1, unknown())]).collect();
    let one_field = prop::strategy::Union::new_weighted(choices);
    vec(one_field, 0..=max).prop_map(|fields| fields.concat()).boxed()
}

fn scalar_value() -> BoxedStrategy<Bytes> {
    let bytes = vec(any::<u8>(), 0..8);
    let fields = vec![
        (4, of(1, text())),
        (1, int(2)),
        (2, int(3)),
        (2, time(4)),
        (1, of(7, bytes)),
        (1, int(8)),
    ];
    message(fields, 2)
}

fn attribute_of(value: BoxedStrategy<Bytes>) -> BoxedStrategy<Bytes> {
    let plain = (text(), value.clone()).prop_map(|(k, v)| [field(1, &k), field(2, &v)].concat());
    let strange = message(vec![(3, of(1, text())), (3, of(2, value)), (1, int(3))], 4);
    prop_oneof![3 => plain, 1 => strange].boxed()
}

fn attribute() -> BoxedStrategy<Bytes> {
    let value = scalar_value().prop_recursive(6, 12, 3, |inner| {
        let array = of(5, message(vec![(4, of(1, inner.clone()))], 3));
        let list = of(6, message(vec![(4, of(1, attribute_of(inner)))], 3));
        message(vec![(2, array), (2, list), (1, of(1, text()))], 2)
    });
    attribute_of(value.boxed())
}

fn id(n_bytes: usize) -> BoxedStrategy<Bytes> {
    prop_oneof![
        20 => vec(any::<u8>(), n_bytes),
        1 => Just(vec![0; n_bytes]),
        1 => vec(any::<u8>(), 0..20),
    ]
    .boxed()
}

fn event() -> BoxedStrategy<Bytes> {
    message(vec![(2, time(1)), (3, of(2, text())), (2, of(3, attribute())), (1, int(4))], 4)
}

fn link() -> BoxedStrategy<Bytes> {
    let odd =
        vec![(2, of(3, trace_state())), (2, of(4, attribute())), (1, int(5)), (1, fixed32(6))];
    (id(16), id(8), message(odd, 3))
        .prop_map(|(trace, span, rest)| [field(1, &trace), rest, field(2, &span)].concat())
        .boxed()
}

fn status() -> BoxedStrategy<Bytes> {
    message(vec![(1, of(2, text())), (2, int(3))], 3)
}

fn span() -> BoxedStrategy<Bytes> {
    let fields = vec![
        (2, of(3, trace_state())),
        (2, of(4, id(8))),
        (3, of(5, text())),
        (2, int(6)),
        (2, time(7)),
        (2, time(8)),
        (6, of(9, attribute())),
        (1, int(10)),
        (2, of(11, event())),
        (1, int(12)),
        (1, of(13, link())),
        (1, int(14)),
        (2, of(15, status())),
        (1, fixed32(16)),
    ];
    let times = (time(7), time(8)).prop_map(|(start, end)| [start, end].concat());
    let ids = (of(1, id(16)), of(2, id(8))).prop_map(|(a, b)| [a, b].concat());
    (message(fields.clone(), 8), ids, message(fields, 6), times)
        .prop_map(|(before, ids, after, times)| [before, ids, times, after].concat())
        .boxed()
}

fn scope() -> BoxedStrategy<Bytes> {
    message(vec![(2, of(1, text())), (1, of(2, text())), (1, of(3, attribute())), (1, int(4))], 4)
}

fn resource() -> BoxedStrategy<Bytes> {
    let texts = (1..5_u32).map(|number| (1, of(number, text()))).collect();
    let fields = vec![(6, of(1, attribute())), (1, int(2)), (1, of(3, message(texts, 4)))];
    message(fields, 5)
}

/// A whole request, as bytes; most of its spans are valid.
pub(crate) fn request() -> BoxedStrategy<Bytes> {
    let scope_spans = message(vec![(1, of(1, scope())), (4, of(2, span())), (1, of(3, text()))], 5);
    let resource_spans =
        message(vec![(2, of(1, resource())), (3, of(2, scope_spans)), (1, of(3, text()))], 4);
    message(vec![(5, of(1, resource_spans))], 3)
}

/// One change to a request, by position: a byte overwritten, removed, inserted, or the end cut.
pub(crate) fn mutation() -> BoxedStrategy<(prop::sample::Index, u8, u8)> {
    (any::<prop::sample::Index>(), 0..5_u8, any::<u8>()).boxed()
}

/// Carries out a [`mutation`].
pub(crate) fn mutate(bytes: &mut Bytes, (at, form, value): (prop::sample::Index, u8, u8)) {
    if bytes.is_empty() {
        return bytes.push(value);
    }
    let at = at.index(bytes.len());
    match form {
        0 => bytes[at] = value,
        1 => bytes[at] ^= 1 << (value % 8),
        2 => drop(bytes.remove(at)),
        3 => bytes.insert(at, value),
        _ => bytes.truncate(at),
    }
}
