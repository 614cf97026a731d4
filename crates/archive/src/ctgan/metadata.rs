//! The metadata of a span as a part of a row: gap and duration, status, resource and attributes.
//!
//! Times are logarithms, numbers too; both go through the mode-specific normalisation of CTGAN.
//! Everything else is a choice, the status too: as a number it would vanish with its component when
//! errors are rare. A tail has one more choice where values repeat: "as the head".

use spanwise_ctgan::{Block, Normaliser, Random, Value};

use super::scales::Scales;
use crate::gan_options::{GanOptions, Times};
use crate::structured::{Codes, Domain, Model};

/// Nanoseconds that count as none in a logarithm.
const GRAIN_NS: f64 = 1_000.0;
/// Logarithms beyond this are held: 2^50 us.
const LOG_MAX: f64 = 35.0;
const NS_PER_S: f64 = 1e9;
/// Values of a key that are choices of their own; rarer ones share one choice, and which it is is drawn
/// alike.
const CODES_MAX: usize = 40;

/// How numbers are normalised.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Normalisers {
    /// Seconds since the window began.
    pub(crate) start: Normaliser,
    pub(crate) gap: Normaliser,
    pub(crate) duration: Normaliser,
    /// One for each key; without components unless it is numeric.
    pub(crate) keys: Vec<Normaliser>,
    /// Of times.
    pub(crate) scales: Scales,
}

/// Spans with their metadata: what is learned from, or what has been generated so far.
#[derive(Debug)]
pub(crate) struct Spans {
    /// Start of the window, ns.
    pub(crate) begin_ns: u64,
    pub(crate) codes: Codes,
    pub(crate) numbers: Vec<i64>,
    /// Equal values of a slot have equal ids; in a generated window, what picks among values.
    pub(crate) exact: Vec<u32>,
    pub(crate) start: Vec<u64>,
    pub(crate) end: Vec<u64>,
    pub(crate) is_error: Vec<bool>,
}

/// Which spans a row describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A root; it has no gap.
    Root,
    /// A node after the head of its chain.
    Tail,
    /// The head of a chain, as a condition.
    Head,
}

/// A column of the metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Start relative to the window.
    Start,
    /// Start relative to the parent's.
    Gap,
    Duration,
    /// Whether it is an error.
    Status,
    Resource,
    /// A numeric key.
    Number(u16),
    /// Any other key.
    Code(u16),
}

impl Kind {
    /// Whether it is a place and a mode.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Start | Self::Gap | Self::Duration | Self::Number(_))
    }
}

#[derive(Clone, Copy, Debug)]
struct Column {
    kind: Kind,
    /// First unit, relative to the part.
    unit: u16,
    /// Choices of its block.
    n: u16,
}

/// The columns of a role.
#[derive(Clone, Debug, Default)]
pub(crate) struct Layout {
    columns: Vec<Column>,
    /// Whether choice 0 is "as the head", by column.
    copies: Vec<bool>,
    width: usize,
}

impl Layout {
    /// The columns that spans of the given sites need.
    pub(crate) fn new(
        role: Role,
        model: &Model,
        sites: &[bool],
        normalisers: &Normalisers,
        options: &GanOptions,
    ) -> Self {
        let mut layout = Self::default();
        let copies = role == Role::Tail;
        match options.times {
            Times::Absolute => layout.number(Kind::Start, &normalisers.start, 0),
            Times::Relative if role != Role::Root => {
                layout.number(Kind::Gap, &normalisers.gap, 0);
            }
            Times::Relative => {}
        }
        layout.number(Kind::Duration, &normalisers.duration, 0);
        layout.choice(Kind::Status, 2, false);
        layout.choice(Kind::Resource, model.resources.len(), copies);
        let has = |key: u16| {
            let of_site = |site: &usize| sites[*site] && model.layout.keys[*site].contains(&key);
            (0..sites.len()).any(|site| of_site(&site))
        };
        for (at, key) in model.keys.iter().enumerate().filter(|(at, _)| has(*at as u16)) {
            let at = at as u16;
            match &key.domain {
                Domain::Numbers { .. } => {
                    layout.number(Kind::Number(at), &normalisers.keys[usize::from(at)], 1);
                }
                // Code 0 is absence.
                domain => {
                    let n = domain.n_codes().min(CODES_MAX + 1) + 1;
                    layout.choice(Kind::Code(at), n, copies && key.copies);
                }
            }
        }
        layout
    }

    fn number(&mut self, kind: Kind, normaliser: &Normaliser, n_more: usize) {
        let n = normaliser.n_modes() + n_more;
        self.columns.push(Column { kind, unit: self.width as u16, n: n as u16 });
        self.copies.push(false);
        self.width += 1 + n;
    }

    fn choice(&mut self, kind: Kind, n: usize, copies: bool) {
        let n = n + usize::from(copies);
        self.columns.push(Column { kind, unit: self.width as u16, n: n as u16 });
        self.copies.push(copies);
        self.width += n;
    }

