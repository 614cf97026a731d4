//! What a file says about itself before its sections.

use super::reader::SectionReader;
use super::writer::SectionWriter;
use crate::error::Error;
use crate::level::{Level, Method};

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What is kept.
    pub level: Level,
    /// How.
    pub method: Method,
    /// Earliest start of a span, ns since the Unix epoch; 0 without spans.
    pub start_ns: u64,
    /// Latest end of a span.
    pub end_ns: u64,
    /// Width of the buckets of time in which a model counts; 0 where there are none.
    pub bucket_ns: u64,
    /// Traces that come back, verbatim ones included.
    pub n_traces: u64,
    /// Spans that come back, verbatim ones included.
    pub n_spans: u64,
    /// Seed of generation.
    pub seed: u64,
    /// Version of the rules of generation, see [`Header::GENERATOR`].
    pub generator: u16,
    /// Id of the archive whose dictionaries and trees this one continues; all zeros if none.
    pub parent_id: [u8; 16],
}

impl Header {
    /// Version of the rules by which this build generates.
    pub const GENERATOR: u16 = 3;
    /// Bytes of a header.
    pub(crate) const N_BYTES: usize = 2 + 6 * 8 + 2 + 16 + 4;

    /// A header without spans.
    pub fn new(level: Level, method: Method) -> Self {
        Self {
            level,
            method,
            start_ns: 0,
            end_ns: 0,
            bucket_ns: 0,
            n_traces: 0,
            n_spans: 0,
            seed: 0,
            generator: Self::GENERATOR,
            parent_id: [0; 16],
        }
    }

    pub(crate) fn write(&self, out: &mut SectionWriter) {
        out.u8(self.level as u8);
        out.u8(self.method as u8);
        for value in
            [self.start_ns, self.end_ns, self.bucket_ns, self.n_traces, self.n_spans, self.seed]
        {
            out.u64(value);
        }
        out.u16(self.generator);
        out.raw(&self.parent_id);
        out.u32(0);
    }

    pub(crate) fn read(reader: &mut SectionReader<'_>) -> Result<Self, Error> {
        let level = Level::ALL.get(usize::from(reader.u8()?)).copied();
        let method = Method::ALL.get(usize::from(reader.u8()?)).copied();
        let level = level.ok_or_else(|| reader.corrupt("unknown level"))?;
        let method = method.ok_or_else(|| reader.corrupt("unknown method"))?;
        let mut header = Self::new(level, method);
        header.start_ns = reader.u64()?;
        header.end_ns = reader.u64()?;
        header.bucket_ns = reader.u64()?;
        header.n_traces = reader.u64()?;
        header.n_spans = reader.u64()?;
        header.seed = reader.u64()?;
        header.generator = reader.u16()?;
        header.parent_id.copy_from_slice(reader.raw(16)?);
        if reader.u32()? != 0 {
            return Err(reader.corrupt("reserved bytes are set"));
        }
        Ok(header)
    }
}
