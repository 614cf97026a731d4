//! Reads records at their positions, beside the log and on any thread.
//!
//! A trace's spans lie in many batches, so what is read is a few hundred bytes of each: of a packed
//! payload only the chunks that hold them are read, checked and unpacked, and chunks stay in a cache
//! of bounded size because the traces of one batch are decided at about the same time.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::{Bytes, BytesMut};
use rustc_hash::FxHashMap;

use crate::chunks::{CHUNK_BYTES_MAX, HEAD_BYTES, Table, unpack};
use crate::disk::{Disk, DiskFile};
use crate::error::Error;
use crate::record::{Codec, HEADER_BYTES, Header, Kind, Position};
use crate::segment::{name_of, read_full, read_header};

/// Segments held open.
const FILES_MAX: usize = 4;
/// What an entry of the cache costs beyond its bytes.
const ENTRY_BYTES: usize = 128;

/// Reads committed records of one log. Several may exist, each with a cache of its own.
pub struct Reader<D: Disk> {
    disk: Arc<D>,
    lowest_id: Arc<AtomicU32>,
    /// The most recently used last.
    files: Vec<Open<D::File>>,
    cache: Cache,
    /// A packed chunk on its way.
    packed: Vec<u8>,
    stats: ReaderStats,
}

/// Counters of a reader.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderStats {
    /// Chunks found in the cache.
    pub n_hits: u64,
    /// Chunks and records read from disk.
    pub n_misses: u64,
    /// Bytes in the cache, bookkeeping included.
    pub n_cached_bytes: u64,
}

/// A record, unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unpacked {
    /// Its number.
    pub seq: u64,
    /// What it is about.
    pub kind: Kind,
    /// The payload before it was packed.
    pub bytes: Bytes,
}

struct Open<F> {
    id: u32,
    file: F,
    version: Option<u32>,
}

const TOO_SHORT: &str = "its file is too short";

/// Part of a record: its number, or this for the record as a whole.
const WHOLE: u32 = u32::MAX;

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct Key(Position, u32);

#[derive(Clone)]
enum Value {
    /// Where a packed payload's chunks are, and its length.
    Table(Table, u32),
    /// Raw bytes of a chunk, or of a payload that is not packed.
    Raw(Bytes),
}

/// Two generations of half the size each: what is used stays in the young one, and when that is full
/// the old one is forgotten.
struct Cache {
    young: FxHashMap<Key, Value>,
    old: FxHashMap<Key, Value>,
    n_young_bytes: usize,
    n_old_bytes: usize,
    n_bytes_max: usize,
}

impl<D: Disk> Reader<D> {
    pub(crate) fn new(disk: Arc<D>, lowest_id: Arc<AtomicU32>, n_bytes_max: usize) -> Self {
        let cache = Cache {
            young: FxHashMap::default(),
            old: FxHashMap::default(),
            n_young_bytes: 0,
            n_old_bytes: 0,
            n_bytes_max,
        };
        let (files, packed, stats) = (Vec::new(), Vec::new(), ReaderStats::default());
        Self { disk, lowest_id, files, cache, packed, stats }
    }

    /// The record at `position`, read from disk, checked and unpacked as a whole.
    ///
    /// # Errors
    /// [`Error::Gone`], [`Error::Corrupt`], or [`Error::Io`].
    pub fn read(&mut self, position: Position) -> Result<Unpacked, Error> {
        self.stats.n_misses += 1;
        let (header, payload) = self.record(position)?;
        let bytes = match header.codec {
            Codec::NONE => payload,
            codec => {
                let raw = unpack(codec, &payload);
                Bytes::from(raw.map_err(|_| corrupt(position, "it cannot be unpacked"))?)
            }
        };
        Ok(Unpacked { seq: header.seq, kind: header.kind, bytes })
    }