    /// Units of a part.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    pub(crate) fn n_blocks(&self) -> usize {
        self.columns.iter().map(|column| 1 + usize::from(column.kind.is_number())).sum()
    }

    /// Calls `column` with each kind, its choices, and whether choice 0 is "as the head".
    pub(crate) fn each(&self, mut column: impl FnMut(Kind, usize, bool)) {
        for (own, copies) in self.columns.iter().zip(&self.copies) {
            column(own.kind, usize::from(own.n), *copies);
        }
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = Block> {
        self.columns.iter().flat_map(|column| {
            let scalar = column.kind.is_number().then_some(Block::Scalar);
            scalar.into_iter().chain([Block::Choice(usize::from(column.n))])
        })
    }

    /// Appends the units of a span from unit `from` on. With a head, values equal to its are copies.
    pub(crate) fn encode(
        &self,
        (spans, model): (&Spans, &Model),
        normalisers: &Normalisers,
        (span, head): (usize, Option<usize>),
        random: &mut Random,
        (from, out): (usize, &mut Vec<(u16, f32)>),
    ) {
        let mut scratch = Vec::new();
        for (column, copies) in self.columns.iter().zip(&self.copies) {
            let unit = from as u16 + column.unit;
            let mut number = |x: f64, normaliser: &Normaliser| {
                let (place, mode) = normaliser.encode(x, random, &mut scratch);
                out.extend([(unit, place), (unit + 1 + mode, 1.0)]);
            };
            let head = head.filter(|_| *copies);
            match column.kind {
                Kind::Start => {
                    number(seconds(spans.start[span], spans.begin_ns), &normalisers.start);
                }
                Kind::Gap => match spans.parent(model, span) {
                    None => {}
                    Some(parent) => {
                        let gap = difference(spans.start[span], spans.start[parent]);
                        let x = normalisers.gap_of((spans, model), span, gap);
                        number(x, &normalisers.gap);
                    }
                },
                Kind::Duration => {
                    let x = normalisers.duration_of((spans, model), span);
                    number(x, &normalisers.duration);
                }
                Kind::Status => out.push((unit + u16::from(spans.is_error[span]), 1.0)),
                Kind::Resource => {
                    let slot = spans.codes.base[span] as usize;
                    let same = |head: usize| spans.exact[spans.codes.base[head] as usize];
                    let is_copy = head.is_some_and(|head| same(head) == spans.exact[slot]);
                    let code = spans.codes.slots[slot].saturating_sub(1);
                    out.push((choice(unit, code, *copies, is_copy), 1.0));
                }
                Kind::Number(key) => {
                    let Some(slot) = spans.slot(model, span, key) else { continue };
                    let normaliser = &normalisers.keys[usize::from(key)];
                    match spans.codes.slots[slot] {
                        0 => out.push((unit + column.n, 1.0)),
                        _ => number(log(spans.numbers[slot] as f64), normaliser),
                    }
                }
                Kind::Code(key) => {
                    let Some(slot) = spans.slot(model, span, key) else { continue };
                    let code = spans.codes.slots[slot];
                    let head = head.and_then(|head| spans.slot(model, head, key));
                    let is_copy =
                        code > 0 && head.is_some_and(|head| spans.exact[head] == spans.exact[slot]);
                    let code = code.min(CODES_MAX as u16 + 1);
                    out.push((choice(unit, code, *copies, is_copy), 1.0));
                }
            }
        }
    }

    /// Sets the metadata of a span from generated values, one for each block.
    pub(crate) fn decode(
        &self,
        values: &[Value],
        normalisers: &Normalisers,
        (spans, model): (&mut Spans, &Model),
        (span, head): (usize, Option<usize>),
        random: &mut Random,
    ) {
        let mut values = values.iter();
        let mut next = || values.next().copied().unwrap_or(Value::Choice(None));
        for (column, copies) in self.columns.iter().zip(&self.copies) {
            let place = if column.kind.is_number() { next() } else { Value::Scalar(0.0) };
            let (Value::Scalar(place), Value::Choice(choice)) = (place, next()) else { continue };
            let is_copy = *copies && choice == Some(0);
            let code = choice.map(|choice| choice.saturating_sub(u16::from(*copies)));
            match column.kind {
                Kind::Start => {
                    let s = normalisers.start.decode(place, code.unwrap_or(0));
                    spans.start[span] = instant(spans.begin_ns, s);
                }
                Kind::Gap => {
                    let x = normalisers.gap.decode(place, code.unwrap_or(0));
                    spans.move_to_gap(model, span, normalisers.gap_ns(spans, model, span, x));
                }
                Kind::Duration => {
                    let x = normalisers.duration.decode(place, code.unwrap_or(0));
                    let ns = normalisers.duration_ns(spans, model, span, x);
                    spans.end[span] = spans.start[span].saturating_add(ns.max(1));
                }
                Kind::Status => spans.is_error[span] = code == Some(1),
                Kind::Resource => {
                    let own = spans.codes.base[span] as usize;
                    let head = head.map(|head| spans.codes.base[head] as usize);
                    spans.set(own, head.filter(|_| is_copy), code.map_or(0, |code| code + 1));
                }
                Kind::Number(key) => {
                    let Some(own) = spans.slot(model, span, key) else { continue };
                    let normaliser = &normalisers.keys[usize::from(key)];
                    // The last choice is absence.
                    if let Some(mode) = code.filter(|mode| mode + 1 < column.n) {
                        spans.codes.slots[own] = 1;
                        let number = unlog(normaliser.decode(place, mode));
                        spans.numbers[own] = number as i64;
                    }
                }
                Kind::Code(key) => {
                    let Some(own) = spans.slot(model, span, key) else { continue };
                    let head = head.filter(|_| is_copy);
                    let head = head.and_then(|head| spans.slot(model, head, key));
                    spans.exact[own] = random.bits() as u32;
                    let mut code = code.unwrap_or(0);
                    if usize::from(code) > CODES_MAX {
                        let n_codes = model.keys[usize::from(key)].domain.n_codes();
                        let n_shared = n_codes.saturating_sub(CODES_MAX).max(1);
                        code += random.below(n_shared) as u16;
                    }
                    spans.set(own, head, code);
                }
            }
        }
    }
}

