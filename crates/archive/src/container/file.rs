//! Sections to a file and back.
//!
//! ```text
//! magic "SPWA", u16 format version, u16 minimum reader
//! header, 72 bytes
//! stored sections
//! table: per section tag [4], u16 version, u8 codec, u8 flags, u64 offset, u64 stored length,
//!        u64 raw length, u32 crc32c of the stored bytes
//! footer: u64 table offset, u32 sections, u32 crc32c of (magic .. header, table, archive id),
//!         archive id [16], magic "SPWA"
//! ```
//! Why the table stands at the end: a writer knows lengths only after compressing. Why the archive
//! id leaves FIDELITY out: the compressor scores the spans it generates, and they carry the id.

use bytes::Bytes;

use super::header::Header;
use super::reader::SectionReader;
use super::writer::SectionWriter;
use crate::error::Error;
use crate::limits::Limits;
use crate::tag::Tag;

/// The version written, and the newest that is read.
const VERSION: u16 = 1;
/// The oldest reader of what is written.
const READER_MIN: u16 = 1;
const MAGIC: [u8; 4] = *b"SPWA";
const PREFIX_LEN: usize = 4 + 2 + 2 + Header::N_BYTES;
const ENTRY_LEN: usize = 4 + 2 + 1 + 1 + 8 + 8 + 8 + 4;
const FOOTER_LEN: usize = 8 + 4 + 4 + 16 + 4;
/// Place named in errors of the table; never a section of its own.
const TABLE: Tag = Tag(*b"tabl");
/// Sections are read once and written once: the slowest level that does not need extra memory.
const ZSTD_LEVEL: i32 = 19;
/// Below this a section may expand as it likes.
const EXPANSION_FREE: u64 = 1 << 20;
const STORED: u8 = 0;
const ZSTD: u8 = 1;
/// A reader that does not know the section must not skip it.
const CRITICAL: u8 = 1;

/// What a level wrote, not yet compressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) tag: Tag,
    pub(crate) version: u16,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    tag: Tag,
    version: u16,
    codec: u8,
    flags: u8,
    offset: u64,
    stored_len: u64,
    raw_len: u64,
    crc: u32,
}

/// A file whose header and table were checked. Sections are checked as they are read.
#[derive(Clone, Debug)]
pub(crate) struct Container {
    bytes: Bytes,
    header: Header,
    archive_id: [u8; 16],
    entries: Vec<Entry>,
    limits: Limits,
}

/// The id of the archive of these sections: the first half of the BLAKE3 hash of the header and of
/// every section but FIDELITY.
pub(crate) fn archive_id(header: &Header, sections: &[Section]) -> [u8; 16] {
    let mut id = Id::new(header);
    for section in sections {
        id.section(section.tag, section.version, &section.bytes);
    }
    id.finish()
}

/// The id while it is computed.
struct Id(blake3::Hasher);

impl Id {
    fn new(header: &Header) -> Self {
        let mut hasher = blake3::Hasher::new();
        let mut start = SectionWriter::new();
        header.write(&mut start);
        hasher.update(&start.finish(TABLE, 0).bytes);
        Self(hasher)
    }

    fn section(&mut self, tag: Tag, version: u16, bytes: &[u8]) {
        if tag == Tag::FIDELITY {
            return;
        }
        self.0.update(&tag.0);
        self.0.update(&version.to_le_bytes());
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn finish(&self) -> [u8; 16] {
        let mut id = [0; 16];
        id.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        id
    }
}

/// The file of these sections, in their order. Each is compressed if that makes it smaller.
///
/// # Errors
/// There are more than 2^20 traces or 2^24 spans, a section exceeds 64 MiB, or the compressor fails.
pub(crate) fn write_archive(header: &Header, sections: &[Section]) -> Result<Vec<u8>, Error> {
    check_counts(header)?;
    let mut out = SectionWriter::new();
    out.raw(&MAGIC);
    out.u16(VERSION);
    out.u16(READER_MIN);
    header.write(&mut out);
    let mut table = SectionWriter::new();
    for section in sections {
        let raw_len = section.bytes.len() as u64;
        let limit = Limits::default().section_bytes;
        if raw_len > limit {
            return Err(Error::TooLarge { what: "bytes in a section", value: raw_len, limit });
        }
        let (codec, stored) = pack(&section.bytes)?;
        table.raw(&section.tag.0);
        table.u16(section.version);
        table.u8(codec);
        table.u8(if section.tag == Tag::FIDELITY { 0 } else { CRITICAL });
        table.u64(out.len() as u64);
        table.u64(stored.len() as u64);
        table.u64(raw_len);
        table.u32(crc32c::crc32c(&stored));
        out.raw(&stored);
    }
    let table = table.finish(TABLE, 0).bytes;
    let offset = out.len() as u64;
    let mut file = out.finish(TABLE, 0).bytes;
    let id = archive_id(header, sections);
    let crc = frame_crc(&file[..PREFIX_LEN], &table, &id);
    file.extend_from_slice(&table);
    file.extend_from_slice(&offset.to_le_bytes());
    file.extend_from_slice(&(sections.len() as u32).to_le_bytes());
    file.extend_from_slice(&crc.to_le_bytes());
    file.extend_from_slice(&id);
    file.extend_from_slice(&MAGIC);
    Ok(file)
}

/// What a reader with default limits would refuse is not written.
fn check_counts(header: &Header) -> Result<(), Error> {
    let limits = Limits::default();
    let counts =
        [("traces", header.n_traces, limits.n_traces), ("spans", header.n_spans, limits.n_spans)];
    match counts.into_iter().find(|(_, value, limit)| value > limit) {
        Some((what, value, limit)) => Err(Error::TooLarge { what, value, limit }),
        None => Ok(()),
    }
}

fn frame_crc(prefix: &[u8], table: &[u8], archive_id: &[u8; 16]) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(prefix), table);
    crc32c::crc32c_append(crc, archive_id)
}

