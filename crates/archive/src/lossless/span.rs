//! One span: what follows from its trace, and its values.

use super::block::Ids;
use super::dictionary::{Dictionary, Mode, TokenDef};
use super::grids::{form, rounded};
use super::values::{Coded, Told};
use super::wire::{self, Kind, Token, Value};
use super::{Broken, State, Trace};
use crate::entropy::Coder;

/// A span of a trace whose shape and times are known. Ids are a reader's.
pub(super) struct SpanOf<'a> {
    pub(super) trace: &'a Trace,
    pub(super) i: usize,
    pub(super) trace_id: [u8; 16],
    /// Span ids of the trace.
    pub(super) ids: &'a [[u8; 8]],
}

/// A value where it is on its way into a message.
enum Put {
    Int(u64),
    Id([u8; 16], usize),
    Coded(Coded),
}

impl State {
    /// Codes everything of a trace but values.
    pub(super) fn shape<C: Coder>(
        &mut self,
        coder: &mut C,
        trace: &mut Trace,
        dictionary: &Dictionary,
        n_max: usize,
    ) -> Result<(), Broken> {
        self.begin_trace();
        self.topology(coder, trace, (dictionary.nodes.len(), n_max))?;
        self.placement(coder, trace, dictionary)?;
        self.times(coder, trace)
    }

    /// Codes the values of a span; a reader puts the message together.
    pub(super) fn span<C: Coder>(
        &mut self,
        coder: &mut C,
        (dictionary, ids): (&mut Dictionary, &mut Ids<'_>),
        of: &SpanOf<'_>,
        (given, writer): (&[(Token<'_>, Value<'_>)], &mut wire::Writer),
    ) -> Result<(), Broken> {
        let node = of.trace.node[of.i] as usize;
        let layout = dictionary.nodes[node].layouts[of.trace.layout[of.i] as usize] as usize;
        let mut told = Told { last: 0, event: of.trace.start[of.i] };
        for k in 0..dictionary.layouts[layout].len() {
            let column = dictionary.layouts[layout][k];
            let token = &mut dictionary.tokens[column as usize];
            let name = dictionary.nodes[node].name.as_deref();
            if is_plain(token.kind, of, name.is_some()) {
                if C::READS {
                    writer.put(view(token), plain(token.kind, of, name));
                }
                continue;
            }
            let value = given.get(k).map_or(Value::Nothing, |(_, value)| *value);
            let put = self.put(coder, (column, token), ids, (of, &mut told), value)?;
            if C::READS {
                self.write(writer, (column, token), ids, &put);
            }
        }
        if coder.is_overrun() { Err(Broken("the content ends inside a span")) } else { Ok(()) }
    }

    fn put<C: Coder>(
        &mut self,
        coder: &mut C,
        (column, token): (u32, &mut TokenDef),
        ids: &mut Ids<'_>,
        (of, told): (&SpanOf<'_>, &mut Told),
        value: Value<'_>,
    ) -> Result<Put, Broken> {
        if let Some(n) = id_len(token.kind) {
            let mut id = [0; 16];
            let given = if let Value::Bytes(bytes) = value { bytes } else { &[] };
            ids.other(given, &mut id[..n])?;
            return Ok(Put::Id(id, n));
        }
        if token.kind == Kind::EventTime {
            let time = if let Value::Int(time) = value { time } else { 0 };
            told.event = self.event(coder, (of.trace, of.i), (column, told.event), time);
            return Ok(Put::Int(told.event));
        }
        let span = (of.trace, of.i, told);
        if self.grids.is_none() || C::READS {
            return self.value(coder, (column, token), span, value).map(Put::Coded);
        }
        // What a near-lossless writer gives instead of the value.
        let coded = match (token.mode, token.kind, value) {
            (Mode::High | Mode::Forms, Kind::AttrStr | Kind::Name, Value::Bytes(text)) => {
                self.value(coder, (column, token), span, Value::Bytes(&form(text)))
            }
            (Mode::High, Kind::AttrDouble, Value::Bytes(bytes)) => {
                let double = rounded(bytes.try_into().unwrap_or_default());
                self.value(coder, (column, token), span, Value::Bytes(&double))
            }
            _ => self.value(coder, (column, token), span, value),
        };
        coded.map(Put::Coded)
    }

    fn write(
        &self,
        writer: &mut wire::Writer,
        (column, token): (u32, &TokenDef),
        ids: &Ids<'_>,
        put: &Put,
    ) {
        let is_form = matches!(token.mode, Mode::High | Mode::Forms)
            && matches!(token.kind, Kind::AttrStr | Kind::Name);
        match put {
            Put::Int(int) | Put::Coded(Coded::Int(int)) => {
                writer.put(view(token), Value::Int(*int));
            }
            Put::Id(id, n) => writer.put(view(token), Value::Bytes(&id[..*n])),
            Put::Coded(Coded::Double(bytes)) => writer.put(view(token), Value::Bytes(bytes)),
            Put::Coded(Coded::Text(text)) => {
                let text = self.texts.get(*text);
                match ids {
                    Ids::Makes(maker) if is_form => {
                        let place = (maker.block, self.n_traces, column);
                        let text = maker.mark.text(text, place);
                        writer.put(view(token), Value::Bytes(&text));
                    }
                    _ => writer.put(view(token), Value::Bytes(text)),
                }
            }
        }
    }

    pub(super) fn fill_lookups(&mut self, dictionary: &Dictionary) {
        for (column, token) in dictionary.tokens.iter().enumerate() {
            for (code, value) in token.low.iter().enumerate() {
                self.lookup(column as u32).insert(value.as_slice().into(), code as u32);
            }
        }
    }
}

fn view(token: &TokenDef) -> Token<'_> {
    Token { kind: token.kind, field: token.field, arg: token.arg, key: &token.key }
}

/// Bytes of a value that stands among the other ids.
fn id_len(kind: Kind) -> Option<usize> {
    match kind {
        Kind::Id16 => Some(16),
        Kind::Id8 | Kind::ParentId => Some(8),
        _ => None,
    }
}

/// Whether the value of a token follows from what is known of the span.
fn is_plain(kind: Kind, of: &SpanOf<'_>, is_name_fixed: bool) -> bool {
    match kind {
        Kind::TraceId
        | Kind::SpanId
        | Kind::Start
        | Kind::End
        | Kind::Open
        | Kind::Close
        | Kind::ConstVarint
        | Kind::ConstFixed32 => true,
        Kind::ParentId => of.trace.parent[of.i] != super::NONE,
        Kind::Name => is_name_fixed,
        _ => false,
    }
}

/// That value, for a reader.
fn plain<'a>(kind: Kind, of: &'a SpanOf<'_>, name: Option<&'a [u8]>) -> Value<'a> {
    let id = |at: usize| of.ids.get(at).map_or(Value::Nothing, |id| Value::Bytes(id));
    match kind {
        Kind::TraceId => Value::Bytes(&of.trace_id),
        Kind::SpanId => id(of.i),
        Kind::ParentId => id(of.trace.parent[of.i] as usize),
        Kind::Start => Value::Int(of.trace.start[of.i]),
        Kind::End => Value::Int(of.trace.end[of.i]),
        Kind::Name => Value::Bytes(name.unwrap_or_default()),
        _ => Value::Nothing,
    }
}
