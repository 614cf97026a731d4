//! Values behind the tokens of a span.
//!
//! A column is a token; its values depend on the node, on the column's last value in the trace, on
//! the value before it in the span, and on what the node had last.

use super::dictionary::{Mode, TEXT_COLUMN, TokenDef};
use super::grids::Rounding;
use super::text::Text;
use super::topology::n_nibbles;
use super::wire::{Kind, Value};
use super::{Broken, NONE, State, Trace};
use crate::entropy::{Coder, Costs, hash};

/// How a value of a high column is named.
const SAME_IN_TRACE: u32 = 0;
const SAME_AT_NODE: u32 = 1;
const BY_NUMBER: u32 = 2;
const NEW: u32 = 3;
/// From here on: a recent string of the trace, of whatever column.
const RECENT: u32 = 8;
const N_RECENT: usize = 8;

const SET_LOW: u32 = 0x100;
const SET_HIGH: u32 = 0x400;
const SET_NUMBER: u32 = 0x500;
const SET_INT: u32 = 0x600;

/// What is known of a column, or of a column at a node.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Recent {
    n_trace: u64,
    /// Code or number of the last value.
    last: u32,
    int: i64,
    class: u32,
    text: Option<Text>,
    costs: Costs,
    slot: u32,
}

/// What a span told while it was coded.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The values before, hashed.
    pub(super) last: u32,
    /// Time of the last event.
    pub(super) event: u64,
}

/// A value as coded; strings lie in the arena.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Coded {
    Int(u64),
    Text(Text),
    /// The eight bytes of a double, little-endian.
    Double([u8; 8]),
}

/// Ten to the power of a scale.
pub(super) fn power(scale: u32) -> f64 {
    10_u32.pow(scale.min(9)).into()
}

/// The integer that, divided by 10^`scale`, is this double to the bit.
pub(super) fn decimal(bytes: &[u8], scale: u32) -> Option<i64> {
    let value = f64::from_le_bytes(bytes.try_into().ok()?);
    let scaled = libm::round(value * power(scale));
    let is_exact = scaled.abs() < 9e15 && (scaled / power(scale)).to_bits() == value.to_bits();
    is_exact.then_some(scaled as i64)
}

impl State {
    /// Codes one value.
    pub(super) fn value<C: Coder>(
        &mut self,
        coder: &mut C,
        (column, token): (u32, &mut TokenDef),
        (trace, i, told): (&Trace, usize, &mut Told),
        given: Value<'_>,
    ) -> Result<Coded, Broken> {
        let span = Context::of(self, (column, trace.node[i]), (trace, i, told.last));
        match token.mode {
            Mode::Low | Mode::Forms => self.low(coder, token, &span, (told, given)),
            Mode::High => self.high(coder, token, &span, given),
            Mode::Int => {
                let given = if let Value::Int(int) = given { int.cast_signed() } else { 0 };
                Ok(Coded::Int(self.int(coder, &span, given).cast_unsigned()))
            }
            Mode::Decimal(scale) => {
                let given =
                    if let Value::Bytes(bytes) = given { decimal(bytes, scale) } else { None };
                let int = self.int(coder, &span, given.unwrap_or(0));
                Ok(Coded::Double((int as f64 / power(scale)).to_le_bytes()))
            }
            Mode::Nothing => Err(Broken("a column without values")),
        }
    }

