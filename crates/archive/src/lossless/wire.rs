//! A Span message as tokens: what it is made of, apart from the values.
//!
//! The sequence of tokens is the span's layout; layouts repeat, values do not. A message that would
//! not come back byte for byte from its tokens (lengths not in their shortest form, groups, ids of
//! odd length) has none and is stored as it is.

use crate::varint;

/// What a token stands for; the numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(super) enum Kind {
    Varint,
    Fixed64,
    Fixed32,
    /// A length-delimited field that is not looked into.
    Len,
    /// A nested message begins.
    Open,
    Close,
    /// A varint that is part of the layout.
    ConstVarint,
    /// A fixed32 that is part of the layout.
    ConstFixed32,
    AttrStr,
    AttrBool,
    AttrInt,
    AttrDouble,
    /// An attribute of another type: the payload of its value.
    AttrOther,
    TraceId,
    SpanId,
    ParentId,
    Name,
    Start,
    End,
    /// 16 random bytes.
    Id16,
    /// 8 random bytes.
    Id8,
    EventTime,
}

impl Kind {
    const ALL: [Self; 22] = [
        Self::Varint,
        Self::Fixed64,
        Self::Fixed32,
        Self::Len,
        Self::Open,
        Self::Close,
        Self::ConstVarint,
        Self::ConstFixed32,
        Self::AttrStr,
        Self::AttrBool,
        Self::AttrInt,
        Self::AttrDouble,
        Self::AttrOther,
        Self::TraceId,
        Self::SpanId,
        Self::ParentId,
        Self::Name,
        Self::Start,
        Self::End,
        Self::Id16,
        Self::Id8,
        Self::EventTime,
    ];

    pub(super) fn of(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }

    /// Whether values of this kind are integers, as opposed to bytes.
    pub(super) const fn is_int(self) -> bool {
        matches!(
            self,
            Self::Varint | Self::Fixed64 | Self::Fixed32 | Self::AttrBool | Self::AttrInt
        )
    }

    /// Whether values of this kind stand in a column.
    pub(super) const fn has_column(self) -> bool {
        self.is_int()
            || matches!(
                self,
                Self::Len | Self::AttrStr | Self::AttrDouble | Self::AttrOther | Self::Name
            )
    }
}

/// A token without its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// Field number; that of the attribute list for attributes.
    pub(super) field: u32,
    /// The value of constants.
    pub(super) arg: u32,
    /// Key of an attribute.
    pub(super) key: &'a [u8],
}

/// The value behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    Nothing,
    Int(u64),
    Bytes(&'a [u8]),
}

/// A message that has no tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Odd;

/// A field: its number, its value by wire type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Len(&'a [u8]),
}

const SPAN: u32 = 0;
const EVENT: u32 = 11;
const LINK: u32 = 13;
const STATUS: u32 = 15;
/// Varints below this may be part of a layout: kinds and status codes.
const CONST_VARINT_END: u64 = 16;
/// Flags below this are part of a layout: those of W3C and the bits OTLP adds.
const CONST_FIXED32_END: u32 = 0x400;

/// Takes a varint in its shortest form.
fn varint(rest: &mut &[u8]) -> Result<u64, Odd> {
    let (value, n) = varint::take(rest).ok_or(Odd)?;
    if varint::len(value) != n {
        return Err(Odd);
    }
    *rest = &rest[n..];
    Ok(value)
}

fn split<'a>(rest: &mut &'a [u8], n: u64) -> Result<&'a [u8], Odd> {
    let n = usize::try_from(n).map_err(|_| Odd)?;
    let (head, tail) = rest.split_at_checked(n).ok_or(Odd)?;
    *rest = tail;
    Ok(head)
}

/// Takes one field that is encoded as every encoder does.
fn field<'a>(rest: &mut &'a [u8]) -> Result<(u32, Field<'a>), Odd> {
    let key = u32::try_from(varint(rest)?).map_err(|_| Odd)?;
    let fixed = |bytes: &[u8]| bytes.iter().rev().fold(0_u64, |v, byte| v << 8 | u64::from(*byte));
    let value = match key & 7 {
        0 => Field::Varint(varint(rest)?),
        1 => Field::Fixed64(fixed(split(rest, 8)?)),
        2 => {
            let n = varint(rest)?;
            Field::Len(split(rest, n)?)
        }
        5 => Field::Fixed32(fixed(split(rest, 4)?) as u32),
        _ => return Err(Odd),
    };
    if key >> 3 == 0 { Err(Odd) } else { Ok((key >> 3, value)) }
}

/// Appends the tokens of a Span message.
pub(super) fn tokenize<'a>(
    span: &'a [u8],
    out: &mut Vec<(Token<'a>, Value<'a>)>,
) -> Result<(), Odd> {
    // A layout has each of these at most once, so a second one is a plain field.
    let mut seen = 0_u32;
    fields(span, SPAN, &mut seen, out)
}