impl Spans {
    /// Where a span keeps a key, if its site has it.
    fn slot(&self, model: &Model, span: usize, key: u16) -> Option<usize> {
        let slot = model.layout.slot(self.codes.node[span], key + 1)?;
        Some((self.codes.base[span] + slot) as usize)
    }

    pub(crate) fn parent(&self, model: &Model, span: usize) -> Option<usize> {
        let trace = self.codes.trace[span] as usize;
        let begin = self.codes.offsets[trace] as usize;
        let place = model.topology.spans(self.codes.label[trace]).places[span - begin];
        (place.parent != u32::MAX).then(|| begin + place.parent as usize)
    }

    /// The logarithm of the parent's duration, 0 for roots.
    pub(super) fn log_of_parent(&self, model: &Model, span: usize) -> f64 {
        let duration = |span: usize| difference(self.end[span], self.start[span]);
        self.parent(model, span).map_or(0.0, |parent| log_ns(duration(parent)))
    }

    /// A code, or all that the head's slot holds.
    fn set(&mut self, own: usize, head: Option<usize>, code: u16) {
        self.codes.slots[own] = code;
        if let Some(head) = head {
            self.codes.slots[own] = self.codes.slots[head];
            self.exact[own] = self.exact[head];
        }
    }

    fn move_to_gap(&mut self, model: &Model, span: usize, gap: i64) {
        if let Some(parent) = self.parent(model, span) {
            self.start[span] = self.start[parent].saturating_add_signed(gap);
        }
    }
}

impl Normalisers {
    pub(crate) fn gap_of(&self, (spans, model): (&Spans, &Model), span: usize, gap: i64) -> f64 {
        let h = spans.log_of_parent(model, span);
        self.scales.of(spans, span).gap.place(h, log_ns(gap))
    }

    pub(crate) fn duration_of(&self, (spans, model): (&Spans, &Model), span: usize) -> f64 {
        let h = spans.log_of_parent(model, span);
        let duration = difference(spans.end[span], spans.start[span]);
        self.scales.of(spans, span).duration.place(h, log_ns(duration))
    }

    fn gap_ns(&self, spans: &Spans, model: &Model, span: usize, x: f64) -> i64 {
        let h = spans.log_of_parent(model, span);
        ns_of(self.scales.of(spans, span).gap.value(h, x))
    }

    fn duration_ns(&self, spans: &Spans, model: &Model, span: usize, x: f64) -> u64 {
        let h = spans.log_of_parent(model, span);
        ns_of(self.scales.of(spans, span).duration.value(h, x)).max(0).cast_unsigned()
    }
}

fn choice(unit: u16, code: u16, copies: bool, is_copy: bool) -> u16 {
    if is_copy { unit } else { unit + code + u16::from(copies) }
}

/// sign(x) ln(1 + |x|).
pub(crate) fn log(x: f64) -> f64 {
    libm::copysign(libm::log1p(x.abs()), x)
}

/// The integer whose logarithm is nearest.
pub(crate) fn unlog(y: f64) -> f64 {
    libm::round(libm::copysign(libm::expm1(y.abs().min(LOG_MAX)), y))
}

pub(super) fn log_ns(ns: i64) -> f64 {
    log(ns as f64 / GRAIN_NS)
}

fn ns_of(y: f64) -> i64 {
    let us = libm::copysign(libm::expm1(y.abs().min(LOG_MAX)), y);
    libm::round(us * GRAIN_NS) as i64
}

pub(super) fn difference(a: u64, b: u64) -> i64 {
    let wide = i128::from(a) - i128::from(b);
    wide.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64
}

/// Seconds since the window began.
pub(crate) fn seconds(ns: u64, begin_ns: u64) -> f64 {
    difference(ns, begin_ns) as f64 / NS_PER_S
}

/// The nanosecond so many seconds after the window began.
pub(crate) fn instant(begin_ns: u64, seconds: f64) -> u64 {
    begin_ns.saturating_add_signed(libm::round(seconds * NS_PER_S) as i64)
}
