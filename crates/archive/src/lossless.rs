//! L0: everything, to the bit. Spans are taken apart into tokens and values; traces are coded one
//! after another by one adaptive model; ids, which are random, stand beside it as they are.
//!
//! Why one model and not a column per key under a general codec: a value mostly follows from the
//! span's node, its parent and its neighbours, and a codec of bytes sees none of these. What the
//! level does not keep is the order of messages and their split into requests.

mod block;
mod builder;
mod dictionary;
mod emit;
mod grids;
mod ids;
mod mark;
mod service;
mod span;
mod text;
mod times;
mod topology;
mod tree;
mod values;
pub(crate) mod verbatim;
mod window;
mod wire;

use std::io;
use std::ops::Deref;

use bytes::Bytes;
use rustc_hash::FxHashMap;

use crate::container::{Container, Header, Section, SectionWriter};
use crate::entropy::Model;
use crate::error::Error;
use crate::summary::NearLossless;
use crate::tag::Tag;

#[cfg(test)]
pub(crate) use emit::put_field;
use grids::Grids;
use mark::Mark;

/// Versions of the sections written here: of blocks that are exact, and of near-lossless ones.
const VERSION: u16 = 1;
const VERSION_NEAR: u16 = 2;
/// No position, no node, no value.
const NONE: u32 = u32::MAX;
/// Spans of one block; what is learnt is lost at its end.
const BLOCK_SPANS_MAX: usize = 1 << 21;

/// Content that no writer made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broken(&'static str);

/// What coding knows, on both sides.
#[derive(Debug)]
struct State {
    model: Model,
    texts: text::Texts,
    /// Entries of all lists of the dictionary so far, and how many there may be.
    n_listed: usize,
    n_listed_max: usize,
    edges: FxHashMap<u32, times::Edge>,
    ends: FxHashMap<u32, times::Ends>,
    by_node: FxHashMap<u32, Placed>,
    recents: FxHashMap<u64, values::Recent>,
    /// Recent strings of the trace, the last first.
    strings: Vec<text::Text>,
    /// Last resource of a service, and the trace in which it was.
    service_in_trace: FxHashMap<u32, (u64, u32)>,
    /// Numbers of known values, by column; a writer's only.
    lookups: FxHashMap<u32, FxHashMap<Box<[u8]>, u32>>,
    /// Traces so far, the current one included.
    n_traces: u64,
    /// Start of the last trace.
    last_start: u64,
    /// Class of the last time coded in the trace.
    class_in_trace: u32,
    /// Times and numbers are coded to their bin: L1.
    grids: Option<Grids>,
}

/// Where a node's last span stood.
#[derive(Clone, Copy, Debug)]
struct Placed {
    resource: u32,
    layout: u32,
}

impl Default for Placed {
    fn default() -> Self {
        Self { resource: NONE, layout: NONE }
    }
}

/// One trace in preorder, as columns.
#[derive(Clone, Debug, Default)]
struct Trace {
    node: Vec<u32>,
    depth: Vec<u32>,
    /// Position of the parent; [`NONE`] for roots.
    parent: Vec<u32>,
    /// Position of the previous child of the same parent, or of the previous root.
    sibling: Vec<u32>,
    /// Position among the resources of the node's service.
    resource: Vec<u32>,
    /// Position among the layouts of the node.
    layout: Vec<u32>,
    /// As coded.
    start: Vec<u64>,
    end: Vec<u64>,
    /// Start and end as given; a writer's only.
    given: Vec<(u64, u64)>,
}

impl Trace {
    fn push(&mut self, node: u32, depth: u32, parent: u32, sibling: u32) {
        self.node.push(node);
        self.depth.push(depth);
        self.parent.push(parent);
        self.sibling.push(sibling);
        self.resource.push(0);
        self.layout.push(0);
        self.start.push(0);
        self.end.push(0);
        self.given.push((0, 0));
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    /// Start and end as coded.
    fn coded(&self, at: u32) -> Option<(u64, u64)> {
        Some((*self.start.get(at as usize)?, *self.end.get(at as usize)?))
    }

    fn node_of(&self, at: u32) -> u32 {
        self.node.get(at as usize).copied().unwrap_or(NONE)
    }

    fn parent_of(&self, at: u32) -> u32 {
        self.parent.get(at as usize).copied().unwrap_or(NONE)
    }
}

impl State {
    /// `n_buckets_log2` sizes the model; the others bound the bytes of all strings and the entries of
    /// all lists.
    fn new(n_buckets_log2: u32, text_limit: usize, n_listed_max: usize) -> Self {
        Self {
            model: Model::new(n_buckets_log2),
            texts: text::Texts::new(text_limit),
            n_listed: 0,
            n_listed_max,
            edges: FxHashMap::default(),
            ends: FxHashMap::default(),
            by_node: FxHashMap::default(),
            recents: FxHashMap::default(),
            strings: Vec::new(),
            service_in_trace: FxHashMap::default(),
            lookups: FxHashMap::default(),
            n_traces: 0,
            last_start: 0,
            class_in_trace: 0,
            grids: None,
        }
    }