fn fields<'a>(
    message: &'a [u8],
    of: u32,
    seen: &mut u32,
    out: &mut Vec<(Token<'a>, Value<'a>)>,
) -> Result<(), Odd> {
    let mut rest = message;
    while !rest.is_empty() {
        let (number, value) = field(&mut rest)?;
        let token = |kind| Token { kind, field: number, arg: 0, key: &[] };
        match value {
            Field::Varint(value) => out.push(varint_token(of, number, value)),
            Field::Fixed64(value) => {
                let kind = match (of, number) {
                    (SPAN, 7) if first(seen, 7) => Kind::Start,
                    (SPAN, 8) if first(seen, 8) => Kind::End,
                    (EVENT, 1) => Kind::EventTime,
                    _ => Kind::Fixed64,
                };
                out.push((token(kind), Value::Int(value)));
            }
            Field::Fixed32(arg) if arg < CONST_FIXED32_END => {
                out.push((Token { arg, ..token(Kind::ConstFixed32) }, Value::Nothing));
            }
            Field::Fixed32(value) => {
                out.push((token(Kind::Fixed32), Value::Int(u64::from(value))));
            }
            Field::Len(payload) => len_tokens(payload, (of, number), seen, out),
        }
    }
    Ok(())
}

fn first(seen: &mut u32, number: u32) -> bool {
    let is_first = *seen & 1 << number == 0;
    *seen |= 1 << number;
    is_first
}

fn varint_token<'a>(of: u32, number: u32, value: u64) -> (Token<'a>, Value<'a>) {
    let is_const = matches!((of, number), (SPAN, 6) | (STATUS, 3)) && value < CONST_VARINT_END;
    let token = |kind, arg| Token { kind, field: number, arg, key: &[] };
    if is_const {
        (token(Kind::ConstVarint, value as u32), Value::Nothing)
    } else {
        (token(Kind::Varint, 0), Value::Int(value))
    }
}

fn len_tokens<'a>(
    payload: &'a [u8],
    (of, number): (u32, u32),
    seen: &mut u32,
    out: &mut Vec<(Token<'a>, Value<'a>)>,
) {
    let token = |kind| Token { kind, field: number, arg: 0, key: &[] };
    let is_attribute = matches!((of, number), (SPAN, 9) | (EVENT, 3) | (LINK, 4));
    if is_attribute && let Ok(found) = attribute(payload, number) {
        out.push(found);
        return;
    }
    let is_nested = of == SPAN && matches!(number, EVENT | LINK | STATUS);
    if is_nested {
        let n_before = out.len();
        out.push((token(Kind::Open), Value::Nothing));
        if fields(payload, number, seen, out).is_ok() {
            out.push((token(Kind::Close), Value::Nothing));
            return;
        }
        out.truncate(n_before);
    }
    let kind = match (of, number, payload.len()) {
        (SPAN, 1, 16) if first(seen, 1) => Kind::TraceId,
        (SPAN, 2, 8) if first(seen, 2) => Kind::SpanId,
        (SPAN, 4, 8) if first(seen, 4) => Kind::ParentId,
        (SPAN, 5, _) if first(seen, 5) => Kind::Name,
        (LINK, 1, 16) => Kind::Id16,
        (LINK, 2, 8) => Kind::Id8,
        _ => Kind::Len,
    };
    out.push((token(kind), Value::Bytes(payload)));
}

/// An attribute that is a key and a value and nothing else.
fn attribute(payload: &[u8], number: u32) -> Result<(Token<'_>, Value<'_>), Odd> {
    let mut rest = payload;
    let ((1, Field::Len(key)), (2, Field::Len(value))) = (field(&mut rest)?, field(&mut rest)?)
    else {
        return Err(Odd);
    };
    if !rest.is_empty() {
        return Err(Odd);
    }
    let token = |kind| Token { kind, field: number, arg: 0, key };
    let mut inner = value;
    let found = match field(&mut inner) {
        Ok((1, Field::Len(text))) => (token(Kind::AttrStr), Value::Bytes(text)),
        Ok((2, Field::Varint(bit))) => (token(Kind::AttrBool), Value::Int(bit)),
        Ok((3, Field::Varint(number))) => (token(Kind::AttrInt), Value::Int(number)),
        Ok((4, Field::Fixed64(_))) => (token(Kind::AttrDouble), Value::Bytes(&value[1..9])),
        _ => (token(Kind::AttrOther), Value::Bytes(value)),
    };
    let is_whole = inner.is_empty();
    Ok(if is_whole { found } else { (token(Kind::AttrOther), Value::Bytes(value)) })
}