    /// Bytes `range` of the record at `position`, counted in the payload before it was packed. What
    /// is returned may keep a chunk of 64 KiB alive.
    ///
    /// # Errors
    /// As [`Reader::read`]; a range beyond the payload is [`Error::Corrupt`] too.
    pub fn read_range(&mut self, position: Position, range: Range<u32>) -> Result<Bytes, Error> {
        let beyond = || corrupt(position, "it is shorter than what is asked for");
        let (table, n_packed) = match self.table(position)? {
            Value::Table(table, n_packed) => (table, n_packed),
            Value::Raw(bytes) => {
                let (start, end) = (range.start as usize, range.end as usize);
                let is_within = start <= end && end <= bytes.len();
                return if is_within { Ok(bytes.slice(start..end)) } else { Err(beyond()) };
            }
        };
        if range.start > range.end || range.end > table.raw_bytes {
            return Err(beyond());
        }
        let chunks = table.chunks_of(&range);
        let mut out = BytesMut::new();
        for idx in chunks.clone() {
            let raw = self.chunk(position, &table, n_packed, idx)?;
            let base = table.raw_start(idx);
            let start = range.start.saturating_sub(base) as usize;
            let end = ((range.end - base) as usize).min(raw.len());
            if chunks.len() == 1 {
                return Ok(raw.slice(start..end));
            }
            out.extend_from_slice(&raw[start..end]);
        }
        Ok(out.freeze())
    }

    /// Closes files that have been deleted, so that their space is free. Reading does it too.
    pub fn close_deleted(&mut self) {
        let lowest = self.lowest_id.load(Ordering::Acquire);
        self.files.retain(|open| open.id >= lowest);
    }

    /// Counters.
    pub const fn stats(&self) -> ReaderStats {
        let n_cached_bytes = self.cache.n_bytes() as u64;
        ReaderStats { n_cached_bytes, ..self.stats }
    }

    /// The table of a packed record, or the payload of another.
    fn table(&mut self, position: Position) -> Result<Value, Error> {
        self.check_there(position)?;
        let key = Key(position, WHOLE);
        if let Some(value) = self.cache.get(key) {
            self.stats.n_hits += 1;
            return Ok(value);
        }
        self.stats.n_misses += 1;
        let header = self.header(position)?;
        let value = match header.codec {
            Codec::LZ4 => {
                let head = self.bytes(position, 0, HEAD_BYTES.min(header.n_bytes as usize))?;
                let n = head.first_chunk().and_then(|head| Table::n_bytes(*head));
                let n = n.filter(|&n| n <= header.n_bytes as usize);
                let n = n.ok_or_else(|| corrupt(position, "its table of chunks is damaged"))?;
                let table = Table::parse(&self.bytes(position, 0, n)?);
                let table =
                    table.ok_or_else(|| corrupt(position, "its table of chunks is damaged"));
                Value::Table(table?, header.n_bytes)
            }
            Codec::NONE => Value::Raw(self.record(position)?.1),
            _ => Value::Raw(self.read(position)?.bytes),
        };
        self.cache.put(key, value.clone());
        Ok(value)
    }

    fn chunk(
        &mut self,
        position: Position,
        table: &Table,
        n_packed: u32,
        idx: u32,
    ) -> Result<Bytes, Error> {
        let key = Key(position, idx);
        if let Some(Value::Raw(bytes)) = self.cache.get(key) {
            self.stats.n_hits += 1;
            return Ok(bytes);
        }
        self.stats.n_misses += 1;
        let damaged = || corrupt(position, "a chunk of it is damaged");
        let chunk = table.chunk(idx);
        let n_bytes = chunk.end.checked_sub(chunk.start).ok_or_else(damaged)?;
        // A packed chunk is never longer than what it was packed from.
        if chunk.end > n_packed as usize || n_bytes > CHUNK_BYTES_MAX as usize {
            return Err(damaged());
        }
        let mut packed = std::mem::take(&mut self.packed);
        packed.resize(n_bytes, 0);
        let read = self.read_bytes(position, chunk.start, &mut packed);
        let mut raw = Vec::new();
        let unpacked =
            read.and_then(|()| chunk.unpack_to(&packed, &mut raw).map_err(|_| damaged()));
        self.packed = packed;
        unpacked?;
        let raw = Bytes::from(raw);
        self.cache.put(key, Value::Raw(raw.clone()));
        Ok(raw)
    }

    /// Header and payload of a record, checked.
    fn record(&mut self, position: Position) -> Result<(Header, Bytes), Error> {
        let header = self.header(position)?;
        let payload = self.bytes(position, 0, header.n_bytes as usize)?;
        let version = self.open(position)?.version;
        if !header.fits(version, position.segment, &payload) {
            return Err(corrupt(position, "its checksum does not fit"));
        }
        Ok((header, Bytes::from(payload)))
    }