fn pack(raw: &[u8]) -> Result<(u8, Vec<u8>), Error> {
    let packed = zstd::bulk::compress(raw, ZSTD_LEVEL)?;
    let is_smaller = packed.len() < raw.len();
    let is_tame = expansion_is_tame(packed.len() as u64, raw.len() as u64, &Limits::default());
    Ok(if is_smaller && is_tame { (ZSTD, packed) } else { (STORED, raw.to_vec()) })
}

fn expansion_is_tame(stored: u64, raw: u64, limits: &Limits) -> bool {
    raw <= EXPANSION_FREE || raw <= stored.saturating_mul(limits.expansion)
}

impl Container {
    /// Checks the frame of a file, its header and its table.
    pub(crate) fn open(bytes: Bytes, limits: &Limits) -> Result<Self, Error> {
        if bytes.get(..4) != Some(&MAGIC[..]) {
            return Err(Error::NotAnArchive);
        }
        let mut reader = SectionReader::new(TABLE, &bytes);
        reader.raw(4).map_err(file_error)?;
        let _written_by = reader.u16().map_err(file_error)?;
        let minimum = reader.u16().map_err(file_error)?;
        if minimum > VERSION {
            return Err(Error::TooNew { minimum, own: VERSION });
        }
        let header = Header::read(&mut reader).map_err(file_error)?;
        let (archive_id, table) = read_footer(&bytes, limits)?;
        let entries = read_table(table).map_err(file_error)?;
        let container = Self { archive_id, header, entries, limits: *limits, bytes };
        container.check()?;
        Ok(container)
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn archive_id(&self) -> [u8; 16] {
        self.archive_id
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Bytes of the whole file.
    pub(crate) fn n_bytes(&self) -> u64 {
        self.bytes.len() as u64
    }

    /// Tag, stored length and raw length of every section, in file order.
    pub(crate) fn table(&self) -> impl Iterator<Item = (Tag, u64, u64)> + '_ {
        self.entries.iter().map(|entry| (entry.tag, entry.stored_len, entry.raw_len))
    }

    /// The first section of this tag, decompressed, and its version.
    pub(crate) fn section(&self, tag: Tag) -> Result<Option<(u16, Bytes)>, Error> {
        self.sections(tag).next().transpose()
    }

    /// The section of this tag, of a version up to `version`, and its version.
    pub(crate) fn known(&self, tag: Tag, version: u16) -> Result<(u16, Bytes), Error> {
        match self.section(tag)? {
            Some((found, bytes)) if (1..=version).contains(&found) => Ok((found, bytes)),
            Some(_) => Err(Error::corrupt(tag, 0, "unknown version of the section")),
            None => Err(Error::Missing { tag }),
        }
    }

    /// All sections of this tag in file order, decompressed one at a time, with their versions.
    pub(crate) fn sections(
        &self,
        tag: Tag,
    ) -> impl Iterator<Item = Result<(u16, Bytes), Error>> + '_ {
        let entries = self.entries.iter().filter(move |entry| entry.tag == tag);
        entries.map(|entry| self.unpack(entry).map(|bytes| (entry.version, bytes)))
    }

    /// Unpacks every section, one at a time, and computes the id of what they hold anew.
    pub(crate) fn check_sections(&self) -> Result<(), Error> {
        let mut id = Id::new(&self.header);
        for entry in &self.entries {
            id.section(entry.tag, entry.version, &self.unpack(entry)?);
        }
        if id.finish() == self.archive_id {
            return Ok(());
        }
        Err(Error::corrupt(TABLE, 0, "the archive's id is not that of its sections"))
    }

    fn check(&self) -> Result<(), Error> {
        let limits = &self.limits;
        let counts = [
            ("traces", self.header.n_traces, limits.n_traces),
            ("spans", self.header.n_spans, limits.n_spans),
        ];
        for (what, value, limit) in counts {
            if value > limit {
                return Err(Error::Limit { what, value, limit });
            }
        }
        for entry in &self.entries {
            let is_known = KNOWN.contains(&entry.tag);
            if !is_known && entry.flags & CRITICAL != 0 {
                return Err(Error::corrupt(entry.tag, 0, "unknown section; use a newer spanwise"));
            }
            let end = entry.offset.checked_add(entry.stored_len);
            let is_inside = end.is_some_and(|end| end <= self.bytes.len() as u64);
            if entry.offset < PREFIX_LEN as u64 || !is_inside {
                return Err(Error::corrupt(entry.tag, 0, "the section lies outside the file"));
            }
            check_lengths(entry, limits)?;
        }
        Ok(())
    }