fn put_key(out: &mut Vec<u8>, number: u32, wire_type: u32) {
    varint::put(out, u64::from(number << 3 | wire_type));
}

fn put_len(out: &mut Vec<u8>, number: u32, payload: &[u8]) {
    put_key(out, number, 2);
    varint::put(out, payload.len() as u64);
    out.extend_from_slice(payload);
}

/// Writes tokens back as a message. Nested messages get their length when they are closed.
#[derive(Clone, Debug, Default)]
pub(super) struct Writer {
    pub(super) out: Vec<u8>,
    /// Where the open nested message begins, behind the place of its length.
    open: Option<usize>,
}

impl Writer {
    pub(super) fn clear(&mut self) {
        self.out.clear();
        self.open = None;
    }

    /// Appends a token. A token of a damaged file may make an odd message, never a panic.
    pub(super) fn put(&mut self, token: Token<'_>, value: Value<'_>) {
        let number = token.field;
        let (int, bytes) = match value {
            Value::Nothing => (u64::from(token.arg), &[][..]),
            Value::Int(int) => (int, &[][..]),
            Value::Bytes(bytes) => (0, bytes),
        };
        match token.kind {
            Kind::Varint | Kind::ConstVarint => {
                put_key(&mut self.out, number, 0);
                varint::put(&mut self.out, int);
            }
            Kind::Fixed64 | Kind::Start | Kind::End | Kind::EventTime => {
                put_key(&mut self.out, number, 1);
                self.out.extend_from_slice(&int.to_le_bytes());
            }
            Kind::Fixed32 | Kind::ConstFixed32 => {
                put_key(&mut self.out, number, 5);
                self.out.extend_from_slice(&(int as u32).to_le_bytes());
            }
            Kind::Len
            | Kind::Name
            | Kind::TraceId
            | Kind::SpanId
            | Kind::ParentId
            | Kind::Id16
            | Kind::Id8 => put_len(&mut self.out, number, bytes),
            Kind::Open => {
                put_key(&mut self.out, number, 2);
                self.open = Some(self.out.len());
            }
            Kind::Close => self.close(),
            _ => self.attribute(token, int, bytes),
        }
    }

    fn attribute(&mut self, token: Token<'_>, int: u64, bytes: &[u8]) {
        let mut value = Vec::with_capacity(bytes.len() + 12);
        match token.kind {
            Kind::AttrStr => put_len(&mut value, 1, bytes),
            Kind::AttrBool | Kind::AttrInt => {
                put_key(&mut value, if token.kind == Kind::AttrBool { 2 } else { 3 }, 0);
                varint::put(&mut value, int);
            }
            Kind::AttrDouble => {
                put_key(&mut value, 4, 1);
                value.extend_from_slice(bytes);
            }
            _ => value.extend_from_slice(bytes),
        }
        let field_len = |n: usize| 1 + varint::len(n as u64) + n;
        put_key(&mut self.out, token.field, 2);
        varint::put(&mut self.out, (field_len(token.key.len()) + field_len(value.len())) as u64);
        put_len(&mut self.out, 1, token.key);
        put_len(&mut self.out, 2, &value);
    }

    fn close(&mut self) {
        let Some(start) = self.open.take() else { return };
        let mut length = Vec::with_capacity(10);
        varint::put(&mut length, (self.out.len() - start) as u64);
        self.out.splice(start..start, length);
    }
}

/// The message of these tokens.
pub(super) fn write(tokens: &[(Token<'_>, Value<'_>)], writer: &mut Writer) {
    writer.clear();
    for (token, value) in tokens {
        writer.put(*token, *value);
    }
}

/// The number of a field, its payload if it has a length, and all of its bytes.
pub(super) type LooseField<'a> = (u32, Option<&'a [u8]>, &'a [u8]);

/// A field, read as leniently as protobuf allows; groups are not.
pub(super) fn loose_field<'a>(rest: &mut &'a [u8]) -> Result<LooseField<'a>, Odd> {
    let whole = *rest;
    let (key, n) = varint::take(rest).ok_or(Odd)?;
    *rest = &rest[n..];
    let number = u32::try_from(key >> 3).map_err(|_| Odd)?;
    let mut payload = None;
    match key & 7 {
        0 => {
            let (_, n) = varint::take(rest).ok_or(Odd)?;
            *rest = &rest[n..];
        }
        1 => drop(split(rest, 8)?),
        5 => drop(split(rest, 4)?),
        2 => {
            let (length, n) = varint::take(rest).ok_or(Odd)?;
            *rest = &rest[n..];
            payload = Some(split(rest, length)?);
        }
        _ => return Err(Odd),
    }
    if number == 0 {
        return Err(Odd);
    }
    Ok((number, payload, &whole[..whole.len() - rest.len()]))
}
