//! The section `GANS`: normalisers, scales, units of call sites and the three generators, gzip'd.
//!
//! What follows from the vocabulary (`DICT`, `SHAP`) is not said again: sizes of networks follow
//! from it and from the normalisers, so that weights must have exactly the length that is left.

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use spanwise_ctgan::{Frozen, Normaliser, Precision};

use super::metadata::Normalisers;
use super::networks::Networks;
use super::scales::{Kinds, Line, Scale, Scales};
use super::{Error, Fitted};
use crate::gan_options::{GanOptions, HeadMetadata, Support, Times, TopologyCode};
use crate::structured::{Domain, Model};
use crate::varint;

/// Modes of a normaliser at most.
const N_MODES_MAX: u64 = 16;

/// The section.
pub(crate) fn write(fitted: &Fitted) -> Vec<u8> {
    let mut out = Vec::new();
    let options = &fitted.options;
    out.extend([
        options.chain_length,
        options.topology as u8,
        options.head as u8,
        options.times as u8,
        options.support as u8,
    ]);
    out.extend_from_slice(&fitted.begin_ns.to_le_bytes());
    out.extend_from_slice(&fitted.end_ns.to_le_bytes());
    let normalisers = &fitted.normalisers;
    for normaliser in [&normalisers.start, &normalisers.gap, &normalisers.duration] {
        put_modes(&mut out, normaliser);
    }
    for (normaliser, key) in normalisers.keys.iter().zip(&fitted.model.keys) {
        if matches!(key.domain, Domain::Numbers { .. }) {
            put_modes(&mut out, normaliser);
        }
    }
    for scale in &normalisers.scales.lines {
        for line in [scale.gap, scale.duration] {
            for number in [line.mean, line.slope, line.deviation] {
                out.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
    if options.tells_failed_heads() {
        put_ascending(&mut out, &fitted.below_failed);
    }
    for units in fitted.units.iter().flatten() {
        put_ascending(&mut out, &units.iter().map(|&unit| u32::from(unit)).collect::<Vec<_>>());
    }
    for generator in &fitted.generators {
        let bytes = generator.encode(Precision::Byte);
        varint::put(&mut out, bytes.len() as u64);
        out.extend_from_slice(&bytes);
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory does not fail.
    let written = gzip.write_all(&out).and_then(|()| gzip.finish());
    written.unwrap_or_default()
}

fn put_ascending(out: &mut Vec<u8>, numbers: &[u32]) {
    varint::put(out, numbers.len() as u64);
    let mut next = 0;
    for &number in numbers {
        varint::put(out, u64::from(number - next));
        next = number + 1;
    }
}

fn put_modes(out: &mut Vec<u8>, normaliser: &Normaliser) {
    let modes = normaliser.modes();
    out.push(modes.len() as u8);
    for (mean, deviation) in modes {
        out.extend_from_slice(&mean.to_le_bytes());
        out.extend_from_slice(&deviation.to_le_bytes());
    }
}

/// Reads the section for a vocabulary, at most `bytes_max` of it.
///
/// # Errors
/// It ends early, exceeds a limit or contradicts the vocabulary.
pub(crate) fn read(
    model: Model,
    section: &[u8],
    bytes_max: u64,
) -> Result<(Fitted, Networks), Error> {
    let mut bytes = Vec::new();
    let mut decoder = GzDecoder::new(section).take(bytes_max.saturating_add(1));
    decoder.read_to_end(&mut bytes).map_err(|_| Error::Impossible("gzip stream"))?;
    if bytes.len() as u64 > bytes_max {
        return Err(Error::TooMany("bytes of networks"));
    }
    let reader = &mut &bytes[..];
    let options = options(reader)?;
    let begin_ns = u64::from_le_bytes(array(reader)?);
    let end_ns = u64::from_le_bytes(array(reader)?);
    if begin_ns > end_ns {
        return Err(Error::Impossible("window"));
    }
    let mut normalisers = Normalisers {
        start: modes(reader)?,
        gap: modes(reader)?,
        duration: modes(reader)?,
        ..Normalisers::default()
    };
    for key in &model.keys {
        normalisers.keys.push(match key.domain {
            Domain::Numbers { .. } => modes(reader)?,
            _ => Normaliser::default(),
        });
    }
    let kinds = Kinds::of(&model, options.support);
    let mut lines = Vec::new();
    for _ in 0..kinds.n {
        lines.push(Scale { gap: line(reader)?, duration: line(reader)? });
    }
    normalisers.scales = Scales::new(kinds, |kind| lines[kind]);
    let below_failed = if options.tells_failed_heads() {
        ascending(reader, model.sites.len())?
    } else {
        Vec::new()
    };
    let networks = Networks::new(&model, &normalisers, &options, below_failed.clone());
    let networks = networks.ok_or(Error::TooMany("columns"))?;
    let widths = [networks.root.width(), networks.tail.width()];
    let mut units = [Vec::new(), Vec::new()];
    for (units, width) in units.iter_mut().zip(widths) {
        for _ in &model.sites {
            let of_site = ascending(reader, width)?;
            units.push(of_site.into_iter().map(|unit| unit as u16).collect());
        }
    }
    let mut generator = |at: usize| -> Result<Frozen, Error> {
        let n = usize::try_from(integer(reader)?).map_err(|_| Error::Truncated)?;
        let (bytes, rest) = reader.split_at_checked(n).ok_or(Error::Truncated)?;
        *reader = rest;
        let frozen = Frozen::decode(&networks.architectures[at], bytes);
        frozen.map_err(|_| Error::Impossible("set of weights"))
    };
    let generators = [generator(0)?, generator(1)?, generator(2)?];
    if !reader.is_empty() {
        return Err(Error::Impossible("end of the networks"));
    }
    let fitted =
        Fitted { model, begin_ns, end_ns, normalisers, options, below_failed, units, generators };
    Ok((fitted, networks))
}

fn options(reader: &mut &[u8]) -> Result<GanOptions, Error> {
    let [chain_length, topology, head, times, support] = array(reader)?;
    let wrong = Error::Impossible("option");
    if !(2..=5).contains(&chain_length) {
        return Err(wrong);
    }
    let topology = [TopologyCode::Convolution, TopologyCode::OneHot].get(usize::from(topology));
    let head = [HeadMetadata::Given, HeadMetadata::Withheld].get(usize::from(head));
    let times = [Times::Relative, Times::Absolute].get(usize::from(times));
    let support = [Support::PerSite, Support::Learned, Support::PerPlace].get(usize::from(support));
    let all = topology.zip(head).zip(times).zip(support);
    let (((topology, head), times), support) = all.ok_or(wrong)?;
    let known = GanOptions::default();
    Ok(GanOptions {
        chain_length,
        topology: *topology,
        head: *head,
        times: *times,
        support: *support,
        ..known
    })
}

fn array<const N: usize>(reader: &mut &[u8]) -> Result<[u8; N], Error> {
    let (taken, rest) = reader.split_first_chunk::<N>().ok_or(Error::Truncated)?;
    *reader = rest;
    Ok(*taken)
}

fn integer(reader: &mut &[u8]) -> Result<u64, Error> {
    let (value, n) = varint::take(reader).ok_or(Error::Truncated)?;
    *reader = &reader[n..];
    Ok(value)
}

fn number(reader: &mut &[u8]) -> Result<f32, Error> {
    let number = f32::from_le_bytes(array(reader)?);
    if number.is_finite() { Ok(number) } else { Err(Error::Impossible("number")) }
}

fn line(reader: &mut &[u8]) -> Result<Line, Error> {
    let [mean, slope, deviation] = [number(reader)?, number(reader)?, number(reader)?];
    Ok(Line { mean, slope, deviation })
}

fn modes(reader: &mut &[u8]) -> Result<Normaliser, Error> {
    let [n] = array(reader)?;
    if n == 0 || u64::from(n) > N_MODES_MAX {
        return Err(Error::TooMany("modes"));
    }
    let mut modes = Vec::new();
    for _ in 0..n {
        let mean = f64::from_le_bytes(array(reader)?);
        let deviation = f64::from_le_bytes(array(reader)?);
        if !(mean.is_finite() && deviation.is_finite() && deviation > 0.0) {
            return Err(Error::Impossible("mode"));
        }
        modes.push((mean, deviation));
    }
    Ok(Normaliser::of(modes))
}

/// Ascending numbers below a bound.
fn ascending(reader: &mut &[u8], bound: usize) -> Result<Vec<u32>, Error> {
    let n = integer(reader)?;
    if n > bound as u64 {
        return Err(Error::TooMany("units"));
    }
    let mut numbers = Vec::new();
    let mut next = 0_u64;
    for _ in 0..n {
        let number = next.saturating_add(integer(reader)?);
        if number >= bound as u64 {
            return Err(Error::Impossible("unit"));
        }
        numbers.push(number as u32);
        next = number + 1;
    }
    Ok(numbers)
}