    fn unpack(&self, entry: &Entry) -> Result<Bytes, Error> {
        let (start, len) = (entry.offset as usize, entry.stored_len as usize);
        let stored = self.bytes.slice(start..start + len);
        if crc32c::crc32c(&stored) != entry.crc {
            return Err(Error::corrupt(entry.tag, 0, "checksum differs"));
        }
        if entry.codec == STORED {
            return Ok(stored);
        }
        let bad = Error::corrupt(entry.tag, 0, "zstd content is broken");
        let raw_len = entry.raw_len as usize;
        match zstd::bulk::decompress(&stored, raw_len) {
            Ok(raw) if raw.len() == raw_len => Ok(raw.into()),
            _ => Err(bad),
        }
    }
}

const KNOWN: [Tag; 11] = [
    Tag::DICT,
    Tag::SHAPES,
    Tag::LABELLED_SHAPES,
    Tag::TIMES,
    Tag::BINS,
    Tag::TREES,
    Tag::PINS,
    Tag::COLUMNS,
    Tag::VERBATIM,
    Tag::NETWORKS,
    Tag::FIDELITY,
];

fn check_lengths(entry: &Entry, limits: &Limits) -> Result<(), Error> {
    let (value, limit) = (entry.raw_len, limits.section_bytes);
    if value > limit {
        return Err(Error::Limit { what: "bytes in a section", value, limit });
    }
    match entry.codec {
        STORED if entry.stored_len == entry.raw_len => Ok(()),
        ZSTD if expansion_is_tame(entry.stored_len, entry.raw_len, limits) => Ok(()),
        ZSTD => Err(Error::Limit {
            what: "times the stored bytes of a section",
            value: entry.raw_len / entry.stored_len.max(1),
            limit: limits.expansion,
        }),
        STORED => Err(Error::corrupt(entry.tag, 0, "lengths of a stored section differ")),
        _ => Err(Error::corrupt(entry.tag, 0, "unknown codec")),
    }
}

/// The archive id and the checked bytes of the table.
fn read_footer<'a>(bytes: &'a Bytes, limits: &Limits) -> Result<([u8; 16], &'a [u8]), Error> {
    let start = bytes.len().checked_sub(FOOTER_LEN).filter(|&start| start >= PREFIX_LEN);
    let Some(start) = start else {
        return Err(Error::corrupt_file(bytes.len(), "the file ends early"));
    };
    let mut reader = SectionReader::new(TABLE, bytes.get(start..).unwrap_or_default());
    let table_start = reader.u64().map_err(file_error)?;
    let n_sections = reader.u32().map_err(file_error)?;
    let crc = reader.u32().map_err(file_error)?;
    let mut archive_id = [0; 16];
    archive_id.copy_from_slice(reader.raw(16).map_err(file_error)?);
    if reader.rest() != MAGIC {
        return Err(Error::corrupt_file(bytes.len(), "the file ends early or was not closed"));
    }
    if n_sections > limits.n_sections {
        let (value, limit) = (u64::from(n_sections), u64::from(limits.n_sections));
        return Err(Error::Limit { what: "sections", value, limit });
    }
    let table = usize::try_from(table_start).ok().and_then(|at| bytes.get(at..start));
    let table = table.filter(|table| table.len() == n_sections as usize * ENTRY_LEN);
    let Some(table) = table else {
        return Err(Error::corrupt_file(start, "the table does not fit its sections"));
    };
    let prefix = bytes.get(..PREFIX_LEN).unwrap_or_default();
    if frame_crc(prefix, table, &archive_id) != crc {
        return Err(Error::corrupt_file(0, "checksum of header, table and id differs"));
    }
    Ok((archive_id, table))
}

fn read_table(table: &[u8]) -> Result<Vec<Entry>, Error> {
    let mut reader = SectionReader::new(TABLE, table);
    let mut entries = Vec::with_capacity(table.len() / ENTRY_LEN);
    while !reader.rest().is_empty() {
        let mut tag = [0; 4];
        tag.copy_from_slice(reader.raw(4)?);
        entries.push(Entry {
            tag: Tag(tag),
            version: reader.u16()?,
            codec: reader.u8()?,
            flags: reader.u8()?,
            offset: reader.u64()?,
            stored_len: reader.u64()?,
            raw_len: reader.u64()?,
            crc: reader.u32()?,
        });
    }
    Ok(entries)
}

/// Moves an error of the frame from its pseudo section to the file.
fn file_error(error: Error) -> Error {
    match error {
        Error::Corrupt { offset, problem, .. } => Error::corrupt_file(offset as usize, problem),
        other => other,
    }
}
