//! A model as sections of bytes, written and read by the same functions.
//!
//! Every section is one stream of the mixing coder. What a later section can derive from an earlier
//! one it does not say. Reading checks each count against its limit before it allocates, and each
//! reference against what it refers to, so that a model that was read can be used without looking.

mod bins;
mod dictionary;
mod structure;
mod trees;

use crate::limits::Limits;

use super::Error;
use super::bins::Bins;
use super::coder::{Coder, Decoder, Encoder, hash, number};
use super::model::Model;
use super::text::Texts;

#[cfg(feature = "ctgan")]
pub(super) use structure::check_slots;

/// Section names, in file order.
pub(crate) const DICT: [u8; 4] = *b"DICT";
pub(crate) const SHAPES: [u8; 4] = *b"SHAP";
pub(crate) const LABELLED: [u8; 4] = *b"LSHA";
pub(crate) const TIMES: [u8; 4] = *b"TIME";
pub(crate) const BINS: [u8; 4] = *b"BINS";
pub(crate) const TREES: [u8; 4] = *b"TREE";

const N_SERVICES_MAX: u32 = 1 << 14;
const N_SITES_MAX: u32 = (1 << 16) - 2;
const N_RESOURCES_MAX: u32 = (1 << 16) - 8;
const N_KEYS_MAX: u32 = (1 << 16) - 3;
/// Values of a key; `Limits::key_values` may be lower.
const N_VALUES_MAX: u32 = (1 << 16) - 8;
const N_ATTRIBUTES_MAX: u32 = 256;
const TEXT_LEN_MAX: usize = 1 << 16;
const N_BUCKETS_MAX: u32 = 1 << 16;
/// `Limits::n_shapes` may be lower.
const N_SHAPES_MAX: u32 = (1 << 16) - 1;
/// Spans of all shapes together, and positions of all failures. Each occurs in a trace, so that
/// there are never more than spans.
const N_PLACES_MAX: u64 = 1 << 22;
/// (node, column) pairs.
const N_CELLS_MAX: usize = 1 << 24;
const N_EDGES_MAX: u32 = 256;
/// Codes offered to each leaf that may be read, on average.
const LEAF_CODES_MAX: usize = 64;

/// A coder with what the fields of a section share.
struct Stream<C> {
    coder: C,
    texts: Texts,
    limits: Limits,
    version: u16,
}

impl<C: Coder> Stream<C> {
    fn new(coder: C, limits: Limits, version: u16) -> Self {
        Self { coder, texts: Texts::new(), limits, version }
    }

    fn values_max(&self) -> u32 {
        self.limits.key_values.min(N_VALUES_MAX)
    }

    fn is_reader(&self) -> bool {
        self.coder.is_reader()
    }

    /// A number in the context of `what` and two facts known to both sides.
    fn number(&mut self, what: u32, known: [u32; 2], value: u32) -> u32 {
        let contexts =
            [hash(what, 0), hash(what + 1, known[0]), hash(what + 2, hash(known[0], known[1]))];
        number(&mut self.coder, (what >> 4) as u8, &contexts, value)
    }

    /// The same, refused above `max`.
    fn count(&mut self, what: u32, value: usize, max: u32) -> Result<usize, Error> {
        let read = self.number(what, [0, 0], value as u32);
        self.coder.check()?;
        if read > max {
            return Err(Error::TooMany(NAMES[(what >> 4) as usize % NAMES.len()]));
        }
        Ok(read as usize)
    }

    /// A number below `n`.
    fn below(&mut self, what: u32, known: [u32; 2], value: u32, n: u32) -> Result<u32, Error> {
        let read = self.number(what, known, value);
        if read < n { Ok(read) } else { Err(Error::Impossible("reference")) }
    }

    fn flag(&mut self, what: u32, known: u32, value: bool) -> bool {
        self.coder.bit((what >> 4) as u8, &[hash(what, 0), hash(what + 1, known)], value)
    }

    fn text(&mut self, what: u32, value: &[u8]) -> Result<Vec<u8>, Error> {
        self.texts.code(&mut self.coder, what, value, TEXT_LEN_MAX)
    }

    /// A list: its length, then each item. `item` gets the item to write, or a default to fill.
    fn list<T: Default>(
        &mut self,
        what: u32,
        items: &mut Vec<T>,
        max: u32,
        mut item: impl FnMut(&mut Self, &mut T) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let n = self.count(what, items.len(), max)?;
        if self.is_reader() {
            items.clear();
        }
        for at in 0..n {
            if self.is_reader() {
                self.coder.check()?;
                items.push(T::default());
            }
            item(self, &mut items[at])?;
        }
        Ok(())
    }
}

/// What lists are called in errors, by the number of their context.
const NAMES: [&str; 16] = [
    "items",
    "services",
    "call sites",
    "resources",
    "attributes",
    "keys",
    "values",
    "templates",
    "shapes",
    "spans",
    "failures",
    "traces",
    "buckets",
    "edges",
    "bins",
    "leaves",
];

/// The version in which a section is written; earlier ones are read.
pub(crate) const fn version(tag: [u8; 4]) -> u16 {
    match tag {
        TIMES | TREES => 2,
        _ => 1,
    }
}

/// Sections of a model in file order.
const ALL: [[u8; 4]; 6] = [DICT, SHAPES, LABELLED, TIMES, BINS, TREES];

/// The sections of a model.
pub(crate) fn write(model: &Model) -> Vec<([u8; 4], Vec<u8>)> {
    write_part(model, &ALL)
}

/// Some sections of a model: the first so many of [`ALL`].
pub(crate) fn write_part(model: &Model, tags: &[[u8; 4]]) -> Vec<([u8; 4], Vec<u8>)> {
    let mut copy = model.clone();
    let coded = |&tag: &[u8; 4]| {
        let mut stream = Stream::new(Encoder::new(), Limits::default(), version(tag));
        let result = section(tag, &mut stream, &mut copy);
        debug_assert!(result.is_ok(), "{result:?}");
        (tag, stream.coder.finish())
    };
    tags.iter().map(coded).collect()
}

/// Reads a model back within limits. `find` yields the version and the bytes of a section.
///
/// # Errors
/// A section is missing, ends early, exceeds a limit or contradicts another.
pub(crate) fn read<'a>(
    find: impl Fn([u8; 4]) -> Option<(u16, &'a [u8])>,
    limits: &Limits,
) -> Result<Model, Error> {
    read_part(find, limits, &ALL)
}

/// Reads some sections of a model back.
///
/// # Errors
/// As [`read`].
pub(crate) fn read_part<'a>(
    find: impl Fn([u8; 4]) -> Option<(u16, &'a [u8])>,
    limits: &Limits,
    tags: &[[u8; 4]],
) -> Result<Model, Error> {
    let mut model = Model::default();
    for &tag in tags {
        let (version, bytes) = find(tag).ok_or(Error::Missing(tag))?;
        let mut stream = Stream::new(Decoder::new(bytes), *limits, version);
        section(tag, &mut stream, &mut model)?;
        stream.coder.check()?;
    }
    Ok(model)
}

fn section<C: Coder>(tag: [u8; 4], stream: &mut Stream<C>, model: &mut Model) -> Result<(), Error> {
    match tag {
        DICT => dictionary::code(stream, model),
        SHAPES => structure::shapes(stream, model),
        LABELLED => structure::labelled(stream, model),
        TIMES => structure::times(stream, model),
        BINS => bins::code(stream, model),
        _ => trees::code(stream, model),
    }
}
