//! A generated window as OTLP requests, every resource marked as synthetic.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::traces::Place;

use super::domain::{Datum, Domain, Key, RARE};
use super::generate::Generated;
use super::model::Model;
use super::template::fill;
use super::topology::NONE;

/// Spans of a request.
const REQUEST_SPANS: usize = 512;
const SCOPE: &[u8] = b"spanwise.archive";

/// How generated spans say what they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark {
    /// The archive: ids of traces and spans derive from it.
    pub(crate) archive_id: [u8; 16],
    /// `l2` or `l3`.
    pub(crate) level: &'static str,
    /// `structured` or `ctgan`.
    pub(crate) method: &'static str,
}

/// A protobuf message under construction.
#[derive(Debug, Default)]
struct Message(Vec<u8>);

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn bytes(&mut self, field: u64, bytes: &[u8]) {
        self.varint(field << 3 | 2);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn number(&mut self, field: u64, value: u64) {
        self.varint(field << 3);
        self.varint(value);
    }

    fn fixed(&mut self, field: u64, value: u64) {
        self.varint(field << 3 | 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn attribute(&mut self, field: u64, key: &[u8], value: &Datum) {
        let mut inner = Self::default();
        match value {
            Datum::Str(text) => inner.bytes(1, text),
            Datum::Bool(flag) => inner.number(2, u64::from(*flag)),
            Datum::Int(number) => inner.number(3, number.cast_unsigned()),
            Datum::Double(bits) => inner.fixed(4, *bits),
            Datum::Bytes(bytes) => inner.bytes(7, bytes),
            Datum::Other(raw) => inner.0.extend_from_slice(raw),
        }
        let mut pair = Self::default();
        pair.bytes(1, key);
        pair.bytes(2, &inner.0);
        self.bytes(field, &pair.0);
    }
}

/// Writes a window as requests of at most 512 spans, traces in order of start.
///
/// # Errors
/// What `sink` fails with, at once.
pub(crate) fn emit<E>(
    model: &Model,
    generated: &Generated,
    mark: &Mark,
    sink: &mut impl FnMut(Bytes) -> Result<(), E>,
) -> Result<(), E> {
    let resources: Vec<Vec<u8>> =
        (0..model.resources.len()).map(|at| resource(model, at, mark)).collect();
    let mut pending: BTreeMap<usize, Vec<u8>> = BTreeMap::new();
    let mut n_pending = 0;
    let codes = &generated.codes;
    let ids = Ids { key: blake3::derive_key("spanwise archive ids", &mark.archive_id) };
    for span in 0..codes.n_spans() {
        let resource = usize::from(codes.slots[codes.base[span] as usize]).saturating_sub(1);
        let message = self::span(model, generated, span, &ids);
        let mut framed = Message(std::mem::take(pending.entry(resource).or_default()));
        framed.bytes(2, &message.0);
        pending.insert(resource, framed.0);
        n_pending += 1;
        if n_pending == REQUEST_SPANS {
            sink(request(&resources, &mut pending))?;
            n_pending = 0;
        }
    }
    if n_pending > 0 { sink(request(&resources, &mut pending)) } else { Ok(()) }
}

fn request(resources: &[Vec<u8>], pending: &mut BTreeMap<usize, Vec<u8>>) -> Bytes {
    let mut request = Message::default();
    for (resource, spans) in std::mem::take(pending) {
        let mut scope = Message::default();
        scope.bytes(1, SCOPE);
        let mut scope_spans = Message::default();
        scope_spans.bytes(1, &scope.0);
        scope_spans.0.extend_from_slice(&spans);
        let mut resource_spans = Message::default();
        resource_spans.bytes(1, resources.get(resource).map_or(&[], |bytes| &bytes[..]));
        resource_spans.bytes(2, &scope_spans.0);
        request.bytes(1, &resource_spans.0);
    }
    request.0.into()
}

fn resource(model: &Model, at: usize, mark: &Mark) -> Vec<u8> {
    let mut message = Message::default();
    for (key, value) in &model.resources[at].attributes {
        message.attribute(1, key, value);
    }
    let hex = format!("{:032x}", u128::from_be_bytes(mark.archive_id));
    message.attribute(1, b"trace.synthetic", &Datum::Bool(true));
    message.attribute(1, b"trace.synthetic.archive_id", &Datum::Str(hex.into_bytes()));
    message.attribute(1, b"trace.synthetic.level", &Datum::Str(mark.level.as_bytes().to_vec()));
    message.attribute(1, b"trace.synthetic.method", &Datum::Str(mark.method.as_bytes().to_vec()));
    message.0
}

/// Ids from the archive's id and a number, so that whoever has the archive can check membership.
struct Ids {
    key: [u8; 32],
}

impl Ids {
    fn of<const N: usize>(&self, what: u8, number: u64) -> [u8; N] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&[what]);
        hasher.update(&number.to_le_bytes());
        let mut id = [0; N];
        hasher.finalize_xof().fill(&mut id);
        // All zeros would mean "none".
        id[0] |= u8::from(id == [0; N]);
        id
    }
}