    fn begin_trace(&mut self) {
        self.n_traces += 1;
        self.strings.clear();
        self.class_in_trace = 0;
    }

    fn lookup(&mut self, column: u32) -> &mut FxHashMap<Box<[u8]>, u32> {
        self.lookups.entry(column).or_default()
    }
}

/// A value as it stands in a dictionary.
enum Key<'a> {
    Int([u8; 8]),
    Bytes(&'a [u8]),
}

fn dictionary_bytes(value: wire::Value<'_>) -> Key<'_> {
    match value {
        wire::Value::Nothing => Key::Bytes(&[]),
        wire::Value::Int(int) => Key::Int(int.to_be_bytes()),
        wire::Value::Bytes(bytes) => Key::Bytes(bytes),
    }
}

impl Deref for Key<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Int(bytes) => bytes,
            Self::Bytes(bytes) => bytes,
        }
    }
}

/// The sections of a window, and its counts in the header.
pub(crate) fn compress(requests: &[Bytes], header: &mut Header) -> Result<Vec<Section>, Error> {
    let window = window::read(requests)?;
    let (start, end) =
        (window.spans.iter().map(|s| s.start).min(), window.spans.iter().map(|s| s.end).max());
    header.start_ns = start.unwrap_or(0);
    header.end_ns = end.unwrap_or(0);
    let traces = tree::traces(&window.spans);
    header.n_traces = traces.len() as u64;
    header.n_spans = (window.spans.len() + window.odd.len()) as u64;
    Ok(sections(&window, &traces, (Tag::COLUMNS, false))?.0)
}

/// Blocks of traces as sections.
fn sections(
    window: &window::Window<'_>,
    traces: &[Vec<tree::Step>],
    (tag, is_near): (Tag, bool),
) -> Result<(Vec<Section>, NearLossless), Error> {
    let mut sections = Vec::new();
    let mut errors = Vec::new();
    let mut near = NearLossless::default();
    let mut rest = traces;
    let mut is_first = true;
    while is_first || !rest.is_empty() {
        let mut n = 0;
        let mut n_spans = 0;
        while n < rest.len() && (n == 0 || n_spans + rest[n].len() <= BLOCK_SPANS_MAX) {
            n_spans += rest[n].len();
            n += 1;
        }
        let (now, later) = rest.split_at(n);
        let mut section = SectionWriter::new();
        let block = block::write(window, now, (is_first, is_near))?;
        near.ideal_bytes += block.ideal_bits / 8.0;
        near.coded_bytes += block.bytes.len() as u64;
        errors.extend(block.errors);
        section.raw(&block.bytes);
        sections.push(section.finish(tag, if is_near { VERSION_NEAR } else { VERSION }));
        (rest, is_first) = (later, false);
    }
    errors.sort_unstable_by(f32::total_cmp);
    near.timing_error = errors.get(errors.len() / 2).copied().unwrap_or(0.0).into();
    Ok((sections, near))
}

/// Brings back the messages of all sections of a tag.
pub(crate) fn generate(
    container: &Container,
    tag: Tag,
    sink: &mut dyn FnMut(Bytes) -> io::Result<()>,
) -> Result<(), Error> {
    let mark = Mark::new(container.archive_id());
    for (number, section) in container.sections(tag).enumerate() {
        let (version, bytes) = section?;
        if !(VERSION..=VERSION_NEAR).contains(&version) {
            return Err(Error::corrupt(tag, 0, "unknown version of the section"));
        }
        let block = block::Block { bytes: &bytes, tag, number: number as u32, mark: &mark };
        block::read(&block, container.limits(), sink)?;
    }
    Ok(())
}