    fn header(&mut self, position: Position) -> Result<Header, Error> {
        let open = self.open(position)?;
        let mut bytes = [0; HEADER_BYTES];
        let n = read_full(&mut open.file, u64::from(position.offset), &mut bytes);
        let n = n.map_err(Error::io("read", &name_of(position.segment)))?;
        Header::parse(&bytes[..n]).ok_or_else(|| corrupt(position, "its header is damaged"))
    }

    /// `n` bytes of a payload. `n` comes from a checked table or is bounded by a record's size.
    fn bytes(&mut self, position: Position, from: usize, n: usize) -> Result<Vec<u8>, Error> {
        if n > CHUNK_BYTES_MAX as usize {
            // Before so much memory is taken, see whether there is so much to read.
            let open = self.open(position)?;
            let n_file = open.file.n_bytes();
            let n_file = n_file.map_err(|e| Error::io("read", &name_of(position.segment))(e))?;
            if place_of(position, from) + n as u64 > n_file {
                return Err(corrupt(position, TOO_SHORT));
            }
        }
        let mut bytes = vec![0; n];
        self.read_bytes(position, from, &mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` with those of a payload.
    fn read_bytes(
        &mut self,
        position: Position,
        from: usize,
        bytes: &mut [u8],
    ) -> Result<(), Error> {
        let open = self.open(position)?;
        let n_read = read_full(&mut open.file, place_of(position, from), bytes);
        let n_read = n_read.map_err(|e| Error::io("read", &name_of(position.segment))(e))?;
        if n_read < bytes.len() { Err(corrupt(position, TOO_SHORT)) } else { Ok(()) }
    }

    fn check_there(&mut self, position: Position) -> Result<(), Error> {
        let lowest = self.lowest_id.load(Ordering::Acquire);
        if position.segment >= lowest {
            return Ok(());
        }
        self.files.retain(|open| open.id >= lowest);
        Err(Error::Gone { file: name_of(position.segment) })
    }

    fn open(&mut self, position: Position) -> Result<&mut Open<D::File>, Error> {
        self.check_there(position)?;
        let id = position.segment;
        if let Some(idx) = self.files.iter().position(|open| open.id == id) {
            let open = self.files.remove(idx);
            self.files.push(open);
        } else {
            let name = name_of(id);
            let opened = self.disk.open(&name);
            let mut file = opened.map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Error::Gone { file: name.clone() },
                _ => Error::io("open", &name)(error),
            })?;
            let header = read_header(id, &mut file).map_err(Error::io("read", &name))?;
            if self.files.len() >= FILES_MAX {
                self.files.remove(0);
            }
            self.files.push(Open { id, file, version: header.version() });
        }
        let open = self.files.last_mut();
        open.ok_or_else(|| Error::Gone { file: name_of(id) })
    }
}

/// Where in its file byte `from` of a payload is.
fn place_of(position: Position, from: usize) -> u64 {
    u64::from(position.offset) + (HEADER_BYTES + from) as u64
}

fn corrupt(position: Position, problem: &'static str) -> Error {
    let offset = u64::from(position.offset);
    Error::Corrupt { file: name_of(position.segment), offset, problem }
}

impl Value {
    fn n_bytes(&self) -> usize {
        let n = match self {
            Self::Table(table, _) => table.heap_bytes(),
            Self::Raw(bytes) => bytes.len(),
        };
        n + ENTRY_BYTES
    }
}

impl Cache {
    const fn n_bytes(&self) -> usize {
        self.n_young_bytes + self.n_old_bytes
    }

    fn get(&mut self, key: Key) -> Option<Value> {
        if let Some(value) = self.young.get(&key) {
            return Some(value.clone());
        }
        let value = self.old.remove(&key)?;
        self.n_old_bytes -= value.n_bytes();
        self.add(key, value.clone());
        Some(value)
    }

    /// Nothing is kept that is larger than half the cache. Only for what [`Cache::get`] has not found.
    fn put(&mut self, key: Key, value: Value) {
        if value.n_bytes() <= self.n_bytes_max / 2 {
            self.add(key, value);
        }
    }

    fn add(&mut self, key: Key, value: Value) {
        if self.n_young_bytes + value.n_bytes() > self.n_bytes_max / 2 {
            std::mem::swap(&mut self.young, &mut self.old);
            self.young.clear();
            self.n_old_bytes = std::mem::take(&mut self.n_young_bytes);
        }
        self.n_young_bytes += value.n_bytes();
        self.young.insert(key, value);
    }
}

impl<D: Disk> fmt::Debug for Reader<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").field("stats", &self.stats()).finish_non_exhaustive()
    }
}
