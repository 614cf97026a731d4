//! What a trace sampler has learned, and what a ledger has paid, as bytes and back;
//! `docs/formats/trace-sampler-snapshot.md` has the layout.
//!
//! Opened whole or refused: everything is read and checked before anything is replaced. Damaged or
//! hostile bytes cost at most what a full sampler takes. Call sites stand by a hash of their names, so
//! that numbers may differ. What waits for budget is not part of it: its bytes are elsewhere.

use spanwise_model::Timestamp;

use super::config::Algorithm;
use super::hybrid::Shares;
use super::ledger::Ledger;
use super::reserve::N_LANES;
use super::samplehst::SampleHst;
use super::sampler::TraceSampler;
use super::signals::Structure;
use super::words::Words;
use crate::error::Error;
use crate::snapshot::code::{Reader, Writer};
use crate::snapshot::models::{read_tails, write_tails};
use crate::tail::Tails;

const MAGIC: [u8; 4] = *b"SPWT";
/// Version written, and the only one read.
const VERSION: u16 = 1;
const HEADER_LEN: usize = 16;
const KIND_SAMPLER: u8 = 1;
const KIND_LEDGER: u8 = 2;

/// What a sampler knows, beside its desk's lanes.
pub(super) struct Learned {
    pub(super) n_known: u64,
    pub(super) words: Words,
    pub(super) structure: Structure,
    pub(super) lanes: [Tails; N_LANES],
    pub(super) shares: Shares,
    pub(super) sample_hst: Option<SampleHst>,
}

impl TraceSampler {
    /// Appends what was learned to `out`. The clusters of `las-casas` are left out: they are learned
    /// anew.
    pub fn snapshot(&self, out: &mut Vec<u8>) {
        frame(KIND_SAMPLER, out, |writer| {
            writer.u8(self.algorithm() as u8);
            self.write(writer);
        });
    }

    /// Replaces what was learned by what a snapshot holds that a sampler with the same settings made.
    /// Who waits, counters and budget stay as they are.
    ///
    /// # Errors
    /// It is damaged, of another version, or was made with another algorithm or seed. Nothing has
    /// changed then.
    pub fn restore(&mut self, bytes: &[u8], now: Timestamp) -> Result<(), Error> {
        let mut reader = open(KIND_SAMPLER, bytes)?;
        if reader.u8()? != self.algorithm() as u8 {
            return Err(Error::Mismatch { what: "trace sampler" });
        }
        let learned = read(&mut reader, self.algorithm(), self.seed(), now)?;
        if !reader.is_at_end() {
            return Err(reader.corrupt("something follows the end"));
        }
        self.replace(learned);
        Ok(())
    }
}

impl Ledger {
    /// Appends the accounts to `out`. `is_final`: nothing will be kept until they are restored.
    pub fn snapshot(&self, is_final: bool, out: &mut Vec<u8>) {
        frame(KIND_LEDGER, out, |writer| {
            writer.u8(u8::from(is_final));
            self.write(writer);
        });
    }

    /// Goes on with the accounts of a snapshot, so that a restart does not break the bound. After a
    /// final one nothing is lost. Else nobody knows what was kept since: what had been saved until
    /// then is forfeit, which is all that may have been spent.
    ///
    /// # Errors
    /// It is damaged, of another version, or of a budget with another unit or horizon. Nothing has
    /// changed then.
    pub fn restore(&self, bytes: &[u8], now: Timestamp) -> Result<(), Error> {
        let mut reader = open(KIND_LEDGER, bytes)?;
        let is_final = match reader.u8()? {
            0 => false,
            1 => true,
            _ => return Err(reader.corrupt("it is neither final nor not")),
        };
        self.read(&mut reader, is_final, now)
    }
}

pub(super) fn write(learned: &Borrowed<'_>, writer: &mut Writer<'_>) {
    let Borrowed { n_known, words, structure, lanes, shares, sample_hst } = learned;
    writer.u64(*n_known);
    words.write(writer);
    write_tails(writer, structure.shapes());
    for tails in lanes {
        write_tails(writer, tails);
    }
    shares.write(writer);
    if let Some(hst) = sample_hst {
        hst.write(writer);
    }
}

/// The same as [`Learned`], where it lies.
pub(super) struct Borrowed<'a> {
    pub(super) n_known: u64,
    pub(super) words: &'a Words,
    pub(super) structure: &'a Structure,
    pub(super) lanes: [&'a Tails; N_LANES],
    pub(super) shares: &'a Shares,
    pub(super) sample_hst: Option<&'a SampleHst>,
}

fn read(
    reader: &mut Reader<'_>,
    algorithm: Algorithm,
    seed: u64,
    now: Timestamp,
) -> Result<Learned, Error> {
    let n_known = reader.u64()?;
    let words = Words::read(reader)?;
    let structure = Structure::of(read_tails(reader, now)?);
    let lanes = [read_tails(reader, now)?, read_tails(reader, now)?, read_tails(reader, now)?];
    let shares = Shares::read(reader)?;
    let is_hst = algorithm == Algorithm::SampleHst;
    let sample_hst = is_hst.then(|| SampleHst::read(reader, seed)).transpose()?;
    Ok(Learned { n_known, words, structure, lanes, shares, sample_hst })
}

fn frame(kind: u8, out: &mut Vec<u8>, body: impl FnOnce(&mut Writer<'_>)) {
    let start = out.len();
    let mut writer = Writer { out };
    writer.out.extend_from_slice(&MAGIC);
    writer.u16(VERSION);
    writer.u8(kind);
    writer.u8(0);
    writer.u64(0);
    body(&mut writer);
    let len = (out.len() - start - HEADER_LEN) as u64;
    out[start + HEADER_LEN - 8..start + HEADER_LEN].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// Checks the frame; the body starts at the reader's place.
fn open(kind: u8, bytes: &[u8]) -> Result<Reader<'_>, Error> {
    let mut header = Reader::new(bytes, 0);
    if header.bytes(4)? != MAGIC {
        return Err(Reader::new(bytes, 0).corrupt("it is no snapshot of a trace sampler"));
    }
    if header.u16()? != VERSION {
        return Err(header.corrupt("another version wrote it"));
    }
    if header.u8()? != kind {
        return Err(header.corrupt("it is a snapshot of something else"));
    }
    header.u8()?;
    let len = header.u64()?;
    let Some(end) = bytes.len().checked_sub(4) else { return Err(header.corrupt("too short")) };
    if u64::try_from(end.saturating_sub(HEADER_LEN)) != Ok(len) {
        return Err(header.corrupt("its length is not the one it names"));
    }
    let crc = Reader::new(bytes, end).u32()?;
    if crc32c::crc32c(&bytes[..end]) != crc {
        return Err(Reader::new(bytes, end).corrupt("its checksum does not match"));
    }
    Ok(Reader::new(&bytes[..end], HEADER_LEN))
}