fn span(model: &Model, generated: &Generated, span: usize, ids: &Ids) -> Message {
    let codes = &generated.codes;
    let trace = codes.trace[span] as usize;
    let begin = codes.offsets[trace] as usize;
    let position = span - begin;
    let label = codes.label[trace];
    let place = model.topology.spans(label).places[position];
    let site = &model.sites[codes.node[span] as usize];
    let mut message = Message::default();
    message.bytes(1, &ids.of::<16>(b't', trace as u64));
    message.bytes(2, &ids.of::<8>(b's', span as u64));
    if place.parent != NONE {
        message.bytes(4, &ids.of::<8>(b's', (begin + place.parent as usize) as u64));
    }
    let mut word = Words(span as u64);
    message.bytes(5, &fill(&site.name, || word.next()));
    message.number(6, site.kind as u64);
    message.fixed(7, generated.start[span]);
    message.fixed(8, generated.end[span]);
    let mut status = Message::default();
    for (slot, &key_id) in model.layout.keys[codes.node[span] as usize].iter().enumerate() {
        let slot = codes.base[span] as usize + slot + 1;
        let key = &model.keys[usize::from(key_id)];
        let pick = generated.picks[slot];
        let number = generated.numbers.get(slot).copied();
        let Some(value) = value((key, key_id), codes.slots[slot], pick, number) else { continue };
        match (key.place, &value) {
            (Place::Span, _) => message.attribute(9, &key.name, &value),
            (Place::Exception, _) => {
                let mut event = Message::default();
                event.fixed(1, generated.end[span]);
                event.bytes(2, b"exception");
                event.attribute(3, &key.name, &value);
                message.bytes(11, &event.0);
            }
            (Place::StatusMessage, Datum::Str(text)) => status.bytes(2, text),
            (Place::StatusMessage, _) => {}
        }
    }
    if model.topology.marks(label, position).error {
        status.number(3, 2);
    }
    if !status.0.is_empty() {
        message.bytes(15, &status.0);
    }
    message
}

/// The value of a code, picked by a random number among those it stands for; of a numeric key the
/// number itself, if it is given.
fn value((key, key_id): (&Key, u16), code: u16, pick: u32, number: Option<i64>) -> Option<Datum> {
    let at = usize::from(code.checked_sub(1)?);
    match &key.domain {
        Domain::Categories { values, .. } => {
            Some(values.get(at).cloned().unwrap_or(Datum::Str(RARE.to_vec())))
        }
        Domain::Numbers { bins, decimals, is_int } => {
            let number = number.unwrap_or_else(|| bins.value(at, pick));
            let scale = 10_i64.pow(u32::from(*decimals));
            Some(if *is_int {
                Datum::Int(number)
            } else {
                Datum::Double((number as f64 / scale as f64).to_bits())
            })
        }
        Domain::Texts { templates, .. } => {
            let Some(template) = templates.get(at) else {
                return Some(Datum::Str(RARE.to_vec()));
            };
            let mut share = (pick & 1023) as u16;
            for (text, of_hitter) in &template.hitters {
                match share.checked_sub(*of_hitter) {
                    None => return Some(Datum::Str(text.clone())),
                    Some(left) => share = left,
                }
            }
            let member = (u64::from(pick >> 10) * u64::from(template.n_distinct.max(1))) >> 22;
            let mut word = Words(member << 24 ^ u64::from(key_id) << 8 ^ u64::from(code));
            Some(Datum::Str(fill(&template.text, || word.next())))
        }
    }
}

/// Numbers from a number: `SplitMix64`.
struct Words(u64);

impl Words {
    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) >> 32) as u32
    }
}