    fn low<C: Coder>(
        &mut self,
        coder: &mut C,
        token: &mut TokenDef,
        span: &Context,
        (told, given): (&mut Told, Value<'_>),
    ) -> Result<Coded, Broken> {
        let n = token.values.len();
        let key = span.column;
        let at_node = hash(hash(0x111, key), span.node);
        let contexts = [
            at_node,
            hash(hash(at_node, told.last), 1),
            hash(hash(at_node, span.in_trace), 2),
            hash(hash(at_node, span.before), 3),
            hash(hash(at_node, span.resource), 4),
            hash(hash(hash(at_node, span.duration), span.layout), 5),
            hash(hash(hash(0x112, key), span.in_trace), told.last),
        ];
        let given = if C::READS { 0 } else { self.number_of(key, given) };
        let set = (SET_LOW + key % 128 * 2, n_nibbles(n));
        let code = self.model.index(coder, &contexts, set, given);
        let text = token.values.get(code as usize).copied();
        let text = text.ok_or(Broken("a value is not in its column's list"))?;
        self.remember(span, |recent| recent.last = code);
        told.last = hash(hash(told.last, key), code);
        Ok(self.coded(token.kind, text))
    }

    fn high<C: Coder>(
        &mut self,
        coder: &mut C,
        token: &mut TokenDef,
        span: &Context,
        given: Value<'_>,
    ) -> Result<Coded, Broken> {
        let bytes = super::dictionary_bytes(given);
        let in_column = self.recent(span.column);
        let at_node = self.recent_at(span);
        let in_trace = in_column.text.filter(|_| in_column.n_trace == self.n_traces);
        let slot = if C::READS { 0 } else { self.slot(span, in_trace, at_node.text, &bytes) };
        let here = hash(hash(0x121, span.column), span.node);
        let contexts = [
            hash(here, u32::from(in_trace.is_some())),
            hash(hash(here, at_node.slot), 1),
            hash(hash(here, span.layout), 2 + u32::from(in_trace.is_some())),
            hash(hash(hash(here, at_node.slot), in_column.slot), 4),
        ];
        let set = SET_HIGH + span.column % 128;
        let slot = self.model.nibble(coder, &contexts, set, slot);
        let text = match slot {
            SAME_IN_TRACE => in_trace,
            SAME_AT_NODE => at_node.text,
            BY_NUMBER => {
                let n = n_nibbles(token.values.len());
                let given = if C::READS { 0 } else { self.number_of(span.column, given) };
                let contexts = [
                    hash(hash(0x122, span.column), n),
                    hash(hash(here, n), 5),
                    hash(hash(hash(here, at_node.last), n), 6),
                ];
                let set = (SET_NUMBER + span.column % 16 * 8, n);
                let number = self.model.index(coder, &contexts, set, given);
                token.values.get(number as usize).copied()
            }
            NEW => Some(self.text(coder, TEXT_COLUMN + span.column, &bytes)?),
            recent if recent >= RECENT => self.strings.get((recent - RECENT) as usize).copied(),
            _ => None,
        };
        let text = text.ok_or(Broken("a value names one that does not exist"))?;
        if slot == NEW || slot >= RECENT {
            let number = token.values.len() as u32;
            token.values.push(text);
            if !C::READS {
                self.lookup(span.column).insert(Box::from(&bytes[..]), number);
            }
        }
        self.remember_text(text);
        self.remember(span, |recent| (recent.text, recent.slot) = (Some(text), slot));
        Ok(self.coded(token.kind, text))
    }

    /// How a writer names a value.
    fn slot(&self, span: &Context, in_trace: Option<Text>, at_node: Option<Text>, v: &[u8]) -> u32 {
        let is = |text: Option<Text>| text.is_some_and(|text| self.texts.get(text) == v);
        if is(in_trace) {
            return SAME_IN_TRACE;
        }
        if is(at_node) {
            return SAME_AT_NODE;
        }
        if let Some(k) = self.strings.iter().position(|text| self.texts.get(*text) == v) {
            return RECENT + k as u32;
        }
        let is_known = self.lookups.get(&span.column).is_some_and(|lookup| lookup.contains_key(v));
        if is_known { BY_NUMBER } else { NEW }
    }

    fn int<C: Coder>(&mut self, coder: &mut C, span: &Context, given: i64) -> i64 {
        let in_column = self.recent(span.column);
        let at_node = self.recent_at(span);
        let is_in_trace = in_column.n_trace == self.n_traces;
        let predictions = [0, at_node.int, if is_in_trace { in_column.int } else { 0 }];
        let best = at_node.costs.best(predictions.len());
        let here = hash(hash(hash(0x131, span.column), span.node), best as u32);
        let in_trace = if is_in_trace { in_column.class } else { NONE };
        let contexts = [
            here,
            hash(hash(here, at_node.class), 1),
            hash(hash(here, in_trace), 2),
            hash(hash(here, span.duration), 3),
            hash(hash(here, span.layout), 4),
        ];
        let set = (SET_INT + span.column % 32 * 8, 3);
        // Near others a number is as good as the distance from them; in bins it is not.
        let is_alone = self.grids.as_ref().is_some_and(|grids| grids.rounding == Rounding::AsGiven);
        let predictions = if is_alone { [0; 3] } else { predictions };
        let wanted = given.wrapping_sub(predictions[best]);
        let (error, class) = match &self.grids {
            None => self.model.signed(coder, &contexts, set, wanted),
            Some(grids) => {
                let code = grids.numbers.code(wanted);
                let code = self.model.index(coder, &contexts, set, code) & 0xfff;
                (grids.numbers.value(code), code)
            }
        };
        let int = predictions[best].wrapping_add(error);
        self.remember(span, |recent| {
            (recent.int, recent.class) = (int, class);
            recent.costs.learn(int, &predictions);
        });
        int
    }

    /// Updates what is known of the column and of the column at the node.
    fn remember(&mut self, span: &Context, change: impl Fn(&mut Recent)) {
        let n_trace = self.n_traces;
        for key in [u64::from(span.column) << 32 | u64::from(NONE), span.key()] {
            let recent = self.recents.entry(key).or_default();
            change(recent);
            recent.n_trace = n_trace;
        }
    }

    /// Puts a string in front of the trace's recent ones.
    fn remember_text(&mut self, text: Text) {
        let found = self.strings.iter().position(|s| self.texts.get(*s) == self.texts.get(text));
        match found {
            Some(k) => drop(self.strings.remove(k)),
            None => self.strings.truncate(N_RECENT - 1),
        }
        self.strings.insert(0, text);
    }

    fn recent(&self, column: u32) -> Recent {
        let key = u64::from(column) << 32 | u64::from(NONE);
        self.recents.get(&key).copied().unwrap_or_default()
    }

    fn recent_at(&self, span: &Context) -> Recent {
        self.recents.get(&span.key()).copied().unwrap_or_default()
    }

    fn coded(&self, kind: Kind, text: Text) -> Coded {
        match kind {
            Kind::AttrDouble => Coded::Double(self.texts.number(text).to_be_bytes()),
            _ if kind.is_int() => Coded::Int(self.texts.number(text)),
            _ => Coded::Text(text),
        }
    }

    fn number_of(&self, column: u32, given: Value<'_>) -> u32 {
        let bytes = super::dictionary_bytes(given);
        self.lookups.get(&column).and_then(|lookup| lookup.get(&bytes[..])).copied().unwrap_or(0)
    }
}

/// What a value may depend on.
#[derive(Clone, Copy, Debug)]
struct Context {
    column: u32,
    node: u32,
    /// Code of the column's last value in the trace.
    in_trace: u32,
    /// Code of the column's last value at the node.
    before: u32,
    resource: u32,
    layout: u32,
    /// Half octaves of the duration.
    duration: u32,
}

impl Context {
    fn of(state: &State, (column, node): (u32, u32), (trace, i, _): (&Trace, usize, u32)) -> Self {
        let in_column = state.recent(column);
        let is_in_trace = in_column.n_trace == state.n_traces;
        let key = u64::from(column) << 32 | u64::from(node);
        let duration = trace.end[i].saturating_sub(trace.start[i]) | 1;
        let octave = duration.ilog2();
        let half = if octave == 0 { 0 } else { (duration >> (octave - 1)) as u32 & 1 };
        Self {
            column,
            node,
            in_trace: if is_in_trace { in_column.last } else { NONE },
            before: state.recents.get(&key).map_or(NONE, |recent| recent.last),
            resource: trace.resource[i],
            layout: trace.layout[i],
            duration: octave * 2 + half,
        }
    }

    fn key(&self) -> u64 {
        u64::from(self.column) << 32 | u64::from(self.node)
    }
}
